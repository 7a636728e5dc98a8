//! What connections that do nothing cost in memory: kept ones of HTTP, and tunnels.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use crate::figures::float;
use crate::frames::{self, By};
use crate::issuer::Issuer;
use crate::machine::{self, Layout, allow_files};
use crate::peers::{self, Peer, Running, Setting};
use crate::proc::Memory;
use crate::program::{Process, print};
use crate::table::Table;
use crate::{Outcome, request};

/// Who is measured.
const PEERS: [Peer; 3] = [Peer::Hubbub, Peer::Nginx, Peer::Haproxy];
/// What this process and each that it starts may open.
const FILES: u64 = 20_000;
/// Bytes of an answer's body.
const BODY_BYTES: usize = 1024;
/// How long everybody may come to rest before memory is looked at.
const REST: Duration = Duration::from_secs(2);
/// Longest wait for a tunnel's message.
const WINDOW: Duration = Duration::from_secs(10);
/// What a tunnel carries once.
const MESSAGE: [u8; 128] = [b'x'; 128];

/// How `bench memory` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Who gets which core.
    #[arg(long, value_enum, default_value_t = Layout::Pinned)]
    pub(crate) layout: Layout,
    /// Idle keep-alive connections.
    #[arg(long, default_value_t = 1000)]
    pub(crate) connections: usize,
    /// Idle WebSockets.
    #[arg(long, default_value_t = 8000)]
    pub(crate) tunnels: usize,
}

/// Measures, and gives the report.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    let Options { layout, connections, tunnels } = *options;
    peers::need_all(&PEERS, &["nginx"])?;
    allow_files(FILES)?;
    layout.load().take()?;
    let issuer = Issuer::start(layout.load())?;
    let mut text = String::new();
    writeln!(text, "Memory of all processes of a proxy, in KiB; {}.", layout.words())?;
    writeln!(text, "{}; {}", machine::words(), peers::versions(&PEERS))?;
    writeln!(text, "\n{connections} keep-alive connections, idle after one request each")?;
    text.push_str(&kept(layout, connections, &issuer)?);
    writeln!(text, "Goal: at most 16384 KiB PSS with 1,000 connections (aim: 10240).")?;
    writeln!(text, "\n{tunnels} WebSockets through hubbub, at most {FILES} open files")?;
    text.push_str(&tunnelled(layout, tunnels, &issuer)?);
    writeln!(text, "Goal: at most 12 KiB for each of 8,000 that are idle (aim: 6).")?;
    Ok(text)
}

fn kept(layout: Layout, connections: usize, issuer: &Issuer) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let (_process, upstream) = peers::upstream(folder.path(), BODY_BYTES, layout.load())?;
    let setting = Setting { folder: folder.path(), layout, upstream, issuer };
    let mut table = Table::new(COLUMNS);
    for running in peers::start(&PEERS, &setting)? {
        print(&format!("connections: {}\n", running.peer.name()));
        let path = format!("/bench/{BODY_BYTES}");
        let request = request::get(running.address, &path, &issuer.token);
        // The first one shows what is allocated once.
        request::send(&mut request::open(running.address)?, &request, BODY_BYTES)?;
        let before = at_rest(&running)?;
        let mut streams = Vec::new();
        for _ in 0..connections {
            let mut stream = request::open(running.address)?;
            request::send(&mut stream, &request, BODY_BYTES)?;
            streams.push(stream);
        }
        let after = at_rest(&running)?;
        // All of them were there while they were counted.
        for stream in &mut streams {
            request::send(stream, &request, BODY_BYTES)?;
        }
        table.row(cells(running.peer.name(), before, after, connections));
    }
    Ok(table.text())
}

fn tunnelled(layout: Layout, tunnels: usize, issuer: &Issuer) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let echo = Process::own("echo", layout.load(), layout.load(), &[], "  echo")?;
    let upstream = echo.line("echo")?.parse()?;
    let setting = Setting { folder: folder.path(), layout, upstream, issuer };
    let mut table = Table::new(COLUMNS);
    for running in peers::start(&[Peer::Hubbub], &setting)? {
        print("tunnels\n");
        drop(open_tunnel(&running, issuer)?);
        let before = at_rest(&running)?;
        let mut streams = Vec::new();
        for _ in 0..tunnels {
            streams.push(open_tunnel(&running, issuer)?);
        }
        let idle = at_rest(&running)?;
        streams.iter_mut().try_for_each(there_and_back)?;
        let used = at_rest(&running)?;
        table.row(cells("idle since they were opened", before, idle, tunnels));
        table.row(cells("idle after a message each", before, used, tunnels));
    }
    Ok(table.text())
}

fn open_tunnel(running: &Running, issuer: &Issuer) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(running.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WINDOW))?;
    stream.write_all(frames::handshake(running.address, &issuer.token).as_bytes())?;
    let mut answer = Vec::new();
    while frames::accepted(&answer)?.is_none() {
        receive(&mut stream, &mut answer)?;
    }
    Ok(stream)
}

fn there_and_back(stream: &mut TcpStream) -> Outcome<()> {
    let mut output = Vec::new();
    frames::write(&mut output, By::Client, &MESSAGE);
    stream.write_all(&output)?;
    let mut input = Vec::new();
    while frames::first(&input, By::Server)?.is_none() {
        receive(stream, &mut input)?;
    }
    if input.ends_with(&MESSAGE) { Ok(()) } else { Err("another message came back".into()) }
}

fn receive(stream: &mut TcpStream, to: &mut Vec<u8>) -> Outcome<()> {
    let mut part = [0; 4096];
    let read = stream.read(&mut part)?;
    to.extend_from_slice(&part[..read]);
    if read > 0 { Ok(()) } else { Err("the tunnel was closed".into()) }
}

fn at_rest(running: &Running) -> Outcome<Memory> {
    sleep(REST);
    running.process.memory()
}

const COLUMNS: [&str; 6] =
    ["", "PSS before", "PSS with them", "RSS with them", "PSS for each", "RSS for each"];

fn cells(name: &str, before: Memory, after: Memory, count: usize) -> [String; 6] {
    let each = |before: u64, after: u64| {
        format!("{:.2}", (float(after) - float(before)) / float(count as u64))
    };
    [
        name.to_owned(),
        before.pss.to_string(),
        after.pss.to_string(),
        after.rss.to_string(),
        each(before.pss, after.pss),
        each(before.rss, after.rss),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_costs_is_what_was_added() {
        let memory = |kib| Memory { rss: kib + 1000, pss: kib };
        let cells = cells("x", memory(5000), memory(7500), 1000);
        assert_eq!(cells, ["x", "5000", "7500", "8500", "2.50", "2.50"]);
    }
}
