//! Peers that take their time, and refusals that come early enough to be read.

use std::time::Duration;

use crate::case::{Case, Step, case, cut_off, get, get_of, heard, post, problem, want};
use crate::recorder::{Act, When};

#[tokio::test]
async fn nobody_is_waited_for_for_ever() {
    crate::run::run(
        &[
            "gateway.limits.head_timeout=700ms",
            "gateway.limits.keep_alive_timeout=700ms",
            "gateway.limits.body_idle_timeout=700ms",
            "gateway.routes.open.response_timeout=700ms",
            "gateway.routes.open.body_bytes_max=100000",
        ],
        cases,
    )
    .await;
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let mut cases = heads();
    cases.extend(bodies());
    cases.extend(upstreams());
    cases.extend(early());
    cases.into_iter().map(Case::whole).collect()
}

fn heads() -> Vec<Case> {
    let late = |name, bytes: &str| {
        let late = problem(408).is("connection", "close");
        case(name, &[42], bytes).hears(late).closes_alone()
    };
    let trickle = get("").into_bytes();
    let parts = trickle.chunks(3);
    let trickled = parts.fold(case("late-head-that-trickles", &[42], ""), |case, part| {
        case.sends(part).step(Step::Pause(Duration::from_millis(150)))
    });
    vec![
        late("late-line", "GET /open/a HT"),
        late("late-field", "GET /open/a HTTP/1.1\r\nHost: hu"),
        late("late-end-of-head", "GET /open/a HTTP/1.1\r\nHost: hub\r\n"),
        late("late-last-line-feed", "GET /open/a HTTP/1.1\r\nHost: hub\r\n\r"),
        late("late-of-one-byte", "G"),
        late("late-behind-an-empty-line", "\r\n"),
        trickled.hears(problem(408).is("connection", "close")).closes_alone(),
        case("late-of-nothing", &[42], "").closes_alone(),
        case("late-next-request", &[42], get("")).forwards(want("GET /a")).closes_alone(),
        case("late-next-head", &[42], get(""))
            .forwards(want("GET /a"))
            .sends("GET /open/b HTTP/1.1\r\n")
            .hears(problem(408).is("connection", "close"))
            .closes_alone(),
        case("late-head-sent-ahead", &[42], get("") + "GET /open/b HT")
            .forwards(want("GET /a"))
            .hears(problem(408).is("connection", "close"))
            .closes_alone(),
    ]
}

fn bodies() -> Vec<Case> {
    let late = |name, fields: &str, body: &str| {
        case(name, &[42], post(fields, body))
            .hears(problem(408).is("connection", "close"))
            .closes_alone()
            .may_break_off()
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    vec![
        late("late-body", "Content-Length: 10\r\n", "hello"),
        late("late-body-of-nothing", "Content-Length: 10\r\n", ""),
        late("late-body-but-for-one-byte", "Content-Length: 10\r\n", "123456789"),
        late("late-chunk-size", chunked, "5\r\nhello\r\n"),
        late("late-chunk-data", chunked, "5\r\nhe"),
        late("late-chunk-end", chunked, "5\r\nhello"),
        late("late-last-chunk", chunked, "5\r\nhello\r\n0\r\n"),
        late("late-trailer", chunked, "5\r\nhello\r\n0\r\nX-A: b"),
        case(
            "late-body-behind-continue",
            &[27, 42],
            post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""),
        )
        .hears(heard(100))
        .hears(problem(408).is("connection", "close"))
        .closes_alone()
        .may_break_off(),
        case("body-in-time-in-parts", &[42], post("Content-Length: 10\r\n", "he"))
            .step(Step::Pause(Duration::from_millis(400)))
            .sends("llo")
            .step(Step::Pause(Duration::from_millis(400)))
            .sends("again")
            .forwards(want("POST /a").body("helloagain")),
    ]
}

