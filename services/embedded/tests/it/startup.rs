//! Starting and stopping: clear words and the right exit code.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::json;

use super::support::eventually;
use super::support::hub::{Hub, STOP_WINDOW, command, hubbub};

fn run(mut command: Command) -> (Output, String) {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, told)
}

#[test]
fn every_fault_of_the_configuration_is_told_before_anything_opens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "[gateway]\nlisten = 'somewhere'\n[chat]\ntypo = 1\n").unwrap();
    let mut command = Command::new(hubbub());
    command.arg("--data").arg(folder.path().join("data"));
    command.arg("--config").arg(&file).args(["--set", "process.grace=soon"]);
    command.env("HUBBUB__MESSAGE__LISTEN", "nowhere");
    let (output, told) = run(command);
    assert_eq!(output.status.code(), Some(64), "{told}");
    for fault in [
        "gateway.listen = \"somewhere\" (from ",
        "chat.typo = 1 (from ",
        "process.grace = \"soon\" (from the command line)",
        "message.listen = \"nowhere\" (from the variable HUBBUB__MESSAGE__LISTEN)",
    ] {
        assert!(told.contains(fault), "{fault} is not in\n{told}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn an_unknown_option_is_exit_64_and_help_is_not() {
    let (output, _) = run({
        let mut command = Command::new(hubbub());
        command.arg("--frobnicate");
        command
    });
    assert_eq!(output.status.code(), Some(64));
    let mut command = Command::new(hubbub());
    command.arg("--help");
    assert_eq!(run(command).0.status.code(), Some(0));
}

#[test]
fn a_taken_port_is_exit_1_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["gateway.listen", "chat.listen", "user.grpc_listen"] {
        let settings = [format!("{key}={address}")];
        let (output, told) = run(command(&hubbub(), folder.path(), &settings));
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(&address) && told.contains("taken"), "{told}");
    }
}

#[test]
fn an_unusable_folder_is_exit_1_and_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), "a file").unwrap();
    let (output, told) = run(command(&hubbub(), folder.path(), &[]));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("/data"), "{told}");
}

#[test]
fn the_configuration_in_force_is_printed_with_secrets_masked() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&hubbub(), folder.path(), &["telemetry.level=debug".to_owned()]);
    command.arg("--print-config").env("PORT", "9123");
    let (output, told) = run(command);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(printed.contains("level = \"debug\""), "{printed}");
    assert!(printed.contains("setup_code = \"***\""), "{printed}");
}

#[test]
fn a_secret_of_tokens_that_can_be_guessed_is_exit_64_and_is_not_told() {
    const WEAK: &str = "an-example-that-is-over-32-bytes-long";
    let folder = tempfile::tempdir().unwrap();
    let mut strict =
        command(&hubbub(), folder.path(), &["identity.weak_secret_allowed=false".to_owned()]);
    strict.env("JWT_SECRET", WEAK);
    let mut printed = command(&hubbub(), folder.path(), &[]);
    printed.env("JWT_SECRET", WEAK).arg("--print-config");
    for (command, code) in [(strict, 64), (printed, 0)] {
        let (output, told) = run(command);
        assert_eq!(output.status.code(), Some(code), "{told}");
        let all = String::from_utf8_lossy(&output.stdout).into_owned() + &told;
        assert!(all.contains("jwt_secret") && !all.contains(WEAK), "{all}");
    }
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn one_machine_takes_a_weak_secret_with_a_warning_and_every_part_believes_it() {
    const WEAK: &str = "changeme-changeme";
    let mut hub = Hub::start_with(&[&format!("identity.jwt_secret={WEAK}")]);
    let ada = hub.client().register().await;
    let rooms = ada.api.get("/api/chat/rooms").await;
    assert_eq!(rooms.status, 200, "the gateway and chat have the secret, too");
    hub.program.signal("TERM");
    hub.program.ended().await;
    let log = hub.program.log_text();
    assert!(log.contains("it is a well-known example") && !log.contains(WEAK), "{log}");
}

#[test]
fn a_rotated_key_is_made_where_the_service_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let rotate = |more: &[&str]| {
        let mut command = Command::new(hubbub());
        command.arg("rotate-keys").args(more);
        run(command)
    };
    let count = |path: &std::path::Path| std::fs::read_dir(path).unwrap().count();
    let (data, keys) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let (output, told) = rotate(&["--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{told}");
    assert_eq!(count(&data.join("keys")), 2, "a key and the lock");
    let elsewhere = format!("identity.keys_dir={}", keys.display());
    let (output, told) = rotate(&["--set", &elsewhere, "--set", "user.tokens.algorithm=RS256"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("The RS256 key ") && !said.contains("PRIVATE"), "{said}{told}");
    assert_eq!(count(&keys), 2);
    assert_eq!(rotate(&["--set", "user.tokens.algorithm=none"]).0.status.code(), Some(64));
}

#[tokio::test]
async fn what_is_kept_is_private_to_its_owner() {
    let hub = Hub::start();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(hub.data()), 0o700);
    let keys = hub.data().join("keys");
    let mut private = 0;
    for entry in std::fs::read_dir(&keys).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            assert_eq!(mode(path), 0o600);
            private += 1;
        }
    }
    assert!(private >= 2, "the keys of the chat service and of the tokens");
}

