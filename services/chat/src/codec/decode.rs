//! From bytes to messages, however the bytes were split on their way.

use super::{CONTROL_BYTES_MAX, Fault, Opcode};

/// Longest head of a frame from a client: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;

/// A message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    Text(String),
    /// To be answered with a pong of the same bytes.
    Ping(Vec<u8>),
    Pong,
    /// The client wants to end it, for this reason if it gave one.
    Close(Option<u16>),
}

/// Puts messages together. After a [`Fault`] or an [`Incoming::Close`] it has had its day.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Most bytes of a message, however many frames it comes in.
    message_bytes_max: usize,
    head: PartialHead,
    frame: Option<Frame>,
    /// The text that is arriving, over as many frames as it takes.
    message: Option<Vec<u8>>,
    /// The payload of the control frame that is arriving, maybe in the middle of a text.
    control: Vec<u8>,
}

/// A frame whose head has arrived.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    mask: [u8; 4],
    length: u64,
    /// Payload bytes that have arrived.
    arrived: u64,
}

impl Decoder {
    pub(crate) const fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            head: PartialHead::new(),
            frame: None,
            message: None,
            control: Vec::new(),
        }
    }

    /// The next message from `input`, which is moved on behind what was read; `None` when it is
    /// used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Fault> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.head.fill(input)? {
                    Some(frame) => self.begin(frame)?,
                    None => return Ok(None),
                },
            };
            let Some(frame) = self.take_payload(frame, input) else { return Ok(None) };
            if let Some(message) = self.finish(frame)? {
                return Ok(Some(message));
            }
        }
    }

    /// Judges a frame by its head: a message that would be too big is refused before it comes.
    fn begin(&mut self, frame: Frame) -> Result<Frame, Fault> {
        match (frame.opcode, &self.message) {
            (Opcode::Binary, None) => return Err(Fault::Binary),
            (Opcode::Text, None) => self.message = Some(Vec::new()),
            (Opcode::Continuation, Some(_)) => {}
            (opcode, _) if opcode.is_control() => {}
            (
                Opcode::Continuation
                | Opcode::Text
                | Opcode::Binary
                | Opcode::Close
                | Opcode::Ping
                | Opcode::Pong,
                _,
            ) => return Err(Fault::Protocol),
        }
        let arrived = self.message.as_ref().map_or(0, Vec::len);
        let room = self.message_bytes_max.saturating_sub(arrived);
        let fits = usize::try_from(frame.length).is_ok_and(|length| length <= room);
        if !frame.opcode.is_control() && !fits {
            return Err(Fault::TooBig);
        }
        self.frame = Some(frame);
        Ok(frame)
    }

    /// Takes what there is of a frame's payload; the frame when that is all of it.
    fn take_payload(&mut self, mut frame: Frame, input: &mut &[u8]) -> Option<Frame> {
        let wanted = usize::try_from(frame.length - frame.arrived).unwrap_or(usize::MAX);
        let (taken, rest) = input.split_at(wanted.min(input.len()));
        *input = rest;
        let target = match &mut self.message {
            Some(message) if !frame.opcode.is_control() => message,
            _ => &mut self.control,
        };
        let from = target.len();
        target.extend_from_slice(taken);
        unmask(target.split_at_mut(from).1, frame.mask, frame.arrived);
        frame.arrived += taken.len() as u64;
        let is_whole = frame.arrived == frame.length;
        self.frame = (!is_whole).then_some(frame);
        is_whole.then_some(frame)
    }

    fn finish(&mut self, frame: Frame) -> Result<Option<Incoming>, Fault> {
        match frame.opcode {
            Opcode::Text | Opcode::Continuation | Opcode::Binary => {
                let message = if frame.is_final { self.message.take() } else { None };
                let Some(message) = message else { return Ok(None) };
                String::from_utf8(message)
                    .map(|text| Some(Incoming::Text(text)))
                    .map_err(|_| Fault::NotUtf8)
            }
            Opcode::Ping => Ok(Some(Incoming::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => {
                self.control = Vec::new();
                Ok(Some(Incoming::Pong))
            }
            Opcode::Close => close_code(&self.control).map(|code| Some(Incoming::Close(code))),
        }
    }
}

/// The head of a frame, byte by byte.
#[derive(Debug)]
struct PartialHead {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

impl PartialHead {
    const fn new() -> Self {
        Self { bytes: [0; HEAD_BYTES_MAX], length: 0 }
    }

    fn fill(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
            }
            self.length += 1;
            if let Some(frame) = self.parse()? {
                *self = Self::new();
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The frame, when its head is complete (RFC 6455 section 5.2).
    fn parse(&self) -> Result<Option<Frame>, Fault> {
        let [first, second, ref rest @ ..] = self.bytes;
        let opcode = Opcode::of(first & 0x0F).ok_or(Fault::Protocol)?;
        let is_final = first & 0x80 != 0;
        let is_reserved = first & 0x70 != 0;
        if is_reserved || (opcode.is_control() && !is_final) {
            return Err(Fault::Protocol);
        }
        if self.length < 2 {
            return Ok(None);
        }
        let is_masked = second & 0x80 != 0;
        let short = second & 0x7F;
        if !is_masked || (opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX) {
            return Err(Fault::Protocol);
        }
        let extension: usize = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.length < 2 + extension + 4 {
            return Ok(None);
        }
        let (extended, mask) = rest.split_at(extension);
        let long = extended.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let length = match short {
            126 if long > 125 => long,
            127 if long > u64::from(u16::MAX) && long <= u64::MAX >> 1 => long,
            126 | 127 => return Err(Fault::Protocol),
            short => u64::from(short),
        };
        let mask = mask.first_chunk::<4>().copied().ok_or(Fault::Protocol)?;
        Ok(Some(Frame { opcode, is_final, mask, length, arrived: 0 }))
    }
}

/// Takes the mask off (RFC 6455 section 5.3), `arrived` bytes into the payload.
fn unmask(bytes: &mut [u8], mut mask: [u8; 4], arrived: u64) {
    mask.rotate_left(usize::try_from(arrived % 4).unwrap_or(0));
    let mut chunks = bytes.chunks_exact_mut(4);
    for chunk in &mut chunks {
        chunk.iter_mut().zip(mask).for_each(|(byte, key)| *byte ^= key);
    }
    chunks.into_remainder().iter_mut().zip(mask).for_each(|(byte, key)| *byte ^= key);
}

/// The reason in a close frame, if its client gave one that may be given (RFC 6455 section 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::Protocol) };
    };
    if std::str::from_utf8(reason).is_err() {
        return Err(Fault::NotUtf8);
    }
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
        _ => Err(Fault::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
    use tokio_tungstenite::tungstenite::{Bytes, Message};

    use super::*;

    const MAX: usize = 64 * 1024;

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 250, 3, 91];
        let mut bytes = vec![first];
        let wide = payload.len() as u64;
        match payload.len() {
            0..=125 => bytes.push(0x80 | wide.to_be_bytes()[7]),
            126..=0xFFFF => {
                bytes.push(0x80 | 0x7E);
                bytes.extend(&wide.to_be_bytes()[6..]);
            }
            _ => {
                bytes.push(0x80 | 0x7F);
                bytes.extend(wide.to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    fn decode(bytes: &[u8]) -> (Vec<Incoming>, Option<Fault>) {
        decode_pieces(&mut Decoder::new(MAX), std::iter::once(bytes))
    }

    fn decode_pieces<'a>(
        decoder: &mut Decoder,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<Incoming>, Option<Fault>) {
        let mut messages = Vec::new();
        for mut piece in pieces {
            loop {
                match decoder.next(&mut piece) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(fault) => return (messages, Some(fault)),
                }
            }
        }
        (messages, None)
    }

    fn fault(bytes: &[u8]) -> Option<Fault> {
        let (messages, fault) = decode(bytes);
        assert!(messages.is_empty(), "{messages:?}");
        fault
    }

    #[test]
    fn a_text_in_pieces_is_one_message_and_control_frames_may_come_between() {
        let bytes = [frame(0x01, b"he"), frame(0x89, b"hi"), frame(0x00, b""), frame(0x80, b"llo")]
            .concat();
        let expected = vec![Incoming::Ping(b"hi".to_vec()), Incoming::Text("hello".to_owned())];
        assert_eq!(decode(&bytes), (expected, None));
    }

    #[test]
    fn whatever_the_standard_forbids_is_refused() {
        for (name, bytes) in [
            ("a reserved bit", frame(0xC1, b"x")),
            ("an unknown opcode", frame(0x83, b"x")),
            ("an unknown control opcode", frame(0x8B, b"x")),
            ("no mask", vec![0x81, 0x01, b'x']),
            ("a control frame in pieces", frame(0x09, b"x")),
            ("a long control frame", frame(0x89, &[0; 126])),
            ("a continuation of nothing", frame(0x80, b"x")),
            ("a text within a text", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
            ("a binary frame within a text", [frame(0x01, b"a"), frame(0x82, b"b")].concat()),
            ("a length with a spare byte", vec![0x81, 0xFE, 0, 5]),
            ("a length of nine bits too many", vec![0x81, 0xFF, 0x80, 0, 0, 0, 0, 1, 0, 0]),
            ("a close code of one byte", frame(0x88, b"x")),
            ("a close code that may not be sent", frame(0x88, &1006_u16.to_be_bytes())),
        ] {
            let padded = [bytes, vec![0; 8]].concat();
            assert_eq!(fault(&padded), Some(Fault::Protocol), "{name}");
        }
    }

    #[test]
    fn text_that_is_no_utf8_is_told_from_other_faults() {
        assert_eq!(fault(&frame(0x81, &[0xC3, 0x28])), Some(Fault::NotUtf8));
        assert_eq!(fault(&frame(0x88, &[3, 232, 0xFF])), Some(Fault::NotUtf8));
    }

    #[test]
    fn a_character_split_between_frames_is_no_fault() {
        let bytes = [frame(0x01, &[0xC3]), frame(0x80, &[0xBC])].concat();
        assert_eq!(decode(&bytes), (vec![Incoming::Text("ü".to_owned())], None));
    }

    #[test]
    fn a_binary_frame_is_a_fault_of_its_own() {
        assert_eq!(fault(&frame(0x82, b"x")), Some(Fault::Binary));
    }

    #[test]
    fn a_message_that_is_too_big_is_refused_by_its_head() {
        let whole = frame(0x81, &vec![b'x'; MAX]);
        assert_eq!(decode(&whole).1, None);
        let head = frame(0x81, &vec![b'x'; MAX + 1]).into_iter().take(14).collect::<Vec<_>>();
        assert_eq!(fault(&head), Some(Fault::TooBig));
        let pieces = [frame(0x01, &vec![b'x'; MAX]), frame(0x80, b"x")].concat();
        assert_eq!(fault(&pieces), Some(Fault::TooBig));
    }

    #[test]
    fn a_close_frame_may_give_a_reason() {
        assert_eq!(decode(&frame(0x88, b"")).0, [Incoming::Close(None)]);
        let reason = [&4401_u16.to_be_bytes()[..], b"bye"].concat();
        assert_eq!(decode(&frame(0x88, &reason)).0, [Incoming::Close(Some(4401))]);
    }

    #[derive(Debug, Clone)]
    enum Sent {
        Text(String),
        Ping(Vec<u8>),
        Pong,
    }

    fn sent() -> impl Strategy<Value = Sent> {
        prop_oneof![
            3 => "\\PC{0,300}".prop_map(Sent::Text),
            1 => prop::collection::vec(any::<u8>(), 0..=125).prop_map(Sent::Ping),
            1 => Just(Sent::Pong),
        ]
    }

    /// What tungstenite, as a client, puts on the wire.
    fn wire(messages: &[Sent]) -> Vec<u8> {
        let io = std::io::Cursor::new(Vec::new());
        let mut client = WebSocket::from_raw_socket(io, Role::Client, None);
        for message in messages {
            let message = match message {
                Sent::Text(text) => Message::text(text.clone()),
                Sent::Ping(payload) => Message::Ping(Bytes::from(payload.clone())),
                Sent::Pong => Message::Pong(Bytes::new()),
            };
            client.send(message).unwrap();
        }
        client.into_inner().into_inner()
    }

    fn expected(messages: Vec<Sent>) -> Vec<Incoming> {
        let incoming = messages.into_iter().map(|message| match message {
            Sent::Text(text) => Incoming::Text(text),
            Sent::Ping(payload) => Incoming::Ping(payload),
            Sent::Pong => Incoming::Pong,
        });
        incoming.collect()
    }

    proptest! {
        #[test]
        fn any_split_of_what_a_client_sends_gives_its_messages(
            messages in prop::collection::vec(sent(), 0..8),
            size in 1_usize..64,
        ) {
            let bytes = wire(&messages);
            let decoded = decode_pieces(&mut Decoder::new(MAX), bytes.chunks(size));
            prop_assert_eq!(decoded, (expected(messages), None));
        }

        #[test]
        fn noise_never_panics_and_reads_the_same_in_one_piece_or_many(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            size in 1_usize..16,
        ) {
            prop_assert_eq!(
                decode(&bytes),
                decode_pieces(&mut Decoder::new(MAX), bytes.chunks(size))
            );
        }
    }
}
