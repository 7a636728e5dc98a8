//! k8s/base as kustomize renders it: as much of kustomize as the base uses. Anything else in
//! kustomization.yaml is refused, so that nothing is held here that would come out otherwise there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::tree::{documents, yaml};

/// Where the base is.
const BASE: &str = "k8s/base";

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kustomization {
    api_version: String,
    kind: String,
    namespace: String,
    resources: Vec<String>,
    patches: Vec<Patch>,
    labels: Vec<Labels>,
    images: Vec<Image>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    path: String,
    target: Target,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    pairs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Image {
    name: String,
    new_tag: String,
}

/// One step of a JSON patch (RFC 6902 section 4.1).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    op: String,
    path: String,
    value: Value,
}

/// Every object of the base.
pub(crate) fn render() -> Vec<Value> {
    let read = serde_json::from_value(yaml(&format!("{BASE}/kustomization.yaml")));
    let all: Kustomization = read.unwrap();
    let head = (all.api_version.as_str(), all.kind.as_str());
    assert_eq!(head, ("kustomize.config.k8s.io/v1beta1", "Kustomization"));
    let files = all.resources.iter();
    let mut objects: Vec<_> = files.flat_map(|name| documents(&format!("{BASE}/{name}"))).collect();
    for object in &mut objects {
        all.patches.iter().for_each(|patch| patch.apply(object));
        for image in &all.images {
            image.apply(object);
        }
        for (name, value) in all.labels.iter().flat_map(|labels| &labels.pairs) {
            object["metadata"]["labels"][name] = value.as_str().into();
        }
        if object["kind"] != "Namespace" {
            object["metadata"]["namespace"] = all.namespace.as_str().into();
        }
    }
    objects
}

impl Patch {
    fn apply(&self, object: &mut Value) {
        if object["kind"] != self.target.kind.as_str() {
            return;
        }
        let steps: Vec<Step> =
            serde_json::from_value(yaml(&format!("{BASE}/{}", self.path))).unwrap();
        for Step { op, path, value } in steps {
            assert_eq!(op, "add", "{path}");
            let (parent, key) = path.rsplit_once('/').unwrap();
            let place = object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
            // A second value would quietly take the place of the first.
            let before = place.as_object_mut().unwrap().insert(key.to_owned(), value);
            assert!(before.is_none(), "{path} is there already");
        }
    }
}

impl Image {
    fn apply(&self, object: &mut Value) {
        let containers = object.pointer_mut("/spec/template/spec/containers");
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            if container["image"] == self.name.as_str() {
                container["image"] = format!("{}:{}", self.name, self.new_tag).into();
            }
        }
    }
}
