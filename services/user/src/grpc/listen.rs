//! The listener of gRPC: cleartext HTTP/2 and nothing else, bounded connections and calls, a name for
//! every call, and an orderly end.
//!
//! Whoever does not begin as HTTP/2 does (RFC 9113 section 3.4) is hung up on.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::Response;
use chassis::hop::{is_request_id, make_request_id};
use chassis::{Random, Stop};
use contract::caller::REQUEST_ID;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Config;
use super::auth::Arrival;
use super::bodies::{UntilAnswered, UntilDrain};
use super::status;

/// How every connection begins.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Largest list of header fields, in bytes as HTTP/2 counts them.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// What a call may send before it is read.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What a connection may.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What of an answer waits to be sent, in bytes.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts, and serves what it accepted.
pub(super) struct Server {
    routes: Router,
    places: Arc<Semaphore>,
    config: Config,
    drain_delay: Duration,
    stop: Stop,
}

/// Runs the calls of a connection as tasks of the part, which end when it is cut.
#[derive(Clone)]
struct Tasks(Stop);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let stop = self.0.clone();
        self.0.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

impl Server {
    pub(super) fn new(routes: Router, config: Config, drain_delay: Duration, stop: Stop) -> Self {
        let places = Arc::new(Semaphore::new(config.connections_max));
        Self { routes, places, config, drain_delay, stop }
    }

    pub(super) async fn accept(self, listener: TcpListener) {
        let server = Arc::new(self);
        let closing = server.closing();
        tokio::pin!(closing);
        loop {
            let next = async {
                let place = server.places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut closing => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = server.clone();
                    server.stop.clone().spawn(async move {
                        server.connection(stream, peer).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Ends when nothing new is taken any more.
    async fn closing(&self) {
        self.stop.drain_began().await;
        sleep(self.drain_delay).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // A hint to the kernel; without it answers are only later.
        stream.set_nodelay(true).ok();
        let begun = tokio::select! {
            begun = timeout(self.config.preface_timeout, begin(stream)) => begun,
            () = self.closing() => return,
        };
        let Ok(Ok(stream)) = begun else { return };
        let server = self.clone();
        let calls = service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let connection = self.protocol().serve_connection(TokioIo::new(stream), calls);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.stop.cancelled() => return,
            () = self.closing() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn protocol(&self) -> http2::Builder<Tasks> {
        let mut builder = http2::Builder::new(Tasks(self.stop.clone()));
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.config.streams_max)
            .max_header_list_size(HEAD_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(self.config.ping_interval)
            .keep_alive_timeout(self.config.ping_timeout);
        builder
    }

    /// One call: named, bounded in time, routed.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<UntilDrain> {
        let answered = CancellationToken::new();
        let end = answered.clone().drop_guard();
        let mut request =
            request.map(|body| Body::new(UntilAnswered::new(Body::new(body), answered)));
        let request_id = name(request.headers_mut());
        request.extensions_mut().insert(Arrival { peer, request_id: request_id.clone() });
        let answer = timeout(self.config.call_timeout, self.routes.clone().oneshot(request));
        let mut response = match answer.await {
            Ok(Ok(response)) => response,
            Err(_) => status::too_slow(),
        };
        status::reword(response.headers_mut());
        response.headers_mut().insert(REQUEST_ID, request_id);
        response.map(|body| UntilDrain::new(body, self.stop.clone(), end))
    }
}

/// Reads the preface, and gives the stream as if it had not been read.
async fn begin(mut stream: TcpStream) -> io::Result<impl AsyncRead + AsyncWrite + Unpin> {
    let mut preface = [0; PREFACE.len()];
    let mut read = 0;
    // Junk is known by its first bytes, and does not hold its place until the time is over.
    while read < preface.len() {
        let more = stream.read(&mut preface[read..]).await?;
        read += more;
        if more == 0 || preface[..read] != PREFACE[..read] {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let (reader, writer) = stream.into_split();
    Ok(join(Cursor::new(preface).chain(reader), writer))
}

/// The call's id: the caller's when it may be kept, else a new one, which the handlers see too.
fn name(headers: &mut HeaderMap) -> HeaderValue {
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
