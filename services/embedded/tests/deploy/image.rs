//! Dockerfile and .dockerignore: every program is in the image, and nothing that is none of it.

use std::collections::BTreeSet;

use super::container::Container;
use super::settings::host_and_port;
use super::tree::{text, workspace};

/// An instruction and its arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = text("Dockerfile");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let (word, rest) = line.trim().split_once(' ')?;
        Some((word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    joined.lines().filter_map(split).collect()
}

/// The arguments of every `word` in the last stage.
fn last_stage(word: &str) -> Vec<String> {
    let all = instructions();
    let start = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    let stage = all.into_iter().skip(start).filter(|(found, _)| found == word);
    stage.map(|(_, rest)| rest).collect()
}

/// The JSON list at the end of an instruction.
fn list(instruction: &str) -> Vec<String> {
    serde_json::from_str(&instruction[instruction.find('[').unwrap()..]).unwrap()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(' ').collect()
}

#[test]
fn every_program_is_built_and_copied() {
    let workspace = workspace();
    let run = instructions().into_iter().find(|(word, _)| word == "RUN").unwrap().1;
    let (compile, install) = run.split_once("&&").unwrap();
    assert!(compile.contains("cargo build --locked --release "), "{compile}");
    let built: BTreeSet<_> = compile.trim().split("--package ").skip(1).map(str::trim).collect();
    let packages: BTreeSet<_> = workspace.binaries.values().map(String::as_str).collect();
    assert_eq!(built, packages);
    let copied = last_stage("COPY").into_iter().find(|copy| copy.ends_with(" /usr/local/bin/"));
    let copied = copied.unwrap();
    let copied: BTreeSet<_> =
        words(&copied).iter().filter_map(|word| word.strip_prefix("/out/")).collect();
    let programs: BTreeSet<_> = workspace.binaries.keys().map(String::as_str).collect();
    assert_eq!(copied, programs);
    let installed = install.split("&&").next().unwrap();
    for program in programs {
        let built = format!("target/release/{program}");
        assert!(words(installed).contains(built.as_str()), "{program} is not installed");
    }
}

#[test]
fn it_is_compiled_by_the_version_that_the_workspace_asks_for() {
    let version = workspace().rust_version;
    let first = instructions().into_iter().find(|(word, _)| word == "FROM").unwrap().1;
    assert_eq!(first, format!("rust:{version}-slim-bookworm AS build"));
    // The same C library on both sides.
    assert_eq!(last_stage("FROM"), ["gcr.io/distroless/cc-debian12:nonroot"]);
}

#[test]
fn nobody_in_it_is_root_and_the_folders_are_theirs() {
    assert_eq!(last_stage("USER"), ["65532:65532"]);
    let copies = last_stage("COPY");
    for folder in ["/var/lib/hubbub", "/etc/hubbub/keys"] {
        let copy = copies.iter().find(|copy| copy.ends_with(folder)).unwrap();
        assert!(copy.contains("--chown=65532:65532"), "{copy}");
    }
    let profiles = copies.iter().find(|copy| copy.ends_with(" /etc/hubbub/")).unwrap();
    assert_eq!(profiles, "config/compose.toml config/cluster.toml /etc/hubbub/");
}

#[test]
fn as_it_stands_it_runs_everything_and_is_asked_where_it_listens() {
    let command = last_stage("CMD");
    let container = Container {
        name: "the image".to_owned(),
        image: super::tree::IMAGE.to_owned(),
        command: list(&command[0]),
        env: [].into(),
        files: [].into(),
        folders: [].into(),
        ports: [].into(),
        said: serde_json::Value::Null,
    };
    let settings = container.settings();
    assert_eq!(settings.program, "hubbub");
    let exposed: u16 = last_stage("EXPOSE")[0].parse().unwrap();
    assert_eq!(settings.open_listener(exposed), Some("gateway"));
    let check = list(&last_stage("HEALTHCHECK")[0]);
    let [program, verb, url] = check.as_slice() else { panic!("{check:?}") };
    assert_eq!((&**program, &**verb), ("/usr/local/bin/hubbub", "health"));
    assert_eq!(host_and_port(url), ("127.0.0.1", exposed));
    assert!(url.ends_with("/health/ready"));
}

#[test]
fn the_build_sees_its_sources_and_no_secret() {
    let text = text(".dockerignore");
    let rules: Vec<_> =
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(rules[0], "*", "what is not named stays out");
    let allowed: BTreeSet<_> = rules.iter().filter_map(|rule| rule.strip_prefix('!')).collect();
    assert_eq!(allowed, ["Cargo.lock", "Cargo.toml", "config", "gateway", "services"].into());
    for folder in workspace().folders {
        let first = folder.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        assert!(allowed.contains(first.as_str()), "{} does not get in", folder.display());
    }
}
