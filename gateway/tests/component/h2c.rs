//! Both ends of HTTP/2 without TLS: callers that speak it well or raw, and upstreams that follow a
//! script for each connection or each request.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::{Connection, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::support::{Gateway, PATIENCE, gateway};

/// What a connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A gateway before an upstream of HTTP/2, at the route `/open`, that nobody probes.
pub(crate) async fn h2c_gateway(upstream: SocketAddr, settings: &[&str]) -> Gateway {
    let mut all =
        vec!["gateway.upstreams.chat.protocol=h2c", "gateway.routes.socket.websocket=false"];
    all.extend(UNPROBED);
    all.extend(settings);
    gateway(upstream, &all).await
}

/// Settings with which no upstream is probed.
pub(crate) const UNPROBED: [&str; 3] = [
    "gateway.upstreams.user.health_path=\"\"",
    "gateway.upstreams.chat.health_path=\"\"",
    "gateway.upstreams.message.health_path=\"\"",
];

/// Something that takes no longer than it may.
pub(crate) async fn soon<F: Future>(what: F) -> F::Output {
    timeout(PATIENCE, what).await.expect("in time")
}

/// A caller that speaks HTTP/2.
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
    pub driver: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Whole {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// The value of the field `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The value of the trailer `name`.
    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.as_ref()?.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.running.address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        Self { sender, driver: TaskTracker::new().spawn(connection) }
    }

    /// Begins a request whose body is still to come.
    pub(crate) async fn begin(&self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = soon(self.sender.clone().ready()).await.unwrap();
        sender.send_request(request, false).unwrap()
    }

    /// The answer to a request with a body and perhaps trailers.
    pub(crate) async fn call(
        &self,
        request: Request<()>,
        body: &'static [u8],
        trailers: Option<HeaderMap>,
    ) -> Result<Whole, h2::Error> {
        let (answer, mut stream) = self.begin(request).await;
        match trailers {
            None => stream.send_data(Bytes::from_static(body), true)?,
            Some(trailers) => {
                stream.send_data(Bytes::from_static(body), false)?;
                stream.send_trailers(trailers)?;
            }
        }
        soon(whole(answer)).await
    }

    /// The answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Whole, h2::Error> {
        let mut sender = soon(self.sender.clone().ready()).await?;
        let request = Request::get(format!("http://hub{path}")).body(()).unwrap();
        soon(whole(sender.send_request(request, true)?.0)).await
    }
}

/// Reads an answer to its end.
pub(crate) async fn whole(answer: ResponseFuture) -> Result<Whole, h2::Error> {
    let (parts, mut stream) = answer.await?.into_parts();
    let body = data(&mut stream).await?;
    let trailers = stream.trailers().await?;
    Ok(Whole { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// Reads the data of a body.
pub(crate) async fn data(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len()).unwrap();
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// A POST to `path`, as gRPC has it.
pub(crate) fn grpc(path: &str) -> Request<()> {
    Request::post(format!("http://hub{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// A caller that writes frames by hand.
pub(crate) struct Raw(pub TcpStream);

/// A frame as a peer got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// Types of frames (RFC 9113 section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
/// Flags of them.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Fields as literals that nobody remembers (RFC 7541 section 6.2.2).
pub(crate) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap();
        [&[length], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The fields that every request has, and `more`.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "hub")];
    fields(&[&first, more].concat())
}

impl Raw {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        let mut raw = Self(TcpStream::connect(gateway.running.address).await.unwrap());
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon(self.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame that is one of `kinds`; `None` at the end.
    pub(crate) async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}

/// A request as an upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    pub method: String,
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

/// An upstream that speaks HTTP/2.
pub(crate) struct Up {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Sight>>>,
    listening: JoinHandle<()>,
}

impl Up {
    /// One that does `script` on each connection, counted from 0.
    pub(crate) async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Connection<TcpStream, Bytes>, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::with(h2::server::Builder::new(), script).await
    }

    /// As [`Up::start`], with settings of its own.
    pub(crate) async fn with<F, Fut>(builder: h2::server::Builder, script: F) -> Self
    where
        F: Fn(Connection<TcpStream, Bytes>, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        let tasks = TaskTracker::new();
        let inner = tasks.clone();
        let listening = tasks.spawn(async move {
            let script = Arc::new(script);
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (script, builder) = (script.clone(), builder.clone());
                inner.spawn(async move {
                    if let Ok(connection) = builder.handshake(stream).await {
                        script(connection, number).await;
                    }
                });
            }
        });
        Self { address, connections, seen: Arc::default(), listening }
    }

    /// One that does `script` for each request.
    pub(crate) async fn serving<F, Fut>(script: F) -> Self
    where
        F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::start(move |mut connection, _| {
            let script = script.clone();
            async move {
                let tasks = TaskTracker::new();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tasks.spawn(script(request, respond));
                }
            }
        })
        .await
    }

    /// One that remembers each request, and answers with its body as a call of gRPC is answered.
    pub(crate) async fn echo() -> Self {
        let seen = Arc::<Mutex<Vec<Sight>>>::default();
        let all = seen.clone();
        let up = Self::serving(move |request, respond| {
            let all = all.clone();
            async move {
                let sight = read(request).await;
                let body = sight.body.clone();
                all.lock().unwrap().push(sight);
                answer(respond, body.into());
            }
        })
        .await;
        Self { seen, ..up }
    }

    /// Takes no more connections; those that are there go on.
    pub(crate) async fn close(&mut self) {
        self.listening.abort();
        assert!((&mut self.listening).await.unwrap_err().is_cancelled());
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The only request that it saw.
    #[track_caller]
    pub(crate) fn saw_one(&self) -> Sight {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

/// Reads a request to its end.
pub(crate) async fn read(request: Request<RecvStream>) -> Sight {
    let (parts, mut stream) = request.into_parts();
    let body = data(&mut stream).await.unwrap_or_default();
    let trailers = stream.trailers().await.unwrap_or_default();
    let (method, uri) = (parts.method.to_string(), parts.uri.to_string());
    Sight { method, uri, headers: parts.headers, body, trailers }
}

/// Answers a call with one part and the status 0 behind it.
pub(crate) fn answer(mut respond: SendResponse<Bytes>, body: Bytes) {
    // The gateway may have gone away.
    if let Ok(mut stream) = respond.send_response(head(), false) {
        stream.send_data(body, false).ok();
        stream.send_trailers(ended("0")).ok();
    }
}

/// The head of an answer to a call.
pub(crate) fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// The trailers of an answer that ends with `status`.
pub(crate) fn ended(status: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static(status));
    trailers
}
