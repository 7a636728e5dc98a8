//! Which host is meant: one, and the same to everybody.

use crate::case::{Case, case, heard, want};

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

/// Absolute targets and the host fields beside them; each goes to `/a`, for the host that is given.
const ABSOLUTE: &[(&str, &str, &str, &str)] = &[
    ("absolute-outranks-host", "http://real.example/open/a", "other", "real.example"),
    ("absolute-same-as-host", "http://real.example/open/a", "real.example", "real.example"),
    ("absolute-https", "https://real.example/open/a", "other", "real.example"),
    ("absolute-in-capitals", "HTTP://real.example/open/a", "other", "real.example"),
    ("absolute-with-port", "http://real.example:81/open/a", "other", "real.example:81"),
    ("absolute-of-ipv6", "http://[::1]:81/open/a", "other", "[::1]:81"),
    ("absolute-not-canonical", "http://real.example/x/../open/%61", "other", "real.example"),
];

/// The same, but refused: target, host fields, status.
const NOT_ABSOLUTE: &[(&str, &str, &str, u16)] = &[
    ("absolute-to-a-protected-route", "http://a/open/../api/messages", "Host: a\r\n", 401),
    ("absolute-with-user", "http://user@a/open/a", "Host: a\r\n", 400),
    ("absolute-with-user-and-password", "http://a:b@a/open/a", "Host: a\r\n", 400),
    ("absolute-with-a-worded-port", "http://hub:x/open/a", "Host: a\r\n", 400),
    ("absolute-without-a-host-field", "http://a/open/a", "", 400),
    ("absolute-with-two-host-fields", "http://a/open/a", "Host: a\r\nHost: b\r\n", 400),
    ("absolute-with-a-bad-host-field", "http://a/open/a", "Host: a/b\r\n", 400),
    ("asterisk-on-get", "*", "Host: hub\r\n", 400),
];

fn absolute() -> Vec<Case> {
    let ask = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
    let forwarded = ABSOLUTE.iter().map(|(name, target, host, real)| {
        case(name, &[9, 22], ask(target, &format!("Host: {host}\r\n")))
            .forwards(want("GET /a").is("host", *real).is("x-forwarded-host", *real))
    });
    let refused = NOT_ABSOLUTE.iter().map(|(name, target, fields, status)| {
        case(name, &[9, 28], ask(target, fields)).declined(*status)
    });
    let index = || heard(200).is("content-type", "application/json");
    let others = [
        case("absolute-with-query", &[9], ask("http://a/open/a?b=http://c", "Host: b\r\n"))
            .forwards(want("GET /a?b=http://c").is("host", "a")),
        case("absolute-without-path", &[9], ask("http://real.example", "Host: other\r\n"))
            .hears(index()),
        case("absolute-without-path-but-query", &[9], ask("http://a?b", "Host: c\r\n"))
            .hears(index()),
        case("asterisk-on-post", &[28], "POST * HTTP/1.1\r\nHost: hub\r\n\r\n").declined(400),
        case("asterisk-and-more", &[28], "OPTIONS */a HTTP/1.1\r\nHost: hub\r\n\r\n").refused(400),
    ];
    forwarded.chain(refused).chain(others).collect()
}
