//! Follows the frames of a WebSocket by their headers alone (RFC 6455 section 5.2), to know where
//! the gateway may put in a word of its own. Never looks at a payload, never changes a byte, never
//! refuses one: what is no framing is no longer followed.

use bytes::Bytes;

/// Most bytes of a header that say anything here; the masking key counts as payload.
const HEADER_BYTES_MAX: usize = 10;
/// Most bytes of a control frame's payload (section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
const MASK_BYTES: u64 = 4;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;

/// Where one direction of a WebSocket stands.
#[derive(Debug)]
pub(super) struct Frames {
    sender: Sender,
    state: State,
}

/// Who speaks in a direction; callers mask what they send (section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Caller,
    Upstream,
}

/// What may be said in a direction now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A frame has ended, and none has begun: one of our own may stand here.
    Between,
    Within,
    /// The sender has closed: nothing may follow.
    Closed,
    /// The bytes are no frames, or none that we can follow.
    Lost,
}

#[derive(Debug)]
enum State {
    Header(Header),
    Payload { left: u64, after: After },
    Closed,
    Lost,
}

/// What a frame leaves behind.
#[derive(Debug, Clone, Copy)]
enum After {
    Frames,
    Nothing,
}

/// A header, as far as it is here.
#[derive(Debug, Default)]
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    have: usize,
}

impl Frames {
    pub(super) fn new(sender: Sender) -> Self {
        Self { sender, state: State::Header(Header::default()) }
    }

    pub(super) const fn place(&self) -> Place {
        match &self.state {
            State::Header(header) if header.have == 0 => Place::Between,
            State::Header(_) | State::Payload { .. } => Place::Within,
            State::Closed => Place::Closed,
            State::Lost => Place::Lost,
        }
    }

    /// Goes over all of `bytes`.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = rest.get(self.finish(rest)..).unwrap_or_default();
        }
    }

    /// Goes over `bytes` up to the end of a frame; gives how many that were. All of them when no
    /// frame ends here.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            match &mut self.state {
                State::Closed | State::Lost => return bytes.len(),
                State::Header(header) => {
                    rest = header.take(rest);
                    if header.is_whole() {
                        self.state = header.read(self.sender);
                    }
                }
                State::Payload { left, .. } => {
                    let part = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left = left.saturating_sub(part as u64);
                    rest = rest.get(part..).unwrap_or_default();
                }
            }
            if let State::Payload { left: 0, after } = self.state {
                self.state = match after {
                    After::Frames => State::Header(Header::default()),
                    After::Nothing => State::Closed,
                };
                break;
            }
        }
        bytes.len().saturating_sub(rest.len())
    }
}

impl Header {
    /// How long the header is, as far as one can tell.
    const fn length(&self) -> usize {
        match self.bytes[1] & !MASKED {
            _ if self.have < 2 => 2,
            126 => 4,
            127 => HEADER_BYTES_MAX,
            _ => 2,
        }
    }

    const fn is_whole(&self) -> bool {
        self.have >= 2 && self.have >= self.length()
    }

    /// Takes what is missing off `bytes`; gives what is left of them.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let missing = self.length().saturating_sub(self.have).min(bytes.len());
        let (part, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        for (place, byte) in self.bytes.iter_mut().skip(self.have).zip(part) {
            *place = *byte;
        }
        self.have = self.have.saturating_add(part.len());
        rest
    }

    /// What follows a whole header. Bits and opcodes that an extension may use mean nothing here.
    fn read(&self, sender: Sender) -> State {
        let [first, second, long @ ..] = self.bytes;
        let [b0, b1, ..] = long;
        let (length, shortest) = match second & !MASKED {
            126 => (u64::from(u16::from_be_bytes([b0, b1])), 126),
            127 => (u64::from_be_bytes(long), 1 << 16),
            short => (u64::from(short), 0),
        };
        let opcode = first & OPCODE;
        let is_masked = second & MASKED != 0;
        let is_odd_control =
            opcode & CONTROL != 0 && (first & FIN == 0 || length > CONTROL_BYTES_MAX);
        if is_masked != (sender == Sender::Caller)
            || length < shortest
            || length > u64::MAX >> 1
            || is_odd_control
        {
            return State::Lost;
        }
        let key = if is_masked { MASK_BYTES } else { 0 };
        let after = if opcode == CLOSE { After::Nothing } else { After::Frames };
        State::Payload { left: length.saturating_add(key), after }
    }
}

/// A Close frame to a caller.
pub(super) fn close_from_server(code: u16) -> Bytes {
    let [high, low] = code.to_be_bytes();
    Bytes::copy_from_slice(&[FIN | CLOSE, 2, high, low])
}

