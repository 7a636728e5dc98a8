//! Walks over a chunked body (RFC 9112 section 7.1) to find its end, to the letter: what another
//! parser might read differently is refused. Copies nothing.

/// Longest extensions and trailers of one body together, in bytes: nobody behind gets to see them.
const EXTRA_BYTES_MAX: u32 = 8 * 1024;
/// Most trailer fields.
const TRAILERS_MAX: u32 = 64;
/// Most hexadecimal digits of a size.
const DIGITS_MAX: u32 = 15;

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndLine,
    /// At the beginning of a line after the last chunk.
    Trailer,
    TrailerName,
    TrailerLine,
    TrailerLineEnd,
    LastLine,
    Done,
}

impl At {
    /// Whether `byte`, which comes here, is no affair of the next hop.
    const fn is_dropped(self, byte: u8) -> bool {
        match self {
            Self::Size => byte == b';',
            Self::Extension | Self::Trailer => byte != b'\r',
            Self::TrailerName | Self::TrailerLine | Self::TrailerLineEnd => true,
            Self::SizeEnd
            | Self::Data
            | Self::DataEnd
            | Self::DataEndLine
            | Self::LastLine
            | Self::Done => false,
        }
    }
}

/// What [`Chunks::strip`] did with some bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stripped {
    /// How many of them belong to the body.
    pub read: usize,
    /// How many of those go on.
    pub kept: usize,
    /// How many of those are data.
    pub data: u64,
}

/// The walk over one body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    digits: u32,
    /// Bytes of this chunk that are still to come.
    left: u64,
    /// Bytes of extensions and trailers so far.
    extra: u32,
    trailers: u32,
}

