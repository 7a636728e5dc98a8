//! What was rung and is not known to have arrived. Decides alone, does nothing: no clock, no
//! connection.
//!
//! While there is a connection, events wait in order, and where too many wait only the newest of a
//! channel is held. Without one, only the newest of every channel is held at all: whoever hears it
//! sees the hole before it and reads the store. What was handed to a connection counts as arrived
//! when a proof that was sent behind it has come back; until then it is rung again on the next one.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use contract::revocation::Revocations;
use contract::{Channel, Event};

/// What one process sends: events of rooms, and what was revoked, each in an order of its own.
#[derive(Debug)]
pub(super) struct Outboxes {
    pub(super) events: Outbox<Event>,
    pub(super) revoked: Outbox<Revocations>,
}

impl Outboxes {
    /// Whether something waits that can be sent.
    pub(super) fn has_mail(&self) -> bool {
        self.events.has_mail() || self.revoked.has_mail()
    }

    /// Whether something was sent that is not known to have arrived.
    pub(super) fn has_doubts(&self) -> bool {
        self.events.has_doubts() || self.revoked.has_doubts()
    }

    /// The number of a proof that stands for everything taken so far. Both count alike.
    pub(super) const fn next_proof(&mut self) -> u64 {
        self.revoked.next_proof();
        self.events.next_proof()
    }

    /// What was taken before the proof `number` was asked for has arrived.
    pub(super) fn proved(&mut self, number: u64) {
        self.events.proved(number);
        self.revoked.proved(number);
    }

    /// There is a connection.
    pub(super) const fn rise(&mut self) {
        self.events.rise();
        self.revoked.rise();
    }

    /// The connection is gone, and what was on its way with it. Says how much there is no place for.
    pub(super) fn fall(&mut self) -> u64 {
        self.events.fall() + self.revoked.fall()
    }
}

/// What an outbox sends.
pub(super) trait Mail {
    /// Of what only the newest is kept where there is too much.
    type Topic: Clone + Eq + Hash;

    fn topic(&self) -> &Self::Topic;

    /// Whether it is known to be before `other`, of the same topic.
    fn is_older(&self, other: &Self) -> bool;
}

impl Mail for Event {
    type Topic = Channel;

    fn topic(&self) -> &Channel {
        &self.channel
    }

    /// Of two lives of a log the later ring is the later.
    fn is_older(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.seq < other.seq
    }
}

impl Mail for Revocations {
    /// The newest stretch of the feed says that others were missed.
    type Topic = ();

    fn topic(&self) -> &() {
        &()
    }

    /// A feed may be set back: what was told later is the later.
    fn is_older(&self, _other: &Self) -> bool {
        false
    }
}

/// The outbox of one kind of mail.
#[derive(Debug)]
pub(super) struct Outbox<T: Mail> {
    line: Line,
    queue: VecDeque<Arc<T>>,
    queue_max: usize,
    /// Newer than what is queued of the same topic.
    held: HashMap<T::Topic, Arc<T>>,
    /// The newest of each topic that was handed over, and the proof that will stand for it.
    sent: HashMap<T::Topic, (u64, Arc<T>)>,
    topics_max: usize,
    next_proof: u64,
}

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Up,
    Down,
}

/// What became of a piece of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// There are too many topics.
    No,
}

impl<T: Mail> Outbox<T> {
    /// One without a connection, in which at most `queue_max` wait in order and at most `topics_max`
    /// topics are held.
    pub(super) fn new(queue_max: usize, topics_max: usize) -> Self {
        Self {
            line: Line::Down,
            queue: VecDeque::new(),
            queue_max,
            held: HashMap::new(),
            sent: HashMap::new(),
            topics_max,
            next_proof: 1,
        }
    }

    pub(super) fn push(&mut self, mail: Arc<T>) -> Kept {
        let is_queued = self.line == Line::Up
            && self.queue.len() < self.queue_max
            && !self.held.contains_key(mail.topic());
        if !is_queued {
            return self.hold(mail);
        }
        self.queue.push_back(mail);
        Kept::Yes
    }

    /// Hands out at most `most`, those of a topic in order.
    pub(super) fn take(&mut self, most: usize) -> Vec<Arc<T>> {
        if self.line == Line::Down {
            return Vec::new();
        }
        let mut taken: Vec<_> = self.queue.drain(..self.queue.len().min(most)).collect();
        if self.queue.is_empty() {
            let rest = most.saturating_sub(taken.len());
            let held = self.held.extract_if(|_, _| true).take(rest);
            taken.extend(held.map(|(_, mail)| mail));
        }
        for mail in &taken {
            self.remember(mail);
        }
        taken
    }

    /// Whether something waits that can be sent.
    pub(super) fn has_mail(&self) -> bool {
        self.line == Line::Up && !(self.queue.is_empty() && self.held.is_empty())
    }

    /// Whether something was sent that is not known to have arrived.
    pub(super) fn has_doubts(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The number of a proof that stands for everything taken so far.
    pub(super) const fn next_proof(&mut self) -> u64 {
        let proof = self.next_proof;
        self.next_proof += 1;
        proof
    }

    /// What was taken before the proof `number` was asked for has arrived.
    pub(super) fn proved(&mut self, number: u64) {
        self.sent.retain(|_, (proof, _)| *proof > number);
    }

    /// There is a connection.
    pub(super) const fn rise(&mut self) {
        self.line = Line::Up;
    }

    /// The connection is gone, and what was on its way with it. Says how many topics there is no
    /// place for.
    pub(super) fn fall(&mut self) -> u64 {
        self.line = Line::Down;
        let sent = std::mem::take(&mut self.sent).into_values().map(|(_, mail)| mail);
        let queued = std::mem::take(&mut self.queue);
        let newest = std::mem::take(&mut self.held).into_values();
        let all = sent.chain(queued).chain(newest);
        all.map(|mail| u64::from(self.hold(mail) == Kept::No)).sum()
    }

    /// Keeps the newest of a topic.
    fn hold(&mut self, mail: Arc<T>) -> Kept {
        let has_place = self.held.len() < self.topics_max;
        match self.held.get_mut(mail.topic()) {
            Some(held) => {
                if !mail.is_older(held) {
                    *held = mail;
                }
            }
            None if has_place => {
                self.held.insert(mail.topic().clone(), mail);
            }
            None => return Kept::No,
        }
        Kept::Yes
    }

    /// Whoever finds no place here is not rung again.
    fn remember(&mut self, mail: &Arc<T>) {
        let has_place = self.sent.len() < self.topics_max;
        let next = (self.next_proof, mail.clone());
        match self.sent.get_mut(mail.topic()) {
            Some(sent) => *sent = next,
            None if has_place => {
                self.sent.insert(mail.topic().clone(), next);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
