//! Codes in a file, a line each, for a machine without a provider: who may read it brings them on.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chassis::{StartError, Stop, keys, refuse};

use super::provider::Message;
use crate::errands::Fault;

/// Read and written by nobody else.
const MODE: u32 = 0o600;

/// A file of a bounded size.
#[derive(Debug)]
pub(crate) struct CodeFile {
    path: PathBuf,
    bytes_max: u64,
    /// One writes at a time.
    turn: Arc<Mutex<()>>,
    stop: Stop,
}

impl CodeFile {
    pub(super) fn new(path: PathBuf, bytes_max: u64, stop: Stop) -> Self {
        Self { path, bytes_max, turn: Arc::default(), stop }
    }

    pub(super) async fn append(&self, message: &Message) -> Result<(), Fault> {
        let line = format!("{} {} {}\n", message.at, message.phone.as_str(), message.code);
        let (path, bytes_max, turn) = (self.path.clone(), self.bytes_max, self.turn.clone());
        let write = move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            append(&path, &line, bytes_max)
        };
        let written = self.stop.tracker().spawn_blocking(write).await;
        let written = written.map_err(|error| Fault::passing(&error))?;
        written.map_err(|error| Fault::Passing(refuse::chain(&error)))
    }
}

fn append(path: &Path, line: &str, bytes_max: u64) -> Result<(), StartError> {
    let fault = |source| StartError::Path { path: path.to_owned(), source };
    let length = fs::metadata(path).map_or(0, |file| file.len());
    if length + line.len() as u64 > bytes_max {
        let before = fs::read_to_string(path).map_err(fault)?;
        return keys::write_whole(path, &(newest_half(&before).to_owned() + line), MODE);
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).append(true).mode(MODE).open(path).map_err(fault)?;
    file.write_all(line.as_bytes()).map_err(fault)
}

/// Whole lines of the second half.
fn newest_half(text: &str) -> &str {
    let bytes = text.as_bytes();
    let half = bytes.len() / 2;
    let end = bytes[half..].iter().position(|byte| *byte == b'\n');
    end.and_then(|end| text.get(half + end + 1..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_private_bounded_and_ends_with_the_newest_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.txt");
        for number in 0..100 {
            append(&path, &format!("line {number}\n"), 200).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.len() <= 200 && text.ends_with(&format!("line {number}\n")), "{text}");
            assert!(text.lines().all(|line| line.starts_with("line ")), "{text}");
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }
}
