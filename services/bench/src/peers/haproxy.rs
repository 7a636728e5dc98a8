//! HAProxy.

use std::fs;
use std::process::Command;

use super::{Peer, Running, Setting, free_address, launch};
use crate::Outcome;
use crate::program::find;

pub(super) fn start(setting: &Setting<'_>) -> Outcome<Running> {
    let address = free_address()?;
    let threads = setting.layout.workers();
    let upstream = setting.upstream;
    let text = format!(
        "global
    nbthread {threads}
    maxconn 9000
    tune.bufsize 16384
defaults
    mode http
    option http-keep-alive
    http-reuse always
    option forwardfor
    timeout connect 5s
    timeout client 75s
    timeout server 30s
    timeout http-keep-alive 75s
    timeout tunnel 10m
frontend callers
    bind {address}
    default_backend bench
backend bench
    server one {upstream} pool-max-conn 1024
"
    );
    let file = setting.folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new(find("haproxy").ok_or("haproxy is missing")?);
    // In the foreground, as one process.
    command.arg("-db").arg("-f").arg(&file);
    launch(command, Peer::Haproxy, address, setting)
}
