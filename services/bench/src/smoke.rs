//! Two figures in half a minute: what the gateway costs beside going direct, and how many messages
//! per second are acknowledged with their commit on the disk.

use std::fmt::Write as _;
use std::time::Duration;

use crate::figures::{Spread, rate};
use crate::issuer::Issuer;
use crate::load::load;
use crate::machine::Layout;
use crate::peers::{self, Peer, Setting};
use crate::sends::{CONTENT_BYTES, hubbub, send};
use crate::upstream::BODY_BYTES;
use crate::{Outcome, disk, request, runtime};

/// Connections of the HTTP load.
const CONNECTIONS: usize = 64;
/// Turns of each peer.
const ROUNDS: usize = 5;
/// Length of a turn.
const TURN: Duration = Duration::from_secs(2);
/// Senders of the durable figure.
const SENDERS: usize = 64;
/// Rooms that they talk in.
const ROOMS: usize = 16;
/// Rounds of the durable figure, after one that only warms up.
const SEND_ROUNDS: usize = 3;
/// Who gets which core.
const LAYOUT: Layout = Layout::Pinned;

/// Measures, and gives the report.
pub(crate) fn run() -> Outcome<String> {
    LAYOUT.load().take()?;
    let mut report = String::new();
    runtime()?.block_on(async {
        proxied(&mut report).await?;
        durable(&mut report).await
    })?;
    Ok(report)
}

async fn proxied(report: &mut String) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let issuer = Issuer::start(LAYOUT.load())?;
    let upstream = issuer.url.replacen("http://", "", 1).parse()?;
    let setting = Setting { folder: folder.path(), layout: LAYOUT, upstream, issuer: &issuer };
    let gateways = peers::start(&[Peer::Hubbub], &setting)?;
    let gateway = gateways.first().ok_or("the gateway did not start")?;

    let mut direct = Vec::new();
    let mut through = Vec::new();
    for _ in 0..ROUNDS {
        for (process, address, figures) in [
            (&issuer.process, upstream, &mut direct),
            (&gateway.process, gateway.address, &mut through),
        ] {
            let request = request::get(address, "/bench", &issuer.token);
            let before = process.cpu();
            let answers = load(&address.to_string(), &request, CONNECTIONS, TURN).await?;
            figures.push(rate(answers, (process.cpu() - before).total()));
        }
    }
    let (direct, through) = (Spread::of(direct), Spread::of(through));
    writeln!(report, "Requests per CPU-second (utime + stime of the serving process)")?;
    writeln!(
        report,
        "  {CONNECTIONS} keep-alive connections, {BODY_BYTES} B answers, {ROUNDS} turns of {} s each,",
        TURN.as_secs()
    )?;
    writeln!(report, "  {}; token check (cached),", LAYOUT.words())?;
    writeln!(report, "  metrics and access log on. Median (min to max).")?;
    writeln!(report, "  direct, the upstream's own   {}", direct.words(0))?;
    writeln!(report, "  through the gateway          {}", through.words(0))?;
    writeln!(report, "  gateway CPU per request      {:.1} us", 1e6 / through.median)?;
    writeln!(report, "  through / direct             {:.2}\n", through.median / direct.median)?;
    Ok(())
}

async fn durable(report: &mut String) -> Outcome<()> {
    // The disk that counts is the one of the working folder, not a memory file system.
    let folder = tempfile::tempdir_in(".")?;
    let hub = hubbub(folder.path(), (LAYOUT.under_test(), LAYOUT.load()), &[])?;
    let base = hub.line("gateway")?.to_owned();
    send(&base, SENDERS, ROOMS, TURN).await?;
    let mut rates = Vec::new();
    let mut waits = (Duration::ZERO, Duration::ZERO);
    for _ in 0..SEND_ROUNDS {
        let sends = send(&base, SENDERS, ROOMS, TURN).await?;
        rates.push(rate(sends.waits.len() as u64, sends.span));
        waits = (sends.percentile(50), sends.percentile(99));
    }
    let sync = disk::sync_times(folder.path())?;
    let rates = Spread::of(rates);
    writeln!(report, "Messages per second acknowledged with fsync (SQLite, synchronous = FULL)")?;
    writeln!(
        report,
        "  {SENDERS} senders on WebSockets through the gateway, {ROOMS} rooms, {CONTENT_BYTES} B, one message in"
    )?;
    writeln!(
        report,
        "  flight each, nobody subscribed; {SEND_ROUNDS} rounds of {} s; hubbub on core 0, senders on core 1.",
        TURN.as_secs()
    )?;
    writeln!(report, "  acknowledged                 {}", rates.words(0))?;
    writeln!(report, "  wait, last round             p50 {:.2?}, p99 {:.2?}", waits.0, waits.1)?;
    writeln!(report, "  fdatasync of 4 KiB here      p50 {:.2?}, p99 {:.2?}", sync.0, sync.1)?;
    Ok(())
}
