//! Upstreams of HTTP/2: connections that are shared, bounded, replaced, and requests that are sent
//! again only where nothing was done with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::h2c::{
    Client, DATA, GOAWAY, HEADERS, Raw, SETTINGS, Up, answer, frame, grpc, h2c_gateway, head, read,
    soon, whole,
};
use crate::support::{Gateway, PATIENCE, until};

#[tokio::test]
async fn an_old_caller_reaches_an_upstream_of_http_2() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let request = "POST /open/a HTTP/1.1\r\nHost: hub.example\r\nTransfer-Encoding: chunked\r\n\
                   Connection: X-Hop\r\nX-Hop: 1\r\nX-User-Id: root\r\n\r\n\
                   5\r\nhello\r\n0\r\nX-Sum: 5\r\nX-User-Id: root\r\n\r\n";
    let answer = gateway.ask(request).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    assert_eq!(answer.field("grpc-status"), None);
    let saw = up.saw_one();
    assert_eq!(saw.uri, "http://hub.example/a");
    for name in ["x-hop", "x-user-id", "host", "transfer-encoding", "connection"] {
        assert!(!saw.headers.contains_key(name), "{name}");
    }
    let trailers = saw.trailers.unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"5".parse().unwrap()));
}

#[tokio::test]
async fn a_request_that_leads_to_http_2_is_counted_and_logged_once() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &["gateway.threads=1"]).await;
    let mut caller = gateway.connect().await;
    for _ in 0..2 {
        caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(caller.answer().await.status, 200);
    }
    drop(caller);
    let log = gateway.data.path().join("access.log");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    until("the lines are there", || lines() >= 2).await;
    let metrics = gateway.operator("/metrics").await.body;
    let asked = metrics
        .lines()
        .find(|line| line.starts_with("gateway_requests_total") && line.contains("\"open\""));
    assert!(asked.unwrap().ends_with(" 2"), "{asked:?}");
    assert_eq!(lines(), 2);
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &["gateway.threads=1"]).await;
    let client = Client::connect(&gateway).await;
    let calls = (0..20).map(|_| client.call(grpc("/open/a"), b"x", None));
    for answer in futures_of(calls).await {
        assert_eq!(answer.unwrap().trailer("grpc-status"), Some("0"));
    }
    assert_eq!(up.connections(), 1);
}

/// What `all` come to, all at once.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn connections_and_streams_are_bounded_and_requests_wait_for_room() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (n, m) = (now.clone(), most.clone());
    let up = Up::serving(move |request, respond| {
        let (n, m) = (n.clone(), m.clone());
        async move {
            m.fetch_max(n.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            read(request).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            n.fetch_sub(1, Ordering::SeqCst);
            answer(respond, Bytes::from("x"));
        }
    })
    .await;
    let settings = [
        "gateway.threads=1",
        "gateway.upstreams.chat.h2c_connections_max=2",
        "gateway.upstreams.chat.h2c_streams_max=3",
    ];
    let gateway = h2c_gateway(up.address, &settings).await;
    let client = Client::connect(&gateway).await;
    let calls = (0..30).map(|_| client.call(grpc("/open/a"), b"x", None));
    for answer in futures_of(calls).await {
        assert_eq!(answer.unwrap().trailer("grpc-status"), Some("0"));
    }
    assert!(up.connections() <= 2, "{}", up.connections());
    let most = most.load(Ordering::SeqCst);
    assert!((2..=6).contains(&most), "{most}");
}

