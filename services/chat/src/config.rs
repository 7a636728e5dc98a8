//! `[chat]`: what an operator may change about this service. The defaults and their reasons stand in
//! `config/default.toml`.

use std::net::SocketAddr;
use std::time::Duration;

use chassis::config::{Faults, Layers, Settings, span};
use chassis::{identity, serve};
use serde::Deserialize;

/// Everything that the service is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[chat]`.
    pub chat: Chat,
    /// `[identity]`.
    pub identity: identity::Config,
}

impl Settings for Config {
    fn read(layers: &Layers) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let chat = faults.take(layers.section("chat"));
        let identity = faults.take(layers.section("identity"));
        let both = chat.zip(identity).map(|(chat, identity)| Self { chat, identity });
        faults.or(both)
    }
}

/// The service itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The listener's bounds.
    pub server: serve::Config,
    /// The base URL of the service that keeps rooms and messages.
    pub message_url: String,
    /// The longest that one call there may take.
    #[serde(with = "span")]
    pub message_timeout: Duration,
    /// The base URL of the service that keeps accounts.
    pub user_url: String,
    /// The longest that one call there may take, its turn included.
    #[serde(with = "span")]
    pub user_timeout: Duration,
    /// Most calls there at a time.
    pub user_calls_max: usize,
    /// Before the paths of this service as the public sees them.
    pub public_prefix: String,
    /// This node's name in `hello`; empty: one is made.
    pub node: String,
    /// Most messages that wait to be stored.
    pub lane_queue_max: usize,
    /// Most reads at a time for those who catch up.
    pub catch_up_reads_max: usize,
    /// Between two comparisons of the open rooms with the store.
    #[serde(with = "span")]
    pub head_check_interval: Duration,
    /// Over which the sockets are closed when the node goes away.
    #[serde(with = "span")]
    pub drain_window: Duration,
    /// Sockets.
    pub ws: Ws,
}

/// Sockets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ws {
    /// Whether `?token=` is looked at.
    pub allow_query_token: bool,
    /// The `Origin`s from which browsers may connect.
    pub origins: Vec<String>,
    /// Most sockets of this node.
    pub sockets_max: u32,
    /// Most sockets of one user on this node.
    pub sockets_per_user_max: usize,
    /// From the upgrade to the `auth` frame, where no other credentials came.
    #[serde(with = "span")]
    pub auth_timeout: Duration,
    /// Between two `ping`s.
    #[serde(with = "span")]
    pub ping_interval: Duration,
    /// How long after a `ping` silence is taken for death.
    #[serde(with = "span")]
    pub pong_timeout: Duration,
    /// How long before its token's end a client is told.
    #[serde(with = "span")]
    pub token_warning: Duration,
    /// How long after its token's end a client may still renew it.
    #[serde(with = "span")]
    pub token_grace: Duration,
    /// Frames per second that a socket may send for long.
    pub frames_per_second: u32,
    /// Frames that it may send at once.
    pub frames_burst: u32,
    /// Most frames that wait for a socket.
    pub queue_frames_max: usize,
    /// Most bytes that wait for a socket.
    pub queue_bytes_max: usize,
    /// The longest that a socket may take nothing of what waits for it.
    #[serde(with = "span")]
    pub slow_timeout: Duration,
    /// From our close frame to the peer's.
    #[serde(with = "span")]
    pub close_timeout: Duration,
}

impl Ws {
    /// From the last thing heard to the verdict that the peer is dead.
    #[must_use]
    pub const fn silence_max(&self) -> Duration {
        self.ping_interval.saturating_add(self.pong_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        let config = Config::read(&Layers::defaults()).unwrap();
        let ws = config.chat.ws;
        assert!(!ws.allow_query_token);
        assert_eq!(ws.silence_max(), Duration::from_secs(35));
        assert_eq!((ws.frames_per_second, ws.frames_burst), (20, 40));
        assert_eq!((ws.queue_frames_max, ws.queue_bytes_max), (256, 1024 * 1024));
        assert_eq!(ws.sockets_per_user_max, 10);
    }
}
