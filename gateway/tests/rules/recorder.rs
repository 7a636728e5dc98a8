//! An upstream that keeps every byte it receives, knows from a reader of its own when a request is
//! whole, and answers by script: what it saw is the verdict.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::strict::{self, Message, Progress};
use crate::support::PATIENCE;

/// How long the gateway may take to end a connection that it has no more use for.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

/// What came in on one connection.
#[derive(Debug, Clone)]
pub(crate) enum Saw {
    Whole(Request),
    /// The connection ended within a request.
    Unfinished(Vec<u8>),
    /// It was no sequence of well-formed requests.
    Broken {
        why: String,
        bytes: Vec<u8>,
    },
}

/// A whole request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub message: Message,
    /// Its connection had requests before it.
    pub is_reused: bool,
    pub bytes: Vec<u8>,
}

/// What the upstream does at a request for `target`, once; afterwards it is as every other.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub target: &'static str,
    pub when: When,
    pub acts: Vec<Act>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// The request's head is there.
    Head,
    /// The whole request is there.
    Whole,
}

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Send(Vec<u8>),
    /// Waits until the case says so.
    Cue,
    /// Says to the case that it has come so far.
    Tell,
    /// Lets what was sent get away, so that the next piece is another. Nothing depends on it.
    Rest,
    /// Says that nothing more is sent.
    Shut,
    /// Reads until the gateway ends the connection.
    AwaitEnd,
    /// Sends back what comes, until the gateway ends the connection.
    Echo,
    Close,
    Reset,
}

/// The upstream.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct State {
    log: Mutex<Log>,
    cue: Notify,
    told: Notify,
}

#[derive(Debug, Default)]
struct Log {
    saw: Vec<Saw>,
    scripts: Vec<Script>,
    /// Connections on which something is under way.
    busy: BTreeSet<usize>,
    connections: usize,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let mut tasks = JoinSet::new();
        let all = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = all.log().connections;
                all.log().connections += 1;
                let state = all.clone();
                connections.spawn(Connection { stream, number, state, bytes: Vec::new() }.serve());
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// Does `scripts` from now on.
    pub(crate) fn follow(&self, scripts: Vec<Script>) {
        self.state.log().scripts = scripts;
    }

    /// Lets the script go on, and waits until it tells that it has come so far.
    pub(crate) async fn cue(&self) {
        self.state.cue.notify_one();
        let told = timeout(PATIENCE, self.state.told.notified()).await;
        told.expect("the script tells that it went on");
    }

    /// What came in since it was asked last, once nothing is under way any more.
    pub(crate) async fn take(&self) -> (Vec<Saw>, Result<(), String>) {
        let settled = timeout(SETTLED_WITHIN, async {
            while !self.state.log().busy.is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let is_settled = settled.await.is_ok();
        let mut log = self.state.log();
        log.busy.clear();
        let hangs = || "the gateway never ended a connection to its upstream".to_owned();
        (std::mem::take(&mut log.saw), is_settled.then_some(()).ok_or_else(hangs))
    }
}

impl State {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }
}

impl Log {
    /// The script for `line`, if its moment has come.
    fn script(&mut self, line: &str, now: When) -> Option<Vec<Act>> {
        let target = line.split(' ').nth(1).unwrap_or_default();
        let place = self.scripts.iter().position(|s| s.target == target && s.when == now)?;
        Some(self.scripts.remove(place).acts)
    }
}

/// One connection of the gateway's.
struct Connection {
    stream: TcpStream,
    number: usize,
    state: Arc<State>,
    /// What was read and is part of no whole request.
    bytes: Vec<u8>,
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    Over,
}

impl Connection {
    async fn serve(mut self) {
        let mut is_reused = false;
        while self.request(is_reused).await == Next::Request {
            is_reused = true;
        }
        let saw = match strict::request(&self.bytes) {
            _ if self.bytes.is_empty() => None,
            Ok(Progress::Whole(message, length)) if length == self.bytes.len() => {
                Some(Saw::Whole(Request { message, is_reused, bytes: self.bytes.clone() }))
            }
            Ok(Progress::Whole(..)) => Some(self.broken("requests sent ahead".to_owned())),
            Ok(_) => Some(Saw::Unfinished(self.bytes.clone())),
            Err(why) => Some(self.broken(why)),
        };
        let mut log = self.state.log();
        log.saw.extend(saw);
        log.busy.remove(&self.number);
    }

