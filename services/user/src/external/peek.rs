//! What a token says of itself before anything is believed: enough to know whose rules it is held
//! against, and to refuse it before any key is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::tokens::{BadToken, TOKEN_BYTES_MAX};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `typ` of an ID token, where there is one (RFC 7519 section 5.1).
const TYPE: &str = "JWT";
/// May stand before it (RFC 7515 section 4.1.9).
const TYPE_PREFIX: &str = "application/";

/// The header and the issuer that a token claims to have.
#[derive(Debug)]
pub(super) struct Peeked {
    pub(super) algorithm: String,
    pub(super) issuer: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
}

impl Peeked {
    /// Refuses what is no ID token by its form. An issuer signs access tokens with the same keys: they
    /// say so (RFC 9068 section 2.1), and are for somebody else (RFC 8725 section 3.12).
    pub(super) fn read(token: &str) -> Result<Self, BadToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadToken::Malformed);
        }
        let mut parts = token.split('.');
        let Header { alg, typ } = part(parts.next())?;
        let Payload { iss } = part(parts.next())?;
        if !typ.as_deref().is_none_or(is_plain) {
            return Err(BadToken::Malformed);
        }
        Ok(Self { algorithm: alg, issuer: iss })
    }
}

fn part<T: DeserializeOwned>(part: Option<&str>) -> Result<T, BadToken> {
    let bytes = URL_SAFE_NO_PAD.decode(part.unwrap_or_default());
    let value = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or(BadToken::Malformed)
}

fn is_plain(written: &str) -> bool {
    let prefix = written.get(..TYPE_PREFIX.len());
    let has_prefix = prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(TYPE_PREFIX));
    let short = if has_prefix { &written[TYPE_PREFIX.len()..] } else { written };
    short.eq_ignore_ascii_case(TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(header: &str, payload: &str) -> Result<Peeked, BadToken> {
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
        Peeked::read(&format!("{header}.{payload}.c2lnbmF0dXJl"))
    }

    #[test]
    fn an_id_token_is_told_from_whatever_else_an_issuer_signs() {
        let of_type =
            |typ: &str| peek(&format!(r#"{{"alg":"RS256","typ":{typ}}}"#), r#"{"iss":"i"}"#);
        for good in [r#""JWT""#, r#""jwt""#, r#""application/jwt""#, "null"] {
            assert_eq!(of_type(good).unwrap().issuer, "i", "{good}");
        }
        for bad in [r#""at+jwt""#, r#""application/at+jwt""#, r#""logout+jwt""#, r#""""#, "7"] {
            assert_eq!(of_type(bad).unwrap_err(), BadToken::Malformed, "{bad}");
        }
    }

    #[test]
    fn what_has_no_header_and_no_issuer_is_no_token() {
        for (header, payload) in [
            ("{}", r#"{"iss":"i"}"#),
            (r#"{"alg":"RS256"}"#, "{}"),
            (r#"{"alg":"RS256"}"#, r#"{"iss":["i"]}"#),
            (r#"{"alg":"RS256"}"#, r#"{"iss":"i","iss":"j"}"#),
            (r#"{"alg":"RS256","alg":"none"}"#, r#"{"iss":"i"}"#),
        ] {
            assert_eq!(
                peek(header, payload).unwrap_err(),
                BadToken::Malformed,
                "{header} {payload}"
            );
        }
        for text in ["", ".", "..", "a.b.c", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(Peeked::read(text).unwrap_err(), BadToken::Malformed);
        }
    }
}
