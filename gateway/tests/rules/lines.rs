//! The request line and the field lines: one reading, or none.

use crate::case::{Case, case, get, get_of, want};

#[tokio::test]
async fn a_line_has_one_reading_or_none() {
    crate::run::run(&[], cases).await;
}

/// Request lines, without their end, that are refused.
const LINES: &[(&str, &str)] = &[
    ("line-two-spaces-before-target", "GET  /open/a HTTP/1.1"),
    ("line-two-spaces-behind-target", "GET /open/a  HTTP/1.1"),
    ("line-space-at-the-end", "GET /open/a HTTP/1.1 "),
    ("line-space-at-the-beginning", " GET /open/a HTTP/1.1"),
    ("line-tab-at-the-beginning", "\tGET /open/a HTTP/1.1"),
    ("line-tab-before-target", "GET\t/open/a HTTP/1.1"),
    ("line-tab-behind-target", "GET /open/a\tHTTP/1.1"),
    ("line-vertical-tab", "GET\x0b/open/a HTTP/1.1"),
    ("line-form-feed", "GET /open/a\x0cHTTP/1.1"),
    ("line-cr-before-target", "GET \r/open/a HTTP/1.1"),
    ("line-cr-at-the-end", "GET /open/a HTTP/1.1\r"),
    ("line-words-behind-version", "GET /open/a HTTP/1.1 more"),
    ("line-second-target", "GET /open/a /open/b HTTP/1.1"),
    ("line-without-target", "GET HTTP/1.1"),
    ("line-empty-target", "GET  HTTP/1.1"),
    ("line-only-a-method", "GET"),
    ("version-missing", "GET /open/a"),
    ("version-0.9", "GET /open/a HTTP/0.9"),
    ("version-1.2", "GET /open/a HTTP/1.2"),
    ("version-2.0", "GET /open/a HTTP/2.0"),
    ("version-2", "GET /open/a HTTP/2"),
    ("version-3.0", "GET /open/a HTTP/3.0"),
    ("version-1", "GET /open/a HTTP/1"),
    ("version-1.10", "GET /open/a HTTP/1.10"),
    ("version-01.1", "GET /open/a HTTP/01.1"),
    ("version-1.01", "GET /open/a HTTP/1.01"),
    ("version-1.1.1", "GET /open/a HTTP/1.1.1"),
    ("version-lower-case", "GET /open/a http/1.1"),
    ("version-mixed-case", "GET /open/a Http/1.1"),
    ("version-of-another-protocol", "GET /open/a RTSP/1.0"),
    ("version-with-a-space", "GET /open/a HTTP/ 1.1"),
    ("version-with-a-comma", "GET /open/a HTTP/1,1"),
    ("version-with-nul", "GET /open/a HTTP/1.1\0"),
    ("version-without-slash", "GET /open/a HTTP1.1"),
    ("target-with-nul", "GET /open/a\0b HTTP/1.1"),
    ("target-with-control", "GET /open/a\x01 HTTP/1.1"),
    ("target-with-delete", "GET /open/a\x7f HTTP/1.1"),
    ("target-with-high-bytes", "GET /open/\u{e9} HTTP/1.1"),
    ("target-query-with-high-bytes", "GET /open/a?\u{e9} HTTP/1.1"),
    ("target-with-space-in-query", "GET /open/a?b c HTTP/1.1"),
    ("target-with-bare-lf", "GET /open/a\n HTTP/1.1"),
    ("target-with-quote", "GET /open/\" HTTP/1.1"),
    ("target-with-angle", "GET /open/<a> HTTP/1.1"),
    ("target-with-fragment", "GET /open/a#b HTTP/1.1"),
    ("target-with-backquote", "GET /open/`a HTTP/1.1"),
    ("target-with-backslash", "GET \\open\\a HTTP/1.1"),
];