#[tokio::test]
async fn a_request_for_which_there_is_no_room_is_refused_in_time() {
    let up = Up::serving(async |_request, _respond| std::future::pending().await).await;
    let settings = [
        "gateway.threads=1",
        "gateway.upstreams.chat.h2c_connections_max=1",
        "gateway.upstreams.chat.h2c_streams_max=1",
        "gateway.upstreams.chat.connect_timeout=200ms",
    ];
    let gateway = h2c_gateway(up.address, &settings).await;
    let client = Client::connect(&gateway).await;
    let held = client.begin(grpc("/open/a")).await;
    until("it is there", || up.connections() == 1).await;
    let answer = client.call(grpc("/open/a"), b"x", None).await.unwrap();
    assert_eq!(answer.field("grpc-status"), Some("14"));
    assert_eq!(gateway.get("/open/a").await.status, 503);
    drop(held);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_with_its_body() {
    let up = Up::start(async |mut connection, _| {
        let mut is_first = true;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if std::mem::replace(&mut is_first, false) {
                respond.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
            let tasks = tokio_util::task::TaskTracker::new();
            tasks.spawn(async move {
                let sight = read(request).await;
                answer(respond, sight.body.into());
            });
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let answer = client.call(grpc("/open/a"), b"message", None).await.unwrap();
    assert_eq!((&answer.body[..], answer.trailer("grpc-status")), (&b"message"[..], Some("0")));
}

#[tokio::test]
async fn what_a_goaway_leaves_out_is_sent_again_with_its_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = h2c_gateway(listener.local_addr().unwrap(), &[]).await;
    let client = Client::connect(&gateway).await;
    let upstream = async {
        // The first connection says that it has done nothing, and never will.
        let mut first = Raw(listener.accept().await.unwrap().0);
        soon(first.0.read_exact(&mut [0; 24])).await.unwrap();
        first.next_of(&[HEADERS]).await.unwrap();
        first.next_of(&[DATA]).await.unwrap();
        first.send(&[frame(SETTINGS, 0, 0, &[]), frame(GOAWAY, 0, 0, &[0; 8])].concat()).await;
        let second = listener.accept().await.unwrap().0;
        let mut second = h2::server::handshake(second).await.unwrap();
        let (request, respond) = soon(second.accept()).await.unwrap().unwrap();
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(async move {
            let sight = read(request).await;
            answer(respond, sight.body.into());
        });
        while second.accept().await.is_some() {}
    };
    tokio::select! {
        answer = client.call(grpc("/open/a"), b"message", None) => {
            let answer = answer.unwrap();
            assert_eq!(answer.trailer("grpc-status"), Some("0"), "{answer:?}");
            assert_eq!(answer.body, b"message");
        }
        () = upstream => panic!("the upstream is over"),
    }
}

#[tokio::test]
async fn a_stream_that_was_acted_on_is_not_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let up = Up::serving(move |request, mut respond| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            read(request).await;
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let answer = Client::connect(&gateway).await.call(grpc("/open/a"), b"x", None).await.unwrap();
    assert_eq!(answer.field("grpc-status"), Some("14"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// What a GET hears whose connection served another one before, when `fails` has what comes of its
/// stream; and how often the upstream heard it.
async fn second_get<F, Fut>(settings: &[&str], fails: F) -> (u16, usize)
where
    F: Fn(SendResponse<Bytes>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let up = Up::serving(move |_request, respond| {
        let (number, fails) = (count.fetch_add(1, Ordering::SeqCst), fails.clone());
        async move {
            match number {
                0 => answer(respond, Bytes::from("x")),
                _ => fails(respond).await,
            }
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &[&["gateway.threads=1"], settings].concat()).await;
    assert_eq!(gateway.get("/open/a").await.status, 200);
    let status = gateway.get("/open/a").await.status;
    assert_eq!(up.connections(), 1);
    (status, asked.load(Ordering::SeqCst) - 1)
}

#[tokio::test]
async fn a_request_that_its_upstream_is_late_with_is_not_sent_again() {
    let settings = ["gateway.upstreams.chat.response_timeout=200ms"];
    let heard = second_get(&settings, async |respond| {
        let _held = respond;
        std::future::pending::<()>().await;
    });
    assert_eq!(heard.await, (504, 1));
}

#[tokio::test]
async fn a_request_whose_stream_was_reset_is_not_sent_again_even_where_it_is_safe() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM] {
        let heard = second_get(&[], move |mut respond: SendResponse<Bytes>| async move {
            respond.send_reset(reason);
        });
        assert_eq!(heard.await, (502, 1), "{reason:?}");
    }
}

#[tokio::test]
async fn callers_that_take_nothing_hold_up_no_others_on_the_same_connection() {
    const WINDOW: usize = 65_535;
    let up = Up::serving(|request, mut respond| async move {
        if request.uri().path() == "/short" {
            return answer(respond, Bytes::from("x"));
        }
        let mut body = respond.send_response(head(), false).unwrap();
        // More than can lie on the way; it ends when the gateway is gone.
        body.send_data(vec![b'x'; 64 << 20].into(), true).unwrap();
        std::future::poll_fn(|cx| body.poll_reset(cx)).await.ok();
    })
    .await;
    let settings = [
        "gateway.threads=1",
        "gateway.http2.connection_window_bytes=65535",
        "gateway.upstreams.chat.h2c_connections_max=1",
    ];
    let gateway = h2c_gateway(up.address, &settings).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let slow = Client::connect(&gateway).await;
        let (answer, stream) = slow.begin(grpc("/open/long")).await;
        let mut answer = soon(answer).await.unwrap().into_body();
        // All that the caller takes is there: what comes behind it stays with the gateway.
        let mut taken = 0;
        while taken < WINDOW {
            taken += soon(answer.data()).await.unwrap().unwrap().len();
        }
        held.push((slow, answer, stream));
    }
    for _ in 0..20 {
        assert_eq!(soon(gateway.get("/open/short")).await.body, "x");
    }
    assert_eq!(up.connections(), 1);
}

#[tokio::test]
async fn an_endpoint_that_rests_serves_again_when_its_connection_has_room() {
    let (go_on, told) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (go, count) = (go_on.clone(), told.clone());
    let mut first = Up::serving(move |_request, respond| {
        let (go, number) = (go.clone(), count.fetch_add(1, Ordering::SeqCst));
        async move {
            if number == 0 {
                go.notified().await;
            }
            answer(respond, Bytes::from("x"));
        }
    })
    .await;
    let other = Up::serving(async |_request, respond| answer(respond, Bytes::from("x"))).await;
    let endpoints = [first.address, other.address].map(|address| format!("http://{address}"));
    let settings = [
        "gateway.threads=1",
        &format!("gateway.upstreams.chat.endpoints={endpoints:?}"),
        "gateway.upstreams.chat.balance=round-robin",
        "gateway.upstreams.chat.connect_failure_pause=1s",
        // Also how long a trial is waited for.
        "gateway.upstreams.chat.connect_timeout=1h",
        "gateway.upstreams.chat.h2c_streams_max=1",
    ];
    let gateway = h2c_gateway(first.address, &settings).await;
    let client = Client::connect(&gateway).await;
    let held = client.begin(grpc("/open/a")).await;
    until("its stream is taken", || told.load(Ordering::SeqCst) == 1).await;
    first.close().await;
    // The second one's turn, then the first one's: it takes no more connections, and rests.
    for _ in 0..2 {
        assert_eq!(gateway.get("/open/a").await.status, 200);
    }
    assert_eq!(told.load(Ordering::SeqCst), 1);
    go_on.notify_one();
    soon(whole(held.0)).await.unwrap();
    until_asked(&gateway, &told, 2).await;
    for _ in 0..4 {
        assert_eq!(gateway.get("/open/a").await.status, 200);
    }
    assert_eq!(told.load(Ordering::SeqCst), 4, "they take turns again");
}

/// Asks until the upstream that counts in `told` was asked so many times.
async fn until_asked(gateway: &Gateway, told: &AtomicUsize, count: usize) {
    let end = Instant::now() + PATIENCE;
    let mut caller = gateway.connect().await;
    while told.load(Ordering::SeqCst) < count {
        assert!(Instant::now() < end, "it is passed over");
        caller.send("GET /open/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_that_said_goaway_is_replaced() {
    let up = Up::start(async |mut connection, _| {
        // One request each, and the next one is too many.
        if let Some(Ok((request, respond))) = connection.accept().await {
            let tasks = tokio_util::task::TaskTracker::new();
            tasks.spawn(async move {
                let sight = read(request).await;
                answer(respond, sight.body.into());
            });
            connection.graceful_shutdown();
        }
        while connection.accept().await.is_some() {}
    })
    .await;
    let gateway = h2c_gateway(up.address, &["gateway.threads=1"]).await;
    let client = Client::connect(&gateway).await;
    for _ in 0..5 {
        let answer = client.call(grpc("/open/a"), b"x", None).await.unwrap();
        assert_eq!(answer.trailer("grpc-status"), Some("0"), "{answer:?}");
    }
    assert!(up.connections() > 1, "{}", up.connections());
}

#[tokio::test]
async fn a_connection_that_died_is_replaced() {
    let die = Arc::new(Notify::new());
    let told = die.clone();
    let up = Up::start(move |mut connection, _| {
        let told = told.clone();
        async move {
            loop {
                let next = tokio::select! {
                    next = connection.accept() => next,
                    () = told.notified() => return,
                };
                let Some(Ok((request, respond))) = next else { return };
                drop(request);
                answer(respond, Bytes::from("x"));
            }
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &["gateway.threads=1"]).await;
    let client = Client::connect(&gateway).await;
    for number in 1..4 {
        let answer = client.get("/open/a").await.unwrap();
        assert_eq!((answer.status, answer.trailer("grpc-status")), (200, Some("0")));
        assert_eq!(up.connections(), number);
        die.notify_one();
        until("it is dead", || Arc::strong_count(&die) == 2).await;
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_2_is_a_failed_one() {
    let upstream = crate::support::Upstream::ok().await;
    let gateway = h2c_gateway(upstream.address, &[]).await;
    let answer = soon(gateway.get("/open/a")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
}
