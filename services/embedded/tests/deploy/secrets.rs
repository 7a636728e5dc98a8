//! The secrets, made by the very lines that the documents tell people to run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::tree::{binary, root, text};

/// Stands for `kubectl`: keeps each secret as a folder `cluster/<name>`.
const KUBECTL: &str = r#"#!/bin/sh
set -eu
if [ "$1" = apply ]; then test -e "$ROOT/$3"; exit; fi
test "$1 $2 $3 $4 $5" = "create secret generic --namespace hubbub"
folder=cluster/$6
mkdir -p "$folder"
shift 6
for argument; do cp "${argument#--from-file=}" "$folder/"; done
"#;
/// Stands for `cargo run … -- ARGUMENTS`.
const CARGO: &str =
    "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$HUBBUB\" \"$@\"\n";

/// A folder in which the lines were run.
pub(crate) struct Made(TempDir);

/// By the head of docker-compose.yml.
pub(crate) fn for_compose() -> Made {
    let text = text("docker-compose.yml");
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    run(&lines.join("\n"))
}

/// By k8s/README.md.
pub(crate) fn for_cluster() -> Made {
    let text = text("k8s/README.md");
    let after = text.split_once("<!-- A test runs these lines. -->\n```sh\n").unwrap().1;
    run(after.split_once("```").unwrap().0)
}

fn run(lines: &str) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    for (name, text) in [("kubectl", KUBECTL), ("cargo", CARGO)] {
        let path = programs.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", lines]).current_dir(folder.path());
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    command.env("ROOT", root()).env("HUBBUB", binary("hubbub"));
    let output = command.output().unwrap();
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the lines that make the secrets failed:\n{fault}");
    Made(folder)
}

impl Made {
    /// A file that the lines made.
    pub(crate) fn file(&self, path: impl AsRef<Path>) -> PathBuf {
        let file = self.0.path().join(path.as_ref());
        assert!(file.is_file(), "nothing makes {}", path.as_ref().display());
        file
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).unwrap()
    }

    /// The keys of a secret in the cluster.
    pub(crate) fn keys(&self, secret: &str) -> BTreeSet<String> {
        let folder = self.0.path().join("cluster").join(secret);
        let files = fs::read_dir(folder).unwrap_or_else(|_| panic!("nothing makes {secret}"));
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}
