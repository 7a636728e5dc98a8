//! k8s/base: every pod is confined, reads its settings, is probed where it listens and found where
//! it is called.

use std::collections::BTreeSet;
use std::time::Duration;

use super::container::{assert_calls_arrive, assert_profile_holds};
use super::pods::{Cluster, files};
use super::settings::host_and_port;
use super::tree::{IMAGE, workspace};

/// Program, listener and path of every probe.
pub(crate) fn probes() -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for pod in Cluster::read().pods.iter().filter(|pod| pod.container.is_part()) {
        let settings = pod.container.settings();
        for kind in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let (port, path) = pod.probe(kind);
            let listener = settings.open_listener(port);
            let listener = listener.unwrap_or_else(|| panic!("{kind}: nobody is on {port}"));
            all.push((settings.program.clone(), listener.to_owned(), path.to_owned()));
        }
    }
    all
}

#[test]
fn it_runs_every_part_twice_and_the_bus() {
    let cluster = Cluster::read();
    let tag = format!("{IMAGE}:{}", workspace().version);
    for part in cluster.parts() {
        assert_eq!(part.image, tag, "{}", part.name);
        assert_eq!(part.name, part.program());
    }
    let names: Vec<_> = cluster.pods.iter().map(|pod| pod.container.name.as_str()).collect();
    assert_eq!(names, ["gateway", "user", "chat", "message", "nats"]);
    for pod in &cluster.pods {
        let wanted = if pod.container.is_ours() { 2 } else { 1 };
        assert_eq!(pod.deployment["spec"]["replicas"], wanted, "{}", pod.container.name);
    }
}

#[test]
fn every_part_reads_its_settings_and_finds_the_others() {
    assert_profile_holds("cluster.toml");
    let cluster = Cluster::read();
    assert_calls_arrive(&cluster.parts(), |host, port| cluster.reach(host, port));
    cluster.pods.iter().for_each(|pod| pod.container.assert_has_its_files());
    cluster.parts().iter().for_each(|part| part.assert_shares_its_stores());
    let bus = cluster.made.read("cluster/hubbub-nats/bus_url");
    let (host, port) = host_and_port(&bus);
    assert_eq!(
        cluster.reach(host, port).map(|(pod, port)| (&*pod.name, port)),
        Some(("nats", 4222))
    );
}

#[test]
fn a_pod_listens_on_exactly_the_ports_that_it_names() {
    for part in Cluster::read().parts() {
        let settings = part.settings();
        let listens: BTreeSet<_> = settings.listeners().iter().map(|(_, at)| at.port()).collect();
        assert_eq!(part.ports, listens, "{}", part.name);
        for port in &part.ports {
            assert!(settings.open_listener(*port).is_some(), "{}: {port}", part.name);
        }
    }
}

#[test]
fn labels_and_ports_lead_from_services_to_pods() {
    let cluster = Cluster::read();
    for pod in &cluster.pods {
        let selector = &pod.deployment["spec"]["selector"]["matchLabels"];
        assert!(pod.has(selector), "{} does not select its own pods", pod.container.name);
    }
    for service in &cluster.services {
        let pod = cluster.selected(service);
        assert_eq!(service["metadata"]["name"], pod.deployment["metadata"]["name"]);
        for port in service["spec"]["ports"].as_array().unwrap() {
            let name = port["targetPort"].as_str().unwrap();
            assert!(pod.ports.contains_key(name), "{service} leads to no port");
        }
        assert!(service["spec"]["type"].is_null(), "only the cluster reaches {service}");
    }
    assert_eq!(cluster.services.len(), cluster.pods.len());
}

#[test]
fn a_private_key_is_in_the_pods_of_its_service_alone() {
    let cluster = Cluster::read();
    let public = cluster.made.keys("hubbub-keys-public");
    for file in &public {
        let key = cluster.made.read(&format!("cluster/hubbub-keys-public/{file}"));
        assert!(key.contains("PUBLIC KEY") && !key.contains("PRIVATE"), "{file}");
    }
    for pod in &cluster.pods {
        let name = pod.container.name.as_str();
        let volumes = pod.spec()["volumes"].as_array().unwrap();
        let keys = volumes.iter().find(|volume| volume["name"] == "keys");
        let files: BTreeSet<_> =
            keys.map(|keys| files(keys, &cluster.made).into_keys().collect()).unwrap_or_default();
        if !pod.container.is_part() {
            assert!(files.is_empty(), "{name} signs nothing");
            continue;
        }
        let folder = pod.container.settings().text("identity.keys_dir").to_owned();
        assert!(pod.container.folders.contains(&folder), "{name} has no {folder}");
        let private: Vec<_> = files.difference(&public).collect();
        let own = |file: &str| {
            file == format!("{name}.key") || name == "user" && file.starts_with("tokens-")
        };
        assert!(private.iter().all(|file| own(file)), "{name} has {private:?}");
        // The user service signs access tokens with another key than calls.
        let wanted = if name == "user" { 2 } else { 1 };
        assert_eq!(private.len(), wanted, "{name} has {private:?}");
        for other in ["gateway", "user", "chat", "message"] {
            assert!(files.contains(&format!("{other}.pub")), "{name} does not know {other}");
        }
    }
}

#[test]
fn no_pod_may_do_more_than_it_needs() {
    for pod in Cluster::read().pods {
        let (name, spec, said) = (&pod.container.name, pod.spec(), &pod.container.said);
        let user = &spec["securityContext"];
        assert_eq!(user["runAsNonRoot"], true, "{name}");
        assert_eq!(user["runAsUser"], 65532, "{name}");
        assert_eq!(user["fsGroup"], 65532, "{name}");
        assert_eq!(user["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        let confined = serde_json::json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(said["securityContext"], confined, "{name}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        assert_eq!(spec["enableServiceLinks"], false, "{name}");
        for key in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
            assert!(spec[key].is_null(), "{name} has {key}");
        }
    }
}

#[test]
fn every_pod_is_probed_and_says_what_it_needs() {
    for pod in Cluster::read().pods {
        let (_, live) = pod.probe("livenessProbe");
        let (_, ready) = pod.probe("readinessProbe");
        if pod.container.is_ours() {
            assert_eq!((live, ready), ("/health/live", "/health/ready"), "{}", pod.container.name);
            assert_eq!(pod.probe("startupProbe").1, live);
        }
        let resources = &pod.container.said["resources"];
        for what in [&resources["requests"]["cpu"], &resources["requests"]["memory"]] {
            assert!(what.is_string(), "{}", pod.container.name);
        }
        assert!(resources["limits"]["memory"].is_string(), "{}", pod.container.name);
    }
}

#[test]
fn a_pod_may_drain_to_its_end() {
    /// The longest that a part takes to send its sockets away once it drains.
    const SENDING_AWAY: Duration = Duration::from_secs(4);
    for pod in Cluster::read().pods.iter().filter(|pod| pod.container.is_part()) {
        let name = &pod.container.name;
        let period = pod.spec()["terminationGracePeriodSeconds"].as_u64().unwrap();
        let settings = pod.container.settings();
        let grace = settings.seconds("process.grace");
        assert!(Duration::from_secs(period) > grace, "{name}");
        assert!(settings.drain_delay() >= Duration::from_secs(3), "{name} leaves unheard");
        assert!(grace > settings.drain_delay() + SENDING_AWAY, "{name}");
        assert!(settings.table["chat"]["drain_window"].as_str() == Some("4s"));
        assert_eq!(settings.seconds("gateway.drain_tunnels"), SENDING_AWAY);
    }
}
