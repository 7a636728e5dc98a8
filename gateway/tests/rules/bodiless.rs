//! Answers without a body: those before the answer, those to HEAD, and those that never have one.

use crate::answers::asks;
use crate::case::{Case, Way, case, heard, want};
use crate::recorder::Act;

#[tokio::test]
async fn an_answer_without_a_body_stays_one() {
    crate::run::run(&[], cases).await;
}

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let mut cases = interim();
    cases.extend(bodiless());
    cases
}

fn interim() -> Vec<Case> {
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let early =
        |name, raw: &str| asks(name, &[26], vec![Act::Send(format!("{raw}{hello}").into())]);
    let is_hello = || heard(200).body("hello");
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    // Passed on by the lean way; the general way cannot write it, and swallows it.
    let hint = || heard(103).is("link", "</a>");
    let processing = "HTTP/1.1 102 Processing\r\n\r\n";
    let many = (0..20).fold(early("interim-many", &processing.repeat(20)), |case, _| {
        case.hears_on(Way::Lean, heard(102))
    });
    vec![
        early("interim-100-unasked", "HTTP/1.1 100 Continue\r\n\r\n").hears(is_hello()),
        early("interim-102", processing).hears_on(Way::Lean, heard(102)).hears(is_hello()),
        many.hears(is_hello()),
        early("interim-103", hints).hears_on(Way::Lean, hint()).hears(is_hello()),
        early("interim-103-twice", &hints.repeat(2))
            .hears_on(Way::Lean, hint())
            .hears_on(Way::Lean, hint())
            .hears(is_hello()),
        early(
            "interim-103-with-hops",
            "HTTP/1.1 103 Early Hints\r\nConnection: X-A\r\nX-A: poison\r\nLink: </a>\r\n\r\n",
        )
        .hears_on(Way::Lean, hint().lacks(&["connection"]))
        .hears(is_hello()),
        early("interim-100-then-103", &format!("HTTP/1.1 100 Continue\r\n\r\n{hints}"))
            .hears_on(Way::Lean, hint())
            .hears(is_hello()),
    ]
}

/// Answers to HEAD: name, answer, status, a field and its value.
const TO_HEAD: &[(&str, &str, u16, &str, &str)] = &[
    ("head-keeps-a-length", "200 OK\r\nContent-Length: 12", 200, "content-length", "12"),
    ("head-of-chunks", "200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b", 200, "x-a", "b"),
    ("head-without-a-length", "200 OK\r\nX-A: b", 200, "x-a", "b"),
    ("head-of-an-error", "404 Not Found\r\nContent-Length: 9", 404, "content-length", "9"),
];

/// Statuses that have no body: name, answer, status, the field that must not come of it.
const NOTHING: &[(&str, &str, u16, &str)] = &[
    ("nothing-204", "204 No Content\r\nX-A: b\r\n\r\n", 204, "transfer-encoding"),
    ("nothing-204-with-a-length", "204 No\r\nContent-Length: 0\r\n\r\n", 204, "content-length"),
    ("nothing-304", "304 Not Modified\r\nETag: \"a\"\r\n\r\n", 304, "transfer-encoding"),
    ("nothing-304-with-a-length", "304 No\r\nContent-Length: 9\r\n\r\n", 304, "x-b"),
];

/// The same, but with a body behind all the same: it is nobody's, and the connection is not clean.
const POISONED: &[(&str, &str, u16, &str)] = &[
    ("nothing-204-with-a-body", "204 No\r\nContent-Length: 6\r\n\r\npoison", 204, "content-length"),
    (
        "nothing-204-with-chunks",
        "204 No\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        204,
        "transfer-encoding",
    ),
    ("nothing-304-with-a-body", "304 No\r\nContent-Length: 6\r\n\r\npoison", 304, "x-b"),
];

fn bodiless() -> Vec<Case> {
    let send = |raw: &str| Act::Send(format!("HTTP/1.1 {raw}").into_bytes());
    let head = |name, acts: Vec<Act>| {
        case(name, &[18, 25], "HEAD /open/s HTTP/1.1\r\nHost: hub\r\n\r\n")
            .script("/s", acts)
            .reaches(want("HEAD /s"))
    };
    let to_head = TO_HEAD.iter().map(|(name, raw, status, field, value)| {
        let acts = vec![send(&format!("{raw}\r\n\r\n"))];
        head(name, acts).hears(heard(*status).by_head().is(field, *value))
    });
    let nothing = NOTHING.iter().map(|(name, raw, status, gone)| {
        asks(name, &[25], vec![send(raw)]).hears(heard(*status).lacks(&[gone]))
    });
    // In one piece: what comes later cannot be told from the answer to the next request.
    let poisoned = POISONED.iter().map(|(name, raw, status, gone)| {
        let acts = vec![send(raw), Act::AwaitEnd];
        asks(name, &[18, 25], acts).hears(heard(*status).lacks(&[gone])).whole()
    });
    let reset = "205 Reset Content\r\nContent-Length: 0\r\n\r\n";
    let body = vec![send("200 OK\r\nContent-Length: 6\r\n\r\npoison"), Act::AwaitEnd];
    let others = [
        head("head-with-a-body-all-the-same", body).hears(heard(200).by_head()).whole(),
        asks("nothing-205", &[25], vec![send(reset)]).hears(heard(205).is("content-length", "0")),
    ];
    to_head.chain(nothing).chain(poisoned).chain(others).collect()
}
