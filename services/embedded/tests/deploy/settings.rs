//! The settings of one part as the part itself reads them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use toml::{Table, Value};

/// What `--print-config` of one program said.
pub(crate) struct Settings {
    pub(crate) program: String,
    pub(crate) table: Table,
}

impl Settings {
    pub(crate) fn get(&self, key: &str) -> &Value {
        lookup(&self.table, key).unwrap_or_else(|| panic!("{} has no {key}", self.program))
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).as_str().unwrap()
    }

    /// A duration of whole seconds.
    pub(crate) fn seconds(&self, key: &str) -> Duration {
        let text = self.text(key);
        let number = text.strip_suffix('s').and_then(|number| number.parse().ok());
        Duration::from_secs(number.unwrap_or_else(|| panic!("{key} = {text}")))
    }

    /// Where the program listens, by what it calls the listener in its summary.
    pub(crate) fn listeners(&self) -> Vec<(&str, SocketAddr)> {
        let listen = |key: &str| self.text(key).parse().unwrap();
        match self.program.as_str() {
            "gateway" | "hubbub" => vec![
                ("gateway", listen("gateway.listen")),
                ("admin", listen("gateway.admin_listen")),
            ],
            "user" => vec![("user", listen("user.listen")), ("grpc", listen("user.grpc_listen"))],
            part => vec![(part, listen(&format!("{part}.listen")))],
        }
    }

    /// What its listener on `port` is called, if callers from outside the container reach it.
    pub(crate) fn open_listener(&self, port: u16) -> Option<&str> {
        let open = |ip: IpAddr| ip.is_unspecified();
        let mut all = self.listeners().into_iter();
        all.find(|(_, at)| at.port() == port && open(at.ip())).map(|(label, _)| label)
    }

    /// How long it goes on for others after it was told to stop, before it drains.
    pub(crate) fn drain_delay(&self) -> Duration {
        match self.program.as_str() {
            "gateway" => self.seconds("gateway.drain_delay"),
            part => self.seconds(&format!("{part}.server.drain_delay")),
        }
    }

    /// The URLs that it calls over HTTP.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = |key: &str| self.text(key).to_owned();
        let identity = || ["identity.jwks_url", "identity.revocations_url"].map(text);
        match self.program.as_str() {
            "gateway" => {
                let upstreams = self.get("gateway.upstreams").as_table().unwrap().values();
                let endpoints = upstreams.flat_map(|one| one["endpoints"].as_array().unwrap());
                let endpoints = endpoints.map(|url| url.as_str().unwrap().to_owned());
                let auth = ["jwks_url", "revocations_url", "exchange_url"];
                let auth = auth.map(|key| text(&format!("gateway.auth.{key}")));
                endpoints.chain(auth).collect()
            }
            "chat" => {
                let urls = [text("chat.message_url"), text("chat.user_url")];
                urls.into_iter().chain(identity()).collect()
            }
            "message" if self.text("message.bell") == "http" => {
                let urls = [text("message.rings.chat_url"), text("message.user_url")];
                urls.into_iter().chain(identity()).collect()
            }
            "message" => [text("message.user_url")].into_iter().chain(identity()).collect(),
            "user" => Vec::new(),
            other => panic!("whom does {other} call?"),
        }
    }
}

/// What stands at `key`, dots between levels.
pub(crate) fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => lookup(table.get(first)?.as_table()?, rest),
    }
}

/// Host and port of a URL that names both.
pub(crate) fn host_and_port(url: &str) -> (&str, u16) {
    let rest = url.split_once("://").unwrap_or_else(|| panic!("{url}")).1;
    let authority = rest.split('/').next().unwrap();
    let place = authority.rsplit('@').next().unwrap();
    let (host, port) = place.split_once(':').unwrap_or_else(|| panic!("{url} has no port"));
    (host, port.parse().unwrap())
}