/// Field lines, each without its CR LF, that are refused.
const FIELDS: &[(&str, &str)] = &[
    ("field-without-colon", "nonsense"),
    ("field-without-name", ": x"),
    ("field-of-a-space", " "),
    ("field-name-space-before-colon", "X-A : b"),
    ("field-name-tab-before-colon", "X-A\t: b"),
    ("field-name-inner-space", "X A: b"),
    ("field-name-nul", "X\0A: b"),
    ("field-name-control", "X\x01A: b"),
    ("field-name-delete", "X\x7fA: b"),
    ("field-name-high-bytes", "X\u{e9}: b"),
    ("field-name-quoted", "\"X-A\": b"),
    ("field-name-parenthesis", "X(A): b"),
    ("field-name-comma", "X,A: b"),
    ("field-name-slash", "X/A: b"),
    ("field-name-at", "X@A: b"),
    ("field-name-brackets", "X[A]: b"),
    ("field-name-braces", "{X}: b"),
    ("field-name-question", "X?: b"),
    ("field-name-equals", "X=A: b"),
    ("field-name-semicolon", "X;A: b"),
    ("field-value-nul", "X-A: b\0c"),
    ("field-value-control", "X-A: b\x01c"),
    ("field-value-escape", "X-A: b\x1bc"),
    ("field-value-delete", "X-A: b\x7fc"),
    ("field-value-vertical-tab", "X-A: b\x0bc"),
    ("field-value-bare-cr", "X-A: b\rc"),
    ("field-value-bare-cr-and-field", "X-A: b\rX-User-Id: smuggled"),
    ("field-value-bare-cr-at-the-end", "X-A: b\r"),
    ("field-value-bare-lf", "X-A: b\nX-User-Id: smuggled"),
    ("field-value-lf-cr", "X-A: b\n\rX-User-Id: smuggled"),
    ("field-folded-by-space", "X-A: b\r\n c"),
    ("field-folded-by-tab", "X-A: b\r\n\tc"),
    ("field-folded-to-a-field", "X-A: b\r\n X-User-Id: smuggled"),
    ("field-folded-empty", "X-A: b\r\n "),
    ("field-folded-host", "X-A:\r\n b\r\nX-C: d"),
];

