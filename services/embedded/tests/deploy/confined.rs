//! A program in the position of a container: another user, and keys that it may only read.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::probes::Running;
use super::tree::binary;

/// Who runs in the image.
const USER: u32 = 65532;

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn every_part_starts_with_keys_that_it_may_only_read() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (keys, data) = (place("keys"), place("data"));
    let made = Command::new(binary("hubbub")).args(["keys", "init"]).arg(&keys).status();
    assert!(made.unwrap().success());
    fs::create_dir(&data).unwrap();

    // Root may write everywhere, so it gives way to the image's user; anybody else is no root anyway.
    let mut command = Command::new(binary("hubbub"));
    let group = if fs::metadata(&data).unwrap().uid() == 0 {
        let program = place("hubbub");
        fs::copy(binary("hubbub"), &program).unwrap();
        allow(folder.path(), 0o755);
        chown(&data, Some(USER), Some(USER)).unwrap();
        command = Command::new(program);
        command.uid(USER).gid(USER);
        Some(USER)
    } else {
        None
    };
    for key in fs::read_dir(&keys).unwrap() {
        let key = key.unwrap().path();
        chown(&key, None, group).unwrap();
        allow(&key, 0o440);
    }
    chown(&keys, None, group).unwrap();
    allow(&keys, 0o550);

    command.arg("--set").arg(format!("identity.keys_dir={}", keys.display()));
    let running = Running::start(command, &data);
    for part in ["gateway", "user", "chat", "message"] {
        assert!(running.urls.contains_key(part), "{part} does not run: {:?}", running.urls);
    }
    // So that whoever made the folder can remove it.
    allow(&keys, 0o750);
}
