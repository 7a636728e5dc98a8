//! The upgrade to WebSocket (RFC 6455 section 4.2). What is said here a browser never hears, so only
//! what concerns no user is refused here: no upgrade, a foreign origin, a full or draining node.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chassis::caller::bearer;
use chassis::refuse::Refusal;
use chassis::secret::Secret;
use contract::Kind;
use contract::caller::API_KEY;
use contract::live::{BEARER_PREFIX, Position, SUBPROTOCOL};
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::warn;

use super::Api;
use crate::config::Ws;
use crate::socket::{self, Credentials, Entry, Node, Place, Presented, Protocol, RoomUrl};

/// What every server appends to a client's key (RFC 6455 section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// When to try again at a node that takes no more sockets.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Most subprotocols that are looked at.
const PROTOCOLS_MAX: usize = 16;

pub(super) async fn open_socket(
    State(api): State<Api>,
    request: Request,
) -> Result<Response, Refusal> {
    upgrade(&api, request, None).await
}

pub(super) async fn open_room_socket(
    State(api): State<Api>,
    Path(room): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let query = Query::of(&request);
    let since = query.since.zip(query.epoch).map(|(seq, epoch)| Position { epoch, seq });
    upgrade(&api, request, Some(RoomUrl { room: room.parse().ok(), since })).await
}

async fn upgrade(
    api: &Api,
    mut request: Request,
    room: Option<RoomUrl>,
) -> Result<Response, Refusal> {
    let node = &api.node;
    let accept = accept(request.headers())?;
    check_origin(request.headers(), &node.config.ws)?;
    let place = place(node)?;
    let protocols = Protocols::of(request.headers());
    let credentials = match presented(&request, &protocols, &node.config.ws) {
        // Nobody is spoken to whose language is not spoken.
        Some(presented) if protocols.verdict == Protocol::Spoken => {
            match Box::pin(node.identify(presented)).await {
                // It is not known whether the credentials are good.
                Err(refusal) if refusal.kind().status() >= 500 => {
                    return Err(refusal);
                }
                checked => Credentials::Checked(checked.map(Box::new)),
            }
        }
        Some(_) | None => Credentials::Awaited,
    };
    let entry = Entry { protocol: protocols.verdict, credentials, room };
    let upgrading = hyper::upgrade::on(&mut request);
    let node = node.clone();
    node.stop.clone().spawn(async move {
        if let Some((stream, early)) = take_back(upgrading).await {
            Box::pin(socket::serve(node, stream, early, entry)).await;
        }
        drop::<Place>(place);
    });
    Ok(switching(accept, protocols.echoed))
}

/// The bare connection, and what the client sent right behind its request.
async fn take_back(upgrading: OnUpgrade) -> Option<(TcpStream, bytes::Bytes)> {
    // Where it fails the client has gone.
    let upgraded: Upgraded = upgrading.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>();
    let parts = parts.inspect_err(|_| warn!("An upgraded connection is no TCP connection")).ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

fn switching(accept: HeaderValue, protocol: Option<HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The answer to the client's key, if this is an upgrade to WebSocket at all.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let refusal = || Refusal::new(Kind::UpgradeRequired).detail("Open a WebSocket, version 13.");
    let is_upgrade = names(headers, &CONNECTION, "upgrade")
        && names(headers, &UPGRADE, "websocket")
        && names(headers, &SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade).ok_or_else(refusal)?;
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != 16 {
        return Err(Refusal::new(Kind::BadRequest).detail("Sec-WebSocket-Key is no nonce."));
    }
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), KEY_SUFFIX].concat());
    let accept = HeaderValue::try_from(STANDARD.encode(digest));
    accept.map_err(|error| Refusal::new(Kind::Internal).caused_by(error))
}

/// Whether a list of tokens names `token` (RFC 9110 section 5.6.1).
fn names(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    tokens(headers, field).any(|named| named.eq_ignore_ascii_case(token))
}

fn tokens<'a>(headers: &'a HeaderMap, field: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(field).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Only browsers send an `Origin`, and they send it always: one that is not listed is another site
/// that uses its visitors.
fn check_origin(headers: &HeaderMap, ws: &Ws) -> Result<(), Refusal> {
    let is_listed = |origin: &HeaderValue| {
        ws.origins.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    };
    if headers.get_all(ORIGIN).iter().all(is_listed) {
        Ok(())
    } else {
        let detail = "This origin may not open sockets: see chat.ws.origins.";
        Err(Refusal::new(Kind::Forbidden).detail(detail))
    }
}

fn place(node: &Node) -> Result<Place, Refusal> {
    if node.stop.is_draining() {
        return Err(Refusal::new(Kind::Unavailable).retry_after(RETRY_AFTER));
    }
    node.admission.place().ok_or(Refusal::new(Kind::Overloaded).retry_after(RETRY_AFTER))
}

