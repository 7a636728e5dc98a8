//! Reads messages as strictly as RFC 9112 can be read, with nothing of the gateway's: what does not
//! pass here was not fit to be sent.

use std::fmt;

/// Largest head that is waited for, in bytes.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Field lines, their names in lower case, their values byte by byte as characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

/// The first line and the fields of a message.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub line: String,
    pub fields: Fields,
    /// With the empty line, in bytes.
    pub length: usize,
}

/// A whole message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub line: String,
    pub fields: Fields,
    pub body: Vec<u8>,
}

/// How far a message has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Its head is not whole.
    Head,
    /// Its body is not whole.
    Body(Head),
    /// It is whole, in so many bytes.
    Whole(Message, usize),
    /// It is an answer that ends with its connection.
    UntilClose(Head),
}

/// What an answer was asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Plainly,
    ByHead,
}

impl Fields {
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of the only field line `name`.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "      {name}: {value:?}"))
    }
}

/// The request at the beginning of `bytes`, or why it is none.
pub(crate) fn request(bytes: &[u8]) -> Result<Progress, String> {
    let Some(head) = head(bytes)? else { return Ok(Progress::Head) };
    let words: Vec<_> = head.line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        return Err(format!("no request line: {:?}", head.line));
    };
    let is_target = |target: &str| target.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if !is_token(method) || !target.starts_with('/') || !is_target(target) {
        return Err(format!("no request line: {:?}", head.line));
    }
    if head.fields.one("host").is_none_or(str::is_empty) {
        return Err("not exactly one host".to_owned());
    }
    framed(head, bytes, Without::Nothing)
}

/// The answer at the beginning of `bytes`, or why it is none.
pub(crate) fn answer(bytes: &[u8], asked: Asked) -> Result<Progress, String> {
    let Some(head) = head(bytes)? else { return Ok(Progress::Head) };
    let status = status(&head.line).ok_or_else(|| format!("no status line: {:?}", head.line))?;
    let is_framed = head.fields.has("content-length") || head.fields.has("transfer-encoding");
    if (status < 200 || status == 204) && is_framed {
        return Err(format!("a {status} with a length"));
    }
    if status < 200 || status == 204 || status == 304 || asked == Asked::ByHead {
        let length = head.length;
        sized(&head.fields)?;
        return Ok(Progress::Whole(whole(head, Vec::new()), length));
    }
    framed(head, bytes, Without::Close)
}

/// The status in a status line of HTTP/1.0 or HTTP/1.1.
pub(crate) fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let (code, _reason) = rest.split_once(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    code.parse().ok().filter(|status| is_code && (100..1000).contains(status))
}

/// What the end of a message without framing is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    Close,
}

fn framed(head: Head, bytes: &[u8], without: Without) -> Result<Progress, String> {
    let start = head.length;
    let rest = &bytes[start..];
    let (body, length) = match (sized(&head.fields)?, head.fields.one("transfer-encoding")) {
        (None, None) if without == Without::Close => return Ok(Progress::UntilClose(head)),
        (None, None) => (Vec::new(), 0),
        (Some(size), None) if rest.len() >= size => (rest[..size].to_vec(), size),
        (Some(_), None) => return Ok(Progress::Body(head)),
        (None, Some("chunked")) => match chunked(rest, head.fields.one("trailer"))? {
            Some(found) => found,
            None => return Ok(Progress::Body(head)),
        },
        (None, Some(other)) => return Err(format!("unknown framing {other:?}")),
        (Some(_), Some(_)) => return Err("framed twice".to_owned()),
    };
    Ok(Progress::Whole(whole(head, body), start + length))
}

fn whole(head: Head, body: Vec<u8>) -> Message {
    Message { line: head.line, fields: head.fields, body }
}

/// The only `Content-Length`, if there is one; nothing about framing may stand there twice.
fn sized(fields: &Fields) -> Result<Option<usize>, String> {
    for name in ["content-length", "transfer-encoding", "host", "date", "x-request-id"] {
        if fields.all(name).count() > 1 {
            return Err(format!("{name} more than once"));
        }
    }
    let Some(text) = fields.one("content-length") else { return Ok(None) };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("no length: {text:?}"));
    }
    text.parse().map(Some).map_err(|_| format!("no length: {text:?}"))
}

/// The head at the beginning of `bytes`; `None` while it is not whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let endless = bytes.len() > HEAD_BYTES_MAX;
        return if endless { Err("a head without an end".to_owned()) } else { Ok(None) };
    };
    let text: String = bytes[..end].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let mut fields = Fields::default();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no field: {line:?}"))?;
        let is_text = |c: char| c == '\t' || !(c.is_ascii_control() || c == '\u{7f}');
        if !is_token(name) || !value.chars().all(is_text) {
            return Err(format!("no field: {line:?}"));
        }
        fields.0.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    if line.chars().any(|c| c.is_ascii_control()) {
        return Err(format!("a control in {line:?}"));
    }
    Ok(Some(Head { line, fields, length: end + 4 }))
}

/// The chunked body at the beginning of `bytes` and its length; `None` while it is not whole. There
/// may be no extensions, and no trailers but those that were `announced`: none of them has any business
/// behind the gateway.
fn chunked(bytes: &[u8], announced: Option<&str>) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else {
            let long = rest.len() > 20;
            return if long { Err("no chunk size".to_owned()) } else { Ok(None) };
        };
        let digits = &rest[..line];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("no chunk size: {:?}", String::from_utf8_lossy(digits)));
        }
        let size = usize::from_str_radix(&String::from_utf8_lossy(digits), 16)
            .map_err(|error| format!("no chunk size: {error}"))?;
        let (start, end) = (at + line + 2, at + line + 2 + size);
        if let (0, Some(names)) = (size, announced) {
            let found = trailers(&bytes[start..], names)?;
            return Ok(found.map(|length| (body, start + length)));
        }
        let Some(after) = bytes.get(end..end + 2) else { return Ok(None) };
        if after != b"\r\n" {
            return Err(format!("{after:?} behind a chunk of {size}"));
        }
        body.extend_from_slice(&bytes[start..end]);
        at = end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// How long the trailers at the beginning of `bytes` are, with the empty line, if they were announced.
fn trailers(bytes: &[u8], announced: &str) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = String::from_utf8_lossy(&rest[..end]);
        at += end + 2;
        if line.is_empty() {
            return Ok(Some(at));
        }
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !announced.split(", ").any(|known| known == name) {
            return Err(format!("a trailer that nobody announced: {line:?}"));
        }
    }
}

fn is_token(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_part)
}

#[test]
fn the_reader_is_strict() {
    for good in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ] {
        let is_whole =
            matches!(request(good.as_bytes()), Ok(Progress::Whole(_, n)) if n == good.len());
        assert!(is_whole, "{good:?}");
    }
    for bad in [
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        assert!(request(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
