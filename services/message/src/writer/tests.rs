//! The writer over a real store: order, repeats, gaps, and a commit that fails.

use std::sync::Arc;

use chassis::bus::Heard;
use chassis::database::{Held, Text, query};
use contract::EventKind;
use futures_util::future::join_all;
use harness::{Engine, on_both_engines};
use tokio::time::timeout;

use super::*;
use crate::command::Novelty;
use crate::fixture::{author, bench_on, bench_with, draft, id, new_room, settings};
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

on_both_engines!(
    messages_stand_in_the_order_in_which_they_came,
    a_client_id_gives_the_same_message_in_a_later_batch_too,
    events_ring_in_order_and_only_when_they_can_be_read,
    a_commit_that_fails_acknowledges_nobody_and_rings_nothing,
    a_store_that_is_gone_acknowledges_nobody,
    what_breaks_a_rule_of_the_database_harms_no_other,
    a_caller_who_goes_away_does_not_take_the_command_back,
    the_writers_end_with_the_last_of_their_handles,
    numbers_have_no_gaps_under_concurrent_senders_and_joins,
    a_full_queue_refuses_at_once,
);

async fn messages_stand_in_the_order_in_which_they_came(engine: Engine) {
    let bench = bench_on(engine).await;
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

async fn a_client_id_gives_the_same_message_in_a_later_batch_too(engine: Engine) {
    let bench = bench_on(engine).await;
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

async fn numbers_have_no_gaps_under_concurrent_senders_and_joins(engine: Engine) {
    let bench = Arc::new(bench_on(engine).await);
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

async fn events_ring_in_order_and_only_when_they_can_be_read(engine: Engine) {
    let bench = bench_on(engine).await;
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
const BREAK_COMMITS: [Text; 2] = [
    Text {
        sqlite: "CREATE TABLE trap (room TEXT REFERENCES rooms (id) DEFERRABLE INITIALLY DEFERRED)",
        postgres: "CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS \
                   'BEGIN RAISE EXCEPTION ''sprung''; END'",
    },
    Text {
        sqlite: "CREATE TRIGGER spring AFTER INSERT ON messages \
                 BEGIN INSERT INTO trap VALUES ('nowhere'); END",
        postgres: "CREATE CONSTRAINT TRIGGER spring AFTER INSERT ON messages \
                   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spring()",
    },
];
const MEND_COMMITS: [Text; 1] =
    [Text { sqlite: "DROP TRIGGER spring", postgres: "DROP TRIGGER spring ON messages" }];

async fn a_commit_that_fails_acknowledges_nobody_and_rings_nothing(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    bench.meddle(&BREAK_COMMITS).await;
    let mut ear = bench.bus.subscribe();
    let send = |number: u128| bench.writer.send(ada.clone(), draft("tea", "hi", Some(number)));
    for answer in join_all((0..20).map(send)).await {
        assert!(matches!(answer, Err(Error::NotStored)), "{answer:?}");
    }
    assert_eq!(numbers(&bench.store, "tea").await, (vec![1], vec![]));

    bench.meddle(&MEND_COMMITS).await;
    let kept = send(3).await.unwrap();
    assert_eq!((kept.message.seq, kept.novelty), (2, Novelty::New));
    let Some(Heard::Event(first)) = timeout(SOON, ear.next()).await.unwrap() else { panic!() };
    assert_eq!(first.seq, 2);
}

async fn a_store_that_is_gone_acknowledges_nobody(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    bench.meddle(&["ALTER TABLE messages RENAME TO elsewhere".into()]).await;
    let sends = (0..20).map(|_| bench.writer.send(ada.clone(), draft("tea", "hi", None)));
    for answer in join_all(sends).await {
        assert!(matches!(answer, Err(Error::NotStored)), "{answer:?}");
    }
}

async fn what_breaks_a_rule_of_the_database_harms_no_other(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    // One of the same shard, so that it shares batches.
    let shard = |room: &str| store::place(&id(room), bench.store.shards().len());
    let mut names = (0..).map(|number| format!("broken-{number}"));
    let broken = names.find(|name| shard(name) == shard("tea")).unwrap();
    bench.room(&ada, &broken).await;
    // Somebody else wrote the place that comes next.
    let text = "INSERT INTO messages (id, room_id, seq, n, user_id, username, content, message_type, \
                created_at) VALUES ($1, $2, 2, 1, $1, 'x', 'x', 'text', 0)";
    let write = query(text).bind(uuid::Uuid::from_u128(5)).bind(broken.as_str());
    bench.database.execute(write).await.unwrap();
    let sends = (0..30).map(|number| {
        let room = if number == 7 { &broken } else { "tea" };
        bench.writer.send(ada.clone(), draft(room, "hi", None))
    });
    let answers = join_all(sends).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number == 7, "{number}: {answer:?}");
    }
    let (seqs, counted) = numbers(&bench.store, "tea").await;
    assert!(is_counted(&seqs) && counted.len() == 29);
}

async fn a_full_queue_refuses_at_once(engine: Engine) {
    let bench = bench_with(engine, settings(4)).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    // While somebody else writes to the shard, nothing is taken out for long.
    let shard = bench.store.shards()[store::place(&id("tea"), bench.store.shards().len())];
    let mut held = Held::default();
    let other = bench.store.begin(shard, &mut held).await.unwrap();
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
    other.give_up(&mut held).await.unwrap();
    drop(held);
    for waiting in pending {
        waiting.sent().await.unwrap();
    }
}

async fn a_caller_who_goes_away_does_not_take_the_command_back(engine: Engine) {
    let bench = bench_on(engine).await;
    let ada = author(1);
    bench.room(&ada, "tea").await;
    drop(bench.writer.submit(ada.clone(), draft("tea", "one", Some(1))).unwrap());
    let two = bench.writer.send(ada.clone(), draft("tea", "two", None)).await.unwrap();
    assert_eq!(two.message.n, 2);
    let again = bench.writer.send(ada, draft("tea", "one", Some(1))).await.unwrap();
    assert_eq!((again.message.n, again.novelty), (1, Novelty::Repeat));
}

async fn the_writers_end_with_the_last_of_their_handles(engine: Engine) {
    let bench = bench_on(engine).await;
    bench.writer.create(author(1), new_room("tea")).await.unwrap();
    drop(bench.writer);
    bench.stop.tracker().close();
    timeout(SOON, bench.stop.tracker().wait()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_take_turns_in_one_room_without_gaps_or_doubles() {
    let one = bench_on(Engine::Postgres).await;
    let two = one.replica().await;
    let ada = author(1);
    one.room(&ada, "tea").await;
    let sends = (0..200_u128).map(|number| {
        // Every client id goes to both, as when a caller asks again elsewhere.
        let draft = draft("tea", &number.to_string(), Some(number));
        let (one, two, ada) = (&one.writer, &two.writer, ada.clone());
        async move { tokio::join!(one.send(ada.clone(), draft.clone()), two.send(ada, draft)) }
    });
    for (first, second) in join_all(sends).await {
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.message.id, second.message.id);
        assert_ne!(first.novelty, second.novelty);
    }
    let (seqs, counted) = numbers(&one.store, "tea").await;
    assert!(is_counted(&seqs) && is_counted(&counted) && counted.len() == 200);
}

#[tokio::test]
async fn a_client_id_in_rooms_of_two_shards_is_one_message() {
    let one = bench_on(Engine::Postgres).await;
    let ada = author(1);
    let rooms: Vec<_> = (0..8).map(|number| format!("room-{number}")).collect();
    for room in &rooms {
        one.room(&ada, room).await;
    }
    let sends = rooms.iter().map(|room| one.writer.send(ada.clone(), draft(room, "hi", Some(1))));
    let answers = join_all(sends).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let conflict = |answer: &&Result<Sent, Error>| matches!(answer, Err(Error::ClientIdConflict));
    assert_eq!(answers.iter().filter(conflict).count(), rooms.len() - 1);
}
