//! How soon a session that was signed out is refused, by the gateway and by each service, every one a
//! process of its own: without a broker between them, and with NATS.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::service::{Callers, token};
use super::waits::Waits;
use crate::Outcome;
use crate::machine::Place;
use crate::program::Process;
use crate::table::Table;

/// Between two looks: what a wait may be too long by.
const PAUSE: Duration = Duration::from_micros(500);
/// The longest that a session may outlive its end.
const WINDOW: Duration = Duration::from_secs(10);
/// What api.md promises, in milliseconds.
const GOAL: f64 = 1_000.0;
/// A number of nobody's account but one.
const CALLER: usize = 1;

/// Somebody who checks tokens, and a path that only the living may see.
#[derive(Debug, Clone)]
struct Door {
    name: &'static str,
    at: Callers,
    path: &'static str,
}

/// Every part as a process of its own.
struct Cluster {
    doors: Vec<Door>,
    _processes: Vec<Process>,
    _folder: TempDir,
}

/// Measures, and gives the report.
pub(crate) async fn run(rounds: usize) -> Outcome<String> {
    let mut text = String::from(
        "From the answer of logout to the first 401 (processes of their own, SQLite)\n",
    );
    writeln!(
        text,
        "  {rounds} sessions; everybody is asked every {PAUSE:?}, one call at a time\n"
    )?;
    let mut table = Table::new(["", "sessions", "p50 ms", "p99 ms", "max ms"]);
    let nats = harness::nats::Server::start()?;
    let mut slowest = 0.0_f64;
    for (how, bus) in [("without NATS", String::new()), ("with NATS", nats.url())] {
        let cluster = Cluster::start(&bus)?;
        cluster.settle().await?;
        let all = cluster.rounds(rounds).await?;
        for (door, waits) in cluster.doors.iter().zip(&all) {
            slowest = slowest.max(waits.percentile(1000));
            let first = [format!("{}, {how}", door.name), waits.len().to_string()];
            table.row(first.into_iter().chain(waits.cells()));
        }
    }
    writeln!(text, "{}", table.text())?;
    let verdict = if slowest <= GOAL { "reached" } else { "NOT reached" };
    writeln!(text, "  the longest: {verdict} ({slowest:.1} ms, at most {GOAL:.0})")?;
    Ok(text)
}

impl Cluster {
    fn start(bus: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data").display().to_string();
        // Answers everybody: behind it, a 401 is the gateway's own.
        let place = Place::Anywhere;
        let upstream = Process::own("upstream", place, place, &["{}".to_owned()], "  upstream")?;
        let behind = upstream.line("upstream")?.to_owned();
        let [user, chat, message] =
            [harness::free_port()?, harness::free_port()?, harness::free_port()?];
        let shared = settings([user, chat, message], bus, &behind);
        let mut processes = vec![upstream];
        let mut start = |name: &str, own: &[String]| {
            let mut arguments = vec!["--data".to_owned(), data.clone()];
            for setting in shared.iter().chain(own) {
                arguments.extend(["--set".to_owned(), setting.clone()]);
            }
            let process = Process::own(name, place, place, &arguments, "Ctrl-C")?;
            let base = process.line(name)?.to_owned();
            processes.push(process);
            Callers::new(&base)
        };
        let listen = |part: &str, port: u16| [format!("{part}.listen=127.0.0.1:{port}")];
        let user = start("user", &listen("user", user))?;
        let message = start("message", &listen("message", message))?;
        let chat = start("chat", &listen("chat", chat))?;
        let gateway = start("gateway", &listen("gateway", 0))?;
        let doors = vec![
            Door { name: "gateway", at: gateway, path: "/bench" },
            Door { name: "user", at: user, path: "/api/profile" },
            Door { name: "chat", at: chat, path: "/api/rooms?limit=1" },
            Door {
                name: "message",
                at: message,
                path: "/api/messages/01890000-0000-7000-8000-000000000000",
            },
        ];
        Ok(Self { doors, _processes: processes, _folder: folder })
    }

