//! One container, whoever describes it, and what holds for each of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use chassis::config::DEFAULT;
use serde_json::Value;

use super::settings::{Settings, host_and_port, lookup};
use super::tree::{IMAGE, binary, root, workspace};

/// Where an image has its programs.
const PROGRAMS: &str = "/usr/local/bin/";
/// Where ours has its profiles.
const PROFILES: &str = "/etc/hubbub/";
/// Where every container has its secrets.
const SECRETS: &str = "/run/secrets/";
/// Before every variable that sets a key.
const PREFIX: &str = "HUBBUB__";

#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Files that are put into it: the path inside, the file outside.
    pub(crate) files: BTreeMap<String, PathBuf>,
    /// Folders that are put into it.
    pub(crate) folders: BTreeSet<String>,
    /// The ports that it is said to listen on.
    pub(crate) ports: BTreeSet<u16>,
    /// Everything that is said of it.
    pub(crate) said: Value,
}

impl Container {
    pub(crate) fn is_ours(&self) -> bool {
        self.image.split(':').next() == Some(IMAGE)
    }

    /// Whether it is a part that goes on running, and no command that ends.
    pub(crate) fn is_part(&self) -> bool {
        self.is_ours() && self.command.iter().any(|word| word == "--config")
    }

    /// The program that it runs, one of the workspace's.
    pub(crate) fn program(&self) -> &str {
        let path = self.command.first().unwrap_or_else(|| panic!("{} has no command", self.name));
        let name = path.strip_prefix(PROGRAMS).unwrap_or_else(|| panic!("{path}"));
        assert!(workspace().binaries.contains_key(name), "there is no program {name}");
        name
    }

    /// What its program reads from these arguments and variables; it may find no fault.
    pub(crate) fn settings(&self) -> Settings {
        let program = self.program();
        let mut command = Command::new(binary(program));
        command.args(self.command.iter().skip(1).map(|word| self.outside(word)));
        command.arg("--print-config").env_clear();
        for (name, value) in &self.env {
            assert_is_a_key(name);
            command.env(name, self.outside(value));
        }
        let output = command.output().unwrap();
        let fault = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {fault}", self.name);
        let table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
        Settings { program: program.to_owned(), table }
    }

    /// Every file that it is told of is put into it, and no other; its folder is one that it may
    /// write to.
    pub(crate) fn assert_has_its_files(&self) {
        for word in self.command.iter().chain(self.env.values()) {
            if word.starts_with(SECRETS) {
                assert!(self.files.contains_key(word), "{} has no {word}", self.name);
            }
        }
        for path in self.files.keys() {
            let mut told = self.command.iter().chain(self.env.values());
            assert!(told.any(|word| word == path), "{} has {path} for nothing", self.name);
        }
        for (name, value) in &self.env {
            let is_file = self.files.contains_key(value);
            assert_eq!(name.ends_with("_FILE"), is_file, "{}: {name}", self.name);
        }
        if self.is_part() {
            let data = self.command.iter().skip_while(|word| *word != "--data").nth(1).unwrap();
            assert!(self.folders.contains(data), "{} cannot write to {data}", self.name);
        }
    }

    /// A part that is not told where the database or the bus is would keep to itself what is
    /// everybody's.
    pub(crate) fn assert_shares_its_stores(&self) {
        let wanted: &[&str] = match self.program() {
            "gateway" => &[],
            "user" => &["HUBBUB__DATABASE__URL_FILE", "HUBBUB__USER__SETUP_CODE_FILE"],
            "chat" => &["HUBBUB__BUS__URL_FILE"],
            "message" => &["HUBBUB__BUS__URL_FILE", "HUBBUB__DATABASE__URL_FILE"],
            other => panic!("what does {other} stand on?"),
        };
        let told: Vec<_> = self.env.keys().filter(|name| name.ends_with("_FILE")).collect();
        assert_eq!(told, wanted, "{}", self.name);
    }

    /// A word of its command or its variables as this machine has to say it.
    fn outside(&self, word: &str) -> String {
        let file = match word.strip_prefix(PROFILES) {
            Some(profile) => Some(root().join("config").join(profile)),
            None => self.files.get(word).cloned(),
        };
        file.map_or_else(|| word.to_owned(), |path| path.to_str().unwrap().to_owned())
    }
}

/// The variable `name` sets a key that there is.
fn assert_is_a_key(name: &str) {
    let key = name.strip_prefix(PREFIX).unwrap_or_else(|| panic!("{name} sets no key"));
    let key = key.to_ascii_lowercase().replace("__", ".");
    let found = lookup(&DEFAULT.parse().unwrap(), &key).is_some();
    assert!(found, "{name}: config/default.toml has no {key}");
}

/// Every URL that a part calls leads to a listener that is open to it. `reach` says which container
/// a host and a port lead to, and to which of its ports.
pub(crate) fn assert_calls_arrive<'a>(
    parts: &[&'a Container],
    reach: impl Fn(&str, u16) -> Option<(&'a Container, u16)>,
) {
    for part in parts {
        for url in part.settings().calls() {
            let (host, port) = host_and_port(&url);
            let target = reach(host, port);
            let (callee, port) = target.unwrap_or_else(|| panic!("{url} leads nowhere"));
            let open = callee.settings().open_listener(port).is_some();
            assert!(open, "{} calls {url}, and {} is not there", part.name, callee.name);
        }
    }
}

/// Every key of a profile is one that there is, whichever part reads it.
pub(crate) fn assert_profile_holds(profile: &str) {
    let mut command = Command::new(binary("hubbub"));
    command.arg("--config").arg(root().join("config").join(profile)).arg("--print-config");
    let output = command.env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
