//! A socket that speaks `chat.v1.json`, as a client in another language would write it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use super::PATIENCE;

/// One connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Frames that came while another was wanted.
    kept: Vec<Value>,
    asked: u64,
}

impl Socket {
    /// Opens `path`; the token travels as a subprotocol, as from a browser.
    pub(crate) async fn open(base: &str, path: &str, token: Option<&str>) -> Self {
        let url = format!("{}{path}", base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let mut protocols = "chat.v1.json".to_owned();
        if let Some(token) = token {
            protocols.push_str(", bearer.");
            protocols.push_str(&URL_SAFE_NO_PAD.encode(token));
        }
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        let (stream, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v1.json");
        Self { stream, kept: Vec::new(), asked: 0 }
    }

    /// The next frame; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["op"] == "ping" {
                        self.tell(&json!({"op": "pong"})).await;
                        continue;
                    }
                    return Ok(frame);
                }
                Some(Ok(Message::Close(close))) => {
                    return Err(close.map_or(1005, |close| close.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// The first frame that `wanted` likes; others are kept.
    pub(crate) async fn want(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.kept.iter().position(&wanted) {
            return self.kept.remove(place);
        }
        loop {
            let frame = self
                .next()
                .await
                .unwrap_or_else(|code| panic!("closed with {code}; kept {:?}", self.kept));
            if wanted(&frame) {
                return frame;
            }
            self.kept.push(frame);
        }
    }

    /// The frames that came while others were wanted, in order.
    pub(crate) fn take_kept(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.kept)
    }

    pub(crate) async fn want_op(&mut self, op: &str) -> Value {
        self.want(|frame| frame["op"] == op).await
    }

    /// The next event of the kind `message.created`.
    pub(crate) async fn want_message(&mut self) -> Value {
        self.want(|frame| frame["op"] == "event" && frame["type"] == "message.created").await
    }

    /// Sends a request and gives its `ack` or `err`.
    pub(crate) async fn ask(&mut self, mut frame: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        frame["id"] = json!(id);
        self.tell(&frame).await;
        self.want(|frame| frame["id"] == id).await
    }

    pub(crate) async fn subscribe(&mut self, room: &str) -> Value {
        let ack = self.ask(json!({"op": "sub", "chs": [{"ch": format!("room:{room}")}]})).await;
        ack["chs"][0].clone()
    }

    pub(crate) async fn subscribe_since(&mut self, room: &str, position: &Value) -> Value {
        let since = json!({"epoch": position["epoch"], "seq": position["head"]});
        let channel = json!({"ch": format!("room:{room}"), "since": since});
        self.ask(json!({"op": "sub", "chs": [channel]})).await["chs"][0].clone()
    }

    pub(crate) async fn send(&mut self, room: &str, content: &str) -> Value {
        let client = Uuid::now_v7();
        let channel = format!("room:{room}");
        self.ask(json!({"op": "send", "ch": channel, "clientId": client, "content": content})).await
    }

    pub(crate) async fn tell(&mut self, frame: &Value) {
        self.raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The code with which the other side closes.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}
