//! Where NATS is and who we are there, as one URL, or several with commas between them, tells both.

use std::fmt;
use std::str::FromStr;

use async_nats::ServerAddr;

use crate::secret::Secret;

/// Most servers that are named.
const SERVERS_MAX: usize = 64;

/// The servers of one cluster.
#[derive(Debug, Clone)]
pub(in crate::bus) struct Servers {
    /// Without users and passwords.
    pub(in crate::bus) addresses: Vec<ServerAddr>,
    pub(in crate::bus) sign_in: SignIn,
}

/// Who the URL says that we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) enum SignIn {
    Nobody,
    Password { user: String, password: Secret<String> },
    Token(Secret<String>),
}

/// Why a text is no URL of NATS. Says nothing of the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::bus) enum BadUrl {
    #[error("expected a URL as in \"nats://host:4222\" or \"tls://user:password@host:4222\"")]
    Form,
    #[error("expected at most {SERVERS_MAX} servers")]
    TooMany,
    #[error("expected the same user and password, or the same token, in every URL")]
    Strangers,
}

impl FromStr for Servers {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let found = text.split(',').map(|url| server(url.trim())).collect::<Result<Vec<_>, _>>()?;
        if found.len() > SERVERS_MAX {
            return Err(BadUrl::TooMany);
        }
        let (addresses, names): (_, Vec<_>) = found.into_iter().unzip();
        let mut signs = names.into_iter().filter(|name| *name != SignIn::Nobody);
        let sign_in = signs.next().unwrap_or(SignIn::Nobody);
        if signs.any(|other| other != sign_in) {
            return Err(BadUrl::Strangers);
        }
        Ok(Self { addresses, sign_in })
    }
}

/// For the log: hosts and ports.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}:{}", address.host(), address.port())?;
        }
        Ok(())
    }
}

fn server(text: &str) -> Result<(ServerAddr, SignIn), BadUrl> {
    if !text.starts_with("nats://") && !text.starts_with("tls://") {
        return Err(BadUrl::Form);
    }
    let address: ServerAddr = text.parse().map_err(|_| BadUrl::Form)?;
    let sign_in = match (address.username(), address.password()) {
        (None, None) => SignIn::Nobody,
        (Some(token), None) => SignIn::Token(Secret::new(decoded(token)?)),
        (user, Some(password)) => SignIn::Password {
            user: decoded(user.unwrap_or_default())?,
            password: Secret::new(decoded(password)?),
        },
    };
    let mut url = address.into_inner();
    let is_bare =
        matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let is_named = url.host_str().is_some_and(|host| !host.is_empty());
    if !is_bare || !is_named || url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(BadUrl::Form);
    }
    let address = ServerAddr::from_url(url).map_err(|_| BadUrl::Form)?;
    Ok((address, sign_in))
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn decoded(text: &str) -> Result<String, BadUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let high = digit(rest.next()).ok_or(BadUrl::Form)?;
            let low = digit(rest.next()).ok_or(BadUrl::Form)?;
            bytes.push(u8::try_from(high * 16 + low).map_err(|_| BadUrl::Form)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| BadUrl::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> SignIn {
        SignIn::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    #[test]
    fn several_servers_are_one_cluster_with_one_name_for_us() {
        let servers: Servers =
            "nats://ada:p%40x9@one:4222, tls://two,nats://[::1]:1".parse().unwrap();
        assert_eq!(servers.to_string(), "one:4222, two:4222, ::1:1");
        assert_eq!(servers.sign_in, password("ada", "p@x9"));
        assert!(servers.addresses[1].tls_required());
        assert!(!format!("{servers:?}").contains("x9"), "{servers:?}");
    }

    #[test]
    fn a_user_alone_is_a_token() {
        let servers: Servers = "nats://t0ken@one".parse().unwrap();
        assert_eq!(servers.sign_in, SignIn::Token(Secret::new("t0ken".to_owned())));
        let servers: Servers = "nats://one:4222/".parse().unwrap();
        assert_eq!(servers.sign_in, SignIn::Nobody);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "one:4222",
            "http://one",
            "ws://one",
            "nats://",
            "nats://one,",
            "nats://one/two",
            "nats://one:port",
            "nats://one?x",
            "nats://a%zz@one",
            "nats://a%ff@one",
            "nats://one two",
        ] {
            assert_eq!(bad.parse::<Servers>().unwrap_err(), BadUrl::Form, "{bad}");
        }
        let strangers = "nats://a:b@one,nats://c:d@two".parse::<Servers>();
        assert_eq!(strangers.unwrap_err(), BadUrl::Strangers);
        assert_eq!(["nats://one"; 65].join(",").parse::<Servers>().unwrap_err(), BadUrl::TooMany);
    }
}
