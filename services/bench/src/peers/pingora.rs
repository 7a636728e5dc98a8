//! A minimal proxy of Pingora's published crates: a package of its own, built when it is asked for.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Peer, Running, Setting, free_address, launch};
use crate::Outcome;
use crate::program::need;

/// What its manifest asks for.
pub(super) const VERSION: &str = "0.9.1";
/// Its manifest.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pingora/Cargo.toml");

/// Builds it, which takes some minutes once. Its crates build a C library with `cmake`.
pub(super) fn build() -> Outcome<()> {
    need(&["cmake"])?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--manifest-path", MANIFEST]);
    cargo.arg("--target-dir").arg(target()?).stdin(Stdio::null());
    if cargo.status()?.success() {
        return Ok(());
    }
    Err("the pingora peer could not be built".into())
}

pub(super) fn start(setting: &Setting<'_>) -> Outcome<Running> {
    let address = free_address()?;
    let mut command = Command::new(target()?.join("release/pingora-peer"));
    command.args([address.to_string(), setting.upstream.to_string()]);
    command.arg(setting.layout.workers().to_string());
    launch(command, Peer::Pingora, address, setting)
}

/// Its own folder in the target directory that this binary lies in.
fn target() -> Outcome<PathBuf> {
    let binary = std::env::current_exe()?;
    let target = binary.ancestors().nth(2).ok_or("the binary lies in no target directory")?;
    Ok(target.join("pingora"))
}
