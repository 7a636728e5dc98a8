//! The way of messages to the store. What waits goes in one call, so that thousands of senders
//! share a commit; the order of a room is the order in which its messages came.

use std::sync::Arc;
use std::time::Duration;

use chassis::identity::Person;
use chassis::peer::PeerError;
use chassis::refuse::Refusal;
use chassis::{Clock, Random, Stop};
use contract::internal::{BATCH_ITEMS_MAX, Batch, BatchItem, BatchOp, BatchResult};
use contract::live::{Ack, Done, ServerFrame};
use contract::message::{CONTENT_CHARS_MAX, Message, SendMessage};
use contract::{ClientId, Kind, RoomId};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::conversations::Conversations;
use crate::error::fault;
use crate::socket::Line;

/// Largest command, in bytes: far more than a message of the greatest length takes.
const ITEM_BYTES_MAX: usize = 128 * 1024;
/// Largest batch, in bytes: below what a service takes as one body.
const BATCH_BYTES_MAX: usize = 768 * 1024;
/// How often a batch whose fate is not known is sent again.
const RETRIES_MAX: u32 = 1;
/// A command that waited longer is refused: its sender has given up.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// When a refused sender should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A message that is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) message: Box<Message>,
    pub(crate) seq: u64,
    pub(crate) n: u64,
    /// Whether it was there already.
    pub(crate) dup: bool,
}

/// What became of a command.
pub(crate) type Outcome = Result<Stored, Refusal>;

/// Who is told.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A caller over HTTP.
    Caller(oneshot::Sender<Outcome>),
    /// A socket, by the `id` of its frame if it had one.
    Socket { line: Arc<Line>, id: Option<u64> },
}

impl Reply {
    fn tell(self, outcome: Outcome) {
        match (self, outcome) {
            // A caller that has gone does not want to know.
            (Self::Caller(caller), outcome) => drop(caller.send(outcome)),
            (Self::Socket { line, id: Some(id) }, Ok(stored)) => {
                let Stored { message, seq, n, dup } = stored;
                let done = Done::Send { message, seq, n, dup };
                line.say(&ServerFrame::Ack(Ack { id, done }));
            }
            (Self::Socket { id: None, .. }, Ok(_)) => {}
            (Self::Socket { line, id }, Err(refusal)) => line.say(&fault(id, &refusal)),
        }
    }
}

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) author: &'a Person,
    pub(crate) room: &'a RoomId,
    pub(crate) message: SendMessage,
}

/// The entrance. Cheap to clone; the lane ends when the last one is gone.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Command>,
    clock: Clock,
    random: Random,
}

#[derive(Debug)]
struct Command {
    item: Box<RawValue>,
    came: Instant,
    reply: Reply,
}

impl Lane {
    /// Opens the lane on the part's tracker; at most `queue_max` commands wait.
    pub(crate) fn open(
        conversations: Conversations,
        queue_max: usize,
        (clock, random): (Clock, Random),
        stop: &Stop,
    ) -> Self {
        let (queue, commands) = mpsc::channel(queue_max.max(1));
        let (worker, ended) = (Worker { commands, conversations }, stop.clone());
        stop.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = worker.run() => {}
            }
        });
        Self { queue, clock, random }
    }

    /// Queues a message; `reply` is told what became of it, whatever that is. Never waits.
    pub(crate) fn send(&self, draft: Draft<'_>, reply: Reply) {
        let command = match self.item(draft) {
            Ok(item) => Command { item, came: Instant::now(), reply },
            Err(refusal) => return reply.tell(Err(refusal)),
        };
        if let Err(refused) = self.queue.try_send(command) {
            let refusal = match &refused {
                mpsc::error::TrySendError::Full(_) => Refusal::new(Kind::Overloaded),
                mpsc::error::TrySendError::Closed(_) => Refusal::new(Kind::Unavailable),
            };
            refused.into_inner().reply.tell(Err(refusal.retry_after(RETRY_AFTER)));
        }
    }

    /// Without a client id there would be no sending again, so every command has one.
    fn item(&self, draft: Draft<'_>) -> Result<Box<RawValue>, Refusal> {
        let Draft { author, room, message } = draft;
        let made = || ClientId(self.random.uuid_v7(self.clock.now()));
        let item = BatchItem {
            op: BatchOp::Send,
            user_id: author.id,
            username: author.name.as_ref().to_owned(),
            session_id: author.session,
            room_id: room.to_string(),
            client_id: Some(message.client_id.unwrap_or_else(made)),
            content: message.content,
            message_type: message.message_type,
            parent_id: message.parent_id,
            deliver_at: message.deliver_at,
        };
        let item = serde_json::value::to_raw_value(&item)
            .map_err(|error| Refusal::new(Kind::Internal).caused_by(error))?;
        if item.get().len() > ITEM_BYTES_MAX {
            let limit = format!("has to have at most {CONTENT_CHARS_MAX} characters");
            return Err(Refusal::invalid("content", limit));
        }
        Ok(item)
    }
}

struct Worker {
    commands: mpsc::Receiver<Command>,
    conversations: Conversations,
}

impl Worker {
    async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH_ITEMS_MAX);
        while self.commands.recv_many(&mut waiting, BATCH_ITEMS_MAX).await > 0 {
            while !waiting.is_empty() {
                let batch = waiting.drain(..fitting(&waiting)).collect();
                self.deliver(batch).await;
            }
        }
    }

    async fn deliver(&self, commands: Vec<Command>) {
        let (fresh, stale): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| command.came.elapsed() < WAIT_MAX);
        for command in stale {
            command.reply.tell(Err(unavailable()));
        }
        let (items, replies): (Vec<_>, Vec<_>) =
            fresh.into_iter().map(|command| (command.item, command.reply)).unzip();
        if items.is_empty() {
            return;
        }
        match self.post(&Batch { items }).await {
            Ok(results) => {
                let outcomes = results.into_iter().map(outcome);
                // Where an answer is missing, the command's fate is not known.
                let outcomes = outcomes.chain(std::iter::repeat_with(|| Err(unavailable())));
                replies.into_iter().zip(outcomes).for_each(|(reply, outcome)| reply.tell(outcome));
            }
            Err(error) => {
                let refusal = unavailable().caused_by(error);
                refusal.log("", "/internal/messages/batch");
                for reply in replies {
                    reply.tell(Err(refusal.clone()));
                }
            }
        }
    }

    /// Sends a batch, again if its fate is not known: client ids make that harmless.
    async fn post(&self, batch: &Batch<Box<RawValue>>) -> Result<Vec<BatchResult>, PeerError> {
        let mut tries = 0;
        loop {
            match self.conversations.batch(batch).await {
                Ok(answer) => return Ok(answer.results),
                Err(_) if tries < RETRIES_MAX => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// How many of the first commands go in one batch.
fn fitting(commands: &[Command]) -> usize {
    let mut bytes = 0;
    let fits = commands.iter().take_while(|command| {
        bytes += command.item.get().len();
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().clamp(1, commands.len().max(1))
}

fn outcome(result: BatchResult) -> Outcome {
    match result {
        BatchResult::Stored { status: _, message, seq, n, dup } => {
            Ok(Stored { message, seq, n, dup })
        }
        BatchResult::Refused { status: _, problem } => Err(PeerError::Refused(problem).into()),
    }
}

fn unavailable() -> Refusal {
    Refusal::new(Kind::Unavailable)
        .detail("The message was not acknowledged: send it again with the same clientId.")
        .retry_after(RETRY_AFTER)
}
