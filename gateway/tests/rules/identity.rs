//! Who is calling, and from where, is said by the gateway alone.

use contract::caller::IDENTITY_HEADERS;

use crate::case::{Case, case, get, problem, want};

#[tokio::test]
async fn nobody_else_says_who_is_calling() {
    crate::run::run(&[], cases).await;
}

/// Fields that are removed from whatever comes from outside; "poison" must not come out.
const SPOOFS: &[(&str, &str)] = &[
    ("spoof-user-id", "X-User-Id: poison\r\n"),
    ("spoof-user-id-lower-case", "x-user-id: poison\r\n"),
    ("spoof-user-id-upper-case", "X-USER-ID: poison\r\n"),
    ("spoof-user-id-odd-case", "x-UsEr-iD: poison\r\n"),
    ("spoof-user-id-underscores", "X_User_Id: poison\r\n"),
    ("spoof-user-id-underscore-first", "x_user-id: poison\r\n"),
    ("spoof-user-id-underscore-last", "X-USER_ID: poison\r\n"),
    ("spoof-user-id-twice", "X-User-Id: poison\r\nX-User-Id: poison\r\n"),
    ("spoof-user-id-in-both-spellings", "X-User-Id: poison\r\nX_USER_ID: poison\r\n"),
    ("spoof-user-id-empty-and-full", "X-User-Id:\r\nX-User-Id: poison\r\n"),
    ("spoof-user-id-named-in-connection", "Connection: X-User-Id\r\nX-User-Id: poison\r\n"),
    ("spoof-user-id-without-blank", "X-User-Id:poison\r\n"),
    ("spoof-user-id-with-tab", "X-User-Id:\tpoison\r\n"),
    ("spoof-user-name", "X-User-Name: poison\r\n"),
    ("spoof-user-name-underscores", "X_USER_NAME: poison\r\n"),
    ("spoof-user-roles", "X-User-Roles: poison, admin\r\n"),
    ("spoof-user-roles-upper-case", "X-USER-ROLES: poison\r\n"),
    ("spoof-user-roles-underscore", "X-User_Roles: poison\r\n"),
    ("spoof-session-id", "X-Session-Id: poison\r\n"),
    ("spoof-session-id-underscores", "x_session_id: poison\r\n"),
    (
        "spoof-all-at-once",
        "X-User-Id: poison\r\nX-User-Name: poison\r\n\
                 X-User-Roles: poison\r\nX-Session-Id: poison\r\n",
    ),
    ("spoof-forwarded-for", "X-Forwarded-For: poison\r\n"),
    ("spoof-forwarded-for-twice", "X-Forwarded-For: poison\r\nX-Forwarded-For: poison\r\n"),
    ("spoof-forwarded-for-underscores", "X_Forwarded_For: poison\r\n"),
    ("spoof-forwarded-for-upper-case", "X-FORWARDED-FOR: poison\r\n"),
    ("spoof-forwarded-proto", "X-Forwarded-Proto: poison\r\n"),
    ("spoof-forwarded-host", "X-Forwarded-Host: poison\r\n"),
    ("spoof-forwarded-port", "X-Forwarded-Port: poison\r\n"),
    ("spoof-forwarded-prefix", "X-Forwarded-Prefix: /poison\r\n"),
    ("spoof-forwarded-user", "X-Forwarded-User: poison\r\n"),
    ("spoof-forwarded-of-any-name", "X-Forwarded-Whatever: poison\r\n"),
    ("spoof-forwarded", "Forwarded: for=poison;host=poison;proto=https\r\n"),
    ("spoof-forwarded-twice", "Forwarded: for=poison\r\nforwarded: for=poison\r\n"),
    ("spoof-real-ip", "X-Real-IP: poison\r\n"),
    ("spoof-real-ip-underscores", "X_REAL_IP: poison\r\n"),
    ("spoof-any-underscore", "Content_Length: poison\r\n"),
    ("spoof-host-underscore", "HTTP_HOST: poison\r\n"),
    ("spoof-authorization-underscore", "Author_ization: poison\r\n"),
    ("spoof-of-one-underscore", "_: poison\r\n"),
    ("request-id-with-a-blank", "X-Request-Id: poison id\r\n"),
    ("request-id-with-a-line-end-encoded", "X-Request-Id: poison%0d%0a\r\n"),
    ("request-id-with-high-bytes", "X-Request-Id: poison\u{e9}\r\n"),
    ("request-id-twice", "X-Request-Id: poison\r\nX-Request-Id: poison\r\n"),
    (
        "request-id-too-long",
        "X-Request-Id: poison7890123456789012345678901234567890123456789012345678901234567890\r\n",
    ),
    ("request-id-underscores", "X_Request_Id: poison\r\n"),
    ("traceparent-of-no-hexadecimals", "Traceparent: 00-poison-poison-01\r\n"),
    ("traceparent-twice", "Traceparent: poison\r\nTraceparent: poison\r\n"),
    ("tracestate-without-a-parent", "Tracestate: poison=1\r\n"),
];

