//! Senders on sockets, each waiting for the acknowledgement of one message before it sends the
//! next: what counts is acknowledged, and acknowledged is synced.

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::Outcome;
use crate::machine::Place;
use crate::program::Process;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longest wait for one acknowledgement.
const ACK_WINDOW: Duration = Duration::from_secs(10);
/// Users of one benchmark: a user may have ten sockets.
const SENDERS_PER_USER: usize = 8;
/// Bytes of a message.
pub(crate) const CONTENT_BYTES: usize = 256;

/// What came of a stretch of sending.
#[derive(Debug, Clone)]
pub(crate) struct Sends {
    /// Time from send to acknowledgement, sorted.
    pub(crate) waits: Vec<Duration>,
    /// From the first send to the last acknowledgement.
    pub(crate) span: Duration,
}

impl Sends {
    /// The wait that `share` of all messages do not exceed.
    pub(crate) fn percentile(&self, share: usize) -> Duration {
        self.waits.get(self.waits.len() * share / 100).copied().unwrap_or_default()
    }
}

/// A whole hubbub in `folder` that lets senders send as fast as they can, with further settings.
pub(crate) fn hubbub(
    folder: &Path,
    (place, load): (Place, Place),
    further: &[String],
) -> Outcome<Process> {
    let mut arguments = vec!["--data".to_owned(), folder.join("data").display().to_string()];
    let settings = [
        "gateway.listen=127.0.0.1:0",
        "gateway.admin_listen=127.0.0.1:0",
        "user.listen=127.0.0.1:0",
        "user.grpc_listen=127.0.0.1:0",
        "chat.listen=127.0.0.1:0",
        "message.listen=127.0.0.1:0",
        "gateway.quota.enabled=false",
        "gateway.access_log.to=access.log",
        "chat.ws.frames_per_second=1000000",
        "chat.ws.frames_burst=1000000",
    ];
    for setting in settings.map(str::to_owned).iter().chain(further) {
        arguments.extend(["--set".to_owned(), setting.clone()]);
    }
    Process::own("hubbub", place, load, &arguments, "Ctrl-C")
}

/// Lets `senders` talk in `rooms` rooms at `base` for `span`.
pub(crate) async fn send(
    base: &str,
    senders: usize,
    rooms: usize,
    span: Duration,
) -> Outcome<Sends> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut sockets = Vec::new();
    let mut token = String::new();
    let mut ids = Vec::new();
    for sender in 0..senders {
        if sender % SENDERS_PER_USER == 0 {
            token = register(&http, base).await?;
            ids = rooms_of(&http, base, &token, rooms).await?;
        }
        sockets.push((open(base, &token).await?, ids[sender % rooms].clone()));
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (socket, room) in sockets {
        tasks.spawn(talk(socket, room, began + span));
    }
    let mut waits = Vec::new();
    while let Some(done) = tasks.join_next().await {
        waits.extend(done??);
    }
    waits.sort_unstable();
    Ok(Sends { waits, span: began.elapsed() })
}

async fn register(http: &reqwest::Client, base: &str) -> Outcome<String> {
    let name = format!("u{}", &Uuid::new_v4().simple().to_string()[..12]);
    let body = json!({
        "username": name, "email": format!("{name}@example.com"), "password": "password123",
    });
    let url = format!("{base}/api/auth/register");
    let session: Value = http.post(url).json(&body).send().await?.json().await?;
    Ok(session["token"].as_str().ok_or("registering gave no token")?.to_owned())
}

/// Rooms `bench-0` and so on; whoever comes first makes them, the others join.
async fn rooms_of(
    http: &reqwest::Client,
    base: &str,
    token: &str,
    rooms: usize,
) -> Outcome<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..rooms {
        let id = format!("bench-{number}");
        let body = json!({"id": id, "name": id});
        let make = http.post(format!("{base}/api/chat/rooms")).bearer_auth(token).json(&body);
        make.send().await?;
        let join = http.post(format!("{base}/api/chat/rooms/{id}/join")).bearer_auth(token);
        join.json(&json!({})).send().await?.error_for_status()?;
        ids.push(id);
    }
    Ok(ids)
}

async fn open(base: &str, token: &str) -> Outcome<Socket> {
    let url = format!("{}/api/chat/ws", base.replacen("http", "ws", 1));
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
    frame(&mut socket, "hello").await?;
    Ok(socket)
}

async fn talk(mut socket: Socket, room: String, end: Instant) -> Outcome<Vec<Duration>> {
    let content = "x".repeat(CONTENT_BYTES);
    let channel = format!("room:{room}");
    let mut waits = Vec::new();
    while Instant::now() < end {
        let send = json!({
            "id": waits.len() + 1, "op": "send", "ch": channel, "clientId": Uuid::now_v7(),
            "content": content,
        });
        let began = Instant::now();
        socket.send(Message::text(send.to_string())).await?;
        frame(&mut socket, "ack").await?;
        waits.push(began.elapsed());
    }
    Ok(waits)
}

/// The next frame `op`; pings are answered, an `err` ends the benchmark.
async fn frame(socket: &mut Socket, op: &str) -> Outcome<Value> {
    loop {
        let message = timeout(ACK_WINDOW, socket.next()).await?.ok_or("the socket closed")??;
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        match frame["op"].as_str() {
            Some(found) if found == op => return Ok(frame),
            Some("err") => return Err(format!("refused: {frame}").into()),
            Some("ping") => socket.send(Message::text(r#"{"op":"pong"}"#)).await?,
            _ => {}
        }
    }
}