    fn broken(&self, why: String) -> Saw {
        Saw::Broken { why, bytes: self.bytes.clone() }
    }

    /// Reads and answers one request.
    async fn request(&mut self, is_reused: bool) -> Next {
        let mut is_answered = false;
        let message = loop {
            match strict::request(&self.bytes) {
                Ok(Progress::Whole(message, length)) if length == self.bytes.len() => {
                    break message;
                }
                Ok(Progress::Whole(..)) | Err(_) => return Next::Over,
                Ok(Progress::Body(head)) if !is_answered => {
                    let acts = self.state.log().script(&head.line, When::Head);
                    is_answered = acts.is_some();
                    if self.act(acts.unwrap_or_default()).await == Next::Over {
                        return Next::Over;
                    }
                    if is_answered {
                        continue;
                    }
                }
                Ok(_) => {}
            }
            if !self.more().await {
                return Next::Over;
            }
        };
        let bytes = std::mem::take(&mut self.bytes);
        if message.line == "GET /health HTTP/1.1" && !message.fields.has("via") {
            self.state.log().busy.remove(&self.number);
            return self.act(vec![Act::Send(OK.to_vec())]).await;
        }
        let line = message.line.clone();
        let acts = {
            let mut log = self.state.log();
            log.saw.push(Saw::Whole(Request { message, is_reused, bytes }));
            let acts = log.script(&line, When::Whole);
            if acts.is_none() {
                log.busy.remove(&self.number);
            }
            acts
        };
        let echo = || if is_answered { Vec::new() } else { vec![Act::Send(echo(&line))] };
        let next = self.act(acts.unwrap_or_else(echo)).await;
        if self.bytes.is_empty() {
            self.state.log().busy.remove(&self.number);
        }
        next
    }

    async fn act(&mut self, acts: Vec<Act>) -> Next {
        for act in acts {
            match act {
                Act::Send(bytes) if self.stream.write_all(&bytes).await.is_err() => {
                    return Next::Over;
                }
                Act::Send(_) => tokio::task::yield_now().await,
                Act::Cue => self.state.cue.notified().await,
                Act::Tell => self.state.told.notify_one(),
                Act::Rest => tokio::time::sleep(Duration::from_millis(2)).await,
                // The gateway may be gone already.
                Act::Shut => drop(self.stream.shutdown().await.ok()),
                Act::AwaitEnd => {
                    while self.more().await {}
                    return Next::Over;
                }
                Act::Echo => {
                    while self.more().await {
                        let got = std::mem::take(&mut self.bytes);
                        if self.stream.write_all(&got).await.is_err() {
                            break;
                        }
                    }
                    return Next::Over;
                }
                Act::Close => return Next::Over,
                Act::Reset => {
                    SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
                    return Next::Over;
                }
            }
        }
        Next::Request
    }

    /// Reads more; `false` at the end.
    async fn more(&mut self) -> bool {
        self.bytes.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.bytes).await.unwrap_or(0);
        if read > 0 {
            self.state.log().busy.insert(self.number);
        }
        read > 0
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"status\":\"healthy\"}";

/// The answer to everything that has no script: it says what was asked.
fn echo(line: &str) -> Vec<u8> {
    let asked = line.trim_end_matches(" HTTP/1.1");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", asked.len());
    let body = if asked.starts_with("HEAD ") { "" } else { asked };
    [head.as_bytes(), body.as_bytes()].concat()
}
