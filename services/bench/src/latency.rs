//! How long a request waits at half load: a rate that every serious peer carries with ease, sent
//! whether or not the answers keep up.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use crate::Outcome;
use crate::figures::{Spread, float, percentile, rate};
use crate::issuer::Issuer;
use crate::machine::{self, Layout};
use crate::neighbours::Neighbours;
use crate::open_loop::{self, Schedule};
use crate::peers::{self, Peer, Running, Setting};
use crate::program::print;
use crate::request;
use crate::table::Table;
use crate::wrk::Load;

/// Who is measured, besides going direct.
const PEERS: [Peer; 3] = [Peer::Hubbub, Peer::Nginx, Peer::Haproxy];
/// Bytes of an answer's body.
const BODY_BYTES: usize = 1024;
/// Connections of the load.
const CONNECTIONS: usize = 64;
/// How long each peer is saturated, to know what half of that is.
const SATURATED_SECONDS: u64 = 2;
/// Length of the turn that only warms up.
const WARM_UP: Duration = Duration::from_millis(500);

/// How `bench latency` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Who gets which core.
    #[arg(long, value_enum, default_value_t = Layout::Pinned)]
    pub(crate) layout: Layout,
    /// Turns of each peer.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// Length of a turn.
    #[arg(long, default_value_t = 4)]
    pub(crate) seconds: u64,
    /// Requests per second; half of what the slowest peer can take unless given.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
}

/// The turns of one peer, in microseconds.
struct Row {
    peer: Peer,
    p50: Vec<f64>,
    p99: Vec<f64>,
    faults: Vec<String>,
}

/// Measures, and gives the report.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    let Options { layout, rounds, seconds, .. } = *options;
    peers::need_all(&PEERS, &["nginx", "wrk"])?;
    layout.load().take()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let issuer = Issuer::start(layout.load())?;
    let (upstream, address) = peers::upstream(folder, BODY_BYTES, layout.load())?;
    let setting = Setting { folder, layout, upstream: address, issuer: &issuer };
    let mut everybody = peers::start(&PEERS, &setting)?;
    let neighbours = Neighbours::watch();
    let load = Load::new(folder, CONNECTIONS, BODY_BYTES, &issuer.token)?;
    let requests = match options.rate {
        Some(rate) => rate,
        None => half(&everybody, &load)?,
    };
    everybody.insert(0, Running { peer: Peer::Direct, process: upstream, address });
    let path = format!("/bench/{BODY_BYTES}");
    let turn = |running: &Running, span| {
        let request = request::get(running.address, &path, &issuer.token);
        let schedule = Schedule::new(requests, span)?;
        open_loop::run(running.address, &request, CONNECTIONS, schedule)
    };
    let rows = in_turns(&everybody, rounds, Duration::from_secs(seconds), turn);

    let mut text = String::new();
    writeln!(
        text,
        "Waits at half load: HTTP/1.1, {BODY_BYTES} B answers, {requests:.0} requests/s at a"
    )?;
    writeln!(
        text,
        "constant rate over {CONNECTIONS} keep-alive connections, counted from when each was to be"
    )?;
    writeln!(text, "sent; {rounds} rounds of {seconds} s each in turns; {}.", layout.words())?;
    writeln!(text, "Median (min to max) of the rounds' percentiles.")?;
    writeln!(text, "{}; {}", machine::words(), peers::versions(&PEERS))?;
    writeln!(text, "{}\n", neighbours.words())?;
    Ok(text + &report(&rows))
}

/// Half of what the slowest of `everybody` can take.
fn half(everybody: &[Running], load: &Load) -> Outcome<f64> {
    let mut slowest = f64::INFINITY;
    for running in everybody {
        load.check(running.address)?;
        let figures = load.run(running.address, SATURATED_SECONDS)?;
        let most = rate(figures.requests, figures.span);
        print(&format!("{} takes {most:.0} requests/s\n", running.peer.name()));
        slowest = slowest.min(most);
    }
    Ok(slowest / 2.0)
}

