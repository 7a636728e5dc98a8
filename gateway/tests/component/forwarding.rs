//! What an upstream gets to see of a request, and a caller of an answer.

use crate::support::{Upstream, field, gateway};

#[tokio::test]
async fn a_request_arrives_under_the_upstreams_name_and_its_answer_comes_back() {
    let answer =
        "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-Own: 1\r\nServer: them\r\n\r\nbody";
    let upstream = Upstream::answering(answer).await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "POST /open/rooms/./a/../b?x=%2F&y HTTP/1.1\r\nHost: hub.example\r\n\
                   Content-Length: 5\r\nX-Mine: yes\r\n\r\nhello";
    let answer = gateway.ask(request).await;
    assert_eq!((answer.status, answer.body.as_str()), (201, "body"));
    assert_eq!(answer.field("x-own"), Some("1"));
    assert_eq!(answer.field("server"), Some("them"));
    let saw = upstream.saw_one();
    assert_eq!(saw.line(), "POST /rooms/b?x=%2F&y HTTP/1.1");
    assert_eq!(saw.body, b"hello");
    assert_eq!(saw.field("host"), Some("hub.example"));
    assert_eq!(saw.field("x-mine"), Some("yes"));
    assert_eq!(saw.field("content-length"), Some("5"));
    assert_eq!(saw.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(saw.field("x-forwarded-proto"), Some("http"));
    assert_eq!(saw.field("x-forwarded-host"), Some("hub.example"));
    assert!(saw.field("via").unwrap().starts_with("1.1 hubbub-"));
}

#[tokio::test]
async fn nobody_names_a_caller_but_the_gateway() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "GET /open/a HTTP/1.1\r\nHost: hub\r\nX-User-Id: 1\r\nx_user_id: 2\r\n\
                   X-USER-ROLES: admin\r\nX-User_Roles: admin\r\nX-Session-Id: s\r\nX-User-Name: root\r\n\
                   X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nForwarded: for=1.2.3.4\r\n\
                   X-Real-IP: 1.2.3.4\r\nX_Forwarded_For: 9.9.9.9\r\nConnection: X-Forwarded-For\r\n\r\n";
    assert_eq!(gateway.ask(request).await.status, 200);
    let head = upstream.saw_one().head.to_lowercase();
    for word in ["x-user", "x_user", "x-session", "admin", "root", "1.2.3.4", "9.9.9.9", "5.6.7.8"]
    {
        assert!(!head.contains(word), "{word} is in {head}");
    }
    assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
}

#[tokio::test]
async fn what_belongs_to_one_connection_ends_here_in_both_directions() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\n\
                  Connection: X-Second\r\nX-Hop: 1\r\nX-Second: 2\r\nKeep-Alive: timeout=9\r\n\
                  X-Kept: 3\r\n\r\nok";
    let upstream = Upstream::answering(answer).await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "GET /open/a HTTP/1.1\r\nHost: hub\r\nConnection: X-One, keep-alive\r\n\
                   Connection: X-Two\r\nX-One: 1\r\nX-Two: 2\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
                   Proxy-Connection: close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Kept: 3\r\n\r\n";
    let answer = gateway.ask(request).await;
    let saw = upstream.saw_one();
    for name in [
        "connection",
        "x-one",
        "x-two",
        "te",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(saw.field(name), None, "{name}");
    }
    assert_eq!(saw.field("x-kept"), Some("3"));
    for name in ["x-hop", "x-second", "keep-alive"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_eq!(answer.field("x-kept"), Some("3"));
}

#[tokio::test]
async fn an_absolute_target_outranks_the_host() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "GET http://real.example/open/a HTTP/1.1\r\nHost: other\r\n\r\n";
    assert_eq!(gateway.ask(request).await.status, 200);
    let saw = upstream.saw_one();
    assert_eq!(saw.line(), "GET /a HTTP/1.1");
    assert_eq!(saw.field("host"), Some("real.example"));
    assert_eq!(saw.field("x-forwarded-host"), Some("real.example"));
}

#[tokio::test]
async fn an_old_caller_is_served_too() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send("GET /open/a HTTP/1.0\r\n\r\n").await;
    let answer = caller.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(upstream.saw_one().line(), "GET /a HTTP/1.1");
}

#[tokio::test]
async fn a_token_goes_only_to_upstreams_that_may_have_it() {
    let upstream = Upstream::ok().await;
    let request =
        "GET /open/a HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer x.y.z\r\nX-Api-Key: k\r\n\r\n";
    let trusted = gateway(upstream.address, &[]).await;
    trusted.ask(request).await;
    assert_eq!(upstream.saw_one().field("authorization"), Some("Bearer x.y.z"));
    let setting = "gateway.upstreams.chat.forward_authorization=false";
    let foreign = gateway(upstream.address, &[setting]).await;
    foreign.ask(request).await;
    let saw = upstream.saw().pop().unwrap();
    assert_eq!((saw.field("authorization"), saw.field("x-api-key")), (None, None));
}

#[tokio::test]
async fn a_request_has_one_name_through_every_hop() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = format!(
        "GET /open/a HTTP/1.1\r\nHost: hub\r\nX-Request-Id: my.id-1_2\r\ntraceparent: {trace}\r\n\
         tracestate: a=b\r\n\r\n"
    );
    let answer = gateway.ask(&request).await;
    assert_eq!(answer.field("x-request-id"), Some("my.id-1_2"));
    let saw = upstream.saw_one();
    assert_eq!(saw.field("x-request-id"), Some("my.id-1_2"));
    assert_eq!(saw.field("traceparent"), Some(trace));
    assert_eq!(saw.field("tracestate"), Some("a=b"));
}

