//! Buses of several processes, and what is rung and heard on them.

use std::sync::Arc;
use std::time::Duration;

use chassis::bus::{Config, Heard, Subscription};
use chassis::config::{Layers, Settings as _};
use chassis::{Bus, Random, StartError};
use contract::revocation::{Revocation, Revocations, Revoked};
use contract::{Event, EventKind, SessionId, Timestamp};
use harness::nats::Server;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Longer than anything takes that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Between two looks at whether something has become true.
const PAUSE: Duration = Duration::from_millis(5);
/// How far a listener may lag where a case does not care.
pub(crate) const CAPACITY: usize = 4_096;

/// What is between the parts of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    Nats,
}

/// Whatever several processes share.
pub(crate) enum World {
    Local(Bus),
    Nats(Server),
}

impl World {
    pub(crate) fn new(kind: Kind, capacity: usize) -> Self {
        match kind {
            Kind::Local => Self::Local(Bus::local(capacity)),
            Kind::Nats => Self::Nats(Server::start().unwrap()),
        }
    }

    /// The bus as one more process has it.
    pub(crate) async fn bus(&self, capacity: usize) -> Bus {
        match self {
            Self::Local(bus) => bus.clone(),
            Self::Nats(server) => {
                let config = config(&[("url", &server.url())]);
                let bus = Bus::open(&config, capacity, "test", &Random::System).await.unwrap();
                // What is rung before there is a connection is another case.
                bus.settled().await;
                bus
            }
        }
    }
}

/// `[bus]` with these settings, whose values are text.
pub(crate) fn config(settings: &[(&str, &str)]) -> Config {
    let mut layers = Layers::defaults();
    for (key, value) in settings {
        layers.command_line(&format!("bus.{key}={value}"));
    }
    Config::read(&layers).unwrap()
}

pub(crate) async fn open(settings: &[(&str, &str)]) -> Bus {
    try_open(settings).await.unwrap()
}

pub(crate) async fn try_open(settings: &[(&str, &str)]) -> Result<Bus, StartError> {
    Bus::open(&config(settings), CAPACITY, "test", &Random::System).await
}

/// A listener for whom everything is in force.
pub(crate) async fn ear(bus: &Bus) -> Subscription {
    drop(bus.subscribe());
    bus.settled().await;
    bus.subscribe()
}

pub(crate) fn event(room: &str, seq: u64) -> Arc<Event> {
    Arc::new(Event {
        channel: format!("room:{room}").parse().unwrap(),
        epoch: "e1".to_owned(),
        seq,
        kind: EventKind::MessageCreated,
        ts: Timestamp(1_795_194_000_123),
        data: RawValue::from_string(format!(r#"{{"content":"{room} {seq}"}}"#)).unwrap(),
    })
}

/// A listener to what is revoked, for whom everything is in force.
pub(crate) async fn revoked_ear(bus: &Bus) -> Subscription<Revocations> {
    drop(bus.subscribe_revoked());
    bus.settled().await;
    bus.subscribe_revoked()
}

/// A stretch of the feed: what ended after `after`, up to `cursor`.
pub(crate) fn revoked(after: u64, cursor: u64) -> Arc<Revocations> {
    let item = |number: u64| Revocation {
        what: Revoked::Session { sid: SessionId(Uuid::from_u128(number.into())) },
        not_before: Timestamp(1_795_194_000_123),
        until: Timestamp(1_795_194_930_123),
    };
    Arc::new(Revocations { after, cursor, items: (after + 1..=cursor).map(item).collect() })
}

/// The next stretch that is heard: `after cursor`, or `gap`.
pub(crate) async fn hear_revoked(ear: &mut Subscription<Revocations>) -> String {
    match timeout(SOON, ear.next()).await {
        Ok(Some(Heard::Event(stretch))) => {
            assert_eq!(stretch, revoked(stretch.after, stretch.cursor));
            format!("{} {}", stretch.after, stretch.cursor)
        }
        Ok(Some(Heard::Gap)) => "gap".to_owned(),
        other => panic!("nothing was heard: {other:?}"),
    }
}

/// How an event is written in a case.
pub(crate) fn told(event: &Event) -> String {
    assert_eq!(
        event.data.get(),
        format!(r#"{{"content":"{} {}"}}"#, event.channel.room(), event.seq)
    );
    format!("{} {}", event.channel.room(), event.seq)
}

/// The next thing that is heard: `room seq`, or `gap`.
pub(crate) async fn hear(ear: &mut Subscription) -> String {
    match timeout(SOON, ear.next()).await {
        Ok(Some(Heard::Event(event))) => told(&event),
        Ok(Some(Heard::Gap)) => "gap".to_owned(),
        other => panic!("nothing was heard: {other:?}"),
    }
}

/// Hears until all of these were heard, whatever else there is; says what was heard.
pub(crate) async fn hear_all(ear: &mut Subscription, wanted: &[&str]) -> Vec<String> {
    let mut heard = Vec::new();
    while !wanted.iter().all(|want| heard.iter().any(|told| told == want)) {
        heard.push(hear(ear).await);
    }
    heard
}

/// Waits until `fact` is true.
pub(crate) async fn until(fact: impl Fn() -> bool) {
    let wait = async {
        while !fact() {
            sleep(PAUSE).await;
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "it did not come true");
}

/// A client that is none of ours.
pub(crate) async fn stranger(server: &Server) -> async_nats::Client {
    async_nats::connect(server.url()).await.unwrap()
}
