//! Peers in turns, and what their turns have in common: figures with their spread, errors that make
//! a row worthless, ratios of ours to the others'.

use std::fmt::Write as _;
use std::time::Duration;

use crate::Outcome;
use crate::figures::{Spread, float, micros_each, rate, ratios};
use crate::peers::{Peer, Running};
use crate::proc::Cpu;
use crate::program::print;
use crate::table::Table;

/// Seconds of the turn that only warms up.
const WARM_UP_SECONDS: u64 = 1;

/// What came of one turn.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Requests or round trips.
    pub(crate) count: u64,
    pub(crate) span: Duration,
    /// Of the peer's processes.
    pub(crate) cpu: Cpu,
    /// Waits, in microseconds.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// What went wrong, in words.
    pub(crate) faults: Vec<String>,
}

/// The turns of one peer.
#[derive(Debug)]
pub(crate) struct Row {
    peer: Peer,
    turns: Vec<Turn>,
    faults: Vec<String>,
}

/// What is to be reached against a peer, and what is aimed for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) against: Peer,
    pub(crate) reach: f64,
    pub(crate) aim: f64,
}

/// Lets everybody have `rounds` turns of so many seconds, after one that warms up.
pub(crate) fn in_turns(
    everybody: &[&Running],
    rounds: usize,
    seconds: u64,
    mut turn: impl FnMut(&Running, u64) -> Outcome<Turn>,
) -> Vec<Row> {
    let row = |running: &&Running| Row { peer: running.peer, turns: vec![], faults: vec![] };
    let mut rows: Vec<_> = everybody.iter().map(row).collect();
    for (running, row) in everybody.iter().zip(&mut rows) {
        row.note(turn(running, WARM_UP_SECONDS));
        row.turns.clear();
    }
    for round in 0..rounds {
        print(&format!("round {} of {rounds}\n", round + 1));
        // Nobody is always first.
        for place in 0..everybody.len() {
            let place = (place + round) % everybody.len();
            rows[place].note(turn(everybody[place], seconds));
        }
    }
    rows
}

impl Row {
    /// Takes over a turn; whatever went wrong is a fault of the row.
    fn note(&mut self, turn: Outcome<Turn>) {
        match turn {
            Ok(mut turn) => {
                self.faults.append(&mut turn.faults);
                self.turns.push(turn);
            }
            Err(error) => self.faults.push(error.to_string()),
        }
    }

    fn is_valid(&self) -> bool {
        self.faults.is_empty() && !self.turns.is_empty()
    }

    fn each(&self, figure: impl Fn(&Turn) -> f64) -> Spread {
        Spread::of(self.turns.iter().map(figure))
    }

    /// CPU microseconds for each request, turn by turn.
    fn costs(&self) -> Vec<f64> {
        self.turns.iter().map(|turn| micros_each(turn.cpu.total(), turn.count)).collect()
    }

    fn cells(&self) -> [String; 8] {
        let user = self.each(|turn| micros_each(turn.cpu.user, turn.count)).median;
        let system = self.each(|turn| micros_each(turn.cpu.system, turn.count)).median;
        let busy = |turn: &Turn| turn.cpu.total().as_secs_f64() / turn.span.as_secs_f64();
        [
            self.peer.name().to_owned(),
            self.each(|turn| rate(turn.count, turn.span)).words(0),
            Spread::of(self.costs()).words(1),
            format!("{user:.1}+{system:.1}"),
            format!("{:.2}", self.each(busy).median),
            self.each(|turn| float(turn.p50) / 1000.0).words(2),
            self.each(|turn| float(turn.p99) / 1000.0).words(1),
            if self.is_valid() { "none".to_owned() } else { "INVALID".to_owned() },
        ]
    }
}

/// Every row, then what went wrong, then ours against the others; `each` is what is counted.
pub(crate) fn report(rows: &[Row], each: &str, goals: &[Goal]) -> String {
    let (rate, cost) = (format!("{each}s/s"), format!("CPU us/{each}"));
    let mut table =
        Table::new(["peer", &rate, &cost, "user+system", "busy", "p50 ms", "p99 ms", "errors"]);
    for row in rows {
        table.row(row.cells());
    }
    let mut text = format!("\n{}\n", table.text());
    for row in rows.iter().filter(|row| !row.is_valid()) {
        let faults = row.faults.join("; ");
        // Writing into memory cannot fail.
        writeln!(text, "{} is INVALID, it had errors: {faults}\n", row.peer.name()).ok();
    }
    writeln!(text, "{each}s per CPU-second, round by round, ours over theirs").ok();
    text + &comparison(rows, goals)
}

/// Ours against each of the others.
fn comparison(rows: &[Row], goals: &[Goal]) -> String {
    let mut table = Table::new(["", "against", "ratio", "reach", "aim for"]);
    for ours in rows.iter().filter(|row| row.peer.is_ours()) {
        let others = rows.iter().filter(|row| !row.peer.is_ours() && row.peer != Peer::Direct);
        for theirs in others {
            let ratio = ratios(&theirs.costs(), &ours.costs()).words(2);
            let is_valid = ours.is_valid() && theirs.is_valid();
            let goal = goals.iter().find(|goal| goal.against == theirs.peer);
            let goal = goal.filter(|_| ours.peer == Peer::Hubbub);
            let words = |figure: Option<f64>| figure.map_or(String::new(), |it| format!("{it:.2}"));
            table.row([
                ours.peer.name().to_owned(),
                theirs.peer.name().to_owned(),
                if is_valid { ratio } else { "INVALID".to_owned() },
                words(goal.map(|goal| goal.reach)),
                words(goal.map(|goal| goal.aim)),
            ]);
        }
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: Peer, millis: u64, faults: &[&str]) -> Row {
        let cpu = Cpu { user: Duration::from_millis(millis), system: Duration::ZERO };
        let turn = |_| Turn {
            count: 1000,
            span: Duration::from_secs(1),
            cpu,
            p50: 500,
            p99: 1500,
            faults: Vec::new(),
        };
        let faults = faults.iter().map(ToString::to_string).collect();
        Row { peer, turns: (0..3).map(turn).collect(), faults }
    }

    #[test]
    fn ours_is_held_against_each_of_the_others_and_its_goal() {
        let rows =
            [row(Peer::Direct, 1, &[]), row(Peer::Hubbub, 10, &[]), row(Peer::Nginx, 12, &[])];
        let goal = Goal { against: Peer::Nginx, reach: 1.05, aim: 1.15 };
        let text = report(&rows, "request", &[goal]);
        assert!(text.contains("hubbub    nginx  1.20 (1.20 to 1.20)   1.05     1.15"), "{text}");
        assert!(text.contains("10.0 (10.0 to 10.0)"), "{text}");
        assert!(!text.contains("INVALID"), "{text}");
    }

    #[test]
    fn a_row_with_an_error_is_worth_nothing_and_says_so() {
        let rows = [row(Peer::Hubbub, 10, &["3 bad statuses"]), row(Peer::Nginx, 12, &[])];
        let text = report(&rows, "request", &[]);
        assert_eq!(text.matches("INVALID").count(), 3, "{text}");
        assert!(text.contains("3 bad statuses") && !text.contains("1.20 (1"), "{text}");
    }

    #[test]
    fn a_peer_without_a_turn_is_not_taken_for_a_good_one() {
        let rows = [Row { peer: Peer::Hubbub, turns: vec![], faults: vec![] }];
        assert!(report(&rows, "request", &[]).contains("INVALID"));
    }
}
