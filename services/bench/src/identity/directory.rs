//! Lists and searches of a large directory, over HTTP.

use std::fmt::Write as _;

use tokio::time::Instant;

use super::people::seed;
use super::service::{Callers, Service};
use super::waits::Waits;
use crate::Outcome;
use crate::ingest::kept::{Engine, database};
use crate::table::Table;

/// Calls that only warm up.
const WARM_UP: usize = 5;
/// The longest that a call may take: p99 in milliseconds, on SQLite.
const GOAL: f64 = 20.0;
/// What is asked for.
const ROWS: [(&str, &str); 14] = [
    ("first page of 50", ""),
    ("first page of 200", "limit=200"),
    ("common part (schmidt)", "q=schmidt"),
    ("common part, 200", "q=schmidt&limit=200"),
    ("first name (maria)", "q=maria"),
    ("rare part (schmidt77)", "q=schmidt77"),
    ("one account (its number)", "q=99998"),
    ("absent part (qqxyzzy)", "q=qqxyzzy"),
    ("one letter (a)", "q=a"),
    ("two letters (ch)", "q=ch"),
    ("two letters, absent (qx)", "q=qx"),
    ("role operator", "role=operator"),
    ("role admin", "role=admin"),
    ("role operator and absent part", "role=operator&q=qqxyzzy"),
];

/// Measures, and gives the report.
pub(crate) async fn run(engine: Engine, accounts: usize, samples: usize) -> Outcome<String> {
    let server = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => {
            Some(harness::postgres::Server::start(harness::postgres::Disk::Synced)?)
        }
    };
    let url = server.as_ref().map_or(Ok(String::new()), |server| database(engine, server))?;
    // It makes its tables, and ends: what it would remember is not to be changed behind its back.
    let Service { folder, process, .. } = Service::start(tempfile::tempdir()?, &url)?;
    drop(process);
    let began = Instant::now();
    seed(folder.path(), &url, accounts).await?;
    let seeded = began.elapsed();
    let service = Service::start(folder, &url)?;
    let token = service.callers.register(0).await?;

    let mut text = format!("The directory of {accounts} accounts on {}\n", engine.name());
    writeln!(
        text,
        "  made in {seeded:.1?}; {samples} calls of each row one after the other, over HTTP to the service\n"
    )?;
    let mut table = Table::new(["", "found", "calls", "p50 ms", "p99 ms", "max ms"]);
    let mut slowest = 0.0_f64;
    for (name, query) in ROWS {
        let path = format!("/api/users?{query}");
        let (found, waits) = ask(&service.callers, &token, &path, samples).await?;
        slowest = slowest.max(waits.percentile(990));
        let first = [name.to_owned(), found.to_string(), waits.len().to_string()];
        table.row(first.into_iter().chain(waits.cells()));
    }
    for (name, query) in [("to the end, by 200", "limit=200"), ("schmidt to the end", "q=schmidt")]
    {
        let path = format!("/api/users?{query}");
        let (found, waits) = follow(&service.callers, &token, &path).await?;
        slowest = slowest.max(waits.percentile(990));
        let first = [name.to_owned(), found.to_string(), waits.len().to_string()];
        table.row(first.into_iter().chain(waits.cells()));
    }
    writeln!(text, "{}", table.text())?;
    let verdict = if slowest <= GOAL { "reached" } else { "NOT reached" };
    writeln!(
        text,
        "  the slowest row's p99: {verdict} ({slowest:.1} ms, at most {GOAL:.0} on SQLite)"
    )?;
    Ok(text)
}

/// One page again and again: how many it holds.
async fn ask(
    callers: &Callers,
    token: &str,
    path: &str,
    samples: usize,
) -> Outcome<(usize, Waits)> {
    let (mut found, mut waits) = (0, Waits::default());
    for sample in 0..WARM_UP + samples {
        let answer = callers.get(path, Some(token)).await?.expect(200)?;
        found = answer.body.as_array().map_or(0, Vec::len);
        if sample >= WARM_UP {
            waits.add(answer.took);
        }
    }
    Ok((found, waits))
}

/// Page after page, to the last: how many they hold together.
async fn follow(callers: &Callers, token: &str, path: &str) -> Outcome<(usize, Waits)> {
    let (mut found, mut waits) = (0, Waits::default());
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = callers.get(&path, Some(token)).await?.expect(200)?;
        found += answer.body.as_array().map_or(0, Vec::len);
        waits.add(answer.took);
        next = answer.link;
    }
    Ok((found, waits))
}
