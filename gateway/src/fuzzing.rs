//! What holds for our parsers beside hyper's, whatever bytes they are given: what hyper refuses is
//! refused, what both accept means the same, what goes on is read back as it was meant, and it does
//! not matter how the bytes are cut. One place for property tests (`against_hyper`, with the kept
//! corpus) and for the fuzz targets in `gateway/fuzz`; each function panics where it does not hold.
//!
//! Ours may refuse more than hyper, and does: bare line feeds in requests, `Content-Length` beside
//! `Transfer-Encoding` or more than one line of either, codings other than `chunked`, lengths beyond
//! 63 bits, blanks around chunk sizes, sizes of more than 15 digits, extensions and trailers beyond
//! 8 KiB, targets that are neither a path nor `http`, and answers that switch protocols unasked.

#[cfg(test)]
mod against_hyper;
mod message;
mod onward;
mod ours;
mod peer;

use crate::route::Method;
use crate::wire::{Broken, Chunks};
use message::{End, Reading, Rest};
use ours::{Of, read};
use peer::AtEnd;

/// Longest input that is also cut into single bytes, and into a few.
const BYTEWISE_MAX: usize = 1024;
/// Longest pieces of an input that is cut at odd places.
const PIECES_MAX: [usize; 3] = [4, 40, 800];

/// A caller's connection that has said `bytes` and then no more.
///
/// # Panics
/// If our reading of it is not as hyper's.
pub fn request(bytes: &[u8]) {
    let ours = read(Of::Requests, &[bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(read(Of::Requests, &pieces), ours, "cut into {:?}", lengths(&pieces));
    }
    agree(&ours, &peer::requests(bytes));
}

/// An upstream's connection that has said `bytes` to one request, by GET and by HEAD.
///
/// # Panics
/// If our reading of it is not as hyper's.
pub fn answer(bytes: &[u8]) {
    for (method, name) in [(Method::Get, http::Method::GET), (Method::Head, http::Method::HEAD)] {
        let ours = read(Of::Answer(method), &[bytes]);
        for pieces in cuts(bytes) {
            assert_eq!(read(Of::Answer(method), &pieces), ours, "cut into {:?}", lengths(&pieces));
        }
        agree(&ours, &peer::answer(bytes, &name, AtEnd::Closes));
        if ours.keeps {
            let theirs = peer::answer(bytes, &name, AtEnd::Waits);
            assert!(theirs.keeps, "hyper would not use the connection again");
        }
    }
}

/// A chunked body at the beginning of `bytes`, by itself and behind a head.
///
/// # Panics
/// If the walks over it differ, or ours and hyper's.
pub fn chunks(bytes: &[u8]) {
    let walked = walk(&[bytes]);
    let (stripped, out) = strip(&[bytes]);
    assert_eq!(walked, stripped, "walking and stripping differ");
    assert!(out.len() <= walked.map_or(bytes.len(), |(read, _)| read), "stripping adds bytes");
    for pieces in cuts(bytes) {
        assert_eq!(walk(&pieces), walked, "walked in {:?}", lengths(&pieces));
        let (cut, cut_out) = strip(&pieces);
        assert_eq!(cut, walked, "stripped in {:?}", lengths(&pieces));
        assert!(cut.is_err() || cut_out == out, "stripped in {:?}", lengths(&pieces));
    }
    if let Ok((_, is_done)) = walked {
        assert_eq!(walk(&[&out]), Ok((out.len(), is_done)), "what is kept is no body");
        assert_eq!(strip(&[&out]), (Ok((out.len(), is_done)), out), "stripping twice");
    }
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    agree(&read(Of::Requests, &[request, bytes]), &peer::requests(&[request, bytes].concat()));
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes = [head, bytes].concat();
    let theirs = peer::answer(&bytes, &http::Method::GET, AtEnd::Closes);
    agree(&read(Of::Answer(Method::Get), &[&bytes]), &theirs);
}

/// Whether everything that is accepted in `ours` is the same in `theirs`.
fn agree(ours: &Reading, theirs: &Reading) {
    let mut others = theirs.messages.iter();
    for message in &ours.messages {
        let Some(other) = others.next() else {
            panic!("hyper refuses what we accept: {message:#?}\nafter {theirs:#?}");
        };
        assert_eq!(message.line, other.line);
        assert_eq!(message.fields, other.fields, "in {}", message.line);
        if message.end == End::Broken {
            return;
        }
        assert_eq!(message.end, other.end, "in {}", message.line);
        assert_eq!(message.data(), other.body, "in {}", message.line);
        if message.is_last {
            // Whatever follows is not read by either.
            return;
        }
    }
    if ours.rest == Rest::Refused {
        return;
    }
    let other = others.next();
    assert!(other.is_none(), "hyper sees more than we do: {other:#?}\nafter {ours:#?}");
    if ours.messages.last().is_some_and(|last| ours.rest == Rest::Nothing && last.end == End::Whole)
    {
        assert_ne!(theirs.rest, Rest::Refused, "hyper refuses what we accept: {ours:#?}");
    }
}

type Walked = Result<(usize, bool), Broken>;

fn walk(pieces: &[&[u8]]) -> Walked {
    let (mut chunks, mut walked) = (Chunks::new(), 0);
    for piece in pieces {
        walked += chunks.walk(piece)?;
    }
    Ok((walked, chunks.is_done()))
}

/// As [`walk`], with what is kept.
fn strip(pieces: &[&[u8]]) -> (Walked, Vec<u8>) {
    let (mut chunks, mut read, mut out) = (Chunks::new(), 0, Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        let Ok(stripped) = chunks.strip(&mut piece) else { return (Err(Broken), out) };
        assert!(stripped.kept <= stripped.read && stripped.data <= stripped.kept as u64);
        out.extend_from_slice(piece.get(..stripped.kept).unwrap_or_default());
        read += stripped.read;
    }
    (Ok((read, chunks.is_done())), out)
}

fn lengths(pieces: &[&[u8]]) -> Vec<usize> {
    pieces.iter().map(|piece| piece.len()).collect()
}

/// `bytes` in pieces: one by one, and at places that depend on the bytes alone.
fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut all = Vec::new();
    let is_long = bytes.len() > BYTEWISE_MAX;
    if !is_long {
        all.push(bytes.chunks(1).collect());
    }
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for longest in PIECES_MAX.into_iter().filter(|longest| !is_long || *longest > 40) {
        let (mut rest, mut pieces) = (bytes, Vec::new());
        while !rest.is_empty() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let length = usize::try_from(state % longest as u64).unwrap_or(0) + 1;
            let (piece, tail) = rest.split_at(length.min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        all.push(pieces);
    }
    all
}
