//! The opening of WebSockets: an ordinary exchange until the upstream's matching 101 (RFC 9110
//! section 7.8, RFC 6455 section 4), which leaves a [`Tunnel`].

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::body::Upload;
use super::forward::{Exchange, Failure, Found};
use super::reply::Becomes;
use crate::cors::Origin;
use crate::head::{Head, Seen};
use crate::pool::Connection;
use crate::refusal::Refusal;
use crate::tunnel::Tunnel;

/// What a server appends to a key before hashing it (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A WebSocket that a caller rightly asks for.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// What the upstream has to prove that it understood.
    accept: String,
}

/// Whether the WebSocket that `head` asks for may be opened (RFC 6455 sections 4.2.1 and 10.2).
pub(crate) fn handshake(head: &Head<'_>, origin: &Origin) -> Result<Handshake, Refusal> {
    let sized = head.seen.has(Seen::CONTENT_LENGTH) && head.field("content-length") != Some(b"0");
    if head.method != "GET" || sized || head.seen.has(Seen::TRANSFER_ENCODING) {
        return Err(Refusal::Handshake("A WebSocket is asked for by GET without a body."));
    }
    match head.field("sec-websocket-version") {
        Some(b"13") => {}
        Some(_) => return Err(Refusal::SocketVersion),
        None => return Err(Refusal::Handshake("Sec-WebSocket-Version is missing.")),
    }
    let mut keys = head.all("sec-websocket-key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Refusal::Handshake("Sec-WebSocket-Key has to stand there once."));
    };
    if STANDARD.decode(key).ok().is_none_or(|key| key.len() != 16) {
        return Err(Refusal::Handshake("Sec-WebSocket-Key has to be 16 bytes in base64."));
    }
    if *origin == Origin::Foreign {
        return Err(Refusal::Origin);
    }
    Ok(Handshake { accept: accept(key) })
}

fn accept(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()))
}

/// Asks the upstream on a connection of its own. An answer other than a matching 101 is an ordinary
/// one, or none; a matching one leaves the tunnel at the link.
pub(super) async fn open(
    mut exchange: Exchange<'_>,
    request: Request<Upload>,
) -> Result<Found, Refusal> {
    let link = exchange.link;
    exchange.counts.opened.add(1);
    let connected = exchange.pool.handshake(&mut exchange.place).await;
    let (mut sender, mut connection) = connected.map_err(|error| exchange.unreachable(&error))?;
    link.deadline.set(exchange.job.wait());
    let mut is_over = false;
    let answer = {
        let mut sent = pin!(sender.send_request(exchange.named(request)));
        exchange
            .before_deadline(poll_fn(|cx| {
                if let Poll::Ready(answer) = sent.as_mut().poll(cx) {
                    return Poll::Ready(answer);
                }
                if !is_over && connection.poll_without_shutdown(cx).is_ready() {
                    is_over = true;
                }
                sent.as_mut().poll(cx)
            }))
            .await
    };
    let answer = answer.ok_or_else(|| exchange.refusal(Failure::Late))?;
    let response = answer.map_err(|error| broken(&exchange, &error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let connection = Connection::drive(sender, connection, &link.core.tasks);
        return exchange.accept_on(response, connection);
    }
    link.deadline.clear();
    check(&response, &exchange)?;
    if !is_over {
        let over = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        over.map_err(|error| broken(&exchange, &error))?;
    }
    let parts = connection.into_parts();
    link.put_tunnel(Tunnel::new(parts.io.into_inner(), parts.read_buf.to_vec(), exchange.place));
    Ok((response, None, Becomes::Socket))
}

fn broken(exchange: &Exchange<'_>, error: &hyper::Error) -> Refusal {
    exchange.broken(&chassis::refuse::chain(error))
}

/// Whether the 101 is the one that was asked for.
fn check(response: &Response<Incoming>, exchange: &Exchange<'_>) -> Result<(), Refusal> {
    let headers = response.headers();
    let says = |name: header::HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| {
            let mut tokens = crate::head::tokens(value.as_bytes());
            tokens.any(|token| token.eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    let mut proofs = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    let accept = proofs.next().filter(|_| proofs.next().is_none());
    let wanted = exchange.job.handshake.as_ref().map(|handshake| handshake.accept.as_bytes());
    let matches = says(header::UPGRADE, "websocket")
        && says(header::CONNECTION, "upgrade")
        && accept.map(HeaderValue::as_bytes) == wanted;
    matches
        .then_some(())
        .ok_or_else(|| exchange.broken("its 101 does not match what was asked for"))
}

#[cfg(test)]
mod tests {
    use contract::Kind;

    use super::*;
    use crate::head::tests::both_ways;

    const GOOD: &str =
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn verdict(line: &str, fields: &str, origin: &Origin) -> Option<Kind> {
        let head = format!("{line}\r\nHost: a\r\n{fields}\r\n");
        both_ways(&head, |head| handshake(head, origin).err().map(|refusal| refusal.kind()))
    }

    #[test]
    fn a_handshake_is_checked_before_it_is_passed_on() {
        let get = "GET /ws HTTP/1.1";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let version = "Sec-WebSocket-Version: 13\r\n";
        for (line, fields, expected) in [
            (get, GOOD.to_owned(), None),
            ("POST /ws HTTP/1.1", GOOD.to_owned(), Some(Kind::BadRequest)),
            (get, format!("{GOOD}Content-Length: 1\r\n"), Some(Kind::BadRequest)),
            (get, format!("{GOOD}Transfer-Encoding: chunked\r\n"), Some(Kind::BadRequest)),
            (get, key.to_owned(), Some(Kind::BadRequest)),
            (get, format!("{key}Sec-WebSocket-Version: 8\r\n"), Some(Kind::UpgradeRequired)),
            (get, version.to_owned(), Some(Kind::BadRequest)),
            (get, format!("{version}Sec-WebSocket-Key: short\r\n"), Some(Kind::BadRequest)),
            (get, format!("{GOOD}{key}"), Some(Kind::BadRequest)),
        ] {
            assert_eq!(verdict(line, &fields, &Origin::Absent), expected, "{line} {fields}");
        }
        assert_eq!(verdict(get, GOOD, &Origin::Foreign), Some(Kind::Forbidden));
        assert_eq!(verdict(get, GOOD, &Origin::Own), None);
    }

    #[test]
    fn the_proof_is_the_one_of_the_standard() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
