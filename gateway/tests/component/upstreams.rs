//! Upstreams that misbehave.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::{Upstream, gateway};

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway() {
    let gateway = gateway(nobody().await, &[]).await;
    let answer = gateway.get("/open/a").await;
    answer.is_problem("upstream-unreachable", 502);
    assert_eq!(answer.field("proxy-status"), Some("hubbub; error=destination_unavailable"));
    assert!(!answer.body.contains("127.0.0.1"), "{answer:?}");
}

#[tokio::test]
async fn each_address_of_a_name_is_tried() {
    let upstream = Upstream::ok().await;
    // It listens on IPv4 alone; the name may have an address of IPv6 before that.
    let port = upstream.address.port();
    let endpoint = format!("gateway.upstreams.chat.endpoints=[\"http://localhost:{port}\"]");
    let gateway = gateway(upstream.address, &[&endpoint]).await;
    assert_eq!(gateway.get("/open/a").await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_is_slow_is_a_gateway_timeout() {
    let upstream = Upstream::start(async |mut peer| while peer.request().await.is_some() {}).await;
    let settings = ["gateway.routes.open.response_timeout=200ms"];
    let gateway = gateway(upstream.address, &settings).await;
    gateway.get("/open/a").await.is_problem("upstream-timeout", 504);
    let post = "POST /open/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    gateway.ask(post).await.is_problem("upstream-timeout", 504);
}

#[tokio::test]
async fn a_head_that_trickles_has_no_longer_than_one_that_does_not_come() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        peer.caller.send("HTTP/1.1 200 OK\r\nX: ").await;
        while peer.caller.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let settings = ["gateway.routes.open.response_timeout=200ms"];
    let gateway = gateway(upstream.address, &settings).await;
    gateway.get("/open/a").await.is_problem("upstream-timeout", 504);
}

#[tokio::test]
async fn an_upstream_that_takes_no_body_is_a_gateway_timeout_too() {
    let upstream = Upstream::start(async |mut peer| {
        peer.only_head().await;
        tokio::time::sleep(Duration::from_mins(1)).await;
    })
    .await;
    let settings = [
        "gateway.limits.body_idle_timeout=300ms",
        "gateway.routes.open.response_timeout=300ms",
        "gateway.routes.open.body_bytes_max=100000000",
    ];
    let gateway = gateway(upstream.address, &settings).await;
    let mut caller = gateway.connect().await;
    let length = 12 * 1024 * 1024;
    caller
        .send(format!("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .await;
    caller.send(vec![b'x'; length]).await;
    caller.answer().await.is_problem("upstream-timeout", 504);
}

#[tokio::test]
async fn an_answer_may_come_before_the_whole_request_has_gone() {
    let upstream = Upstream::start(async |mut peer| {
        peer.only_head().await;
        peer.caller.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\nenough").await;
        while peer.caller.more().await {
            peer.caller.ahead.clear();
        }
    })
    .await;
    let settings = ["gateway.threads=1", "gateway.routes.open.body_bytes_max=100000000"];
    let gateway = gateway(upstream.address, &settings).await;
    let mut caller = gateway.connect().await;
    caller.send("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\nbegin").await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 400, "{answer:?}");
    caller.send(vec![b'x'; 6_000_000 - 5]).await;
    // The next request does not go into the body of the first.
    caller.send("GET /open/b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 400);
    let lines: Vec<_> = upstream.saw().iter().map(|saw| saw.line().to_owned()).collect();
    assert_eq!(lines, ["POST /a HTTP/1.1", "GET /b HTTP/1.1"]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_is_a_bad_gateway() {
    for answer in [
        "",
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: ",
    ] {
        let upstream = Upstream::start(move |mut peer| async move {
            peer.request().await;
            peer.caller.send(answer).await;
        })
        .await;
        let gateway = gateway(upstream.address, &[]).await;
        gateway.get("/open/a").await.is_problem("upstream-failed", 502);
    }
}

#[tokio::test]
async fn an_upstreams_own_error_passes_untouched() {
    let upstream = Upstream::answering(
        "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\nContent-Type: text/x-mine\r\n\r\nboom!",
    )
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let answer = gateway.get("/open/a").await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "boom!"));
    assert_eq!(answer.field("content-type"), Some("text/x-mine"));
    assert_eq!(answer.field("proxy-status"), None);
}

#[tokio::test]
async fn an_older_upstream_does_not_make_the_gateway_older() {
    let upstream = Upstream::answering("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    for _ in 0..2 {
        caller.send("GET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n").await;
        let answer = caller.answer().await;
        assert!(answer.head.starts_with("HTTP/1.1 200"), "{}", answer.head);
        assert_eq!(answer.field("connection"), None);
    }
}

/// Answers the first request of each connection and closes at the second, without a word, on the
/// first connection; works on all others.
async fn forgetful() -> Upstream {
    Upstream::start(async |mut peer| {
        while peer.request().await.is_some() {
            let is_second = peer.number == 0 && peer.caller.ahead.is_empty();
            peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            if is_second {
                // Reads the next request and leaves.
                peer.request().await;
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_where_that_is_safe() {
    let upstream = forgetful().await;
    let gateway = gateway(upstream.address, &["gateway.threads=1"]).await;
    let mut caller = gateway.connect().await;
    for _ in 0..2 {
        caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(caller.answer().await.status, 200);
    }
    assert_eq!(upstream.connections(), 2);
    assert_eq!(upstream.saw().len(), 3, "the second request was sent twice");
    let metrics = gateway.operator("/metrics").await.body;
    let line = "gateway_upstream_connections_replaced_total{upstream=\"chat\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn a_command_that_may_have_been_acted_on_is_not_sent_twice() {
    let upstream = forgetful().await;
    let gateway = gateway(upstream.address, &["gateway.threads=1"]).await;
    let mut caller = gateway.connect().await;
    let post = "POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    caller.send(post).await;
    assert_eq!(caller.answer().await.status, 200);
    caller.send(post).await;
    caller.answer().await.is_problem("upstream-failed", 502);
    assert_eq!(upstream.saw().len(), 2);
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_not_used_again() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.threads=1"]).await;
    let mut caller = gateway.connect().await;
    for _ in 0..20 {
        caller.send("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
        assert_eq!(caller.answer().await.status, 200);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unused_connection_is_closed_before_the_upstream_does() {
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            peer.request().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.upstreams.chat.idle_timeout=200ms"]).await;
    assert_eq!(gateway.get("/open/a").await.status, 200);
    tokio::time::timeout(Duration::from_secs(5), is_closed.recv()).await.expect("it is closed");
}

#[tokio::test]
async fn health_is_told_from_memory_and_follows_the_upstreams() {
    let upstream = Upstream::ok().await;
    let down = format!("gateway.upstreams.message.endpoints=[\"http://{}\"]", nobody().await);
    let settings = ["gateway.health.interval=50ms", down.as_str()];
    let gateway = gateway(upstream.address, &settings).await;
    let end = tokio::time::Instant::now() + crate::support::PATIENCE;
    let health = loop {
        let answer = gateway.get("/health").await;
        let health = answer.json();
        let known = |name: &str| {
            let services = health["services"].as_array().unwrap();
            services.iter().find(|s| s["name"] == name).unwrap()["status"] != "unknown"
        };
        if known("user") && known("chat") && known("message") {
            assert_eq!(answer.status, 503, "message is critical");
            break health;
        }
        assert!(tokio::time::Instant::now() < end, "{health}");
    };
    assert_eq!(health["status"], "unhealthy");
    let service = |name: &str| {
        health["services"].as_array().unwrap().iter().find(|s| s["name"] == name).unwrap()
    };
    assert_eq!(service("user")["status"], "healthy");
    assert_eq!(service("message")["status"], "unhealthy");
    assert!(service("message").get("error").is_none(), "not for everybody");
    let detailed = gateway.operator("/health").await.json();
    let message = detailed["services"].as_array().unwrap().iter().find(|s| s["name"] == "message");
    assert!(message.unwrap()["error"].is_string(), "{detailed}");
}
