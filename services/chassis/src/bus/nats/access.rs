//! How the client gets in: who we are, whom we believe, how long it may take. Reads the files that
//! say so, once, so that a bad one stops the process at its start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{ClientConfig, RootCertStore, crypto};

use super::servers::SignIn;
use crate::bus::config::{Broker, Demand, Key, Tls};
use crate::secret::Secret;
use crate::{Random, StartError};

/// The longest pause between two attempts, so that events are heard again within seconds.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The pause after the first attempt that failed; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Characters of the seed of an nkey: 36 bytes in base 32.
const SEED_LENGTH: usize = 58;

/// The client's settings for `broker`. It reads the files for encryption again at every connection, so
/// that new ones need no restart.
pub(super) fn options(
    broker: &Broker,
    sign_in: &SignIn,
    random: &Random,
) -> Result<ConnectOptions, StartError> {
    let random = random.clone();
    let capacity = usize::try_from(broker.incoming_events_max.get()).unwrap_or(usize::MAX);
    let options = ConnectOptions::new()
        .retry_on_initial_connect()
        .connection_timeout(broker.connect_timeout)
        .ping_interval(broker.ping_interval)
        .subscription_capacity(capacity)
        .reconnect_delay_callback(move |attempts| pause(attempts, &random));
    encrypted(signed_in(options, broker, sign_in)?, &broker.tls)
}

/// Nothing before the first attempt but a part of the least pause: everybody lost the server at once.
fn pause(attempts: usize, random: &Random) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(2)).unwrap_or(u32::MAX).min(16);
    let pause = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let half = pause / 2;
    let drawn = random.below(u64::try_from(half.as_millis()).unwrap_or(0));
    let drawn = Duration::from_millis(drawn);
    if attempts <= 1 { drawn } else { half + drawn }
}

fn signed_in(
    options: ConnectOptions,
    broker: &Broker,
    sign_in: &SignIn,
) -> Result<ConnectOptions, StartError> {
    let options = match sign_in {
        SignIn::Nobody => options,
        SignIn::Password { user, password } => {
            options.user_and_password(user.clone(), password.expose().clone())
        }
        SignIn::Token(token) => options.token(token.expose().clone()),
    };
    match &broker.key {
        None => Ok(options),
        Some(Key::Credentials(path)) => {
            // The client's reader wants every line to end.
            let text = format!("{}\n", Secret::from_file(path)?.expose());
            let options = options.credentials(&text);
            options.map_err(|_| bad(path, "expected a JWT and a seed, as nsc writes them"))
        }
        Some(Key::Seed(path)) => {
            let seed = Secret::from_file(path)?;
            if is_seed(seed.expose()) {
                Ok(options.nkey(seed.expose().clone()))
            } else {
                Err(bad(path, "expected the seed of a user's nkey, as nk writes it: SU…"))
            }
        }
    }
}

/// Of a user (`SU`), in base 32 (RFC 4648 section 6); whether it is whole, the server finds out.
fn is_seed(text: &str) -> bool {
    let is_base_32 = |b: u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b);
    text.len() == SEED_LENGTH && text.starts_with("SU") && text.bytes().all(is_base_32)
}

fn encrypted(options: ConnectOptions, tls: &Tls) -> Result<ConnectOptions, StartError> {
    // The process has one provider; whoever was first has put in the same.
    crypto::aws_lc_rs::default_provider().install_default().ok();
    check_files(tls)?;
    let mut options = options.require_tls(tls.demand == Demand::Always);
    if let Some(authorities) = &tls.authorities {
        options = options.add_root_certificates(authorities.clone());
    }
    if let Some((certificate, key)) = &tls.own {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Whether the client will be able to use what the files hold.
fn check_files(tls: &Tls) -> Result<(), StartError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.authorities {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|_| bad(path, "it holds a certificate that is no authority"))?;
        }
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::Other(error.into()))?
        .with_root_certificates(roots);
    if let Some((certificate, key)) = &tls.own {
        let chain = certificates(certificate)?;
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?);
        let secret = secret.map_err(|_| bad(key, "it holds no private key in PEM"))?;
        let checked = builder.with_client_auth_cert(chain, secret);
        checked.map_err(|_| bad(key, "it does not belong to the certificate"))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(bad(path, "it holds no certificate in PEM")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|source| StartError::Path { path: path.to_owned(), source })
}

fn bad(path: &Path, fault: &'static str) -> StartError {
    StartError::Key { path: PathBuf::from(path), fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_a_second() {
        let random = Random::seeded(7);
        assert!(pause(1, &random) < PAUSE_MIN);
        for attempts in [2, 3, 9, 1_000_000, usize::MAX] {
            let pause = pause(attempts, &random);
            assert!((PAUSE_MIN / 2..=PAUSE_MAX).contains(&pause), "{attempts}: {pause:?}");
        }
        assert!(pause(9, &random) >= PAUSE_MAX / 2);
    }

    #[test]
    fn a_seed_is_one_of_a_user() {
        assert!(is_seed("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"));
        for bad in ["", "SU", "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"] {
            assert!(!is_seed(bad), "{bad}");
        }
    }
}
