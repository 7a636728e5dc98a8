//! A client of the live protocol: tungstenite, which shares no code with the service.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::world::{Chat, SOON, World};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connected client.
pub(crate) struct Client {
    pub(crate) socket: Socket,
}

/// An upgrade request for `path`.
pub(crate) fn request(chat: &Chat, path: &str, fields: &[(&'static str, &str)]) -> Request<()> {
    let mut request = format!("ws://{}{path}", chat.address).into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// What a browser asks for to hand over its token.
pub(crate) fn protocols(token: &str) -> String {
    format!("chat.v1.json, bearer.{}", URL_SAFE_NO_PAD.encode(token))
}

impl Client {
    /// Connects with whatever `request` says.
    pub(crate) async fn connect(request: Request<()>) -> (Self, Response<Option<Vec<u8>>>) {
        let (socket, response) = connect_async(request).await.unwrap();
        (Self { socket }, response)
    }

    /// The status with which an upgrade was refused.
    pub(crate) async fn refused(request: Request<()>) -> Response<Option<Vec<u8>>> {
        match connect_async(request).await {
            Err(Error::Http(response)) => *response,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Connects as the user `name` to `path`; `hello` has been heard.
    pub(crate) async fn at(world: &World, chat: &Chat, path: &str, name: &str) -> Self {
        let protocols = protocols(&world.token(name));
        let fields = [("sec-websocket-protocol", protocols.as_str())];
        let (mut client, _) = Self::connect(request(chat, path, &fields)).await;
        assert_eq!(client.hear().await["op"], "hello");
        client
    }

    /// Connects as the user `name`; `hello` has been heard.
    pub(crate) async fn open(world: &World, chat: &Chat, name: &str) -> Self {
        Self::at(world, chat, "/ws", name).await
    }

    pub(crate) async fn say(&mut self, frame: &Value) {
        self.send(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next frame that is no `ping`.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let frame = self.hear_any().await;
            if frame["op"] != "ping" {
                return frame;
            }
        }
    }

    /// The next frame, whatever it is.
    pub(crate) async fn hear_any(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    /// Says `frame`; the next frame.
    pub(crate) async fn ask(&mut self, frame: &Value) -> Value {
        self.say(frame).await;
        self.hear().await
    }

    /// Subscribes to `ch` from now on; its part of the answer.
    pub(crate) async fn subscribe(&mut self, ch: &str) -> Value {
        let ack = self.ask(&json!({"id": 1, "op": "sub", "chs": [{"ch": ch}]})).await;
        assert_eq!((&ack["op"], &ack["id"]), (&"ack".into(), &1.into()), "{ack}");
        ack["chs"][0].clone()
    }

    /// Reads to the close frame; its code, and the frames before it.
    pub(crate) async fn closed(&mut self) -> (u16, Vec<Value>) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), frames),
                Some(Ok(Message::Text(text))) => frames.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }

    async fn next(&mut self) -> Option<Result<Message, Error>> {
        timeout(SOON, self.socket.next()).await.expect("nothing came")
    }
}
