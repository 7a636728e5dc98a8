//! Leaving HTTP: only for a WebSocket, only on a route for them, and only after the upstream's own
//! matching 101.

use crate::case::{Case, Heard, Step, case, get_of, heard, problem, want};
use crate::recorder::Act;

#[tokio::test]
async fn a_connection_leaves_http_only_by_a_matching_101() {
    crate::run::run(&[], cases).await;
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

fn ask_at(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: hub\r\n{fields}\r\n")
}

fn ask(fields: &str) -> String {
    ask_at("/api/chat/ws/a", &format!("{UPGRADE}{VERSION}{KEY}{fields}"))
}

fn switch(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{more}\r\n"
    )
}

fn send(raw: impl Into<String>) -> Act {
    Act::Send(raw.into().into_bytes())
}

pub(crate) fn cases(_token: &str) -> Vec<Case> {
    let mut cases = opened();
    cases.extend(declined());
    cases.extend(mismatched());
    cases.extend(ordinary());
    cases.extend(refused());
    cases
}

/// The 101 as the caller gets it.
fn switched() -> Heard {
    heard(101)
        .is("upgrade", "websocket")
        .is("connection", "upgrade")
        .is("sec-websocket-accept", ACCEPT)
        .lacks(&["content-length", "transfer-encoding"])
        .body("")
}

/// The upstream switches and then sends back what it gets.
fn opens(name: &'static str, rules: &'static [u8], request: &str, switch: &str) -> Case {
    case(name, rules, request)
        .script("/ws/a", [send(switch), Act::Echo])
        .reaches(want("GET /ws/a").is("upgrade", "websocket").is("connection", "upgrade"))
        .hears(switched())
}

