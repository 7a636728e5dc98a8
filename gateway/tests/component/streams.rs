//! Callers that speak HTTP/2: what passes, what is malformed, and the bounds of their connections.

use std::time::Duration;

use bytes::Bytes;
use chassis::running::Drained;
use http::{HeaderMap, HeaderValue, Request};

use crate::h2c::{
    Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, Up, fields, frame,
    grpc, h2c_gateway, request, soon, whole,
};
use crate::support::{Gateway, Upstream, gateway, until};

const ENDS: u8 = END_STREAM | END_HEADERS;
/// `PROTOCOL_ERROR`, `REFUSED_STREAM` and `ENHANCE_YOUR_CALM` (RFC 9113 section 7).
const PROTOCOL_ERROR: u8 = 1;
const REFUSED: u8 = 7;

#[tokio::test]
async fn a_stream_reaches_an_upstream_of_http_1_and_its_answer_comes_back() {
    let answer = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
                  Keep-Alive: timeout=9\r\nX-Own: 1\r\n\r\nbody";
    let upstream = Upstream::answering(answer).await;
    let gateway = gateway(upstream.address, &[]).await;
    let post = Request::post("http://hub.example/open/a/./b?x=%2F")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-user-id", "root")
        .header("x_user_id", "root")
        .header("x-forwarded-for", "9.9.9.9")
        .body(())
        .unwrap();
    let answer = Client::connect(&gateway).await.call(post, b"hello", None).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"body"[..]));
    assert_eq!(answer.field("x-own"), Some("1"));
    for name in ["x-hop", "keep-alive", "connection", "transfer-encoding"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    let saw = upstream.saw_one();
    assert_eq!(saw.line(), "POST /a/b?x=%2F HTTP/1.1");
    assert_eq!((saw.field("host"), &saw.body[..]), (Some("hub.example"), &b"hello"[..]));
    assert_eq!(saw.field("cookie"), Some("a=1; b=2"));
    assert_eq!(saw.field("x-forwarded-for"), Some("127.0.0.1"));
    assert!(!saw.head.contains("root"), "{}", saw.head);
}

#[tokio::test]
async fn a_body_keeps_its_length_where_it_was_told() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let post = Request::post("http://hub/open/a").header("content-length", "5").body(()).unwrap();
    assert_eq!(client.call(post, b"hello", None).await.unwrap().status, 200);
    let saw = upstream.saw_one();
    assert_eq!((saw.field("content-length"), saw.field("transfer-encoding")), (Some("5"), None));
}

#[tokio::test]
async fn streams_of_one_connection_do_not_wait_for_each_other() {
    let upstream = Upstream::start(async |mut peer| {
        while let Some(saw) = peer.request().await {
            if saw.line().starts_with("GET /slow") {
                std::future::pending::<()>().await;
            }
            peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let slow = client.begin(Request::get("http://hub/open/slow").body(()).unwrap()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/open/fast").await.unwrap().body, b"ok");
    }
    drop(slow);
}

#[tokio::test]
async fn a_page_may_ask_beforehand_on_a_stream() {
    let upstream = Upstream::ok().await;
    let setting = "gateway.cors.origins=[\"https://app.example\"]";
    let gateway = gateway(upstream.address, &[setting]).await;
    let asks = Request::options("http://hub/open/a")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "PUT")
        .body(())
        .unwrap();
    let answer = Client::connect(&gateway).await.call(asks, b"", None).await.unwrap();
    assert_eq!(answer.status, 204);
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://app.example"));
    assert!(upstream.saw().is_empty());
}

#[tokio::test]
async fn the_general_way_alone_serves_streams_as_well() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.lean_way=false"]).await;
    let client = Client::connect(&gateway).await;
    assert_eq!(client.get("/open/a").await.unwrap().body, b"ok");
    assert_eq!(client.get("/health/live").await.unwrap().status, 200);
}

#[tokio::test]
async fn each_stream_is_logged_as_a_request() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let client = Client::connect(&gateway).await;
    client.get("/open/logged?token=secret").await.unwrap();
    client.get("/nothing").await.unwrap();
    let log = gateway.data.path().join("access.log");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    until("both lines are there", || text().lines().count() == 2).await;
    assert!(text().contains("/open/logged?token=***") && text().contains("\"not-found\""));
}

