//! Which host is meant: one, and the same to everybody.

use crate::case::{Case, case, problem, want};

#[tokio::test]
async fn one_host_is_meant() {
    crate::run::run(&[], cases).await;
}

/// Host fields that are no host. The framing of such a request is clear: the connection goes on.
const BAD: &[(&str, &str)] = &[
    ("host-missing", ""),
    ("host-twice-same", "Host: hub\r\nHost: hub\r\n"),
    ("host-twice-different", "Host: hub\r\nHost: other\r\n"),
    ("host-twice-apart-in-odd-case", "Host: hub\r\nX-A: b\r\nhOST: other\r\n"),
    ("host-twice-one-empty", "Host: hub\r\nHost:\r\n"),
    ("host-empty", "Host:\r\n"),
    ("host-blank", "Host:  \t\r\n"),
    ("host-with-user", "Host: user@hub\r\n"),
    ("host-with-user-and-password", "Host: a:b@hub\r\n"),
    ("host-with-path", "Host: hub/path\r\n"),
    ("host-with-query", "Host: hub?a\r\n"),
    ("host-with-fragment", "Host: hub#a\r\n"),
    ("host-with-scheme", "Host: http://hub\r\n"),
    ("host-with-space", "Host: hub other\r\n"),
    ("host-with-tab", "Host: hub\tother\r\n"),
    ("host-with-backslash", "Host: hub\\other\r\n"),
    ("host-with-quote", "Host: \"hub\"\r\n"),
    ("host-with-angle", "Host: <hub>\r\n"),
    ("host-with-brace", "Host: {hub}\r\n"),
    ("host-with-caret", "Host: hub^\r\n"),
    ("host-with-bar", "Host: a|b\r\n"),
    ("host-with-high-bytes", "Host: h\u{fc}b\r\n"),
    ("host-of-two-in-a-list", "Host: hub, other\r\n"),
    ("host-with-two-ports", "Host: hub:80:81\r\n"),
    ("host-with-a-worded-port", "Host: hub:http\r\n"),
    ("host-with-a-port-too-large", "Host: hub:65536\r\n"),
    ("host-with-a-signed-port", "Host: hub:+80\r\n"),
    ("host-of-a-port-alone", "Host: :80\r\n"),
    ("host-of-ipv6-without-brackets", "Host: ::1\r\n"),
    ("host-of-ipv6-half-in-brackets", "Host: [::1\r\n"),
    ("host-of-ipv6-and-more", "Host: [::1]x\r\n"),
    ("host-of-brackets-within", "Host: a[b]\r\n"),
    ("host-with-a-broken-percent", "Host: hub%zz\r\n"),
];

/// Host fields that are fine, and go on as they are.
const GOOD: &[(&str, &str)] = &[
    ("host-plain", "hub"),
    ("host-with-port", "hub:8000"),
    ("host-with-empty-port", "hub:"),
    ("host-in-capitals", "HUB.Example"),
    ("host-with-final-dot", "hub.example."),
    ("host-of-ipv4", "127.0.0.1:8000"),
    ("host-of-ipv6", "[::1]"),
    ("host-of-ipv6-with-port", "[2001:db8::1]:8000"),
    ("host-with-underscore", "a_b"),
    ("host-with-encoded-letter", "%68ub"),
];

/// Targets in other forms that are refused, closing the connection.
const TARGETS: &[(&str, &str)] = &[
    ("absolute-ftp", "GET ftp://hub/open/a"),
    ("absolute-file", "GET file:///open/a"),
    ("absolute-websocket", "GET ws://hub/open/a"),
    ("absolute-javascript", "GET javascript:alert(1)"),
    ("absolute-without-host", "GET http:///open/a"),
    ("absolute-with-one-slash", "GET http:/open/a"),
    ("absolute-without-slashes", "GET http:open/a"),
    ("absolute-with-three-slashes", "GET http:////open/a"),
    ("absolute-with-two-ports", "GET http://hub:1:2/open/a"),
    ("absolute-with-a-space", "GET http://hub other/open/a"),
    ("absolute-with-backslash", "GET http://hub\\@other/open/a"),
    ("authority-on-get", "GET hub:80"),
    ("authority-without-port-on-get", "GET hub"),
    ("authority-on-post", "POST hub:80"),
    ("path-without-slash", "GET open/a"),
    ("path-of-a-query", "GET ?a"),
    ("path-of-a-dot", "GET ./open/a"),
];

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let bad = BAD.iter().map(|(name, fields)| {
        let request = format!("GET /open/a HTTP/1.1\r\n{fields}\r\n");
        case(name, &[9], request).declined(400)
    });
    let good = GOOD.iter().map(|(name, host)| {
        let request = format!("GET /open/a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        case(name, &[9, 11], request)
            .forwards(want("GET /a").is("host", *host).is("x-forwarded-host", *host))
    });
    let targets = TARGETS.iter().map(|(name, line)| {
        let smuggled = "GET /open/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n";
        case(name, &[9], format!("{line} HTTP/1.1\r\nHost: hub\r\n\r\n{smuggled}")).refused(400)
    });
    bad.chain(good).chain(targets).chain(absolute()).collect()
}

