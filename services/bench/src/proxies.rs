//! What a proxied request costs, through each proxy in turns, with as many requests as it can take.

use std::fmt::Write as _;

use clap::Args;

use crate::Outcome;
use crate::issuer::Issuer;
use crate::machine::{self, Layout};
use crate::neighbours::Neighbours;
use crate::peers::{self, Peer, Running, Setting};
use crate::rounds::{Goal, Turn, in_turns, report};
use crate::wrk::Load;

/// Who is measured unless said otherwise; Pingora has to be asked for, since it has to be built.
const PEERS: [Peer; 7] = [
    Peer::Direct,
    Peer::Hubbub,
    Peer::HubbubGeneral,
    Peer::Nginx,
    Peer::NginxLogging,
    Peer::Haproxy,
    Peer::Caddy,
];
/// What is to be reached with small answers.
const GOALS: [Goal; 4] = [
    Goal { against: Peer::Nginx, reach: 1.05, aim: 1.15 },
    Goal { against: Peer::Haproxy, reach: 1.2, aim: 1.4 },
    Goal { against: Peer::Pingora, reach: 2.6, aim: 3.5 },
    Goal { against: Peer::Caddy, reach: 5.5, aim: 7.0 },
];
/// What is to be reached with large ones.
const LARGE_GOALS: [Goal; 1] = [Goal { against: Peer::Nginx, reach: 1.0, aim: 1.2 }];
/// Answers from this size on are large ones.
const LARGE_BYTES: usize = 32 * 1024;

/// How `bench proxies` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Bytes of an answer's body.
    #[arg(long, default_value_t = 1024)]
    pub(crate) body: usize,
    /// Who gets which core.
    #[arg(long, value_enum, default_value_t = Layout::Pinned)]
    pub(crate) layout: Layout,
    /// Turns of each peer.
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Length of a turn.
    #[arg(long, default_value_t = 4)]
    pub(crate) seconds: u64,
    /// Keep-alive connections, each with one request in flight.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Measures a minimal Pingora too, which is built first: some minutes once, with cmake.
    #[arg(long)]
    pub(crate) pingora: bool,
    /// Only these peers, as in `hubbub,nginx`.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) peers: Vec<Peer>,
}

impl Options {
    fn peers(&self) -> Vec<Peer> {
        let mut peers = if self.peers.is_empty() { PEERS.to_vec() } else { self.peers.clone() };
        if self.pingora && !peers.contains(&Peer::Pingora) {
            peers.push(Peer::Pingora);
        }
        peers
    }
}

/// Measures, and gives the report.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    let peers = options.peers();
    let Options { layout, body, rounds, seconds, connections, .. } = *options;
    peers::need_all(&peers, &["nginx", "wrk"])?;
    layout.load().take()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let issuer = Issuer::start(layout.load())?;
    let (upstream, address) = peers::upstream(folder, body, layout.load())?;
    let setting = Setting { folder, layout, upstream: address, issuer: &issuer };
    let mut everybody = peers::start(&peers, &setting)?;
    if let Some(place) = peers.iter().position(|peer| *peer == Peer::Direct) {
        everybody.insert(place, Running { peer: Peer::Direct, process: upstream, address });
    }
    let neighbours = Neighbours::watch();
    let load = Load::new(folder, connections, body, &issuer.token)?;
    let everybody: Vec<_> = everybody.iter().collect();
    let rows = in_turns(&everybody, rounds, seconds, |peer, seconds| turn(peer, &load, seconds));

    let mut text = String::new();
    writeln!(text, "Proxies at saturation: HTTP/1.1, {body} B answers, {connections} keep-alive")?;
    writeln!(text, "connections (wrk), {rounds} rounds of {seconds} s each in turns;")?;
    writeln!(text, "{}. CPU is utime + stime of all", layout.words())?;
    writeln!(text, "of a proxy's processes; direct is the upstream's own. Median (min to max).")?;
    writeln!(text, "{}; {}", machine::words(), peers::versions(&peers))?;
    writeln!(text, "{}", neighbours.words())?;
    if !peers.contains(&Peer::Pingora) {
        writeln!(text, "Pingora is left out: it takes part with --pingora.")?;
    }
    let goals = if body < LARGE_BYTES { &GOALS[..] } else { &LARGE_GOALS[..] };
    Ok(text + &report(&rows, "request", goals))
}

fn turn(peer: &Running, load: &Load, seconds: u64) -> Outcome<Turn> {
    load.check(peer.address)?;
    let before = peer.process.cpu();
    let figures = load.run(peer.address, seconds)?;
    Ok(Turn {
        count: figures.requests,
        span: figures.span,
        cpu: peer.process.cpu() - before,
        p50: figures.p50,
        p99: figures.p99,
        faults: figures.faults(load.body_bytes),
    })
}
