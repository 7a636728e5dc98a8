//! Ed25519 keys in files: made on the first run, kept with mode 0600, public half beside them.

pub(crate) mod pem;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use sha2::{Digest as _, Sha256};

use crate::StartError;
use crate::tokens::Verifier;

/// What precedes the 32 bytes of an Ed25519 public key in its `SubjectPublicKeyInfo` (RFC 8410
/// section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// Bytes of an Ed25519 public key.
const PUBLIC_BYTES: usize = 32;

/// Held by whoever makes a key in its folder.
const LOCK: &str = ".lock";

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    public: PublicKey,
}

/// Its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl SigningKey {
    /// Makes a fresh key.
    pub fn generate() -> Result<(Self, String), &'static str> {
        let pair = Ed25519KeyPair::generate().map_err(|_| "no randomness for a new key")?;
        let der = pair.to_pkcs8v1().map_err(|_| "the new key cannot be written")?;
        let pem = pem::write("PRIVATE KEY", der.as_ref());
        Ok((Self::from_pem(&pem)?, pem))
    }

    /// Reads a key in PKCS#8 PEM (RFC 5958).
    pub fn from_pem(pem: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "expected an Ed25519 private key in PKCS#8 PEM";
        let encoding = EncodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| WANTED)?;
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(encoding.as_bytes()).map_err(|_| WANTED)?;
        let bytes = pair.public_key().as_ref().try_into().map_err(|_| WANTED)?;
        Ok(Self { encoding, public: PublicKey(bytes) })
    }

    /// The key in `<folder>/<name>.key`, made when it is not there, as is its `.pub`. A folder in which
    /// both are may be read-only.
    pub fn load_or_make(folder: &Path, name: &str) -> Result<Self, StartError> {
        make_folder(folder)?;
        match Self::find(folder, name)? {
            Some(key) => Ok(key),
            None => in_turn(folder, || Self::complete(folder, name)),
        }
    }

    /// The key, if its public half stands beside it.
    fn find(folder: &Path, name: &str) -> Result<Option<Self>, StartError> {
        let key = Self::read(&folder.join(format!("{name}.key")))?;
        let public = fs::read_to_string(folder.join(format!("{name}.pub")));
        Ok(key.filter(|key| public.is_ok_and(|text| text == key.public.to_pem())))
    }

    /// Makes what is missing of the two files.
    fn complete(folder: &Path, name: &str) -> Result<Self, StartError> {
        let path = folder.join(format!("{name}.key"));
        let key = match Self::read(&path)? {
            Some(key) => key,
            None => Self::make(&path)?,
        };
        let public = folder.join(format!("{name}.pub"));
        write_whole(&public, &key.public.to_pem(), 0o644)?;
        Ok(key)
    }

    fn read(path: &Path) -> Result<Option<Self>, StartError> {
        let path = path.to_owned();
        match fs::read_to_string(&path) {
            Ok(pem) => {
                let key = Self::from_pem(&pem);
                key.map(Some).map_err(|fault| StartError::Key { path, fault })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StartError::Path { path, source }),
        }
    }

    fn make(path: &Path) -> Result<Self, StartError> {
        let made = Self::generate();
        let (key, pem) = made.map_err(|fault| StartError::Key { path: path.to_owned(), fault })?;
        write_whole(path, &pem, 0o600)?;
        Ok(key)
    }

    /// What `jsonwebtoken` signs with.
    #[must_use]
    pub const fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl PublicKey {
    /// Reads a key in `SubjectPublicKeyInfo` PEM.
    #[must_use]
    pub fn from_pem(text: &str) -> Option<Self> {
        let der = pem::read("PUBLIC KEY", text)?;
        der.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(Self)
    }

    /// The key in `SubjectPublicKeyInfo` PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write("PUBLIC KEY", &[SPKI_PREFIX.as_slice(), &self.0].concat())
    }

    /// The `x` of its JWK (RFC 8037 section 2).
    #[must_use]
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Its thumbprint, which serves as `kid` (RFC 7638 section 3).
    #[must_use]
    pub fn id(&self) -> String {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
    }

    /// What checks signatures of this key; `None` when the bytes are no key.
    pub(crate) fn verifier(&self) -> Option<Verifier> {
        Verifier::ed25519(&self.0)
    }
}

/// Makes `folder` with what leads to it; only its owner may enter.
pub fn make_folder(folder: &Path) -> Result<(), StartError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StartError::Path { path: folder.to_owned(), source })
}

/// Does `work` while nobody else does any in `folder`: replicas that start together in one folder take
/// turns, so that one makes a key and the others find it.
pub fn in_turn<T>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, StartError>,
) -> Result<T, StartError> {
    let path = folder.join(LOCK);
    let fault = |source| StartError::Path { path: path.clone(), source };
    let mut options = fs::OpenOptions::new();
    let turn = options.create(true).append(true).mode(0o600).open(&path).map_err(fault)?;
    turn.lock().map_err(fault)?;
    work()
}

/// Writes a small file so that it is there whole or not at all.
pub fn write_whole(path: &Path, text: &str, mode: u32) -> Result<(), StartError> {
    let fault = |source| StartError::Path { path: path.to_owned(), source };
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    // One that was left behind may have rights of its own.
    fs::remove_file(&fresh).ok();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(&fresh).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    fs::rename(&fresh, path).map_err(fault)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_kept_private_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = SigningKey::load_or_make(folder.path(), "chat").unwrap();
        let again = SigningKey::load_or_make(folder.path(), "chat").unwrap();
        assert_eq!(made.public(), again.public());
        let rights = fs::metadata(folder.path().join("chat.key")).unwrap().permissions();
        assert_eq!(rights.mode() & 0o777, 0o600);
        let public = fs::read_to_string(folder.path().join("chat.pub")).unwrap();
        assert_eq!(PublicKey::from_pem(&public).as_ref(), Some(made.public()));
    }

    #[test]
    fn a_folder_of_made_keys_is_not_written_to_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = SigningKey::load_or_make(folder.path(), "chat").unwrap();
        let written =
            |name: &str| fs::metadata(folder.path().join(name)).unwrap().modified().unwrap();
        let before = [written("chat.key"), written("chat.pub"), written(".")];
        let again = SigningKey::load_or_make(folder.path(), "chat").unwrap();
        assert_eq!([written("chat.key"), written("chat.pub"), written(".")], before);
        assert_eq!(made.public(), again.public());
    }

    #[test]
    fn those_who_start_together_find_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let load = || SigningKey::load_or_make(folder.path(), "chat").unwrap().public().clone();
        let keys = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("chat.key"), "nonsense").unwrap();
        let error = SigningKey::load_or_make(folder.path(), "chat").unwrap_err().to_string();
        assert!(error.contains("chat.key") && error.contains("Ed25519"), "{error}");
    }
}
