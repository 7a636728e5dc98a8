//! How the gateway starts and stops.

use std::time::Duration;

use chassis::config::{Layers, Settings as _};
use chassis::running::Drained;
use chassis::{Bus, Clock, Deps, Random, StartError};
use gateway::Config;
use tokio::net::TcpStream;

use crate::support::{Upstream, gateway, until};

#[tokio::test]
async fn a_request_that_comes_too_late_does_not_cost_the_answer_before_it() {
    const BODY_BYTES: usize = 300_000;
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
        peer.caller.send(head + &"x".repeat(BODY_BYTES - 1)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        peer.caller.send("x").await;
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.threads=1"]).await;
    let request = "GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut caller = gateway.connect().await;
    caller.send(request).await;
    assert!(caller.more().await, "the answer has begun");
    caller.send(request).await;
    let drained = gateway.drain(Duration::from_secs(8)).await;
    assert_eq!(drained, Drained::Clean);
    // The gateway is gone; what it has sent last is still to be read.
    let head = caller.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(caller.exactly(BODY_BYTES).await.len(), BODY_BYTES);
}

#[tokio::test]
async fn what_is_in_flight_ends_before_the_gateway_does() {
    let upstream = Upstream::start(async |mut peer| {
        while peer.request().await.is_some() {
            peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            peer.caller.send("lf").await;
        }
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.threads=1"]).await;
    let address = gateway.running.address;
    let mut busy = gateway.connect().await;
    busy.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    busy.head().await.unwrap();
    let mut idle = gateway.connect().await;
    idle.send("GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let log = gateway.data.path().join("access.log");
    let kept = gateway.data.path().to_owned();
    let draining = async {
        let data = gateway.data;
        let drained = gateway.running.drain(Duration::from_secs(8)).await;
        (drained, data)
    };
    let using = async {
        let rest = busy.exactly(4).await;
        assert_eq!(rest, b"half");
        assert_eq!(busy.rest().await, "", "the connection ends after its request");
        assert_eq!(idle.rest().await, "", "an idle one ends at once");
    };
    let ((drained, _data), ()) = tokio::join!(draining, using);
    assert_eq!(drained, Drained::Clean);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    assert!(kept.exists());
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log.lines().count(), 2, "every line is written: {log}");
}

#[tokio::test]
async fn readiness_turns_false_before_callers_are_turned_away() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.drain_delay=500ms"]).await;
    for stop in gateway.running.stops() {
        stop.leave();
    }
    assert_eq!(gateway.get("/health/ready").await.status, 503);
    assert_eq!(gateway.operator("/health/ready").await.status, 503);
    assert_eq!(gateway.get("/open/a").await.status, 200);
    let address = gateway.running.address;
    for stop in gateway.running.stops() {
        stop.drain();
    }
    assert_eq!(gateway.get("/open/a").await.status, 200, "within the delay");
    assert_eq!(gateway.drain(Duration::from_secs(5)).await, Drained::Clean);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let upstream = Upstream::start(async |mut peer| while peer.request().await.is_some() {}).await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it is in flight", || !upstream.saw().is_empty()).await;
    let (drained, rest) = tokio::join!(gateway.drain(Duration::from_millis(300)), caller.rest());
    assert_eq!((drained, rest.as_str()), (Drained::Cut, ""));
}

#[tokio::test]
async fn a_port_that_is_taken_is_found_out_even_when_another_gateway_has_it() {
    let upstream = Upstream::ok().await;
    let first = gateway(upstream.address, &[]).await;
    let data = tempfile::tempdir().unwrap();
    let mut layers = Layers::defaults();
    layers.command_line(&format!("gateway.listen={}", first.running.address));
    layers.command_line("gateway.admin_listen=127.0.0.1:0");
    let deps = Deps {
        bus: Bus::local(16),
        clock: Clock::System,
        random: Random::System,
        data: data.path().to_owned(),
    };
    let refused = gateway::start(Config::read(&layers).unwrap(), deps).await;
    assert!(matches!(refused, Err(StartError::Bind { .. })), "{refused:?}");
    assert_eq!(first.get("/open/a").await.status, 200, "the first does not notice");
}

#[tokio::test]
async fn two_gateways_live_in_one_process() {
    let upstream = Upstream::ok().await;
    let (one, two) = (gateway(upstream.address, &[]).await, gateway(upstream.address, &[]).await);
    assert_eq!(one.get("/open/a").await.status, 200);
    assert_eq!(two.get("/open/a").await.status, 200);
    assert_eq!(one.drain(Duration::from_secs(5)).await, Drained::Clean);
    assert_eq!(two.get("/open/a").await.status, 200);
}
