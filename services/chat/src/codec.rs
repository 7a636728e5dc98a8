//! WebSocket frames as a server sees them (RFC 6455 section 5), on sockets taken back from hyper.
//!
//! Pure: bytes in, messages out, and the other way round. Holds no more than the message that is
//! arriving, so an idle socket costs nothing here. Strict: whatever the standard forbids ends the
//! connection.

mod decode;
mod encode;

use contract::live::CloseCode;

pub(crate) use decode::{Decoder, Incoming};
pub(crate) use encode::{close, pong, text};

/// Most bytes in a control frame (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is (RFC 6455 section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What a peer did that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("a frame breaks RFC 6455")]
    Protocol,
    #[error("a text is no UTF-8")]
    NotUtf8,
    #[error("a message is too big")]
    TooBig,
    #[error("a frame is binary")]
    Binary,
}

impl From<Fault> for CloseCode {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol => Self::Protocol,
            Fault::NotUtf8 => Self::NotUtf8,
            Fault::TooBig => Self::TooBig,
            Fault::Binary => Self::BadFrame,
        }
    }
}