/// A Close frame to an upstream; `mask` has to be one that nobody can foresee.
pub(super) fn close_from_client(code: u16, mask: [u8; 4]) -> Bytes {
    let ([high, low], [m0, m1, m2, m3]) = (code.to_be_bytes(), mask);
    Bytes::copy_from_slice(&[FIN | CLOSE, MASKED | 2, m0, m1, m2, m3, high ^ m0, low ^ m1])
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A frame of `sender` with `length` bytes of payload.
    fn frame(sender: Sender, first: u8, length: usize) -> Vec<u8> {
        let mask = if sender == Sender::Caller { MASKED } else { 0 };
        let mut frame = vec![first];
        match length {
            0..=125 => frame.push(mask | u8::try_from(length).unwrap()),
            126..=0xffff => {
                frame.push(mask | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![0x88; length + if mask == 0 { 0 } else { 4 }]);
        frame
    }

    fn senders() -> impl Strategy<Value = Sender> {
        prop_oneof![Just(Sender::Caller), Just(Sender::Upstream)]
    }

    /// First byte and length: data frames of every opcode and size, and control frames but Close.
    fn kinds() -> impl Strategy<Value = (u8, usize)> {
        let lengths = prop_oneof![0..200_usize, 65_000..70_000_usize, Just(126), Just(65_536)];
        let data =
            (0..16_u8, 0..8_u8, lengths).prop_map(|(bits, opcode, n)| (bits << 4 | opcode, n));
        let control = (9..16_u8, 0..126_usize).prop_map(|(opcode, n)| (FIN | opcode, n));
        prop_oneof![3 => data, 1 => control]
    }

    proptest! {
        #[test]
        fn a_frame_of_ours_fits_exactly_where_others_end(
            sender in senders(),
            kinds in vec(kinds(), 1..12),
            splits in vec(any::<prop::sample::Index>(), 0..24),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for (first, length) in kinds {
                bytes.extend(frame(sender, first, length));
                ends.push(bytes.len());
            }
            // Headers are where it is hard: the bytes around every end are splits, too.
            let near = ends.iter().flat_map(|end| end.saturating_sub(1)..=end + 11);
            let mut cuts: Vec<_> = splits.iter().map(|split| split.index(bytes.len())).collect();
            cuts.extend(near.filter(|cut| *cut <= bytes.len()).take(splits.len() * 8));
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut frames, mut at) = (Frames::new(sender), 0);
            for cut in cuts {
                frames.follow(&bytes[at..cut]);
                at = cut;
                let expected =
                    if ends.contains(&at) { Place::Between } else { Place::Within };
                prop_assert_eq!(frames.place(), expected, "at {} of {:?}", at, ends);
            }
        }

        #[test]
        fn a_frame_is_finished_and_no_more(
            sender in senders(),
            kind in kinds(),
            cut in any::<prop::sample::Index>(),
        ) {
            let one = frame(sender, kind.0, kind.1);
            let bytes = [&one[..], &one[..]].concat();
            let cut = cut.index(one.len());
            let mut frames = Frames::new(sender);
            frames.follow(&bytes[..cut]);
            prop_assert_eq!(frames.finish(&bytes[cut..]), one.len() - cut);
            prop_assert_eq!(frames.place(), Place::Between);
        }

        #[test]
        fn any_bytes_are_gone_over(
            sender in senders(),
            parts in vec(vec(any::<u8>(), 0..40), 0..8),
        ) {
            let mut frames = Frames::new(sender);
            for part in parts {
                let finished = frames.finish(&part);
                prop_assert!(finished <= part.len() && (finished > 0 || part.is_empty()));
                frames.follow(&part[finished..]);
            }
        }
    }

    fn place_after(sender: Sender, bytes: &[u8]) -> Place {
        let mut frames = Frames::new(sender);
        frames.follow(bytes);
        frames.place()
    }

    #[test]
    fn nothing_may_follow_a_close() {
        for sender in [Sender::Caller, Sender::Upstream] {
            let close = frame(sender, FIN | CLOSE, 2);
            let (last, rest) = close.split_last().unwrap();
            assert_eq!(place_after(sender, rest), Place::Within);
            assert_eq!(place_after(sender, &[rest, &[*last]].concat()), Place::Closed);
            let more = [close, frame(sender, 0x81, 3)].concat();
            assert_eq!(place_after(sender, &more), Place::Closed);
            assert_eq!(place_after(sender, &frame(sender, FIN | CLOSE, 0)), Place::Closed);
        }
    }

    #[test]
    fn our_own_close_is_one() {
        assert_eq!(place_after(Sender::Upstream, &close_from_server(1012)), Place::Closed);
        let masked = close_from_client(1001, [1, 2, 3, 4]);
        assert_eq!(place_after(Sender::Caller, &masked), Place::Closed);
        assert_eq!(masked[6] ^ 1, 0x03);
        assert_eq!(masked[7] ^ 2, 0xe9);
    }

    #[test]
    fn what_is_no_frame_is_not_followed() {
        let long = |length: u64| [&[0x82, 127][..], &length.to_be_bytes()].concat();
        for (sender, bytes) in [
            (Sender::Upstream, b"hello".to_vec()),
            (Sender::Caller, b"hello".to_vec()),
            // Masked by the wrong side.
            (Sender::Upstream, frame(Sender::Caller, 0x81, 3)),
            (Sender::Caller, frame(Sender::Upstream, 0x81, 3)),
            // Longer than it says in the shortest way.
            (Sender::Upstream, vec![0x82, 126, 0, 125]),
            (Sender::Upstream, long(65_535)),
            (Sender::Upstream, long(1 << 63)),
            // Control frames in parts, or too long.
            (Sender::Upstream, vec![0x09, 0]),
            (Sender::Upstream, vec![0x8a, 126, 0, 126]),
        ] {
            let more = [bytes, frame(sender, 0x81, 3)].concat();
            assert_eq!(place_after(sender, &more), Place::Lost, "{sender:?} {more:?}");
        }
    }
}
