//! How many messages per second are acknowledged with their commit on the disk, on both engines: at
//! the message service's batch call, beside a transaction for each message, and over sockets.

mod callers;
pub(crate) mod kept;
mod one_by_one;
mod over_sockets;

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use crate::figures::{Spread, float, micros_each, rate, ratios};
use crate::ingest::callers::Caller;
use crate::ingest::kept::{Engine, Place};
use crate::ingest::one_by_one::OneByOne;
use crate::machine;
use crate::neighbours::Neighbours;
use crate::proc::Cpu;
use crate::program::print;
use crate::table::Table;
use crate::{Outcome, disk, runtime};

/// Callers at a time, each with one call under way.
const CALLERS: usize = 64;
/// Bytes of a message.
const CONTENT_BYTES: usize = 256;
/// How many rooms they talk in.
const ROOMS: [usize; 2] = [1000, 1];
/// What is to be reached, and aimed for, in messages per second: by engine and rooms.
const GOALS: [(Engine, usize, f64, f64); 4] = [
    (Engine::Sqlite, 1000, 10_000.0, 25_000.0),
    (Engine::Sqlite, 1, 8_000.0, 20_000.0),
    (Engine::Postgres, 1000, 15_000.0, 40_000.0),
    (Engine::Postgres, 1, 10_000.0, 30_000.0),
];

/// How `bench ingest` measures.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Turns of each row.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Length of a turn.
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Messages in a batch call of a second set of rows.
    #[arg(long, default_value_t = 16)]
    pub(crate) items: usize,
    /// Which engines take part.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite,postgres")]
    pub(crate) engines: Vec<Engine>,
}

/// What came of a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Of each call, sorted.
    pub(crate) waits: Vec<Duration>,
    /// Acknowledged.
    pub(crate) messages: u64,
    pub(crate) span: Duration,
    /// Of the service and the server of its database.
    pub(crate) cpu: Cpu,
}

/// One way of storing messages, and its turns.
struct Row {
    name: String,
    engine: Engine,
    rooms: usize,
    way: Way,
    turns: Vec<Turn>,
}

/// Who stores, and how many messages come together.
enum Way {
    Batch { place: Place, items: usize },
    OneByOne(OneByOne),
    Sockets(over_sockets::Hub),
}

/// Measures, and gives the report.
pub(crate) fn run(options: &Options) -> Outcome<String> {
    machine::allow_files(20_000)?;
    let neighbours = Neighbours::watch();
    let mut report = String::new();
    runtime()?.block_on(async {
        let server = harness::postgres::Server::start(harness::postgres::Disk::Synced)?;
        let mut rows = rows(options, &server).await?;
        for round in 0..=options.rounds {
            for row in &mut rows {
                let turn = row.turn(options.seconds).await?;
                // The first round warms up.
                if round > 0 {
                    row.turns.push(turn);
                }
            }
            print(&format!("round {round} of {}\n", options.rounds));
        }
        let folder = tempfile::tempdir()?;
        let sync = disk::sync_times(folder.path())?;
        tell(&mut report, options, &rows, sync)
    })?;
    writeln!(report, "  {}", neighbours.words())?;
    Ok(report)
}

async fn rows(options: &Options, server: &harness::postgres::Server) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for engine in options.engines.iter().copied() {
        for rooms in ROOMS {
            for items in [1, options.items] {
                let place = Place::open(engine, server, rooms).await?;
                let name = format!("batch call, {items} each");
                rows.push(Row::new(name, engine, rooms, Way::Batch { place, items }));
            }
            let single = OneByOne::open(engine, server, rooms).await?;
            let name = "a transaction per message".to_owned();
            rows.push(Row::new(name, engine, rooms, Way::OneByOne(single)));
        }
        let hub = over_sockets::Hub::start(engine, server)?;
        let rooms = over_sockets::ROOMS;
        rows.push(Row::new("over sockets".to_owned(), engine, rooms, Way::Sockets(hub)));
    }
    Ok(rows)
}

impl Row {
    const fn new(name: String, engine: Engine, rooms: usize, way: Way) -> Self {
        Self { name, engine, rooms, way, turns: Vec::new() }
    }

