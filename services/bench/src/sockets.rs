//! What a WebSocket message costs there and back, through each proxy in turns.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

use crate::echo::read;
use crate::figures::percentile;
use crate::frames::{By, accepted, first, handshake, write};
use crate::issuer::Issuer;
use crate::machine::{self, Layout};
use crate::neighbours::Neighbours;
use crate::peers::{self, Peer, Running, Setting};
use crate::program::Process;
use crate::rounds::{Goal, Turn, in_turns, report};
use crate::{Outcome, runtime};

/// Who is measured.
const PEERS: [Peer; 4] = [Peer::Hubbub, Peer::NginxTunnel16, Peer::NginxTunnel64, Peer::Haproxy];
/// Longest wait for anything.
const WINDOW: Duration = Duration::from_secs(10);
/// What is to be reached with large messages.
const GOALS: [Goal; 1] = [Goal { against: Peer::Haproxy, reach: 1.15, aim: 1.25 }];

/// How `bench sockets` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Who gets which core.
    #[arg(long, value_enum, default_value_t = Layout::Pinned)]
    pub(crate) layout: Layout,
    /// Turns of each peer.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Length of a turn.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
}

/// What goes there and back.
#[derive(Debug, Clone, Copy)]
struct Talk {
    name: &'static str,
    connections: usize,
    bytes: usize,
    in_flight: usize,
    goals: &'static [Goal],
}

const TALKS: [Talk; 2] = [
    Talk { name: "Streaming", connections: 16, bytes: 16 * 1024, in_flight: 8, goals: &GOALS },
    Talk { name: "Ping-pong", connections: 100, bytes: 128, in_flight: 1, goals: &[] },
];

/// Measures, and gives the report.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    let Options { layout, rounds, seconds } = *options;
    peers::need_all(&PEERS, &[])?;
    layout.load().take()?;
    let folder = tempfile::tempdir()?;
    let issuer = Issuer::start(layout.load())?;
    let echo = Process::own("echo", layout.load(), layout.load(), &[], "  echo")?;
    let upstream = echo.line("echo")?.parse()?;
    let setting = Setting { folder: folder.path(), layout, upstream, issuer: &issuer };
    let mut everybody = peers::start(&PEERS, &setting)?;
    everybody.insert(0, Running { peer: Peer::Direct, process: echo, address: upstream });
    let everybody: Vec<_> = everybody.iter().collect();
    let neighbours = Neighbours::watch();
    let runtime = runtime()?;
    let mut text = String::new();
    writeln!(
        text,
        "WebSocket messages there and back, {rounds} rounds of {seconds} s each in turns;"
    )?;
    writeln!(text, "{}. CPU is utime + stime of all", layout.words())?;
    writeln!(text, "of a proxy's processes; direct is the echo's own. Median (min to max).")?;
    writeln!(text, "{}; {}", machine::words(), peers::versions(&PEERS))?;
    for talk in TALKS {
        let Talk { name, connections, bytes, in_flight, goals } = talk;
        let rows = in_turns(&everybody, rounds, seconds, |peer, seconds| {
            let span = Duration::from_secs(seconds);
            runtime.block_on(LocalSet::new().run_until(turn(peer, talk, &issuer.token, span)))
        });
        writeln!(
            text,
            "\n{name}: {bytes} B, {connections} connections, {in_flight} in flight each"
        )?;
        text.push_str(&report(&rows, "round trip", goals));
    }
    writeln!(text, "\n{}", neighbours.words())?;
    Ok(text)
}

async fn turn(peer: &Running, talk: Talk, token: &str, span: Duration) -> Outcome<Turn> {
    let mut streams = Vec::new();
    for _ in 0..talk.connections {
        streams.push(timeout(WINDOW, open(peer.address, token)).await??);
    }
    let before = peer.process.cpu();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn_local(timeout(span + WINDOW, speak(stream, talk, began + span)));
    }
    let mut waits = Vec::new();
    let mut faults = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done? {
            Ok(Ok(more)) => waits.extend(more),
            Ok(Err(error)) => faults.push(error.to_string()),
            Err(_) => faults.push("a message did not come back".to_owned()),
        }
    }
    let (span, cpu) = (began.elapsed(), peer.process.cpu() - before);
    waits.sort_unstable();
    let [p50, p99] = [500, 990].map(|share| percentile(&waits, share));
    Ok(Turn { count: waits.len() as u64, span, cpu, p50, p99, faults })
}

async fn open(address: SocketAddr, token: &str) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(handshake(address, token).as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if read(&stream, &mut answer).await? == 0 {
            return Err("the handshake was not answered".into());
        }
        // The echo is silent until it hears something.
        if accepted(&answer)?.is_some() {
            return Ok(stream);
        }
    }
}

/// Sends until `end` and waits for what is still under way; gives how long each message took, in
/// microseconds. Every message has to come back, in order and unchanged in length.
async fn speak(mut stream: TcpStream, talk: Talk, end: Instant) -> Outcome<Vec<u64>> {
    let mut payload = vec![b'x'; talk.bytes];
    let mut number = 0_u64;
    let mut sent = VecDeque::new();
    let mut waits = Vec::new();
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut wanted = talk.in_flight;
    loop {
        let now = Instant::now();
        for _ in 0..wanted {
            number += 1;
            payload[..8].copy_from_slice(&number.to_be_bytes());
            write(&mut output, By::Client, &payload);
            sent.push_back((number, now));
        }
        stream.write_all(&output).await?;
        output.clear();
        if sent.is_empty() {
            return Ok(waits);
        }
        if read(&stream, &mut input).await? == 0 {
            return Err("the socket was closed".into());
        }
        let now = Instant::now();
        let mut done = 0;
        wanted = 0;
        while let Some(frame) = first(&input[done..], By::Server)? {
            let payload = &input[done + frame.head..done + frame.whole];
            let (number, at) = sent.pop_front().ok_or("more came back than was sent")?;
            if payload.len() != talk.bytes || payload[..8] != number.to_be_bytes() {
                return Err(format!("message {number} came back as another").into());
            }
            waits.push(u64::try_from((now - at).as_micros())?);
            done += frame.whole;
            wanted += usize::from(now < end);
        }
        input.drain(..done);
    }
}
