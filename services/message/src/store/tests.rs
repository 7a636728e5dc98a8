//! The store by itself: what is written is read back, and nobody reads what is not theirs.

use std::path::Path;
use std::sync::atomic::Ordering;

use harness::schema::{Shape, assert_alike_but_for, assert_same_steps};
use harness::{Engine, on_both_engines};

use super::*;
use crate::error;
use crate::fixture::{Home, author, bench_on, draft, id, private_room, user};
use crate::store::messages::Page;
use crate::store::rooms::{Cursor, Scope};

on_both_engines!(
    a_restart_keeps_everything_and_the_epoch,
    whatever_can_be_written_comes_back_the_same,
    a_page_is_ascending_wherever_it_lies,
    lists_are_by_latest_activity_and_hide_private_rooms_from_strangers,
);

async fn a_restart_keeps_everything_and_the_epoch(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    let sent = bench.writer.send(ada.clone(), draft("tea", "hi", Some(9))).await.unwrap();
    let epoch = bench.store.epoch().to_owned();
    let bench = bench.again().await;
    let store = &bench.store;
    assert_eq!(store.epoch(), epoch);
    let found = store.find_message(sent.message.id, user(1)).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(found).unwrap(), serde_json::to_value(sent.message).unwrap());
    assert_eq!(store.heads(&[&id("tea")]).await.unwrap(), [(id("tea"), 2)]);
}

async fn whatever_can_be_written_comes_back_the_same(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    for text in
        ["\"quoted\" \\ and\nlines\t", "日本語 🫖 ü", "'; DROP TABLE rooms; --", "{\"a\":[1]}"]
    {
        let sent = bench.writer.send(ada.clone(), draft("tea", text, None)).await.unwrap();
        let found = bench.store.find_message(sent.message.id, ada.id).await.unwrap().unwrap();
        assert_eq!(found.content, text);
        assert_eq!(sent.message.content, text);
    }
}

async fn a_page_is_ascending_wherever_it_lies(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    for number in 0..10 {
        bench.writer.send(ada.clone(), draft("tea", &number.to_string(), None)).await.unwrap();
    }
    // The creator's joining is 1, so that the messages are 2 to 11.
    for (page, want) in [
        (Page::Newest { skip: 0 }, [9, 10, 11].as_slice()),
        (Page::Newest { skip: 2 }, &[7, 8, 9]),
        (Page::Newest { skip: 10 }, &[]),
        (Page::Before(4), &[2, 3]),
        (Page::After(0), &[2, 3, 4]),
        (Page::After(10), &[11]),
        (Page::After(u64::MAX), &[]),
    ] {
        let found = bench.store.page(&id("tea"), page, 3).await.unwrap();
        let seqs: Vec<_> = found.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, want, "{page:?}");
    }
}

async fn lists_are_by_latest_activity_and_hide_private_rooms_from_strangers(engine: Engine) {
    let bench = bench_on(engine).await;
    let (ada, bob) = (author(1), author(2));
    for room in ["one", "two", "three"] {
        bench.room(&ada, room).await;
    }
    bench.writer.create(ada.clone(), private_room("secret")).await.unwrap();
    for room in ["three", "secret", "one", "two"] {
        bench.hands.fetch_add(1_000, Ordering::Relaxed);
        bench.writer.send(ada.clone(), draft(room, "last words", None)).await.unwrap();
    }
    let list = async |user, scope, part| {
        let found = bench.store.rooms(user, scope, part, &Cursor::start(), 10).await.unwrap();
        found.into_iter().map(|listed| listed.room.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(ada.id, Scope::Visible, "").await, ["two", "one", "secret", "three"]);
    assert_eq!(list(bob.id, Scope::Visible, "").await, ["two", "one", "three"]);
    assert_eq!(list(ada.id, Scope::Mine, "a ROOM").await.len(), 4);
    assert!(list(bob.id, Scope::Mine, "").await.is_empty());
    assert_eq!(list(ada.id, Scope::Visible, "THREE").await, ["three"]);
    assert!(list(ada.id, Scope::Visible, "%").await.is_empty());
}

#[tokio::test]
async fn both_engines_keep_the_same() {
    assert_same_steps(&Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).unwrap();
    let (sqlite, postgres) = (Home::of(Engine::Sqlite), Home::of(Engine::Postgres));
    drop((sqlite.open().await, postgres.open().await));
    assert_alike_but_for(
        &Shape::of_sqlite(&sqlite.file()).await.unwrap(),
        &Shape::of_postgres(&postgres.url(), SCHEMA.name).await.unwrap(),
        // Keys of a table in parts have its day in them, and rows that one statement makes with their
        // room need not be told that it is there.
        &[
            "PostgreSQL alone: log: INDEX log_by_commit (shard, shard_seq)",
            "PostgreSQL alone: log: INDEX log_by_place (room_id, seq)",
            "SQLite alone: log: (room_id) REFERENCES rooms (id) ON DELETE NO ACTION",
            "SQLite alone: log: (shard) REFERENCES shards (shard) ON DELETE NO ACTION",
            "SQLite alone: log: PRIMARY KEY (shard_seq)",
            "SQLite alone: log: UNIQUE log_by_place (room_id, seq)",
            "SQLite alone: messages: (room_id) REFERENCES rooms (id) ON DELETE NO ACTION",
        ],
    );
}

#[test]
fn rooms_are_where_every_version_looks_for_them() {
    // These never change: a room's messages would get a second sequence.
    for (room, of_two, of_five) in [("general", 1, 1), ("a", 0, 1), ("tea", 1, 2)] {
        assert_eq!((place(&id(room), 2), place(&id(room), 5)), (of_two, of_five), "{room}");
    }
}

#[test]
fn what_is_wrong_with_the_store_is_unavailable_to_the_public() {
    let refusal = chassis::refuse::Refusal::from(error::Error::Store(Error::Corrupt("kind")));
    assert_eq!(refusal.kind(), contract::Kind::Unavailable);
}
