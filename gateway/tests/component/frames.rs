//! Frames of WebSockets as tests write and read them (RFC 6455 section 5.2).

use crate::support::Caller;

/// A frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// Who sent a frame; callers mask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Caller,
    Upstream,
}

impl Frame {
    pub(crate) fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self { first: 0x82, payload: payload.into() }
    }

    pub(crate) fn close(code: u16) -> Self {
        Self { first: 0x88, payload: code.to_be_bytes().into() }
    }

    pub(crate) fn encode(&self, from: From) -> Vec<u8> {
        let length = self.payload.len();
        let mut bytes = vec![self.first];
        match length {
            0..=125 => bytes.push(u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        let mut mask = [0; 4];
        if from == From::Caller {
            bytes[1] |= 0x80;
            mask = [0x88, 2, 3, 0xf4];
            bytes.extend(mask);
        }
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, m)| byte ^ m));
        bytes
    }
}

/// The next frame that `from` sent, as `reader` gets it; none at the end.
pub(crate) async fn frame(reader: &mut Caller, from: From) -> Option<Frame> {
    let start = reader.exactly(2).await;
    let [first, second] = start[..] else {
        assert!(start.is_empty(), "half a header: {start:?}");
        return None;
    };
    assert_eq!(second & 0x80 != 0, from == From::Caller, "masked by the right side only");
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes(reader.exactly(2).await.try_into().unwrap())),
        127 => u64::from_be_bytes(reader.exactly(8).await.try_into().unwrap()),
        short => u64::from(short),
    };
    let mask = if from == From::Caller { reader.exactly(4).await } else { vec![0; 4] };
    let mut payload = reader.exactly(usize::try_from(length).unwrap()).await;
    assert_eq!(payload.len() as u64, length, "half a frame");
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, m)| *byte ^= m);
    Some(Frame { first, payload })
}

/// The next frame is the gateway's Close with `code`, and then nothing comes.
#[track_caller]
pub(crate) fn is_last(frames: &[Frame], code: u16) {
    assert_eq!(frames.last(), Some(&Frame::close(code)), "of {}", frames.len());
    let closes = frames.iter().filter(|frame| frame.first & 0x0f == 8).count();
    assert_eq!(closes, 1, "one Close and nothing behind it");
}

/// Every frame until the end.
pub(crate) async fn frames(reader: &mut Caller, from: From) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = frame(reader, from).await {
        frames.push(frame);
    }
    frames
}
