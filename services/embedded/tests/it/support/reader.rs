//! Somebody who reads a room as the protocol wants it: applies what comes next, and comes back
//! with the position when the socket ends. Fails where an event comes twice, or too far.

use serde_json::{Value, json};

use super::socket::Socket;

/// A room as one socket shows it.
#[derive(Debug)]
pub(crate) struct Reader {
    socket: Socket,
    room: String,
    /// The last position, as of an `ack` of `sub`.
    position: Value,
    /// Every event since the first `sub`, in order.
    pub(crate) events: Vec<Value>,
}

impl Reader {
    /// Begins to read `room` on `socket`, from its head on.
    pub(crate) async fn begin(mut socket: Socket, room: &str) -> Self {
        let position = socket.subscribe(room).await;
        assert!(position["head"].is_u64(), "{position}");
        Self { socket, room: room.to_owned(), position, events: Vec::new() }
    }

    /// The number of the last event.
    pub(crate) fn head(&self) -> u64 {
        self.position["head"].as_u64().unwrap()
    }

    /// Reads until the event `seq` has come, on this socket alone.
    pub(crate) async fn read_to(&mut self, seq: u64) {
        while self.head() < seq {
            if let Err(code) = self.read_one().await {
                panic!("closed with {code} at {}", self.position);
            }
        }
    }

    /// Reads until the socket ends.
    pub(crate) async fn read_to_close(&mut self) {
        while self.read_one().await.is_ok() {}
    }

    /// Goes on where it was, on another socket.
    pub(crate) async fn resume_on(&mut self, socket: Socket) {
        self.socket = socket;
        let resumed = self.socket.subscribe_since(&self.room, &self.position).await;
        assert_eq!(resumed["recovered"], true, "{resumed}");
        for event in resumed["events"].as_array().unwrap() {
            self.apply(event.clone());
        }
        assert_eq!(resumed["head"], self.position["head"], "{resumed}");
    }

    /// Asks and is answered; whatever was pushed before is read.
    pub(crate) async fn ask(&mut self, frame: Value) -> Value {
        let answer = self.socket.ask(frame).await;
        for frame in self.socket.take_kept() {
            self.take(frame);
        }
        answer
    }

    /// Everything that was on its way to this socket is read when this returns.
    pub(crate) async fn settle(&mut self) {
        assert_eq!(self.ask(json!({"op": "ping"})).await["op"], "pong");
    }

    /// The next frame; the code with which the socket was closed instead.
    async fn read_one(&mut self) -> Result<(), u16> {
        let frame = self.socket.next().await?;
        self.take(frame);
        Ok(())
    }

    fn take(&mut self, frame: Value) {
        match frame["op"].as_str() {
            Some("event") => self.apply(frame),
            Some("hello") => {}
            _ => panic!("nobody asked for {frame}"),
        }
    }

    fn apply(&mut self, event: Value) {
        let expected = self.head() + 1;
        assert_eq!(event["seq"], expected, "after {}: {event}", self.head());
        self.position["head"] = json!(expected);
        self.events.push(event);
    }
}
