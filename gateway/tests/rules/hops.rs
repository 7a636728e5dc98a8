//! What belongs to one connection ends there, in both directions, and nothing else does.

use crate::case::{Case, Heard, case, get, heard, want};
use crate::recorder::Act;

#[tokio::test]
async fn what_belongs_to_one_connection_ends_there() {
    crate::run::run(&[], cases).await;
}

/// Fields that end here: name, fields of the request, the names that must be gone.
const GONE: &[(&str, &str, &[&str])] = &[
    ("hop-named", "Connection: X-A\r\nX-A: 1\r\n", &["x-a", "connection"]),
    ("hop-named-behind", "X-A: 1\r\nConnection: X-A\r\n", &["x-a", "connection"]),
    (
        "hop-named-in-list",
        "Connection: keep-alive, X-A, close2\r\nX-A: 1\r\nClose2: 1\r\n",
        &["x-a", "close2"],
    ),
    (
        "hop-named-in-second-line",
        "Connection: keep-alive\r\nConnection: X-A\r\nX-A: 1\r\n",
        &["x-a", "connection"],
    ),
    (
        "hop-named-in-each-line",
        "Connection: X-A\r\nX-B: 1\r\nConnection: X-B\r\nX-A: 1\r\n",
        &["x-a", "x-b"],
    ),
    (
        "hop-named-in-third-line",
        "Connection: a\r\nConnection: b\r\nConnection: X-A\r\nX-A: 1\r\n",
        &["x-a"],
    ),
    ("hop-named-in-capitals", "CONNECTION: X-A\r\nx-a: 1\r\n", &["x-a", "connection"]),
    ("hop-named-in-odd-case", "cOnNeCtIoN: x-A\r\nX-a: 1\r\n", &["x-a", "connection"]),
    ("hop-named-odd-commas", "Connection: ,, ,X-A,,\t,\r\nX-A: 1\r\n", &["x-a", "connection"]),
    ("hop-named-with-tabs", "Connection: keep-alive\t,\tX-A\r\nX-A: 1\r\n", &["x-a"]),
    (
        "hop-named-without-blanks",
        "Connection: keep-alive,X-A,x-b\r\nX-A: 1\r\nX-B: 1\r\n",
        &["x-a", "x-b"],
    ),
    (
        "hop-named-several-lines-of-it",
        "Connection: X-A\r\nX-A: 1\r\nx-a: 2\r\nX-A: 3\r\n",
        &["x-a"],
    ),
    ("hop-named-twice", "Connection: X-A, x-a\r\nX-A: 1\r\n", &["x-a"]),
    ("hop-named-absent", "Connection: X-Absent\r\n", &["x-absent", "connection"]),
    ("hop-names-itself", "Connection: connection\r\n", &["connection"]),
    ("hop-empty", "Connection:\r\n", &["connection"]),
    ("hop-names-no-name", "Connection: a b, \"X-A\", ?\r\n", &["connection"]),
    (
        "hop-keep-alive",
        "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        &["keep-alive", "connection"],
    ),
    ("hop-keep-alive-unnamed", "Keep-Alive: timeout=5\r\n", &["keep-alive"]),
    (
        "hop-keep-alive-named",
        "Connection: Keep-Alive, X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\n",
        &["keep-alive", "x-a"],
    ),
    ("hop-proxy-connection", "Proxy-Connection: keep-alive\r\n", &["proxy-connection"]),
    ("hop-proxy-authorization", "Proxy-Authorization: Basic YTpi\r\n", &["proxy-authorization"]),
    ("hop-proxy-authenticate", "Proxy-Authenticate: Basic\r\n", &["proxy-authenticate"]),
    ("hop-te-trailers", "TE: trailers\r\nConnection: TE\r\n", &["te", "connection"]),
    ("hop-te-unnamed", "TE: trailers\r\n", &["te"]),
    ("hop-te-others", "TE: gzip;q=0.5, trailers, deflate\r\n", &["te"]),
    ("hop-te-twice", "TE: gzip\r\nTE: trailers\r\n", &["te"]),
    ("hop-trailer", "Trailer: X-Sum\r\n", &["trailer"]),
    ("hop-upgrade-unnamed", "Upgrade: h2c\r\n", &["upgrade"]),
    (
        "hop-upgrade-h2c",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        &["upgrade", "connection", "http2-settings"],
    ),
    ("hop-http2-settings-unnamed", "HTTP2-Settings: AAMAAABkAAQAAP__\r\n", &["http2-settings"]),
    ("hop-upgrade-tls", "Connection: upgrade\r\nUpgrade: TLS/1.2\r\n", &["upgrade", "connection"]),
    (
        "hop-upgrade-list",
        "Connection: upgrade\r\nUpgrade: h2c, foo/2\r\n",
        &["upgrade", "connection"],
    ),
    (
        "hop-upgrade-two-lines",
        "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: foo\r\n",
        &["upgrade"],
    ),
    ("hop-upgrade-http-2.0", "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n", &["upgrade"]),
];

