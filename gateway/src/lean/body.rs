//! A body on its way: how much of some bytes belongs to it, and what of that goes on.

use crate::limits::Framing;
use crate::wire::{AnswerFraming, Broken, Chunks, Stripped};

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Chunks),
    /// Everything, up to the end of the connection.
    UntilClose,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::new()),
        }
    }
}

impl From<AnswerFraming> for Body {
    fn from(framing: AnswerFraming) -> Self {
        match framing {
            AnswerFraming::None => Self::Length(0),
            AnswerFraming::Length(length) => Self::Length(length),
            AnswerFraming::Chunked => Self::Chunked(Chunks::new()),
            AnswerFraming::UntilClose => Self::UntilClose,
        }
    }
}

impl Body {
    /// Takes what belongs to the body from the front of `bytes`; what goes on of it moves together
    /// there.
    pub(crate) fn take(&mut self, bytes: &mut [u8]) -> Result<Stripped, Broken> {
        let plain = |taken: usize| Stripped { read: taken, kept: taken, data: taken as u64 };
        Ok(match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                plain(taken)
            }
            Self::Chunked(chunks) => chunks.strip(bytes)?,
            Self::UntilClose => plain(bytes.len()),
        })
    }

    /// Whether nothing of it is still to come.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::UntilClose => false,
        }
    }

    /// Whether it is known that more than `most` bytes are still to come.
    pub(crate) const fn is_longer_than(&self, most: u64) -> bool {
        matches!(self, Self::Length(left) if *left > most)
    }
}
