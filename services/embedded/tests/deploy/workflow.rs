//! .github/workflows/ci.yml: what a change has to hold is what the README tells people to run.

use serde_json::Value;

use super::tree::{text, workspace, yaml};

fn steps(job: &str) -> Vec<Value> {
    let workflow = yaml(".github/workflows/ci.yml");
    workflow["jobs"][job]["steps"].as_array().unwrap().clone()
}

fn commands(job: &str) -> Vec<String> {
    let runs = steps(job).into_iter().filter_map(|step| step["run"].as_str().map(str::to_owned));
    runs.flat_map(|run| run.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn it_runs_the_test_command_of_the_readme() {
    let readme = text("README.md");
    let section = readme.split_once("## Test it\n").unwrap().1;
    let command = section.split_once("```sh\n").unwrap().1.lines().next().unwrap();
    assert!(commands("test").iter().any(|run| run == command), "nothing runs {command}");
}

#[test]
fn it_lints_as_the_checks_for_a_change_do() {
    let here = text(".ci/run");
    let lints: Vec<_> = here.lines().filter(|line| line.starts_with("cargo ")).collect();
    assert!(lints.len() >= 3);
    let there = commands("test");
    for lint in lints {
        assert!(there.iter().any(|run| run == lint), "nothing runs {lint}");
    }
    let workflow = yaml(".github/workflows/ci.yml");
    for name in ["RUSTFLAGS", "RUSTDOCFLAGS"] {
        assert_eq!(workflow["jobs"]["test"]["env"][name], "-D warnings");
    }
}

#[test]
fn it_uses_the_version_that_the_workspace_asks_for() {
    let workflow = yaml(".github/workflows/ci.yml");
    let image = format!("rust:{}-bookworm", workspace().rust_version);
    assert_eq!(workflow["jobs"]["test"]["container"], image);
}

#[test]
fn foreign_actions_are_pinned_and_may_only_read() {
    let workflow = yaml(".github/workflows/ci.yml");
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
    for job in ["test", "image"] {
        for action in steps(job).iter().filter_map(|step| step["uses"].as_str()) {
            let commit = action.split_once('@').unwrap().1;
            let hex = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(hex, "{action} may change under us");
        }
    }
}

#[test]
fn where_there_is_docker_the_whole_is_built_and_asked() {
    let commands = commands("image").join("\n");
    for part in ["docker compose up --build --wait", "http://127.0.0.1:8000/health"] {
        assert!(commands.contains(part), "nothing runs {part}");
    }
}
