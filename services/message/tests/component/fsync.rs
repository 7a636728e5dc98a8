//! No acknowledgement leaves before the disk has it: with a disk that refuses to sync, nobody is
//! told that anything was stored.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::Engine;

use crate::service::World;

/// Makes every sync of a write-ahead log fail while the file named by `SYNC_BROKEN` is there, and
/// counts those that went well by appending to the file named by `SYNC_COUNT`.
const SABOTAGE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int judged(const char *call, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    const char *broken = getenv("SYNC_BROKEN");
    if (length > 4 && broken && memcmp(path + length - 4, "-wal", 4) == 0) {
        if (access(broken, F_OK) == 0) { errno = EIO; return -1; }
        int count = open(getenv("SYNC_COUNT"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (count >= 0) { if (write(count, "x", 1)) {} close(count); }
    }
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, call);
    return next(fd);
}
int fsync(int fd) { return judged("fsync", fd); }
int fdatasync(int fd) { return judged("fdatasync", fd); }
"#;

/// The service as a process of its own, on a disk that can be broken.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The C compiler is there: SQLite and the cryptography are built with it.
fn sabotage(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("sabotage.c"), folder.join("sabotage.so"));
    fs::write(&source, SABOTAGE).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(built.success());
    library
}

fn start(world: &World, library: &Path) -> Process {
    let mut child = Command::new(env!("CARGO_BIN_EXE_message"))
        .arg("--data")
        .arg(world.data())
        .args(["--listen", "127.0.0.1:0", "--set", "message.bell=bus"])
        .args(["--set", &format!("identity.jwks_url={}", world.jwks_url)])
        .args(["--set", "identity.revocations_url="])
        .env("LD_PRELOAD", library)
        .env("SYNC_BROKEN", world.data().join("broken"))
        .env("SYNC_COUNT", world.data().join("count"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("http://").and_then(|(_, rest)| rest.trim().parse().ok()));
    Process { address: address.expect("the service did not start"), child }
}

#[tokio::test]
async fn nobody_is_acknowledged_while_the_disk_does_not_sync() {
    let world = World::on(Engine::Sqlite);
    let library = sabotage(world.data());
    let process = start(&world, &library);
    let ada = world.user_at(process.address, "ada");
    let synced = || fs::read(world.data().join("count")).map_or(0, |count| count.len());
    ada.create("tea").await.is(201);
    for number in 0..10 {
        let before = synced();
        ada.say("tea", &number.to_string()).await.is(201);
        assert!(synced() > before, "an acknowledgement came before its sync");
    }

    fs::write(world.data().join("broken"), "").unwrap();
    for _ in 0..5 {
        let answer = ada.say("tea", "lost").await;
        answer.is_problem("unavailable", 503);
        assert_eq!(answer.headers["retry-after"], "1");
    }
    fs::remove_file(world.data().join("broken")).unwrap();
    let before = synced();
    let sent = ada.say("tea", "kept").await.is(201);
    assert!(synced() > before, "the connection that came after the failure does not sync");
    assert_eq!((&sent["seq"], &sent["n"]), (&12.into(), &11.into()));
    assert_eq!(ada.get("/api/messages/room/tea").await.seqs(), (2..=12).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let world = World::on(Engine::Sqlite);
    let library = sabotage(world.data());
    let process = start(&world, &library);
    let ada = world.user_at(process.address, "ada");
    ada.create("tea").await.is(201);
    let mut sent = Vec::new();
    for number in 0..20 {
        sent.push(ada.say("tea", &number.to_string()).await.is(201));
    }
    drop(process);

    let process = start(&world, &library);
    let ada = world.user_at(process.address, "ada");
    assert_eq!(ada.get("/api/messages/room/tea").await.is(200), serde_json::Value::Array(sent));
}
