//! What it costs to know who is calling, and what strangers learn from it: checking tokens, signing in,
//! telling accounts from nobody, finding people, ending sessions.

mod directory;
mod enumeration;
mod logins;
mod people;
mod revocation;
mod samples;
mod service;
mod tokens;
mod waits;

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::timeout;

use crate::ingest::kept::Engine;
use crate::neighbours::Neighbours;
use crate::program::print;
use crate::{Outcome, machine, runtime};

/// The longest that one part takes.
const PART_WINDOW: Duration = Duration::from_mins(2);

/// What is measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What the gateway pays to check a token.
    Tokens,
    /// How many sign in, and who waits behind them.
    Logins,
    /// Whether an answer's time tells an account from nobody.
    Enumeration,
    /// Lists and searches of the directory.
    Directory,
    /// How soon an ended session is refused everywhere.
    Revocation,
}

/// How `bench identity` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Which parts; all of them where none is named.
    #[arg(value_enum)]
    pub(crate) parts: Vec<Part>,
    /// Calls of each row and round of `tokens`.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) calls: u64,
    /// Length of a turn of `logins`, in seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Pairs of calls of each way of `enumeration`, and calls of each row of `directory`.
    #[arg(long, default_value_t = 200)]
    pub(crate) samples: usize,
    /// Accounts in the `directory`.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) accounts: usize,
    /// Sessions that `revocation` ends.
    #[arg(long, default_value_t = 100)]
    pub(crate) rounds: usize,
    /// Which engines keep the `directory`.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite,postgres")]
    pub(crate) engines: Vec<Engine>,
}

/// Measures, and gives the report.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    machine::allow_files(20_000)?;
    let mut report = String::new();
    for part in Part::value_variants() {
        if !options.parts.is_empty() && !options.parts.contains(part) {
            continue;
        }
        print(&format!("{part:?} …\n"));
        let neighbours = Neighbours::watch();
        let text = match part {
            Part::Tokens => tokens::run(options.calls)?,
            Part::Logins => bounded(logins::run(options.seconds))?,
            Part::Enumeration => bounded(enumeration::run(options.samples))?,
            Part::Directory => directories(options)?,
            Part::Revocation => bounded(revocation::run(options.rounds))?,
        };
        writeln!(report, "{text}  {}\n  {}\n", machine::words(), neighbours.words())?;
    }
    Ok(report)
}

/// Each engine is a part of its own.
fn directories(options: &Options) -> Outcome<String> {
    let mut text = String::new();
    for engine in &options.engines {
        let one = directory::run(*engine, options.accounts, options.samples);
        text.push_str(&bounded(one)?);
    }
    Ok(text)
}

fn bounded(part: impl Future<Output = Outcome<String>>) -> Outcome<String> {
    let part = runtime()?.block_on(async { timeout(PART_WINDOW, part).await });
    part.map_err(|_| format!("it took longer than {PART_WINDOW:?}"))?
}