/// What the client's list of subprotocols says.
#[derive(Debug)]
struct Protocols {
    verdict: Protocol,
    echoed: Option<HeaderValue>,
    token: Option<String>,
}

impl Protocols {
    fn of(headers: &HeaderMap) -> Self {
        let asked: Vec<_> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).take(PROTOCOLS_MAX).collect();
        let bearers = asked.iter().filter_map(|name| name.strip_prefix(BEARER_PREFIX));
        let token = bearers.map(decode_bearer).next();
        let is_spoken = asked.is_empty() || asked.contains(&SUBPROTOCOL);
        let verdict = if is_spoken { Protocol::Spoken } else { Protocol::Foreign };
        // A client that asked for protocols hangs up when none is picked. To be able to tell it why
        // it cannot stay, one of its own is picked; never the one that is a token.
        let ours = asked.iter().find(|name| **name == SUBPROTOCOL);
        let any = asked.iter().find(|name| !name.starts_with(BEARER_PREFIX));
        let echoed = ours.or(any).and_then(|name| HeaderValue::from_str(name).ok());
        Self { verdict, echoed, token }
    }
}

/// The token in a subprotocol; what cannot be decoded is as good as a bad token.
fn decode_bearer(text: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// What the client shows, the safest first.
fn presented(request: &Request, protocols: &Protocols, ws: &Ws) -> Option<Presented> {
    let query = Query::of(request);
    let field = |name: HeaderName| Some(request.headers().get(name)?.as_bytes());
    let header = || {
        let value = field(AUTHORIZATION)?;
        Some(bearer(value).unwrap_or_default().to_owned())
    };
    let key = || {
        let value = field(HeaderName::from_static(API_KEY))?;
        Some(std::str::from_utf8(value).unwrap_or_default().to_owned())
    };
    let protocol = protocols.token.clone().map(Presented::token);
    let ticket = || query.ticket.map(|ticket| Presented::Ticket(Secret::new(ticket)));
    protocol
        .or_else(ticket)
        .or_else(|| header().map(Presented::token))
        .or_else(|| key().map(|key| Presented::Key(Secret::new(key))))
        .or_else(|| query.token.filter(|_| ws.allow_query_token).map(Presented::token))
}

/// The parameters that sockets know. Others, and those that cannot be read, are not there.
#[derive(Default)]
struct Query {
    token: Option<String>,
    ticket: Option<String>,
    since: Option<u64>,
    epoch: Option<String>,
}

impl Query {
    fn of(request: &Request) -> Self {
        #[derive(Default, serde::Deserialize)]
        struct Written {
            token: Option<String>,
            ticket: Option<String>,
            since: Option<String>,
            epoch: Option<String>,
        }
        let written = axum::extract::Query::<Written>::try_from_uri(request.uri());
        let written = written.map(|query| query.0).unwrap_or_default();
        let since = written.since.and_then(|since| since.parse().ok());
        let Written { token, ticket, epoch, .. } = written;
        Self { token, ticket, since, epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        pairs.collect()
    }

    fn protocols(value: &str) -> Protocols {
        Protocols::of(&headers(&[(SEC_WEBSOCKET_PROTOCOL, value)]))
    }

    #[test]
    fn the_key_is_answered_as_in_the_standard() {
        let mut upgrade = headers(&[
            (CONNECTION, "keep-alive, Upgrade"),
            (UPGRADE, "WebSocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        assert_eq!(accept(&upgrade).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        upgrade.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("short"));
        assert_eq!(accept(&upgrade).unwrap_err().kind(), Kind::BadRequest);
        upgrade.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert_eq!(accept(&upgrade).unwrap_err().kind(), Kind::UpgradeRequired);
    }

    #[test]
    fn only_our_protocol_is_echoed_and_a_token_never() {
        let spoken = protocols("chat.v1.json, bearer.YWJj");
        assert_eq!(spoken.verdict, Protocol::Spoken);
        assert_eq!(spoken.echoed.unwrap(), SUBPROTOCOL);
        assert_eq!(spoken.token.unwrap(), "abc");
        let foreign = protocols("bearer.YWJj, soap");
        assert_eq!(
            (foreign.verdict, foreign.echoed.unwrap().as_bytes()),
            (Protocol::Foreign, &b"soap"[..])
        );
        let bare = protocols("bearer.YWJj");
        assert_eq!((bare.verdict, bare.echoed), (Protocol::Foreign, None));
        assert_eq!(Protocols::of(&HeaderMap::new()).verdict, Protocol::Spoken);
    }
}
