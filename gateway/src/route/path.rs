//! The one spelling of a path: computed once, then matched, authorised and forwarded.

use std::borrow::Cow;

use crate::refusal::Refusal;

/// A path in canonical form, and the query as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// Begins with `/`; no dot segments, no empty segments, only what must be encoded is
    /// (RFC 3986 section 6.2.2).
    pub path: Cow<'a, str>,
    /// Without its `?`.
    pub query: Option<&'a str>,
}

impl<'a> Path<'a> {
    /// Reads an origin-form target. What could mean two things to two servers is refused: encoded
    /// slashes, backslashes, controls, doubly encoded dots and slashes, climbing over the root.
    pub(crate) fn canonical(target: &'a str) -> Result<Self, Refusal> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if path.is_empty() && query.is_some_and(|query| query.bytes().all(is_query)) {
            // Of an absolute target with a query alone (RFC 9112 section 3.2.1).
            return Ok(Self { path: Cow::Owned("/".to_owned()), query });
        }
        if !path.starts_with('/') {
            return Err(Refusal::Malformed("The path has to begin with a slash."));
        }
        if !query.unwrap_or_default().bytes().all(is_query) {
            return Err(Refusal::Malformed("The query has characters that must be encoded."));
        }
        if is_plain(path.as_bytes()) {
            return Ok(Self { path: Cow::Borrowed(path), query });
        }
        let decoded = decode_unreserved(path)?;
        Ok(Self { path: Cow::Owned(remove_dots(&decoded)?), query })
    }
}

/// Whether nothing in `path` needs a second look.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        // A dot after a slash may begin a dot segment.
        if !is_path(byte) || (before == b'/' && (byte == b'/' || byte == b'.')) {
            return false;
        }
        before = byte;
    }
    true
}

/// `pchar` and `/` (RFC 3986 section 3.3), without the percent sign.
const fn is_path(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b'!' | b'$' | b'&'..=b',' | b':' | b';' | b'=' | b'@')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What a query may hold: more than RFC 3986 allows, as browsers send it, but no control, blank or
/// byte beyond ASCII.
const fn is_query(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x24..=0x3b | 0x3d | 0x3f..=0x7e)
}

/// Decodes what needs no encoding, and writes the rest in capitals. Never decodes twice.
fn decode_unreserved(path: &str) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            if !is_path(*byte) {
                return Err(Refusal::Malformed("The path has characters that must be encoded."));
            }
            out.push(*byte);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(BAD_ESCAPE) };
        let byte = hex(*high)? << 4 | hex(*low)?;
        match byte {
            b'/' | b'\\' => return Err(Refusal::Malformed("The path has an encoded slash.")),
            0..0x20 | 0x7f => return Err(Refusal::Malformed("The path has an encoded control.")),
            b'%' if hides_more(tail) => {
                return Err(Refusal::Malformed("The path is encoded twice."));
            }
            byte if is_unreserved(byte) => out.push(byte),
            _ => out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
        }
        rest = tail;
    }
    Ok(out)
}

const BAD_ESCAPE: Refusal = Refusal::Malformed("The path has a broken percent sign.");

fn hex(digit: u8) -> Result<u8, Refusal> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(BAD_ESCAPE)
}

/// Whether an encoded percent sign is followed by a dot, a slash, a backslash, a NUL or a percent
/// sign, in hexadecimal: to whoever decodes twice it means something else.
fn hides_more(tail: &[u8]) -> bool {
    let Some(digits) = tail.get(..2) else { return false };
    [b"2e", b"2f", b"5c", b"00", b"25"].iter().any(|hidden| digits.eq_ignore_ascii_case(*hidden))
}

/// Removes dot segments and empty ones (RFC 3986 section 5.2.4).
fn remove_dots(path: &[u8]) -> Result<String, Refusal> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut open = false;
    for segment in path.split(|b| *b == b'/').skip(1) {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b".." if kept.pop().is_none() => {
                return Err(Refusal::Malformed("The path climbs over its root."));
            }
            b"" | b"." | b".." => {}
            // Some servers cut what follows the semicolon, and climb.
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => {
                return Err(Refusal::Malformed("A dot segment may have no parameters."));
            }
            segment => kept.push(segment),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in &kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if open || out.is_empty() {
        out.push(b'/');
    }
    String::from_utf8(out).map_err(|_| BAD_ESCAPE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::tests::both_ways;

    fn canonical(target: &str) -> Option<String> {
        Path::canonical(target).ok().map(|path| path.path.into_owned())
    }

    #[test]
    fn a_path_has_one_spelling() {
        for (given, expected) in [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a/b/", Some("/a/b/")),
            ("/a//b", Some("/a/b")),
            ("//a", Some("/a")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/b/..", Some("/a/")),
            ("/.well-known/jwks.json", Some("/.well-known/jwks.json")),
            ("/%2e%2E/a", None),
            ("/a/%2e%2e/b", Some("/b")),
            ("/%61dmin", Some("/admin")),
            ("/caf%c3%a9", Some("/caf%C3%A9")),
            ("/a%20b", Some("/a%20b")),
            ("/a;b=c", Some("/a;b=c")),
            ("/a/..;/b", None),
            ("/a/.;x/b", None),
            ("/a/%2e.;x", None),
            ("/a/...;x", Some("/a/...;x")),
            ("/..", None),
            ("/../a", None),
            ("/a/../../b", None),
            ("/a%2fb", None),
            ("/a%5Cb", None),
            ("/a\\b", None),
            ("/a%00", None),
            ("/a%7f", None),
            ("/%252e%252e/a", None),
            ("/%252fa", None),
            ("/%2525", None),
            ("/100%25", Some("/100%25")),
            ("/a%2", None),
            ("/a%zz", None),
            ("/a b", None),
            ("/\u{e9}", None),
            ("a", None),
            ("*", None),
        ] {
            assert_eq!(canonical(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn the_query_stays_as_it_came() {
        let path = Path::canonical("/a?x=%2f..%2F&y=//").unwrap();
        assert_eq!(path.query, Some("x=%2f..%2F&y=//"));
        assert!(Path::canonical("/a?x= y").is_err());
    }

    #[test]
    fn a_query_without_a_path_belongs_to_the_root() {
        let path = Path::canonical("?x").unwrap();
        assert_eq!((&*path.path, path.query), ("/", Some("x")));
        assert!(Path::canonical("?x y").is_err());
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        assert!(matches!(Path::canonical("/api/a").unwrap().path, Cow::Borrowed(_)));
    }

    #[test]
    fn both_parsers_lead_to_the_same_path() {
        for target in ["/a/../b?c", "/a%2fb", "//x/./y", "/%41"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            both_ways(&head, |head| canonical(head.target));
        }
    }

    proptest! {
        #[test]
        fn the_canonical_path_of_a_canonical_path_is_itself(
            target in "/[a-zA-Z0-9./%2eEfFcC5_;~-]{0,40}",
        ) {
            if let Some(once) = canonical(&target) {
                prop_assert_eq!(canonical(&once), Some(once.clone()));
                prop_assert!(!once.split('/').any(|segment| segment == ".." || segment == "."));
            }
        }
    }
}