#[tokio::test]
async fn a_preface_counts_only_at_the_beginning() {
    let upstream = Upstream::ok().await;
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let gateway = gateway(upstream.address, &[way]).await;
        let mut caller = gateway.connect().await;
        caller.send("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(caller.answer().await.status, 200);
        caller.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        caller.answer().await.is_problem("bad-request", 400);
    }
}

#[tokio::test]
async fn a_preface_may_come_byte_by_byte() {
    let upstream = Upstream::ok().await;
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let gateway = gateway(upstream.address, &[way]).await;
        let mut caller = gateway.connect().await;
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            caller.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        caller.send(frame(4, 0, 0, &[])).await;
        let first = caller.exactly(9).await;
        assert_eq!(first[3], 4, "the gateway's settings, not a refusal: {first:?}");
    }
}

/// What a malformed request, in the bytes of its frames, comes to: `None` for a reset stream or an
/// ended connection, else the answer's frames.
async fn is_refused(gateway: &Gateway, bytes: &[u8]) -> bool {
    let mut raw = Raw::connect(gateway).await;
    raw.send(bytes).await;
    match raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await {
        None => true,
        Some(frame) if frame.kind == HEADERS => !is_ok(&frame.payload),
        Some(frame) => frame.kind == GOAWAY || frame.payload[3] == PROTOCOL_ERROR,
    }
}

/// Whether a head's first field is `:status` 200, as it stands in the table (RFC 7541 appendix A).
fn is_ok(payload: &[u8]) -> bool {
    payload.first() == Some(&0x88)
}

#[tokio::test]
async fn what_could_be_smuggled_in_a_stream_is_refused() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let get =
        |path: &str, more: &[(&str, &str)]| frame(HEADERS, ENDS, 1, &request("GET", path, more));
    assert!(!is_refused(&gateway, &get("/open/a", &[("x-good", "1")])).await, "a good one passes");
    let bare = |fields_: &[(&str, &str)]| frame(HEADERS, ENDS, 1, &fields(fields_));
    let first = [(":method", "GET"), (":scheme", "http"), (":path", "/open/a")];
    for (name, bytes) in [
        ("transfer-encoding", get("/open/a", &[("transfer-encoding", "chunked")])),
        ("connection", get("/open/a", &[("connection", "x-a")])),
        ("keep-alive", get("/open/a", &[("keep-alive", "5")])),
        ("proxy-connection", get("/open/a", &[("proxy-connection", "close")])),
        ("upgrade", get("/open/a", &[("upgrade", "websocket")])),
        ("te gzip", get("/open/a", &[("te", "gzip")])),
        ("upper case", get("/open/a", &[("X-Bad", "1")])),
        ("cr lf in a value", get("/open/a", &[("x-bad", "a\r\nx-user-id: 1")])),
        ("nul in a value", get("/open/a", &[("x-bad", "a\0b")])),
        ("cr lf in a name", get("/open/a", &[("x-bad: 1\r\nx", "b")])),
        ("blank in the path", get("/open/a HTTP/1.1", &[])),
        ("cr lf in the path", get("/open/a\r\nx-bad: 1", &[])),
        ("no slash", get("open/a", &[])),
        ("two lengths", get("/open/a", &[("content-length", "0"), ("content-length", "1")])),
        ("a length that is none", get("/open/a", &[("content-length", "+1")])),
        ("a length without a body", get("/open/a", &[("content-length", "5")])),
        ("another host", get("/open/a", &[("host", "other")])),
        ("two hosts", bare(&[&first[..], &[("host", "a"), ("host", "b")]].concat())),
        ("no host", bare(&first)),
        ("no host at all but blanks", bare(&[&first[..], &[("host", "a b")]].concat())),
        ("two paths", get("/open/a", &[(":path", "/b")])),
        ("pseudo behind fields", bare(&[&first[..2], &[("x", "1")], &first[2..]].concat())),
        ("an unknown pseudo", get("/open/a", &[(":odd", "1")])),
        (
            "connect",
            frame(HEADERS, ENDS, 1, &fields(&[(":method", "CONNECT"), (":authority", "a:1")])),
        ),
        ("trace", frame(HEADERS, ENDS, 1, &request("TRACE", "/open/a", &[]))),
    ] {
        assert!(is_refused(&gateway, &bytes).await, "{name}");
    }
    assert_eq!(upstream.saw().len(), 1, "none of them went on: {:?}", upstream.saw());
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_says_breaks_its_stream() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut raw = Raw::connect(&gateway).await;
    let head = request("POST", "/open/a", &[("content-length", "2")]);
    let data = frame(DATA, END_STREAM, 1, b"abGET /x HTTP/1.1\r\n\r\n");
    raw.send(&[frame(HEADERS, END_HEADERS, 1, &head), data].concat()).await;
    let told = raw.next_of(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!(told.payload[if told.kind == GOAWAY { 7 } else { 3 }], PROTOCOL_ERROR);
    assert!(!upstream.saw().iter().any(|saw| saw.head.contains("/x")), "{:?}", upstream.saw());
}

