//! Every file fits the schema of whoever reads it, as that reader's own validators say.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::kustomize::render;
use super::tree::root;

/// What the validators look at.
const FILES: [&str; 15] = [
    ".ci/deploy-checks",
    ".ci/run",
    ".ci/test",
    ".github/workflows/ci.yml",
    "Dockerfile",
    "docker-compose.yml",
    "k8s/base/chat.yaml",
    "k8s/base/every-pod.yaml",
    "k8s/base/gateway.yaml",
    "k8s/base/kustomization.yaml",
    "k8s/base/message.yaml",
    "k8s/base/namespace.yaml",
    "k8s/base/nats.yaml",
    "k8s/base/user.yaml",
    "services/user/openapi.json",
];

fn check(root: &Path, manifests: &[&Path]) -> (bool, String) {
    let output = Command::new(root.join(".ci/deploy-checks")).args(manifests).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[test]
fn every_file_fits_its_schema_and_so_does_what_kustomize_makes_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let rendered = folder.path().join("rendered.yaml");
    let objects: Vec<_> = render().iter().map(|object| format!("---\n{object}\n")).collect();
    fs::write(&rendered, objects.concat()).unwrap();
    let (fits, said) = check(&root(), &[&rendered]);
    assert!(fits, "{said}");
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let faults = [
        ("Dockerfile", "FROM rust:1.95-slim-bookworm", "FROM rust", "DL3006"),
        ("docker-compose.yml", "interval: 5s", "intervl: 5s", "intervl"),
        (".github/workflows/ci.yml", "timeout-minutes: 60", "timeout-mins: 60", "timeout-mins"),
        (".github/workflows/ci.yml", "github.ref }}", "github.rfe }}", "\"rfe\" is not defined"),
        ("k8s/base/user.yaml", "containerPort: 3001", "containerPort: http", "user.yaml"),
        ("k8s/base/chat.yaml", "readinessProbe:", "readynessProbe:", "chat.yaml"),
        ("k8s/base/nats.yaml", "replicas: 1", "replicas: 1\n  replicas: 2", "duplication"),
        (
            "services/user/openapi.json",
            "\"operationId\": \"logIn\"",
            "\"operationId\": \"logOut\"",
            "logOut",
        ),
        (".ci/run", "cd \"$(dirname \"$0\")/..\"", "cd $(dirname $0)/..", "SC2046"),
    ];
    let copy = tempfile::tempdir().unwrap();
    for file in FILES {
        let target = copy.path().join(file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(root().join(file), target).unwrap();
    }
    for (file, right, wrong, _) in faults {
        let path = copy.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(right), "{file} has no {right}");
        fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
    }
    let (fits, said) = check(copy.path(), &[]);
    assert!(!fits);
    for (file, _, wrong, complaint) in faults {
        assert!(said.contains(complaint), "{file} with {wrong} was let in:\n{said}");
    }
}
