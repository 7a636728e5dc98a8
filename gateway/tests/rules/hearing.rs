//! The caller's end: sends bytes as they are cut, and reads answers as strictly as a caller may.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::case::{Before, Body, Check, Heard};
use crate::strict::{self, Asked, Message, Progress};
use crate::support::PATIENCE;

/// Between two pieces: long enough that they rarely arrive as one. Nothing depends on it.
const BETWEEN: Duration = Duration::from_millis(2);

/// What no answer may have.
const NEVER: [&str; 7] = [
    "keep-alive",
    "te",
    "trailer",
    "proxy-connection",
    "proxy-authenticate",
    "http2-settings",
    "x-user-id",
];

/// A caller's connection.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: TcpStream,
    /// What was read and is part of no whole answer.
    ahead: Vec<u8>,
    /// Everything that was read.
    pub everything: Vec<u8>,
}

/// An answer and how it ended.
enum Ended {
    Whole(Message),
    ByClose(Message),
    /// With what there was of it.
    CutOff(String),
}

impl Caller {
    pub(crate) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, ahead: Vec::new(), everything: Vec::new() }
    }

    /// Sends `pieces`, one after the other. A gateway that does not want them may be gone.
    pub(crate) async fn send(&mut self, pieces: &[&[u8]]) {
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 && pieces.len() < 10 {
                tokio::time::sleep(BETWEEN).await;
            }
            if self.stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn shut(&mut self) {
        // The gateway may be gone already.
        self.stream.shutdown().await.ok();
    }

    /// Reads more; `false` at the end.
    async fn more(&mut self) -> Result<bool, String> {
        let start = self.ahead.len();
        self.ahead.reserve(64 * 1024);
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await;
        let so_far = || format!("nothing more came behind {:?}", text(&self.everything));
        let read = read.map_err(|_| so_far())?;
        self.everything.extend_from_slice(&self.ahead[start..]);
        match read {
            Ok(read) => Ok(read > 0),
            Err(error) => Err(format!("{error} behind {:?}", text(&self.everything))),
        }
    }

    /// Nothing more comes.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        while self.more().await? {}
        if self.ahead.is_empty() {
            return Ok(());
        }
        Err(format!("the caller also read {:?}", text(&self.ahead)))
    }

    /// Reads on until `awaited` is there.
    pub(crate) async fn wait_for(&mut self, awaited: &str) -> Result<(), String> {
        let is_here = |bytes: &[u8]| bytes.windows(awaited.len()).any(|w| w == awaited.as_bytes());
        while !is_here(&self.ahead) {
            if !self.more().await? {
                return Err(format!("{awaited:?} never came"));
            }
        }
        Ok(())
    }

    /// The next bytes are `expected`.
    pub(crate) async fn bytes(&mut self, expected: &[u8]) -> Result<(), String> {
        while self.ahead.len() < expected.len() && self.more().await? {}
        if !self.ahead.starts_with(expected) {
            return Err(format!("wanted {:?}, read {:?}", text(expected), text(&self.ahead)));
        }
        self.ahead.drain(..expected.len());
        Ok(())
    }

    /// The next answer is as `heard` says.
    pub(crate) async fn hear(&mut self, heard: &Heard) -> Result<(), String> {
        let mut ended = self.answer(heard.asked).await;
        if let (Ok(Ended::Whole(message)), Before::PerhapsContinue) = (&ended, heard.before)
            && strict::status(&message.line) == Some(100)
        {
            ended = self.answer(heard.asked).await;
        }
        let ended = match (ended, &heard.body) {
            // A connection may also be reset when there is nothing good to read.
            (Err(why), Body::CutOff) if why.contains("reset") => return Ok(()),
            (ended, _) => ended?,
        };
        let (message, is_framed) = match (ended, &heard.body) {
            (Ended::CutOff(_), Body::CutOff) => return Ok(()),
            (Ended::CutOff(all), _) => return Err(format!("the answer broke off: {all:?}")),
            (Ended::Whole(message), _) => (message, true),
            (Ended::ByClose(message), _) => (message, false),
        };
        let status = strict::status(&message.line).unwrap_or_default();
        if heard.body == Body::CutOff && is_framed && status == 502 {
            return Ok(());
        }
        let shown = || format!("{}\n{}{:?}", message.line, message.fields, text(&message.body));
        let wrong = |what: String| Err(format!("{what}, in the answer\n{}", shown()));
        if status != heard.status {
            return wrong(format!("wanted {}, read {status}", heard.status));
        }
        if let Err(why) = heard.checks.iter().try_for_each(|check| check.of(&message.fields)) {
            return wrong(why);
        }
        if let Err(why) = sane(heard, status, &message) {
            return wrong(why);
        }
        if let Err(why) = body(heard, &message, is_framed) {
            return wrong(why);
        }
        Ok(())
    }

    async fn answer(&mut self, asked: Asked) -> Result<Ended, String> {
        loop {
            let is_open = match strict::answer(&self.ahead, asked)? {
                Progress::Whole(message, length) => {
                    self.ahead.drain(..length);
                    return Ok(Ended::Whole(message));
                }
                Progress::Head | Progress::Body(_) => self.more().await?,
                Progress::UntilClose(head) => {
                    while self.more().await? {}
                    let body = std::mem::take(&mut self.ahead).split_off(head.length);
                    return Ok(Ended::ByClose(Message {
                        line: head.line,
                        fields: head.fields,
                        body,
                    }));
                }
            };
            if !is_open {
                return Ok(Ended::CutOff(text(&std::mem::take(&mut self.ahead))));
            }
        }
    }
}

/// What holds for every answer.
fn sane(heard: &Heard, status: u16, message: &Message) -> Result<(), String> {
    if status < 200 {
        return Ok(());
    }
    Check::Has("x-request-id").of(&message.fields)?;
    if heard.body != Body::Problem {
        Check::Has("date").of(&message.fields)?;
    }
    NEVER.iter().try_for_each(|name| Check::Lacks(name).of(&message.fields))?;
    let fits = |value: &str| match value {
        "close" | "keep-alive" => status != 101,
        "upgrade" => matches!(status, 101 | 426),
        _ => false,
    };
    if !message.fields.all("connection").all(fits) {
        return Err("an odd connection field".to_owned());
    }
    Ok(())
}

fn body(heard: &Heard, message: &Message, is_framed: bool) -> Result<(), String> {
    match &heard.body {
        Body::Any if is_framed => Ok(()),
        Body::Is(body) if is_framed && *body == message.body => Ok(()),
        Body::ToTheEnd(body) if !is_framed && *body == message.body => Ok(()),
        Body::Problem if is_framed && heard.asked == Asked::ByHead => Ok(()),
        Body::Problem if is_framed => {
            Check::Is("content-type", "application/problem+json".into()).of(&message.fields)?;
            let problem: serde_json::Value =
                serde_json::from_slice(&message.body).map_err(|error| error.to_string())?;
            if problem["status"] == heard.status { Ok(()) } else { Err("another status".into()) }
        }
        Body::Any | Body::Is(_) | Body::ToTheEnd(_) | Body::Problem | Body::CutOff => {
            Err(format!("wanted {:?}", heard.body))
        }
    }
}

/// `bytes` as far as a reader wants to see them.
pub(crate) fn text(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(1500)];
    String::from_utf8_lossy(shown).into_owned()
}
