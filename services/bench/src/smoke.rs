//! Two figures in half a minute: what the gateway costs beside going direct, and how many messages
//! per second are acknowledged with their commit on the disk.

use std::fmt::Write as _;
use std::time::Duration;

use chassis::keys::SigningKey;
use contract::caller::{Role, UserClaims};
use contract::{SessionId, UserId};
use jsonwebtoken::{Algorithm, Header};
use tempfile::TempDir;
use uuid::Uuid;

use crate::load::load;
use crate::program::{CORE_OF_LOAD, Process};
use crate::sends::{CONTENT_BYTES, send};
use crate::upstream::BODY_BYTES;
use crate::{Outcome, disk};

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
/// The core of the process under test; load and upstream have the other one.
const CORE_UNDER_TEST: usize = 0;
/// How long the token lives: longer than any benchmark.
const TOKEN_SECONDS: i64 = 3600;

/// Measures, and gives the report.
pub(crate) async fn run() -> Outcome<String> {
    let mut report = String::new();
    proxied(&mut report).await?;
    durable(&mut report).await?;
    Ok(report)
}

async fn proxied(report: &mut String) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let (token, keys) = token_and_keys()?;
    let upstream = Process::start("upstream", CORE_OF_LOAD, &[keys], "  upstream")?;
    let upstream_url = upstream.line("upstream")?.to_owned();
    let gateway = start_gateway(&folder, &upstream_url)?;
    let hosts =
        [&*upstream_url, gateway.line("gateway")?].map(|url| url.replacen("http://", "", 1));

    let mut direct = Vec::new();
    let mut through = Vec::new();
    for _ in 0..ROUNDS {
        for (process, host, figures) in
            [(&upstream, &hosts[0], &mut direct), (&gateway, &hosts[1], &mut through)]
        {
            let request = format!(
                "GET /bench HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            let before = process.cpu()?;
            let answers = load(host, &request, CONNECTIONS, TURN).await?;
            figures.push(rate(answers, process.cpu()?.saturating_sub(before)));
        }
    }
    let (direct, through) = (spread(direct), spread(through));
    writeln!(report, "Requests per CPU-second (utime + stime of the serving process)")?;
    writeln!(
        report,
        "  {CONNECTIONS} keep-alive connections, {BODY_BYTES} B answers, {ROUNDS} turns of {} s each,",
        TURN.as_secs()
    )?;
    writeln!(
        report,
        "  gateway on core {CORE_UNDER_TEST}, load and upstream on core {CORE_OF_LOAD}; token check (cached),"
    )?;
    writeln!(report, "  metrics and access log on. Median (min to max).")?;
    writeln!(report, "  direct, the upstream's own   {}", direct.words())?;
    writeln!(report, "  through the gateway          {}", through.words())?;
    writeln!(report, "  gateway CPU per request      {:.1} us", 1e6 / through.median)?;
    writeln!(report, "  through / direct             {:.2}\n", through.median / direct.median)?;
    Ok(())
}

async fn durable(report: &mut String) -> Outcome<()> {
    // The disk that counts is the one of the working folder, not a memory file system.
    let folder = tempfile::tempdir_in(".")?;
    let hub = start_hubbub(&folder)?;
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
    let rates = spread(rates);
    writeln!(report, "Messages per second acknowledged with fsync (SQLite, synchronous = FULL)")?;
    writeln!(
        report,
        "  {SENDERS} senders on WebSockets through the gateway, {ROOMS} rooms, {CONTENT_BYTES} B, one message in"
    )?;
    writeln!(
        report,
        "  flight each, nobody subscribed; {SEND_ROUNDS} rounds of {} s; hubbub on core {CORE_UNDER_TEST}, senders on core {CORE_OF_LOAD}.",
        TURN.as_secs()
    )?;
    writeln!(report, "  acknowledged                 {}", rates.words())?;
    writeln!(report, "  wait, last round             p50 {:.2?}, p99 {:.2?}", waits.0, waits.1)?;
    writeln!(report, "  fdatasync of 4 KiB here      p50 {:.2?}, p99 {:.2?}", sync.0, sync.1)?;
    Ok(())
}

fn start_gateway(folder: &TempDir, upstream: &str) -> Outcome<Process> {
    let file = folder.path().join("bench.toml");
    std::fs::write(
        &file,
        format!(
            "[gateway]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\nquota.enabled = false\n\
             access_log.to = 'access.log'\n\
             auth.jwks_url = '{upstream}/.well-known/jwks.json'\n\
             [gateway.upstreams.bench]\nendpoints = ['{upstream}']\n\
             [gateway.routes.bench]\nprefix = '/bench'\nupstream = 'bench'\nauth = 'required'\n"
        ),
    )?;
    let arguments = [
        "--config".to_owned(),
        file.display().to_string(),
        "--data".to_owned(),
        folder.path().join("data").display().to_string(),
    ];
    Process::start("gateway", CORE_UNDER_TEST, &arguments, "Ctrl-C")
}

fn start_hubbub(folder: &TempDir) -> Outcome<Process> {
    let mut arguments = vec!["--data".to_owned(), folder.path().join("data").display().to_string()];
    for setting in [
        "gateway.listen=127.0.0.1:0",
        "gateway.admin_listen=127.0.0.1:0",
        "user.listen=127.0.0.1:0",
        "chat.listen=127.0.0.1:0",
        "message.listen=127.0.0.1:0",
        "gateway.quota.enabled=false",
        "gateway.access_log.to=access.log",
        "chat.ws.frames_per_second=1000000",
        "chat.ws.frames_burst=1000000",
    ] {
        arguments.extend(["--set".to_owned(), setting.to_owned()]);
    }
    Process::start("hubbub", CORE_UNDER_TEST, &arguments, "Ctrl-C")
}

/// A token that the gateway accepts, and the key set that says so.
fn token_and_keys() -> Outcome<(String, String)> {
    let (key, _) = SigningKey::generate()?;
    let now = chassis::Clock::System.now().seconds();
    let claims = UserClaims {
        iss: "hubbub".to_owned(),
        sub: UserId(Uuid::new_v4()),
        aud: "hubbub".to_owned(),
        exp: now + TOKEN_SECONDS,
        nbf: now,
        iat: now,
        jti: "bench".to_owned(),
        sid: SessionId(Uuid::new_v4()),
        name: "bench".to_owned(),
        roles: vec![Role::Customer],
        email_verified: false,
    };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key.public().id());
    let token = jsonwebtoken::encode(&header, &claims, key.encoding())?;
    let keys = serde_json::json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
        "kid": key.public().id(), "x": key.public().x(),
    }]});
    Ok((token, keys.to_string()))
}

/// So many in `span`, per second.
fn rate(count: u64, span: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / span.as_secs_f64()
}

/// Figures of several rounds.
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn words(&self) -> String {
        format!("{:.0} ({:.0} to {:.0})", self.median, self.min, self.max)
    }
}

fn spread(mut figures: Vec<f64>) -> Spread {
    figures.sort_unstable_by(f64::total_cmp);
    let at = |place: usize| figures.get(place).copied().unwrap_or(f64::NAN);
    Spread { median: at(figures.len() / 2), min: at(0), max: at(figures.len().saturating_sub(1)) }
}