fn upstreams() -> Vec<Case> {
    let silent = |name, rules, raw: &str| {
        case(name, rules, "POST /open/s HTTP/1.1\r\nHost: hub\r\nContent-Length: 1\r\n\r\nx")
            .script("/s", [Act::Send(raw.into()), Act::AwaitEnd])
            .reaches(want("POST /s").body("x"))
            .hears(problem(504).is("proxy-status", "hubbub; error=http_response_timeout"))
    };
    let stops = |name, raw: &str| {
        case(name, &[19], get_of("/open/s"))
            .script("/s", [Act::Send(format!("{OK}{raw}").into()), Act::AwaitEnd])
            .reaches(want("GET /s"))
            .hears(cut_off())
            .closes()
    };
    let twice = || vec![Act::AwaitEnd];
    vec![
        silent("upstream-says-nothing", &[29], ""),
        silent("upstream-says-half-a-line", &[29], "HTTP/1.1 2"),
        silent("upstream-says-half-a-head", &[29], "HTTP/1.1 200 OK\r\nContent-Len"),
        silent("upstream-says-100-and-nothing", &[26, 29], "HTTP/1.1 100 Continue\r\n\r\n"),
        case("upstream-says-nothing-to-a-get", &[29, 30], get_of("/open/s"))
            .script("/s", twice())
            .reaches(want("GET /s"))
            .hears(problem(504)),
        stops("upstream-stops-in-a-length", "Content-Length: 10\r\n\r\nhalf"),
        stops("upstream-stops-behind-the-head", "Content-Length: 10\r\n\r\n"),
        stops("upstream-stops-in-a-chunk", "Transfer-Encoding: chunked\r\n\r\na\r\nhalf"),
        stops("upstream-stops-behind-a-chunk", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        stops("upstream-stops-before-its-end", "\r\nhalf"),
    ]
}

/// Refusals, and answers, that come before the body does.
fn early() -> Vec<Case> {
    let large = |line: &str, length: usize| {
        let head = format!("{line} HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), "x".repeat(length).as_bytes()].concat()
    };
    let refused = |name, line: &str, length, status| {
        case(name, &[18, 29], large(line, length)).declined(status)
    };
    let chunks = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).repeat(20) + "0\r\n\r\n";
    let answer = |more: &str| {
        Act::Send(format!("HTTP/1.1 413 No\r\n{more}Content-Length: 2\r\n\r\nno").into())
    };
    let begins = "POST /open/s HTTP/1.1\r\nHost: hub\r\nContent-Length: 90000\r\n\r\nbegin";
    let rest = "x".repeat(90_000 - 5);
    vec![
        refused("early-413", "POST /open/a", 200_000, 413),
        refused("early-413-of-much", "POST /open/a", 3_000_000, 413),
        refused("early-401", "POST /api/messages", 900_000, 401),
        refused("early-404", "POST /nothing", 900_000, 404),
        refused("early-400-of-a-path", "POST /open/%zz", 900_000, 400),
        refused("early-405", "TRACE /open/a", 900_000, 405),
        case(
            "early-400-of-framing",
            &[14, 18],
            post("Content-Length: 1\r\nContent-Length: 2\r\n", &"x".repeat(900_000)),
        )
        .refused(400),
        case("early-413-on-the-way", &[18, 29], post("Transfer-Encoding: chunked\r\n", &chunks))
            .hears(problem(413))
            .may_break_off(),
        case("early-answer-of-the-upstream", &[18], begins)
            .script_at(When::Head, "/s", [answer("")])
            .hears(heard(413).body("no"))
            .sends(&rest)
            .may_reach(want("POST /s").body(format!("begin{rest}"))),
        case("early-answer-of-an-upstream-that-leaves", &[18], begins)
            .script_at(When::Head, "/s", [answer("Connection: close\r\n"), Act::Close])
            .hears(heard(413).body("no"))
            .sends(&rest)
            .may_reach(want("POST /s").body(format!("begin{rest}"))),
    ]
}
