//! NATS and PostgreSQL go away and come back under a cluster: nothing acknowledged is lost, and what
//! was missed arrives within seconds.

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::client::{Answer, Client, User};
use super::support::cluster::{Cluster, Servers};
use super::support::hub::{Program, command, hubbub};
use super::support::ledger::Ledger;
use super::support::reader::Reader;
use super::support::{PATIENCE, eventually};

/// What was missed while NATS was away is there so soon after its return.
const PROMISE: Duration = Duration::from_secs(5);
/// How soon a sender learns that there is no store.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// Messages of one sender.
const SENDS: usize = 12;
/// Refusals of each sender before PostgreSQL comes back: of a broken connection, and of none.
const REFUSALS: usize = 2;
/// How often a server goes away in one case.
const ROUNDS: usize = 3;

/// A socket on each chat replica, both reading one room.
struct Room {
    people: [User; 2],
    id: String,
    readers: [Reader; 2],
    ledger: Ledger,
}

impl Room {
    async fn open(cluster: &Cluster) -> Self {
        let (ada, bob, id) = cluster.two_in_a_room().await;
        let readers = [
            Reader::begin(cluster.socket_at(&ada, 0).await, &id).await,
            Reader::begin(cluster.socket_at(&bob, 1).await, &id).await,
        ];
        Self { people: [ada, bob], id, readers, ledger: Ledger::default() }
    }

    /// Sends by HTTP and by both sockets; the number of the last message.
    async fn send(&mut self, name: &str, is_fair: fn(&Answer)) -> u64 {
        let (ledger, room) = (&self.ledger, &*self.id);
        let by_rest = self.people.iter().enumerate().map(async |(number, user)| {
            let sender = format!("{name} rest {number}");
            ledger.send_by_rest((user, room, &sender), SENDS, is_fair).await;
        });
        let by_socket = self.readers.iter_mut().enumerate().map(async |(number, reader)| {
            let sender = format!("{name} socket {number}");
            ledger.send_by_socket(reader, (room, &sender), SENDS).await;
        });
        join(join_all(by_rest), join_all(by_socket)).await;
        ledger.last()
    }

    async fn read_to(&mut self, seq: u64) {
        join_all(self.readers.iter_mut().map(|reader| reader.read_to(seq))).await;
    }

    /// Sends until live push has paused: a message is acknowledged, and neither socket hears of it. A
    /// look at the store that was due when the bus went away may still come before that.
    async fn send_until_unheard(&mut self, name: &str) {
        let end = Instant::now() + PATIENCE;
        for number in 0.. {
            let sender = format!("{name} {number}");
            let whose = (&self.people[0], &*self.id, &*sender);
            self.ledger.send_by_rest(whose, 1, refuses_nobody).await;
            self.settle().await;
            if self.readers.iter().all(|reader| reader.head() < self.ledger.last()) {
                return;
            }
            assert!(Instant::now() < end, "live push goes on without the bus");
        }
    }

    /// All that was on its way to the sockets has come when this returns.
    async fn settle(&mut self) {
        join_all(self.readers.iter_mut().map(Reader::settle)).await;
    }

    /// Everything acknowledged is kept, and both sockets have seen it.
    async fn assert_whole(&mut self) {
        self.settle().await;
        self.ledger.assert_is(&self.people[0].whole_history(&self.id).await);
        for reader in &self.readers {
            self.ledger.assert_was_seen(&reader.events);
        }
    }
}

fn refuses_nobody(answer: &Answer) {
    panic!("refused: {answer:?}");
}

fn is_unavailable(answer: &Answer) {
    answer.is_problem("unavailable", 503);
}

