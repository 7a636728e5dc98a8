//! The access log: one line of JSON per request, written together from time to time by one thread,
//! so that no request waits for a disk. A token never gets in.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use chassis::{StartError, Stop};
use contract::{Kind, Timestamp, UserId};
use serde::Deserialize;
use uuid::Uuid;

use crate::metrics::Count;

/// How many bytes of lines a core collects before it hands them over.
const BATCH_BYTES: usize = 32 * 1024;
/// Batches that wait to be written; one more is lost, and counted.
const WAITING_MAX: usize = 64;
/// Longest target in a line, in bytes.
const TARGET_BYTES_MAX: usize = 1024;
/// Parameters of a query whose value is a secret.
const SECRETS: [&str; 5] = ["token", "ticket", "access_token", "code", "api_key"];

/// `[gateway.access_log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `stdout`, `stderr`, `off`, or a file in the data folder.
    pub to: String,
    /// Whether the caller's address stands in the line.
    pub client_address: bool,
    /// How long lines may wait to be written together.
    #[serde(with = "chassis::config::span")]
    pub interval: Duration,
}

/// What a line says.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub at: Timestamp,
    pub request_id: &'a [u8],
    pub method: &'a str,
    /// Path and query; secrets are masked here.
    pub target: &'a str,
    pub status: u16,
    pub route: Option<&'a str>,
    pub refusal: Option<(Kind, Option<&'a str>)>,
    pub user: Option<UserId>,
    pub client: IpAddr,
    pub took: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// Opens the log: the way in for every core. `None` when it is off. The writer ends when the last
/// core has let go of it, and the drain of `stop` waits for that.
pub(crate) fn open(
    config: &Config,
    data: &Path,
    stop: &Stop,
) -> Result<Option<SyncSender<Vec<u8>>>, StartError> {
    let out: Box<dyn Write + Send> = match config.to.as_str() {
        "off" => return Ok(None),
        "stdout" => Box::new(io::stdout()),
        "stderr" => Box::new(io::stderr()),
        file => Box::new(open_file(&data.join(file))?),
    };
    let (sender, batches) = sync_channel(WAITING_MAX);
    let token = stop.tracker().token();
    thread::Builder::new()
        .name("gateway-log".to_owned())
        .spawn(move || {
            write_all(out, &batches);
            drop(token);
        })
        .map_err(|error| StartError::Other(error.into()))?;
    Ok(Some(sender))
}

fn open_file(path: &Path) -> Result<File, StartError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StartError::Path { path: path.to_owned(), source })
}

fn write_all(mut out: Box<dyn Write + Send>, batches: &Receiver<Vec<u8>>) {
    while let Ok(batch) = batches.recv() {
        // A full disk or a closed pipe loses lines; it must not stop the gateway.
        out.write_all(&batch).and_then(|()| out.flush()).ok();
    }
}

/// The lines of one core that are not handed over yet.
#[derive(Debug)]
pub(crate) struct Batch {
    lines: RefCell<Vec<u8>>,
    to: Option<SyncSender<Vec<u8>>>,
    with_client: bool,
    /// The last second that was written, and how it is written.
    second: Cell<(i64, [u8; 19])>,
}

impl Batch {
    pub(crate) fn new(to: Option<SyncSender<Vec<u8>>>, config: &Config) -> Self {
        Self {
            lines: RefCell::default(),
            to,
            with_client: config.client_address,
            second: Cell::new((i64::MIN, [0; 19])),
        }
    }

    /// Adds a line. Batches that nobody could take are counted in `lost`.
    pub(crate) fn add(&self, entry: &Entry<'_>, lost: &Count) {
        if self.to.is_none() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        // Writing into memory cannot fail.
        self.line(&mut lines, entry).ok();
        if lines.len() >= BATCH_BYTES {
            drop(lines);
            self.hand_over(lost);
        }
    }

    /// Hands what is there to the writer; never waits for it.
    pub(crate) fn hand_over(&self, lost: &Count) {
        let (Some(to), false) = (&self.to, self.lines.borrow().is_empty()) else { return };
        let next = Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8);
        if to.try_send(self.lines.replace(next)).is_err() {
            lost.add(1);
        }
    }

    fn line(&self, out: &mut Vec<u8>, entry: &Entry<'_>) -> io::Result<()> {
        out.extend_from_slice(b"{\"at\":\"");
        out.extend_from_slice(&self.second(entry.at));
        write_thousandths(out, entry.at.0.rem_euclid(1000).unsigned_abs());
        out.extend_from_slice(b"Z\",\"requestId\":\"");
        // Made here, or taken with safe characters only.
        out.extend_from_slice(entry.request_id);
        out.extend_from_slice(b"\",\"method\":");
        serde_json::to_writer(&mut *out, entry.method)?;
        out.extend_from_slice(b",\"target\":");
        write_target(out, entry.target)?;
        write_number(out, b",\"status\":", entry.status.into());
        if let Some(route) = entry.route {
            out.extend_from_slice(b",\"route\":");
            serde_json::to_writer(&mut *out, route)?;
        }
        if let Some((kind, cause)) = entry.refusal {
            write!(out, ",\"problem\":\"{}\"", kind.slug())?;
            if let Some(cause) = cause {
                out.extend_from_slice(b",\"cause\":");
                serde_json::to_writer(&mut *out, cause)?;
            }
        }
        if let Some(UserId(user)) = entry.user {
            out.extend_from_slice(b",\"userId\":\"");
            out.extend_from_slice(
                user.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes(),
            );
            out.push(b'"');
        }
        if self.with_client {
            write!(out, ",\"client\":\"{}\"", entry.client)?;
        }
        let micros = u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX);
        write_number(out, b",\"durationMs\":", micros / 1000);
        write_thousandths(out, micros % 1000);
        write_number(out, b",\"bytesIn\":", entry.bytes_in);
        write_number(out, b",\"bytesOut\":", entry.bytes_out);
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// `2026-11-20T17:00:00`, which a second's requests share.
    fn second(&self, at: Timestamp) -> [u8; 19] {
        let (second, text) = self.second.get();
        if second == at.seconds() {
            return text;
        }
        let mut text = [b'0'; 19];
        text.iter_mut().zip(at.to_string().bytes()).for_each(|(to, from)| *to = from);
        self.second.set((at.seconds(), text));
        text
    }
}

