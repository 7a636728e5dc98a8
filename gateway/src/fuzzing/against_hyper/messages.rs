//! Messages made of pieces, mostly of right ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::pieces::{
    COLONS, ENDS, EXTENSIONS, FRAMINGS, METHODS, NAMES, SIZES, STATUSES, TARGETS, TRAILERS, VALUES,
    VERSIONS,
};

pub(super) type Bytes = Vec<u8>;

pub(super) fn one_of(all: &'static [&'static [u8]]) -> impl Strategy<Value = Bytes> + Clone {
    select(all).prop_map(<[u8]>::to_vec)
}

/// A right piece so many times as often as any.
fn mostly(
    times: u32,
    right: &'static [u8],
    all: &'static [&'static [u8]],
) -> impl Strategy<Value = Bytes> + Clone {
    prop_oneof![times => Just(right.to_vec()), 1 => one_of(all)]
}

fn end() -> impl Strategy<Value = Bytes> + Clone {
    mostly(16, b"\r\n", ENDS)
}

fn joined(parts: impl Strategy<Value = Vec<Bytes>>) -> impl Strategy<Value = Bytes> {
    parts.prop_map(|parts| parts.concat())
}

fn line() -> impl Strategy<Value = Bytes> {
    let line =
        (mostly(8, b"GET", METHODS), mostly(1, b"/a", TARGETS), mostly(5, b"HTTP/1.1", VERSIONS));
    (line, mostly(30, b" ", &[b"  ", b"\t", b""]), end()).prop_map(
        |((method, target, version), blank, end)| {
            [&method, &blank, &target, &blank, &version, &end].map(Vec::as_slice).concat()
        },
    )
}

fn status_line() -> impl Strategy<Value = Bytes> {
    (mostly(5, b"HTTP/1.1", VERSIONS), one_of(STATUSES), end())
        .prop_map(|(version, status, end)| [&version[..], b" ", &status, &end].concat())
}

fn field() -> impl Strategy<Value = Bytes> {
    let plain = (mostly(8, b"Accept", NAMES), mostly(16, b": ", COLONS), mostly(4, b"a", VALUES));
    let named = plain.prop_map(|(name, colon, value)| [name, colon, value].concat());
    let odd =
        (select(NAMES), select(VALUES)).prop_map(|(name, value)| [name, b": ", value].concat());
    let long = (0_usize..9000).prop_map(|length| [b"X: ", vec![b'y'; length].as_slice()].concat());
    let field = prop_oneof![12 => named, 4 => odd, 1 => long];
    (field, end()).prop_map(|(field, end)| [field, end].concat())
}

/// A few fields, or very many.
fn fields() -> impl Strategy<Value = Bytes> {
    let many = (90_usize..140).prop_map(|count| b"A: b\r\n".repeat(count));
    prop_oneof![30 => joined(vec(field(), 0..4)), 1 => many]
}

/// Fields of framing, and a body that is mostly as they say.
fn framed() -> impl Strategy<Value = (Bytes, Bytes)> {
    let sized = vec(any::<u8>(), 0..40)
        .prop_map(|body| (format!("Content-Length: {}\r\n", body.len()).into_bytes(), body));
    let chunked = bodies().prop_map(|body| (b"Transfer-Encoding: chunked\r\n".to_vec(), body));
    let odd = joined(vec((one_of(FRAMINGS), end()).prop_map(|(a, b)| [a, b].concat()), 1..3));
    let any_body = prop_oneof![Just(b"hello".to_vec()), bodies(), vec(any::<u8>(), 0..20)];
    prop_oneof![
        2 => Just((Bytes::new(), Bytes::new())),
        3 => sized,
        4 => chunked,
        3 => (odd, any_body),
    ]
}

fn message(first: impl Strategy<Value = Bytes>) -> impl Strategy<Value = Bytes> {
    (first, fields(), framed(), fields(), end()).prop_map(
        |(first, before, (framing, body), behind, end)| {
            [first, before, framing, behind, end, body].concat()
        },
    )
}

/// What a caller may say: requests one behind the other.
pub(super) fn requests() -> impl Strategy<Value = Bytes> {
    let host = line().prop_map(|line| [&line[..], b"Host: hub\r\n"].concat());
    joined(vec(message(host), 1..4))
}

/// What an upstream may say: interim answers, and perhaps more than one final one.
pub(super) fn answers() -> impl Strategy<Value = Bytes> {
    joined(vec(message(status_line()), 1..4))
}

/// Chunked bodies.
pub(super) fn bodies() -> impl Strategy<Value = Bytes> {
    let right = vec(any::<u8>(), 1..40)
        .prop_map(|data| [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat());
    let odd = (mostly(4, b"5", SIZES), one_of(EXTENSIONS), end(), end())
        .prop_map(|(size, more, end, behind)| [&size[..], &more, &end, b"hello", &behind].concat());
    let long = (0_usize..9000)
        .prop_map(|length| [b"1;", vec![b'y'; length].as_slice(), b"\r\nx\r\n"].concat());
    let chunk = prop_oneof![8 => right, 6 => odd, 1 => long];
    let trailer = (mostly(2, b"A: b", TRAILERS), end()).prop_map(|(a, b)| [a, b].concat());
    let trailers = prop_oneof![
        30 => joined(vec(trailer, 0..3)),
        1 => (60_usize..110).prop_map(|count| b"A: b\r\n".repeat(count)),
    ];
    let last = (mostly(8, b"0", &[b"00", b"0000000000000000", b"0;a", b"0 ", b""]), end());
    (joined(vec(chunk, 0..4)), last, trailers, end()).prop_map(
        |(chunks, (last, end), trailers, behind)| [chunks, last, end, trailers, behind].concat(),
    )
}