#[track_caller]
fn assert_soon(since: Instant, what: &str) {
    let took = since.elapsed();
    assert!(took <= PROMISE, "{what} arrived {took:?} after NATS was back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_while_nats_was_away_arrives_within_five_seconds() {
    let mut servers = Servers::start().await;
    let cluster = Cluster::start(&servers).await;
    let mut room = Room::open(&cluster).await;
    let last = room.send("before", refuses_nobody).await;
    room.read_to(last).await;
    for round in 0..ROUNDS {
        servers.nats.crash();
        room.send_until_unheard(&format!("silence {round}")).await;
        let last = room.send(&format!("without {round}"), refuses_nobody).await;
        servers.start_nats_again();
        let back = Instant::now();
        room.read_to(last).await;
        assert_soon(back, "what was missed");
        let last = room.send(&format!("live {round}"), refuses_nobody).await;
        room.read_to(last).await;
        assert_soon(back, "what was sent after that");
    }
    room.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_before_its_publisher_finds_nats_again_arrives_when_it_does() {
    let mut servers = Servers::start().await;
    let cluster = Cluster::start(&servers).await;
    let mut room = Room::open(&cluster).await;
    for round in 0..ROUNDS {
        servers.way_to_nats.shut();
        servers.nats.crash();
        servers.start_nats_again();
        for chat in 0..2 {
            eventually("the chat services to be back", || async {
                let log = servers.log_of("chat", chat);
                (log.matches("Connected to NATS").count() == round + 2).then_some(())
            })
            .await;
        }
        let last = room.send(&format!("early {round}"), refuses_nobody).await;
        servers.way_to_nats.open_again();
        let back = Instant::now();
        room.read_to(last).await;
        assert_soon(back, "what was sent early");
    }
    room.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_nothing_is_acknowledged_and_with_it_all_goes_on() {
    let mut servers = Servers::start().await;
    let cluster = Cluster::start(&servers).await;
    let mut room = Room::open(&cluster).await;
    let (ada, ledger) = (room.people[0].clone(), room.ledger.clone());
    let mut sending = JoinSet::new();
    sending.spawn(async move { (room.send("during", is_unavailable).await, room) });
    ledger.acknowledged(SENDS).await;
    servers.crash_postgres();
    let senders = ["rest 0", "rest 1", "socket 0", "socket 1"].map(|s| format!("during {s}"));
    ledger.refused(&senders, REFUSALS).await;
    let login = json!({"username": ada.name, "password": "password123"});
    let (signed_in, read) =
        join(ada.api.post("/api/auth/login", &login), ada.api.get("/api/chat/rooms")).await;
    is_unavailable(&signed_in);
    is_unavailable(&read);
    servers.start_postgres_again();
    eventually("signing in to work again", || async {
        let answer = ada.api.post("/api/auth/login", &login).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let (last, mut room) = sending.join_next().await.unwrap().unwrap();
    assert!(ledger.slowest() <= REFUSED_WITHIN, "somebody waited {:?}", ledger.slowest());
    room.read_to(last).await;
    let last = room.send("after", refuses_nobody).await;
    room.read_to(last).await;
    room.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_start_without_nats_and_push_once_it_comes() {
    let mut servers = Servers::start().await;
    servers.nats.crash();
    let cluster = Cluster::start(&servers).await;
    let mut room = Room::open(&cluster).await;
    room.send_until_unheard("silence").await;
    let last = room.send("without", refuses_nobody).await;
    servers.start_nats_again();
    let back = Instant::now();
    room.read_to(last).await;
    assert_soon(back, "what was sent before");
    let last = room.send("with", refuses_nobody).await;
    room.read_to(last).await;
    room.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_start_before_postgres_wait_for_it() {
    let mut servers = Servers::start().await;
    servers.crash_postgres();
    let starting = Cluster::start_at(servers.places());
    let coming = async {
        for (part, number) in [("user", 0), ("user", 1), ("message", 0), ("message", 1)] {
            eventually("a service to wait", || async {
                servers.log_of(part, number).contains("Waiting for PostgreSQL").then_some(())
            })
            .await;
        }
        servers.start_postgres_again();
    };
    let (cluster, ()) = join(starting, coming).await;
    let mut room = Room::open(&cluster).await;
    let last = room.send("late", refuses_nobody).await;
    room.read_to(last).await;
    room.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubbub_alone_works_on_both_servers_too() {
    let mut servers = Servers::start().await;
    let places = servers.places();
    let start = || {
        let settings = ["chat.head_check_interval=1h", "chat.ws.frames_burst=10000"];
        let settings = settings.map(str::to_owned);
        let mut command = command(&hubbub(), places.folder(), &settings);
        places.tell(&mut command);
        let log = places.folder().join("hubbub.log");
        tokio::task::block_in_place(|| Program::start(command, log))
    };
    let mut hub = start();
    let client = Client::new(hub.url("gateway"));
    let (ada, bob) = (client.register().await, client.register().await);
    let id = ada.room(false).await;
    bob.join(&id).await;
    let readers = [
        Reader::begin(ada.socket().await, &id).await,
        Reader::begin(bob.socket().await, &id).await,
    ];
    let mut room = Room { people: [ada, bob], id, readers, ledger: Ledger::default() };
    let last = room.send("live", refuses_nobody).await;
    room.read_to(last).await;
    servers.nats.crash();
    // Events do go over it.
    room.send_until_unheard("silence").await;
    let last = room.send("without NATS", refuses_nobody).await;
    servers.start_nats_again();
    room.read_to(last).await;
    room.assert_whole().await;

    hub.kill();
    hub = start();
    let people = room.people.each_ref().map(|user| user.at(hub.url("gateway")));
    for (reader, user) in room.readers.iter_mut().zip(&people) {
        reader.resume_on(user.socket().await).await;
    }
    room.people = people;
    let last = room.send("after a kill", refuses_nobody).await;
    room.read_to(last).await;
    room.assert_whole().await;
    let files = std::fs::read_dir(places.folder().join("data")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().ends_with(".db")), "{names:?}");
}
