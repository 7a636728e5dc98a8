//! Chunked bodies to the letter: sizes, ends, extensions and trailers.

use crate::case::{Case, case, post, want};

#[tokio::test]
async fn chunks_are_read_to_the_letter() {
    crate::run::run(&[], cases).await;
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n";

/// Refused; what stands behind is no request.
const BROKEN: &[(&str, &str)] = &[
    ("chunk-size-empty", "\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-0X", "0X5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-minus", "-5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-minus-zero", "-0\r\n\r\n"),
    ("chunk-size-leading-space", " 5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-trailing-space", "5 \r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-leading-tab", "\t5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-trailing-tab", "5\t\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-vertical-tab", "\x0b5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-no-digit", "g\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-h-behind", "5h\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-fraction", "5.0\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-comma", "5,5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-nul", "5\0\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-quoted", "\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-wide-digit", "\u{ff15}\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-overflow-wraps-to-5", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-overflow-wraps-to-0", "10000000000000000\r\n\r\n"),
    ("chunk-size-32-bits-and-more", "100000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-too-many-zeros", "00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-all-ones", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("chunk-line-lf", "5\nhello\r\n0\r\n\r\n"),
    ("chunk-line-cr", "5\rhello\r\n0\r\n\r\n"),
    ("chunk-line-cr-cr", "5\r\rhello\r\n0\r\n\r\n"),
    ("chunk-line-cr-cr-lf", "5\r\r\nhello\r\n0\r\n\r\n"),
    ("chunk-line-lf-cr", "5\n\rhello\r\n0\r\n\r\n"),
    ("chunk-data-end-lf", "5\r\nhello\n0\r\n\r\n"),
    ("chunk-data-end-cr", "5\r\nhello\r0\r\n\r\n"),
    ("chunk-data-end-missing", "5\r\nhello0\r\n\r\n"),
    ("chunk-data-end-any-two-bytes", "5\r\nhelloXX0\r\n\r\n"),
    ("chunk-data-too-long", "3\r\nhello\r\n0\r\n\r\n"),
    ("chunk-data-too-short", "7\r\nhello\r\n0\r\n\r\n"),
    ("chunk-data-short-by-much", "8\r\nhello\r\n0\r\n\r\n"),
    ("chunk-blank-line-between", "5\r\nhello\r\n\r\n0\r\n\r\n"),
    ("chunk-last-lf", "5\r\nhello\r\n0\n\n"),
    ("chunk-last-lf-behind-crlf", "5\r\nhello\r\n0\r\n\n"),
    ("chunk-last-cr-cr-lf", "5\r\nhello\r\n0\r\r\n"),
    ("chunk-last-cr-x", "5\r\nhello\r\n0\r\n\rX\r\n\r\n"),
    ("chunk-last-space", "5\r\nhello\r\n0 \r\n\r\n"),
    ("chunk-last-without-empty-line", "5\r\nhello\r\n0\r\n"),
    ("chunk-extension-lf", "5;\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-lf-within", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-cr-within", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-nul", "5;a=\0\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-control", "5;a=\x01\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-delete", "5;a=\x7f\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-control-in-quotes", "5;a=\"\x02\"\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-lf-in-quotes", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-without-size", ";a=b\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-behind-space", "5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    ("trailer-without-colon", "5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
    ("trailer-without-name", "5\r\nhello\r\n0\r\n: x\r\n\r\n"),
    ("trailer-space-before-colon", "5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
    ("trailer-space-in-name", "5\r\nhello\r\n0\r\nA B: c\r\n\r\n"),
    ("trailer-odd-name", "5\r\nhello\r\n0\r\nA(B: c\r\n\r\n"),
    ("trailer-folded", "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"),
    ("trailer-begins-with-space", "5\r\nhello\r\n0\r\n A: b\r\n\r\n"),
    ("trailer-begins-with-tab", "5\r\nhello\r\n0\r\n\tA: b\r\n\r\n"),
    ("trailer-lf", "5\r\nhello\r\n0\r\nA: b\n\r\n"),
    ("trailer-cr", "5\r\nhello\r\n0\r\nA: b\rC: d\r\n\r\n"),
    ("trailer-nul", "5\r\nhello\r\n0\r\nA: \0\r\n\r\n"),
    ("trailer-ends-in-lf", "5\r\nhello\r\n0\r\nA: b\r\n\n"),
];

/// Odd and clear: the body as sent, and as it arrives.
const CLEAR: &[(&str, &str, &str)] = &[
    (
        "chunk-sizes-in-both-cases",
        "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
        "01234567890123456789a",
    ),
    ("chunk-size-leading-zeros", "00005\r\nhello\r\n0\r\n\r\n", "hello"),
    ("chunk-last-of-many-zeros", "5\r\nhello\r\n00000\r\n\r\n", "hello"),
    ("chunks-of-one-byte", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", "hello"),
    ("chunk-data-with-line-ends", "9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n"),
    (
        "chunk-data-like-a-request",
        "24\r\nGET /open/in HTTP/1.1\r\nHost: hub\r\n\r\n\r\n0\r\n\r\n",
        "GET /open/in HTTP/1.1\r\nHost: hub\r\n\r\n",
    ),
    ("chunk-data-with-nul", "3\r\na\0b\r\n0\r\n\r\n", "a\0b"),
    ("chunk-extension-plain", "5;a=b\r\nhello\r\n0\r\n\r\n", "hello"),
    ("chunk-extension-without-value", "5;a\r\nhello\r\n0\r\n\r\n", "hello"),
    ("chunk-extension-empty", "5;\r\nhello\r\n0\r\n\r\n", "hello"),
    ("chunk-extension-quoted", "5;a=\"b;c\\\"d\"\r\nhello\r\n0\r\n\r\n", "hello"),
    ("chunk-extension-unclosed-quote", "5;a=\"b\r\nhello\r\n0\r\n\r\n", "hello"),
    ("chunk-extension-several", "5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n", "hello"),
    ("chunk-extension-like-a-size", "5;0\r\nhello\r\n0\r\n\r\n", "hello"),
    ("trailer-harmless", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", "hello"),
    ("trailer-several", "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nX-Other:\r\n\r\n", "hello"),
    ("trailer-content-length", "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "hello"),
    ("trailer-transfer-encoding", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "hello"),
    ("trailer-host", "5\r\nhello\r\n0\r\nHost: smuggled\r\n\r\n", "hello"),
    ("trailer-authorization", "5\r\nhello\r\n0\r\nAuthorization: Bearer smuggled\r\n\r\n", "hello"),
    (
        "trailer-identity",
        "5\r\nhello\r\n0\r\nX-User-Id: smuggled\r\nX-User-Roles: smuggled\r\n\r\n",
        "hello",
    ),
    ("trailer-forwarded", "5\r\nhello\r\n0\r\nX-Forwarded-For: smuggled\r\n\r\n", "hello"),
    ("trailer-connection", "5\r\nhello\r\n0\r\nConnection: close, upgrade\r\n\r\n", "hello"),
    ("trailer-cookie", "5\r\nhello\r\n0\r\nCookie: smuggled=1\r\n\r\n", "hello"),
    ("trailer-on-an-empty-body", "0\r\nX-Sum: 1\r\n\r\n", ""),
];

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let broken = BROKEN.iter().map(|(name, body)| {
        case(name, &[17], post(CHUNKED, &format!("{body}{SMUGGLED}"))).refused(400).may_break_off()
    });
    let clear = CLEAR.iter().map(|(name, sent, arrives)| {
        case(name, &[5, 17], post(CHUNKED, sent)).forwards(
            want("POST /a").body(arrives).is("transfer-encoding", "chunked").lacks(&[
                "trailer",
                "content-length",
                "x-sum",
                "x-user-id",
                "cookie",
            ]),
        )
    });
    broken.chain(clear).chain(large()).collect()
}

fn large() -> Vec<Case> {
    let refused = |name, body: String| {
        case(name, &[17], post(CHUNKED, &(body + SMUGGLED))).refused(400).may_break_off()
    };
    let many = "1\r\nx\r\n".repeat(3000) + "0\r\n\r\n";
    let extension = "x".repeat(20_000);
    let little: String = (0..200).map(|_| "1;aaaaaaaaaaaaaaaaaaaa\r\nx\r\n").collect();
    let each = format!("1;{}\r\nx\r\n", "y".repeat(30)).repeat(1000);
    vec![
        refused("chunk-extensions-huge-together", each + "0\r\n\r\n"),
        refused("chunk-extension-huge", format!("5;{extension}\r\nhello\r\n0\r\n\r\n")),
        refused("chunk-extension-huge-on-the-last", format!("5\r\nhello\r\n0;{extension}\r\n\r\n")),
        refused("chunk-size-endless", "0".repeat(20_000) + "5\r\nhello\r\n0\r\n\r\n"),
        refused("trailer-huge", format!("5\r\nhello\r\n0\r\nA: {extension}\r\n\r\n")),
        refused("trailer-many", format!("5\r\nhello\r\n0\r\n{}\r\n", "A: b\r\n".repeat(3000))),
        case("chunks-many", &[17], post(CHUNKED, &many))
            .forwards(want("POST /a").body("x".repeat(3000))),
        case("chunk-extension-on-each", &[17], post(CHUNKED, &(little + "0\r\n\r\n")))
            .forwards(want("POST /a").body("x".repeat(200))),
        case(
            "chunk-announced-by-trailer-field",
            &[5],
            post(
                "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
        )
        .forwards(want("POST /a").body("hello").is("trailer", "x-sum").lacks(&["x-sum"])),
        case(
            "trailer-announced-that-is-none",
            &[5],
            post(
                "Trailer: X-User-Id, Content-Length, Host\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\nX-User-Id: 1\r\nContent-Length: 9\r\nHost: a\r\n\r\n",
            ),
        )
        .forwards(want("POST /a").body("hello").lacks(&["trailer", "x-user-id"])),
    ]
}
