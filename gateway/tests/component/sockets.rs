//! The opening of WebSockets: a tunnel, and nothing but a tunnel, after the upstream's own 101.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{self, Caller, Gateway, Upstream, gateway, until};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request for a WebSocket, with more fields.
pub(crate) fn ask(more: &str) -> String {
    format!(
        "GET /api/chat/ws/room1?since=1 HTTP/1.1\r\nHost: hub\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// The answer that fits [`ask`].
pub(crate) fn switch() -> String {
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
async fn what_comes_before_the_101_is_not_for_the_upstream_yet() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        let early = timeout(Duration::from_millis(200), peer.caller.stream.readable()).await;
        assert!(early.is_err() && peer.caller.ahead.is_empty());
        peer.caller.send(switch()).await;
        let got = peer.caller.exactly(5).await;
        peer.caller.send(got).await;
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = open(&gateway, "early").await;
    assert_eq!(caller.exactly(5).await, b"early");
}

#[tokio::test]
async fn a_request_behind_one_that_opens_nothing_goes_through_every_door() {
    let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::answering(answer).await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send(ask("") + "GET /api/users/1 HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 403);
    assert_eq!(caller.answer().await.status, 401);
    upstream.saw_one();
}

#[tokio::test]
async fn a_101_that_does_not_match_opens_nothing() {
    for answer in [
        switch().replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        switch().replace("Sec-WebSocket-Accept", "X-Accept"),
        switch().replace("\r\n\r\n", "\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"),
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
async fn a_101_frames_no_body() {
    for field in ["Content-Length: 2", "Transfer-Encoding: chunked"] {
        let answer = switch().replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\nhello"));
        let upstream = Upstream::answering(answer).await;
        let gateway = gateway(upstream.address, &[]).await;
        let mut caller = gateway.connect().await;
        caller.send(ask("")).await;
        let head = caller.head().await.unwrap();
        let (name, _) = field.split_once(':').unwrap();
        assert_eq!(support::field(&head, name), None, "{head}");
        assert_eq!(caller.exactly(5).await, b"hello");
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
    let newer = gateway.ask(&ask("").replace("Version: 13", "Version: 25")).await;
    assert_eq!(newer.field("sec-websocket-version"), Some("13"), "{newer:?}");
    assert_eq!(newer.field("upgrade"), Some("websocket"), "{newer:?}");
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
    let h2c = ask("HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n")
        .replace("Upgrade: websocket", "Upgrade: h2c")
        .replace("keep-alive, Upgrade", "Upgrade, HTTP2-Settings");
    let old = ask("").replace("HTTP/1.1", "HTTP/1.0");
    for request in [elsewhere, h2c, old] {
        assert_eq!(gateway.ask(&request).await.status, 200, "{request}");
        let saw = upstream.saw().pop().unwrap();
        assert_eq!((saw.field("upgrade"), saw.field("connection")), (None, None));
        assert_eq!(saw.field("http2-settings"), None);
    }
}

#[tokio::test]
async fn a_slow_upstream_does_not_hold_a_handshake_for_ever() {
    let upstream = Upstream::start(async |mut peer| while peer.request().await.is_some() {}).await;
    let setting = "gateway.routes.socket.response_timeout=200ms";
    let gateway = gateway(upstream.address, &[setting]).await;
    gateway.ask(&ask("")).await.is_problem("upstream-timeout", 504);
    until("the upstream saw it", || !upstream.saw().is_empty()).await;
}