/// A socket that opens, by what is sent in its handshake.
const OPENS: &[(&str, u8, &str)] = &[
    ("socket-plain", 32, "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ("socket-in-odd-case", 31, "CONNECTION: UPGRADE\r\nupgrade: WebSocket\r\n"),
    ("socket-in-a-list", 31, "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"),
    (
        "socket-in-two-lines",
        1,
        "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
    ),
    (
        "socket-beside-h2c",
        31,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ),
    (
        "socket-of-the-gateways-own-page",
        33,
        "Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://hub\r\n",
    ),
    (
        "socket-with-a-length-of-nothing",
        33,
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n",
    ),
    (
        "socket-with-hops",
        1,
        "Connection: Upgrade, X-Poison\r\nUpgrade: websocket\r\nX-Poison: 1\r\n\
         Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: poison\r\n",
    ),
    (
        "socket-with-spoofs",
        12,
        "Connection: Upgrade\r\nUpgrade: websocket\r\nX-User-Id: poison\r\n\
         x_user_id: poison\r\nX-User-Roles: poison\r\n",
    ),
];

fn opened() -> Vec<Case> {
    // What a socket carries is nobody's business: bytes that look like HTTP are just bytes.
    let bytes = get_of("/api/messages");
    let ends = |case: Case| case.step(Step::Shut).closes_alone();
    let carries = |case: Case, bytes: &str| ends(case.step(Step::Bytes(bytes.into())));
    let plain = OPENS.iter().map(|(name, rule, fields)| {
        let request = ask_at("/api/chat/ws/a", &format!("{fields}{VERSION}{KEY}"));
        let open = opens(name, std::slice::from_ref(rule), &request, &switch(""));
        carries(open.sends(&bytes), &bytes)
    });
    let protocols = "Sec-WebSocket-Protocol: a, b\r\n";
    let extensions = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let unchanged = want("GET /ws/a")
        .is("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .is("sec-websocket-version", "13")
        .is("sec-websocket-protocol", "a, b")
        .is("sec-websocket-extensions", "permessage-deflate");
    let late = format!("HTTP/1.1 100 Continue\r\n\r\n{}", switch(""));
    let greeted = switch("") + "hello";
    let chosen = switch("Sec-WebSocket-Protocol: b\r\n");
    let others = [
        carries(opens("socket-early", &[36], &(ask("") + "early"), &switch("")), "early"),
        carries(opens("socket-greeted-early", &[36], &ask(""), &greeted), "hello"),
        ends(opens("socket-with-a-protocol", &[33], &ask(protocols), &chosen)),
        ends(
            case("socket-fields-go-unchanged", &[33], ask(&format!("{protocols}{extensions}")))
                .script("/ws/a", [send(switch("")), Act::Echo])
                .reaches(unchanged)
                .hears(switched()),
        ),
        ends(opens("socket-behind-100", &[27, 32], &ask(""), &late)),
        carries(
            case("socket-that-the-upstream-ends", &[36], ask(""))
                .script("/ws/a", [send(switch("") + "bye"), Act::Close])
                .reaches(want("GET /ws/a"))
                .hears(switched()),
            "bye",
        ),
    ];
    plain.chain(others).collect()
}

/// The upstream does not switch: an ordinary answer, and nothing was tunnelled.
fn declined() -> Vec<Case> {
    let declined = |name, status: u16, raw: &str| {
        case(name, &[32], ask(""))
            .script("/ws/a", [send(raw)])
            .reaches(want("GET /ws/a").is("upgrade", "websocket"))
            .hears(heard(status).lacks(&["upgrade", "connection"]))
    };
    let no = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    let slowly = || vec![Act::Rest, Act::Rest, send(no)];
    let refuses = |name, behind: &str| {
        case(name, &[32], ask("") + behind)
            .script("/ws/a", slowly())
            .reaches(want("GET /ws/a"))
            .hears(heard(403).body("no"))
    };
    vec![
        declined("socket-declined-by-200", 200, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        declined("socket-declined-by-204", 204, "HTTP/1.1 204 No Content\r\n\r\n"),
        declined(
            "socket-declined-by-400",
            400,
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        ),
        declined("socket-declined-by-403", 403, no),
        declined(
            "socket-declined-by-chunks",
            404,
            "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        ),
        declined(
            "socket-declined-by-426",
            426,
            "HTTP/1.1 426 Upgrade Required\r\nConnection: X-A\r\n\
                     X-A: poison\r\nContent-Length: 0\r\n\r\n",
        ),
        declined("socket-declined-by-503", 503, "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"),
        declined(
            "socket-declined-with-an-upgrade",
            200,
            "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
                     Content-Length: 0\r\n\r\n",
        ),
        // CVE-2026-2833: what is sent ahead is the next request, with every door before it.
        refuses("socket-declined-and-a-request-behind", &get_of("/api/messages")).declined(401),
        refuses("socket-declined-and-an-open-request-behind", &get_of("/open/b"))
            .forwards(want("GET /b")),
        refuses(
            "socket-declined-and-a-spoof-behind",
            "GET /open/b HTTP/1.1\r\nHost: hub\r\nX-User-Id: poison\r\n\r\n",
        )
        .forwards(want("GET /b").lacks(&["x-user-id"])),
        refuses("socket-declined-and-frames-behind", "\x01\x05poison\r\n\r\n").refused(400),
        refuses("socket-declined-and-the-same-again", &ask(""))
            .reaches(want("GET /ws/a").is("upgrade", "websocket"))
            .hears(want("GET /ws/a").echo()),
    ]
}

/// The upstream's 101 is not the one that was asked for: nothing opens.
fn mismatched() -> Vec<Case> {
    let opens_nothing = |name, raw: String| {
        case(name, &[32], ask(""))
            .script("/ws/a", [send(raw + "poison"), Act::AwaitEnd])
            .reaches(want("GET /ws/a"))
            .hears(problem(502))
    };
    let good = switch("");
    vec![
        opens_nothing("101-without-upgrade", good.replace("Upgrade: websocket\r\n", "")),
        opens_nothing("101-without-connection", good.replace("Connection: Upgrade\r\n", "")),
        opens_nothing("101-of-h2c", good.replace("websocket", "h2c")),
        opens_nothing("101-without-proof", good.replace("Sec-WebSocket-Accept", "X-Accept")),
        opens_nothing(
            "101-with-another-proof",
            good.replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ),
        opens_nothing(
            "101-with-the-proof-in-another-case",
            good.replace(ACCEPT, &ACCEPT.to_lowercase()),
        ),
        opens_nothing(
            "101-with-a-closing-connection",
            good.replace("Connection: Upgrade", "Connection: close"),
        ),
        opens_nothing("101-broken", good.replace("Upgrade: websocket", "Upgrade websocket")),
    ]
}

/// Not a WebSocket, or not there: an ordinary request.
fn ordinary() -> Vec<Case> {
    let forwards = |name, request: String, line: &str| {
        case(name, &[31], request).forwards(want(line).lacks(&[
            "upgrade",
            "connection",
            "http2-settings",
        ]))
    };
    let at_ws = |fields: &str| ask_at("/api/chat/ws/a", fields);
    vec![
        forwards(
            "socket-elsewhere",
            ask_at("/open/a", &format!("{UPGRADE}{VERSION}{KEY}")),
            "GET /a",
        ),
        forwards(
            "h2c-elsewhere",
            ask_at(
                "/open/a",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                         HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            "GET /a",
        ),
        forwards(
            "h2c-on-a-route-for-sockets",
            at_ws(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                         HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            "GET /ws/a",
        ),
        forwards(
            "h2c-with-a-key",
            at_ws(&format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{VERSION}{KEY}")),
            "GET /ws/a",
        ),
        forwards(
            "socket-without-connection",
            at_ws(&format!("Upgrade: websocket\r\n{VERSION}{KEY}")),
            "GET /ws/a",
        ),
        forwards(
            "socket-with-another-connection",
            at_ws(&format!("Connection: keep-alive\r\nUpgrade: websocket\r\n{VERSION}{KEY}")),
            "GET /ws/a",
        ),
        forwards(
            "socket-without-upgrade",
            at_ws(&format!("Connection: upgrade\r\n{VERSION}{KEY}")),
            "GET /ws/a",
        ),
        forwards(
            "socket-of-a-longer-name",
            at_ws(&format!("Connection: upgrade\r\nUpgrade: websockets\r\n{VERSION}{KEY}")),
            "GET /ws/a",
        ),
        forwards(
            "socket-quoted",
            at_ws(&format!("Connection: upgrade\r\nUpgrade: \"websocket\"\r\n{VERSION}{KEY}")),
            "GET /ws/a",
        ),
    ]
}

/// A handshake that is wrong is refused before the upstream hears of it.
fn refused() -> Vec<Case> {
    let refused = |name, request: String, status| case(name, &[33], request).declined(status);
    let at_ws = |fields: &str| ask_at("/api/chat/ws/a", &format!("{UPGRADE}{fields}"));
    vec![
        refused("handshake-without-a-key", at_ws(VERSION), 400),
        refused(
            "handshake-with-a-short-key",
            ask("").replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            400,
        ),
        refused(
            "handshake-with-a-key-of-no-base64",
            ask("").replace("dGhlIHNhbXBsZSBub25jZQ==", "!!!!IHNhbXBsZSBub25jZQ=="),
            400,
        ),
        refused(
            "handshake-with-an-empty-key",
            at_ws(&format!("{VERSION}Sec-WebSocket-Key:\r\n")),
            400,
        ),
        refused("handshake-with-two-keys", ask(KEY), 400),
        refused("handshake-without-a-version", at_ws(KEY), 400),
        refused("handshake-by-post", ask("").replace("GET", "POST"), 401),
        refused("handshake-with-a-body", ask("Content-Length: 5\r\n") + "hello", 400),
        refused(
            "handshake-with-chunks",
            ask("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
            400,
        ),
        refused("handshake-of-a-foreign-page", ask("Origin: http://evil.example\r\n"), 403),
        refused(
            "handshake-of-two-pages",
            ask("Origin: http://hub\r\nOrigin: http://evil.example\r\n"),
            403,
        ),
        refused("handshake-of-no-page", ask("Origin: null\r\n"), 403),
        case("handshake-of-version-8", &[33], ask("").replace("Version: 13", "Version: 8"))
            .hears(problem(426).is("sec-websocket-version", "13")),
        case("handshake-of-two-versions", &[33], ask("").replace("Version: 13", "Version: 13, 8"))
            .hears(problem(426).is("sec-websocket-version", "13")),
    ]
}
