//! Rooms and live delivery: everything that happens while somebody looks.
//!
//! ```text
//! socket ─► ops ─► lane ─► message service ─► bus ─► hub ─► outbox ─► one write per socket
//!                   (batches)   (commits)              (one frame, shared)
//! ```
//!
//! The service keeps nothing that may not be lost. Rooms, members and messages live in the message
//! service; the hub here knows how far each open room was heard and reads the log where it was not.
//! Nothing in the hub waits for a socket, and nobody is acknowledged before the commit.

mod accounts;
mod api;
mod codec;
mod config;
mod conversations;
mod error;
mod hub;
mod lane;
mod socket;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chassis::health::Health;
use chassis::http_client;
use chassis::identity::{Identity, ServiceTokens};
use chassis::keys::SigningKey;
use chassis::peer::Peer;
use chassis::process::Program;
use chassis::{Deps, Running, StartError, Stop};

use accounts::Accounts;
use api::Api;
pub use config::{Chat, Config, Ws};
use conversations::Conversations;
use hub::{Ear, Hub};
use lane::Lane;
use socket::{Admission, Flushers, Node};

/// This service in the mouths of services.
const NAME: &str = "chat";

/// The binary.
pub const PROGRAM: Program = Program {
    name: NAME,
    version: env!("CARGO_PKG_VERSION"),
    profile: None,
    listen_key: "chat.listen",
    keys: &[make_keys],
    token_keys: None,
};

/// Makes the key that this service signs with, where it is not there yet.
pub fn make_keys(folder: &Path) -> Result<(), StartError> {
    SigningKey::load_or_make(folder, NAME).map(drop)
}

/// Starts the service: opens its keys, binds its address, listens to the bus.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    let stop = Stop::new();
    let tokens = ServiceTokens::open(NAME, &config.identity.keys_folder(&deps.data), &deps)?;
    let conversations = conversations(&config.chat, &tokens)?;
    let accounts = accounts(&config, tokens)?;
    let revocations = config.identity.follow(NAME, config.chat.server.drain_delay, &deps, &stop)?;
    let identity = Identity::open(&config.identity, NAME, &deps, revocations.clone())?;
    let node = Arc::new(node(&config.chat, &deps, (conversations, accounts), identity, &stop));
    listen(&node, &deps, &stop);
    // Whoever comes first is to miss nothing.
    deps.bus.settled().await;
    let api = Api { node, bus: deps.bus };
    let health = Health::new("Chat Service", PROGRAM.version, deps.clock, stop.clone())
        .with_revocations(revocations.clone());
    let Chat { listen, server, .. } = &config.chat;
    let address = chassis::serve::serve(*listen, server, api::routes(api), health, &stop)?;
    revocations.settled().await;
    Ok(Running::new(NAME, address, stop))
}

fn conversations(config: &Chat, tokens: &ServiceTokens) -> Result<Conversations, StartError> {
    let Chat { message_url, message_timeout, catch_up_reads_max, .. } = config;
    let tokens = tokens.clone();
    let peer = Peer::new(http_client::open()?, message_url, "message", tokens, *message_timeout);
    Ok(Conversations::new(peer, *catch_up_reads_max))
}

fn accounts(config: &Config, tokens: ServiceTokens) -> Result<Accounts, StartError> {
    let Chat { user_url, user_timeout, user_calls_max, .. } = &config.chat;
    let authority = config.identity.authority.clone();
    let peer = Peer::new(http_client::open()?, user_url, authority, tokens, *user_timeout);
    Ok(Accounts::new(peer, *user_calls_max, *user_timeout))
}

fn node(
    config: &Chat,
    deps: &Deps,
    (conversations, accounts): (Conversations, Accounts),
    identity: Identity,
    stop: &Stop,
) -> Node {
    let Deps { clock, random, .. } = deps.clone();
    let chance = (clock.clone(), random.clone());
    let name = match config.node.as_str() {
        "" => format!("chat-{:04x}", random.below(1 << 16)),
        name => name.to_owned(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let admission = Admission::new(config.ws.sockets_max, config.ws.sockets_per_user_max);
    Node {
        name,
        hub: Arc::new(Hub::default()),
        lane: Lane::open(conversations.clone(), config.lane_queue_max, chance, stop),
        flushers: Flushers::start(cores, &admission, stop),
        admission,
        roll: Arc::default(),
        accounts,
        conversations,
        identity,
        clock,
        random,
        stop: stop.clone(),
        sockets: AtomicU64::new(0),
        config: config.clone(),
    }
}

/// Listens to the bus, and to what is revoked, as long as there are sockets to tell.
fn listen(node: &Node, deps: &Deps, stop: &Stop) {
    let ear = Ear {
        hub: node.hub.clone(),
        conversations: node.conversations.clone(),
        random: deps.random.clone(),
        stop: stop.clone(),
        check_interval: node.config.head_check_interval,
    };
    let (subscription, admission) = (deps.bus.subscribe(), node.admission.clone());
    let (roll, revocations) = (node.roll.clone(), node.identity.revocations().clone());
    let news = revocations.subscribe();
    let stop_seen = stop.clone();
    stop.spawn(async move {
        tokio::select! {
            () = admission.ended(&stop_seen) => {}
            () = ear.check() => {}
            // A bus that is gone rings no more; the rest goes on.
            () = async { ear.listen(subscription).await; std::future::pending().await } => {}
            () = async { roll.watch(news, &revocations).await; std::future::pending().await } => {}
        }
    });
}
