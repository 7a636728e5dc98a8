//! What senders were told, to be held against what is kept: everything acknowledged is there, under
//! its number, once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::client::{Answer, User};
use super::reader::Reader;
use super::{PATIENCE, eventually};

/// Shared by all senders of a room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<watch::Sender<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// Content by `seq`.
    acked: BTreeMap<u64, String>,
    /// How often each sender was refused.
    refused: BTreeMap<String, usize>,
    /// The longest that anybody waited for an answer.
    slowest: Duration,
}

impl Ledger {
    /// Sends `count` messages one after the other over HTTP, each again under its client id until it
    /// is acknowledged. `is_fair` says whether a refusal may be.
    pub(crate) async fn send_by_rest(
        &self,
        (user, room, sender): (&User, &str, &str),
        count: usize,
        is_fair: impl Fn(&Answer),
    ) {
        for number in 0..count {
            let (content, client) = (format!("{sender}/{number}"), Uuid::now_v7());
            let message = eventually("an acknowledgement", || async {
                let answer = self.timed(user.send_as(room, client, &content)).await;
                if matches!(answer.status.as_u16(), 200 | 201) {
                    return Some(answer.body);
                }
                is_fair(&answer);
                self.refuse(sender);
                None
            });
            self.acknowledge(&message.await, &content);
        }
    }

    /// The same over the socket of `reader`, on which a refusal is `unavailable`, to be tried again.
    pub(crate) async fn send_by_socket(
        &self,
        reader: &mut Reader,
        (room, sender): (&str, &str),
        count: usize,
    ) {
        for number in 0..count {
            let (content, client) = (format!("{sender}/{number}"), Uuid::now_v7());
            let frame = json!({
                "op": "send", "ch": format!("room:{room}"), "clientId": client, "content": content,
            });
            let reader = Mutex::new(&mut *reader);
            let message = eventually("an acknowledgement", || async {
                let mut reader = reader.lock().await;
                let answer = self.timed(reader.ask(frame.clone())).await;
                if answer["op"] == "ack" {
                    return Some(answer);
                }
                let told = (&answer["op"], &answer["code"], &answer["retry"]);
                assert_eq!(told, (&json!("err"), &json!("unavailable"), &json!(true)), "{answer}");
                self.refuse(sender);
                None
            });
            self.acknowledge(&message.await, &content);
        }
    }

    /// Waits until so many messages are acknowledged.
    pub(crate) async fn acknowledged(&self, count: usize) {
        self.wait(|told| told.acked.len() >= count).await;
    }

    /// Waits until each of `senders` was refused so often.
    pub(crate) async fn refused(&self, senders: &[String], times: usize) {
        let often = |told: &Told, sender| told.refused.get(sender).is_some_and(|n| *n >= times);
        self.wait(|told| senders.iter().all(|sender| often(told, sender))).await;
    }

    /// The number of the last message that was acknowledged.
    pub(crate) fn last(&self) -> u64 {
        *self.0.borrow().acked.last_key_value().unwrap().0
    }

    /// The longest that anybody waited for an answer, whatever it was.
    pub(crate) fn slowest(&self) -> Duration {
        self.0.borrow().slowest
    }

    /// Checks that `history` is what was acknowledged and nothing else, counted without a gap.
    pub(crate) fn assert_is(&self, history: &[Value]) {
        let kept: BTreeMap<_, _> = history
            .iter()
            .map(|message| {
                let content = message["content"].as_str().unwrap().to_owned();
                (message["seq"].as_u64().unwrap(), content)
            })
            .collect();
        assert_eq!(self.0.borrow().acked, kept);
        for (index, message) in history.iter().enumerate() {
            assert_eq!(message["n"], index + 1, "{message}");
        }
        assert_eq!(kept.len(), history.len(), "a number is there twice");
    }

    /// Checks that the messages among `events` are what was acknowledged and nothing else.
    pub(crate) fn assert_was_seen(&self, events: &[Value]) {
        let messages = events.iter().filter(|event| event["type"] == "message.created");
        let history: Vec<_> = messages.map(|event| event["data"].clone()).collect();
        self.assert_is(&history);
    }

    fn acknowledge(&self, message: &Value, content: &str) {
        let seq = message["seq"].as_u64().unwrap();
        self.0.send_modify(|told| {
            let before = told.acked.insert(seq, content.to_owned());
            assert_eq!(before, None, "{seq} was given twice, the second time to {content}");
        });
    }

    fn refuse(&self, sender: &str) {
        self.0.send_modify(|told| *told.refused.entry(sender.to_owned()).or_default() += 1);
    }

    async fn timed<T>(&self, answer: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = answer.await;
        self.0.send_modify(|told| told.slowest = told.slowest.max(began.elapsed()));
        answer
    }

    async fn wait(&self, is_so: impl Fn(&Told) -> bool) {
        let mut told = self.0.subscribe();
        let waited = timeout(PATIENCE, told.wait_for(is_so)).await;
        assert!(waited.is_ok(), "still waiting at {:?}", self.0.borrow());
    }
}