/// The body breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Chunks {
    pub(crate) const fn new() -> Self {
        Self { at: At::Size, digits: 0, left: 0, extra: 0, trailers: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Walks over `bytes`; gives how many of them belong to the body.
    pub(crate) fn walk(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut walked = 0;
        while let Some(&byte) = bytes.get(walked) {
            match self.at {
                At::Done => break,
                At::Data => {
                    let rest = bytes.len() - walked;
                    let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                    walked += take;
                    self.take(take as u64);
                }
                _ => {
                    self.at = self.step(byte)?;
                    walked += 1;
                }
            }
        }
        Ok(walked)
    }

    /// As [`Chunks::walk`], and takes out of `bytes` what ends at every hop: extensions, which nobody
    /// understands (RFC 9112 section 7.1.1), and trailers, which nobody asked for (RFC 9110 section
    /// 6.5.1). What is kept moves together at the front.
    pub(crate) fn strip(&mut self, bytes: &mut [u8]) -> Result<Stripped, Broken> {
        let mut stripped = Stripped::default();
        while let Some(&byte) = bytes.get(stripped.read) {
            let (from, to) = (stripped.read, stripped.kept);
            let take = match self.at {
                At::Done => break,
                At::Data => {
                    let rest = bytes.len() - from;
                    let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                    self.take(take as u64);
                    stripped.data += take as u64;
                    take
                }
                before => {
                    self.at = self.step(byte)?;
                    stripped.read += 1;
                    if before.is_dropped(byte) {
                        continue;
                    }
                    stripped.read -= 1;
                    1
                }
            };
            if from != to {
                bytes.copy_within(from..from + take, to);
            }
            stripped.read += take;
            stripped.kept += take;
        }
        Ok(stripped)
    }

    /// So many bytes of this chunk's data went by.
    const fn take(&mut self, length: u64) {
        self.left -= length;
        if self.left == 0 {
            self.at = At::DataEnd;
        }
    }

    fn step(&mut self, byte: u8) -> Result<At, Broken> {
        match (self.at, byte) {
            (At::Size, b'\r' | b';') if self.digits > 0 => {
                Ok(if byte == b';' { At::Extension } else { At::SizeEnd })
            }
            (At::Size, _) => self.digit(byte),
            (At::Extension, b'\r') => Ok(At::SizeEnd),
            (At::Extension | At::TrailerLine, _) if is_text(byte) => self.extra(self.at),
            (At::SizeEnd, b'\n') => {
                self.digits = 0;
                Ok(if self.left == 0 { At::Trailer } else { At::Data })
            }
            (At::DataEnd, b'\r') => Ok(At::DataEndLine),
            (At::DataEndLine, b'\n') => Ok(At::Size),
            (At::Trailer, b'\r') => Ok(At::LastLine),
            (At::Trailer, _) if is_token(byte) && self.trailers < TRAILERS_MAX => {
                self.trailers += 1;
                self.extra(At::TrailerName)
            }
            (At::TrailerName, _) if is_token(byte) => self.extra(At::TrailerName),
            // What has no name is no field, but perhaps the next request behind a body cut short.
            (At::TrailerName, b':') => self.extra(At::TrailerLine),
            (At::TrailerLine, b'\r') => Ok(At::TrailerLineEnd),
            (At::TrailerLineEnd, b'\n') => Ok(At::Trailer),
            (At::LastLine, b'\n') => Ok(At::Done),
            _ => Err(Broken),
        }
    }

    /// Counts a byte of an extension or a trailer, within bounds.
    fn extra(&mut self, next: At) -> Result<At, Broken> {
        self.extra += 1;
        if self.extra > EXTRA_BYTES_MAX { Err(Broken) } else { Ok(next) }
    }

    fn digit(&mut self, byte: u8) -> Result<At, Broken> {
        let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
        self.digits += 1;
        if self.digits > DIGITS_MAX {
            return Err(Broken);
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(At::Size)
    }
}

/// What a field's name is made of (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    ) || byte.is_ascii_alphanumeric()
}

/// What may stand in an extension or a trailer line.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walk(body: &str) -> Result<(usize, bool), Broken> {
        let mut chunks = Chunks::new();
        let walked = chunks.walk(body.as_bytes())?;
        Ok((walked, chunks.is_done()))
    }

    #[test]
    fn the_end_of_a_body_is_found() {
        for (body, rest) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1"),
            ("A;name=\"value\"\r\n0123456789\r\n0;x\r\nTrailer: 1\r\n\r\n", "x"),
            ("0000000000005\r\nhello\r\n000\r\n\r\n", "\r\n"),
        ] {
            assert_eq!(walk(&format!("{body}{rest}")), Ok((body.len(), true)), "{body:?}");
        }
    }

    #[test]
    fn what_could_be_read_differently_is_refused() {
        for body in [
            "5\nhello\n0\n\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "\r\n",
            ";x\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\n",
            "+5\r\n",
            " 5\r\n",
            "5 \r\nhello\r\n",
            "5\r\rhello\r\n",
            "5;\nhello\r\n",
            "5;\0\r\nhello\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nno field\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\n\rX",
            "1234567890abcdef0\r\n",
        ] {
            assert_eq!(walk(body), Err(Broken), "{body:?}");
        }
    }

    #[test]
    fn what_nobody_gets_to_see_is_bounded() {
        let each = format!("1;{}\r\nx\r\n", "y".repeat(99));
        assert!(walk(&each.repeat(80)).is_ok());
        assert_eq!(walk(&each.repeat(90)), Err(Broken));
        assert_eq!(walk(&format!("5;{}\r\n", "x".repeat(9000))), Err(Broken));
        assert_eq!(walk(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(65))), Err(Broken));
        assert!(walk(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(64))).is_ok());
    }

    #[test]
    fn extensions_and_trailers_are_taken_out_and_nothing_else() {
        let body = b"5;a=\"b\"\r\nhello\r\n3\r\nyou\r\n0;x\r\nA: b\r\nC: d\r\n\r\nGET /";
        let clean = b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n";
        for step in 1..body.len() {
            let (mut chunks, mut out, mut data) = (Chunks::new(), Vec::new(), 0);
            let mut rest = &body[..];
            while !chunks.is_done() {
                let (part, tail) = rest.split_at(step.min(rest.len()));
                let mut part = part.to_vec();
                let stripped = chunks.strip(&mut part).unwrap();
                out.extend_from_slice(&part[..stripped.kept]);
                data += stripped.data;
                rest = if chunks.is_done() { &rest[stripped.read..] } else { tail };
            }
            assert_eq!((out.as_slice(), data, rest), (&clean[..], 8, &b"GET /"[..]), "by {step}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_body_is_cut(
            sizes in proptest::collection::vec(1_usize..40, 0..6),
            cuts in proptest::collection::vec(1_usize..9, 1..40),
        ) {
            let mut body = String::new();
            for size in sizes {
                body += &[&format!("{size:x}\r\n"), "y".repeat(size).as_str(), "\r\n"].concat();
            }
            body.push_str("0\r\n\r\n");
            let (mut chunks, mut rest) = (Chunks::new(), body.as_bytes());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, tail) = rest.split_at(rest.len().min(*cut));
                prop_assert_eq!(chunks.walk(part), Ok(part.len()));
                rest = tail;
            }
            prop_assert!(chunks.is_done());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Chunks::new().walk(&bytes);
        }
    }
}
