//! The request that every peer gets, and the plainest client for it: one at a time, waiting.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Outcome;

/// Longest wait for an answer where nothing is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// `GET path` with a token, as bytes.
pub(crate) fn get(address: SocketAddr, path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// Opens a connection.
pub(crate) fn open(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WINDOW))?;
    Ok(stream)
}

/// Sends `request` and waits for its answer, whose body has to be so many times `x`.
pub(crate) fn send(stream: &mut TcpStream, request: &str, body_bytes: usize) -> Outcome<()> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err("the connection was closed before the answer's end".into());
        }
        answer.extend_from_slice(&part[..read]);
        if let Some(whole) = whole(&answer)? {
            return check(&answer, whole, body_bytes);
        }
    }
}

fn check(answer: &[u8], whole: Whole, body_bytes: usize) -> Outcome<()> {
    let body = answer.get(whole.head..).unwrap_or_default();
    if body.len() != body_bytes || !body.iter().all(|byte| *byte == b'x') {
        return Err(format!("the answer's body has {} other bytes", body.len()).into());
    }
    Ok(())
}

/// Bytes of a complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) head: usize,
    pub(crate) body: usize,
}

/// How long the whole answer is; `None` while it is not all there. Any status but 200 is a fault.
pub(crate) fn whole(answer: &[u8]) -> Outcome<Option<Whole>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head])?;
    if !text.starts_with("HTTP/1.1 200") {
        return Err(format!("the answer was {}", text.lines().next().unwrap_or("")).into());
    }
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, body) = lengths.next().ok_or("the answer has no length")?;
    let whole = Whole { head: head + 4, body: body.trim().parse()? };
    Ok((answer.len() >= whole.head + whole.body).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 3\r\n\r\nxxx";
        for cut in 0..answer.len() {
            assert_eq!(whole(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(whole(answer).unwrap(), Some(Whole { head: answer.len() - 3, body: 3 }));
    }

    #[test]
    fn anything_but_a_200_with_a_length_is_a_fault() {
        assert!(whole(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(whole(b"HTTP/1.1 204 No\r\n\r\n").is_err());
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn another_body_is_not_taken_for_the_upstreams() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxxx";
        let whole = whole(answer).unwrap().unwrap();
        assert!(check(answer, whole, 3).is_ok());
        assert!(check(answer, whole, 4).is_err());
        assert!(check(&answer.map(|byte| byte.max(b'y')), whole, 3).is_err());
    }
}
