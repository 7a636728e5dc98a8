//! The store by itself: what is written is read back, and nobody reads what is not theirs.

use std::sync::atomic::Ordering;

use sqlx::Row;

use super::*;
use crate::error;
use crate::fixture::{author, bench, database, draft, id, private_room, user};
use crate::store::messages::Page;
use crate::store::rooms::{Cursor, Scope};

#[tokio::test]
async fn every_connection_syncs_its_commits_into_a_write_ahead_log() {
    let bench = bench().await;
    let mut held = vec![bench.sqlite.writer.acquire().await.unwrap()];
    while held.len() <= bench.sqlite.reader.options().get_max_connections() as usize {
        held.push(bench.sqlite.reader.acquire().await.unwrap());
    }
    for connection in &mut held {
        let pragma = "SELECT (SELECT journal_mode FROM pragma_journal_mode), \
                      (SELECT synchronous FROM pragma_synchronous), \
                      (SELECT foreign_keys FROM pragma_foreign_keys)";
        let row = sqlx::query(pragma).fetch_one(&mut **connection).await.unwrap();
        let found = (row.get::<String, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2));
        assert_eq!(found, ("wal".to_owned(), 2, 1));
    }
}

#[tokio::test]
async fn a_restart_keeps_everything_and_the_epoch() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    let sent = bench.writer.send(ada.clone(), draft("tea", "hi", Some(9))).await.unwrap();
    let epoch = bench.store.epoch().to_owned();
    bench.store.close().await;

    let again = Sqlite::open(&database(bench.folder.path()), STEPS).await.unwrap();
    let store = Store::over(again, &Random::System).await.unwrap();
    assert_eq!(store.epoch(), epoch);
    let found = store.find_message(sent.message.id, user(1)).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(found).unwrap(), serde_json::to_value(sent.message).unwrap());
    assert_eq!(store.heads(&[&id("tea")]).await.unwrap(), [(id("tea"), 2)]);
}

#[tokio::test]
async fn whatever_can_be_written_comes_back_the_same() {
    let bench = bench().await;
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

#[tokio::test]
async fn a_page_is_ascending_wherever_it_lies() {
    let bench = bench().await;
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

#[tokio::test]
async fn lists_are_by_latest_activity_and_hide_private_rooms_from_strangers() {
    let bench = bench().await;
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

#[test]
fn what_is_wrong_with_the_store_is_unavailable_to_the_public() {
    let refusal = chassis::refuse::Refusal::from(error::Error::Store(Error::Corrupt("kind")));
    assert_eq!(refusal.kind(), contract::Kind::Unavailable);
}
