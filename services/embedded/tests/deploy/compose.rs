//! docker-compose.yml: every part is there, confined, reads its settings and finds the others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::container::{Container, assert_calls_arrive, assert_profile_holds};
use super::secrets::{self, Made};
use super::settings::host_and_port;
use super::tree::{IMAGE, entries, strings, yaml};

/// The file with the secrets that its head makes.
struct Compose {
    whole: Value,
    made: Made,
    containers: Vec<Container>,
}

impl Compose {
    fn read() -> Self {
        let whole = yaml("docker-compose.yml");
        let made = secrets::for_compose();
        let services = entries(&whole["services"]);
        let containers = services.map(|(name, said)| container(&whole, &made, name, said));
        let containers = containers.collect();
        Self { whole, made, containers }
    }

    fn get(&self, name: &str) -> &Container {
        let found = self.containers.iter().find(|container| container.name == name);
        found.unwrap_or_else(|| panic!("there is no service {name}"))
    }

    fn parts(&self) -> Vec<&Container> {
        self.containers.iter().filter(|container| container.is_part()).collect()
    }
}

fn container(whole: &Value, made: &Made, name: &str, said: &Value) -> Container {
    let secret = |name: String| {
        let file = whole["secrets"][&name]["file"].as_str();
        let file = file.unwrap_or_else(|| panic!("there is no secret {name}"));
        (format!("/run/secrets/{name}"), made.file(file))
    };
    let env = entries(&said["environment"]);
    let folders = strings(&said["volumes"]).into_iter().chain(strings(&said["tmpfs"]));
    Container {
        name: name.to_owned(),
        image: said["image"].as_str().unwrap().to_owned(),
        command: strings(&said["command"]),
        env: env.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        files: strings(&said["secrets"]).into_iter().map(secret).collect(),
        folders: folders.map(|mount| place(&mount)).collect(),
        ports: strings(&said["ports"]).iter().map(|port| inner_port(port)).collect(),
        said: said.clone(),
    }
}

/// Where `source:place:options` or `place:options` puts a folder.
fn place(mount: &str) -> String {
    mount.split(':').find(|part| part.starts_with('/')).unwrap().to_owned()
}

fn inner_port(published: &str) -> u16 {
    published.rsplit(':').next().unwrap().parse().unwrap()
}

/// What the health check of a part asks: a program and a URL.
fn health_url(container: &Container) -> String {
    let test = strings(&container.said["healthcheck"]["test"]);
    let [cmd, program, verb, url] = test.as_slice() else { panic!("{test:?}") };
    assert_eq!((&**cmd, &**program, &**verb), ("CMD", "/usr/local/bin/hubbub", "health"));
    url.clone()
}

/// Program, listener and path of every health check.
pub(crate) fn probes() -> Vec<(String, String, String)> {
    let compose = Compose::read();
    let probe = |part: &&Container| {
        let url = health_url(part);
        let (host, port) = host_and_port(&url);
        assert_eq!(host, "127.0.0.1");
        let settings = part.settings();
        let listener = settings.open_listener(port).unwrap_or_else(|| panic!("{url}: nobody"));
        let path = &url[url.rfind(&port.to_string()).unwrap() + port.to_string().len()..];
        (settings.program.clone(), listener.to_owned(), path.to_owned())
    };
    compose.parts().iter().map(probe).collect()
}

#[test]
fn it_runs_every_part_and_what_they_stand_on() {
    let compose = Compose::read();
    let mut count = BTreeMap::new();
    for part in compose.parts() {
        *count.entry(part.program().to_owned()).or_insert(0) += 1;
        let build = &part.said["build"];
        assert!(part.image == IMAGE && build == ".", "{} is not built here", part.name);
    }
    let wanted = [("chat", 2), ("gateway", 1), ("message", 1), ("user", 1)];
    assert_eq!(count, wanted.map(|(name, count)| (name.to_owned(), count)).into());
    assert!(compose.get("nats").image.starts_with("nats:"));
    // The newest ones keep their files elsewhere.
    let postgres = compose.get("postgres");
    let version = postgres.image.strip_prefix("postgres:").and_then(|tag| tag.split('-').next());
    assert!(matches!(version, Some("15" | "16" | "17")), "{}", postgres.image);
    assert!(postgres.folders.contains("/var/lib/postgresql/data"));
}

#[test]
fn every_part_reads_its_settings_and_finds_the_others() {
    assert_profile_holds("compose.toml");
    let compose = Compose::read();
    assert_calls_arrive(&compose.parts(), |host, port| Some((compose.get(host), port)));
    compose.containers.iter().for_each(Container::assert_has_its_files);
    compose.parts().iter().for_each(|part| part.assert_shares_its_stores());
}

