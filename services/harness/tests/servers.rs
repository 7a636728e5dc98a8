//! The servers that other tests stand on: they start, keep what they should, and end with whoever
//! started them.

#![expect(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use harness::postgres::{Database, Disk, Server};
use harness::{Engine, nats, on_both_engines};

/// Looks at whether a server has ended, and the pause between two: ten seconds.
const LOOKS_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(10);

fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap()
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn wait_until_silent(port: u16) {
    let mut looks = LOOKS_MAX;
    while listens(port) {
        assert!(looks > 0, "{port} still listens");
        looks -= 1;
        std::thread::sleep(PAUSE);
    }
}

fn ask(url: &str, sql: &str) -> String {
    let done = Command::new("psql").args(["-XAtc", sql, url]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

on_both_engines!(a_case_has_a_database_of_its_own);

async fn a_case_has_a_database_of_its_own(engine: Engine) {
    let (Some(one), Some(two)) = (engine.fresh(), engine.fresh()) else { return };
    ask(&one.url(), "CREATE TABLE mine (id INT)");
    assert_eq!(ask(&two.url(), "SELECT count(*) FROM pg_class WHERE relname = 'mine'"), "0");
    let (name, other) = (one.url().rsplit('/').next().unwrap().to_owned(), two.url());
    drop(one);
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(ask(&other, &left), "0");
}

#[test]
fn cases_of_a_run_share_a_server() {
    let (one, two) = (Database::fresh().unwrap(), Database::fresh().unwrap());
    assert_eq!(port(&one.url()), port(&two.url()));
}

#[test]
fn a_server_that_crashed_comes_back_with_what_was_committed() {
    let mut server = Server::start(Disk::Synced).unwrap();
    let url = server.url("postgres");
    assert_eq!(ask(&url, "SHOW fsync"), "on");
    ask(&url, "CREATE TABLE kept (id INT)");
    server.crash();
    assert!(!listens(port(&url)));
    server.start_again().unwrap();
    assert_eq!(ask(&url, "SELECT count(*) FROM kept"), "0");
    drop(server);
    wait_until_silent(port(&url));
}

#[test]
fn nats_stops_starts_again_and_ends() {
    let mut server = nats::Server::start().unwrap();
    let port = port(&server.url());
    server.crash();
    assert!(!listens(port));
    server.start_again().unwrap();
    server.signal("USR2").unwrap();
    drop(server);
    wait_until_silent(port);
}

/// The process of the case below: starts servers, says where, and dies of a panic.
#[test]
#[ignore = "dies on purpose; the case below starts it"]
fn a_process_that_panics() {
    let (postgres, nats) = (Server::start(Disk::Hurried).unwrap(), nats::Server::start().unwrap());
    std::fs::write(
        std::env::temp_dir().join(format!("hubbub-ports-{}", std::os::unix::process::parent_id())),
        format!("{} {}", port(&postgres.url("postgres")), port(&nats.url())),
    )
    .unwrap();
    // Nothing is dropped: as if it were killed.
    std::process::abort();
}

#[test]
fn servers_end_with_a_process_that_did_not_stop_them() {
    let told = std::env::temp_dir().join(format!("hubbub-ports-{}", std::process::id()));
    let mut own = Command::new(std::env::current_exe().unwrap());
    own.args(["--exact", "a_process_that_panics", "--ignored"]);
    assert!(!own.output().unwrap().status.success());
    let ports = std::fs::read_to_string(&told).unwrap();
    std::fs::remove_file(&told).unwrap();
    ports.split(' ').for_each(|port| wait_until_silent(port.parse().unwrap()));
}
