//! Two replicas of each service behind one gateway, all of them processes, on servers of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::nats;
use harness::postgres::{self, Disk};
use reqwest::Method;
use tempfile::TempDir;
use tokio::task::{block_in_place, spawn_blocking};

use super::client::{Client, User};
use super::door::Door;
use super::eventually;
use super::hub::{Program, sibling};
use super::socket::Socket;

/// The database of every service.
const DATABASE: &str = "postgres";
/// Sockets that are opened through the gateway until one is on the wanted replica.
const OPENED_MAX: usize = 16;

/// What a cluster stands on; stopped and started by the case.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: postgres::Server,
    pub(crate) nats: nats::Server,
    /// The message services' way to NATS.
    pub(crate) way_to_nats: Door,
    folder: TempDir,
}

/// Where a cluster finds what it stands on.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    folder: PathBuf,
    database: String,
    bus: String,
    bus_of_messages: String,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let postgres = spawn_blocking(|| postgres::Server::start(Disk::Synced).unwrap());
        let nats = spawn_blocking(|| nats::Server::start().unwrap());
        let (postgres, nats) = (postgres.await.unwrap(), nats.await.unwrap());
        let way_to_nats = Door::open().await;
        way_to_nats.lead_to([&*nats.url()]);
        Self { postgres, nats, way_to_nats, folder: tempfile::tempdir().unwrap() }
    }

    /// Senders go on meanwhile.
    pub(crate) fn crash_postgres(&mut self) {
        block_in_place(|| self.postgres.crash());
    }

    pub(crate) fn start_postgres_again(&mut self) {
        block_in_place(|| self.postgres.start_again()).unwrap();
    }

    pub(crate) fn start_nats_again(&mut self) {
        block_in_place(|| self.nats.start_again()).unwrap();
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            folder: self.folder.path().to_owned(),
            database: self.postgres.url(DATABASE),
            bus: self.nats.url(),
            bus_of_messages: format!("nats://{}", self.way_to_nats.place()),
        }
    }

    /// What the replica `number` of `part` said so far.
    pub(crate) fn log_of(&self, part: &str, number: usize) -> String {
        std::fs::read_to_string(log(self.folder.path(), part, number)).unwrap_or_default()
    }
}

impl Places {
    /// Tells `command` of the servers, as an operator would.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.env("DATABASE_URL", &self.database).env("NATS_URL", &self.bus);
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) user: [Program; 2],
    pub(crate) chat: [Program; 2],
    pub(crate) message: [Program; 2],
    gateway: Program,
    /// To the user and the message services; open as long as they are here.
    _ways: [Door; 2],
}

impl Cluster {
    pub(crate) async fn start(servers: &Servers) -> Self {
        Self::start_at(servers.places()).await
    }

    /// Starts the services all at once, and the gateway when they run.
    pub(crate) async fn start_at(places: Places) -> Self {
        let (users, messages) = (Door::open().await, Door::open().await);
        let keys = format!("http://{}/.well-known/jwks.json", users.place());
        let of_user = settings(["user.passwords.blocklist=false", "user.grpc_listen=127.0.0.1:0"]);
        let feed = format!("http://{}/internal/revocations", users.place());
        let (keys_setting, feed_setting) =
            (format!("identity.jwks_url={keys}"), format!("identity.revocations_url={feed}"));
        let of_message = settings([&*keys_setting, &*feed_setting]);
        let of_chat = settings([
            &*keys_setting,
            &*feed_setting,
            &*format!("chat.message_url=http://{}", messages.place()),
            // Nothing but the bus tells of what was missed.
            "chat.head_check_interval=1h",
            "chat.ws.frames_burst=10000",
        ]);
        let (user, chat, message) = tokio::join!(
            both(&places, "user", &of_user),
            both(&places, "chat", &of_chat),
            both(&places, "message", &of_message),
        );
        users.lead_to(user.each_ref().map(|replica| replica.url("user")));
        messages.lead_to(message.each_ref().map(|replica| replica.url("message")));
        let mut of_gateway = settings([
            "gateway.admin_listen=127.0.0.1:0",
            "gateway.quota.enabled=false",
            &format!("gateway.auth.jwks_url={keys}"),
            &format!("gateway.auth.revocations_url={feed}"),
        ]);
        for (part, replicas) in [("user", &user), ("chat", &chat), ("message", &message)] {
            let [one, two] = replicas.each_ref().map(|replica| replica.url(part));
            let setting = format!("gateway.upstreams.{part}.endpoints=[\"{one}\", \"{two}\"]");
            of_gateway.push(setting);
        }
        let gateway = replica(&places, "gateway", 0, of_gateway).await;
        for (part, program) in chat.iter().map(|chat| ("chat", chat)).chain(
            message.iter().map(|message| ("message", message)).chain([("gateway", &gateway)]),
        ) {
            ready(part, program.url(part)).await;
        }
        Self { user, chat, message, gateway, _ways: [users, messages] }
    }