#[tokio::test]
async fn a_signal_drains_sockets_and_requests_within_the_window() {
    for signal in ["INT", "TERM"] {
        let mut hub = Hub::start();
        let ada = hub.client().register().await;
        let room = ada.room(false).await;
        let mut socket = ada.socket().await;
        socket.subscribe(&room).await;
        let began = tokio::time::Instant::now();
        hub.program.signal(signal);
        let bye = socket.want_op("bye").await;
        assert!(bye["reconnectAfterMs"].is_u64(), "{bye}");
        assert_eq!(socket.closed().await, 4503);
        let status = hub.program.ended().await;
        assert!(status.success(), "{status}:\n{}", hub.program.log_text());
        assert!(began.elapsed() < STOP_WINDOW);
    }
}

#[tokio::test]
async fn accounts_keys_and_the_used_code_outlive_a_restart() {
    let mut hub = Hub::start();
    let ada = hub.client().register().await;
    let keys = hub.client().get("/.well-known/jwks.json").await.ok();
    hub.program.signal("TERM");
    hub.program.ended().await;
    hub.start_again();
    assert_eq!(hub.client().get("/.well-known/jwks.json").await.ok(), keys);
    let profile = ada.at(hub.base()).api.get("/api/users/profile").await.ok();
    assert_eq!(profile["user"]["id"], ada.id.as_str());
    let login = json!({"username": ada.name, "password": "password123"});
    hub.client().post("/api/auth/login", &login).await.ok();
}

#[tokio::test]
async fn nothing_secret_reaches_the_log() {
    let mut hub = Hub::start_with(&["telemetry.level=debug", "gateway.access_log.to=stderr"]);
    let ada = hub.client().register().await;
    let path = format!("/api/chat/ws?token={}", ada.token());
    let mut socket = super::support::socket::Socket::open(hub.base(), &path, None).await;
    socket.want_op("hello").await;
    ada.api.get("/api/users/profile").await.ok();
    drop(socket);
    hub.program.signal("TERM");
    hub.program.ended().await;
    let log = eventually("the access log", || async {
        let log = hub.program.log_text();
        log.contains("/api/users/profile").then_some(log)
    });
    let log = log.await;
    for secret in
        [ada.token(), ada.refresh.as_str(), "password123", super::support::hub::SETUP_CODE]
    {
        assert!(!log.contains(secret), "a secret is in the log:\n{log}");
    }
}

#[tokio::test]
async fn data_that_another_process_uses_is_exit_1_and_named() {
    let mut hub = Hub::start();
    let (output, told) = run(command(&hubbub(), hub.folder(), &[]));
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("another process uses this data"), "{told}");
    // Nothing was taken from the first one, and after it the data is free and whole.
    hub.client().register().await;
    hub.program.signal("TERM");
    hub.program.ended().await;
    for log in ["user.db-wal", "message.db-wal"] {
        assert!(!hub.data().join(log).exists(), "{log} is left behind");
    }
    hub.start_again();
}

#[test]
fn keys_are_made_once_for_their_owner_alone_and_printed_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("a/keys");
    let init = || {
        let mut command = Command::new(hubbub());
        run({
            command.args(["keys", "init"]).arg(&keys);
            command
        })
    };
    let (output, told) = init();
    assert!(output.status.success(), "{told}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &told;
    assert!(printed.contains("a/keys") && !printed.contains("PRIVATE"), "{printed}");
    let mut found: Vec<_> = std::fs::read_dir(&keys).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    let texts: Vec<_> = found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for (path, text) in found.iter().zip(&texts).filter(|(_, text)| text.contains("PRIVATE")) {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{} {}", path.display(), text.len());
    }
    let private = texts.iter().filter(|text| text.contains("PRIVATE")).count();
    let public = texts.iter().filter(|text| text.contains("PUBLIC")).count();
    assert_eq!((private, public), (5, 4), "gateway, three services, a key of access tokens");
    assert!(init().0.status.success());
    let again: Vec<_> = found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(again, texts);
}