fn write_number(out: &mut Vec<u8>, before: &[u8], number: u64) {
    out.extend_from_slice(before);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a point and three digits.
fn write_thousandths(out: &mut Vec<u8>, number: u64) {
    let digits = [number / 100, number / 10, number].map(|d| u8::try_from(d % 10).unwrap_or(0));
    out.push(b'.');
    out.extend(digits.map(|digit| b'0' + digit));
}

/// Writes `target` as a JSON string, cut to its bound, with the values of secrets masked.
fn write_target(out: &mut Vec<u8>, target: &str) -> io::Result<()> {
    let end =
        (0..=TARGET_BYTES_MAX.min(target.len())).rev().find(|at| target.is_char_boundary(*at));
    let target = target.get(..end.unwrap_or(0)).unwrap_or_default();
    let Some((path, query)) = target.split_once('?') else {
        return Ok(serde_json::to_writer(out, target)?);
    };
    let is_secret = |pair: &str| {
        let name = pair.split('=').next().unwrap_or(pair);
        // A name that is spelled with percent signs is not worth telling apart.
        name.contains('%') || SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
    };
    if !query.split('&').any(is_secret) {
        return Ok(serde_json::to_writer(out, target)?);
    }
    let masked: Vec<_> = query
        .split('&')
        .map(|pair| match pair.split('=').next() {
            Some(name) if is_secret(pair) => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    Ok(serde_json::to_writer(out, &format!("{path}?{}", masked.join("&")))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str) -> Entry<'_> {
        Entry {
            at: Timestamp(1_795_194_000_007),
            request_id: b"abc",
            method: "GET",
            target,
            status: 502,
            route: Some("chat"),
            refusal: Some((Kind::UpstreamFailed, Some("chat: \"broke\" off"))),
            user: Some(UserId(Uuid::nil())),
            client: IpAddr::from([127, 0, 0, 1]),
            took: Duration::from_micros(1_234),
            bytes_in: 1,
            bytes_out: 2,
        }
    }

    fn line(target: &str) -> serde_json::Value {
        let config = Config { to: "off".into(), client_address: true, interval: Duration::ZERO };
        let batch = Batch::new(None, &config);
        let mut out = Vec::new();
        batch.line(&mut out, &entry(target)).unwrap();
        assert_eq!(out.split(|b| *b == b'\n').count(), 2);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_is_json_and_says_what_happened() {
        let line = line("/api/\"x\"\\");
        assert_eq!(line["at"], "2026-11-20T17:00:00.007Z");
        assert_eq!(line["target"], "/api/\"x\"\\");
        assert_eq!(line["problem"], "upstream-failed");
        assert_eq!(line["cause"], "chat: \"broke\" off");
        assert_eq!(line["durationMs"], 1.234);
        assert_eq!(line["client"], "127.0.0.1");
    }

    #[test]
    fn secrets_of_a_query_are_masked_in_every_spelling() {
        let line = line("/ws?room=1&token=eyJ.x.y&TICKET=abc&to%6ben=eyJ&x");
        assert_eq!(line["target"], "/ws?room=1&token=***&TICKET=***&to%6ben=***&x");
    }

    #[test]
    fn a_long_target_is_cut() {
        let target = format!("/{}", "\u{e9}".repeat(2000));
        let line = line(&target);
        assert!(line["target"].as_str().unwrap().len() <= TARGET_BYTES_MAX);
    }

    #[test]
    fn a_batch_is_handed_over_and_a_full_way_loses_it_countably() {
        let (to, batches) = sync_channel(1);
        let config = Config { to: "x".into(), client_address: false, interval: Duration::ZERO };
        let batch = Batch::new(Some(to), &config);
        let lost = Count::default();
        for _ in 0..2 {
            batch.add(&entry("/"), &lost);
            batch.hand_over(&lost);
        }
        assert_eq!(batches.try_iter().count(), 1);
    }
}
