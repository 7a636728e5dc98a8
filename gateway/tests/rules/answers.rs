//! Answers that break the rules, and answers that only look as if they did.

use crate::case::{Case, Step, case, cut_off, heard, problem, want};
use crate::recorder::Act;

#[tokio::test]
async fn an_answer_is_passed_on_whole_or_not_at_all() {
    crate::run::run(&[], cases).await;
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Answers that cannot be used: the caller gets a 502, and the upstream's connection is closed.
const UNUSABLE: &[(&str, &str)] = &[
    (
        "answer-cl-and-te",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "answer-te-and-cl",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    (
        "answer-cl-twice-different",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ),
    ("answer-cl-twice-same", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    ("answer-cl-list-same", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab"),
    ("answer-cl-list-different", "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab"),
    ("answer-cl-plus", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab"),
    ("answer-cl-minus", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nab"),
    ("answer-cl-hexadecimal", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nab"),
    ("answer-cl-word", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nab"),
    ("answer-cl-empty", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nab"),
    ("answer-cl-overflow", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nab"),
    ("answer-cl-inner-space", "HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n\r\nab"),
    ("answer-te-unknown", "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nab"),
    ("answer-te-identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nab"),
    (
        "answer-te-xchunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    (
        "answer-te-gzip-chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    (
        "answer-te-chunked-gzip",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    (
        "answer-te-chunked-twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    (
        "answer-te-two-lines",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\
                 Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    ("answer-te-empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
    (
        "answer-te-on-1.0",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ),
    ("answer-status-of-four-digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-status-of-two-digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-status-of-letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-status-of-zeros", "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-status-099", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-status-signed", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-status-missing", "HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-without-space", "HTTP/1.1200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-two-spaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-in-lower-case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-of-http-2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-of-http-1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-of-icy", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-with-nul", "HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n"),
    ("answer-line-with-bare-cr", "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n"),
    ("answer-of-0.9", "hello\r\n\r\n"),
    ("answer-of-html", "<html>hello</html>\r\n\r\n"),
    ("answer-of-a-request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("answer-of-nothing", ""),
    ("answer-of-half-a-line", "HTTP/1.1 200"),
    ("answer-of-half-a-head", "HTTP/1.1 200 OK\r\nContent-Len"),
    ("answer-value-with-nul", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\0c\r\n\r\n"),
    ("answer-value-with-control", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\x01c\r\n\r\n"),
    (
        "answer-value-with-bare-cr",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\rX-B: poison\r\n\r\n",
    ),
    ("answer-value-folded", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n c\r\n\r\n"),
    ("answer-name-with-space", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX A: b\r\n\r\n"),
    ("answer-name-space-before-colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"),
    ("answer-name-empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n: b\r\n\r\n"),
    ("answer-field-without-colon", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nnonsense\r\n\r\n"),
    (
        "answer-switches-unasked",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: upgrade\r\n\r\npoison",
    ),
    (
        "answer-switches-to-h2c",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\npoison",
    ),
    ("answer-ends-behind-100", "HTTP/1.1 100 Continue\r\n\r\n"),
];

/// Answers that break off, or whose body cannot be read to its end.
const BROKEN: &[(&str, &str)] = &[
    ("answer-short-by-length", "Content-Length: 10\r\n\r\nhalf"),
    ("answer-without-any-of-its-length", "Content-Length: 10\r\n\r\n"),
    ("answer-short-by-one", "Content-Length: 10\r\n\r\n012345678"),
    ("answer-ends-in-a-chunk", "Transfer-Encoding: chunked\r\n\r\na\r\nhalf"),
    ("answer-ends-behind-a-chunk", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ("answer-ends-in-a-size", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n1"),
    ("answer-ends-behind-data", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf"),
    ("answer-ends-behind-the-last-chunk", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n"),
    (
        "answer-ends-before-the-last-line-feed",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r",
    ),
    ("answer-ends-in-a-trailer", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX-A: b"),
    ("answer-without-chunks", "Transfer-Encoding: chunked\r\n\r\n"),
    ("answer-of-garbage-for-chunks", "Transfer-Encoding: chunked\r\n\r\ngarbage\r\n"),
    (
        "answer-of-garbage-behind-a-chunk",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\ngarbage\r\n",
    ),
    ("answer-chunk-too-long", "Transfer-Encoding: chunked\r\n\r\n2\r\nhalf\r\n0\r\n\r\n"),
    ("answer-chunk-size-minus", "Transfer-Encoding: chunked\r\n\r\n-4\r\nhalf\r\n0\r\n\r\n"),
    ("answer-chunk-size-0x", "Transfer-Encoding: chunked\r\n\r\n0x4\r\nhalf\r\n0\r\n\r\n"),
    (
        "answer-chunk-size-overflow",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nhalf\r\n0\r\n\r\n",
    ),
    ("answer-chunk-size-empty", "Transfer-Encoding: chunked\r\n\r\n\r\nhalf\r\n0\r\n\r\n"),
];

/// Answers that pass, and the body that the caller reads.
const FINE: &[(&str, &str, &str)] = &[
    (
        "answer-chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    (
        "answer-chunked-in-capitals",
        "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "hello",
    ),
    ("answer-chunked-empty", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
    (
        "answer-chunked-with-extensions",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5;poison=1\r\nhello\r\n0;poison\r\n\r\n",
        "hello",
    ),
    (
        "answer-chunked-with-trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\
                 hello\r\n0\r\nX-Poison: 1\r\nSet-Cookie: poison\r\n\r\n",
        "hello",
    ),
    (
        "answer-chunked-with-leading-zeros",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
        "hello",
    ),
    ("answer-empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
    ("answer-without-reason", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ("answer-with-an-empty-reason", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ("answer-with-an-odd-reason", "HTTP/1.1 200 ??? !!\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ("answer-of-lf-lines", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "hello"),
    (
        "answer-behind-an-empty-line",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "hello",
    ),
    ("answer-cl-leading-zeros", "HTTP/1.1 200 OK\r\nContent-Length: 0005\r\n\r\nhello", "hello"),
    (
        "answer-value-high-bytes",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: \u{e9}\r\n\r\nhello",
        "hello",
    ),
    ("answer-body-with-nul", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh\0llo", "h\0llo"),
    (
        "answer-body-like-an-answer",
        "HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
];

/// Bytes behind an answer: nobody gets them, and nobody's request goes to that connection.
const BEHIND: &[(&str, &str)] = &[
    ("behind-a-length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokpoison"),
    (
        "behind-chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\npoison",
    ),
    (
        "behind-a-length-an-answer",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\
                 Content-Length: 6\r\n\r\npoison",
    ),
    (
        "behind-chunks-an-answer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n\
                 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    ),
    ("behind-a-length-a-line-end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n"),
    ("behind-a-length-one-byte", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!"),
    (
        "behind-a-length-half-an-answer",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Poison: ",
    ),
];

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let then = |raw: &str, act| vec![Act::Send(raw.as_bytes().to_vec()), act];
    let unusable = UNUSABLE.iter().map(|(name, raw)| {
        // A command is never sent twice, so that what happens to it is what happened first.
        let request = "POST /open/s HTTP/1.1\r\nHost: hub\r\nContent-Length: 1\r\n\r\nx";
        case(name, &[15, 19, 29], request)
            .script("/s", then(raw, Act::Close))
            .reaches(want("POST /s").body("x"))
            .hears(problem(502).is("proxy-status", "hubbub; error=http_protocol_error"))
    });
    let broken = BROKEN.iter().map(|(name, raw)| {
        asks(name, &[19], then(&format!("{OK}{raw}"), Act::Close)).hears(cut_off()).closes()
    });
    let fine = FINE.iter().map(|(name, raw, body)| {
        asks(name, &[7, 17], then(raw, Act::Tell)).hears(heard(200).body(body))
    });
    let behind = BEHIND.iter().map(|(name, raw)| {
        // In one piece: what comes later cannot be told from the answer to the next request.
        asks(name, &[18], then(raw, Act::AwaitEnd)).hears(heard(200).body("ok")).whole()
    });
    unusable.chain(broken).chain(fine).chain(behind).chain(others()).collect()
}

/// A GET whose answer is `acts`.
pub(crate) fn asks(name: &'static str, rules: &'static [u8], acts: Vec<Act>) -> Case {
    case(name, rules, "GET /open/s HTTP/1.1\r\nHost: hub\r\n\r\n")
        .script("/s", acts)
        .reaches(want("GET /s"))
}

fn others() -> Vec<Case> {
    let send = |raw: String| vec![Act::Send(raw.into_bytes())];
    let length = |head: &str| format!("{head}Content-Length: 2\r\n\r\nok");
    let fields = |count: usize| length(&format!("{OK}{}", "X-A: b\r\n".repeat(count)));
    let status = |name, line: &str, status| {
        asks(name, &[7], send(length(&format!("HTTP/1.1 {line}\r\n"))))
            .hears(heard(status).body("ok"))
    };
    let to_close = |name, acts: &[Act]| {
        let answer = Act::Send(format!("{OK}\r\nhello").into_bytes());
        asks(name, &[19], [&[answer], acts].concat())
    };
    let command = |name, raw: String| {
        case(name, &[29], "POST /open/s HTTP/1.1\r\nHost: hub\r\n\r\n")
            .script("/s", send(raw))
            .reaches(want("POST /s"))
    };
    let huge = |size: usize| length(&format!("{OK}X-A: {}\r\n", "b".repeat(size)));
    vec![
        status("status-of-nobody", "299 Odd", 299),
        status("status-499", "499 Gone", 499),
        status("status-500", "500 Oh", 500),
        status("status-503-is-theirs", "503 Later", 503),
        status("status-599", "599 Odd", 599),
        status("status-401-is-theirs", "401 No", 401),
        to_close("answer-to-the-end", &[Act::Close])
            .hears(heard(200).is("transfer-encoding", "chunked").body("hello")),
        to_close("answer-to-the-end-by-reset", &[Act::Cue, Act::Tell, Act::Reset])
            .step(Step::Await("hello"))
            .step(Step::Cue)
            .hears(cut_off())
            .closes()
            .whole(),
        command("answer-of-100-fields", fields(99)).hears(heard(200).body("ok")),
        command("answer-of-3000-fields", fields(3000)).hears(problem(502)),
        command("answer-head-of-30-kib", huge(30 * 1024)).hears(heard(200).body("ok")),
        command("answer-head-of-200-kib", huge(200 * 1024)).hears(problem(502)),
        asks(
            "answer-closes-its-connection",
            &[1],
            vec![Act::Send(length(&format!("{OK}Connection: close\r\n")).into()), Act::Close],
        )
        .hears(heard(200).body("ok").lacks(&["connection"])),
    ]
}