#[test]
fn the_secrets_fit_each_other() {
    let compose = Compose::read();
    let password = compose.made.read("secrets/postgres_password");
    let database = compose.made.read("secrets/database_url");
    let env = &compose.get("postgres").env;
    let (user, name) = (&env["POSTGRES_USER"], &env["POSTGRES_DB"]);
    assert_eq!(database, format!("postgres://{user}:{password}@postgres:5432/{name}"));
    assert!(password.len() >= 32);
    let bus = compose.made.read("secrets/bus_url");
    let token = bus.strip_prefix("nats://hubbub:").unwrap().strip_suffix("@nats:4222").unwrap();
    assert!(compose.made.read("secrets/nats.conf").contains(&format!("\"{token}\"")));
    assert!(token.len() >= 32);
    let mounted: Vec<_> = compose.containers.iter().flat_map(|one| one.files.keys()).collect();
    for (name, _) in entries(&compose.whole["secrets"]) {
        let path = format!("/run/secrets/{name}");
        assert!(mounted.iter().any(|used| **used == path), "nobody uses the secret {name}");
    }
}

#[test]
fn no_container_may_do_more_than_it_needs() {
    for container in Compose::read().containers {
        let said = &container.said;
        let name = &container.name;
        assert_eq!(said["read_only"], true, "{name}");
        assert_eq!(strings(&said["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&said["security_opt"]), ["no-new-privileges:true"], "{name}");
        let user = said["user"].as_str().unwrap().split(':').next().unwrap();
        assert!(user.parse::<u32>().unwrap() > 0, "{name} is root");
        for key in ["privileged", "cap_add", "pid", "ipc", "network_mode", "devices"] {
            assert!(said[key].is_null(), "{name} has {key}");
        }
        if container.is_ours() {
            assert_eq!(said["user"], "65532:65532", "the image's folders are not {name}'s");
        }
    }
}

#[test]
fn only_the_gateway_is_reachable_and_only_from_this_machine() {
    let compose = Compose::read();
    for container in &compose.containers {
        let networks = strings(&container.said["networks"]);
        if container.name == "gateway" {
            assert_eq!(strings(&container.said["ports"]), ["127.0.0.1:8000:8000"]);
            assert_eq!(container.settings().open_listener(8000), Some("gateway"));
            assert_eq!(networks, ["inside", "outside"]);
        } else {
            assert!(container.ports.is_empty(), "{} publishes a port", container.name);
            assert_eq!(networks, ["inside"], "{}", container.name);
        }
    }
    let inside = &compose.whole["networks"]["inside"];
    assert_eq!(inside["internal"], true);
    let subnet = &inside["ipam"]["config"][0]["subnet"];
    let user = compose.get("user").settings();
    let trusted = user.get("user.trusted_proxies").as_array().unwrap();
    assert!(trusted.len() == 1 && trusted[0].as_str() == subnet.as_str(), "{trusted:?}");
}

#[test]
fn nobody_starts_before_what_it_needs() {
    let compose = Compose::read();
    for container in &compose.containers {
        let checked = !container.said["healthcheck"]["test"].is_null();
        assert!(checked || container.name == "keys", "{} has no health check", container.name);
        for (needed, how) in entries(&container.said["depends_on"]) {
            let needed = compose.get(needed);
            match how["condition"].as_str().unwrap() {
                "service_healthy" => assert!(!needed.said["healthcheck"]["test"].is_null()),
                "service_completed_successfully" => assert_eq!(needed.said["restart"], "no"),
                other => panic!("{other}"),
            }
        }
    }
    for part in compose.parts() {
        let needs = &part.said["depends_on"];
        let told = |word: &str| part.env.keys().any(|name| name.contains(word));
        assert_eq!(told("DATABASE"), !needs["postgres"].is_null(), "{}", part.name);
        assert_eq!(told("BUS"), !needs["nats"].is_null(), "{}", part.name);
        assert!(!needs["keys"].is_null(), "{}", part.name);
    }
}

#[test]
fn one_command_makes_the_keys_and_the_services_only_read_them() {
    let compose = Compose::read();
    let keys = compose.get("keys");
    assert_eq!(keys.program(), "hubbub");
    let [_, noun, verb, folder] = keys.command.as_slice() else { panic!("{:?}", keys.command) };
    assert_eq!((&**noun, &**verb), ("keys", "init"));
    assert_eq!(strings(&keys.said["volumes"]), [format!("keys:{folder}")]);
    for part in compose.parts() {
        let mounts = strings(&part.said["volumes"]);
        assert_eq!(mounts, [format!("keys:{folder}:ro")], "{}", part.name);
        assert_eq!(part.settings().text("identity.keys_dir"), folder);
    }
}

#[test]
fn a_part_may_drain_to_its_end() {
    for part in Compose::read().parts() {
        let period = part.said["stop_grace_period"].as_str().unwrap();
        let period = Duration::from_secs(period.strip_suffix('s').unwrap().parse().unwrap());
        let settings = part.settings();
        assert!(period > settings.seconds("process.grace"), "{}", part.name);
        assert!(settings.seconds("process.grace") > settings.drain_delay(), "{}", part.name);
    }
}

#[test]
fn images_of_others_are_named_with_their_version() {
    for container in Compose::read().containers.iter().filter(|one| !one.is_ours()) {
        let tag = container.image.split_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag.starts_with(|c: char| c.is_ascii_digit())));
    }
}
