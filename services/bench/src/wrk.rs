//! Load at saturation by `wrk`: it takes less of the load's core than anything of ours would.
//!
//! What it does not tell apart is checked around it: a status below 400 that is not 200 by one exact
//! request before each turn, a short body by the bytes that came.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::find;
use crate::{Outcome, request};

/// Prints one line of figures that [`parse`] reads. Without a function for requests or answers, no
/// Lua runs while it measures.
const SCRIPT: &str = r#"
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d %d %d %d %d %d\n",
    summary.requests, summary.duration, summary.bytes,
    e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#;

/// The load of every turn.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    connections: usize,
    path: String,
    pub(crate) body_bytes: usize,
    token: String,
    script: PathBuf,
}

/// What came of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) span: Duration,
    bytes: u64,
    errors: Vec<(&'static str, u64)>,
    /// Waits, in microseconds.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

impl Load {
    /// A load on `connections` that asks for bodies of so many bytes; its script is kept in `folder`.
    pub(crate) fn new(
        folder: &Path,
        connections: usize,
        body_bytes: usize,
        token: &str,
    ) -> Outcome<Self> {
        let script = folder.join("figures.lua");
        fs::write(&script, SCRIPT)?;
        let path = format!("/bench/{body_bytes}");
        Ok(Self { connections, path, body_bytes, token: token.to_owned(), script })
    }

    /// One request whose answer is looked at byte by byte.
    pub(crate) fn check(&self, address: SocketAddr) -> Outcome<()> {
        let request = request::get(address, &self.path, &self.token);
        request::send(&mut request::open(address)?, &request, self.body_bytes)
    }

    /// Keeps every connection busy for so many seconds.
    pub(crate) fn run(&self, address: SocketAddr, seconds: u64) -> Outcome<Figures> {
        let mut command = Command::new(find("wrk").ok_or("wrk is missing")?);
        command.arg("-t1").arg(format!("-c{}", self.connections));
        command.arg(format!("-d{seconds}s")).arg("-s").arg(&self.script);
        command.arg("-H").arg(format!("Authorization: Bearer {}", self.token));
        command.arg(format!("http://{address}{}", self.path));
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).ok_or_else(|| format!("wrk said: {text}").into())
    }
}

impl Figures {
    /// What went wrong, in words; nothing when all is well.
    pub(crate) fn faults(&self, body_bytes: usize) -> Vec<String> {
        let errors = self.errors.iter().filter(|(_, count)| *count > 0);
        let mut faults: Vec<_> = errors.map(|(kind, count)| format!("{count} {kind}")).collect();
        let least = u128::from(self.requests) * body_bytes as u128;
        if self.requests == 0 {
            faults.push("no answer".to_owned());
        } else if u128::from(self.bytes) < least {
            faults.push("bodies that are too short".to_owned());
        }
        faults
    }
}

fn parse(output: &str) -> Option<Figures> {
    let line = output.lines().find_map(|line| line.strip_prefix("figures "))?;
    let figures: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [requests, micros, bytes, connect, read, write, status, timeout, p50, p99] = figures[..]
    else {
        return None;
    };
    let errors = vec![
        ("failed connections", connect),
        ("failed reads", read),
        ("failed writes", write),
        ("bad statuses", status),
        ("timeouts", timeout),
    ];
    Some(Figures { requests, span: Duration::from_micros(micros), bytes, errors, p50, p99 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read() {
        let output =
            "Running 1s test\n  1 threads\nfigures 100 1000000 130000 0 0 0 0 0 640 5700\n";
        let figures = parse(output).unwrap();
        assert_eq!((figures.requests, figures.p50, figures.p99), (100, 640, 5700));
        assert_eq!(figures.span, Duration::from_secs(1));
        assert!(figures.faults(1024).is_empty());
        assert_eq!(parse("Running 1s test\n"), None);
        assert_eq!(parse("figures 1 2 3\n"), None);
    }

    #[test]
    fn every_fault_is_named() {
        let faults = |line: &str, body| parse(line).unwrap().faults(body).join(", ");
        let refused = "figures 100 1000000 130000 0 2 0 98 0 640 5700\n";
        assert_eq!(faults(refused, 1024), "2 failed reads, 98 bad statuses");
        let short = "figures 100 1000000 10000 0 0 0 0 0 640 5700\n";
        assert_eq!(faults(short, 1024), "bodies that are too short");
        assert_eq!(faults("figures 0 1000000 0 0 0 0 0 0 0 0\n", 1024), "no answer");
    }
}
