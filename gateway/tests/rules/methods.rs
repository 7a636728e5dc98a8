//! Methods, and what is expected before a body is sent.

use crate::case::{Case, Heard, ME, case, get, heard, problem, want};

#[tokio::test]
async fn methods_are_told_apart_by_their_letters() {
    crate::run::run(&["gateway.cors.origins=[\"http://page.example\"]"], cases).await;
}

const TOKEN: &str = "!#$%&'*+-.^_`|~09azAZ";

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let mut cases = methods();
    cases.extend(dates());
    cases.extend(options());
    cases.extend(expectations());
    cases.extend(loops());
    cases
}

fn ask(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: hub\r\n{fields}\r\n")
}

fn methods() -> Vec<Case> {
    let forwards = |name, method: &str| {
        case(name, &[28], ask(&format!("{method} /open/a"), ""))
            .forwards(want(&format!("{method} /a")))
    };
    let not_served =
        |name, line: &str| case(name, &[28, 29], ask(line, "")).hears(problem(405).has("allow"));
    let smuggled = "GET /open/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n";
    let broken = |name, line: &str| case(name, &[16, 28], ask(line, "") + smuggled).refused(400);
    vec![
        forwards("method-unknown", "BREW"),
        forwards("method-with-hyphen", "M-SEARCH"),
        forwards("method-of-every-token-character", TOKEN),
        forwards("method-get-in-lower-case", "get"),
        forwards("method-get-in-odd-case", "GeT"),
        forwards("method-of-one-letter", "X"),
        forwards("method-of-webdav", "PROPFIND"),
        forwards("method-of-1000-letters", &"M".repeat(1000)),
        not_served("method-trace", "TRACE /open/a"),
        not_served("method-trace-of-an-absolute-target", "TRACE http://hub/open/a"),
        not_served("method-connect", "CONNECT hub:80"),
        not_served("method-connect-to-a-path", "CONNECT /open/a"),
        not_served("method-connect-to-an-absolute-target", "CONNECT http://hub/open/a"),
        not_served("method-not-on-this-route", "GET /api/auth/login"),
        not_served("method-post-in-lower-case", "post /api/auth/login"),
        not_served("method-unknown-on-a-route-with-methods", "BREW /api/auth/login"),
        not_served("method-not-on-the-gateways-own", "POST /health"),
        case("method-lists-what-is-allowed", &[29], ask("GET /api/auth/login", ""))
            .hears(problem(405).is("allow", "POST")),
        case("method-overridden-by-a-field", &[28], get("X-HTTP-Method-Override: DELETE\r\n"))
            .forwards(want("GET /a")),
        case(
            "method-trace-with-a-body",
            &[28],
            ask("TRACE /open/a", "Content-Length: 5\r\n") + "hello",
        )
        .hears(problem(405).has("allow")),
        broken("method-empty", " /open/a"),
        broken("method-with-parenthesis", "GET( /open/a"),
        broken("method-with-colon", "GET: /open/a"),
        broken("method-with-comma", "GET,POST /open/a"),
        broken("method-with-slash", "GET/open /open/a"),
        broken("method-quoted", "\"GET\" /open/a"),
        broken("method-with-nul", "GE\0T /open/a"),
        broken("method-with-control", "GE\x01T /open/a"),
        broken("method-with-high-bytes", "G\u{c9}T /open/a"),
        broken("method-with-bracket", "[GET] /open/a"),
    ]
}

/// What the gateway says itself has a date, wherever it says so.
fn dates() -> Vec<Case> {
    let dated = |name, request: &str, status| {
        case(name, &[7, 29], request).hears(problem(status).has("date"))
    };
    vec![
        dated("refusal-in-the-corridor-has-a-date", &ask("GET /nothing", ""), 404),
        dated("refusal-without-a-token-has-a-date", &ask("GET /api/messages", ""), 401),
        dated("refusal-of-a-line-has-a-date", "GET /open/a HTTP/3.0\r\n\r\n", 400).closes(),
        dated("refusal-of-a-field-has-a-date", &get("X A: b\r\n"), 400).closes(),
    ]
}

