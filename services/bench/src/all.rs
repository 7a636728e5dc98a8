//! Everything, one after the other, for the record.

use clap::{Args, Parser, ValueEnum as _};

use crate::machine::Layout;
use crate::program::{find, print};
use crate::{Outcome, doors, identity, latency, memory, proxies, smoke, sockets};

/// Sizes of answers.
const BODIES: [usize; 2] = [1024, 65536];

/// How `bench all` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Turns of each peer, in place of each benchmark's own number.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Length of a turn, likewise.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
}

/// Options that stand for themselves.
#[derive(Debug, Parser)]
struct Defaults<O: Args> {
    #[command(flatten)]
    options: O,
}

/// Measures, and prints each report as soon as it is there. One that fails does not end the others;
/// they are told at the end.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    let mut failed = Vec::new();
    let mut take = |name: &str, report: Outcome<String>| match report {
        Ok(report) => print(&format!("\n# {name}\n{report}\n")),
        Err(error) => failed.push(format!("{name} failed: {error}")),
    };
    let Options { rounds, seconds } = *options;
    for layout in Layout::value_variants() {
        for body in BODIES {
            let mut options = defaults::<proxies::Options>()?;
            (options.layout, options.body) = (*layout, body);
            options.pingora = find("cmake").is_some();
            options.rounds = rounds.unwrap_or(options.rounds);
            options.seconds = seconds.unwrap_or(options.seconds);
            take("proxies", proxies::run(&options));
        }
    }
    let mut options = defaults::<latency::Options>()?;
    options.rounds = rounds.unwrap_or(options.rounds);
    options.seconds = seconds.unwrap_or(options.seconds);
    take("latency", latency::run(&options));
    let mut options = defaults::<sockets::Options>()?;
    options.rounds = rounds.unwrap_or(options.rounds);
    options.seconds = seconds.unwrap_or(options.seconds);
    take("sockets", sockets::run(&options));
    take("memory", memory::run(&defaults()?));
    let mut options = defaults::<doors::Options>()?;
    options.rounds = rounds.unwrap_or(options.rounds);
    take("routes", doors::routes(&options));
    take("features", doors::features(&options));
    take("identity", identity::run(&defaults()?));
    take("smoke", smoke::run());
    if failed.is_empty() { Ok(String::new()) } else { Err(failed.join("; ").into()) }
}

/// What a benchmark's options are that none were given to.
fn defaults<O: Args>() -> Outcome<O> {
    Ok(Defaults::try_parse_from(["bench"])?.options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_has_defaults() {
        assert!(defaults::<proxies::Options>().unwrap().rounds >= 5);
        assert!(defaults::<latency::Options>().unwrap().rounds >= 9);
        assert!(defaults::<sockets::Options>().unwrap().rounds >= 5);
        assert_eq!(defaults::<memory::Options>().unwrap().tunnels, 8000);
        assert!(defaults::<doors::Options>().unwrap().rounds >= 9);
    }
}
