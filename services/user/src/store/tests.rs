//! The store by itself: what is unique, what is spent, what is swept.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use chassis::config::Layers;
use chassis::database::{Config, query};
use contract::caller::Role;
use contract::revocation::{Revocation, Revoked};
use contract::user::Register;
use contract::{SessionId, Timestamp, UserId};
use futures_util::future::join_all;
use harness::postgres::Database as Server;
use harness::schema::{Shape, assert_alike, assert_same_steps};
use harness::{Engine, on_both_engines};
use tempfile::TempDir;
use tokio::join;
use tokio::time::sleep;
use uuid::Uuid;

use super::accounts::{Name, Search};
use super::sessions::{NewSession, Proof, Renewal, Spent};
use super::setup::{Offer, Setup};
use super::*;
use crate::SCHEMA;
use crate::account::{Account, Standing};
use crate::audit::{Action, Entry};
use crate::password::rules::{Common, Rules};
use crate::register::Draft;
use crate::visitor::Visitor;

const NOW: Timestamp = Timestamp(1_795_194_000_000);
const LATER: Timestamp = Timestamp(NOW.0 + 1_000);
const KEEP: Duration = Duration::from_hours(1);
const HOME: Visitor = Visitor { address: IpAddr::V4(Ipv4Addr::LOCALHOST), device: None };
const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";

/// A store, and what it stands on.
struct Bench {
    store: Store,
    folder: TempDir,
    server: Option<Server>,
}

async fn open(folder: &TempDir, server: Option<&Server>) -> Store {
    let mut layers = Layers::defaults();
    layers.put("database.url", server.map(Server::url).unwrap_or_default());
    let config = Config::read(&layers).unwrap();
    let file = folder.path().join("user.db");
    Store::new(Database::open(&config, &file, &SCHEMA).await.unwrap(), KEEP)
}

async fn bench(engine: Engine) -> Bench {
    let (folder, server) = (tempfile::tempdir().unwrap(), engine.fresh());
    Bench { store: open(&folder, server.as_ref()).await, folder, server }
}

impl Bench {
    /// What another replica has; the only one's, where there cannot be two.
    async fn other(&self) -> Store {
        match &self.server {
            Some(server) => open(&self.folder, Some(server)).await,
            None => self.store.clone(),
        }
    }
}

fn account(number: u128, name: &str) -> Account {
    let body = Register {
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        password: "correct horse".to_owned(),
        ..Register::default()
    };
    let draft = Draft::parse(&body, Rules { length_min: 8, common: Common::Allowed }).unwrap();
    let standing = Standing::of(vec![Role::Customer, Role::Admin]);
    draft.account(UserId(Uuid::from_u128(number)), standing, NOW)
}

fn session(number: u8) -> NewSession {
    NewSession {
        id: SessionId(Uuid::from_u128(number.into())),
        hash: [number; 32],
        now: NOW,
        expires_at: LATER,
        per_account_max: 10,
        by: HOME,
    }
}

fn entry(of: UserId) -> Entry {
    Entry::own(Action::LogIn, of, HOME.address, NOW)
}

fn end(sid: SessionId) -> Revocation {
    Revocation { what: Revoked::Session { sid }, not_before: NOW, until: LATER }
}

async fn spend(store: &Store, token: u8, next: u8) -> Spent {
    let renewal = Renewal { hash: [next; 32], now: NOW, by: HOME };
    store.spend(&[token; 32], &renewal, |_| LATER, end).await.unwrap()
}

async fn register(store: &Store, account: &Account, session: u8) -> Result<(), Error> {
    store.register(account, PHC, &self::session(session), &entry(account.id)).await
}

/// Gives the sessions that made room.
async fn open_session(store: &Store, of: UserId, session: &NewSession) -> Vec<Revocation> {
    let opened = store.open_session(of, Proof::Password(PHC), session, &entry(of), end).await;
    opened.unwrap().1.items
}

async fn count(store: &Store, text: &'static str) -> i64 {
    store.db.fetch_optional(query(text)).await.unwrap().unwrap().get("count").unwrap()
}

const SESSIONS: &str = "SELECT COUNT(*) AS count FROM sessions";
const TOKENS: &str = "SELECT COUNT(*) AS count FROM refresh_tokens";
const ACCOUNTS: &str = "SELECT COUNT(*) AS count FROM accounts";

on_both_engines!(
    an_account_is_read_as_it_was_stored,
    an_account_that_fails_leaves_no_session_behind,
    each_unique_column_has_its_name,
    a_token_is_spent_once_and_the_second_use_ends_its_session,
    the_sweep_takes_what_is_dead_and_leaves_what_is_alive,
    a_session_that_was_just_opened_stays_whatever_the_clocks_of_replicas_say,
    a_sweep_is_bounded,
    a_row_that_breaks_the_rules_is_not_passed_on,
    a_search_takes_a_to_z_for_their_lower_case_and_nothing_else,
    of_replicas_that_start_together_one_offers_a_code,
    strangers_at_once_are_all_served,
    a_sweep_leaves_to_others_what_they_are_at,
);

