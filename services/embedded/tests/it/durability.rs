//! Acknowledged means synced. `kill -9` keeps the page cache, so these cases look at the system
//! calls themselves: strace shows their order, and makes a sync fail.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::support::eventually;
use super::support::hub::{Hub, Program, command, hubbub, signal_process};

/// Sends whose order of system calls is looked at.
const SENDS: usize = 12;

/// A program of ours under strace, ended by its own process id.
struct Traced {
    program: Program,
    id: u32,
}

impl Traced {
    async fn start(hub: &Hub, options: &[&str]) -> Self {
        let strace = which("strace");
        let inner = command(&hubbub(), hub.folder(), &[]);
        let mut outer = Command::new(strace);
        outer.args(["-f", "-s", "4096", "-o"]).arg(hub.folder().join("trace")).args(options);
        outer.arg("--").arg(inner.get_program()).args(inner.get_args());
        let program = Program::start(outer, hub.folder().join("traced-log"));
        let children = format!("/proc/{0}/task/{0}/children", program.id());
        let id = eventually("the traced program", || async {
            std::fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok()
        });
        Self { id: id.await, program }
    }

    async fn stop(mut self) {
        signal_process(self.id, "TERM");
        self.program.ended().await;
    }
}

/// The path of a program that this case cannot do without.
fn which(name: &str) -> PathBuf {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install {name}"))
}

#[tokio::test]
async fn no_acknowledgement_leaves_before_the_sync_of_its_commit() {
    let mut hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    hub.program.kill();
    let calls = "trace=fsync,fdatasync,sendto,write,writev,sendmsg,recvfrom,read,readv,recvmsg";
    let traced = Traced::start(&hub, &["-yy", "-e", calls]).await;
    let ada = ada.at(traced.program.url("gateway"));
    for number in 0..SENDS {
        ada.send(&room, &format!("marker-{number}-end")).await.created();
    }
    let mut socket = ada.socket().await;
    for number in SENDS..2 * SENDS {
        assert_eq!(socket.send(&room, &format!("marker-{number}-end")).await["op"], "ack");
    }
    traced.stop().await;
    let trace = std::fs::read_to_string(hub.folder().join("trace")).unwrap();
    for number in 0..2 * SENDS {
        assert_synced_before_answered(&trace, &format!("marker-{number}-end"));
    }
}

/// Between the moment that the marker first came in and the first time that it left as stored (with
/// its number), a sync of the messages' log was begun and ended well.
fn assert_synced_before_answered(trace: &str, marker: &str) {
    let lines: Vec<_> = trace.lines().collect();
    let came = lines.iter().position(|line| line.contains(marker)).expect("the marker came in");
    let left = lines[came..]
        .iter()
        .position(|line| line.contains(marker) && line.contains(r#"\"createdAt\""#) && sends(line));
    let left = came + left.unwrap_or_else(|| panic!("{marker} was never answered"));
    assert!(
        lines[came..left].iter().enumerate().any(|(place, line)| {
            is_sync(line) && ended_well(line, &lines[came + place + 1..left])
        }),
        "{marker} was answered without a sync:\n{}",
        lines[came..=left].join("\n")
    );
}

fn sends(line: &str) -> bool {
    ["sendto(", "write(", "writev(", "sendmsg("].iter().any(|call| line.contains(call))
}

fn is_sync(line: &str) -> bool {
    (line.contains("fdatasync(") || line.contains("fsync("))
        && line.contains("message")
        && line.contains("-wal")
}

/// Whether the call of `line` gave 0, there or where it was resumed by the same thread.
fn ended_well(line: &str, later: &[&str]) -> bool {
    if !line.contains("unfinished") {
        return line.ends_with("= 0");
    }
    let thread = line.split_whitespace().next().unwrap_or_default();
    let resumed = later
        .iter()
        .find(|line| line.split_whitespace().next() == Some(thread) && line.contains("resumed"));
    resumed.is_some_and(|line| line.ends_with("= 0"))
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing() {
    let mut hub = Hub::start();
    let ada = hub.client().register().await;
    let room = ada.room(false).await;
    ada.send(&room, "kept").await.created();
    hub.program.kill();

    let log = write_ahead_log(&hub.data());
    let inject = "inject=fsync,fdatasync:error=EIO";
    let traced = Traced::start(&hub, &["-P", log.to_str().unwrap(), "-e", inject]).await;
    let there = ada.at(traced.program.url("gateway"));
    for _ in 0..3 {
        there.send(&room, "never acknowledged").await.is_problem("unavailable", 503);
    }
    let mut socket = there.socket().await;
    socket.subscribe(&room).await;
    let err = socket.send(&room, "never acknowledged").await;
    assert_eq!((&err["op"], &err["code"]), (&json!("err"), &json!("unavailable")), "{err}");
    assert_eq!(err["retry"], true, "{err}");
    traced.stop().await;

    hub.start_again();
    let ada = ada.at(hub.base());
    ada.send(&room, "acknowledged").await.created();
    let history = ada.history(&room).await;
    assert_eq!(history.first().unwrap()["content"], "kept");
    assert_eq!(history.last().unwrap()["content"], "acknowledged");
}

/// The write-ahead log of the message service's database.
fn write_ahead_log(data: &Path) -> PathBuf {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("message") && name.ends_with("-wal") {
                return std::fs::canonicalize(path).unwrap();
            }
        }
    }
    panic!("no write-ahead log under {}", data.display());
}
