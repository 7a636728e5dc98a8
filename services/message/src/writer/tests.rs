//! The writer over a real store: order, repeats, gaps, and a commit that fails.

use std::sync::Arc;

use chassis::bus::Heard;
use contract::EventKind;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::*;
use crate::command::Novelty;
use crate::fixture::{author, bench, bench_with, draft, id, new_room, settings};
use crate::store::messages::Page;

const SOON: Duration = Duration::from_secs(10);

/// Every `seq` of a room's log in order, and every `n` of its messages.
async fn numbers(store: &Store, room: &str) -> (Vec<u64>, Vec<u64>) {
    let room = id(room);
    let events = store.events(&room, 0, u64::MAX, 100_000).await.unwrap();
    let page = store.page(&room, Page::After(0), 100_000).await.unwrap();
    (events.iter().map(|e| e.seq).collect(), page.iter().map(|m| m.n).collect())
}

fn is_counted(numbers: &[u64]) -> bool {
    numbers.iter().copied().eq(1..=numbers.len() as u64)
}

#[tokio::test]
async fn messages_stand_in_the_order_in_which_they_came() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    let texts: Vec<_> = (0..600).map(|number| format!("message {number}")).collect();
    let pending: Vec<_> = texts
        .iter()
        .map(|text| bench.writer.submit(ada.clone(), draft("tea", text, None)).unwrap())
        .collect();
    for pending in pending {
        pending.sent().await.unwrap();
    }
    let page = bench.store.page(&id("tea"), Page::After(0), 1_000).await.unwrap();
    assert_eq!(
        page.iter().map(|m| &m.content).collect::<Vec<_>>(),
        texts.iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_client_id_gives_the_same_message_in_a_later_batch_too() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    let send = |text| bench.writer.send(ada.clone(), draft("tea", text, Some(9)));
    let first = send("hi").await.unwrap();
    let again = send("hi").await.unwrap();
    assert_eq!((first.novelty, again.novelty), (Novelty::New, Novelty::Repeat));
    assert_eq!(first.message.id, again.message.id);
    assert_eq!(first.message.created_at, again.message.created_at);
    assert!(matches!(send("ho").await, Err(Error::ClientIdConflict)));
    assert_eq!(bench.store.heads(&[&id("tea")]).await.unwrap()[0].1, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_have_no_gaps_under_concurrent_senders_and_joins() {
    let bench = Arc::new(bench().await);
    for room in ["a", "b", "c"] {
        bench.room(&author(0), room).await;
    }
    let people = (1..=24_u128).map(|number| {
        let bench = bench.clone();
        async move {
            let me = author(number);
            for round in 0..20_u128 {
                let room = ["a", "b", "c"][usize::try_from((number + round) % 3).unwrap()];
                bench.writer.join(me.clone(), id(room)).await.unwrap();
                let text = format!("{number} in round {round}");
                let draft = draft(room, &text, Some(number * 1_000 + round));
                let (one, two) = tokio::join!(
                    bench.writer.send(me.clone(), draft.clone()),
                    bench.writer.send(me.clone(), draft)
                );
                assert_eq!(one.unwrap().message.seq, two.unwrap().message.seq);
                if round % 4 == 3 {
                    bench.writer.leave(me.clone(), id(room)).await.unwrap();
                }
            }
        }
    });
    join_all(people).await;
    let mut messages = 0;
    for room in ["a", "b", "c"] {
        let (seqs, counted) = numbers(&bench.store, room).await;
        assert!(is_counted(&seqs) && is_counted(&counted), "{room}: {seqs:?} {counted:?}");
        messages += counted.len();
    }
    assert_eq!(messages, 24 * 20);
}

#[tokio::test]
async fn events_ring_in_order_and_only_when_they_can_be_read() {
    let bench = bench().await;
    let mut ear = bench.bus.subscribe();
    let ada = author(1);
    bench.room(&ada, "tea").await;
    let sends = (0..50).map(|n| bench.writer.send(ada.clone(), draft("tea", &n.to_string(), None)));
    join_all(sends).await.into_iter().for_each(|sent| assert!(sent.is_ok()));
    for seq in 1..=51 {
        let heard = timeout(SOON, ear.next()).await.unwrap();
        let Some(Heard::Event(event)) = heard else { panic!("{heard:?}") };
        let kind = if seq == 1 { EventKind::MemberJoined } else { EventKind::MessageCreated };
        assert_eq!((event.seq, event.kind), (seq, kind));
        assert_eq!(event.epoch, bench.store.epoch());
        let stored = bench.store.events(&id("tea"), seq - 1, seq, 1).await.unwrap();
        assert_eq!(stored[0].data.get(), event.data.get());
    }
}

/// Makes every commit that has a message in it fail, and only the commit.
const BREAK_COMMITS: &str = "
    CREATE TABLE trap (room TEXT REFERENCES rooms (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER spring AFTER INSERT ON messages
        BEGIN INSERT INTO trap VALUES ('nowhere'); END";

#[tokio::test]
async fn a_commit_that_fails_acknowledges_nobody_and_rings_nothing() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    sqlx::raw_sql(BREAK_COMMITS).execute(&bench.sqlite.writer).await.unwrap();
    let mut ear = bench.bus.subscribe();
    let send = |number: u128| bench.writer.send(ada.clone(), draft("tea", "hi", Some(number)));
    for answer in join_all((0..20).map(send)).await {
        assert!(matches!(answer, Err(Error::NotStored)), "{answer:?}");
    }
    assert_eq!(numbers(&bench.store, "tea").await, (vec![1], vec![]));

    sqlx::raw_sql("DROP TRIGGER spring").execute(&bench.sqlite.writer).await.unwrap();
    let kept = send(3).await.unwrap();
    assert_eq!((kept.message.seq, kept.novelty), (2, Novelty::New));
    let Some(Heard::Event(first)) = timeout(SOON, ear.next()).await.unwrap() else { panic!() };
    assert_eq!(first.seq, 2);
}

#[tokio::test]
async fn a_store_that_is_gone_acknowledges_nobody() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    bench.sqlite.writer.close().await;
    let sends = (0..20).map(|_| bench.writer.send(ada.clone(), draft("tea", "hi", None)));
    for answer in join_all(sends).await {
        assert!(matches!(answer, Err(Error::NotStored)), "{answer:?}");
    }
}

#[tokio::test]
async fn what_breaks_a_rule_of_the_database_harms_no_other() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "broken").await;
    bench.room(&ada, "tea").await;
    // Somebody else wrote the place that comes next.
    sqlx::raw_sql(
        "INSERT INTO log (shard_seq, shard, room_id, seq, type, ts, payload)
         VALUES (1000000, 0, 'broken', 2, 'member.left', 0, '{}')",
    )
    .execute(&bench.sqlite.writer)
    .await
    .unwrap();
    let sends = (0..30).map(|number| {
        let room = if number == 7 { "broken" } else { "tea" };
        bench.writer.send(ada.clone(), draft(room, "hi", None))
    });
    let answers = join_all(sends).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number == 7, "{number}: {answer:?}");
    }
    let (seqs, counted) = numbers(&bench.store, "tea").await;
    assert!(is_counted(&seqs) && counted.len() == 29);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let bench = bench_with(settings(4)).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    // While somebody else holds the writing connection, nothing is taken out for long.
    let held = bench.sqlite.writer.acquire().await.unwrap();
    let mut pending = Vec::new();
    let refusal = loop {
        match bench.writer.submit(ada.clone(), draft("tea", "hi", None)) {
            Ok(waiting) => pending.push(waiting),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
        assert!(pending.len() <= 300, "the queue has no bound");
    };
    assert!(matches!(refusal, Error::QueueFull));
    drop(held);
    for waiting in pending {
        waiting.sent().await.unwrap();
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_take_the_command_back() {
    let bench = bench().await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    drop(bench.writer.submit(ada.clone(), draft("tea", "one", Some(1))).unwrap());
    let two = bench.writer.send(ada.clone(), draft("tea", "two", None)).await.unwrap();
    assert_eq!(two.message.n, 2);
    let again = bench.writer.send(ada, draft("tea", "one", Some(1))).await.unwrap();
    assert_eq!((again.message.n, again.novelty), (1, Novelty::Repeat));
}

#[tokio::test]
async fn the_writer_ends_with_the_last_of_its_handles() {
    let bench = bench().await;
    bench.writer.create(author(1), new_room("tea")).await.unwrap();
    drop(bench.writer);
    bench.stop.tracker().close();
    timeout(SOON, bench.stop.tracker().wait()).await.unwrap();
    assert!(bench.sqlite.writer.is_closed());
}
