//! How the chat service hears of what was stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chassis::bus::{self, Heard, Subscription};
use chassis::config::Settings as _;
use chassis::{Bus, Random};
use contract::internal::Rings;
use contract::{Event, EventKind};
use harness::nats::Server;
use harness::{Engine, on_both_engines};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::service::{World, listen, started};

const SOON: Duration = Duration::from_secs(10);

on_both_engines!(
    the_bus_rings_every_event_in_order,
    a_chat_service_of_its_own_is_rung_by_http_until_it_hears,
    a_chat_service_that_is_away_costs_no_acknowledgement,
);

async fn the_bus_rings_every_event_in_order(engine: Engine) {
    let (world, service) = started(engine).await;
    let mut ear = world.bus.subscribe();
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    for number in 0..20 {
        ada.say("tea", &number.to_string()).await.is(201);
    }
    hears_tea(&mut ear, 21).await;
}

/// The events of the room `tea`, from the first one on.
async fn hears_tea(ear: &mut Subscription, count: u64) {
    for seq in 1..=count {
        let heard = timeout(SOON, ear.next()).await.unwrap();
        let Some(Heard::Event(event)) = heard else { panic!("{heard:?}") };
        assert_eq!((event.channel.to_string().as_str(), event.seq), ("room:tea", seq));
    }
}

#[tokio::test]
async fn a_bus_between_processes_is_rung_whatever_the_bell_is_and_costs_no_acknowledgement() {
    let mut nats = Server::start().unwrap();
    let mut world = World::on(Engine::Sqlite);
    world.layers.put("bus.url", nats.url());
    world.layers.put("message.bell", "http");
    world.layers.put("message.rings.chat_url", "http://127.0.0.1:9");
    let config = bus::Config::read(&world.layers).unwrap();
    let open = || Bus::open(&config, 1_000, "test", &Random::System);
    let other = open().await.unwrap();
    drop(other.subscribe());
    other.settled().await;
    let mut ear = other.subscribe();
    world.bus = open().await.unwrap();
    world.bus.settled().await;
    let service = world.start().await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    ada.say("tea", "hi").await.is(201);
    hears_tea(&mut ear, 2).await;
    nats.crash();
    for _ in 0..20 {
        ada.say("tea", "nobody hears it").await.is(201);
    }
    nats.start_again().unwrap();
    let gap = async { while !matches!(ear.next().await, Some(Heard::Gap) | None) {} };
    timeout(SOON, gap).await.unwrap();
    service.stop().await;
}

async fn a_chat_service_of_its_own_is_rung_by_http_until_it_hears(engine: Engine) {
    let (heard, mut events) = mpsc::unbounded_channel::<Event>();
    let calls = Arc::new(AtomicU32::new(0));
    let hear = move |headers: HeaderMap, axum::Json(rings): axum::Json<Rings>| {
        let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
        assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer ey"));
        if !first {
            rings.events.into_iter().for_each(|event| heard.send(event).unwrap());
        }
        std::future::ready(if first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    };
    let chat = listen(Router::new().route("/internal/rings", post(hear)));
    let mut world = World::on(engine);
    world.layers.put("message.bell", "http");
    world.layers.put("message.rings.chat_url", format!("http://{}", chat.address));
    world.layers.put("message.rings.pause", "1ms");
    let service = world.start().await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    let sent = ada.say("tea", "hi").await.is(201);
    for (seq, kind) in [(1, EventKind::MemberJoined), (2, EventKind::MessageCreated)] {
        let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
        assert_eq!((event.seq, event.kind), (seq, kind));
        if seq == 2 {
            let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap();
            assert_eq!(data, sent);
        }
    }
    service.stop().await;
}

async fn a_chat_service_that_is_away_costs_no_acknowledgement(engine: Engine) {
    let mut world = World::on(engine);
    world.layers.put("message.bell", "http");
    world.layers.put("message.rings.chat_url", "http://127.0.0.1:9");
    world.layers.put("message.rings.pause", "1ms");
    let service = world.start().await;
    let ada = world.user(&service, "ada");
    ada.create("tea").await.is(201);
    for _ in 0..20 {
        ada.say("tea", "hi").await.is(201);
    }
    service.stop().await;
}
