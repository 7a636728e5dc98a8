//! The files of token keys: `tokens-<kid>.key`, PKCS#8 in PEM, with a line before it that says when the
//! key was made. The line goes along when files are copied or mounted, which their own times do not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use chassis::tokens::{KeyKind, TokenKey};
use chassis::{StartError, keys};
use contract::Timestamp;
use serde_json::Value;
use tracing::info;

use super::ring::{Kept, Ring};

/// Before the id of a token key in the name of its file.
const FILE_PREFIX: &str = "tokens-";
/// After it.
const FILE_SUFFIX: &str = ".key";
/// Before the moment at which a key was made (RFC 7468 section 2 lets text stand before a key).
const MADE: &str = "Made: ";

/// Every token key in `folder`; those in `known` are not read again.
pub(super) fn read(folder: &Path, known: &Ring) -> Result<Ring, StartError> {
    keys::make_folder(folder)?;
    let mut kept = Vec::new();
    for path in paths(folder)? {
        let found = known.keys().iter().find(|key| key.path == path).cloned();
        let key = match found {
            Some(key) => Some(key),
            None => read_one(path)?.map(Arc::new),
        };
        kept.extend(key);
    }
    Ok(Ring::new(kept))
}

/// Makes a key that is newer than those of `ring`.
pub(super) fn make(
    folder: &Path,
    kind: KeyKind,
    ring: &Ring,
    now: Timestamp,
) -> Result<Kept, StartError> {
    let fault = |fault| StartError::Key { path: folder.to_owned(), fault };
    let (key, pem) = TokenKey::generate(kind).map_err(fault)?;
    // Whoever made the last one may have a clock that is ahead of ours.
    let made = ring.newest().map_or(now, |newest| now.max(Timestamp(newest.made.0 + 1)));
    let path = folder.join(format!("{FILE_PREFIX}{}{FILE_SUFFIX}", key.id()));
    keys::write_whole(&path, &format!("{MADE}{made}\n{pem}"), 0o600)?;
    Ok(Kept { made, path, key })
}

/// Takes the files of `gone` away, in turn with whoever else does.
pub(super) fn remove(folder: &Path, gone: &[Arc<Kept>]) -> Result<(), StartError> {
    if gone.is_empty() {
        return Ok(());
    }
    keys::in_turn(folder, || {
        for Kept { path, key, .. } in gone.iter().map(AsRef::as_ref) {
            match fs::remove_file(path) {
                Ok(()) => info!(kid = key.id(), "A superseded token key is gone"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StartError::Path { path: path.clone(), source }),
            }
        }
        Ok(())
    })
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>, StartError> {
    let fault = |source| StartError::Path { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.strip_prefix(FILE_PREFIX).is_some_and(|id| id.strip_suffix(FILE_SUFFIX).is_some()) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// The key in the file at `path`; `None` when another replica took it away just now.
fn read_one(path: PathBuf) -> Result<Option<Kept>, StartError> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StartError::Path { path, source }),
    };
    let made = match told(&text) {
        Some(made) => made,
        None => written(&path)?,
    };
    match TokenKey::from_pem(&text) {
        Ok(key) => Ok(Some(Kept { made, path, key })),
        Err(fault) => Err(StartError::Key { path, fault }),
    }
}

fn told(text: &str) -> Option<Timestamp> {
    let made = text.lines().find_map(|line| line.strip_prefix(MADE))?;
    serde_json::from_value(Value::from(made.trim())).ok()
}

/// When the file was written: all that is known of a key that says nothing itself.
fn written(path: &Path) -> Result<Timestamp, StartError> {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    let modified = modified.map_err(|source| StartError::Path { path: path.to_owned(), source })?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp(0).plus(since))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_194_000_123);

    #[test]
    fn a_key_of_each_kind_is_kept_private_and_read_again_as_it_was_made() {
        for kind in [KeyKind::EdDsa, KeyKind::Es256, KeyKind::Rs256] {
            let folder = tempfile::tempdir().unwrap();
            let made = make(folder.path(), kind, &Ring::default(), NOW).unwrap();
            let rights = fs::metadata(&made.path).unwrap().permissions();
            assert_eq!(rights.mode() & 0o777, 0o600);
            let ring = read(folder.path(), &Ring::default()).unwrap();
            let [kept] = ring.keys() else { panic!("{ring:?}") };
            assert_eq!((kept.made, kept.key.kind()), (NOW, Some(kind)));
            assert_eq!(kept.key.jwk(), made.key.jwk());
        }
    }

    #[test]
    fn a_key_of_an_older_version_was_made_when_its_file_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (_, pem) = TokenKey::generate(KeyKind::EdDsa).unwrap();
        let path = folder.path().join("tokens-old.key");
        fs::write(&path, pem).unwrap();
        let modified = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
        let ring = read(folder.path(), &Ring::default()).unwrap();
        assert_eq!(ring.newest().unwrap().made, Timestamp(1_700_000_000_000));
    }

    #[test]
    fn a_new_key_is_newer_than_one_of_a_clock_that_is_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = NOW.plus(std::time::Duration::from_secs(9));
        make(folder.path(), KeyKind::EdDsa, &Ring::default(), ahead).unwrap();
        let ring = read(folder.path(), &Ring::default()).unwrap();
        let next = make(folder.path(), KeyKind::EdDsa, &ring, NOW).unwrap();
        assert!(next.made > ahead);
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokens-x.key"), "nonsense").unwrap();
        let error = read(folder.path(), &Ring::default()).unwrap_err().to_string();
        assert!(error.contains("tokens-x.key"), "{error}");
    }
}