async fn an_account_is_read_as_it_was_stored(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    let stored = account(1, "ada");
    register(store, &stored, 1).await.unwrap();
    let read = store.find_account(stored.id).await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{stored:?}"));
    let name = Name::Username("ADA".parse().unwrap());
    let credentials = store.find_credentials(&name).await.unwrap().unwrap();
    assert_eq!(credentials.password.as_deref(), Some(PHC));
}

async fn an_account_that_fails_leaves_no_session_behind(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    register(store, &account(1, "ada"), 1).await.unwrap();
    let same_name = Account { email: None, ..account(2, "ada") };
    let again = register(store, &same_name, 2).await;
    assert!(matches!(again, Err(Error::Taken(Unique::Username))));
    assert_eq!(count(store, SESSIONS).await, 1);
}

async fn each_unique_column_has_its_name(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    register(store, &account(1, "ada"), 1).await.unwrap();
    let same_email = Account { email: account(1, "ada").email, ..account(2, "bob") };
    let refused = register(store, &same_email, 2).await;
    assert!(matches!(refused, Err(Error::Taken(Unique::Email))));
    let phone = Some("+4930123456".parse().unwrap());
    let one = Account { phone, ..account(3, "cid") };
    register(store, &one, 3).await.unwrap();
    let two = Account { phone: one.phone, ..account(4, "dan") };
    let refused = register(store, &two, 4).await;
    assert!(matches!(refused, Err(Error::Taken(Unique::Phone))));
    let same_id = register(store, &account(1, "eve"), 5).await;
    assert!(matches!(same_id, Err(Error::Statement(_))));
}

async fn a_token_is_spent_once_and_the_second_use_ends_its_session(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    register(store, &account(1, "ada"), 1).await.unwrap();
    assert!(matches!(spend(store, 1, 2).await, Spent::Renewed { .. }));
    assert!(matches!(spend(store, 1, 3).await, Spent::Reused { .. }));
    assert!(matches!(spend(store, 2, 4).await, Spent::Ended));
    assert!(matches!(spend(store, 9, 5).await, Spent::Unknown));
    assert_eq!(count(store, TOKENS).await, 2, "only a renewal stores a token");
}

async fn the_sweep_takes_what_is_dead_and_leaves_what_is_alive(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    register(store, &account(1, "ada"), 1).await.unwrap();
    spend(store, 1, 2).await;
    assert_eq!(store.sweep(NOW, NOW, 10).await.unwrap(), 0);
    assert_eq!(store.sweep(NOW, LATER, 10).await.unwrap(), 1, "the spent token");
    assert!(matches!(spend(store, 2, 3).await, Spent::Renewed { .. }));
    let end = Timestamp(LATER.0 + 1);
    assert_eq!(store.sweep(end, NOW, 10).await.unwrap(), 1, "the session");
    assert_eq!(count(store, TOKENS).await, 0);
    assert_eq!(count(store, ACCOUNTS).await, 1);
}

async fn a_session_that_was_just_opened_stays_whatever_the_clocks_of_replicas_say(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    let ada = account(1, "ada");
    register(store, &ada, 9).await.unwrap();
    let behind = Timestamp(NOW.0 - 1_000);
    let late = NewSession { now: behind, per_account_max: 2, ..session(8) };
    assert_eq!(open_session(store, ada.id, &late).await, []);
    let later = NewSession { hash: [7; 32], id: session(7).id, ..late };
    assert_eq!(open_session(store, ada.id, &later).await, [end(session(8).id)]);
    assert!(matches!(spend(store, 7, 17).await, Spent::Renewed { .. }));
    assert!(matches!(spend(store, 9, 19).await, Spent::Renewed { .. }));
    assert!(matches!(spend(store, 8, 18).await, Spent::Unknown));
}

async fn a_sweep_is_bounded(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    register(store, &account(1, "ada"), 1).await.unwrap();
    for number in 2..6 {
        open_session(store, account(1, "ada").id, &session(number)).await;
    }
    let end = Timestamp(LATER.0 + 1);
    assert_eq!(store.sweep(end, NOW, 3).await.unwrap(), 3);
    assert_eq!(store.sweep(end, NOW, 3).await.unwrap(), 2);
}

async fn a_row_that_breaks_the_rules_is_not_passed_on(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    let stored = account(1, "ada");
    register(store, &stored, 1).await.unwrap();
    store.db.execute(query("UPDATE accounts SET roles = 'king'")).await.unwrap();
    let read = store.find_account(stored.id).await;
    assert!(matches!(read, Err(Error::Corrupt { column: "roles" })));
}

