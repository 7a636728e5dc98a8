//! Durable conversations: rooms, members, messages and their change log.
//!
//! ```text
//! POST  -> api -> writer: one transaction for all who wait -> fsync -> answers -> bell
//! GET   -> api -> reading: may the caller know? -> store
//! ```
//!
//! What was acknowledged is on the disk, exactly once, in one order: `seq`, without gaps, given by
//! the store to every durable event of a room. This service keeps nothing that lives shorter than
//! a restart: no sockets, no presence.

mod api;
mod bell;
mod command;
mod config;
mod departures;
mod error;
#[cfg(test)]
mod fixture;
mod reading;
mod store;
mod text;
mod writer;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use chassis::bus::Reach;
use chassis::config::Faults;
use chassis::database::Database;
use chassis::health::Health;
use chassis::http_client;
use chassis::identity::{Identity, ServiceTokens};
use chassis::keys::SigningKey;
use chassis::peer::Peer;
use chassis::process::Program;
use chassis::refuse::chain;
use chassis::revocation::Revocations;
use chassis::serve::serve;
use chassis::{Clock, Deps, Running, StartError, Stop};
use tracing::warn;

use crate::api::Api;
use crate::bell::Bell;
use crate::bell::http::Ringer;
pub use crate::bell::{Rings, Way};
pub use crate::config::Config;
use crate::departures::Departures;
use crate::reading::Reading;
use crate::store::Store;
pub use crate::writer::Config as WriterConfig;
use crate::writer::Writer;

/// The name in tokens, keys and configuration.
const NAME: &str = "message";

/// Between two looks at whether days of the change log have come or gone.
const DAYS_INTERVAL: Duration = Duration::from_hours(1);

/// The service as a process of its own.
pub const PROGRAM: Program = Program {
    name: NAME,
    version: env!("CARGO_PKG_VERSION"),
    profile: None,
    listen_key: "message.listen",
    keys: &[make_keys],
    token_keys: None,
};

/// Makes the key that this service signs with, where it is not there yet.
pub fn make_keys(folder: &Path) -> Result<(), StartError> {
    SigningKey::load_or_make(folder, NAME).map(drop)
}

/// Opens the database, brings it to this version, and serves.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    let stop = Stop::new();
    let file = deps.data.join(&config.file);
    let database = Database::open(&config.database, &file, &store::SCHEMA).await?;
    let store = Store::over(database.clone(), &deps.random).await;
    let store = store.map_err(|error| StartError::Other(error.into()))?;
    check_writers(&config, &store)?;
    turn_days(&store, &deps.clock, config.log_days_max).await;
    let revocations = config.identity.follow(NAME, config.server.drain_delay, &deps, &stop)?;
    let identity = Identity::open(&config.identity, NAME, &deps, revocations.clone())?;
    let bell = bell(&config, &deps, &stop)?;
    let sources = (deps.clock.clone(), deps.random.clone());
    let writer = Writer::start(&store, &bell, sources, &config.writer, &stop);
    follow_departures(&config, &deps, (&store, &writer), &revocations, &stop)?;
    let days = (store.clone(), deps.clock.clone(), config.log_days_max);
    stop.spawn(turn_days_for_ever(days, stop.clone()));
    let api = Api { writer, reading: Reading::of(store), identity };
    let health = Health::new("Message Service", PROGRAM.version, deps.clock, stop.clone())
        .with_database(database.clone())
        .with_revocations(revocations.clone());
    let address = serve(config.listen, &config.server, api::routes(api), health, &stop)?;
    revocations.settled().await;
    Ok(Running::new(NAME, address, stop).keeping(database))
}

/// Every shard's writer keeps a connection to a server for itself; days need another.
fn check_writers(config: &Config, store: &Store) -> Result<(), StartError> {
    let wanted = store.shards().len() + 1;
    let is_enough = usize::try_from(config.database.writers_max).is_ok_and(|most| most >= wanted);
    if is_enough || store.is_a_file() {
        return Ok(());
    }
    let message = format!("expected at least {wanted}, one more than the database has shards");
    Err(StartError::Config(Faults::one("database.writers_max", message)))
}

/// Makes and forgets days of the change log. What cannot be done now is tried again in an hour.
async fn turn_days(store: &Store, clock: &Clock, kept: NonZeroU32) {
    if let Err(error) = store.turn_days(clock.now(), kept.get()).await {
        warn!(cause = chain(&error), "The days of the log stay as they are for now");
    }
}

/// Does so long before the days come, until the drain.
async fn turn_days_for_ever((store, clock, kept): (Store, Clock, NonZeroU32), stop: Stop) {
    let mut ticks = tokio::time::interval(DAYS_INTERVAL);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.drain_began() => return,
            _ = ticks.tick() => {}
        }
        turn_days(&store, &clock, kept).await;
    }
}

/// Begins to take deleted users' names off what they wrote, where there is somebody to ask who that is.
fn follow_departures(
    config: &Config,
    deps: &Deps,
    (store, writer): (&Store, &Writer),
    revocations: &Revocations,
    stop: &Stop,
) -> Result<(), StartError> {
    if config.user_url.is_empty() {
        return Ok(());
    }
    let tokens = ServiceTokens::open(NAME, &config.identity.keys_folder(&deps.data), deps)?;
    let (base, authority) = (&config.user_url, config.identity.authority.clone());
    let departures = Departures {
        peer: Peer::new(http_client::open()?, base, authority, tokens, config.user_timeout),
        store: store.clone(),
        writer: writer.clone(),
        clock: deps.clock.clone(),
        random: deps.random.clone(),
        interval: config.deleted_check_interval,
    };
    stop.spawn(departures.run(revocations.subscribe(), stop.clone()));
    Ok(())
}

fn bell(config: &Config, deps: &Deps, stop: &Stop) -> Result<Bell, StartError> {
    match (config.bell, deps.bus.reach()) {
        // Every chat service hears a bus between processes; by HTTP it is one of them.
        (Way::Bus, _) | (Way::Http, Reach::Network) => Ok(Bell::Bus(deps.bus.clone())),
        (Way::Http, Reach::Process) => {
            let keys = config.identity.keys_folder(&deps.data);
            let tokens = ServiceTokens::open(NAME, &keys, deps)?;
            let (base, window) = (&config.rings.chat_url, config.rings.window);
            let chat = Peer::new(http_client::open()?, base, "chat", tokens, window);
            Ok(Bell::Http(Ringer::start(chat, &config.rings, stop)))
        }
    }
}