    /// Where callers come in.
    pub(crate) fn base(&self) -> &str {
        self.gateway.url("gateway")
    }

    /// A client without credentials.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.base())
    }

    /// Two people in a room, of which both are members.
    pub(crate) async fn two_in_a_room(&self) -> (User, User, String) {
        let client = self.client();
        let (ada, bob) = tokio::join!(client.register(), client.register());
        let room = ada.room(false).await;
        bob.join(&room).await;
        (ada, bob, room)
    }

    /// `user` at the message service's replica `number` itself.
    pub(crate) fn at_message(&self, user: &User, number: usize) -> User {
        user.at(self.message[number].url("message"))
    }

    /// A socket of `user` at the chat service's replica `number` itself.
    pub(crate) async fn socket_at(&self, user: &User, number: usize) -> Socket {
        Socket::open(self.chat[number].url("chat"), "/ws", Some(user.token())).await
    }

    /// A socket of `user` through the gateway, which led it to the chat service's replica `number`.
    pub(crate) async fn socket_led_to(&self, user: &User, number: usize) -> Socket {
        for _ in 0..OPENED_MAX {
            let mut socket = user.socket().await;
            if socket.want_op("hello").await["server"] == name("chat", number) {
                return socket;
            }
        }
        panic!("the gateway never leads to the chat service's replica {number}");
    }

    /// Requests that the gateway sent to each user service.
    pub(crate) async fn requests_to_users(&self) -> [u64; 2] {
        let admin = Client::new(self.gateway.url("admin"));
        let text = admin.request(Method::GET, "/metrics").send().await.unwrap();
        let text = text.text().await.unwrap();
        self.user.each_ref().map(|replica| {
            let place = replica.url("user").split("://").last().unwrap();
            let mut lines = text.lines();
            let line = lines.find(|line| {
                line.starts_with("gateway_upstream_endpoint_requests_total") && line.contains(place)
            });
            let line = line.unwrap_or_else(|| panic!("nothing about {place} in\n{text}"));
            line.split(' ').next_back().unwrap().parse().unwrap()
        })
    }
}

/// Waits until `part` at `url` knows what is revoked.
async fn ready(part: &str, url: &str) {
    let client = Client::new(url);
    eventually(&format!("the {part} service to be ready"), || async {
        let answer = client.request(Method::GET, "/health/ready").send().await.unwrap();
        answer.status().is_success().then_some(())
    })
    .await;
}

fn settings<'a>(list: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

/// What a replica is called, in its log's name and in `hello`.
fn name(part: &str, number: usize) -> String {
    format!("{part}-{number}")
}

fn log(folder: &Path, part: &str, number: usize) -> PathBuf {
    folder.join(format!("{}.log", name(part, number)))
}

async fn both(places: &Places, part: &'static str, settings: &[String]) -> [Program; 2] {
    let start = |number| replica(places, part, number, settings.to_vec());
    let (one, two) = tokio::join!(start(0), start(1));
    [one, two]
}

/// Starts one replica on a port of its own, with a data folder of its own and the keys of all.
async fn replica(
    places: &Places,
    part: &'static str,
    number: usize,
    mut settings: Vec<String>,
) -> Program {
    let mut command = Command::new(sibling(part));
    command.arg("--data").arg(places.folder.join(name(part, number)));
    places.tell(&mut command);
    if part == "message" {
        command.env("NATS_URL", &places.bus_of_messages);
    }
    if part == "chat" {
        settings.push(format!("chat.node={}", name(part, number)));
    }
    let keys = places.folder.join("keys");
    settings.push(format!("{part}.listen=127.0.0.1:0"));
    settings.push(format!("identity.keys_dir={}", keys.display()));
    for setting in &settings {
        command.arg("--set").arg(setting);
    }
    let log = log(&places.folder, part, number);
    spawn_blocking(move || Program::start(command, log)).await.unwrap()
}
