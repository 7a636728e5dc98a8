//! Words and code still agree: the arrows between the crates, the size of files and functions, the
//! paths that documents name, a comment at every key.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest hand-written file, in lines, its unit tests not counted.
const FILE_LINES_MAX: usize = 450;
/// Folders that hold nothing written by hand.
const SKIPPED: [&str; 4] = ["target", ".git", "data", "node_modules"];

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// Every file under the root with one of these endings.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Crates of the workspace and those among them that each depends on; tests may use the servers of
/// the harness, whatever they test.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let output = command.current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<_> = packages.iter().map(name_of).collect();
    let ours = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter();
        let is_server = |used: &Value| used["name"] == "harness" && used["kind"] == "dev";
        let built = all.filter(|used| !is_server(used)).map(name_of);
        built.filter(|name| names.contains(name)).collect()
    };
    packages.iter().map(|package| (name_of(package), ours(package))).collect()
}

fn name_of(thing: &Value) -> String {
    thing["name"].as_str().unwrap().to_owned()
}

#[test]
fn dependencies_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("contract", &[][..]),
        ("chassis", &["contract"]),
        ("gateway", &["contract", "chassis"]),
        ("auth-proto", &[]),
        ("user", &["contract", "chassis", "auth-proto"]),
        ("chat", &["contract", "chassis"]),
        ("message", &["contract", "chassis"]),
        ("embedded", &["contract", "chassis", "gateway", "user", "chat", "message", "auth-proto"]),
        ("harness", &[]),
        (
            "bench",
            &["contract", "chassis", "gateway", "user", "chat", "message", "embedded", "harness"],
        ),
    ]);
    for (name, uses) in arrows() {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("who may {name} use?"));
        for used in uses {
            assert!(allowed.contains(&used.as_str()), "{name} may not depend on {used}");
        }
    }
}

#[test]
fn files_stay_readable() {
    for path in files(&[".rs"]) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
        let opens = text.starts_with("//!");
        assert!(opens, "{} does not say why it exists", path.display());
    }
}

#[test]
fn documents_name_only_what_is_there() {
    let root = root();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|word| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        let kind = Path::new(word).extension().and_then(|kind| kind.to_str());
        word.bytes().all(plain) && matches!(kind, Some("rs" | "toml"))
    });
    let mut seen = 0;
    for path in named {
        assert!(root.join(path).exists(), "ARCHITECTURE.md names {path}, which is not there");
        seen += 1;
    }
    assert!(seen > 10, "ARCHITECTURE.md names hardly any file");
}

#[test]
fn every_key_has_a_comment() {
    let text = fs::read_to_string(root().join("config/default.toml")).unwrap();
    let mut before = "";
    let mut in_routes = false;
    for line in text.lines() {
        if line.starts_with('[') {
            // Routes and upstreams repeat the same few keys, explained where the first one stands.
            in_routes = line.starts_with("[gateway.routes")
                || line.starts_with("[gateway.upstreams")
                || line.starts_with("[gateway.quota.rules")
                || line.starts_with("[identity.grants");
        } else if line.contains(" = ") && !line.starts_with('#') && !in_routes {
            assert!(before.starts_with('#'), "no comment above: {line}");
        }
        before = line;
    }
}

#[test]
fn crates_follow_the_workspace_lints() {
    for path in files(&["Cargo.toml"]) {
        let text = fs::read_to_string(&path).unwrap();
        let follows = text.contains("[workspace]") || text.contains("[lints]\nworkspace = true");
        assert!(follows, "{} has lints of its own", path.display());
    }
}