#[tokio::test]
async fn a_bad_name_is_replaced_by_a_made_one() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let long = "x".repeat(65);
    for id in ["a b", "<script>", long.as_str(), "one\r\nX-Request-Id: two"] {
        let request = format!(
            "GET /open/a HTTP/1.1\r\nHost: hub\r\nX-Request-Id: {id}\r\ntraceparent: junk\r\n\
             tracestate: a=b\r\n\r\n"
        );
        let answer = gateway.ask(&request).await;
        let made = answer.field("x-request-id").unwrap();
        assert_eq!(made.len(), 32, "{made}");
        let saw = upstream.saw().pop().unwrap();
        assert_eq!(saw.field("x-request-id"), Some(made));
        assert!(saw.field("traceparent").unwrap().contains(made));
        assert_eq!(saw.field("tracestate"), None);
    }
}

#[tokio::test]
async fn a_request_that_runs_in_a_circle_is_stopped() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    gateway.get("/open/a").await;
    let via = upstream.saw_one().field("via").unwrap().to_owned();
    let request = format!("GET /open/a HTTP/1.1\r\nHost: hub\r\nVia: 1.0 x, {via}\r\n\r\n");
    gateway.ask(&request).await.is_problem("loop", 508);
    assert_eq!(upstream.saw().len(), 1);
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_turn() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    let one = "POST /open/1 HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc";
    let two = "POST /open/2 HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let three = "GET /nothing HTTP/1.1\r\nHost: hub\r\n\r\n";
    caller.send([one, two, three, "GET /open/4 HTTP/1.1\r\nHost: hub\r\n\r\n"].concat()).await;
    for status in [200, 200, 404, 200] {
        assert_eq!(caller.answer().await.status, status);
    }
    let lines: Vec<_> = upstream.saw().iter().map(|saw| saw.line().to_owned()).collect();
    assert_eq!(lines, ["POST /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /4 HTTP/1.1"]);
    assert_eq!(upstream.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn it_does_not_matter_how_requests_are_cut_on_their_way() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &["gateway.threads=1"]).await;
    let all = "POST /open/1 HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc\
               PUT /open/2 HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n\
               3\r\nabc\r\n0\r\n\r\nGET /open/3 HTTP/1.1\r\nHost: hub\r\n\r\n";
    for size in [1, 2, 7, 20, 50, 90, 150] {
        let mut caller = gateway.connect().await;
        caller.stream.set_nodelay(true).unwrap();
        for part in all.as_bytes().chunks(size) {
            caller.send(part).await;
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            assert_eq!(caller.answer().await.status, 200, "in parts of {size}");
        }
        let saw = upstream.saw().split_off(upstream.saw().len() - 3);
        let seen: Vec<_> = saw.iter().map(|saw| (saw.line(), saw.body.as_slice())).collect();
        assert_eq!(
            seen,
            [
                ("POST /1 HTTP/1.1", &b"abc"[..]),
                ("PUT /2 HTTP/1.1", b"abc"),
                ("GET /3 HTTP/1.1", b"")
            ]
        );
    }
}

#[tokio::test]
async fn an_answer_without_a_body_stays_one() {
    let upstream = Upstream::start(async |mut peer| {
        while let Some(saw) = peer.request().await {
            let answer = if saw.line().starts_with("HEAD") {
                "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
            } else if saw.line().contains("304") {
                "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"
            } else {
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
            };
            peer.caller.send(answer).await;
        }
    })
    .await;
    let gateway = gateway(upstream.address, &[]).await;
    let mut caller = gateway.connect().await;
    caller.send("HEAD /open/a HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    let head = caller.head().await.unwrap();
    assert_eq!(field(&head, "content-length"), Some("1234"), "{head}");
    for (path, status) in [("304", "304"), ("204", "204")] {
        caller.send(format!("GET /open/{path} HTTP/1.1\r\nHost: hub\r\n\r\n")).await;
        let mut head = caller.head().await.unwrap();
        if path == "204" {
            assert!(head.starts_with("HTTP/1.1 103 ") && head.contains("Link: x"), "{head}");
            head = caller.head().await.unwrap();
        }
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    }
    assert!(caller.ahead.is_empty());
}

#[tokio::test]
async fn pages_of_allowed_origins_can_read_everything_and_others_nothing() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Credentials: true\r\n\r\nok",
    )
    .await;
    let origins = "gateway.cors.origins=[\"http://localhost:3000\"]";
    let gateway = gateway(upstream.address, &[origins]).await;
    let from = |origin: &str, path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: hub\r\nOrigin: {origin}\r\n\r\n")
    };
    let allow = "access-control-allow-origin";
    for path in ["/open/a", "/nothing", "/api/messages"] {
        let answer = gateway.ask(&from("http://localhost:3000", path)).await;
        assert_eq!(answer.field(allow), Some("http://localhost:3000"), "{path}");
        assert!(answer.head.to_lowercase().contains("vary: origin"), "{path}");
        let answer = gateway.ask(&from("http://evil.example", path)).await;
        assert_eq!(answer.field(allow), None, "{path}");
        assert_eq!(answer.field("access-control-allow-credentials"), None, "{path}");
    }
    let preflight = "OPTIONS /api/messages HTTP/1.1\r\nHost: hub\r\nOrigin: http://localhost:3000\r\n\
                     Access-Control-Request-Method: POST\r\n\r\n";
    let answer = gateway.ask(preflight).await;
    assert_eq!(answer.status, 204, "no token is asked for");
    assert!(answer.field("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.field("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(upstream.saw().len(), 2, "only the open route was forwarded");
}
