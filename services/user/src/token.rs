//! Access tokens: signed with a key of ours, checked by everybody with its public half.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chassis::keys::{self, SigningKey};
use chassis::tokens::{KeySet, KeySource, Rules};
use chassis::{Deps, Random, StartError};
use contract::caller::UserClaims;
use contract::{SessionId, Timestamp};
use jsonwebtoken::{Algorithm, Header};

use crate::account::Account;
use crate::config::Config;

/// Before the id of a token key in the name of its file.
const FILE_PREFIX: &str = "tokens-";
/// After it.
const FILE_SUFFIX: &str = ".key";
/// Most token keys that are kept at a time.
const KEYS_MAX: usize = 16;

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("signing failed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Makes access tokens with the newest key, and publishes all of them.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: SigningKey,
    header: Header,
    jwks: String,
    rules: Rules,
    life: Duration,
}

impl Issuer {
    /// Reads the token keys, or makes the first.
    pub(crate) fn open(config: &Config, deps: &Deps) -> Result<Self, StartError> {
        let folder = config.identity.keys_folder(&deps.data);
        let mut keys = load(&folder)?;
        if keys.is_empty() {
            keys = make_first(&folder)?;
        }
        let jwks = jwks(&keys);
        let key = keys.swap_remove(0);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.public().id());
        Ok(Self {
            key,
            header,
            jwks,
            rules: Rules {
                issuer: config.identity.issuer.clone(),
                audience: config.identity.audience.clone(),
            },
            life: config.section.access_token_life,
        })
    }

    /// A token of `account`, good from `now` on.
    pub(crate) fn issue(
        &self,
        account: &Account,
        session: SessionId,
        now: Timestamp,
        random: &Random,
    ) -> Result<String, Error> {
        let claims = UserClaims {
            iss: self.rules.issuer.clone(),
            sub: account.id,
            aud: self.rules.audience.clone(),
            exp: now.plus(self.life).seconds(),
            nbf: now.seconds(),
            iat: now.seconds(),
            jti: random.uuid_v7(now).to_string(),
            sid: session,
            name: account.username.as_str().to_owned(),
            roles: account.roles.clone(),
            email_verified: account.email_verified,
        };
        Ok(jsonwebtoken::encode(&self.header, &claims, self.key.encoding())?)
    }

    /// How long a token is good.
    pub(crate) const fn life(&self) -> Duration {
        self.life
    }

    /// The public keys (RFC 7517 section 5).
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The keys that this service itself checks tokens with.
    pub(crate) fn key_source(&self) -> Result<KeySource, StartError> {
        const OWN_GENERATION: u64 = 1;
        let keys = KeySet::parse(self.jwks.as_bytes(), OWN_GENERATION);
        keys.map(KeySource::issuer)
            .ok_or_else(|| StartError::Other("no token key is usable".into()))
    }
}

/// Every token key in `folder`, the newest first.
fn load(folder: &Path) -> Result<Vec<SigningKey>, StartError> {
    let mut files = files(folder)?;
    files.sort_unstable_by(|one, other| other.cmp(one));
    files.truncate(KEYS_MAX);
    files.into_iter().map(|(_, path)| read(path)).collect()
}

fn files(folder: &Path) -> Result<Vec<(SystemTime, PathBuf)>, StartError> {
    keys::make_folder(folder)?;
    let fault = |source| StartError::Path { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.strip_prefix(FILE_PREFIX).is_some_and(|id| id.strip_suffix(FILE_SUFFIX).is_some()) {
            let written = entry.metadata().and_then(|file| file.modified()).map_err(fault)?;
            files.push((written, entry.path()));
        }
    }
    Ok(files)
}

fn read(path: PathBuf) -> Result<SigningKey, StartError> {
    match fs::read_to_string(&path) {
        Ok(pem) => SigningKey::from_pem(&pem).map_err(|fault| StartError::Key { path, fault }),
        Err(source) => Err(StartError::Path { path, source }),
    }
}

fn make_first(folder: &Path) -> Result<Vec<SigningKey>, StartError> {
    keys::in_turn(folder, || {
        let mut keys = load(folder)?;
        if keys.is_empty() {
            keys.push(make(folder)?);
        }
        Ok(keys)
    })
}

/// Makes what this service signs with, where it is not there yet: its own key and one for access
/// tokens.
pub fn make_keys(folder: &Path) -> Result<(), StartError> {
    SigningKey::load_or_make(folder, crate::PROGRAM.name)?;
    if load(folder)?.is_empty() {
        make_first(folder)?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<SigningKey, StartError> {
    let fault = |fault| StartError::Key { path: folder.to_owned(), fault };
    let (key, pem) = SigningKey::generate().map_err(fault)?;
    let path = folder.join(format!("{FILE_PREFIX}{}{FILE_SUFFIX}", key.public().id()));
    keys::write_whole(&path, &pem, 0o600)?;
    Ok(key)
}

/// RFC 8037 section 2.
fn jwks(keys: &[SigningKey]) -> String {
    let jwk = |key: &SigningKey| {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": key.public().id(),
            "x": key.public().x(),
        })
    };
    serde_json::json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn of_replicas_that_start_together_one_makes_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let ids = thread::scope(|scope| {
            let id = || make_first(folder.path()).unwrap()[0].public().id();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(id)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(files(folder.path()).unwrap().len(), 1);
    }
}
