//! Callers of the batch call: each has a connection, and one call under way on it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::kept::{SENDER, name};
use super::{CONTENT_BYTES, Turn, turn};
use crate::Outcome;

/// Longest wait for an answer.
const ANSWER_WINDOW: Duration = Duration::from_secs(10);
/// Room for an answer to begin with.
const BUFFER_BYTES: usize = 64 * 1024;
/// In an answer, once for each message that was stored.
const STORED: &[u8] = br#"{"status":201,"#;

/// What every caller sends.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    /// The head up to the length.
    pub(crate) head: String,
    /// Messages of a call.
    pub(crate) items: usize,
}

/// Lets `callers` store messages for `span`, each walking through all `rooms`.
pub(crate) async fn call(
    caller: &Caller,
    rooms: usize,
    callers: usize,
    span: Duration,
) -> Outcome<Turn> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..callers {
        let first = number * rooms / callers;
        tasks.spawn(caller.clone().work(first, rooms, began + span));
    }
    let mut waits = Vec::new();
    while let Some(done) = tasks.join_next().await {
        waits.extend(done??);
    }
    Ok(turn(waits, caller.items, began.elapsed()))
}

impl Caller {
    async fn work(self, first: usize, rooms: usize, end: Instant) -> Outcome<Vec<Duration>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let content = "x".repeat(CONTENT_BYTES);
        let (mut waits, mut answer) = (Vec::new(), Vec::with_capacity(BUFFER_BYTES));
        let mut room = first;
        while Instant::now() < end {
            let request = self.request(&content, &mut room, rooms)?;
            let began = Instant::now();
            stream.write_all(request.as_bytes()).await?;
            timeout(ANSWER_WINDOW, read(&mut stream, &mut answer)).await??;
            waits.push(began.elapsed());
            let stored = count(&answer);
            if stored != self.items {
                let text = String::from_utf8_lossy(&answer);
                return Err(format!("{stored} of {} stored: {text}", self.items).into());
            }
        }
        Ok(waits)
    }

    fn request(&self, content: &str, room: &mut usize, rooms: usize) -> Outcome<String> {
        let mut body = String::from(r#"{"items":["#);
        for item in 0..self.items {
            if item > 0 {
                body.push(',');
            }
            write!(
                body,
                r#"{{"op":"send","userId":"{SENDER}","username":"bench","roomId":"{}","clientId":"{}","content":"{content}"}}"#,
                name(*room),
                Uuid::now_v7(),
            )?;
            *room = (*room + 1) % rooms;
        }
        body.push_str("]}");
        Ok(format!("{}content-length: {}\r\n\r\n{body}", self.head, body.len()))
    }
}

/// Reads one answer whole.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Outcome<()> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err("the service closed the connection".into());
        }
        if let Some(length) = whole(answer)
            && answer.len() >= length
        {
            return Ok(());
        }
    }
}

/// How long the answer is, once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(end + length?)
}

fn count(answer: &[u8]) -> usize {
    answer.windows(STORED.len()).filter(|bytes| *bytes == STORED).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), Some(41));
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"), None);
    }
}
