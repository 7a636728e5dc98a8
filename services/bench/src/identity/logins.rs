//! How many sign in, and how long everybody else waits meanwhile.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::service::{Callers, Service};
use super::waits::Waits;
use crate::Outcome;
use crate::figures::{float, rate};
use crate::table::Table;

/// Who signs in at a time.
const CROWDS: [usize; 4] = [1, 2, 8, 50];
/// Accounts are made by so many at a time.
const MAKERS: usize = 4;
/// Between two looks of somebody who does not sign in.
const PAUSE: Duration = Duration::from_millis(5);
/// What `/health` may take while 50 sign in: p99 in milliseconds.
const HEALTH_GOAL: f64 = 100.0;
/// What somebody else asks for meanwhile, and whether with a token that is remembered.
const LOOKS: [(&str, bool); 3] =
    [("/health", false), ("/.well-known/jwks.json", false), ("/api/profile", true)];

/// A stretch of signing in.
struct Turn {
    waits: Waits,
    span: Duration,
    /// Of the service.
    cpu: Duration,
}

/// Measures, and gives the report.
pub(crate) async fn run(seconds: u64) -> Outcome<String> {
    let most = CROWDS.into_iter().max().unwrap_or(0);
    let service = Service::start(tempfile::tempdir()?, "")?;
    make(&service.callers, most).await?;
    let observer = service.callers.register(most).await?;
    let span = Duration::from_secs(seconds);

    let mut text = String::from("Signing in at the user service (argon2id, SQLite)\n");
    writeln!(
        text,
        "  callers with one call under way each, {seconds} s; service and callers share both cores\n"
    )?;
    let mut table =
        Table::new(["callers", "logins/s", "a CPU-second", "p50 ms", "p99 ms", "max ms"]);
    let quiet = looks(&service.callers, &observer, span).await?;
    let mut crowded = quiet.clone();
    for callers in CROWDS {
        let meanwhile = looks(&service.callers, &observer, span);
        let (turn, seen) = if callers == most {
            let (turn, seen) = tokio::join!(turn(&service, callers, span), meanwhile);
            (turn?, Some(seen?))
        } else {
            (turn(&service, callers, span).await?, None)
        };
        crowded = seen.unwrap_or(crowded);
        table.row(cells(callers, &turn));
    }
    writeln!(text, "{}", table.text())?;
    writeln!(text, "  What others ask for, every {PAUSE:?}, alone and while {most} sign in\n")?;
    let mut table = Table::new(["", "answers", "p50 ms", "p99 ms", "max ms"]);
    for (how, waits) in [("alone", &quiet), ("meanwhile", &crowded)] {
        for ((path, _), waits) in LOOKS.iter().zip(waits) {
            let first = [format!("{path}, {how}"), waits.len().to_string()];
            table.row(first.into_iter().chain(waits.cells()));
        }
    }
    writeln!(text, "{}", table.text())?;
    let health = crowded.first().map_or(f64::NAN, |waits| waits.percentile(990));
    let verdict = if health < HEALTH_GOAL { "reached" } else { "NOT reached" };
    writeln!(
        text,
        "  /health meanwhile: {verdict} (p99 {health:.1} ms, less than {HEALTH_GOAL:.0})"
    )?;
    Ok(text)
}

fn cells(callers: usize, turn: &Turn) -> Vec<String> {
    let logins = turn.waits.len() as u64;
    let a_second = format!("{:.1}", rate(logins, turn.span));
    let a_cpu_second = format!("{:.1}", float(logins) / turn.cpu.as_secs_f64());
    let first = [callers.to_string(), a_second, a_cpu_second];
    first.into_iter().chain(turn.waits.cells()).collect()
}

/// Makes the accounts of so many callers.
pub(super) async fn make(callers: &Callers, count: usize) -> Outcome<()> {
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        let callers = callers.clone();
        makers.spawn(async move {
            for number in (maker..count).step_by(MAKERS) {
                callers.register(number).await?;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    Ok(())
}

/// So many sign in to accounts of their own again and again.
async fn turn(service: &Service, callers: usize, span: Duration) -> Outcome<Turn> {
    let (began, before) = (Instant::now(), service.process.cpu());
    let mut tasks = JoinSet::new();
    for number in 0..callers {
        let at = service.callers.clone();
        tasks.spawn(async move {
            let mut waits = Waits::default();
            while began.elapsed() < span {
                waits.add(at.log_in(number).await?.took);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(waits)
        });
    }
    let mut waits = Waits::default();
    while let Some(done) = tasks.join_next().await {
        waits.join(done??);
    }
    let cpu = (service.process.cpu() - before).total();
    Ok(Turn { waits, span: began.elapsed(), cpu })
}

/// How long each of [`LOOKS`] takes, one after the other.
async fn looks(callers: &Callers, token: &str, span: Duration) -> Outcome<Vec<Waits>> {
    let mut all = vec![Waits::default(); LOOKS.len()];
    let began = Instant::now();
    while began.elapsed() < span {
        for ((path, with_token), waits) in LOOKS.iter().zip(&mut all) {
            let answer = callers.get(path, with_token.then_some(token)).await?;
            waits.add(answer.expect(200)?.took);
            sleep(PAUSE).await;
        }
    }
    Ok(all)
}
