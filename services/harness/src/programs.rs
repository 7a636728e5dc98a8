//! Finds the servers' programs, and runs the small ones that stand beside them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Where Debian keeps PostgreSQL, one folder for each major version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
/// Where Debian puts `nats-server`, which is not on everybody's `PATH`.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The folder with `postgres` and what belongs to it. The `PATH` is asked for `initdb` too: some
/// machines link the one there and not the other.
pub(crate) fn postgres_folder() -> Result<PathBuf, Error> {
    let whole = |folder: &PathBuf| {
        ["postgres", "initdb", "createdb", "dropdb"].iter().all(|name| folder.join(name).is_file())
    };
    told("HUBBUB_TEST_POSTGRES")
        .into_iter()
        .chain(on_path())
        .chain(versions())
        .find(whole)
        .ok_or(Error::Missing { program: "postgres", package: "postgresql" })
}

/// `nats-server`.
pub(crate) fn nats_server() -> Result<PathBuf, Error> {
    let named = |folder: PathBuf| folder.join("nats-server");
    told("HUBBUB_TEST_NATS")
        .into_iter()
        .chain(on_path().map(named))
        .chain(SYSTEM_FOLDERS.map(|folder| named(folder.into())))
        .find(|path| path.is_file())
        .ok_or(Error::Missing { program: "nats-server", package: "nats-server" })
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let said = match command.stdin(Stdio::null()).output() {
        Ok(done) if done.status.success() => return Ok(()),
        Ok(done) => String::from_utf8_lossy(&done.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    Err(Error::Failed { command: format!("{command:?}"), said })
}

/// A command as a user that PostgreSQL agrees to run as: it refuses the superuser.
pub(crate) fn as_nobody_special(program: &Path) -> Command {
    let Some(user) = stand_in() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    let group = format!("--regid={user}");
    command.arg(format!("--reuid={user}")).arg(group).arg("--clear-groups").arg(program);
    command
}

/// Gives `path` to the user that [`as_nobody_special`] runs as.
pub(crate) fn give_away(path: &Path) -> Result<(), Error> {
    let Some(user) = stand_in() else { return Ok(()) };
    run(Command::new("chown").arg(format!("{user}:{user}")).arg(path))
}

/// Whom the superuser lets the server run as; `None` for everybody else, who run it themselves.
fn stand_in() -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;

    // Who owns what this process makes is who this process is.
    let is_superuser = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    // Debian's package makes this user.
    is_superuser.then_some("postgres")
}

fn told(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(Into::into)
}

fn on_path() -> impl Iterator<Item = PathBuf> {
    let path = told("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// The newest version first.
fn versions() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path.join("bin"))
}
