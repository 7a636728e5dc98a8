//! What this service asks of the one that keeps rooms and messages: just the calls that it makes.

use std::fmt::Write as _;
use std::sync::Arc;

use chassis::hop::Hop;
use chassis::identity::Person;
use chassis::peer::{Answer, On, Peer, PeerError};
use contract::internal::{Access, Batch, BatchResults, Heads, HeadsQuery, Log};
use contract::live::RECOVERED_EVENTS_MAX;
use contract::message::Message;
use contract::room::{CreateRoom, Done, Room};
use contract::{Channel, RoomId, UserId};
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest epoch that is passed on: a longer one is none of ours.
const EPOCH_BYTES_MAX: usize = 64;

/// The client. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Conversations {
    peer: Peer,
    /// Bounds the reads for those who catch up.
    reads: Arc<Semaphore>,
}

/// From where on to read a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFrom<'a> {
    pub(crate) after: u64,
    pub(crate) epoch: Option<&'a str>,
    pub(crate) limit: Option<u32>,
}

/// Which page of messages to read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Page {
    Newest,
    Before(u64),
    After(u64),
}

impl Conversations {
    pub(crate) fn new(peer: Peer, reads_max: usize) -> Self {
        Self { peer, reads: Arc::new(Semaphore::new(reads_max)) }
    }

    pub(crate) async fn create_room(
        &self,
        person: &Person,
        room: &CreateRoom,
        hop: &Hop,
    ) -> Result<Answer<Room>, PeerError> {
        self.peer.post("/api/rooms", room, On::BehalfOf(person), hop).await
    }

    /// `query` as the caller wrote it.
    pub(crate) async fn list_rooms(
        &self,
        person: &Person,
        query: &str,
        hop: &Hop,
    ) -> Result<Answer<Vec<Room>>, PeerError> {
        self.peer.get(&format!("/api/rooms?{query}"), On::BehalfOf(person), hop).await
    }

    pub(crate) async fn get_room(
        &self,
        person: &Person,
        room: &RoomId,
        hop: &Hop,
    ) -> Result<Answer<Room>, PeerError> {
        self.peer.get(&format!("/api/rooms/{room}"), On::BehalfOf(person), hop).await
    }

    pub(crate) async fn join_room(
        &self,
        person: &Person,
        room: &RoomId,
        hop: &Hop,
    ) -> Result<Answer<Done>, PeerError> {
        self.peer.post(&format!("/api/rooms/{room}/join"), &(), On::BehalfOf(person), hop).await
    }

    pub(crate) async fn leave_room(
        &self,
        person: &Person,
        room: &RoomId,
        hop: &Hop,
    ) -> Result<Answer<Done>, PeerError> {
        self.peer.post(&format!("/api/rooms/{room}/leave"), &(), On::BehalfOf(person), hop).await
    }

    /// At most `limit` messages of a room, ascending.
    pub(crate) async fn messages(
        &self,
        person: &Person,
        room: &RoomId,
        page: Page,
        limit: u32,
    ) -> Result<Vec<Message>, PeerError> {
        let mut path = format!("/api/messages/room/{room}?limit={limit}");
        let _ = match page {
            Page::Newest => Ok(()),
            Page::Before(seq) => write!(path, "&before={seq}"),
            Page::After(seq) => write!(path, "&after={seq}"),
        };
        let _permit = self.admitted().await;
        let answer = self.peer.get(&path, On::BehalfOf(person), &Hop::default()).await?;
        Ok(answer.body)
    }

    /// What `user` may do with `room`; a room that does not exist is refused with 404.
    pub(crate) async fn access(&self, room: &RoomId, user: UserId) -> Result<Access, PeerError> {
        let path = format!("/internal/rooms/{room}/access?userId={user}");
        let _permit = self.admitted().await;
        Ok(self.peer.get(&path, On::OwnBehalf, &Hop::default()).await?.body)
    }

    /// The newest positions of `channels`.
    pub(crate) async fn heads(&self, channels: &[Channel]) -> Result<Heads, PeerError> {
        let query = HeadsQuery { channels: channels.to_vec() };
        let _permit = self.admitted().await;
        Ok(self.peer.post("/internal/heads", &query, On::OwnBehalf, &Hop::default()).await?.body)
    }

    /// Everything after a position, or nothing.
    pub(crate) async fn log(&self, channel: &Channel, from: LogFrom<'_>) -> Result<Log, PeerError> {
        let limit = from.limit.unwrap_or(RECOVERED_EVENTS_MAX);
        let after = from.after;
        let mut path = format!("/internal/log?channel={channel}&after={after}&limit={limit}");
        if let Some(epoch) = from.epoch {
            path.push_str("&epoch=");
            push_escaped(&mut path, epoch);
        }
        let _permit = self.admitted().await;
        Ok(self.peer.get(&path, On::OwnBehalf, &Hop::default()).await?.body)
    }

    /// Commands of many users at once; the answers come in the same order.
    pub(crate) async fn batch(
        &self,
        items: &Batch<Box<RawValue>>,
    ) -> Result<BatchResults, PeerError> {
        let path = "/internal/messages/batch";
        Ok(self.peer.post(path, items, On::OwnBehalf, &Hop::default()).await?.body)
    }

    /// Waits for its turn to read. The semaphore is never closed, so that there always is one.
    async fn admitted(&self) -> Option<SemaphorePermit<'_>> {
        self.reads.acquire().await.ok()
    }
}

/// Appends `text` to a query (RFC 3986 section 2.1).
fn push_escaped(query: &mut String, text: &str) {
    for byte in text.bytes().take(EPOCH_BYTES_MAX) {
        if byte.is_ascii_alphanumeric() {
            query.push(char::from(byte));
        } else {
            let _ = write!(query, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_of_a_client_cannot_change_the_query() {
        let mut query = String::new();
        push_escaped(&mut query, "a&limit=1 ü");
        assert_eq!(query, "a%26limit%3D1%20%C3%BC");
    }
}
