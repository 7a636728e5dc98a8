//! Letters as files, for a machine without a mail server: whoever may read the folder is the postman.

use std::fs;
use std::path::{Path, PathBuf};

use chassis::{Stop, keys, refuse};
use contract::Timestamp;
use lettre::message::Mailbox;
use tracing::info;

use super::Letter;
use crate::errands::Fault;

/// Read and written by nobody else.
const MODE: u32 = 0o600;
/// The end of a letter's name.
const SUFFIX: &str = ".eml";

/// A folder of letters.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    kept_max: usize,
    from: Mailbox,
    stop: Stop,
}

impl Files {
    pub(super) const fn new(folder: PathBuf, kept_max: usize, from: Mailbox, stop: Stop) -> Self {
        Self { folder, kept_max, from, stop }
    }

    pub(super) async fn write(&self, letter: &Letter) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(&letter.message(&self.from)?.formatted()).into_owned();
        let name = name(letter);
        let (folder, path) = (self.folder.clone(), self.folder.join(&name));
        let kept_max = self.kept_max;
        let write = move || {
            keys::make_folder(&folder)?;
            keys::write_whole(&path, &text, MODE)?;
            trim(&folder, kept_max);
            Ok::<_, chassis::StartError>(())
        };
        let written = self.stop.tracker().spawn_blocking(write).await;
        written
            .map_err(|error| Fault::passing(&error))?
            .map_err(|error| Fault::Passing(refuse::chain(&error)))?;
        info!(file = name, "A letter is in the file {name}");
        Ok(())
    }
}

/// Sorts by time, and says nothing of what is in it.
fn name(letter: &Letter) -> String {
    let at = Timestamp::to_string(&letter.at).replace(['-', ':'], "");
    format!("{at}-{}{SUFFIX}", letter.id)
}

/// Takes the oldest away beyond `kept_max`. What cannot be taken stays for the next time.
fn trim(folder: &Path, kept_max: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(SUFFIX)).collect();
    names.sort_unstable();
    let excess = names.len().saturating_sub(kept_max);
    for name in &names[..excess] {
        fs::remove_file(folder.join(name)).ok();
    }
}