/// Fields that nobody can have removed by naming them: name, fields, the name, its value.
const KEPT: &[(&str, &str, &str, &str)] = &[
    (
        "keeps-authorization",
        "Connection: Authorization\r\nAuthorization: Bearer x\r\n",
        "authorization",
        "Bearer x",
    ),
    ("keeps-cookie", "Connection: Cookie\r\nCookie: a=b\r\n", "cookie", "a=b"),
    ("keeps-host", "Connection: host\r\n", "host", "hub"),
    ("keeps-host-in-capitals", "Connection: close2, HOST\r\n", "host", "hub"),
    (
        "keeps-content-type",
        "Connection: Content-Type\r\nContent-Type: a/b\r\n",
        "content-type",
        "a/b",
    ),
    (
        "keeps-cache-control",
        "Connection: Cache-Control\r\nCache-Control: no-store\r\n",
        "cache-control",
        "no-store",
    ),
    ("keeps-origin", "Connection: Origin\r\nOrigin: http://a\r\n", "origin", "http://a"),
    (
        "keeps-request-id",
        "Connection: X-Request-Id\r\nX-Request-Id: mine\r\n",
        "x-request-id",
        "mine",
    ),
    (
        "keeps-forwarded-for",
        "Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n",
        "x-forwarded-for",
        "127.0.0.1",
    ),
    ("keeps-forwarded-proto", "Connection: X-Forwarded-Proto\r\n", "x-forwarded-proto", "http"),
    ("keeps-forwarded-host", "Connection: X-Forwarded-Host\r\n", "x-forwarded-host", "hub"),
    ("keeps-via-before", "Connection: close2\r\nVia: 1.1 before\r\nX-A: 1\r\n", "x-a", "1"),
    ("keeps-what-a-quote-names", "Connection: \"X-A\"\r\nX-A: 1\r\n", "x-a", "1"),
    ("keeps-what-a-part-names", "Connection: X\r\nX-A: 1\r\n", "x-a", "1"),
    ("keeps-what-a-semicolon-names", "Connection: X-A;q=1\r\nX-A: 1\r\n", "x-a", "1"),
];

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let gone = GONE.iter().map(|(name, fields, gone)| {
        case(name, &[1, 2, 4], get(&format!("{fields}X-Kept: yes\r\n")))
            .forwards(want("GET /a").lacks(gone).is("x-kept", "yes"))
    });
    let kept = KEPT.iter().map(|(name, fields, kept, value)| {
        case(name, &[3], get(fields)).forwards(want("GET /a").is(kept, *value))
    });
    gone.chain(kept).chain(closing()).chain(answers()).collect()
}

