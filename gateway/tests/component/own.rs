//! What the gateway answers itself.

use crate::support::{Upstream, gateway, until};

#[tokio::test]
async fn the_root_is_an_index() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let index = gateway.get("/").await;
    assert_eq!((index.status, index.field("content-type")), (200, Some("application/json")));
    let index = index.json();
    assert_eq!(index["name"], "hubbub");
    assert_eq!(index["links"]["health"], "/health");
    assert!(index["routes"].as_array().unwrap().iter().any(|r| r["path"] == "/api/chat/*"));
    let mut caller = gateway.connect().await;
    caller.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let all = caller.rest().await;
    assert!(all.starts_with("HTTP/1.1 200") && all.ends_with("\r\n\r\n"), "{all}");
}

#[tokio::test]
async fn probes_answer_and_health_knows_nothing_at_first() {
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = gateway(silent.local_addr().unwrap(), &[]).await;
    assert_eq!(gateway.get("/health/live").await.status, 200);
    assert_eq!(gateway.get("/health/ready").await.status, 200);
    let health = gateway.get("/health").await;
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(health["status"], "degraded");
    let names: Vec<_> =
        health["services"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["chat", "message", "user"]);
    for key in ["status", "latencyMs", "lastCheckedAt", "since"] {
        assert!(health["services"][0].get(key).is_some(), "{key}");
    }
}

#[tokio::test]
async fn what_is_nowhere_is_not_found_and_what_is_elsewhere_says_where() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    for path in ["/metrics", "/api", "/api/auth", "/api/auth/x", "/api/auth/login/", "/health/x"] {
        gateway.get(path).await.is_problem("not-found", 404);
    }
    let login = gateway.get("/api/auth/login").await;
    login.is_problem("method-not-allowed", 405);
    assert_eq!(login.field("allow"), Some("POST"));
    // Before anybody asks for a token.
    let profile = gateway.ask("DELETE /api/users/profile HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(profile.status, 401, "the wider route takes it, and wants a token");
    let health = gateway.ask("POST /health HTTP/1.1\r\nHost: a\r\n\r\n").await;
    health.is_problem("method-not-allowed", 405);
    assert_eq!(health.field("allow"), Some("GET, HEAD"));
    assert!(upstream.saw().is_empty());
}

#[tokio::test]
async fn everything_can_be_asked_for_its_methods() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let answer = gateway.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status, 204);
    assert!(answer.field("allow").unwrap().contains("GET"));
}

#[tokio::test]
async fn operators_see_what_was_counted_and_nobody_elses_words() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/open/secret-path").await.status, 200);
    }
    gateway.get("/nothing").await;
    gateway.ask("GET / HTTP/1.1\r\n\r\n").await;
    gateway.ask("BREW /open/pot HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut text = String::new();
    for _ in 0..100 {
        text = gateway.operator("/metrics").await.body;
        // An answer is counted a moment after its last byte has left.
        let is_counted = text.contains("_count{route=\"open\"} 6");
        if is_counted && text.contains("gateway_connections 0") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for line in [
        "# TYPE gateway_requests counter",
        "gateway_requests_total{route=\"open\",method=\"GET\",status=\"2xx\"} 5",
        "gateway_requests_total{route=\"open\",method=\"other\",status=\"2xx\"} 1",
        "gateway_requests_total{route=\"none\",method=\"GET\",status=\"4xx\"} 2",
        "gateway_refusals_total{kind=\"not-found\"} 1",
        "gateway_refusals_total{kind=\"bad-request\"} 1",
        "# TYPE gateway_request_duration_seconds histogram",
        "gateway_request_duration_seconds_count{route=\"open\"} 6",
        "gateway_request_duration_seconds_bucket{le=\"+Inf\",route=\"open\"} 6",
        "gateway_connections_accepted_total 8",
        "# TYPE gateway_tunnels gauge",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret") && !text.contains("BREW"), "{text}");
}

#[tokio::test]
async fn each_request_leaves_one_line_without_secrets() {
    let upstream = Upstream::ok().await;
    let gateway = gateway(upstream.address, &[]).await;
    let request = "POST /open/a?token=eyJsecret&x=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\
                   Authorization: Bearer eyJsecret\r\nContent-Length: 3\r\n\r\nabc";
    gateway.ask(request).await;
    gateway.get("/nothing").await;
    gateway.ask("broken\r\n\r\n").await;
    let log = gateway.data.path().join("access.log");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    until("three lines are written", || read().lines().count() == 3).await;
    let lines: Vec<serde_json::Value> =
        read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |key: &str, value: serde_json::Value| {
        lines.iter().find(|line| line[key] == value).unwrap_or_else(|| panic!("{lines:?}"))
    };
    let first = find("requestId", "mine".into());
    assert_eq!(first["target"], "/open/a?token=***&x=1");
    assert_eq!((&first["status"], &first["route"]), (&200.into(), &"open".into()));
    assert_eq!((&first["bytesIn"], &first["bytesOut"]), (&3.into(), &2.into()));
    assert_eq!(find("target", "/nothing".into())["problem"], "not-found");
    assert_eq!(find("target", "".into())["problem"], "bad-request");
    assert!(!read().contains("eyJsecret"));
}
