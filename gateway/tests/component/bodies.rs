//! Bodies: streamed both ways, bounded, and never silently cut.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::support::{PATIENCE, Upstream, gateway, until};

#[tokio::test]
async fn a_large_body_goes_through_both_ways_unchanged() {
    let upstream = Upstream::start(async |mut peer| {
        while let Some(saw) = peer.request().await {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", saw.body.len());
            peer.caller.send(head).await;
            peer.caller.send(&saw.body).await;
        }
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let body = "0123456789abcdef".repeat(60_000);
    let mut caller = gateway.connect().await;
    let head =
        format!("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    caller.send(head).await;
    caller.send(&body).await;
    assert!(caller.answer().await.body == body);
    caller.send("PUT /open/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for part in body.as_bytes().chunks(50_000) {
        caller.send(format!("{:x}\r\n", part.len())).await;
        caller.send(part).await;
        caller.send("\r\n").await;
    }
    caller.send("0\r\nTrailer: dropped\r\n\r\n").await;
    assert!(caller.answer().await.body == body);
    let saw = upstream.saw().pop().unwrap();
    assert_eq!(saw.field("transfer-encoding"), Some("chunked"));
    assert_eq!(saw.field("content-length"), None);
}

#[tokio::test]
async fn parts_of_an_answer_come_as_they_are_sent() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        peer.caller.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
        // The second part is sent only when the first has arrived.
        peer.request().await;
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    caller.head().await.unwrap();
    assert_eq!(caller.exactly(8).await, b"3\r\none\r\n");
}

#[tokio::test]
async fn a_get_may_have_a_body() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "GET /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(gateway.ask(request).await.status, 200);
    assert_eq!(upstream.saw_one().body, b"abc");
}

#[tokio::test]
async fn a_post_without_a_body_says_so() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    gateway.ask("POST /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(upstream.saw_one().field("content-length"), Some("0"));
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_at_once_and_the_caller_reads_why() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    let length = 2 * 1024 * 1024;
    caller
        .send(format!("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .await;
    // The whole body is sent before the answer is read, as simple clients do.
    caller.send(vec![b'x'; length]).await;
    caller.answer().await.is_problem("body-too-large", 413);
    // What came was read to its end, so that the connection still works.
    caller.send("GET /open/b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(upstream.saw_one().line(), "GET /b HTTP/1.1");
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused_on_the_way() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.routes.open.body_bytes_max=100000"]).await;
    let mut caller = gateway.connect().await;
    caller.send("POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..20 {
        caller.send(&chunk).await;
    }
    caller.send("0\r\n\r\n").await;
    caller.answer().await.is_problem("body-too-large", 413);
    assert!(upstream.saw().is_empty(), "it never had a whole request");
}

#[tokio::test]
async fn a_caller_that_asks_first_is_told_to_go_on_or_not() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    let head =
        "POST /open/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    caller.send(head).await;
    assert!(caller.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    caller.send("abc").await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(upstream.saw_one().field("expect"), None);
    let mut refused = gateway.connect().await;
    refused.send(head.replace("/open/a", "/nothing")).await;
    refused.answer().await.is_problem("not-found", 404);
    assert_eq!(refused.rest().await, "", "no 100 comes, and nothing is waited for");
}

#[tokio::test]
async fn a_caller_that_stops_in_its_body_is_not_waited_for() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.limits.body_idle_timeout=200ms"]).await;
    let mut caller = gateway.connect().await;
    caller.send("POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    let answer = caller.answer().await;
    answer.is_problem("request-timeout", 408);
    assert_eq!(answer.field("connection"), Some("close"));
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_after_its_answer_is_not_answered_again() {
    let upstream = Upstream::start(async |mut peer| {
        peer.only_head().await;
        peer.caller.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\nenough").await;
        while peer.caller.more().await {}
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.routes.open.body_bytes_max=1000"]).await;
    let mut caller = gateway.connect().await;
    let head = "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    caller.send(head).await;
    assert_eq!(caller.answer().await.body, "enough");
    caller.send(format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(0x800))).await;
    caller.send("GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
    tokio::io::AsyncWriteExt::shutdown(&mut caller.stream).await.unwrap();
    assert_eq!(caller.rest().await, "");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_seen_to_be_cut_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let upstream = Upstream::start(move |mut peer| async move {
            peer.request().await;
            peer.caller.send(answer).await;
        })
        .await;
        let gateway = gateway(upstream.address, &[]).await;
        let mut caller = gateway.connect().await;
        caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let all = caller.rest().await;
        assert!(all.starts_with("HTTP/1.1 200"), "{all}");
        let body = all.split_once("\r\n\r\n").unwrap().1;
        assert!(!body.ends_with("0\r\n\r\n"), "{all}");
        if all.contains("content-length") {
            assert!(body.len() < 10, "{all}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_stops_is_cut_off() {
    let upstream = Upstream::start(async |mut peer| {
        peer.request().await;
        peer.caller.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        peer.request().await;
    })
    .await;
    let gateway = gateway(upstream.address, &["gateway.limits.body_idle_timeout=200ms"]).await;
    let mut caller = gateway.connect().await;
    caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(caller.rest().await.ends_with("half"));
    let log = gateway.data.path().join("access.log");
    until("the log says why", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("made no progress"))
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_its_request() {
    let (gone, mut is_gone) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |mut peer| {
        let gone = gone.clone();
        async move {
            peer.request().await;
            // Ends when the gateway closes the connection.
            peer.request().await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the upstream sees it", || !upstream.saw().is_empty()).await;
    drop(caller);
    timeout(Duration::from_secs(5), is_gone.recv()).await.expect("it is cancelled");
    let log = gateway.data.path().join("access.log");
    until("it is logged", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"status\":499"))
    })
    .await;
}

#[tokio::test]
async fn whoever_takes_no_answers_gets_to_ask_for_no_more() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.limits.body_idle_timeout=300ms"]).await;
    let plain = "Host: a\r\nContent-Length: 1\r\n";
    for first in ["Upgrade: x\r\n", ""] {
        for line in ["OPTIONS * HTTP/1.1", "POST /nowhere HTTP/1.1"] {
            let requests = format!("{line}\r\n{first}{plain}\r\nx").repeat(500_000);
            let mut caller = gateway.connect().await;
            // Far more than sockets hold: it is taken only by a gateway that keeps the answers.
            let sent = timeout(PATIENCE, caller.stream.write_all(requests.as_bytes())).await;
            assert!(sent.expect("the connection ends").is_err(), "{line} {first}");
        }
    }
}
