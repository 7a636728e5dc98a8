//! k8s/base as the cases look at it: Services, and the pods that Deployments make.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::container::Container;
use super::kustomize::render;
use super::secrets::{self, Made};
use super::tree::strings;

/// The base with the secrets that k8s/README.md makes.
pub(crate) struct Cluster {
    pub(crate) made: Made,
    pub(crate) services: Vec<Value>,
    pub(crate) pods: Vec<Pod>,
}

/// What a Deployment makes.
pub(crate) struct Pod {
    pub(crate) deployment: Value,
    pub(crate) container: Container,
    /// Names of its container's ports.
    pub(crate) ports: BTreeMap<String, u16>,
}

impl Cluster {
    pub(crate) fn read() -> Self {
        let made = secrets::for_cluster();
        let (mut services, mut pods) = (Vec::new(), Vec::new());
        for object in render() {
            match object["kind"].as_str().unwrap() {
                "Deployment" => pods.push(Pod::read(object, &made)),
                "Service" => services.push(object),
                "Namespace" => assert_eq!(object["metadata"]["name"], "hubbub"),
                other => panic!("what is a {other}?"),
            }
        }
        Self { made, services, pods }
    }

    pub(crate) fn parts(&self) -> Vec<&Container> {
        self.pods.iter().map(|pod| &pod.container).filter(|one| one.is_part()).collect()
    }

    /// The pods that a Service selects: those of exactly one Deployment.
    pub(crate) fn selected(&self, service: &Value) -> &Pod {
        let selector = &service["spec"]["selector"];
        assert!(selector.as_object().is_some_and(|pairs| !pairs.is_empty()));
        let mut found = self.pods.iter().filter(|pod| pod.has(selector));
        let pod = found.next().unwrap_or_else(|| panic!("{selector} selects nothing"));
        assert!(found.next().is_none(), "{selector} selects several");
        pod
    }

    /// The container behind `port` of the Service `host`, and that container's port.
    pub(crate) fn reach(&self, host: &str, port: u16) -> Option<(&Container, u16)> {
        let service = self.services.iter().find(|one| one["metadata"]["name"] == host)?;
        let mut ports = service["spec"]["ports"].as_array().unwrap().iter();
        let port = ports.find(|one| one["port"] == port)?;
        let pod = self.selected(service);
        Some((&pod.container, pod.ports[port["targetPort"].as_str().unwrap()]))
    }
}

impl Pod {
    fn read(deployment: Value, made: &Made) -> Self {
        let spec = &deployment["spec"]["template"]["spec"];
        let containers = spec["containers"].as_array().unwrap();
        let [said] = containers.as_slice() else { panic!("one container each") };
        let mut container = container(said);
        for mount in said["volumeMounts"].as_array().unwrap() {
            let place = mount["mountPath"].as_str().unwrap();
            container.folders.insert(place.to_owned());
            let mut volumes = spec["volumes"].as_array().unwrap().iter();
            let volume = volumes.find(|volume| volume["name"] == mount["name"]).unwrap();
            // Keys are found by their folder, the others by their path.
            let files = files(volume, made).into_iter();
            if mount["name"] == "secrets" {
                container.files.extend(files.map(|(path, file)| (format!("{place}/{path}"), file)));
            }
        }
        let ports = said["ports"].as_array().unwrap().iter();
        let ports: BTreeMap<_, _> = ports.map(named_port).collect();
        container.ports = ports.values().copied().collect();
        Self { deployment, container, ports }
    }

    pub(crate) fn spec(&self) -> &Value {
        &self.deployment["spec"]["template"]["spec"]
    }

    /// Whether it carries all `labels`.
    pub(crate) fn has(&self, labels: &Value) -> bool {
        let own = &self.deployment["spec"]["template"]["metadata"]["labels"];
        labels.as_object().unwrap().iter().all(|(name, value)| own[name] == *value)
    }

    /// Port and path of a probe.
    pub(crate) fn probe(&self, kind: &str) -> (u16, &str) {
        let probe = &self.container.said[kind]["httpGet"];
        let name = probe["port"].as_str();
        let name = name.unwrap_or_else(|| panic!("{} has no {kind}", self.container.name));
        (self.ports[name], probe["path"].as_str().unwrap())
    }
}

fn container(said: &Value) -> Container {
    let env = said["env"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let env = env.map(|one| (text(&one["name"]), text(&one["value"])));
    let command = strings(&said["command"]).into_iter().chain(strings(&said["args"]));
    Container {
        name: text(&said["name"]),
        image: text(&said["image"]),
        command: command.collect(),
        env: env.collect(),
        files: BTreeMap::new(),
        folders: BTreeSet::new(),
        ports: BTreeSet::new(),
        said: said.clone(),
    }
}

fn named_port(port: &Value) -> (String, u16) {
    let number = port["containerPort"].as_u64().unwrap();
    (port["name"].as_str().unwrap().to_owned(), number.try_into().unwrap())
}

/// The files of a volume, each made from a key of a secret that there is.
pub(crate) fn files(volume: &Value, made: &Made) -> BTreeMap<String, PathBuf> {
    if volume["emptyDir"].is_object() {
        return BTreeMap::new();
    }
    let rights = [&volume["secret"]["defaultMode"], &volume["projected"]["defaultMode"]];
    assert!(rights.iter().any(|bits| **bits == 0o440), "the pod's group has to read {volume}");
    let sources = volume["projected"]["sources"].as_array().into_iter().flatten();
    let sources = sources.map(|source| &source["secret"]);
    let single = volume["secret"].as_object().map(|_| &volume["secret"]);
    let mut files = BTreeMap::new();
    for secret in sources.chain(single) {
        let name = secret["secretName"].as_str().or(secret["name"].as_str()).unwrap();
        let keys = made.keys(name);
        let items = secret["items"].as_array().cloned().unwrap_or_else(|| {
            keys.iter().map(|key| serde_json::json!({"key": key, "path": key})).collect()
        });
        for item in items {
            let key = item["key"].as_str().unwrap();
            assert!(keys.contains(key), "{name} has no {key}");
            let file = made.file(Path::new("cluster").join(name).join(key));
            let before = files.insert(item["path"].as_str().unwrap().to_owned(), file);
            assert!(before.is_none(), "{item} hides another file");
        }
    }
    files
}
