//! Connections to an upstream that are used again: never one that is not clean, and nothing is sent
//! twice that may have been acted on.

use crate::case::{Case, On, Step, case, get_of, heard, problem, want};
use crate::recorder::Act;

#[tokio::test]
async fn a_connection_is_used_again_only_when_it_is_clean() {
    // One is kept, so that it is known which one is used.
    crate::run::run(&["gateway.upstreams.chat.idle_connections_max=1"], cases).await;
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn send(raw: impl Into<String>) -> Act {
    Act::Send(raw.into().into_bytes())
}

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let mut cases = replaced();
    cases.extend(not_repeated());
    cases.extend(ended());
    cases.extend(idle());
    cases
}

fn line(method: &str) -> String {
    format!("{method} /open/s HTTP/1.1\r\nHost: hub\r\n\r\n")
}

/// The kept connection dies without a word: what may be done twice is asked again, once.
fn replaced() -> Vec<Case> {
    let replaced = |name, method: &str, act: Act| {
        let wanted = want(&format!("{method} /s"));
        case(name, &[30], line(method))
            .script("/s", [act])
            .reaches(wanted.clone().on(On::Used))
            .forwards(wanted.on(On::New))
    };
    vec![
        replaced("replaced-get", "GET", Act::Close),
        replaced("replaced-get-by-reset", "GET", Act::Reset),
        replaced("replaced-head", "HEAD", Act::Close),
        replaced("replaced-put-of-nothing", "PUT", Act::Close),
        replaced("replaced-delete", "DELETE", Act::Close),
        replaced("replaced-options", "OPTIONS", Act::Close),
        case("replaced-once-only", &[30], line("GET"))
            .script("/s", [Act::Close])
            .script("/s", [Act::Close])
            .reaches(want("GET /s").on(On::Used))
            .reaches(want("GET /s").on(On::New))
            .hears(problem(502)),
        case("replaced-once-only-by-reset", &[30], line("GET"))
            .script("/s", [Act::Reset])
            .script("/s", [Act::Reset])
            .reaches(want("GET /s").on(On::Used))
            .reaches(want("GET /s").on(On::New))
            .hears(problem(502)),
    ]
}

/// What may have been acted on is not asked again.
fn not_repeated() -> Vec<Case> {
    let once = |name, method: &str, act: Act| {
        case(name, &[30], line(method))
            .script("/s", [act])
            .reaches(want(&format!("{method} /s")).on(On::Used))
            .hears(problem(502))
    };
    let with_body = |name, method: &str| {
        let request =
            format!("{method} /open/s HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello");
        case(name, &[21, 30], request)
            .script("/s", [Act::Close])
            .reaches(want(&format!("{method} /s")).body("hello").on(On::Used))
            .hears(problem(502))
    };
    vec![
        once("once-post", "POST", Act::Close),
        once("once-post-by-reset", "POST", Act::Reset),
        once("once-patch", "PATCH", Act::Close),
        once("once-unknown-method", "BREW", Act::Close),
        once("once-get-in-lower-case", "get", Act::Close),
        with_body("once-post-with-a-body", "POST"),
        with_body("once-put-with-a-body", "PUT"),
        with_body("once-get-with-a-body", "GET"),
        with_body("once-delete-with-a-body", "DELETE"),
        case("once-post-behind-half-a-head", &[30], line("POST"))
            .script("/s", [send("HTTP/1.1 2"), Act::Close])
            .reaches(want("POST /s").on(On::Used))
            .hears(problem(502)),
        case("once-post-behind-100", &[26, 30], line("POST"))
            .script("/s", [send("HTTP/1.1 100 Continue\r\n\r\n"), Act::Close])
            .reaches(want("POST /s").on(On::Used))
            .hears(problem(502)),
    ]
}

/// A connection that the upstream ends, or says it will.
fn ended() -> Vec<Case> {
    let renewed = |name, raw: &str, last: Act| {
        case(name, &[1, 18], line("GET") + &get_of("/open/b"))
            .script("/s", [send(raw), last])
            .reaches(want("GET /s"))
            .hears(heard(200).body("ok"))
            .forwards(want("GET /b").on(On::New))
    };
    let saying = |field: &str| OK.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
    vec![
        case("kept-by-default", &[18], line("GET") + &get_of("/open/b"))
            .forwards(want("GET /s"))
            .forwards(want("GET /b").on(On::Used)),
        case("kept-behind-chunks", &[18], line("GET") + &get_of("/open/b"))
            .script(
                "/s",
                [send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")],
            )
            .reaches(want("GET /s"))
            .hears(heard(200).body("ok"))
            .forwards(want("GET /b").on(On::Used)),
        case("kept-behind-nothing", &[18, 25], line("GET") + &get_of("/open/b"))
            .script("/s", [send("HTTP/1.1 204 No Content\r\n\r\n")])
            .reaches(want("GET /s"))
            .hears(heard(204))
            .forwards(want("GET /b").on(On::Used)),
        case("kept-behind-head", &[18, 25], line("HEAD") + &get_of("/open/b"))
            .forwards(want("HEAD /s"))
            .forwards(want("GET /b").on(On::Used)),
        renewed("renewed-behind-close", &saying("Connection: close"), Act::AwaitEnd),
        renewed("renewed-behind-close-in-a-list", &saying("Connection: X-A, Close"), Act::AwaitEnd),
        renewed(
            "renewed-behind-close-in-the-second-line",
            &saying("Connection: X-A\r\nConnection: close"),
            Act::AwaitEnd,
        ),
        renewed("renewed-behind-1.0", &OK.replace("1.1", "1.0"), Act::AwaitEnd),
        renewed("renewed-behind-an-end", "HTTP/1.1 200 OK\r\n\r\nok", Act::Close),
        renewed("renewed-behind-extra-bytes", &format!("{OK}poison"), Act::AwaitEnd).whole(),
    ]
}

/// What an upstream does while nobody asks it anything.
fn idle() -> Vec<Case> {
    let meanwhile = |name, method: &str, act: Act| {
        let request = format!("{method} /open/b HTTP/1.1\r\nHost: hub\r\n\r\n");
        case(name, &[18, 30], line("GET"))
            .script("/s", [send(OK), Act::Cue, act, Act::Tell, Act::AwaitEnd])
            .reaches(want("GET /s"))
            .hears(heard(200).body("ok"))
            .step(Step::Cue)
            .sends(request)
            .forwards(want(&format!("{method} /b")).on(On::New))
            .whole()
    };
    let poison = || send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    vec![
        meanwhile("idle-answer-to-nothing", "GET", poison()),
        meanwhile("idle-answer-to-nothing-before-a-post", "POST", poison()),
        meanwhile("idle-byte", "GET", send("x")),
        meanwhile("idle-line-end", "GET", send("\r\n")),
        meanwhile(
            "idle-408",
            "GET",
            send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\npoison"),
        ),
        meanwhile("idle-100", "GET", send("HTTP/1.1 100 Continue\r\n\r\n")),
        meanwhile("idle-half-an-answer", "POST", send("HTTP/1.1 200 OK\r\nX-Poison: ")),
        meanwhile("idle-end-before-a-get", "GET", Act::Shut),
        meanwhile("idle-end-before-a-post", "POST", Act::Shut),
    ]
}
