//! The hub and its spokes in one process, made of exactly the code that the separate binaries run.
//!
//! Only addresses differ from a cluster: each part binds first and the next one is told where. Real
//! loopback sockets lie between them, so the path that is tested is the path that is used. Nothing
//! else in the workspace knows that this crate exists.

use chassis::config::{Faults, Layers, Settings};
use chassis::process::Program;
use chassis::{Deps, Running, StartError};
use serde::Deserialize;

/// The binary.
pub const PROGRAM: Program = Program {
    name: "hubbub",
    version: env!("CARGO_PKG_VERSION"),
    profile: Some(("embedded", include_str!("../../../config/embedded.toml"))),
    listen_key: "gateway.listen",
    keys: &[gateway::make_keys, user::make_keys, chat::make_keys, message::make_keys],
    token_keys: Some(user::TOKEN_KEYS),
};

/// `[embedded]`: which spokes are started here. One that is not runs elsewhere, at the address that
/// the configuration gives.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spokes {
    /// The user service.
    pub user: bool,
    /// The chat service.
    pub chat: bool,
    /// The message service.
    pub message: bool,
}

/// Everything that `hubbub` is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which spokes are started here.
    pub spokes: Spokes,
    /// The hub.
    pub gateway: gateway::Config,
    /// Accounts.
    pub user: user::Config,
    /// Rooms and live delivery.
    pub chat: chat::Config,
    /// Durable conversations.
    pub message: message::Config,
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let spokes = faults.take(layers.section("embedded"));
        let gateway = faults.take(gateway::Config::read(layers));
        let user = faults.take(user::Config::read(layers));
        let chat = faults.take(chat::Config::read(layers));
        let message = faults.take(message::Config::read(layers));
        // A shared section is read by several parts, but its faults are told once.
        let mut told = Vec::new();
        faults.0.retain(|fault| {
            let is_new = !told.contains(fault);
            told.extend(is_new.then(|| fault.clone()));
            is_new
        });
        match (spokes, gateway, user, chat, message) {
            (Some(spokes), Some(gateway), Some(user), Some(chat), Some(message)) => {
                faults.or(Some(Self { spokes, gateway, user, chat, message }))
            }
            _ => Err(faults),
        }
    }
}

/// Starts every part, the gateway last, when the others are ready. When one cannot start, those
/// before it are stopped.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    let mut started = Started::default();
    match Box::pin(start_in_turn(config, deps, &mut started)).await {
        Ok(gateway) => Ok(started.with(gateway)),
        Err(error) => {
            started.cut().await;
            Err(error)
        }
    }
}

/// The spokes that run so far.
#[derive(Debug, Default)]
struct Started {
    user: Option<Running>,
    message: Option<Running>,
    chat: Option<Running>,
}

impl Started {
    /// All parts as one. They are told of from the front door inwards. They drain so that nobody
    /// loses what they still need: sockets are sent away first, then the door closes, then the
    /// stores.
    fn with(self, gateway: Running) -> Running {
        let spokes = [&self.user, &self.chat, &self.message];
        let inner = spokes.into_iter().flatten().flat_map(|part| part.lines.clone());
        let lines = gateway.lines.iter().cloned().chain(inner).collect();
        let address = gateway.address;
        let stores = [self.message, self.user].into_iter().flatten();
        let mut all = match self.chat {
            Some(chat) => chat.then(gateway),
            None => gateway,
        };
        all = stores.fold(all, Running::then);
        all.address = address;
        all.lines = lines;
        all
    }

    async fn cut(self) {
        for part in [self.chat, self.message, self.user].into_iter().flatten() {
            part.cut().await;
        }
    }
}

async fn start_in_turn(
    mut config: Config,
    deps: Deps,
    started: &mut Started,
) -> Result<Running, StartError> {
    if config.spokes.user {
        let port = config.gateway.listen.port();
        config.user.reached_at(&format!("http://localhost:{port}"));
        let user = user::start(config.user.clone(), deps.clone()).await?;
        config.told_user(&url(&user));
        config.told_grpc(&user);
        started.user = Some(user);
    }
    if config.spokes.message {
        let message = message::start(config.message.clone(), deps.clone()).await?;
        config.told_message(&url(&message));
        started.message = Some(message);
    }
    if config.spokes.chat {
        config.let_own_pages_in();
        let chat = chat::start(config.chat.clone(), deps.clone()).await?;
        config.reach("chat", &url(&chat));
        started.chat = Some(chat);
    }
    gateway::start(config.gateway, deps).await
}

impl Config {
    fn told_user(&mut self, url: &str) {
        let keys = format!("{url}/.well-known/jwks.json");
        self.chat.identity.jwks_url.clone_from(&keys);
        self.message.identity.jwks_url.clone_from(&keys);
        self.gateway.auth.jwks_url = keys;
        self.gateway.auth.exchange_url = format!("{url}/internal/keys/exchange");
        let feed = format!("{url}/internal/revocations");
        self.chat.identity.revocations_url.clone_from(&feed);
        self.message.identity.revocations_url.clone_from(&feed);
        self.gateway.auth.revocations_url = feed;
        url.clone_into(&mut self.chat.chat.user_url);
        url.clone_into(&mut self.message.user_url);
        self.reach("user", url);
    }

    /// Tells the gateway where the user service has gRPC, where it has it at all.
    fn told_grpc(&mut self, user: &Running) {
        if let Some((_, url)) = user.lines.iter().find(|(label, _)| label == "grpc") {
            self.reach("user-grpc", url);
        }
    }

    /// Tells the gateway where a spoke is, if it routes to one of that name.
    fn reach(&mut self, name: &str, url: &str) {
        if let Some(upstream) = self.gateway.upstreams.get_mut(name) {
            upstream.endpoints = vec![url.to_owned()];
        }
    }

    /// Pages that come from the gateway itself may call and open sockets: at the address that is
    /// configured, and by the name that people use for this machine.
    fn let_own_pages_in(&mut self) {
        let listen = self.gateway.listen;
        let pages = [format!("http://{listen}"), format!("http://localhost:{}", listen.port())];
        self.chat.chat.ws.origins.extend(pages.clone());
        self.gateway.cors.origins.extend(pages);
    }

    fn told_message(&mut self, url: &str) {
        url.clone_into(&mut self.chat.chat.message_url);
        self.reach("message", url);
    }
}

fn url(part: &Running) -> String {
    format!("http://{}", part.address)
}

#[cfg(test)]
mod tests {
    use chassis::Stop;

    use super::*;

    fn told(layers: &Layers, user: &Running) -> Option<Vec<String>> {
        let mut config = Config::read(layers).unwrap();
        config.told_grpc(user);
        config.gateway.upstreams.get("user-grpc").map(|upstream| upstream.endpoints.clone())
    }

    #[test]
    fn the_gateway_hears_where_grpc_is_if_it_routes_there() {
        let user = || Running::new("user", ([127, 0, 0, 1], 1).into(), Stop::new());
        let with = user().line("grpc", "http://127.0.0.1:2");
        let mut layers = Layers::defaults();
        layers.command_line("gateway.upstreams.user-grpc.endpoints=[\"http://127.0.0.1:3\"]");
        assert_eq!(told(&layers, &with).unwrap(), ["http://127.0.0.1:2"]);
        assert_eq!(told(&layers, &user()).unwrap(), ["http://127.0.0.1:3"]);
    }
}
