//! Where a body ends, and whether there is one: what two parsers could read differently.

use crate::case::{Case, case, get, post, want};

#[tokio::test]
async fn a_body_ends_where_everybody_says_it_ends() {
    crate::run::run(&[], cases).await;
}

/// Refused whatever the body: name, rule, fields, status.
const REFUSED: &[(&str, u8, &str, u16)] = &[
    ("cl-before-te", 14, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ("te-before-cl", 14, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
    ("cl-zero-and-te", 14, "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
    ("cl-and-te-upper-case", 14, "CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n", 400),
    ("cl-and-te-identity", 14, "Content-Length: 5\r\nTransfer-Encoding: identity\r\n", 400),
    ("cl-and-te-unknown", 14, "Content-Length: 5\r\nTransfer-Encoding: x\r\n", 400),
    ("cl-and-te-empty", 14, "Content-Length: 5\r\nTransfer-Encoding:\r\n", 400),
    ("te-twice", 14, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    ("te-twice-last-unknown", 14, "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", 400),
    ("te-twice-first-unknown", 14, "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", 400),
    ("te-twice-identity", 14, "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", 400),
    ("te-list-chunked-twice", 14, "Transfer-Encoding: chunked, chunked\r\n", 400),
    ("te-list-identity-chunked", 14, "Transfer-Encoding: identity, chunked\r\n", 400),
    ("te-list-chunked-identity", 14, "Transfer-Encoding: chunked, identity\r\n", 400),
    ("te-list-leading-comma", 14, "Transfer-Encoding: , chunked\r\n", 400),
    ("te-list-trailing-comma", 14, "Transfer-Encoding: chunked,\r\n", 400),
    ("te-list-gzip-chunked", 14, "Transfer-Encoding: gzip, chunked\r\n", 501),
    ("te-list-chunked-gzip", 14, "Transfer-Encoding: chunked, gzip\r\n", 501),
    ("te-gzip", 14, "Transfer-Encoding: gzip\r\n", 501),
    ("te-deflate", 14, "Transfer-Encoding: deflate\r\n", 501),
    ("te-xchunked", 14, "Transfer-Encoding: xchunked\r\n", 400),
    ("te-chunkedx", 14, "Transfer-Encoding: chunkedx\r\n", 400),
    ("te-chunk", 14, "Transfer-Encoding: chunk\r\n", 400),
    ("te-identity", 14, "Transfer-Encoding: identity\r\n", 400),
    ("te-empty", 14, "Transfer-Encoding:\r\n", 400),
    ("te-quoted", 14, "Transfer-Encoding: \"chunked\"\r\n", 400),
    ("te-single-quoted", 14, "Transfer-Encoding: 'chunked'\r\n", 400),
    ("te-parameter", 14, "Transfer-Encoding: chunked;q=1\r\n", 400),
    ("te-semicolon", 14, "Transfer-Encoding: chunked;\r\n", 400),
    ("te-vertical-tab", 14, "Transfer-Encoding: \x0bchunked\r\n", 400),
    ("te-form-feed", 14, "Transfer-Encoding: \x0cchunked\r\n", 400),
    ("te-vertical-tab-behind", 14, "Transfer-Encoding: chunked\x0b\r\n", 400),
    ("te-nul-behind", 14, "Transfer-Encoding: chunked\0\r\n", 400),
    ("te-delete-behind", 14, "Transfer-Encoding: chunked\x7f\r\n", 400),
    ("te-bare-cr-behind", 14, "Transfer-Encoding: chunked\r \r\n", 400),
    ("te-no-break-space", 14, "Transfer-Encoding: \u{a0}chunked\r\n", 400),
    ("te-inner-space", 14, "Transfer-Encoding: chu nked\r\n", 400),
    ("te-space-before-colon", 16, "Transfer-Encoding : chunked\r\n", 400),
    ("te-tab-before-colon", 16, "Transfer-Encoding\t: chunked\r\n", 400),
    ("te-space-before-name", 16, " Transfer-Encoding: chunked\r\n", 400),
    ("te-folded", 16, "Transfer-Encoding:\r\n chunked\r\n", 400),
    ("te-folded-by-tab", 16, "Transfer-Encoding:\r\n\tchunked\r\n", 400),
    ("te-folded-list", 16, "Transfer-Encoding: chunked\r\n , gzip\r\n", 400),
    ("te-behind-bare-lf", 16, "X: y\nTransfer-Encoding: chunked\r\n", 400),
    ("te-behind-bare-cr", 16, "X: y\rTransfer-Encoding: chunked\r\n", 400),
    ("te-behind-nul", 16, "X: y\0Transfer-Encoding: chunked\r\n", 400),
    ("te-long-s", 14, "Tran\u{17f}fer-Encoding: chunked\r\n", 400),
    ("cl-twice-same", 15, "Content-Length: 5\r\nContent-Length: 5\r\n", 400),
    ("cl-twice-different", 15, "Content-Length: 5\r\nContent-Length: 6\r\n", 400),
    ("cl-twice-apart", 15, "Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n", 400),
    ("cl-list-same", 15, "Content-Length: 5, 5\r\n", 400),
    ("cl-list-different", 15, "Content-Length: 5, 6\r\n", 400),
    ("cl-list-trailing-comma", 15, "Content-Length: 5,\r\n", 400),
    ("cl-plus", 15, "Content-Length: +5\r\n", 400),
    ("cl-minus", 15, "Content-Length: -5\r\n", 400),
    ("cl-minus-zero", 15, "Content-Length: -0\r\n", 400),
    ("cl-hexadecimal", 15, "Content-Length: 0x5\r\n", 400),
    ("cl-hexadecimal-digits", 15, "Content-Length: a\r\n", 400),
    ("cl-fraction", 15, "Content-Length: 5.0\r\n", 400),
    ("cl-exponent", 15, "Content-Length: 5e0\r\n", 400),
    ("cl-underscore", 15, "Content-Length: 1_0\r\n", 400),
    ("cl-inner-space", 15, "Content-Length: 1 0\r\n", 400),
    ("cl-inner-tab", 15, "Content-Length: 1\t0\r\n", 400),
    ("cl-empty", 15, "Content-Length:\r\n", 400),
    ("cl-blank", 15, "Content-Length:  \t \r\n", 400),
    ("cl-quoted", 15, "Content-Length: \"5\"\r\n", 400),
    ("cl-unit", 15, "Content-Length: 5 bytes\r\n", 400),
    ("cl-word", 15, "Content-Length: five\r\n", 400),
    ("cl-overflow-by-one", 15, "Content-Length: 18446744073709551616\r\n", 400),
    ("cl-overflow-far", 15, "Content-Length: 99999999999999999999999999999999999999\r\n", 400),
    ("cl-overflow-wraps-to-5", 15, "Content-Length: 18446744073709551621\r\n", 400),
    ("cl-other-digits", 15, "Content-Length: \u{665}\r\n", 400),
    ("cl-vertical-tab", 15, "Content-Length: \x0b5\r\n", 400),
    ("cl-nul", 15, "Content-Length: 5\0\r\n", 400),
    ("cl-space-before-colon", 16, "Content-Length : 5\r\n", 400),
    ("cl-space-before-name", 16, " Content-Length: 5\r\n", 400),
    ("cl-folded", 16, "Content-Length:\r\n 5\r\n", 400),
    ("cl-behind-bare-lf", 16, "X: y\nContent-Length: 5\r\n", 400),
    ("cl-behind-bare-cr", 16, "X: y\rContent-Length: 5\r\n", 400),
];

/// Framed in a way that is odd and clear: name, fields, body as sent, body as it arrives.
const CLEAR: &[(&str, &str, &str, &str)] = &[
    ("cl-plain", "Content-Length: 5\r\n", "hello", "hello"),
    ("cl-leading-zeros", "Content-Length: 0005\r\n", "hello", "hello"),
    ("cl-many-leading-zeros", "Content-Length: 00000000000000000000000005\r\n", "hello", "hello"),
    ("cl-zero", "Content-Length: 0\r\n", "", ""),
    ("cl-blanks-around", "Content-Length: \t 5 \t\r\n", "hello", "hello"),
    ("cl-without-blank", "Content-Length:5\r\n", "hello", "hello"),
    ("cl-name-in-capitals", "CONTENT-LENGTH: 5\r\n", "hello", "hello"),
    ("te-plain", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"),
    ("te-in-capitals", "TRANSFER-ENCODING: CHUNKED\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"),
    ("te-mixed-case", "tRANSFER-eNCODING: cHuNkEd\r\n", "5\r\nhello\r\n0\r\n\r\n", "hello"),
    (
        "te-blanks-around",
        "Transfer-Encoding: \t chunked\t \r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    ("te-without-body", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
    (
        "te-named-in-connection",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "cl-named-in-connection",
        "Connection: content-length\r\nContent-Length: 5\r\n",
        "hello",
        "hello",
    ),
    (
        "cl-body-looks-like-a-request",
        "Content-Length: 36\r\n",
        "GET /open/in HTTP/1.1\r\nHost: hub\r\n\r\n",
        "GET /open/in HTTP/1.1\r\nHost: hub\r\n\r\n",
    ),
];

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let refused = REFUSED.iter().map(|(name, rule, fields, status)| {
        let rules = std::slice::from_ref(rule);
        case(name, rules, post(fields, "0\r\n\r\nGET /open/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n"))
            .refused(*status)
    });
    let clear = CLEAR.iter().map(|(name, fields, sent, arrives)| {
        case(name, &[14, 15], post(fields, sent)).forwards(want("POST /a").body(arrives))
    });
    refused.chain(clear).chain(others()).collect()
}

fn others() -> Vec<Case> {
    let old = "POST /open/a HTTP/1.0\r\nHost: hub\r\nConnection: keep-alive\r\n";
    vec![
        case("te-on-1.0", &[14], format!("{old}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
            .refused(400),
        case(
            "te-and-cl-on-1.0",
            &[14],
            format!("{old}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        )
        .refused(400),
        case("bodiless-post-gets-a-length", &[21], post("", ""))
            .forwards(want("POST /a").is("content-length", "0").lacks(&["transfer-encoding"])),
        case("bodiless-put-gets-a-length", &[21], "PUT /open/a HTTP/1.1\r\nHost: hub\r\n\r\n")
            .forwards(want("PUT /a").is("content-length", "0")),
        case("bodiless-patch-gets-a-length", &[21], "PATCH /open/a HTTP/1.1\r\nHost: hub\r\n\r\n")
            .forwards(want("PATCH /a").is("content-length", "0")),
        case("bodiless-get-gets-no-length", &[21], get(""))
            .forwards(want("GET /a").lacks(&["content-length", "transfer-encoding"])),
        case(
            "bodiless-delete-gets-no-length",
            &[21],
            "DELETE /open/a HTTP/1.1\r\nHost: hub\r\n\r\n",
        )
        .forwards(want("DELETE /a").lacks(&["content-length", "transfer-encoding"])),
        case("get-with-a-sized-body", &[21], get("Content-Length: 5\r\n") + "hello")
            .forwards(want("GET /a").is("content-length", "5").body("hello")),
        case(
            "get-with-a-chunked-body",
            &[21],
            get("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
        )
        .forwards(want("GET /a").is("transfer-encoding", "chunked").body("hello")),
        case(
            "delete-with-a-body",
            &[21],
            "DELETE /open/a HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello",
        )
        .forwards(want("DELETE /a").body("hello")),
        case(
            "head-with-a-body",
            &[21, 25],
            "HEAD /open/a HTTP/1.1\r\nHost: hub\r\nContent-Length: 5\r\n\r\nhello",
        )
        .forwards(want("HEAD /a").body("hello")),
    ]
}