async fn a_search_takes_a_to_z_for_their_lower_case_and_nothing_else(engine: Engine) {
    let Bench { store, .. } = &bench(engine).await;
    for (number, name, display_name) in [(1, "ada", "Ärger I"), (2, "B_b", "İi"), (3, "a-z", "x")]
    {
        let mut account = account(number.into(), name);
        account.about.display_name = Some(display_name.parse().unwrap());
        register(store, &account, number).await.unwrap();
    }
    for (part, found) in [
        ("", vec!["a-z", "ada", "B_b"]),
        ("A", vec!["a-z", "ada"]),
        ("_", vec!["B_b"]),
        ("i", vec!["ada", "B_b"]),
        ("I", vec!["ada", "B_b"]),
        ("Är", vec!["ada"]),
        ("är", vec![]),
    ] {
        let (part, after) = (part.to_owned(), String::new());
        let search = Search { part, role: Some(Role::Admin), after, limit: 10 };
        let accounts = store.search(&search).await.unwrap();
        let names: Vec<_> = accounts.iter().map(|account| account.username.as_str()).collect();
        assert_eq!(names, found, "{search:?}");
    }
}

async fn of_replicas_that_start_together_one_offers_a_code(engine: Engine) {
    let bench = bench(engine).await;
    let (store, other) = (&bench.store, &bench.other().await);
    let (one, two) = join!(store.offer_first_setup(&[1; 32]), other.offer_first_setup(&[2; 32]));
    let (kept, offers) = (store.find_setup().await.unwrap(), (one.unwrap(), two.unwrap()));
    match offers {
        (Offer::Ours, Offer::Earlier) => assert_eq!(kept, Some(Setup::Offered([1; 32]))),
        (Offer::Earlier, Offer::Ours) => assert_eq!(kept, Some(Setup::Offered([2; 32]))),
        both => panic!("{both:?}"),
    }
    store.offer_setup(&[3; 32]).await.unwrap();
    assert_eq!(store.find_setup().await.unwrap(), Some(Setup::Offered([3; 32])));
}

async fn strangers_at_once_are_all_served(engine: Engine) {
    let bench = bench(engine).await;
    let (store, other) = (&bench.store, &bench.other().await);
    for number in 1..40 {
        let account = account(number.into(), &format!("ada{number}"));
        register(store, &account, number).await.unwrap();
    }
    let spends = (1..40)
        .map(|number| spend(if number % 2 == 0 { store } else { other }, number, 100 + number));
    for spent in join_all(spends).await {
        assert!(matches!(spent, Spent::Renewed { .. }), "{spent:?}");
    }
}

async fn a_sweep_leaves_to_others_what_they_are_at(engine: Engine) {
    let bench = bench(engine).await;
    let (store, other) = (&bench.store, &bench.other().await);
    register(store, &account(1, "ada"), 1).await.unwrap();
    for number in 2..30 {
        open_session(store, account(1, "ada").id, &session(number)).await;
    }
    let end = Timestamp(LATER.0 + 1);
    let (one, two) = join!(store.sweep(end, NOW, 100), other.sweep(end, NOW, 100));
    assert_eq!(one.unwrap() + two.unwrap(), 10, "as many as an account may have");
    assert_eq!(count(store, SESSIONS).await, 0);
}

/// Looks at whether a statement waits, and the pause between two: ten seconds.
const LOOKS_MAX: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(10);
const WAITING: &str = "
    SELECT COUNT(*) AS count FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test]
async fn what_the_engine_broke_off_is_done_anew() {
    let Bench { store, server, .. } = &bench(Engine::Postgres).await;
    register(store, &account(1, "ada"), 1).await.unwrap();
    let mut stranger =
        open(&tempfile::tempdir().unwrap(), server.as_ref()).await.begin().await.unwrap();
    stranger.execute(query("UPDATE refresh_tokens SET created_at = 0")).await.unwrap();
    let in_each_others_way = async {
        let mut looks = LOOKS_MAX;
        while count(store, WAITING).await == 0 {
            assert!(looks > 0, "nobody waits");
            looks -= 1;
            sleep(PAUSE).await;
        }
        stranger.execute(query("UPDATE accounts SET bio = 'x'")).await.unwrap();
        stranger.commit().await.unwrap();
    };
    let (spent, ()) = join!(spend(store, 1, 2), in_each_others_way);
    assert!(matches!(spent, Spent::Renewed { .. }), "{spent:?}");
}

#[tokio::test]
async fn both_engines_keep_the_same() {
    assert_same_steps(&Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).unwrap();
    let (sqlite, postgres) = (bench(Engine::Sqlite).await, bench(Engine::Postgres).await);
    let file = sqlite.folder.path().join("user.db");
    let url = postgres.server.as_ref().unwrap().url();
    assert_alike(
        &Shape::of_sqlite(&file).await.unwrap(),
        &Shape::of_postgres(&url, SCHEMA.name).await.unwrap(),
    );
}
