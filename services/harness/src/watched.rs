//! A server that ends with those who use it: a small shell stands between, and looks after whoever
//! it is told to watch. A test that panics, is killed or runs out of time leaves nothing behind.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Error;

/// `$1` is watched, `$2` is the signal that ends the server, `$3` its folder, which goes when nobody is
/// left to want it, and the rest is the server's command.
const SCRIPT: &str = r#"
watched=$1; signal=$2; folder=$3; shift 3
"$@" &
server=$!
trap 'kill -s "$signal" "$server" 2>/dev/null' TERM
while kill -0 "$watched" 2>/dev/null && kill -0 "$server" 2>/dev/null; do sleep 0.2 & wait $!; done
kill -s "$signal" "$server" 2>/dev/null
wait "$server"
kill -0 "$watched" 2>/dev/null || rm -rf -- "$folder"
"#;

/// Starts `server` with its output in `log` of its `folder`, to be ended by `signal` (`QUIT`, `KILL`) when
/// the process `watched` is gone.
pub(crate) fn start(
    server: &Command,
    folder: &Path,
    watched: u32,
    signal: &str,
) -> Result<Child, Error> {
    let log = log(folder);
    let fault = |source| Error::Path { path: log.clone(), source };
    let output = std::fs::File::options().create(true).append(true).open(&log).map_err(fault)?;
    let errors = output.try_clone().map_err(fault)?;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", &watched.to_string(), signal]).arg(folder);
    command.arg(server.get_program()).args(server.get_args());
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    // Of its own group, so that Ctrl-C reaches the tests and they, by ending, the server.
    command.process_group(0).spawn().map_err(fault)
}

/// Ends what [`start`] gave, and waits for it.
pub(crate) fn end(child: &mut Child) {
    let told = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    if !told.is_ok_and(|status| status.success()) {
        child.kill().ok();
    }
    child.wait().ok();
}

/// Where the server of `folder` says what it does.
pub(crate) fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}
