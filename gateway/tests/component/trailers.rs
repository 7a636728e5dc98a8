//! Trailers on HTTP/1.1: whom they reach, and which.

use http::{HeaderMap, HeaderValue};

use crate::h2c::{Client, Up, grpc, h2c_gateway};
use crate::support::{Upstream, gateway};

/// An answer with trailers, of which one is none.
const TRAILED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Request-Id\r\n\r\n\
                       2\r\nok\r\n0\r\nX-Sum: 2\r\nX-Request-Id: forged\r\nX-Unsaid: 1\r\n\r\n";

#[tokio::test]
async fn an_old_caller_that_takes_trailers_gets_those_that_were_announced() {
    let upstream = Upstream::answering(TRAILED).await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    let fields = "Host: a\r\nTE: trailers\r\nConnection: close, TE\r\n";
    caller.send(format!("GET /open/a HTTP/1.1\r\n{fields}\r\n")).await;
    let text = caller.rest().await.to_lowercase();
    assert!(text.contains("trailer: x-sum\r\n"), "{text}");
    assert!(text.ends_with("2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n"), "{text}");
    assert!(!text.contains("forged"), "{text}");
}

#[tokio::test]
async fn an_old_caller_that_says_nothing_gets_no_trailers() {
    let upstream = Upstream::answering(TRAILED).await;
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let gateway = gateway(upstream.address, &[way]).await;
        let mut caller = gateway.connect().await;
        caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let text = caller.rest().await.to_lowercase();
        assert!(text.ends_with("2\r\nok\r\n0\r\n\r\n"), "{text}");
        assert!(!text.contains("x-sum"), "{text}");
    }
}

#[tokio::test]
async fn a_stream_gets_the_trailers_of_an_upstream_of_http_1() {
    let upstream = Upstream::answering(TRAILED).await;
    let gateway = gateway(upstream.address, &[]).await;
    let answer = Client::connect(&gateway).await.get("/open/a").await.unwrap();
    assert_eq!((&answer.body[..], answer.trailer("x-sum")), (&b"ok"[..], Some("2")));
    assert_eq!(answer.trailer("x-request-id"), None);
}

#[tokio::test]
async fn an_old_caller_that_takes_trailers_gets_the_status_of_a_call() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let mut caller = gateway.connect().await;
    let fields = "Host: a\r\nTE: trailers\r\nConnection: close\r\nContent-Length: 1\r\n\
                  Content-Type: application/grpc\r\n";
    caller.send(format!("POST /open/a HTTP/1.1\r\n{fields}\r\nx")).await;
    let text = caller.rest().await.to_lowercase();
    assert!(text.ends_with("1\r\nx\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn announced_trailers_of_a_request_reach_an_upstream_of_http_1() {
    let upstream = Upstream::start(async |mut peer| {
        let head = peer.caller.head().await.unwrap().to_lowercase();
        assert!(head.contains("trailer: x-sum\r\n"), "{head}");
        while !peer.caller.ahead.ends_with(b"\r\n\r\n") && peer.caller.more().await {}
        let body = String::from_utf8(peer.caller.ahead.clone()).unwrap().to_lowercase();
        let length = body.len();
        peer.caller
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                   Trailer: X-Sum, X-User-Id\r\n\r\n\
                   2\r\nhi\r\n0\r\nX-Sum: 2\r\nX-User-Id: root\r\n\r\n";
    let answer = gateway.ask(request).await;
    assert_eq!(answer.body, "2\r\nhi\r\n0\r\nx-sum: 2\r\n\r\n");
}

#[tokio::test]
async fn too_many_trailers_are_refused() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let mut trailers = HeaderMap::new();
    for number in 0..65 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    let client = Client::connect(&gateway).await;
    let answer = client.call(grpc("/open/a"), b"x", Some(trailers)).await.unwrap();
    assert_eq!(answer.field("grpc-status"), Some("8"), "{answer:?}");
}
