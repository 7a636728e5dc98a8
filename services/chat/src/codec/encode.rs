//! From messages to bytes, made once and shared by every socket that sends them.

use bytes::Bytes;
use contract::live::{CloseCode, ServerFrame};
use tracing::error;

use super::{CONTROL_BYTES_MAX, Opcode};

/// Longest head of a frame to a client: two bytes and eight of length.
const HEAD_BYTES_MAX: usize = 10;
/// What is sent in place of a frame that cannot be written.
const INTERNAL: &[u8] = br#"{"op":"err","code":"internal","status":500,"retry":false}"#;

/// A text frame.
pub(crate) fn text(frame: &ServerFrame) -> Bytes {
    // The head goes in front of what is written, without a copy, once its length is known.
    let mut bytes = vec![0; HEAD_BYTES_MAX];
    if let Err(error) = serde_json::to_writer(&mut bytes, frame) {
        error!(%error, "A frame to a client cannot be written");
        bytes.truncate(HEAD_BYTES_MAX);
        bytes.extend_from_slice(INTERNAL);
    }
    with_head(Opcode::Text, bytes)
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    control(Opcode::Pong, payload)
}

/// The last frame of a connection.
pub(crate) fn close(code: CloseCode) -> Bytes {
    control(Opcode::Close, &code.as_u16().to_be_bytes())
}

fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut bytes = vec![0; HEAD_BYTES_MAX];
    bytes.extend(payload.iter().take(CONTROL_BYTES_MAX));
    with_head(opcode, bytes)
}

/// Writes the head right before the payload, which stands behind [`HEAD_BYTES_MAX`] spare bytes.
fn with_head(opcode: Opcode, mut bytes: Vec<u8>) -> Bytes {
    let length = bytes.len().saturating_sub(HEAD_BYTES_MAX);
    let first = 0x80 | opcode as u8;
    let wide = (length as u64).to_be_bytes();
    let [.., high, low] = wide;
    let head: &[u8] = match length {
        0..=125 => &[first, low],
        126..=0xFFFF => &[first, 126, high, low],
        _ => &[&[first, 127][..], &wide[..]].concat(),
    };
    let start = HEAD_BYTES_MAX - head.len();
    bytes.iter_mut().skip(start).zip(head).for_each(|(place, byte)| *place = *byte);
    Bytes::from(bytes).slice(start..)
}

#[cfg(test)]
mod tests {
    use contract::Kind;
    use contract::live::Fault;
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};

    use super::*;

    /// What tungstenite, as a client, reads from `bytes`.
    fn read(bytes: &[u8]) -> Message {
        let io = std::io::Cursor::new(bytes.to_vec());
        WebSocket::from_raw_socket(io, Role::Client, None).read().unwrap()
    }

    fn err(detail: String) -> ServerFrame {
        ServerFrame::Err(Fault {
            id: None,
            code: Kind::Invalid,
            status: 400,
            detail: Some(detail),
            retry: false,
            retry_after_ms: None,
        })
    }

    proptest! {
        #[test]
        fn a_text_frame_of_any_length_is_read_by_a_client(length in prop_oneof![0_usize..300, 65_000_usize..66_000]) {
            let frame = err("x".repeat(length));
            let expected = serde_json::to_string(&frame).unwrap();
            let got = read(&text(&frame)).into_text().unwrap();
            prop_assert_eq!(got.as_str(), expected.as_str());
        }
    }

    #[test]
    fn control_frames_are_read_by_a_client() {
        assert_eq!(read(&pong(b"hi")), Message::Pong(b"hi".to_vec().into()));
        let Message::Close(Some(close)) = read(&close(CloseCode::Draining)) else {
            panic!("no close frame")
        };
        assert_eq!(u16::from(close.code), 4503);
    }
}
