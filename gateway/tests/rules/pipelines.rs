//! Requests that are sent ahead: answered in their order, each as if it came alone.

use crate::case::{Case, Want, case, get_of, heard, problem, want};
use crate::recorder::Act;

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_their_order() {
    crate::run::run(&[], cases).await;
}

const A: &str = "GET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n";
const SIZED: &str = "POST /open/b HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "POST /open/c HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\n0\r\n\r\n";
const HEAD: &str = "HEAD /open/h HTTP/1.1\r\nHost: hub\r\n\r\n";
const SCRIPTED: &str = "GET /open/s HTTP/1.1\r\nHost: hub\r\n\r\n";
const LAST: &str = "GET /open/a HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n";
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: hub\r\n\r\n";
const NOWHERE: &str = "GET /nothing HTTP/1.1\r\nHost: hub\r\n\r\n";
/// A refused request, whose body looks like another.
const NOWHERE_WITH_A_BODY: &str = "POST /nothing HTTP/1.1\r\nHost: hub\r\n\
                                   Content-Length: 36\r\n\r\n\
                                   GET /open/in HTTP/1.1\r\nHost: hub\r\n\r\n";
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n";

fn a() -> Want {
    want("GET /a")
}

fn sized() -> Want {
    want("POST /b").body("hello")
}

fn chunked() -> Want {
    want("POST /c").body("hello")
}

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let mut cases = well();
    cases.extend(scripted());
    cases.extend(refused());
    cases.extend(broken());
    cases.extend(own());
    cases
}

/// A case of `count` requests at once.
fn several(name: &'static str, count: usize) -> Case {
    let all: String = (0..count).map(|number| get_of(&format!("/open/{number}"))).collect();
    (0..count)
        .fold(case(name, &[18], all), |case, number| case.forwards(want(&format!("GET /{number}"))))
}

