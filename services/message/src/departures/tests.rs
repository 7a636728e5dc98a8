//! Departures over a real store, from what was noted on.

use std::net::SocketAddr;
use std::path::Path;

use axum::routing::get;
use axum::{Json, Router};
use chassis::config::Layers;
use chassis::health::Health;
use chassis::identity::ServiceTokens;
use chassis::serve::serve;
use chassis::{Bus, Deps, Running, http_client};
use contract::internal::accounts::DeletedAccount;
use contract::room::Member;
use contract::{EventKind, Timestamp};
use harness::{Engine, on_both_engines};

use super::*;
use crate::fixture::{Bench, NOW, author, bench_on, draft, id, new_room, private_room, user};
use crate::store::messages::Page;

on_both_engines!(
    memberships_end_with_an_event_each_and_counts_stay_right,
    every_message_and_joining_changes_its_name_and_nothing_else,
    what_was_noted_is_done_after_a_crash_though_the_user_service_is_away,
    a_deleted_account_becomes_no_member_again,
    the_cursor_is_kept_with_what_was_noted,
    a_list_that_was_set_back_to_nothing_is_set_back_once,
);

/// Departures of `bench`, whose user service is nowhere.
fn departures(bench: &Bench, data: &Path) -> Departures {
    departures_at(bench, data, "http://127.0.0.1:9")
}

/// Departures of `bench`, whose user service is at `url`.
fn departures_at(bench: &Bench, data: &Path, url: &str) -> Departures {
    let (clock, random) = (Clock::fixed(NOW).0, Random::System);
    let (bus, data) = (Bus::local(1), data.to_owned());
    let deps = Deps { bus, clock: clock.clone(), random: random.clone(), data };
    let tokens = ServiceTokens::open("message", &deps.data, &deps).unwrap();
    let client = http_client::open().unwrap();
    let window = Duration::from_secs(1);
    Departures {
        peer: Peer::new(client, url, "user", tokens, window),
        store: bench.store.clone(),
        writer: bench.writer.clone(),
        clock,
        random,
        interval: Duration::from_mins(1),
    }
}

/// Notes that the user `number` was deleted.
async fn note(bench: &Bench, number: u128) {
    let account = DeletedAccount { user_id: user(number), deleted_at: NOW };
    bench.store.note_departed(&[account], 1).await.unwrap();
}

/// Does what was noted.
async fn turn(bench: &Bench) {
    let data = tempfile::tempdir().unwrap();
    let turn = departures(bench, data.path()).turn().await;
    assert!(matches!(turn, Err(Fault::Unread(_))), "{turn:?}");
    assert!(bench.store.unfinished(1).await.unwrap().is_empty());
}

/// Everything that the log of `room` says.
async fn log(bench: &Bench, room: &str) -> String {
    let events = bench.store.events(&id(room), 0, u64::MAX, 10_000).await.unwrap();
    serde_json::to_string(&events).unwrap()
}

async fn memberships_end_with_an_event_each_and_counts_stay_right(engine: Engine) {
    let bench = bench_on(engine).await;
    let (ada, bob) = (author(1), author(2));
    for room in ["tea", "coffee"] {
        bench.room(&ada, room).await;
        bench.writer.join(bob.clone(), id(room)).await.unwrap();
    }
    bench.writer.create(bob.clone(), private_room("secret")).await.unwrap();
    note(&bench, 2).await;
    turn(&bench).await;
    for (room, left) in [("tea", 1), ("coffee", 1), ("secret", 0)] {
        let (found, role) = bench.store.find_room(&id(room), bob.id).await.unwrap().unwrap();
        assert_eq!((found.member_count, role), (left, None), "{room}");
        let events = bench.store.events(&id(room), 0, u64::MAX, 100).await.unwrap();
        assert_eq!(events.last().unwrap().kind, EventKind::MemberLeft);
        assert_eq!(events.last().unwrap().seq, found.last_seq);
    }
}

async fn every_message_and_joining_changes_its_name_and_nothing_else(engine: Engine) {
    let bench = bench_on(engine).await;
    let (ada, bob) = (author(1), author(2));
    bench.room(&ada, "tea").await;
    for _ in 0..2 {
        bench.writer.join(bob.clone(), id("tea")).await.unwrap();
        bench.writer.leave(bob.clone(), id("tea")).await.unwrap();
    }
    bench.writer.join(bob.clone(), id("tea")).await.unwrap();
    // More than a page of either kind, one with the lowest client id there is.
    let texts = (0..1_100_u128).map(|number| (number, (number % 2 == 0).then_some(number / 2)));
    let sends = texts.map(|(number, client)| draft("tea", &number.to_string(), client));
    let pending: Vec<_> =
        sends.map(|draft| bench.writer.submit(bob.clone(), draft).unwrap()).collect();
    for pending in pending {
        pending.sent().await.unwrap();
    }
    bench.writer.send(ada.clone(), draft("tea", "mine", None)).await.unwrap();
    note(&bench, 2).await;
    turn(&bench).await;
    let page = bench.store.page(&id("tea"), Page::After(0), 10_000).await.unwrap();
    let (mine, theirs): (Vec<_>, Vec<_>) = page.iter().partition(|one| one.user_id == ada.id);
    assert_eq!((mine.len(), theirs.len()), (1, 1_100));
    assert_eq!(mine[0].username, "user1");
    assert!(theirs.iter().all(|one| one.username == DELETED_NAME));
    assert!(theirs.iter().enumerate().all(|(place, one)| one.content == place.to_string()));
    let log = log(&bench, "tea").await;
    assert!(!log.contains("user2") && log.contains("user1"));
    let joining = &bench.store.events(&id("tea"), 1, 2, 1).await.unwrap()[0];
    let member: Member = serde_json::from_str(joining.data.get()).unwrap();
    assert_eq!((member.user_id, member.joined_at), (bob.id, NOW));
    assert_eq!(member.username.as_deref(), Some(DELETED_NAME));
}