fn absolute() -> Vec<Case> {
    let ask = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\n{fields}\r\n");
    let real =
        |line: &str| want(line).is("host", "real.example").is("x-forwarded-host", "real.example");
    vec![
        case(
            "absolute-outranks-host",
            &[9],
            ask("GET http://real.example/open/a", "Host: other\r\n"),
        )
        .forwards(real("GET /a")),
        case(
            "absolute-same-as-host",
            &[9],
            ask("GET http://real.example/open/a", "Host: real.example\r\n"),
        )
        .forwards(real("GET /a")),
        case("absolute-https", &[9], ask("GET https://real.example/open/a", "Host: other\r\n"))
            .forwards(real("GET /a")),
        case(
            "absolute-in-capitals",
            &[9],
            ask("GET HTTP://real.example/open/a", "Host: other\r\n"),
        )
        .forwards(real("GET /a")),
        case(
            "absolute-with-query",
            &[9, 22],
            ask("GET http://real.example/open/a?b=http://c", "Host: other\r\n"),
        )
        .forwards(real("GET /a?b=http://c")),
        case(
            "absolute-with-port",
            &[9],
            ask("GET http://real.example:81/open/a", "Host: other\r\n"),
        )
        .forwards(want("GET /a").is("host", "real.example:81")),
        case("absolute-of-ipv6", &[9], ask("GET http://[::1]:81/open/a", "Host: other\r\n"))
            .forwards(want("GET /a").is("host", "[::1]:81")),
        case(
            "absolute-not-canonical",
            &[9, 22],
            ask("GET http://real.example/x/../open/%61", "Host: other\r\n"),
        )
        .forwards(real("GET /a")),
        case(
            "absolute-to-a-protected-route",
            &[9, 22],
            ask("GET http://real.example/open/../api/messages", "Host: other\r\n"),
        )
        .declined(401),
        case("absolute-without-path", &[9], ask("GET http://real.example", "Host: other\r\n"))
            .hears(crate::case::heard(200).is("content-type", "application/json")),
        case(
            "absolute-without-path-but-query",
            &[9],
            ask("GET http://real.example?a", "Host: other\r\n"),
        )
        .hears(crate::case::heard(200).is("content-type", "application/json")),
        case(
            "absolute-with-user",
            &[9],
            ask("GET http://user@real.example/open/a", "Host: other\r\n"),
        )
        .declined(400),
        case(
            "absolute-with-user-and-password",
            &[9],
            ask("GET http://a:b@real.example/open/a", "Host: other\r\n"),
        )
        .declined(400),
        case(
            "absolute-with-a-worded-port",
            &[9],
            ask("GET http://hub:x/open/a", "Host: other\r\n"),
        )
        .declined(400),
        case("absolute-without-a-host-field", &[9], ask("GET http://real.example/open/a", ""))
            .declined(400),
        case(
            "absolute-with-two-host-fields",
            &[9],
            ask("GET http://real.example/open/a", "Host: a\r\nHost: b\r\n"),
        )
        .declined(400),
        case(
            "absolute-with-a-bad-host-field",
            &[9],
            ask("GET http://real.example/open/a", "Host: a/b\r\n"),
        )
        .declined(400),
        case("asterisk-on-get", &[28], ask("GET *", "Host: hub\r\n")).declined(400),
        case("asterisk-on-post", &[28], ask("POST *", "Host: hub\r\n")).declined(400),
        case("asterisk-and-more", &[28], ask("OPTIONS */a", "Host: hub\r\n"))
            .hears(problem(400).is("connection", "close"))
            .closes(),
    ]
}