fn well() -> Vec<Case> {
    let large = format!(
        "POST /open/b HTTP/1.1\r\nHost: hub\r\nContent-Length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    );
    vec![
        several("ahead-two", 2),
        several("ahead-ten", 10),
        several("ahead-fifty", 50).whole(),
        case("ahead-with-bodies", &[18], [SIZED, CHUNKED, A].concat())
            .forwards(sized())
            .forwards(chunked())
            .forwards(a()),
        case("ahead-bodies-in-turn", &[18], [CHUNKED, CHUNKED, SIZED, SIZED].concat())
            .forwards(chunked())
            .forwards(chunked())
            .forwards(sized())
            .forwards(sized()),
        case("ahead-with-large-bodies", &[18], [&*large, A, CHUNKED].concat())
            .forwards(want("POST /b").body("x".repeat(300_000)))
            .forwards(a())
            .forwards(chunked()),
        case("ahead-with-heads", &[18, 25], [HEAD, A, HEAD].concat())
            .forwards(want("HEAD /h"))
            .forwards(a())
            .forwards(want("HEAD /h")),
        case("ahead-behind-an-empty-line", &[16], [SIZED, "\r\n", A].concat())
            .forwards(sized())
            .forwards(a()),
    ]
}

/// Behind one whose answer is special.
fn scripted() -> Vec<Case> {
    let send = |raw: &str| Act::Send(raw.as_bytes().to_vec());
    let behind = |name, acts: Vec<Act>| {
        case(name, &[18], [SCRIPTED, A].concat()).script("/s", acts).reaches(want("GET /s"))
    };
    let post = SCRIPTED.replace("GET", "POST");
    vec![
        behind(
            "ahead-of-a-slow-one",
            vec![Act::Rest, send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
        )
        .hears(heard(200).body("ok"))
        .forwards(a()),
        behind("ahead-of-an-unchanged-one", vec![send("HTTP/1.1 304 Not Modified\r\n\r\n")])
            .hears(heard(304))
            .forwards(a()),
        behind(
            "ahead-of-an-answer-to-the-end",
            vec![send("HTTP/1.1 200 OK\r\n\r\nok"), Act::Close],
        )
        .hears(heard(200).body("ok"))
        .forwards(a()),
        case("ahead-of-a-failing-one", &[18], [&*post, A].concat())
            .script("/s", [Act::Close])
            .reaches(want("POST /s"))
            .hears(problem(502))
            .forwards(a()),
    ]
}

/// Refusals whose framing is clear: what stands behind them is a request.
fn refused() -> Vec<Case> {
    let bad_path = get_of("/open/%zz");
    let no_token = NOWHERE_WITH_A_BODY.replace("/nothing", "/api/messages");
    let chunked = CHUNKED.replace("/open/c", "/nothing");
    let behind = |name, refused: &str, status| {
        case(name, &[18, 29], [refused, A].concat()).declined(status).forwards(a())
    };
    vec![
        case(
            "ahead-with-refusals-between",
            &[18, 29],
            [NOWHERE, A, &*bad_path, SIZED, &*get_of("/api/messages")].concat(),
        )
        .declined(404)
        .forwards(a())
        .declined(400)
        .forwards(sized())
        .declined(401),
        behind("ahead-of-a-refusal-with-a-body", NOWHERE_WITH_A_BODY, 404),
        behind("ahead-of-a-refusal-with-chunks", &chunked, 404),
        behind("ahead-of-a-refusal-without-a-token", &no_token, 401),
        case("ahead-behind-a-last-one", &[1, 18], [LAST, SMUGGLED].concat())
            .reaches(a())
            .hears(a().echo().is("connection", "close"))
            .closes(),
        case(
            "ahead-behind-a-last-one-that-is-refused",
            &[1, 18],
            [&*LAST.replace("/open/a", "/nothing"), SMUGGLED].concat(),
        )
        .refused(404),
    ]
}

/// Requests whose end nobody can tell: what stands behind them is nothing.
fn broken() -> Vec<Case> {
    let lengths = SIZED.replace("Length: 5", "Length: 5\r\nContent-Length: 6");
    let chunks = CHUNKED.replace("5\r\nhello", "zz\r\nhello");
    let too_long = get_of(&"/x".repeat(5000));
    let behind = |name, first: &str, broken: &str, want: Want, status| {
        case(name, &[14, 16, 18], [first, broken, SMUGGLED].concat()).forwards(want).refused(status)
    };
    vec![
        behind("ahead-of-a-broken-one", A, &lengths, a(), 400),
        behind("ahead-of-broken-chunks", A, &chunks, a(), 400).may_break_off(),
        behind("ahead-of-garbage", A, "garbage\r\n\r\n", a(), 400),
        behind("ahead-of-too-long-a-target", A, &too_long, a(), 414),
        behind("ahead-behind-a-bare-line-feed", SIZED, "\n", sized(), 400),
        behind("ahead-behind-a-body-too-long", SIZED, "!!\r\n", sized(), 400),
        behind("ahead-behind-a-stray-body", A, "x=1\r\n\r\n", a(), 400),
        case(
            "ahead-of-broken-chunks-nowhere",
            &[17, 18],
            [&*chunks.replace("/open/c", "/nothing"), SMUGGLED].concat(),
        )
        .hears(problem(404))
        .closes(),
    ]
}

/// Among what the gateway answers itself.
fn own() -> Vec<Case> {
    let live = || heard(200).body("live\n");
    let with_a_body = LIVE.replace("hub\r\n", "hub\r\nContent-Length: 5\r\n") + "hello";
    let everything = "OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n";
    vec![
        case("ahead-of-the-gateways-own", &[18], [LIVE, A, LIVE].concat())
            .hears(live())
            .forwards(a())
            .hears(live()),
        case("ahead-of-the-gateways-own-with-a-body", &[18, 21], [&*with_a_body, A].concat())
            .declined(413)
            .forwards(a()),
        case("ahead-of-everything-asked", &[18, 28], [everything, A].concat())
            .hears(heard(204))
            .forwards(a()),
    ]
}