async fn what_was_noted_is_done_after_a_crash_though_the_user_service_is_away(engine: Engine) {
    let bench = bench_on(engine).await;
    let (ada, bob) = (author(1), author(2));
    bench.room(&ada, "tea").await;
    bench.writer.join(bob.clone(), id("tea")).await.unwrap();
    bench.writer.send(bob.clone(), draft("tea", "hi", Some(1))).await.unwrap();
    note(&bench, 2).await;
    // It broke off behind the first step.
    bench.writer.leave_all(&bob, vec![id("tea")]).await.unwrap();
    let bench = bench.again().await;
    turn(&bench).await;
    assert!(!log(&bench, "tea").await.contains("user2"));
    note(&bench, 2).await;
    assert!(bench.store.unfinished(1).await.unwrap().is_empty(), "it is done once");
}

async fn a_deleted_account_becomes_no_member_again(engine: Engine) {
    let bench = bench_on(engine).await;
    let (ada, bob) = (author(1), author(2));
    bench.room(&ada, "tea").await;
    bench.writer.join(bob.clone(), id("tea")).await.unwrap();
    bench.writer.send(bob.clone(), draft("tea", "hi", None)).await.unwrap();
    note(&bench, 2).await;
    turn(&bench).await;
    let late = bench.writer.send(bob.clone(), draft("tea", "late", None)).await;
    assert!(matches!(late, Err(Error::NotAMember)), "{late:?}");
    let joined = bench.writer.join(bob.clone(), id("tea")).await;
    assert!(matches!(joined, Err(Error::Departed)), "{joined:?}");
    let made = bench.writer.create(bob.clone(), new_room("bobs")).await;
    assert!(matches!(made, Err(Error::Departed)), "{made:?}");
    let with_bob = crate::command::NewRoom { members: vec![bob.id], ..new_room("with-bob") };
    assert_eq!(bench.writer.create(ada, with_bob).await.unwrap().member_count, 1);
}

async fn the_cursor_is_kept_with_what_was_noted(engine: Engine) {
    let bench = bench_on(engine).await;
    assert_eq!(bench.store.deleted_cursor().await.unwrap(), 0);
    let account = |number| DeletedAccount { user_id: user(number), deleted_at: Timestamp(0) };
    bench.store.note_departed(&[account(1), account(2)], 7).await.unwrap();
    bench.store.note_departed(&[account(2), account(3)], 9).await.unwrap();
    let bench = bench.again().await;
    assert_eq!(bench.store.deleted_cursor().await.unwrap(), 9);
    let unfinished = bench.store.unfinished(9).await.unwrap();
    assert_eq!(unfinished, [user(1), user(2), user(3)]);
}

/// A user service whose list of deleted accounts is empty.
fn nobody_deleted() -> Running {
    let nobody = || async { Json(DeletedAccounts { cursor: 0, items: vec![] }) };
    let stop = Stop::new();
    let server = Layers::defaults().section("message.server").unwrap();
    let health = Health::new("Test", "0", Clock::System, stop.clone());
    let routes = Router::new().route("/internal/deleted", get(nobody));
    let address = serve(SocketAddr::from(([127, 0, 0, 1], 0)), &server, routes, health, &stop);
    Running::new("test", address.unwrap(), stop)
}

async fn a_list_that_was_set_back_to_nothing_is_set_back_once(engine: Engine) {
    let bench = bench_on(engine).await;
    bench.store.note_departed(&[], 7).await.unwrap();
    let (data, users) = (tempfile::tempdir().unwrap(), nobody_deleted());
    let url = format!("http://{}", users.address);
    departures_at(&bench, data.path(), &url).turn().await.unwrap();
    assert_eq!(bench.store.deleted_cursor().await.unwrap(), 0);
}

#[tokio::test]
async fn what_another_replica_remembers_does_not_bring_a_name_back() {
    let bench = bench_on(Engine::Postgres).await;
    let other = bench.replica().await;
    let (ada, bob) = (author(1), author(2));
    bench.room(&ada, "tea").await;
    other.writer.join(bob.clone(), id("tea")).await.unwrap();
    other.writer.send(bob.clone(), draft("tea", "hi", None)).await.unwrap();
    note(&bench, 2).await;
    turn(&bench).await;
    let late = other.writer.send(bob, draft("tea", "late", None)).await;
    assert!(matches!(late, Err(Error::NotAMember)), "{late:?}");
    assert!(!log(&bench, "tea").await.contains("user2"));
}