pub(crate) fn cases(token: &str) -> Vec<Case> {
    let open = SPOOFS.iter().map(|(name, fields)| {
        case(name, &[11, 12, 13], get(fields)).forwards(want("GET /a").lacks(&IDENTITY_HEADERS))
    });
    open.chain(told(token)).chain(doors(token)).collect()
}

/// A verified caller is told to the upstream, whatever the caller says itself.
fn told(token: &str) -> Vec<Case> {
    let ada = |line: &str| {
        want(line)
            .is("x-user-id", "00000000-0000-0000-0000-000000000007")
            .is("x-user-name", "ada")
            .is("x-user-roles", "")
            .is("x-session-id", "00000000-0000-0000-0000-000000000009")
            .is("authorization", format!("Bearer {token}"))
    };
    let send = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n{fields}\r\n")
    };
    let spoofs = "X-User-Id: poison\r\nx_user_id: poison\r\nX-USER-ROLES: poison\r\n\
                  X-User-Name: poison\r\nX-Session-Id: poison\r\nX-Session_Id: poison\r\n";
    vec![
        case("told-on-a-protected-route", &[12], send("GET /api/messages", ""))
            .forwards(ada("GET /api/messages")),
        case("told-in-spite-of-spoofs", &[12], send("GET /api/messages", spoofs))
            .forwards(ada("GET /api/messages")),
        case("told-on-an-open-route", &[12], send("GET /open/a", spoofs)).forwards(ada("GET /a")),
        case(
            "told-in-spite-of-connection",
            &[3, 12],
            send(
                "GET /api/messages",
                "Connection: X-User-Id, x-user-name, X-Session-Id, authorization\r\n",
            ),
        )
        .forwards(ada("GET /api/messages")),
        case("told-to-nobody-behind", &[12], send("GET /api/messages", "") + &get(spoofs))
            .forwards(ada("GET /api/messages"))
            .forwards(want("GET /a").lacks(&IDENTITY_HEADERS)),
        case("answer-to-a-caller-is-private", &[12], send("GET /api/messages", ""))
            .reaches(ada("GET /api/messages"))
            .hears(ada("GET /api/messages").echo().is("cache-control", "no-store")),
        case(
            "scheme-of-the-token-in-any-case",
            &[12],
            send("GET /api/messages", "").replace("Bearer", "bEARER"),
        )
        .forwards(want("GET /api/messages").is("x-user-name", "ada")),
    ]
}

/// A protected route is closed to everybody else.
fn doors(token: &str) -> Vec<Case> {
    let denied = |name, fields: String| {
        let request = format!("GET /api/messages HTTP/1.1\r\nHost: hub\r\n{fields}\r\n");
        case(name, &[12, 29], request).hears(problem(401).has("www-authenticate"))
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    let unsigned = token.split('.').nth(1).unwrap();
    vec![
        denied("door-without-a-token", String::new()),
        denied("door-with-identity-alone", "X-User-Id: 1\r\nX-User-Roles: admin\r\n".into()),
        denied("door-with-an-empty-token", "Authorization: Bearer \r\n".into()),
        denied("door-with-an-empty-field", "Authorization:\r\n".into()),
        denied("door-with-a-bad-token", bearer("x.y.z")),
        denied("door-with-another-signature", bearer(&format!("{signed}.{turned}"))),
        denied("door-without-a-signature", bearer(&format!("{signed}."))),
        denied("door-with-algorithm-none", bearer(&format!("eyJhbGciOiJub25lIn0.{unsigned}."))),
        denied("door-with-two-tokens", bearer(token) + &bearer(token)),
        denied("door-with-a-good-and-a-bad-token", bearer(token) + &bearer("x.y.z")),
        denied("door-with-another-scheme", format!("Authorization: Basic {token}\r\n")),
        denied("door-with-a-bare-token", format!("Authorization: {token}\r\n")),
        denied("door-with-a-token-and-more", bearer(&format!("{token} more"))),
        denied("door-with-a-token-and-a-comma", bearer(&format!("{token},"))),
        denied("door-with-underscores", format!("Author_ization: Bearer {token}\r\n")),
        denied("door-with-a-proxy-token", format!("Proxy-Authorization: Bearer {token}\r\n")),
        denied("door-with-an-api-key", "X-Api-Key: k\r\n".into()),
    ]
}