/// What `Connection` says of the connection itself.
fn closing() -> Vec<Case> {
    let closes = |name, field: &str| {
        let answer = want("GET /a").echo().is("connection", "close");
        case(name, &[1], get(&format!("{field}\r\n")))
            .reaches(want("GET /a").lacks(&["connection"]))
            .hears(answer)
            .closes()
    };
    vec![
        closes("close-asked", "Connection: close"),
        closes("close-asked-in-capitals", "CONNECTION: CLOSE"),
        closes("close-asked-in-list", "Connection: X-A, close"),
        closes("close-asked-in-second-line", "Connection: X-A\r\nConnection: close"),
        closes("close-asked-beside-keep-alive", "Connection: keep-alive, close"),
        case(
            "close-asked-of-a-refusal",
            &[1, 29],
            "GET /nothing HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n",
        )
        .refused(404),
        case("via-is-kept-and-added-to", &[6], get("Via: 1.0 first, 1.1 second\r\n"))
            .forwards(want("GET /a").first("via", "1.0 first, 1.1 second")),
    ]
}

/// An answer with `fields`, of which the caller gets what is `expected`.
fn answer(name: &'static str, rules: &'static [u8], fields: &str, expected: Heard) -> Case {
    let raw = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kept: yes\r\n{fields}\r\nok");
    case(name, rules, "GET /open/s HTTP/1.1\r\nHost: hub\r\n\r\n")
        .script("/s", [Act::Send(raw.into_bytes())])
        .reaches(want("GET /s"))
        .hears(expected.body("ok").is("x-kept", "yes"))
}

/// Fields of answers that end here: name, fields, the names that must be gone.
const ANSWERS_GONE: &[(&str, &str, &[&str])] = &[
    ("answer-hop-named", "Connection: X-A\r\nX-A: 1\r\n", &["x-a", "connection"]),
    ("answer-hop-in-second-line", "Connection: a\r\nConnection: X-A\r\nX-A: 1\r\n", &["x-a"]),
    ("answer-hop-in-odd-case", "CONNECTION: x-a ,,\r\nX-A: 1\r\n", &["x-a", "connection"]),
    (
        "answer-keep-alive",
        "Connection: keep-alive\r\nKeep-Alive: 5\r\n",
        &["keep-alive", "connection"],
    ),
    ("answer-proxy-connection", "Proxy-Connection: close\r\n", &["proxy-connection"]),
    ("answer-proxy-authenticate", "Proxy-Authenticate: Basic\r\n", &["proxy-authenticate"]),
    ("answer-trailer", "Trailer: X-Sum\r\nTE: trailers\r\n", &["trailer", "te"]),
    (
        "answer-upgrade-unasked",
        "Upgrade: h2c\r\nConnection: upgrade\r\n",
        &["upgrade", "connection"],
    ),
];

/// Fields of answers that stay: name, rule, the field line, its name and value.
const ANSWERS_KEPT: &[(&str, u8, &str, &str, &str)] = &[
    ("answer-names-content-length", 3, "Connection: content-length", "content-length", "2"),
    (
        "answer-names-content-type",
        3,
        "Connection: Content-Type\r\nContent-Type: a",
        "content-type",
        "a",
    ),
    ("answer-server-stays", 7, "Server: them", "server", "them"),
    (
        "answer-date-stays",
        7,
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
        "date",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ),
    ("answer-etag-stays", 8, "ETag: \"a\"", "etag", "\"a\""),
];

/// The same for answers.
fn answers() -> Vec<Case> {
    let gone = ANSWERS_GONE
        .iter()
        .map(|(name, fields, gone)| answer(name, &[1, 2], fields, heard(200).lacks(gone)));
    let kept = ANSWERS_KEPT.iter().map(|(name, rule, field, kept, value)| {
        let expected = heard(200).is(kept, *value);
        answer(name, std::slice::from_ref(rule), &format!("{field}\r\n"), expected)
    });
    let cookies = heard(200).all("set-cookie", &["a=1", "b=2"]);
    let id = || heard(200).has("x-request-id");
    let others = [
        answer("answer-date-is-added", &[7], "", heard(200).has("date")),
        answer("answer-cookies-stay", &[2], "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", cookies),
        answer("answer-names-the-request-id", &[3], "Connection: X-Request-Id\r\n", id()),
        answer(
            "answer-with-another-request-id",
            &[12],
            "X-Request-Id: a\r\nX-Request-Id: b\r\n",
            id(),
        ),
    ];
    gone.chain(kept).chain(others).collect()
}
