//! Takes what waits into one transaction: an acknowledgement says that its commit is on the disk.
//!
//! Every shard has one writer, and a room is always in the same shard. A writer takes commands in the
//! order in which they came, at most a batch of them, judges each (a refused one harms no other),
//! writes them all, commits, answers, and then rings, in order. When the commit fails nobody is
//! acknowledged and nothing rings. While it commits, the next batch gathers by itself; it never waits
//! for company longer than `linger`, and only when the batch before had company too. Writers of other
//! replicas take turns with it in the database; a batch that another one got in front of is judged
//! anew.

pub(crate) mod known;
mod memory;
pub(crate) mod plan;

use std::collections::HashSet;
use std::hash::Hash;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chassis::database::Held;
use chassis::refuse::chain;
use chassis::{Clock, Random, Stop};
use contract::room::Room;
use contract::{Channel, Event, RoomId, Timestamp};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::bell::Bell;
use crate::command::{Author, Draft, NewRoom, Outcome, Sent, Work};
use crate::error::Error;
use crate::store::batch::Names;
use crate::store::{self, Shard, Store};
use crate::writer::known::Known;
use crate::writer::memory::Memory;
use crate::writer::plan::{Changes, Entry, Plan};

/// How the writer gathers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most commands that wait; one more is refused at once.
    pub queue_commands_max: NonZeroUsize,
    /// Most commands of one transaction.
    pub batch_commands_max: NonZeroUsize,
    /// How long a batch may wait for as many commands as the one before it had.
    #[serde(with = "chassis::config::span")]
    pub linger: Duration,
    /// Members of rooms that a writer remembers.
    pub remembered_members_max: usize,
}

/// How often a batch is judged anew that another replica's writer got in front of.
const TRIES_MAX: u32 = 4;

/// Where commands are handed in. The writers end when the last of these is gone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    /// One for each shard.
    queues: Arc<[mpsc::Sender<Command>]>,
    clock: Clock,
    random: Random,
}

/// A command that waits for its answer. Whoever drops it does not take it back.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<Result<Outcome, Error>>);

#[derive(Debug)]
struct Command {
    author: Author,
    work: Work,
    answer: oneshot::Sender<Result<Outcome, Error>>,
}

impl Writer {
    /// Starts the writers of `store`.
    pub(crate) fn start(
        store: &Store,
        bell: &Bell,
        (clock, random): (Clock, Random),
        config: &Config,
        stop: &Stop,
    ) -> Self {
        let start = |&shard: &Shard| {
            let (queue, commands) = mpsc::channel(config.queue_commands_max.get());
            let task = Task {
                store: store.clone(),
                shard,
                bell: bell.clone(),
                clock: clock.clone(),
                random: random.clone(),
                batch_max: config.batch_commands_max.get(),
                linger: config.linger,
                held: Held::default(),
                memory: Memory::new(config.remembered_members_max),
                latest: Timestamp(0),
                state: State::Working,
            };
            let cut = stop.clone();
            stop.spawn(async move {
                tokio::select! {
                    () = task.run(commands) => {}
                    // A batch that is under way may be stored or not; nobody was told that it is.
                    () = cut.cancelled() => {}
                }
            });
            queue
        };
        let queues = store.shards().iter().map(start).collect();
        Self { queues, clock, random }
    }

    pub(crate) async fn send(&self, author: Author, draft: Draft) -> Result<Sent, Error> {
        self.submit(author, draft)?.sent().await
    }

    pub(crate) async fn create(&self, author: Author, mut room: NewRoom) -> Result<Room, Error> {
        // The id says which shard the room will be in.
        room.id.get_or_insert_with(|| self.random.uuid_v7(self.clock.now()).into());
        self.hand_in(author, Work::Create(room))?.room().await
    }

    pub(crate) async fn join(&self, author: Author, room: RoomId) -> Result<Room, Error> {
        self.hand_in(author, Work::Join(room))?.room().await
    }

    pub(crate) async fn leave(&self, author: Author, room: RoomId) -> Result<Room, Error> {
        self.hand_in(author, Work::Leave(room))?.room().await
    }

