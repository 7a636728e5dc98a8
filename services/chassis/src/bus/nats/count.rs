//! What the bus has done, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bus::Counts;

/// Only goes up.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) connections: Counter,
    pub(super) outages: Counter,
    pub(super) rung: Counter,
    pub(super) lost: Counter,
    pub(super) heard: Counter,
    pub(super) unreadable: Counter,
    pub(super) complaints: Counter,
    pub(super) gaps: Counter,
}

impl Tally {
    pub(super) fn read(&self) -> Counts {
        Counts {
            connections: self.connections.read(),
            outages: self.outages.read(),
            rung: self.rung.read(),
            lost: self.lost.read(),
            heard: self.heard.read(),
            unreadable: self.unreadable.read(),
            complaints: self.complaints.read(),
            gaps: self.gaps.read(),
        }
    }
}
