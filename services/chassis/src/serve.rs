//! A spoke's listener: bounded connections and heads, names for every request, problems for every
//! refusal, and an orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse as _, Response};
use contract::Kind;
use contract::caller::REQUEST_ID;
use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::health::Health;
use crate::hop::{is_request_id, make_request_id};
use crate::linger::LingeringBody;
use crate::refuse::Refusal;
use crate::{Random, StartError, Stop};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Longest target of a request, in bytes.
const URI_BYTES_MAX: usize = 8 * 1024;
/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most fields of a head: what a gateway lets through and what it adds.
const FIELDS_MAX: usize = 128;
/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The keys of a spoke's listener: the table `server` of its section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most connections at a time; more wait.
    pub connections_max: usize,
    /// From the first byte of a head to its last, and between two requests of a connection.
    #[serde(with = "crate::config::span")]
    pub head_timeout: Duration,
    /// How long to go on accepting after readiness has turned false.
    #[serde(with = "crate::config::span")]
    pub drain_delay: Duration,
}

/// Binds `address` and serves `router` there until `stop`; gives the address that was bound.
pub fn serve(
    address: SocketAddr,
    config: &Config,
    router: Router,
    health: Health,
    stop: &Stop,
) -> Result<SocketAddr, StartError> {
    let listener = bind(address)?;
    let bound = listener.local_addr().map_err(|source| StartError::Bind { address, source })?;
    let server = Arc::new(Server {
        router: health
            .routes()
            .merge(router)
            .fallback(|| async { Refusal::new(Kind::NotFound) })
            .method_not_allowed_fallback(|| async { Refusal::new(Kind::MethodNotAllowed) }),
        places: Arc::new(Semaphore::new(config.connections_max)),
        config: config.clone(),
        stop: stop.clone(),
    });
    stop.spawn(server.accept(listener));
    Ok(bound)
}

/// Binds `address` so that a restart finds the port free at once.
pub fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| StartError::Bind { address, source })
}

struct Server {
    router: Router,
    places: Arc<Semaphore>,
    config: Config,
    stop: Stop,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let closing = async {
            self.stop.drain_began().await;
            tokio::time::sleep(self.config.drain_delay).await;
        };
        tokio::pin!(closing);
        loop {
            let next = async {
                let place = self.places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut closing => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = self.clone();
                    self.stop.spawn(async move {
                        server.connection(stream, peer).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // A hint to the kernel; without it answers are only later.
        stream.set_nodelay(true).ok();
        let server = self.clone();
        let service = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.head_timeout)
            // Whoever has said everything may still listen (RFC 9112 section 9.6).
            .half_close(true)
            .max_headers(FIELDS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.stop.cancelled() => return,
            () = async {
                self.stop.drain_began().await;
                tokio::time::sleep(self.config.drain_delay).await;
            } => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// One request: named, bounded, routed; a refusal becomes a problem, a head nothing else.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response {
        let (mut parts, body) = request.into_parts();
        let request_id = name(&mut parts.headers);
        let path = parts.uri.path().to_owned();
        let waits = parts.headers.contains_key(header::EXPECT);
        let body = LingeringBody::new(body, waits, self.stop.clone());
        let response = if parts.uri.to_string().len() > URI_BYTES_MAX {
            Refusal::new(Kind::UriTooLong).into_response()
        } else {
            parts.extensions.insert(ConnectInfo(peer));
            let request = Request::from_parts(parts, Body::new(body));
            let Ok(response) = self.router.clone().oneshot(request).await;
            response
        };
        let mut response = finish(response, &request_id, &path);
        let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, request_id);
        if self.stop.is_leaving() && !is_upgraded {
            // Else the connection may end under the caller's next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // An answer to a verified caller is nobody else's, unless its handler says otherwise (RFC
        // 9111 section 5.2.2.5).
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

/// The request's id: the caller's when it may be kept, else a new one, which the handlers see too.
fn name(headers: &mut http::HeaderMap) -> HeaderValue {
    match headers.get(REQUEST_ID) {
        Some(id) if is_request_id(id.as_bytes()) => id.clone(),
        _ => {
            let made = HeaderValue::try_from(make_request_id(&Random::System));
            let made = made.unwrap_or(HeaderValue::from_static("none"));
            headers.insert(REQUEST_ID, made.clone());
            made
        }
    }
}

fn finish(mut response: Response, request_id: &HeaderValue, path: &str) -> Response {
    let Some(refusal) = response.extensions_mut().remove::<Refusal>() else { return response };
    let request_id = request_id.to_str().unwrap_or_default();
    refusal.log(request_id, path);
    let mut answer = refusal.answer(request_id, path);
    // `Allow` is the router's to know.
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}