#[tokio::test]
async fn one_stream_more_than_may_be_is_refused_alone() {
    let up = Up::serving(async |_request, _respond| std::future::pending().await).await;
    let gateway = h2c_gateway(up.address, &["gateway.http2.streams_max=2"]).await;
    let mut raw = Raw::connect(&gateway).await;
    for stream in [1, 3, 5] {
        raw.send(&frame(HEADERS, ENDS, stream, &request("GET", "/open/a", &[]))).await;
    }
    let told = raw.next_of(&[RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((told.kind, told.stream, told.payload[3]), (RST_STREAM, 5, REFUSED));
    // One of the others ends, and the next one is let in.
    raw.send(&frame(RST_STREAM, 0, 3, &[0, 0, 0, 8])).await;
    raw.send(&frame(HEADERS, ENDS, 7, &request("GET", "/health/live", &[]))).await;
    let told = raw.next_of(&[HEADERS, RST_STREAM, GOAWAY]).await.unwrap();
    assert_eq!((told.kind, told.stream), (HEADERS, 7));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_alone() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.limits.head_bytes_max=8192"]).await;
    let client = Client::connect(&gateway).await;
    let long = HeaderValue::try_from("x".repeat(9000)).unwrap();
    let get = Request::get("http://hub/open/a").header("x-long", long).body(()).unwrap();
    assert_eq!(client.call(get, b"", None).await.unwrap().status, 431);
    assert_eq!(client.get("/open/a").await.unwrap().status, 200);
    assert_eq!(upstream.saw().len(), 1);
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection_and_no_other() {
    let up = Up::serving(async |_request, _respond| std::future::pending().await).await;
    let settings = ["gateway.http2.resets_max=20", "gateway.threads=1"];
    let gateway = h2c_gateway(up.address, &settings).await;
    let other = Client::connect(&gateway).await;
    assert_eq!(other.get("/health/live").await.unwrap().status, 200);
    let mut raw = Raw::connect(&gateway).await;
    let head = request("GET", "/open/a", &[]);
    let mut flood = async || {
        for stream in (1..2001_u32).step_by(2) {
            let pair =
                [frame(HEADERS, ENDS, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])];
            tokio::io::AsyncWriteExt::write_all(&mut raw.0, &pair.concat()).await?;
            if stream % 40 == 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Writing fails as soon as the gateway has seen enough.
    soon(flood()).await.ok();
    while raw.next().await.is_some() {}
    assert_eq!(other.get("/health/live").await.unwrap().status, 200);
    let metrics = gateway.operator("/metrics").await.body;
    let general =
        metrics.lines().find(|line| line.starts_with("gateway_way_requests_total{way=\"general\""));
    let served: u64 = general.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(served < 200, "{served} were let in");
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_refused() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &["gateway.routes.open.body_bytes_max=4"]).await;
    let client = Client::connect(&gateway).await;
    let post = Request::post("http://hub/open/a").body(()).unwrap();
    assert_eq!(client.call(post, b"hello", None).await.unwrap().status, 413);
}

#[tokio::test]
async fn a_body_that_stops_is_refused_and_others_go_on() {
    let up = Up::echo().await;
    let settings = ["gateway.limits.body_idle_timeout=200ms"];
    let gateway = h2c_gateway(up.address, &settings).await;
    let client = Client::connect(&gateway).await;
    let (answer, mut stream) =
        client.begin(Request::post("http://hub/open/a").body(()).unwrap()).await;
    stream.send_data(Bytes::from("half"), false).unwrap();
    assert_eq!(soon(whole(answer)).await.unwrap().status, 408);
    let answer = client.call(grpc("/open/a"), b"x", None).await.unwrap();
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
}

#[tokio::test]
async fn frames_of_nothing_are_no_progress() {
    let up = Up::echo().await;
    let settings = ["gateway.limits.body_idle_timeout=300ms"];
    let gateway = h2c_gateway(up.address, &settings).await;
    let client = Client::connect(&gateway).await;
    let post = Request::post("http://hub/open/a").body(()).unwrap();
    let (answer, mut stream) = client.begin(post).await;
    let trickle = async {
        while stream.send_data(Bytes::new(), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = soon(whole(answer)) => assert_eq!(answer.unwrap().status, 408),
        () = trickle => {}
    }
}

#[tokio::test]
async fn a_stream_that_takes_nothing_of_its_answer_ends_alone() {
    let body = "z".repeat(500_000);
    let upstream =
        Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n{body}"))
            .await;
    let settings = ["gateway.limits.body_idle_timeout=300ms"];
    let gateway = gateway(upstream.address, &settings).await;
    let client = Client::connect(&gateway).await;
    let (answer, mut stream) =
        client.begin(Request::get("http://hub/open/a").body(()).unwrap()).await;
    stream.send_data(Bytes::new(), true).unwrap();
    let mut body = soon(answer).await.unwrap().into_body();
    // Reads what comes, and gives no window back.
    let broke = soon(async {
        while let Some(part) = body.data().await {
            if part.is_err() {
                return true;
            }
        }
        false
    });
    assert!(broke.await, "the stream was cut off");
    // Until then what was read counts against the whole connection.
    drop((body, stream));
    assert_eq!(client.get("/health/live").await.unwrap().status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.limits.keep_alive_timeout=200ms"]).await;
    let client = Client::connect(&gateway).await;
    assert_eq!(client.get("/open/a").await.unwrap().status, 200);
    let ended = soon(client.driver).await.unwrap();
    assert!(ended.is_ok(), "without an error: {ended:?}");
}

#[tokio::test]
async fn a_drain_says_goaway_and_lets_streams_end() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let up = Up::serving(move |request, respond| {
        let mut wait = wait.clone();
        async move {
            crate::h2c::read(request).await;
            wait.wait_for(|go| *go).await.unwrap();
            crate::h2c::answer(respond, Bytes::from("late"));
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let idle = Client::connect(&gateway).await;
    assert_eq!(idle.get("/health/live").await.unwrap().status, 200);
    let (answer, mut stream) = client.begin(grpc("/open/a")).await;
    stream.send_data(Bytes::from("x"), true).unwrap();
    until("the upstream has it", || up.connections() == 1).await;
    let draining = gateway.drain(Duration::from_secs(8));
    let calling = async {
        assert!(soon(idle.driver).await.unwrap().is_ok());
        go.send(true).unwrap();
        let answer = soon(whole(answer)).await.unwrap();
        assert_eq!((&answer.body[..], answer.trailer("grpc-status")), (&b"late"[..], Some("0")));
        drop(client);
    };
    let (drained, ()) = tokio::join!(draining, calling);
    assert_eq!(drained, Drained::Clean);
}

#[tokio::test]
async fn trailers_of_a_request_end_where_they_name_a_caller() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-user-name", HeaderValue::from_static("root"));
    let client = Client::connect(&gateway).await;
    client.call(grpc("/open/a"), b"x", Some(trailers)).await.unwrap();
    assert_eq!(up.saw_one().trailers, None);
}
