//! What waits to be written to one socket. Bounded for events, which can be read again; answers
//! and control frames, which cannot, are bounded by the rate at which requests are taken.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Capacity that an empty queue may keep.
const IDLE_CAPACITY_MAX: usize = 8;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Most frames.
    pub(crate) frames_max: usize,
    /// Most bytes.
    pub(crate) bytes_max: usize,
}

/// There is no room for another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: VecDeque<Queued>,
    bytes: usize,
    /// Whether the front frame has been written in part, so that it must be finished.
    front_is_begun: bool,
    bounds: Bounds,
}

#[derive(Debug)]
struct Queued {
    bytes: Bytes,
    /// The subscription whose event it is.
    seat: Option<u64>,
}

impl Outbox {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, front_is_begun: false, bounds }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether so much waits that no further request should be read.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes > self.bounds.bytes_max || self.frames.len() > self.bounds.frames_max
    }

    /// Queues an answer or a control frame.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.frames.push_back(Queued { bytes, seat: None });
    }

    /// Queues an event of the subscription `seat`. An event alone always fits.
    pub(crate) fn push_event(&mut self, seat: u64, bytes: Bytes) -> Result<(), Full> {
        let is_full = self.frames.len() >= self.bounds.frames_max
            || self.bytes + bytes.len() > self.bounds.bytes_max;
        if is_full && !self.frames.is_empty() {
            return Err(Full);
        }
        self.bytes += bytes.len();
        self.frames.push_back(Queued { bytes, seat: Some(seat) });
        Ok(())
    }

    /// Drops the events of the subscription `seat`.
    pub(crate) fn forget(&mut self, seat: u64) {
        self.drop_unless(|queued| queued.seat != Some(seat));
    }

    /// Drops everything: what comes next is the last frame.
    pub(crate) fn clear(&mut self) {
        self.drop_unless(|_| false);
    }

    fn drop_unless(&mut self, keep: impl Fn(&Queued) -> bool) {
        let mut is_begun = self.front_is_begun;
        self.frames.retain(|queued| std::mem::take(&mut is_begun) || keep(queued));
        self.bytes = self.frames.iter().map(|queued| queued.bytes.len()).sum();
    }

    /// Points `slices` at what waits, in order; how many of them are used.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.frames);
        pairs.map(|(slice, queued)| *slice = IoSlice::new(&queued.bytes)).count()
    }

    /// Takes the first `written` bytes away.
    pub(crate) fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(front) = self.frames.front_mut() {
            if front.bytes.len() > written {
                front.bytes.advance(written);
                self.front_is_begun |= written > 0;
                return;
            }
            written -= front.bytes.len();
            self.frames.pop_front();
            self.front_is_begun = false;
        }
        if self.frames.capacity() > IDLE_CAPACITY_MAX {
            self.frames = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(Bounds { frames_max: 4, bytes_max: 100 })
    }

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let used = outbox.gather(&mut slices);
        slices.iter().take(used).flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn events_are_bounded_by_frames_and_by_bytes() {
        let mut outbox = outbox();
        for _ in 0..4 {
            outbox.push_event(1, Bytes::from_static(b"x")).unwrap();
        }
        assert_eq!(outbox.push_event(1, Bytes::from_static(b"x")), Err(Full));
        outbox.advance(3);
        assert_eq!(outbox.push_event(1, Bytes::from(vec![0; 100])), Err(Full));
        outbox.push_event(1, Bytes::from(vec![0; 99])).unwrap();
    }

    #[test]
    fn an_event_alone_always_fits() {
        outbox().push_event(1, Bytes::from(vec![0; 1000])).unwrap();
    }

    #[test]
    fn a_frame_that_was_begun_is_finished_whatever_is_dropped() {
        let mut outbox = outbox();
        for text in ["abc", "def"] {
            outbox.push_event(1, Bytes::from(text)).unwrap();
        }
        outbox.push(Bytes::from_static(b"!"));
        outbox.advance(1);
        outbox.forget(1);
        assert_eq!(waiting(&outbox), b"bc!");
        outbox.clear();
        assert_eq!(waiting(&outbox), b"bc");
        outbox.advance(2);
        assert!(outbox.is_empty() && !outbox.is_crowded());
    }

    #[test]
    fn a_write_may_end_within_any_frame() {
        let mut outbox = outbox();
        outbox.push(Bytes::from_static(b"abc"));
        outbox.push(Bytes::from_static(b"def"));
        outbox.advance(4);
        assert_eq!(waiting(&outbox), b"ef");
        outbox.forget(9);
        assert_eq!(waiting(&outbox), b"ef");
    }

    #[test]
    fn answers_are_taken_beyond_the_bound_and_stop_the_reading() {
        let mut outbox = outbox();
        (0..5).for_each(|_| outbox.push(Bytes::from_static(b"x")));
        assert!(outbox.is_crowded());
        assert_eq!(outbox.push_event(1, Bytes::from_static(b"x")), Err(Full));
    }
}