    /// Ends memberships, all of them at once. One that had ended is no error.
    pub(crate) async fn leave_all(&self, author: &Author, rooms: Vec<RoomId>) -> Result<(), Error> {
        let hand_in = |room| self.hand_in(author.clone(), Work::Leave(room));
        let pending: Vec<_> = rooms.into_iter().map(hand_in).collect::<Result<_, _>>()?;
        for pending in pending {
            match pending.room().await {
                Ok(_) | Err(Error::NoSuchRoom) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Hands a message in without waiting, so that several keep their order.
    pub(crate) fn submit(&self, author: Author, draft: Draft) -> Result<Pending, Error> {
        self.hand_in(author, Work::Send(draft))
    }

    fn hand_in(&self, author: Author, work: Work) -> Result<Pending, Error> {
        let (answer, pending) = oneshot::channel();
        let shard = work.room().map_or(0, |room| store::place(room, self.queues.len()));
        let queue = self.queues.get(shard).ok_or(Error::NotStored)?;
        match queue.try_send(Command { author, work, answer }) {
            Ok(()) => Ok(Pending(pending)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Error::QueueFull),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Error::NotStored),
        }
    }
}

impl Pending {
    pub(crate) async fn sent(self) -> Result<Sent, Error> {
        match self.0.await {
            Ok(Ok(Outcome::Sent(sent))) => Ok(sent),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Outcome::Room(_))) | Err(_) => Err(Error::NotStored),
        }
    }

    async fn room(self) -> Result<Room, Error> {
        match self.0.await {
            Ok(Ok(Outcome::Room(room))) => Ok(room),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Outcome::Sent(_))) | Err(_) => Err(Error::NotStored),
        }
    }
}

struct Task {
    store: Store,
    shard: Shard,
    bell: Bell,
    clock: Clock,
    random: Random,
    batch_max: usize,
    linger: Duration,
    held: Held,
    memory: Memory,
    /// The moment of the batch before: what one writer stores never runs backwards in time.
    latest: Timestamp,
    state: State,
}

/// Whether the last batch could be stored; the log hears of changes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Working,
    Failing,
}

