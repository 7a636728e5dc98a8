//! A gateway, a caller that speaks bytes, and upstreams that follow a script and remember what they
//! saw.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::config::{Layers, Settings as _};
use chassis::running::Drained;
use chassis::{Bus, Clock, Deps, Random, Running};
use gateway::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Nothing in a test takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `fact` is true.
pub(crate) async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !fact() {
        assert!(Instant::now() < end, "it never happened that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A started gateway.
pub(crate) struct Gateway {
    pub running: Running,
    pub data: TempDir,
    /// `host:port` of the operators' listener.
    pub admin: String,
}

/// Starts a gateway whose upstreams are all at `upstream`, with more settings. The route `/open`
/// needs no token.
pub(crate) async fn gateway(upstream: SocketAddr, settings: &[&str]) -> Gateway {
    let data = tempfile::tempdir().unwrap();
    let mut layers = Layers::defaults();
    let endpoint = format!("[\"http://{upstream}\"]");
    for setting in [
        "gateway.listen=127.0.0.1:0",
        "gateway.admin_listen=127.0.0.1:0",
        "gateway.threads=2",
        "gateway.quota.enabled=false",
        "gateway.access_log.to=access.log",
        "gateway.access_log.interval=50ms",
        "gateway.health.interval=1h",
        "gateway.routes.open.prefix=/open",
        "gateway.routes.open.upstream=chat",
        "gateway.routes.open.auth=none",
        "gateway.routes.open.rewrite=/",
        &format!("gateway.upstreams.user.endpoints={endpoint}"),
        &format!("gateway.upstreams.chat.endpoints={endpoint}"),
        &format!("gateway.upstreams.message.endpoints={endpoint}"),
        "gateway.auth.jwks_url=http://127.0.0.1:1/",
        "gateway.auth.revocations_url=",
        "gateway.auth.exchange_url=",
    ]
    .iter()
    .chain(settings)
    {
        layers.command_line(setting);
    }
    let config = Config::read(&layers).unwrap_or_else(|faults| panic!("{faults}"));
    let deps = Deps {
        bus: Bus::local(16),
        clock: Clock::System,
        random: Random::System,
        data: data.path().to_owned(),
    };
    let running = gateway::start(config, deps).await.unwrap();
    let admin = running.lines.iter().find(|(label, _)| label == "admin").unwrap();
    let admin = admin.1.trim_start_matches("http://").to_owned();
    Gateway { running, data, admin }
}

impl Gateway {
    /// A new connection.
    pub(crate) async fn connect(&self) -> Caller {
        Caller::connect(&self.running.address.to_string()).await
    }

    /// The answer to one request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut caller = self.connect().await;
        caller.send(request).await;
        caller.answer().await
    }

    /// The answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n")).await
    }

    /// The answer to a GET with a token.
    pub(crate) async fn get_as(&self, path: &str, token: &str) -> Answer {
        let fields = format!("Host: hub\r\nAuthorization: Bearer {token}\r\n");
        self.ask(&format!("GET {path} HTTP/1.1\r\n{fields}\r\n")).await
    }

    /// What the operators' listener says.
    pub(crate) async fn operator(&self, path: &str) -> Answer {
        let mut caller = Caller::connect(&self.admin).await;
        caller.send(&format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n")).await;
        caller.answer().await
    }

    /// Drains within `grace`.
    pub(crate) async fn drain(self, grace: Duration) -> Drained {
        self.running.drain(grace).await
    }
}

/// Somebody with a socket.
pub(crate) struct Caller {
    pub stream: TcpStream,
    /// What was read and not yet looked at.
    pub ahead: Vec<u8>,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of the field `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// It is the problem `kind` with `status`, complete as the contract says.
    #[track_caller]
    pub(crate) fn is_problem(&self, kind: &str, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:hubbub:problem:{kind}"), "{self:?}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["requestId"].as_str(), self.field("x-request-id"));
        assert!(problem["error"].is_string() && problem["title"].is_string());
    }
}

/// The value of the field `name` in the text of a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Caller {
    pub(crate) async fn connect(address: &str) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), ahead: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads more; `false` at the end, or when the connection broke.
    pub(crate) async fn more(&mut self) -> bool {
        self.ahead.reserve(65_536);
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await;
        read.expect("bytes, or the end").unwrap_or(0) > 0
    }

    /// Reads until the connection ends.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.ahead)).into_owned()
    }

    /// Reads up to and including the next empty line.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                let head = std::mem::replace(&mut self.ahead, rest);
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads exactly `length` bytes, or fewer at the end.
    pub(crate) async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length && self.more().await {}
        let rest = self.ahead.split_off(length.min(self.ahead.len()));
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Reads a chunked body; `None` when it breaks off.
    pub(crate) async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.ahead.windows(2).position(|w| w == b"\r\n") {
                    break end;
                }
                if !self.more().await {
                    return None;
                }
            };
            let line = self.exactly(end + 2).await;
            let size = usize::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()?;
            let part = self.exactly(size + 2).await;
            if part.len() < size + 2 {
                return None;
            }
            if size == 0 {
                return Some(body);
            }
            body.extend_from_slice(&part[..size]);
        }
    }

    /// Whether the first request on this connection is a probe.
    async fn is_a_probe(&self) -> bool {
        const PROBE: &[u8] = b"GET /health ";
        let mut first = [0; PROBE.len()];
        loop {
            let read = self.stream.peek(&mut first).await.unwrap_or(0);
            if read == 0 || read == PROBE.len() || first[..read] != PROBE[..read] {
                return first == PROBE;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn answer_probes(mut self) {
        let body = "{\"status\":\"healthy\"}";
        while self.head().await.is_some() {
            self.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{body}")).await;
        }
    }

    /// Reads an answer, but for 100.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await.expect("an answer");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = match (field(&head, "content-length"), field(&head, "transfer-encoding")) {
            (Some(length), _) => self.exactly(length.parse().unwrap()).await,
            (None, Some(_)) => self.chunks().await.expect("a whole body"),
            (None, None) => Vec::new(),
        };
        Answer { status, head, body: String::from_utf8(body).unwrap() }
    }
}

/// A request as an upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Saw {
    pub head: String,
    pub body: Vec<u8>,
}

impl Saw {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }
}

/// An upstream that follows a script. Probes are answered well, and not remembered.
pub(crate) struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Saw>>>,
    connections: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

/// One connection of a gateway to an upstream.
pub(crate) struct Peer {
    pub caller: Caller,
    /// Counted from 0.
    pub number: usize,
    seen: Arc<Mutex<Vec<Saw>>>,
}

impl Upstream {
    /// An upstream that does `script` on each connection.
    pub(crate) async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// As [`Upstream::start`], where somebody listens already.
    pub(crate) fn listening<F, Fut>(listener: TcpListener, script: F) -> Self
    where
        F: Fn(Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Saw>>>::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let (all, count) = (seen.clone(), connections.clone());
        let tasks = tokio_util::task::TaskTracker::new();
        let inner = tasks.clone();
        let listening = tasks.spawn(async move {
            let script = Arc::new(script);
            while let Ok((stream, _)) = listener.accept().await {
                let (script, all, count) = (script.clone(), all.clone(), count.clone());
                inner.spawn(async move {
                    let caller = Caller { stream, ahead: Vec::new() };
                    if caller.is_a_probe().await {
                        return caller.answer_probes().await;
                    }
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    script(Peer { caller, number, seen: all }).await;
                });
            }
        });
        Self { address, seen, connections, listening }
    }

    /// An upstream that answers every request with `answer`.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::start(move |mut peer| {
            let answer = answer.clone();
            async move {
                while peer.request().await.is_some() {
                    peer.caller.send(answer.as_bytes()).await;
                }
            }
        })
        .await
    }

    /// An upstream that says ok.
    pub(crate) async fn ok() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// Every request that it saw.
    pub(crate) fn saw(&self) -> Vec<Saw> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that it saw.
    #[track_caller]
    pub(crate) fn saw_one(&self) -> Saw {
        let saw = self.saw();
        assert_eq!(saw.len(), 1, "{saw:?}");
        saw.into_iter().next().unwrap()
    }

    /// Takes no more connections; those that are there go on.
    pub(crate) async fn close(&mut self) {
        self.listening.abort();
        assert!((&mut self.listening).await.unwrap_err().is_cancelled());
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Peer {
    /// Reads and remembers the next request.
    pub(crate) async fn request(&mut self) -> Option<Saw> {
        let head = self.caller.head().await?;
        let body = match (field(&head, "content-length"), field(&head, "transfer-encoding")) {
            (Some(length), _) => self.caller.exactly(length.parse().unwrap()).await,
            (None, Some(_)) => self.caller.chunks().await?,
            (None, None) => Vec::new(),
        };
        let saw = Saw { head, body };
        self.seen.lock().unwrap().push(saw.clone());
        Some(saw)
    }

    /// Remembers a head without waiting for its body.
    pub(crate) async fn only_head(&mut self) -> Option<Saw> {
        let head = self.caller.head().await?;
        let saw = Saw { head, body: Vec::new() };
        self.seen.lock().unwrap().push(saw.clone());
        Some(saw)
    }
}
