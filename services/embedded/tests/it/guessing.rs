//! Strangers at the one base URL: guesses, addresses that are made up, paths that are not theirs, and what
//! caches must not keep.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use chassis::identity::ServiceTokens;
use chassis::{Bus, Clock, Deps, Random};
use reqwest::Method;
use serde_json::{Value, json};

use super::support::client::{Answer, Client, User};
use super::support::hub::Hub;

/// What guesses are judged as: who is refused uncounted never gets this far.
const WRONG: &str = "wrong-credentials";

async fn guess(client: &Client, name: &str, says_it_is_at: Option<&str>) -> Answer {
    let body = json!({"username": name, "password": "a wrong one"});
    let mut request = client.request(Method::POST, "/api/auth/login").json(&body);
    if let Some(address) = says_it_is_at {
        for field in ["x-forwarded-for", "x-real-ip", "x-client-ip", "true-client-ip"] {
            request = request.header(field, address);
        }
        request = request.header("forwarded", format!("for={address}"));
    }
    Answer::of(request).await
}

#[tokio::test]
async fn of_150_guesses_at_an_account_five_are_judged_whatever_address_they_say() {
    let hub = Hub::start();
    let (ada, client) = (hub.client().register().await, hub.client());
    for number in 0..150 {
        let address = format!("198.51.100.{number}");
        let answer = guess(&client, &ada.name, Some(&address)).await;
        if number < 5 {
            answer.is_problem(WRONG, 401);
            continue;
        }
        answer.is_problem("rate-limited", 429);
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=15).contains(&wait), "{wait}");
        assert!(answer.header("ratelimit").starts_with("\"sign-in-by-account\";r=0;t="));
        assert_eq!(answer.header("ratelimit-policy"), "\"sign-in-by-account\";q=5;w=900");
    }
}

#[tokio::test]
async fn of_guesses_at_many_accounts_a_hundred_are_judged_whatever_address_they_say() {
    let hub = Hub::start();
    let client = hub.client();
    for number in 0..100 {
        let (name, address) = (format!("nobody{number}"), format!("198.51.100.{number}"));
        guess(&client, &name, Some(&address)).await.is_problem(WRONG, 401);
    }
    let answer = guess(&client, "somebody", Some("203.0.113.1")).await;
    answer.is_problem("rate-limited", 429);
    assert_eq!(answer.header("ratelimit-policy"), "\"sign-in-by-address\";q=100;w=900");
}

#[tokio::test]
async fn nothing_about_anybody_is_for_a_cache() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    for (method, path, body) in calls(&ada) {
        for client in [&ada.api, &hub.client()] {
            let request = client.request(method.clone(), &path).json(&body);
            let answer = Answer::of(request).await;
            assert_ne!(answer.status, 404, "{method} {path}");
            let kept = answer.header("cache-control");
            assert_eq!(kept, "no-store", "{method} {path} was answered {}", answer.status);
        }
    }
}

/// Every call about signing in, and one of each kind that needs somebody. Signing out comes last.
fn calls(ada: &User) -> Vec<(Method, String, Value)> {
    let name = &ada.name;
    let login = json!({"username": name, "password": "password123"});
    let wrong = json!({"username": name, "password": "a wrong one"});
    let key = json!({"name": "robot", "scopes": ["rooms:read"]});
    let change = json!({"currentPassword": "password123", "newPassword": "password1234"});
    let nobody = json!({"email": "nobody@example.com"});
    let token = json!({"token": "x", "password": "password123"});
    let phone = json!({"phone": "+4930123456", "code": "000000"});
    let calls = [
        (Method::POST, "/api/auth/register", json!({"username": name})),
        (Method::POST, "/api/auth/setup", json!({"code": "x"})),
        (Method::POST, "/api/auth/login", login),
        (Method::POST, "/api/auth/login", wrong),
        (Method::POST, "/api/auth/refresh-token", json!({"refreshToken": ada.refresh})),
        (Method::POST, "/api/auth/refresh-token", json!({"refreshToken": "x"})),
        (Method::POST, "/api/auth/forgot-password", nobody),
        (Method::POST, "/api/auth/reset-password", token.clone()),
        (Method::POST, "/api/auth/verify-email", token),
        (Method::GET, "/api/auth/verify-email?token=x", Value::Null),
        (Method::POST, "/api/auth/otp", phone.clone()),
        (Method::POST, "/api/auth/otp/verify", phone),
        (Method::POST, "/api/auth/verify-email/resend", json!({})),
        (Method::GET, "/api/auth/sessions", Value::Null),
        (Method::POST, "/api/auth/ws-ticket", json!({})),
        (Method::POST, "/api/auth/api-keys", key),
        (Method::GET, "/api/auth/api-keys", Value::Null),
        (Method::PUT, "/api/auth/change-password", change),
        (Method::GET, "/api/users/profile", Value::Null),
        (Method::GET, "/api/users", Value::Null),
        (Method::GET, "/api/users/audit", Value::Null),
        (Method::GET, "/api/chat/rooms", Value::Null),
        (Method::GET, "/api/messages/room/x?limit=x", Value::Null),
        (Method::POST, "/api/messages", json!({})),
        (Method::POST, "/api/auth/logout", json!({})),
    ];
    calls.map(|(method, path, body)| (method, path.to_owned(), body)).to_vec()
}