/// Heads as they are, which are refused.
const HEADS: &[(&str, &str)] = &[
    ("head-of-lf-lines", "GET /open/a HTTP/1.1\nHost: hub\n\n"),
    ("head-lf-behind-the-line", "GET /open/a HTTP/1.1\nHost: hub\r\n\r\n"),
    ("head-lf-behind-a-field", "GET /open/a HTTP/1.1\r\nHost: hub\n\r\n"),
    ("head-lf-at-the-end", "GET /open/a HTTP/1.1\r\nHost: hub\r\n\n"),
    ("head-cr-lines", "GET /open/a HTTP/1.1\rHost: hub\r\r"),
    ("head-cr-cr-lf", "GET /open/a HTTP/1.1\r\r\nHost: hub\r\n\r\n"),
    ("head-cr-cr-at-the-end", "GET /open/a HTTP/1.1\r\nHost: hub\r\n\r\r\n"),
    ("head-space-before-first-field", "GET /open/a HTTP/1.1\r\n Host: hub\r\n\r\n"),
    ("head-space-line-before-fields", "GET /open/a HTTP/1.1\r\n \r\nHost: hub\r\n\r\n"),
    ("head-behind-a-bare-lf", "\nGET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n"),
    ("head-behind-a-bare-cr", "\rGET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n"),
    ("head-behind-a-nul", "\0GET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n"),
    ("head-behind-a-byte-order-mark", "\u{feff}GET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n"),
    ("head-of-tls", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
    ("head-almost-of-http-2", "PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n"),
    ("head-of-ssh", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("head-of-smtp", "EHLO hub\r\n\r\n"),
    ("head-of-an-answer", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (
        "head-of-the-proxy-protocol",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /open/a HTTP/1.1\r\nHost: hub\r\n\r\n",
    ),
];

/// Whether a refused head is long or short makes no difference to what stands behind it.
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n";

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let lines = LINES.iter().map(|(name, line)| {
        case(name, &[16, 29], format!("{line}\r\nHost: hub\r\n\r\n{SMUGGLED}")).refused(400)
    });
    let fields = FIELDS.iter().map(|(name, field)| {
        case(name, &[16], get(&format!("{field}\r\n")) + SMUGGLED).refused(400)
    });
    let heads = HEADS
        .iter()
        .map(|(name, head)| case(name, &[16], format!("{head}{SMUGGLED}")).refused(400));
    lines.chain(fields).chain(heads).chain(sizes()).chain(clear()).collect()
}

fn sizes() -> Vec<Case> {
    let long = |length: usize| format!("/open/{}", "x".repeat(length - 6));
    let fields = |count: usize| get(&"X-A: b\r\n".repeat(count));
    vec![
        case("target-of-8192-bytes", &[29], get_of(&long(8192)))
            .forwards(want(&format!("GET {}", &long(8192)[5..]))),
        case("target-of-8193-bytes", &[29], get_of(&long(8193))).refused(414),
        case("target-of-60000-bytes", &[29], get_of(&long(60_000))).refused(414),
        case("target-with-a-long-query", &[29], get_of(&format!("/open/a?{}", "x".repeat(9000))))
            .refused(414),
        case("fields-100", &[29], fields(99)).forwards(want("GET /a").all("x-a", &["b"; 99])),
        case("fields-101", &[29], fields(100)).refused(431),
        case("fields-300", &[29], fields(300)).refused(431),
        case("fields-3000", &[29], fields(3000)).refused(431),
        case("field-value-of-30000-bytes", &[29], get(&format!("X-A: {}\r\n", "x".repeat(30_000))))
            .forwards(want("GET /a").is("x-a", "x".repeat(30_000))),
        case("field-value-of-33000-bytes", &[29], get(&format!("X-A: {}\r\n", "x".repeat(33_000))))
            .refused(431),
        case(
            "field-value-of-100000-bytes",
            &[29],
            get(&format!("X-A: {}\r\n", "x".repeat(100_000))),
        )
        .refused(431),
        case("field-name-of-40000-bytes", &[29], get(&format!("{}: b\r\n", "x".repeat(40_000))))
            .refused(431),
        case(
            "head-without-an-end",
            &[29],
            "GET /open/a HTTP/1.1\r\n".to_owned() + &"X-A: b\r\n".repeat(90_000 / 8),
        )
        .refused(431),
    ]
}

/// Odd, and clear all the same.
fn clear() -> Vec<Case> {
    let forwards = |name, head: &str| case(name, &[16], head).forwards(want("GET /a"));
    let has = |name, field: &str, is: &str| {
        case(name, &[16], get(&format!("{field}\r\n"))).forwards(want("GET /a").is("x-a", is))
    };
    vec![
        forwards("head-behind-an-empty-line", &format!("\r\n{}", get(""))),
        forwards("head-behind-two-empty-lines", &format!("\r\n\r\n{}", get(""))),
        forwards("head-in-odd-case", "GET /open/a HTTP/1.1\r\nhOsT: hub\r\n\r\n"),
        forwards("head-without-blanks", "GET /open/a HTTP/1.1\r\nHost:hub\r\n\r\n"),
        has("field-value-empty", "X-A:", ""),
        has("field-value-blank", "X-A: \t ", ""),
        has("field-value-tabs-around", "X-A:\t\tb\t", "b"),
        has("field-value-inner-blanks", "X-A: b \t  c", "b \t  c"),
        has("field-value-high-bytes", "X-A: \u{e9}", "\u{c3}\u{a9}"),
        has("field-value-quotes", "X-A: \"b\\\"c\"", "\"b\\\"c\""),
        has("field-value-colon", "X-A: b: c", "b: c"),
        has("field-value-encoded-line-end", "X-A: b%0d%0aX-User-Id: 1", "b%0d%0aX-User-Id: 1"),
        case("field-lines-keep-their-order", &[16], get("X-A: 1\r\nX-B: 2\r\nx-a: 3\r\nX-A:\r\n"))
            .forwards(want("GET /a").all("x-a", &["1", "3", ""])),
        case("field-of-every-odd-name-character", &[16], get("!#$%&'*+-.^`|~9a: b\r\n"))
            .forwards(want("GET /a").is("!#$%&'*+-.^`|~9a", "b")),
    ]
}
