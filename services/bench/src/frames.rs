//! WebSocket frames, as far as a load needs them (RFC 6455 section 5.2), and the handshake before.

use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::Outcome;

/// The key of every handshake: nothing is secret here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// A whole, binary message.
const WHOLE_BINARY: u8 = 0x82;
/// Before the length: the payload is masked.
const MASKED: u8 = 0x80;
/// In place of a short length: two bytes of length follow.
const TWO_BYTES: u8 = 0x7e;
/// In place of a short length: eight bytes of length follow.
const EIGHT_BYTES: u8 = 0x7f;
/// Bytes of a mask. It is all zero: the payload stays as it is.
const MASK: [u8; 4] = [0; 4];

/// Who sent a frame: a client masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    Server,
}

/// A frame at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes before the payload.
    pub(crate) head: usize,
    /// Bytes of the whole frame.
    pub(crate) whole: usize,
}

/// Appends a message of `payload` to `out`.
pub(crate) fn write(out: &mut Vec<u8>, by: By, payload: &[u8]) {
    let masked = if by == By::Client { MASKED } else { 0 };
    out.push(WHOLE_BINARY);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < TWO_BYTES => out.push(masked | short),
        (_, Ok(middle)) => {
            out.push(masked | TWO_BYTES);
            out.extend(middle.to_be_bytes());
        }
        _ => {
            out.push(masked | EIGHT_BYTES);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if by == By::Client {
        out.extend(MASK);
    }
    out.extend_from_slice(payload);
}

/// The frame at the beginning of `bytes`; `None` while it is not all there. Whatever is not a whole
/// message by `by` as [`write()`] writes it is a fault.
pub(crate) fn first(bytes: &[u8], by: By) -> Outcome<Option<Frame>> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    if first != WHOLE_BINARY || (second & MASKED != 0) != (by == By::Client) {
        return Err(format!("a frame begins with {first:#x} {second:#x}").into());
    }
    let (length, size) = match second & !MASKED {
        TWO_BYTES => (rest.first_chunk().map(|size| u64::from(u16::from_be_bytes(*size))), 2),
        EIGHT_BYTES => (rest.first_chunk().map(|size| u64::from_be_bytes(*size)), 8),
        short => (Some(u64::from(short)), 0),
    };
    let Some(length) = length else { return Ok(None) };
    let mask = if by == By::Client { MASK.len() } else { 0 };
    let head = 2 + size + mask;
    let whole = head + usize::try_from(length)?;
    Ok((bytes.len() >= whole).then_some(Frame { head, whole }))
}

/// The request that opens a WebSocket.
pub(crate) fn handshake(address: SocketAddr, token: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// The answer to the handshake in `head`, which ends with a blank line.
pub(crate) fn accept(head: &[u8]) -> Outcome<String> {
    let text = std::str::from_utf8(head)?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut keys = fields.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = keys.next().ok_or("no WebSocket was asked for")?;
    let accept = derive_accept_key(key.trim().as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// How long the head of `answer` is, which has to accept; `None` while it is not all there.
pub(crate) fn accepted(answer: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head])?;
    let expected = derive_accept_key(KEY.as_bytes());
    if text.starts_with("HTTP/1.1 101") && text.contains(&expected) {
        return Ok(Some(head + 4));
    }
    Err(format!("no WebSocket was opened: {}", text.lines().next().unwrap_or("")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_was_written_is_read_when_it_is_all_there() {
        for size in [0, 125, 126, 16_384, 65_535, 65_536] {
            for by in [By::Client, By::Server] {
                let mut bytes = Vec::new();
                write(&mut bytes, by, &vec![7; size]);
                let cut = &bytes[..bytes.len() - 1];
                assert_eq!(first(cut, by).unwrap(), None, "{size} {by:?}");
                let frame = first(&bytes, by).unwrap().unwrap();
                assert_eq!((frame.whole, frame.whole - frame.head), (bytes.len(), size));
            }
        }
    }

    #[test]
    fn a_foreign_frame_is_a_fault() {
        assert!(first(&[0x88, 2, 3, 232], By::Server).is_err(), "a close");
        assert!(first(&[0x82, 0x81, 0, 0, 0, 0, 1], By::Server).is_err(), "a masked one");
        assert_eq!(first(&[0x82], By::Server).unwrap(), None);
    }

    #[test]
    fn a_handshake_is_accepted_and_a_refusal_is_not() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let answer = accept(handshake(address, "t").as_bytes()).unwrap();
        assert_eq!(accepted(answer.as_bytes()).unwrap(), Some(answer.len()));
        assert_eq!(accepted(&answer.as_bytes()[..20]).unwrap(), None);
        assert!(accepted(b"HTTP/1.1 401 No\r\n\r\n").is_err());
        assert!(accept(b"GET / HTTP/1.1\r\n\r\n").is_err());
    }
}
