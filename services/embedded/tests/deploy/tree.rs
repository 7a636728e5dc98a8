//! The repository as the cases look at it: its files, and what cargo says of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize as _;
use serde_json::Value;

/// The name of our own image, without a tag.
pub(crate) const IMAGE: &str = "hubbub";
/// Binaries that are no part of the product: instruments.
const INSTRUMENTS: [&str; 1] = ["bench"];

pub(crate) fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The only document of a YAML file.
pub(crate) fn yaml(path: &str) -> Value {
    let mut documents = documents(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

/// Every document of a YAML file, merge keys (`<<`) resolved.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    let read = |document| {
        let mut value = yaml_serde::Value::deserialize(document)
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        // A merged mapping may have a merge key of its own, which the next turn resolves.
        loop {
            let before = value.clone();
            value.apply_merge().unwrap();
            if value == before {
                return serde_json::to_value(value).unwrap();
            }
        }
    };
    yaml_serde::Deserializer::from_str(&text(path)).map(read).collect()
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap_or_else(|| panic!("{item}")).to_owned()).collect()
}

/// The entries of a mapping; none where there is no mapping.
pub(crate) fn entries(mapping: &Value) -> impl Iterator<Item = (&String, &Value)> {
    mapping.as_object().into_iter().flatten()
}

/// What cargo says of the workspace.
pub(crate) struct Workspace {
    /// Every binary of the product, with its package.
    pub(crate) binaries: BTreeMap<String, String>,
    pub(crate) rust_version: String,
    pub(crate) version: String,
    /// Folders of all packages, seen from the root.
    pub(crate) folders: Vec<PathBuf>,
}

pub(crate) fn workspace() -> Workspace {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let output = command.current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let binaries = packages.iter().flat_map(binaries_of);
    let folder = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        manifest.parent().unwrap().strip_prefix(root()).unwrap().to_owned()
    };
    let product = packages.iter().find(|package| package["name"] == "embedded").unwrap();
    Workspace {
        binaries: binaries.collect(),
        rust_version: product["rust_version"].as_str().unwrap().to_owned(),
        version: product["version"].as_str().unwrap().to_owned(),
        folders: packages.iter().map(folder).collect(),
    }
}

fn binaries_of(package: &Value) -> Vec<(String, String)> {
    let name = package["name"].as_str().unwrap();
    if INSTRUMENTS.contains(&name) {
        return Vec::new();
    }
    let targets = package["targets"].as_array().unwrap().iter();
    let targets = targets.filter(|target| strings(&target["kind"]) == ["bin"]);
    targets.map(|target| (target["name"].as_str().unwrap().to_owned(), name.to_owned())).collect()
}

/// A built binary of the workspace.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_hubbub")).with_file_name(name);
    assert!(path.exists(), "{} is missing: cargo build --workspace --bins", path.display());
    path
}
