//! The section `[bus]`: whether there is a server between the processes, and who we are to it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::nats::servers::{Servers, SignIn};
use crate::StartError;
use crate::config::{Fault, Faults, Layers, Settings};
use crate::secret::Secret;

/// Most characters of `bus.prefix`.
const PREFIX_LENGTH_MAX: usize = 128;

/// `[bus]`.
#[derive(Debug, Clone)]
pub struct Config {
    broker: Option<Broker>,
}

/// A NATS server, or a cluster of them.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    address: Address,
    /// Before every subject; empty, or tokens with a dot after each.
    pub(super) prefix: String,
    pub(super) key: Option<Key>,
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    pub(super) ping_interval: Duration,
    pub(super) queue_events_max: NonZeroUsize,
    pub(super) held_channels_max: NonZeroUsize,
    pub(super) incoming_events_max: NonZeroU32,
    pub(super) payload_bytes_max: usize,
}

#[derive(Debug, Clone)]
enum Address {
    Written(Servers),
    /// A file with the URL.
    InFile(PathBuf),
}

/// A file that proves who we are.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// A JWT and its seed, as `nsc` writes them (`.creds`).
    Credentials(PathBuf),
    /// The seed of an nkey.
    Seed(PathBuf),
}

/// How the connection is encrypted.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    /// Whether it has to be, even if the server does not ask for it.
    pub(super) demand: Demand,
    /// The authorities to believe instead of the system's.
    pub(super) authorities: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

/// Whether the connection has to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Always,
    AsTheServerWants,
}

/// `[bus]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    url: Secret<String>,
    url_file: PathBuf,
    prefix: String,
    credentials_file: PathBuf,
    nkey_seed_file: PathBuf,
    tls_required: bool,
    tls_ca_file: PathBuf,
    tls_cert_file: PathBuf,
    tls_key_file: PathBuf,
    #[serde(with = "crate::config::span")]
    connect_timeout: Duration,
    #[serde(with = "crate::config::span")]
    ping_interval: Duration,
    queue_events_max: NonZeroUsize,
    held_channels_max: NonZeroUsize,
    incoming_events_max: NonZeroU32,
    payload_bytes_max: usize,
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let section: Section = layers.section("bus")?;
        let mut faults = Faults::default();
        let address = faults.take(section.address());
        let key = faults.take(section.key());
        let own = faults.take(section.own_certificate());
        let prefix = faults.take(prefix(&section.prefix));
        for (window, name) in
            [(section.connect_timeout, "connect_timeout"), (section.ping_interval, "ping_interval")]
        {
            if window.is_zero() {
                faults.0.push(fault(name, None, "expected more than 0s"));
            }
        }
        let (Some(address), Some(key), Some(own), Some(prefix)) = (address, key, own, prefix)
        else {
            return Err(faults);
        };
        if let (Some(Address::Written(servers)), Some(_)) = (&address, &key)
            && servers.sign_in != SignIn::Nobody
        {
            faults.0.push(fault("url", None, TWO_WAYS));
        }
        let broker = address.map(|address| section.broker(address, prefix, key, own));
        faults.or(Some(Self { broker }))
    }
}

const TWO_WAYS: &str = "expected one way to sign in, and there are two: a user or token in the URL, \
                        credentials_file, nkey_seed_file";

impl Section {
    fn address(&self) -> Result<Option<Address>, Faults> {
        match (self.url.expose().as_str(), present(&self.url_file)) {
            ("", None) => Ok(None),
            ("", Some(file)) => Ok(Some(Address::InFile(file))),
            (url, _) => match url.parse() {
                Ok(servers) => Ok(Some(Address::Written(servers))),
                Err(error) => Err(one(fault("url", None, &format!("{error}")))),
            },
        }
    }

    fn key(&self) -> Result<Option<Key>, Faults> {
        match (present(&self.credentials_file), present(&self.nkey_seed_file)) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(Key::Credentials(file))),
            (None, Some(file)) => Ok(Some(Key::Seed(file))),
            (Some(_), Some(_)) => Err(one(fault("nkey_seed_file", None, TWO_WAYS))),
        }
    }

    fn own_certificate(&self) -> Result<Option<(PathBuf, PathBuf)>, Faults> {
        match (present(&self.tls_cert_file), present(&self.tls_key_file)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(_), None) => {
                Err(one(fault("tls_key_file", None, "expected the key of tls_cert_file")))
            }
            (None, Some(_)) => {
                Err(one(fault("tls_cert_file", None, "expected the certificate of tls_key_file")))
            }
        }
    }

    fn broker(
        self,
        address: Address,
        prefix: String,
        key: Option<Key>,
        own: Option<(PathBuf, PathBuf)>,
    ) -> Broker {
        let authorities = present(&self.tls_ca_file);
        // Whoever gives us files for it does not want to talk in the clear.
        let is_demanded = self.tls_required || authorities.is_some() || own.is_some();
        let demand = if is_demanded { Demand::Always } else { Demand::AsTheServerWants };
        Broker {
            address,
            prefix,
            key,
            tls: Tls { demand, authorities, own },
            connect_timeout: self.connect_timeout,
            ping_interval: self.ping_interval,
            queue_events_max: self.queue_events_max,
            held_channels_max: self.held_channels_max,
            incoming_events_max: self.incoming_events_max,
            payload_bytes_max: self.payload_bytes_max,
        }
    }
}