    async fn turn(&self, seconds: u64) -> Outcome<Turn> {
        let span = Duration::from_secs(seconds);
        match &self.way {
            Way::Batch { place, items } => {
                let before = place.cpu();
                let caller = Caller { address: place.address, head: place.head(), items: *items };
                let turn = callers::call(&caller, self.rooms, CALLERS, span).await?;
                Ok(Turn { cpu: place.cpu() - before, ..turn })
            }
            Way::OneByOne(single) => single.store(CALLERS, span).await,
            Way::Sockets(hub) => hub.turn(CALLERS, span).await,
        }
    }

    fn rates(&self) -> Vec<f64> {
        self.turns.iter().map(|turn| rate(turn.messages, turn.span)).collect()
    }

    /// The wait that so many thousandths do not exceed, in milliseconds, turn by turn.
    fn waits(&self, share: usize) -> Vec<f64> {
        let of = |turn: &Turn| {
            let place = (turn.waits.len() * share / 1000).min(turn.waits.len().saturating_sub(1));
            turn.waits.get(place).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
        };
        self.turns.iter().map(of).collect()
    }

    fn cells(&self) -> [String; 7] {
        let cost = self.turns.iter().map(|turn| micros_each(turn.cpu.total(), turn.messages));
        [
            self.engine.name().to_owned(),
            self.rooms.to_string(),
            self.name.clone(),
            Spread::of(self.rates()).words(0),
            format!("{:.2}", Spread::of(self.waits(500)).median),
            format!("{:.2}", Spread::of(self.waits(990)).median),
            format!("{:.0}", Spread::of(cost).median),
        ]
    }
}

fn tell(
    report: &mut String,
    options: &Options,
    rows: &[Row],
    sync: (Duration, Duration),
) -> Outcome<()> {
    writeln!(report, "Messages per second acknowledged with their commit synced to the disk")?;
    writeln!(
        report,
        "  {CALLERS} callers with one call under way each, {CONTENT_BYTES} B, every one with a client id;"
    )?;
    writeln!(
        report,
        "  {} turns of {} s; callers, services and server share both cores. {}.",
        options.rounds,
        options.seconds,
        machine::words()
    )?;
    let heading = ["engine", "rooms", "way", "messages/s", "p50 ms", "p99 ms", "CPU us"];
    let mut table = Table::new(heading);
    for row in rows {
        table.row(row.cells());
    }
    report.push_str(&table.text());
    writeln!(report, "  fdatasync of 4 KiB here: p50 {:.2?}, p99 {:.2?}\n", sync.0, sync.1)?;
    for (engine, rooms, reach, aim) in GOALS {
        compare(report, rows, (engine, rooms), (reach, aim))?;
    }
    Ok(())
}

/// A batch call's rate held against its goal and against the transaction per message beside it.
fn compare(
    report: &mut String,
    rows: &[Row],
    (engine, rooms): (Engine, usize),
    (reach, aim): (f64, f64),
) -> Outcome<()> {
    let mut found = rows.iter().filter(|row| row.engine == engine && row.rooms == rooms);
    let (Some(ours), Some(single)) = (found.next(), found.nth(1)) else { return Ok(()) };
    let median = Spread::of(ours.rates()).median;
    let verdict = if median >= aim {
        "the aim"
    } else if median >= reach {
        "reached"
    } else {
        "NOT reached"
    };
    let times = ratios(&ours.rates(), &single.rates());
    let p99 = ratios(&ours.waits(990), &single.waits(990));
    writeln!(
        report,
        "  {} {rooms}: {verdict} (reach {reach:.0}, aim {aim:.0}); {} times the rate of a transaction per \
         message, {} times its p99",
        engine.name(),
        times.words(2),
        p99.words(2)
    )?;
    Ok(())
}

/// Sorts the waits of a turn and counts what they brought.
fn turn(mut waits: Vec<Duration>, items: usize, span: Duration) -> Turn {
    waits.sort_unstable();
    let messages = float(waits.len() as u64) * float(items as u64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a product of counts"
    )]
    let messages = messages as u64;
    Turn { waits, messages, span, cpu: Cpu::default() }
}