fn options() -> Vec<Case> {
    let preflight = "Origin: http://page.example\r\nAccess-Control-Request-Method: POST\r\n";
    let answered = || heard(204).has("allow");
    vec![
        case("options-of-everything", &[28], ask("OPTIONS *", "")).hears(answered()),
        case(
            "options-of-everything-with-a-body",
            &[28],
            ask("OPTIONS *", "Content-Length: 5\r\n") + "hello",
        )
        .hears(answered()),
        case(
            "options-of-everything-with-chunks",
            &[28],
            ask("OPTIONS *", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
        )
        .hears(answered()),
        case("options-of-a-path", &[28], ask("OPTIONS /open/a", "")).forwards(want("OPTIONS /a")),
        case("options-of-a-protected-path", &[28], ask("OPTIONS /api/messages", "")).declined(401),
        case(
            "options-with-an-origin-alone",
            &[28],
            ask("OPTIONS /open/a", "Origin: http://page.example\r\n"),
        )
        .reaches(want("OPTIONS /a"))
        .hears(heard(200).is("access-control-allow-origin", "http://page.example")),
        case("options-of-no-hops-more", &[6], ask("OPTIONS /open/a", "Max-Forwards: 0\r\n"))
            .hears(answered()),
        case("options-of-five-hops-more", &[6], ask("OPTIONS /open/a", "Max-Forwards: 5\r\n"))
            .forwards(want("OPTIONS /a").is("max-forwards", "4")),
        case("hops-of-a-get-do-not-count", &[6], get("Max-Forwards: 0\r\n"))
            .forwards(want("GET /a").is("max-forwards", "0")),
        case("preflight-of-an-allowed-page", &[28], ask("OPTIONS /api/messages", preflight)).hears(
            answered()
                .is("access-control-allow-origin", "http://page.example")
                .has("access-control-allow-methods"),
        ),
        case(
            "preflight-of-a-foreign-page",
            &[28],
            ask("OPTIONS /api/messages", &preflight.replace("page", "evil")),
        )
        .hears(answered().lacks(&["access-control-allow-origin", "access-control-allow-methods"])),
        case("preflight-of-nowhere", &[28], ask("OPTIONS /nothing", preflight)).hears(answered()),
        case(
            "preflight-with-two-origins",
            &[28],
            ask("OPTIONS /open/a", &format!("Origin: http://evil.example\r\n{preflight}")),
        )
        .hears(answered().lacks(&["access-control-allow-origin"])),
        case(
            "refusal-is-readable-for-a-page",
            &[38],
            ask("GET /nothing", "Origin: http://page.example\r\n"),
        )
        .hears(problem(404).is("access-control-allow-origin", "http://page.example")),
    ]
}

fn expectations() -> Vec<Case> {
    let post = |target: &str, fields: &str| ask(&format!("POST {target}"), fields);
    let expects = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    let asks_first = |name, fields: &str| {
        let want = want("POST /a").body("hello");
        case(name, &[27], post("/open/a", fields)).hears(heard(100)).sends("hello").forwards(want)
    };
    let early = |heard: Heard| heard.perhaps_behind_100();
    let refused = |name, target: &str, fields: &str, status| {
        case(name, &[18, 27], post(target, fields)).hears(problem(status)).closes_alone()
    };
    let odd = |name, fields: &str| case(name, &[27], get(fields)).declined(417);
    vec![
        asks_first("expect-then-body", expects),
        asks_first("expect-in-odd-case", "eXPECT: 100-Continue\r\nContent-Length: 5\r\n"),
        asks_first("expect-twice-alike", &format!("Expect: 100-continue\r\n{expects}")),
        case(
            "expect-then-chunks",
            &[27],
            post("/open/a", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"),
        )
        .hears(heard(100))
        .sends("5\r\nhello\r\n0\r\n\r\n")
        .forwards(want("POST /a").body("hello")),
        case("expect-and-body-at-once", &[27], post("/open/a", expects) + "hello")
            .reaches(want("POST /a").body("hello"))
            .hears(early(heard(200).body("POST /a"))),
        case("expect-without-a-body", &[27], get("Expect: 100-continue\r\n"))
            .reaches(want("GET /a"))
            .hears(early(heard(200).body("GET /a"))),
        case(
            "expect-of-an-empty-body",
            &[27],
            post("/open/a", "Expect: 100-continue\r\nContent-Length: 0\r\n"),
        )
        .reaches(want("POST /a"))
        .hears(early(heard(200).body("POST /a"))),
        case(
            "expect-on-1.0-is-nothing",
            &[27],
            "POST /open/a HTTP/1.0\r\nConnection: keep-alive\r\n\
                 Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        )
        .forwards(want("POST /a").body("hello")),
        case(
            "expect-magic-on-1.0-is-nothing",
            &[27],
            "GET /open/a HTTP/1.0\r\nConnection: keep-alive\r\n\
                 Expect: magic\r\n\r\n",
        )
        .forwards(want("GET /a")),
        refused("expect-nowhere", "/nothing", expects, 404),
        refused("expect-without-a-token", "/api/messages", expects, 401),
        refused(
            "expect-too-large",
            "/open/a",
            "Expect: 100-continue\r\nContent-Length: 9999999\r\n",
            413,
        ),
        refused("expect-at-a-bad-path", "/open/%zz", expects, 400),
        odd("expect-magic", "Expect: magic\r\n"),
        odd("expect-continue-without-100", "Expect: continue\r\n"),
        odd("expect-a-list", "Expect: 100-continue, magic\r\n"),
        odd("expect-with-parameter", "Expect: 100-continue;x=1\r\n"),
        odd("expect-with-value", "Expect: 100-continue=1\r\n"),
        odd("expect-good-and-bad", "Expect: 100-continue\r\nExpect: magic\r\n"),
        odd("expect-101", "Expect: 101-continue\r\n"),
    ]
}

fn loops() -> Vec<Case> {
    let stopped = |name, via: &str| {
        case(name, &[6], get(&format!("{via}\r\n")))
            .hears(problem(508).is("proxy-status", "hubbub; error=proxy_loop_detected"))
    };
    let passes =
        |name, via: &str| case(name, &[6], get(&format!("{via}\r\n"))).forwards(want("GET /a"));
    vec![
        stopped("loop-of-one", &format!("Via: 1.1 {ME}")),
        stopped("loop-in-a-list", &format!("Via: 1.0 a, 1.1 {ME}, 1.1 b")),
        stopped("loop-in-the-second-line", &format!("Via: 1.0 a\r\nVia: 1.1 {ME}")),
        stopped("loop-with-a-comment", &format!("Via: 1.1 {ME} (hello)")),
        stopped("loop-of-another-version", &format!("via: HTTP/1.0 {ME}")),
        stopped("loop-named-in-connection", &format!("Connection: Via\r\nVia: 1.1 {ME}")),
        passes("via-of-others", "Via: 1.1 a, 1.1 b"),
        passes("via-of-a-longer-name", &format!("Via: 1.1 {ME}0")),
        passes("via-in-a-comment", &format!("Via: 1.1 a (1.1 {ME})")),
        passes("via-broken", &format!("Via: {ME}")),
        passes("via-empty", "Via:"),
    ]
}
