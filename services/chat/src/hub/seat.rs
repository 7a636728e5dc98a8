//! One socket's place in one room: what it has been told, so that it is never told twice and never
//! misses anything without knowing it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use contract::live::ServerFrame;
use contract::{Channel, Event, Kind, UserId};

use crate::codec;
use crate::socket::{Lag, Line};

/// Most events that wait while their subscriber reads the log.
const WAITING_EVENTS_MAX: usize = 256;

/// An event and its frame, encoded once for every socket.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) seq: u64,
    frame: Bytes,
}

impl Ring {
    pub(crate) fn new(event: &Event) -> Self {
        Self { seq: event.seq, frame: codec::text(&ServerFrame::Event(event.into())) }
    }
}

/// A place in a room.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    user: UserId,
    channel: Channel,
    line: Arc<Line>,
    place: Mutex<Place>,
}

#[derive(Debug)]
enum Place {
    /// Reads the log; what is rung meanwhile waits.
    Joining { waiting: VecDeque<Arc<Ring>>, was_put_out: bool },
    /// Has been told everything up to `last`.
    Live { last: u64, is_quiet: bool },
    /// Was told to subscribe again, and hears nothing until it does.
    Lagged,
    /// Left, or was put out.
    Gone,
}

/// Whether somebody who is no member any more still has the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It is still being taken: its owner learns of it at the end.
    Noted,
    /// It was taken away.
    Done,
}

/// What a place is when its subscriber has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It hears everything after its head.
    Live,
    /// The same, though its user ceased to be a member meanwhile: where the room is private it has
    /// to be taken away.
    Departed,
}

impl Seat {
    pub(crate) fn new(number: u64, user: UserId, channel: Channel, line: Arc<Line>) -> Arc<Self> {
        let place = Mutex::new(Place::Joining { waiting: VecDeque::new(), was_put_out: false });
        Arc::new(Self { number, user, channel, line, place })
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn user(&self) -> UserId {
        self.user
    }

    pub(crate) const fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Hears an event. Never waits.
    pub(crate) fn hear(&self, ring: &Arc<Ring>) {
        let mut place = self.place();
        match &mut *place {
            Place::Joining { waiting, .. } => {
                // The oldest are those that the log will have told.
                if waiting.len() == WAITING_EVENTS_MAX {
                    waiting.pop_front();
                }
                waiting.push_back(ring.clone());
            }
            Place::Live { .. } => self.take(&mut place, ring),
            Place::Lagged | Place::Gone => {}
        }
    }

    /// Says `lagged`: the log went on in a way that cannot be pushed.
    pub(crate) fn lag(&self, head: u64) {
        let mut place = self.place();
        if matches!(*place, Place::Live { .. }) {
            self.fall_behind(&mut place, head, Lag::Skipped);
        }
    }

    /// Begins to push after `head`, which the subscriber has been told: first what waited.
    pub(crate) fn settle(&self, head: u64) -> Settled {
        let mut place = self.place();
        let Place::Joining { waiting, was_put_out } = &mut *place else { return Settled::Live };
        let settled = if *was_put_out { Settled::Departed } else { Settled::Live };
        let waiting = std::mem::take(waiting);
        *place = Place::Live { last: head, is_quiet: true };
        // Where one is missing between the head and these, it shows in the numbers.
        for ring in &waiting {
            self.take(&mut place, ring);
        }
        settled
    }

    /// Its user is no member any more: a place that is still being taken keeps that in mind.
    pub(crate) fn note_departure(&self) {
        if let Place::Joining { was_put_out, .. } = &mut *self.place() {
            *was_put_out = true;
        }
    }

    /// Takes the place away and says so; from one that is still being taken, at its end.
    pub(crate) fn put_out(&self) -> Departure {
        let mut place = self.place();
        match &mut *place {
            Place::Joining { was_put_out, .. } => {
                *was_put_out = true;
                return Departure::Noted;
            }
            Place::Live { .. } | Place::Lagged => {}
            Place::Gone => return Departure::Done,
        }
        *place = Place::Gone;
        self.line.forget(self.number);
        let ch = self.channel.clone();
        self.line.say(&ServerFrame::Unsubscribed { ch, code: Kind::NotFound });
        Departure::Done
    }

    /// Whether it hears nothing any more, for good.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.place(), Place::Gone)
    }

    /// Whether it was put out while it was being taken.
    pub(crate) fn was_put_out(&self) -> bool {
        matches!(*self.place(), Place::Joining { was_put_out: true, .. } | Place::Gone)
    }

    /// Hears nothing any more, and nothing that it heard is sent any more.
    pub(crate) fn leave(&self) {
        *self.place() = Place::Gone;
        self.line.forget(self.number);
    }

    /// Whether nothing was pushed since this was last asked; then its head goes with the ping.
    pub(crate) fn was_quiet(&self) -> bool {
        match &mut *self.place() {
            Place::Live { is_quiet, .. } => std::mem::replace(is_quiet, true),
            Place::Joining { .. } | Place::Lagged | Place::Gone => false,
        }
    }

    /// Queues an event if it is the next one: never one twice, never one too far.
    fn take(&self, place: &mut Place, ring: &Ring) {
        let Place::Live { last, is_quiet } = place else { return };
        if ring.seq <= *last {
            return;
        }
        if ring.seq > *last + 1 {
            self.fall_behind(place, ring.seq, Lag::Skipped);
        } else if self.line.push_event(self.number, ring.frame.clone()).is_err() {
            self.fall_behind(place, ring.seq, Lag::Slow);
        } else {
            (*last, *is_quiet) = (ring.seq, false);
        }
    }

    fn fall_behind(&self, place: &mut Place, head: u64, lag: Lag) {
        *place = Place::Lagged;
        let lagged = ServerFrame::Lagged { ch: self.channel.clone(), head };
        self.line.lag(self.number, lag, &lagged);
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
