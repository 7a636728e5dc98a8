//! WebSockets: a tunnel, and nothing but a tunnel, after the upstream's own 101.

use std::time::Duration;

use crate::support::{Caller, Gateway, Upstream, gateway, until};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn ask(more: &str) -> String {
    format!(
        "GET /api/chat/ws/room1?since=1 HTTP/1.1\r\nHost: hub\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

fn switch() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat.v1.json\r\n\r\n"
    )
}

/// An upstream that switches, says `early` at once, and then sends back what it gets until the end.
async fn echo(early: &'static str) -> Upstream {
    Upstream::start(move |mut peer| async move {
        peer.request().await;
        peer.caller.send(format!("{}{early}", switch())).await;
        loop {
            let got = std::mem::take(&mut peer.caller.ahead);
            peer.caller.send(got).await;
            if !peer.caller.more().await {
                break;
            }
        }
        peer.caller.send("bye").await;
    })
    .await
}

async fn open(gateway: &Gateway, early: &str) -> Caller {
    let mut caller = gateway.connect().await;
    caller.send(ask("") + early).await;
    let head = caller.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.contains(ACCEPT) && head.contains("sec-websocket-protocol: chat.v1.json"),
        "{head}"
    );
    assert!(head.contains("upgrade: websocket"), "{head}");
    caller
}

#[tokio::test]
async fn bytes_go_both_ways_early_ones_too() {
    let upstream = echo("hello").await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = open(&gateway, "early").await;
    let mut got = caller.exactly(10).await;
    got.sort_unstable();
    let mut expected = b"helloearly".to_vec();
    expected.sort_unstable();
    assert_eq!(got, expected);
    caller.send("later").await;
    assert_eq!(caller.exactly(5).await, b"later");
    let saw = upstream.saw_one();
    assert_eq!(saw.line(), "GET /ws/room1?since=1 HTTP/1.1");
    assert_eq!(saw.field("connection"), Some("upgrade"));
    assert_eq!(saw.field("upgrade"), Some("websocket"));
    assert_eq!(saw.field("sec-websocket-key"), Some(KEY));
    let metrics = gateway.operator("/metrics").await.body;
    assert!(metrics.contains("gateway_tunnels_opened_total 1"), "{metrics}");
}

#[tokio::test]
async fn much_goes_through_and_nothing_is_lost() {
    let upstream = echo("").await;
    let gateway = gateway(upstream.address, &[]).await;
    let caller = open(&gateway, "").await;
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = caller.stream.into_split();
    let (writing, reading) = (sent.clone(), sent.len());
    let write = async move {
        use tokio::io::AsyncWriteExt as _;
        to.write_all(&writing).await.unwrap();
        to
    };
    let read = async move {
        use tokio::io::AsyncReadExt as _;
        let mut got = vec![0; reading];
        from.read_exact(&mut got).await.unwrap();
        got
    };
    let (_open, got) = tokio::join!(write, read);
    assert!(got == sent);
}

#[tokio::test]
async fn one_side_may_end_before_the_other() {
    let upstream = echo("").await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = open(&gateway, "").await;
    caller.send("last words").await;
    tokio::io::AsyncWriteExt::shutdown(&mut caller.stream).await.unwrap();
    assert_eq!(caller.rest().await, "last wordsbye");
}

#[tokio::test]
async fn an_answer_other_than_101_is_an_ordinary_one() {
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope";
    let upstream = Upstream::answering(answer).await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send(ask("")).await;
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "nope"));
    // The connection never left HTTP.
    caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 403);
}

#[tokio::test]
async fn a_101_that_does_not_match_opens_nothing() {
    for answer in [
        switch().replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        switch().replace("Sec-WebSocket-Accept", "X-Accept"),
        switch().replace("Upgrade: websocket", "Upgrade: h2c"),
        switch().replace("Connection: Upgrade", "Connection: close"),
    ] {
        let upstream = Upstream::answering(answer + "smuggled").await;
        let gateway = gateway(upstream.address, &[]).await;
        let mut caller = gateway.connect().await;
        caller.send(ask("")).await;
        caller.answer().await.is_problem("upstream-failed", 502);
        assert!(!String::from_utf8_lossy(&caller.ahead).contains("smuggled"));
    }
}

#[tokio::test]
async fn a_bad_handshake_is_refused_before_the_upstream_hears_of_it() {
    let upstream = echo("").await;
    let gateway = gateway(upstream.address, &[]).await;
    for (request, kind, status) in [
        (ask("").replace(KEY, "short"), "bad-request", 400),
        (ask("").replace("Version: 13", "Version: 8"), "upgrade-required", 426),
        (ask("Origin: http://evil.example\r\n"), "forbidden", 403),
    ] {
        gateway.ask(&request).await.is_problem(kind, status);
    }
    assert!(upstream.saw().is_empty());
    let own = ask("Origin: http://hub\r\n");
    let mut caller = gateway.connect().await;
    caller.send(own).await;
    assert!(caller.head().await.unwrap().starts_with("HTTP/1.1 101 "));
}

#[tokio::test]
async fn other_upgrades_and_other_routes_do_not_switch() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let elsewhere = ask("").replace("/api/chat/ws/room1", "/open/a");
    let h2c = ask("").replace("Upgrade: websocket", "Upgrade: h2c");
    let old = ask("").replace("HTTP/1.1", "HTTP/1.0");
    for request in [elsewhere, h2c, old] {
        assert_eq!(gateway.ask(&request).await.status, 200, "{request}");
        let saw = upstream.saw().pop().unwrap();
        assert_eq!((saw.field("upgrade"), saw.field("connection")), (None, None));
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let upstream = echo("").await;
    let setting = "gateway.limits.tunnel_idle_timeout=200ms";
    let gateway = gateway(upstream.address, &[setting]).await;
    let mut caller = open(&gateway, "").await;
    assert_eq!(caller.rest().await, "");
}

#[tokio::test]
async fn a_tunnel_ends_with_its_upstream() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        peer.caller.send(switch() + "one frame").await;
    })
    .await;
    let setting = "gateway.limits.tunnel_half_close_timeout=200ms";
    let gateway = gateway(upstream.address, &[setting]).await;
    let mut caller = open(&gateway, "").await;
    assert_eq!(caller.rest().await, "one frame");
    drop(caller);
    let mut metrics = String::new();
    for _ in 0..200 {
        metrics = gateway.operator("/metrics").await.body;
        if metrics.contains("gateway_tunnels 0") && metrics.contains("gateway_connections 0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is still counted: {metrics}");
}

#[tokio::test]
async fn a_slow_upstream_does_not_hold_a_handshake_for_ever() {
    let upstream = Upstream::start(async |mut peer| while peer.request().await.is_some() {}).await;
    let setting = "gateway.routes.socket.response_timeout=200ms";
    let gateway = gateway(upstream.address, &[setting]).await;
    gateway.ask(&ask("")).await.is_problem("upstream-timeout", 504);
    until("the upstream saw it", || !upstream.saw().is_empty()).await;
}
