//! What the gateway does not let in: the verdict is what the upstream saw, which is nothing.

use std::time::Duration;

use crate::support::{Upstream, gateway};

#[tokio::test]
async fn a_head_that_breaks_a_rule_is_refused_readably_and_reaches_nobody() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    for (request, kind, status) in broken_in_length().into_iter().chain(broken_in_form()) {
        let answer = gateway.ask(&request).await;
        let short: String = request.chars().take(120).collect();
        assert_eq!(answer.status, status, "{short:?}");
        answer.is_problem(kind, status);
    }
    assert!(upstream.saw().is_empty(), "{:?}", upstream.saw());
}

/// Heads, and the kind and status of their refusal.
type Broken = Vec<(String, &'static str, u16)>;

/// Heads whose framing or size is wrong.
fn broken_in_length() -> Broken {
    let long = format!("GET /open/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8192));
    let very_long = format!("GET /open/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(60_000));
    let large = format!("GET /open/a HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(33_000));
    let many = format!("GET /open/a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(100));
    let too_many = format!("GET /open/a HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(300));
    let post = |fields: &str| format!("POST /open/a HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
    vec![
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "bad-request", 400),
        (post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), "bad-request", 400),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n"), "bad-request", 400),
        (post("Content-Length: 5\r\nContent-Length: 6\r\n"), "bad-request", 400),
        (post("Content-Length: 5, 5\r\n"), "bad-request", 400),
        (post("Content-Length: +5\r\n"), "bad-request", 400),
        (post("Content-Length: five\r\n"), "bad-request", 400),
        (post("Content-Length: 18446744073709551616\r\n"), "bad-request", 400),
        (post("Transfer-Encoding: xchunked\r\n"), "bad-request", 400),
        (post("Transfer-Encoding: chunked, chunked\r\n"), "bad-request", 400),
        (post("Transfer-Encoding: identity\r\n"), "bad-request", 400),
        (post("Transfer-Encoding: \x0bchunked\r\n"), "bad-request", 400),
        (post("Transfer-Encoding : chunked\r\n"), "bad-request", 400),
        (post("Transfer-Encoding: gzip, chunked\r\n"), "not-implemented", 501),
        (
            "POST /open/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "bad-request",
            400,
        ),
        (long, "uri-too-long", 414),
        (very_long, "uri-too-long", 414),
        (large, "head-too-large", 431),
        (many, "head-too-large", 431),
        (too_many, "head-too-large", 431),
    ]
}

/// Heads that are wrong in other ways.
fn broken_in_form() -> Broken {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    vec![
        ("GET /open/a HTTP/1.1\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\nHost: a\n\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n".to_owned(), "bad-request", 400),
        ("GET /open/a HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), "bad-request", 400),
        ("PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n".to_owned(), "bad-request", 400),
        ("\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n".to_owned(), "bad-request", 400),
        (
            "GET /open/a HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n".to_owned(),
            "expectation-failed",
            417,
        ),
        ("TRACE /open/a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "method-not-allowed", 405),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), "method-not-allowed", 405),
        (get("/open/../../etc/passwd"), "bad-request", 400),
        (get("/open/%2e%2e/%2e%2e/etc"), "bad-request", 400),
        (get("/open/a%2fb"), "bad-request", 400),
        (get("/open/a%5cb"), "bad-request", 400),
        (get("/open/a\\b"), "bad-request", 400),
        (get("/open/a%00"), "bad-request", 400),
        (get("/open/%252e%252e/a"), "bad-request", 400),
        (get("/open/%zz"), "bad-request", 400),
        (get("/open/\u{e9}"), "bad-request", 400),
        (get("/open/a?\u{e9}"), "bad-request", 400),
        (get("/open/a#b"), "bad-request", 400),
        (get("/open/a<b"), "bad-request", 400),
        (get("/open/a?\""), "bad-request", 400),
        (get("/open/..;/a"), "bad-request", 400),
        (get("open/a"), "bad-request", 400),
        (get("hub"), "bad-request", 400),
        (get("hub:80"), "bad-request", 400),
        (get("ftp://hub/open/a"), "bad-request", 400),
        (get("http://a:b:c/open/a"), "bad-request", 400),
    ]
}

#[tokio::test]
async fn a_connection_ends_after_a_refusal_unless_its_framing_is_clear() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let next = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, _, status) in broken_in_length() {
        let mut caller = gateway.connect().await;
        caller.send(request + next).await;
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.field("connection")), (status, Some("close")));
        assert_eq!(caller.rest().await, "");
    }
    let mut caller = gateway.connect().await;
    for path in ["/nothing", "/open/%zz", "/api/messages"] {
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n{next}")).await;
        assert!(caller.answer().await.status >= 400, "{path}");
        assert_eq!(caller.answer().await.status, 200, "after {path}");
    }
}

#[tokio::test]
async fn a_path_that_says_the_same_is_the_same() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    for path in
        ["/open/b", "//open//b", "/open/./b", "/x/../open/b", "/%6fpen/%62", "/open/a/%2E./b"]
    {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
        assert_eq!(upstream.saw().pop().unwrap().line(), "GET /b HTTP/1.1", "{path}");
    }
    // A protected path is not reached by another spelling of an open one.
    gateway.get("/open/../api/messages").await.is_problem("unauthenticated", 401);
}

#[tokio::test]
async fn a_broken_chunked_body_is_refused_and_its_rest_is_no_request() {
    for body in ["5\r\nhelloX\r\n", "zz\r\n", "5\nhello\n", "-1\r\n", "fffffffffffffffff\r\n"] {
        let upstream = Upstream::start(async |mut peer| {
            peer.request().await;
        })
        .await;
        let gateway = gateway(upstream.address, &[]).await;
        let mut caller = gateway.connect().await;
        let smuggled = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let head = "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        caller.send(format!("{head}{body}{smuggled}")).await;
        let answer = caller.answer().await;
        answer.is_problem("bad-request", 400);
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(caller.rest().await, "");
        assert!(upstream.saw().is_empty(), "{:?}", upstream.saw());
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.limits.head_timeout=200ms"]).await;
    let mut slow = gateway.connect().await;
    slow.send("GET /open/a HTTP/1.1\r\nHost: ").await;
    slow.answer().await.is_problem("request-timeout", 408);
    let mut silent = gateway.connect().await;
    assert_eq!(silent.rest().await, "");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_in_the_end() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.limits.keep_alive_timeout=200ms"]).await;
    let mut caller = gateway.connect().await;
    caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.rest().await, "");
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_so() {
    let upstream = Upstream::ok().await;
    let settings = ["gateway.threads=1", "gateway.limits.connections_max=1"];
    let gateway = gateway(upstream.address, &settings).await;
    let mut first = gateway.connect().await;
    first.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    let refused = gateway.get("/open/a").await;
    refused.is_problem("overloaded", 503);
    assert_eq!(refused.field("retry-after"), Some("1"));
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_so_and_places_come_back() {
    let upstream = Upstream::start(async |mut peer| {
        while peer.request().await.is_some() {
            peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            peer.caller.send("lf").await;
        }
    })
    .await;
    let settings = ["gateway.threads=1", "gateway.limits.in_flight_max=1"];
    let gateway = gateway(upstream.address, &settings).await;
    let mut first = gateway.connect().await;
    first.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.head().await.unwrap();
    // The place is taken until the last byte has left.
    gateway.get("/open/b").await.is_problem("overloaded", 503);
    assert_eq!(first.exactly(4).await, b"half");
    assert_eq!(gateway.get("/open/c").await.status, 200);
}