/// How somebody might write a path of the parts among themselves.
fn spellings(prefix: &str, path: &str) -> Vec<String> {
    let inner = path.trim_start_matches('/');
    let encoded: Vec<_> = inner.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = encoded.concat();
    let behind = |way: &str| format!("{prefix}{way}{inner}");
    let mut all: Vec<String> = [
        "/../",
        "/../../",
        "/../../../",
        "/../../../../",
        "/%2e%2e/%2e%2e/%2e%2e/",
        "/%2E%2E/%2E%2e/",
        "/.%2e/%2e./",
        "/..%2f..%2f",
        "/..%2F..%2F..%2F",
        "/%252e%252e/%252e%252e/",
        "/..;/..;/",
        "/..\\..\\",
        "/..%5c..%5c",
        "/./../",
        "//../..//",
        "/..%00/../",
        "/%c0%ae%c0%ae/",
        "/",
    ]
    .map(behind)
    .into();
    all.extend([
        path.to_owned(),
        format!("/{path}"),
        format!("//{path}"),
        format!("/.{path}"),
        format!("/./{inner}"),
        format!("/%2e/{inner}"),
        format!("/x/..{path}"),
        format!("/%2f{inner}"),
        format!("/{encoded}"),
        path.to_uppercase(),
        path.replacen('i', "I", 1),
        path.replacen("internal", "internal%2f", 1),
        path.replacen("internal", "%69nternal", 1),
        path.replacen("internal/", "internal//", 1),
        path.replacen("internal/", "internal/./", 1),
        path.replacen("internal", "internal;x=1", 1),
        format!("{path}/"),
        format!("{path}#x"),
        format!("/api{path}"),
        format!("http://localhost{path}"),
        format!("http://user:3001{path}"),
    ]);
    all
}

#[tokio::test]
async fn what_the_parts_say_among_themselves_cannot_be_asked_for_however_it_is_spelled() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    // Believed by the service, so that a path which gets there is answered.
    let of_gateway = service_token(&hub, "gateway", "user");
    let of_message = service_token(&hub, "message", "chat");
    let cases = [
        ("user", "/internal/revocations", &of_gateway, "/api/users"),
        ("chat", "/internal/rings", &of_message, "/api/chat/ws"),
        ("chat", "/internal/rings", &of_message, "/api/chat"),
    ];
    for (part, path, token, prefix) in cases {
        let there =
            ["GET", "POST"].map(|method| ask(hub.program.url(part), method, path, Some(token)));
        let is_answered = there.iter().any(|answer| answer.starts_with("HTTP/1.1 2"));
        assert!(is_answered, "{part} does not answer at {path}: {there:?}");
        for spelled in spellings(prefix, path) {
            for method in ["GET", "POST"] {
                for token in [Some(token.as_str()), Some(ada.token()), None] {
                    let answer = ask(hub.base(), method, &spelled, token);
                    is_kept_out(&answer, &format!("{method} {spelled}"));
                }
            }
        }
    }
}

/// The gateway's own no, or a spoke's to a path under its public ones.
#[track_caller]
fn is_kept_out(answer: &str, request: &str) {
    let status = answer.get(9..12).unwrap_or_default();
    assert!(["400", "401", "404", "405"].contains(&status), "{request} was answered:\n{answer}");
    assert!(!answer.contains("\"cursor\""), "{request} was answered:\n{answer}");
}

fn service_token(hub: &Hub, me: &'static str, to: &'static str) -> String {
    let deps =
        Deps { bus: Bus::local(1), clock: Clock::System, random: Random::System, data: hub.data() };
    ServiceTokens::open(me, &hub.data().join("keys"), &deps).unwrap().plain(to).to_string()
}

/// Sends `target` as it stands, and gives what comes back.
fn ask(base: &str, method: &str, target: &str, token: Option<&str>) -> String {
    let place = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = if method == "POST" {
        "content-type: application/json\r\ncontent-length: 13\r\n\r\n{\"events\":[]}"
    } else {
        "\r\n"
    };
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{token}");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Whoever refuses early may hang up hard; what was said before counts.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}