impl Config {
    /// The server between the processes; `None`: everything is in this one.
    pub(super) const fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }
}

impl Broker {
    /// Where the servers are, from the file if it stands there.
    pub(super) fn servers(&self) -> Result<Servers, StartError> {
        let file = match &self.address {
            Address::Written(servers) => return Ok(servers.clone()),
            Address::InFile(file) => file,
        };
        let bad = |message: String| StartError::Config(one(fault("url_file", None, &message)));
        let text = Secret::from_file(file)?;
        let servers: Servers =
            text.expose().parse().map_err(|error| bad(format!("in the file: {error}")))?;
        if self.key.is_some() && servers.sign_in != SignIn::Nobody {
            return Err(bad(TWO_WAYS.to_owned()));
        }
        Ok(servers)
    }
}

/// The path, unless it is empty.
fn present(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

/// Tokens of a subject that are no wildcards, with a dot after each.
fn prefix(text: &str) -> Result<String, Faults> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(plain);
    if text.is_empty() {
        return Ok(String::new());
    }
    if text.len() <= PREFIX_LENGTH_MAX && text.split('.').all(is_token) {
        return Ok(format!("{text}."));
    }
    let message = format!(
        "expected at most {PREFIX_LENGTH_MAX} characters: words of A-Z, a-z, 0-9, _ and -, with dots \
         between them"
    );
    Err(one(fault("prefix", Some(format!("{text:?}")), &message)))
}

fn one(fault: Fault) -> Faults {
    Faults(vec![fault])
}

fn fault(key: &str, value: Option<String>, message: &str) -> Fault {
    Fault { key: format!("bus.{key}"), value, layer: None, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[&str]) -> Result<Config, Faults> {
        let mut layers = Layers::defaults();
        for setting in settings {
            layers.command_line(setting);
        }
        Config::read(&layers)
    }

    #[test]
    fn nothing_said_is_a_bus_within_the_process() {
        assert!(read(&[]).unwrap().broker().is_none());
    }

    #[test]
    fn a_url_of_the_older_systems_is_a_bus_between_processes() {
        let mut layers = Layers::defaults();
        let vars = [("NATS_URL".to_owned(), "nats://ada:secret@nats:4222".to_owned())];
        layers.environment("chat.listen", vars.into_iter());
        assert!(Config::read(&layers).unwrap().broker().is_some());
        assert!(layers.warnings().is_empty());
        assert!(!layers.print().contains("secret@"));
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_password_with_it() {
        let faults = read(&[
            "bus.url=http://ada:hush@here",
            "bus.prefix=a.*.b",
            "bus.credentials_file=a.creds",
            "bus.nkey_seed_file=b.nk",
            "bus.tls_cert_file=c.pem",
            "bus.ping_interval=0s",
        ]);
        let told = faults.unwrap_err().to_string();
        for key in ["bus.url", "bus.prefix", "bus.nkey_seed_file", "bus.tls_key_file", "bus.ping_"]
        {
            assert!(told.contains(key), "{key} is not in\n{told}");
        }
        assert_eq!(told.lines().count(), 5, "{told}");
        assert!(!told.contains("hush"), "{told}");
    }

    #[test]
    fn who_we_are_is_said_once() {
        let told = read(&["bus.url=nats://t0ken@here", "bus.nkey_seed_file=b.nk"]);
        assert!(told.unwrap_err().to_string().contains("bus.url: expected one way to sign in"));
        assert!(read(&["bus.url=nats://here", "bus.nkey_seed_file=b.nk"]).is_ok());
    }

    #[test]
    fn a_prefix_is_words_with_dots_between_them() {
        assert_eq!(prefix("").unwrap(), "");
        assert_eq!(prefix("shop-1.live").unwrap(), "shop-1.live.");
        for bad in [".a", "a.", "a..b", "a.>", "*", "a b", "ü", &"x".repeat(129)] {
            assert!(prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_for_encryption_demand_it() {
        let demand =
            |setting| read(&["bus.url=nats://here", setting]).unwrap().broker.unwrap().tls.demand;
        assert_eq!(demand("bus.tls_ca_file=ca.pem"), Demand::Always);
        assert_eq!(demand("bus.tls_required=true"), Demand::Always);
        assert_eq!(demand("bus.tls_required=false"), Demand::AsTheServerWants);
    }
}
