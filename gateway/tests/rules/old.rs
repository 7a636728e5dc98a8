//! Callers and upstreams of HTTP/1.0.

use crate::case::{Case, case, cut_off, heard, want};
use crate::recorder::Act;

#[tokio::test]
async fn the_old_version_is_spoken_too() {
    crate::run::run(&[], cases).await;
}

fn ask(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.0\r\n{fields}\r\n")
}

fn send(raw: &str) -> Vec<Act> {
    vec![Act::Send(raw.as_bytes().to_vec())]
}

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    callers().into_iter().chain(answered()).chain(upstreams()).collect()
}

const KEEP: &str = "Connection: keep-alive\r\n";

/// Callers that stay: name, rule, fields, a field of the request and its value.
const STAYING: &[(&str, u8, &str, &str, &str)] = &[
    ("old-caller-that-stays", 1, "Connection: keep-alive\r\nX-A: 1\r\n", "x-a", "1"),
    ("old-caller-that-stays-in-capitals", 1, "CONNECTION: Keep-Alive\r\nX-A: 1\r\n", "x-a", "1"),
    ("old-caller-with-a-host", 9, "Connection: keep-alive\r\nHost: hub\r\n", "host", "hub"),
];

/// Callers that leave, whatever else they say.
const LEAVING: &[(&str, &str)] = &[
    ("old-caller", "Host: hub\r\n"),
    ("old-caller-without-host", ""),
    ("old-caller-that-says-close", "Connection: close\r\n"),
    ("old-caller-with-both", "Connection: keep-alive, close\r\n"),
];

/// Callers that want what the old version does not have, or may not be: what must be gone.
const GONE: &[(&str, u8, &str, &str)] = &[
    ("old-caller-names-a-field", 1, "Connection: X-A\r\nX-A: 1\r\n", "x-a"),
    ("old-caller-spoofs", 12, "X-User-Id: poison\r\nX_User_Id: poison\r\n", "x-user-id"),
    ("old-caller-wants-h2c", 31, "Connection: Upgrade\r\nUpgrade: h2c\r\n", "upgrade"),
];

const SOCKET: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn callers() -> Vec<Case> {
    let staying = STAYING.iter().map(|(name, rule, fields, field, value)| {
        case(name, std::slice::from_ref(rule), ask("/open/a", fields))
            .forwards(want("GET /a").is(field, *value))
    });
    let leaving = LEAVING.iter().map(|(name, fields)| {
        case(name, &[1, 7, 9], ask("/open/a", fields)).forwards(want("GET /a")).closes()
    });
    let gone = GONE.iter().map(|(name, rule, fields, gone)| {
        case(name, std::slice::from_ref(rule), ask("/open/a", &format!("{KEEP}{fields}")))
            .forwards(want("GET /a").lacks(&[gone, "connection"]))
    });
    let post = |more: &str| format!("POST /open/a HTTP/1.0\r\n{KEEP}{more}");
    let bad = |name, fields: &str| {
        case(name, &[9], ask("/open/a", &format!("{KEEP}{fields}"))).declined(400)
    };
    let kept = want("GET /a").echo().is("connection", "keep-alive");
    let others = [
        case("old-caller-is-told-that-it-may-stay", &[1], ask("/open/a", KEEP))
            .reaches(want("GET /a"))
            .hears(kept),
        bad("old-caller-with-a-bad-host", "Host: a/b\r\n"),
        bad("old-caller-with-two-hosts", "Host: a\r\nHost: b\r\n"),
        case("old-caller-with-an-absolute-target", &[9], ask("http://real.example/open/a", KEEP))
            .forwards(want("GET /a").is("host", "real.example")),
        case("old-caller-posts", &[14], post("Content-Length: 5\r\n\r\nhello"))
            .forwards(want("POST /a").body("hello")),
        case("old-caller-posts-nothing", &[21], post("\r\n"))
            .forwards(want("POST /a").is("content-length", "0")),
        case("old-caller-asks-by-head", &[25], post("\r\n").replace("POST", "HEAD"))
            .forwards(want("HEAD /a")),
        case("old-caller-nowhere", &[29], ask("/nothing", KEEP)).declined(404),
        case("old-caller-nowhere-and-gone", &[29], ask("/nothing", "")).declined(404).closes(),
        case("old-caller-wants-a-socket", &[31], ask("/api/chat/ws/a", SOCKET))
            .forwards(want("GET /ws/a").lacks(&["upgrade"])),
    ];
    staying.chain(leaving).chain(gone).chain(others).collect()
}

/// What callers of HTTP/1.0 get of answers that know more.
fn answered() -> Vec<Case> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let asks = |name, rules, fields: &str, acts: Vec<Act>| {
        case(name, rules, ask("/open/s", fields)).script("/s", acts).reaches(want("GET /s"))
    };
    let early = |interim: &str| send(&format!("HTTP/1.1 {interim}\r\nLink: </a>\r\n\r\n{sized}"));
    let till_close = || heard(200).until_close("hello").lacks(&["transfer-encoding"]);
    let mut broken = send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
    broken.push(Act::Close);
    vec![
        asks("old-caller-of-chunks", &[14, 19], "", send(chunked)).hears(till_close()).closes(),
        asks("old-caller-of-chunks-that-stays", &[14, 19], KEEP, send(chunked))
            .hears(till_close().lacks(&["keep-alive"]))
            .closes(),
        asks(
            "old-caller-of-chunks-with-trailers",
            &[5],
            "",
            send(&chunked.replace("0\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n")),
        )
        .hears(till_close())
        .closes(),
        asks("old-caller-of-a-length", &[19], KEEP, send(sized)).hears(heard(200).body("hello")),
        asks("old-caller-of-hints", &[26], KEEP, early("103 Early Hints"))
            .hears(heard(200).body("hello")),
        asks("old-caller-of-continue", &[26], KEEP, early("100 Continue"))
            .hears(heard(200).body("hello")),
        asks("old-caller-of-processing", &[26], KEEP, early("102 Processing"))
            .hears(heard(200).body("hello")),
        asks("old-caller-of-nothing", &[25], KEEP, send("HTTP/1.1 204 No Content\r\n\r\n"))
            .hears(heard(204)),
        asks("old-caller-of-half-a-length", &[19], "", broken).hears(cut_off()).closes(),
    ]
}

/// What is made of answers of HTTP/1.0.
fn upstreams() -> Vec<Case> {
    let asks = |name, answer: &str, more: Option<Act>| {
        let mut acts = send(answer);
        acts.extend(more);
        case(name, &[7, 19], "GET /open/s HTTP/1.1\r\nHost: hub\r\n\r\n")
            .script("/s", acts)
            .reaches(want("GET /s"))
    };
    let hello = || heard(200).body("hello").lacks(&["connection"]);
    vec![
        asks(
            "old-upstream-with-a-length",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            Some(Act::Close),
        )
        .hears(hello()),
        asks(
            "old-upstream-that-stays",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
            None,
        )
        .hears(hello()),
        asks("old-upstream-to-the-end", "HTTP/1.0 200 OK\r\n\r\nhello", Some(Act::Close))
            .hears(hello()),
        asks("old-upstream-without-content", "HTTP/1.0 204 No Content\r\n\r\n", Some(Act::Close))
            .hears(heard(204)),
        asks("old-upstream-with-an-empty-end", "HTTP/1.0 200 OK\r\n\r\n", Some(Act::Close))
            .hears(heard(200).body("")),
    ]
}