    /// Makes the account, and waits until everybody lets it in.
    async fn settle(&self) -> Outcome<()> {
        let gateway = self.gateway()?;
        let body = json!({
            "username": "caller1", "email": "caller1@example.com", "password": super::service::PASSWORD,
        });
        let came = gateway.post("/api/auth/register", &body, CALLER, 201);
        let token = token(&came.await?.body)?;
        for door in &self.doors {
            let let_in = async {
                while !matches!(door.status(&token).await?, 200 | 404) {
                    sleep(PAUSE).await;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            };
            timeout(WINDOW, let_in)
                .await
                .map_err(|_| format!("{} lets nobody in", door.name))??;
        }
        Ok(())
    }

    /// Ends as many sessions; how long each door took to know.
    async fn rounds(&self, rounds: usize) -> Outcome<Vec<Waits>> {
        let mut all = vec![Waits::default(); self.doors.len()];
        for _ in 0..rounds {
            let token = self.sign_in().await?;
            for door in &self.doors {
                // So that it is remembered.
                if door.refuses(&token).await? {
                    return Err(format!("{} refuses a session that lives", door.name).into());
                }
            }
            self.sign_out(&token).await?;
            let ended = Instant::now();
            let mut watching = JoinSet::new();
            for (place, door) in self.doors.iter().cloned().enumerate() {
                let token = token.clone();
                watching.spawn(async move { (place, door.refused(&token, ended).await) });
            }
            while let Some(done) = watching.join_next().await {
                let (place, wait) = done?;
                all[place].add(wait?);
            }
        }
        Ok(all)
    }

    async fn sign_in(&self) -> Outcome<String> {
        let body = json!({"username": "caller1", "password": super::service::PASSWORD});
        token(&self.gateway()?.post("/api/auth/login", &body, CALLER, 200).await?.body)
    }

    async fn sign_out(&self, token: &str) -> Outcome<()> {
        self.gateway()?.post_as(token, "/api/auth/logout", &json!({})).await?.expect(200)?;
        Ok(())
    }

    fn gateway(&self) -> Outcome<&Callers> {
        Ok(&self.doors.first().ok_or("there is no gateway")?.at)
    }
}

impl Door {
    /// Whether `token` is not good here. Whatever else is answered, it was let in.
    async fn refuses(&self, token: &str) -> Outcome<bool> {
        match self.status(token).await? {
            401 => Ok(true),
            200 | 404 => Ok(false),
            status => Err(format!("{} answered {status}", self.name).into()),
        }
    }

    async fn status(&self, token: &str) -> Outcome<u16> {
        Ok(self.at.get(self.path, Some(token)).await?.status.as_u16())
    }

    /// How long after `ended` it refuses `token`.
    async fn refused(&self, token: &str, ended: Instant) -> Outcome<Duration> {
        while ended.elapsed() < WINDOW {
            if self.refuses(token).await? {
                return Ok(ended.elapsed());
            }
            sleep(PAUSE).await;
        }
        Err(format!("{} still lets an ended session in", self.name).into())
    }
}

/// What every process is told, at whichever ports user, chat and message are.
fn settings([user, chat, message]: [u16; 3], bus: &str, behind: &str) -> Vec<String> {
    let user = format!("http://127.0.0.1:{user}");
    let chat = format!("http://127.0.0.1:{chat}");
    let message = format!("http://127.0.0.1:{message}");
    vec![
        format!("gateway.upstreams.user.endpoints=[\"{user}\"]"),
        format!("gateway.upstreams.chat.endpoints=[\"{chat}\"]"),
        format!("gateway.upstreams.message.endpoints=[\"{message}\"]"),
        format!("gateway.upstreams.behind.endpoints=[\"{behind}\"]"),
        "gateway.routes.bench.exact=\"/bench\"".to_owned(),
        "gateway.routes.bench.upstream=\"behind\"".to_owned(),
        format!("gateway.auth.jwks_url={user}/.well-known/jwks.json"),
        format!("gateway.auth.revocations_url={user}/internal/revocations"),
        format!("gateway.auth.exchange_url={user}/internal/keys/exchange"),
        format!("identity.jwks_url={user}/.well-known/jwks.json"),
        format!("identity.revocations_url={user}/internal/revocations"),
        format!("message.rings.chat_url={chat}"),
        "message.bell=http".to_owned(),
        format!("chat.message_url={message}"),
        format!("bus.url={bus}"),
        "gateway.admin_listen=127.0.0.1:0".to_owned(),
        "gateway.quota.enabled=false".to_owned(),
        "user.grpc_listen=127.0.0.1:0".to_owned(),
        "user.passwords.blocklist=false".to_owned(),
    ]
}
