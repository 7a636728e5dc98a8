//! What the gateway's doors cost one by one, inside this process: finding a route among few and
//! among many, and each feature that a request passes.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use gateway::bench::{Doors, Feature, Paths, route_match};

use crate::Outcome;
use crate::figures::Spread;
use crate::issuer::token_and_keys;
use crate::machine::{self, Layout};
use crate::table::Table;

/// Routes of a table.
const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// How the paths of routes are told.
const KINDS: [(Paths, &str); 2] = [(Paths::Exact, "exact"), (Paths::Prefix, "prefix")];
/// The features that a request is to pay at most 1.5 us for.
const FEATURES: [Feature; 5] =
    [Feature::Route, Feature::Auth, Feature::Metrics, Feature::Log, Feature::Deadlines];

/// How `bench routes` and `bench features` measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Turns of each row.
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// Calls of a turn.
    #[arg(long, default_value_t = 300_000)]
    pub(crate) calls: u32,
}

/// Measures finding a route, and gives the report.
pub(crate) fn routes(options: &Options) -> Outcome<String> {
    let Options { rounds, calls } = *options;
    Layout::Pinned.under_test().take()?;
    let rows: Vec<_> = KINDS
        .into_iter()
        .flat_map(|(paths, name)| {
            SIZES.map(|routes| (format!("{name}, {routes} routes"), paths, routes))
        })
        .collect();
    let figures = in_turns(rounds, calls, &rows, |(_, paths, routes)| {
        Ok(route_match(*paths, *routes, calls.into()))
    })?;
    let mut table = Table::new(["", "ns per request"]);
    for ((name, ..), nanos) in rows.into_iter().zip(&figures) {
        table.row([name, nanos.words(0)]);
    }
    let what = "Finding a route: from the target as it came to the route, other targets in turns;";
    let mut text = report(what, options, &table)?;
    writeln!(text, "Goal: less than 1000 ns at every size (aim: as much for 10,000 as for 10).")?;
    Ok(text)
}

/// Measures what each feature costs, and gives the report.
pub(crate) fn features(options: &Options) -> Outcome<String> {
    let Options { rounds, calls } = *options;
    Layout::Pinned.under_test().take()?;
    let folder = tempfile::tempdir()?;
    let (token, keys) = token_and_keys()?;
    let mut doors = Doors::open(&keys, &token, &folder.path().join("access.log"))?;
    let figures = in_turns(rounds, calls, &Feature::ALL, |(feature, name)| {
        let took = doors.time(*feature, calls.into());
        took.ok_or_else(|| format!("{name} refused a request").into())
    })?;
    let mut table = Table::new(["feature", "ns per request"]);
    let mut sums = [0.0; 2];
    for ((feature, name), nanos) in Feature::ALL.into_iter().zip(&figures) {
        let others = usize::from(!FEATURES.contains(&feature));
        sums[others] += nanos.median;
        table.row([name.to_owned(), nanos.words(0)]);
    }
    let [sum, others] = sums;
    table.row(["sum".to_owned(), format!("{:.0}", sum + others)]);
    let what =
        "What a request pays for each feature: the code that it passes, called over and over;";
    let mut text = report(what, options, &table)?;
    writeln!(text, "route, auth, metrics, log and deadlines together: {sum:.0} ns (aim: 1500)")?;
    Ok(text)
}

/// The beginning of a report: what was done, how, and the figures.
fn report(what: &str, options: &Options, table: &Table) -> Outcome<String> {
    let Options { rounds, calls } = *options;
    let mut text = format!("{what}\n");
    writeln!(
        text,
        "inside one process on core 0, {rounds} rounds of {calls} calls. Median (min to max)."
    )?;
    writeln!(text, "{}\n\n{}", machine::words(), table.text())?;
    Ok(text)
}

/// Nanoseconds for each call, of every row: rows take turns, after one that warms up.
fn in_turns<R>(
    rounds: usize,
    calls: u32,
    rows: &[R],
    mut turn: impl FnMut(&R) -> Outcome<Duration>,
) -> Outcome<Vec<Spread>> {
    let mut figures = vec![Vec::new(); rows.len()];
    for round in 0..=rounds {
        for (row, figures) in rows.iter().zip(&mut figures) {
            let nanos = turn(row)?.as_secs_f64() * 1e9 / f64::from(calls);
            if round > 0 {
                figures.push(nanos);
            }
        }
    }
    Ok(figures.into_iter().map(Spread::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_lets_the_request_pass() {
        let text = features(&Options { rounds: 1, calls: 2000 }).unwrap();
        for (_, name) in Feature::ALL {
            assert!(text.contains(&format!("\n  {name} ")), "{name}\n{text}");
        }
    }

    #[test]
    fn the_turn_that_warms_up_is_not_counted() {
        let mut turns = [9, 2, 4].into_iter().map(Duration::from_nanos);
        let figures = in_turns(2, 1, &[()], |()| Ok(turns.next().unwrap())).unwrap();
        let [only] = figures[..] else { panic!("one row") };
        assert_eq!(only.words(0), "3 (2 to 4)");
    }
}