fn in_turns(
    everybody: &[Running],
    rounds: usize,
    span: Duration,
    turn: impl Fn(&Running, Duration) -> Outcome<Vec<u64>>,
) -> Vec<Row> {
    let row =
        |running: &Running| Row { peer: running.peer, p50: vec![], p99: vec![], faults: vec![] };
    let mut rows: Vec<_> = everybody.iter().map(row).collect();
    for (running, row) in everybody.iter().zip(&mut rows) {
        row.faults.extend(turn(running, WARM_UP).err().map(|error| error.to_string()));
    }
    for round in 0..rounds {
        print(&format!("round {} of {rounds}\n", round + 1));
        for place in 0..everybody.len() {
            let place = (place + round) % everybody.len();
            let row = &mut rows[place];
            match turn(&everybody[place], span) {
                Ok(waits) => {
                    row.p50.push(float(percentile(&waits, 500)) / 1000.0);
                    row.p99.push(float(percentile(&waits, 990)) / 1000.0);
                }
                Err(error) => row.faults.push(error.to_string()),
            }
        }
    }
    rows
}

fn report(rows: &[Row]) -> String {
    let mut table = Table::new(["peer", "p50 us", "p99 us", "errors"]);
    for row in rows {
        table.row([
            row.peer.name().to_owned(),
            Spread::of(row.p50.iter().copied()).words(0),
            Spread::of(row.p99.iter().copied()).words(0),
            if row.faults.is_empty() { "none".to_owned() } else { "INVALID".to_owned() },
        ]);
    }
    let mut text = table.text();
    for row in rows.iter().filter(|row| !row.faults.is_empty()) {
        // Writing into memory cannot fail.
        writeln!(text, "{} is INVALID: {}", row.peer.name(), row.faults.join("; ")).ok();
    }
    let find = |peer| rows.iter().find(|row| row.peer == peer && row.faults.is_empty());
    let verdict = find(Peer::Hubbub).zip(find(Peer::Nginx)).is_some_and(|(ours, theirs)| {
        is_within(&ours.p50, &theirs.p50) && is_within(&ours.p99, &theirs.p99)
    });
    let verdict = if verdict { "yes" } else { "no" };
    text + &format!("\nno worse than nginx's own spread: {verdict}\n")
}

/// Whether the median of ours is no worse than the worst of theirs.
fn is_within(ours: &[f64], theirs: &[f64]) -> bool {
    let [ours, theirs] = [ours, theirs].map(|figures| Spread::of(figures.iter().copied()));
    ours.median <= theirs.max
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: Peer, p50: f64, p99: f64) -> Row {
        Row { peer, p50: vec![p50, p50 + 10.0], p99: vec![p99, p99 * 2.0], faults: vec![] }
    }

    #[test]
    fn ours_is_no_worse_when_both_medians_are_within_nginxs_spread() {
        let nginx = || row(Peer::Nginx, 100.0, 1000.0);
        for (p50, p99, verdict) in [
            (90.0, 900.0, "yes"),
            (104.0, 1300.0, "yes"),
            (120.0, 900.0, "no"),
            (90.0, 1500.0, "no"),
        ] {
            let text = report(&[row(Peer::Hubbub, p50, p99), nginx()]);
            assert!(text.ends_with(&format!("spread: {verdict}\n")), "{p50} {p99}\n{text}");
        }
    }

    #[test]
    fn an_error_is_no_good_verdict() {
        let mut ours = row(Peer::Hubbub, 1.0, 1.0);
        ours.faults.push("a connection was closed".to_owned());
        let text = report(&[ours, row(Peer::Nginx, 100.0, 1000.0)]);
        assert!(text.contains("hubbub is INVALID") && text.ends_with("spread: no\n"), "{text}");
    }
}