/// What a committed batch answers and rings.
type Committed = (Vec<Result<Outcome, Error>>, Vec<Entry>);

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(self.batch_max);
        let mut company = 0;
        while queue.recv_many(&mut batch, self.batch_max).await > 0 {
            self.gather(&mut queue, &mut batch, company).await;
            company = batch.len();
            self.settle(mem::take(&mut batch)).await;
        }
    }

    /// Waits a moment for those whom the last batch answered and who are likely to come again.
    async fn gather(
        &self,
        queue: &mut mpsc::Receiver<Command>,
        batch: &mut Vec<Command>,
        company: usize,
    ) {
        let end = Instant::now() + self.linger;
        while batch.len() < company.min(self.batch_max) {
            let room = self.batch_max - batch.len();
            match timeout_at(end, queue.recv_many(batch, room)).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Stores a batch and answers everybody in it. When a single command may be at fault, they are
    /// tried again one by one, so that only that one is refused.
    async fn settle(&mut self, batch: Vec<Command>) {
        match self.store_or_race(&batch).await {
            Ok(committed) => self.publish(batch, committed),
            Err(error) if error.may_be_one_commands_fault() && batch.len() > 1 => {
                warn!(cause = chain(&error), "A batch failed and is stored one by one");
                for command in batch {
                    self.settle_one(command).await;
                }
            }
            Err(error) => self.refuse(batch, &error),
        }
    }

    async fn settle_one(&mut self, command: Command) {
        let one = vec![command];
        match self.store_or_race(&one).await {
            Ok(committed) => self.publish(one, committed),
            Err(error) => self.refuse(one, &error),
        }
    }

    /// Stores a batch, and again when another replica's writer was faster.
    async fn store_or_race(&mut self, batch: &[Command]) -> Result<Committed, store::Error> {
        let mut tries = 1;
        loop {
            match self.store_batch(batch).await {
                Err(error) if tries < TRIES_MAX && error.is_a_race() => tries += 1,
                done => return done,
            }
        }
    }

    async fn store_batch(&mut self, batch: &[Command]) -> Result<Committed, store::Error> {
        self.latest = self.latest.max(self.clock.now());
        match self.memory.recall(batch) {
            Some(known) => match self.store_from_memory(batch, known).await {
                // Something happened that is not remembered: the database knows.
                Err(error) if error.is_a_race() => {
                    if error.is_a_moved_head() {
                        self.memory.distrust();
                    }
                    self.store_from_database(batch).await
                }
                done => done,
            },
            None => self.store_from_database(batch).await,
        }
    }

    async fn store_from_memory(
        &mut self,
        batch: &[Command],
        known: Known,
    ) -> Result<Committed, store::Error> {
        let (answers, changes) = self.judge(batch, known);
        if answers.iter().any(Result::is_err) {
            return Err(store::Error::Raced);
        }
        self.store.append(self.shard, &mut self.held, &changes).await?;
        self.memory.keep(changes.rooms);
        Ok((answers, changes.log))
    }

    async fn store_from_database(&mut self, batch: &[Command]) -> Result<Committed, store::Error> {
        let mut transaction = self.store.begin(self.shard, &mut self.held).await?;
        let known = transaction.look_up(&names(batch)).await?;
        let (answers, changes) = self.judge(batch, known);
        if changes.log.is_empty() {
            transaction.give_up(&mut self.held).await?;
        } else {
            transaction.write(&changes).await?;
            transaction.commit(&mut self.held).await?;
        }
        self.memory.keep(changes.rooms);
        Ok((answers, changes.log))
    }

    fn judge(&self, batch: &[Command], known: Known) -> (Vec<Result<Outcome, Error>>, Changes) {
        let mut plan = Plan::new(known, self.latest, &self.random);
        let judged = batch.iter().map(|command| plan.judge(&command.author, &command.work));
        let answers = judged.collect();
        (answers, plan.finish())
    }

    /// Tells everybody what became of the command, and rings.
    fn publish(&mut self, batch: Vec<Command>, (answers, log): Committed) {
        if mem::replace(&mut self.state, State::Working) == State::Failing {
            info!("Batches are stored again");
        }
        for (command, answer) in batch.into_iter().zip(answers) {
            // Whoever no longer listens asks again with the same client id.
            command.answer.send(answer).ok();
        }
        for entry in log {
            self.bell.ring(Event {
                channel: Channel::Room(entry.room),
                epoch: self.store.epoch().to_owned(),
                seq: entry.seq,
                kind: entry.kind,
                ts: entry.ts,
                data: entry.data,
            });
        }
    }

    /// Nothing of the batch was stored, or nobody knows whether it was: nobody is acknowledged, and who asks
    /// again with the same client id finds out.
    fn refuse(&mut self, batch: Vec<Command>, error: &store::Error) {
        if mem::replace(&mut self.state, State::Failing) == State::Working {
            error!(commands = batch.len(), cause = chain(error), "Batches cannot be stored");
        }
        for command in batch {
            command.answer.send(Err(Error::NotStored)).ok();
        }
    }
}

/// What the commands name, each once.
fn names(batch: &[Command]) -> Names {
    let mut names = Names::default();
    for Command { author, work, .. } in batch {
        match work {
            Work::Send(draft) => {
                names.rooms.push(draft.room.clone());
                names.members.push((draft.room.clone(), author.id));
                names.sent.extend(draft.client.map(|client| (author.id, client)));
                names.parents.extend(draft.parent);
            }
            Work::Create(room) => {
                names.rooms.extend(room.id.clone());
                names.joining.push(author.id);
                names.joining.extend(&room.members);
            }
            Work::Join(room) => {
                names.rooms.push(room.clone());
                names.members.push((room.clone(), author.id));
                names.joining.push(author.id);
            }
            Work::Leave(room) => {
                names.rooms.push(room.clone());
                names.members.push((room.clone(), author.id));
            }
        }
    }
    once(&mut names.rooms);
    once(&mut names.members);
    once(&mut names.sent);
    once(&mut names.parents);
    once(&mut names.joining);
    names
}

fn once<T: Clone + Eq + Hash>(list: &mut Vec<T>) {
    let mut seen = HashSet::with_capacity(list.len());
    list.retain(|item| seen.insert(item.clone()));
}

#[cfg(test)]
mod tests;
