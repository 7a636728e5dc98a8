//! Coarse deadlines: one ticking task per core instead of a timer per request. Setting a deadline
//! is a store; a deadline is met up to two ticks late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How coarse deadlines are.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// How far the wheel turns in one tick to catch up. A time in which the thread did not run counts
/// against nobody: peers' bytes are seen before their deadline is.
const CATCH_UP_TICKS: u64 = 2;
const NEVER: u64 = u64::MAX;

/// A length of time in ticks, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(u64);

impl Ticks {
    pub(crate) const fn new(count: u64) -> Self {
        Self(count)
    }

    pub(crate) const fn count(self) -> u64 {
        self.0
    }

    /// The first moment that is later than this one by at least `span`, of which the running tick is
    /// only a part.
    pub(crate) const fn after(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0).saturating_add(1))
    }
}

impl From<Duration> for Ticks {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_millis().div_ceil(TICK.as_millis())).unwrap_or(NEVER))
    }
}

/// The deadlines of one core.
#[derive(Debug)]
pub(crate) struct Wheel {
    started: Instant,
    now: Cell<u64>,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
}

#[derive(Debug)]
struct Slot {
    due: u64,
    waker: Option<Waker>,
}

/// One deadline, which can be set again and again. A thread that does not get to run makes it later,
/// never earlier.
#[derive(Debug)]
pub(crate) struct Timer {
    wheel: Rc<Wheel>,
    slot: usize,
}

impl Wheel {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            now: Cell::new(0),
            slots: RefCell::default(),
            free: RefCell::default(),
        })
    }

    /// A deadline that is not set.
    pub(crate) fn timer(self: &Rc<Self>) -> Timer {
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot { due: NEVER, waker: None });
            slots.len() - 1
        });
        Timer { wheel: self.clone(), slot }
    }

    /// How long the wheel has been turning: a time that costs no call.
    pub(crate) const fn age(&self) -> Ticks {
        Ticks(self.now.get())
    }

    /// How long ago `moment`, an earlier [`Wheel::age`], was.
    pub(crate) const fn since(&self, moment: Ticks) -> Ticks {
        Ticks(self.now.get().saturating_sub(moment.0))
    }

    /// Ticks for ever, and calls `each` after every tick. Safe to drop.
    pub(crate) async fn run(&self, mut each: impl FnMut()) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let real = Ticks::from(self.started.elapsed()).0;
            self.turn(real.min(self.now.get().saturating_add(CATCH_UP_TICKS)));
            each();
        }
    }

    /// Wakes whoever waits for any deadline, so that it looks around.
    pub(crate) fn wake_all(&self) {
        self.slots
            .borrow_mut()
            .iter_mut()
            .filter_map(|slot| slot.waker.take())
            .for_each(Waker::wake);
    }

    fn turn(&self, now: u64) {
        self.now.set(now);
        let mut slots = self.slots.borrow_mut();
        let due = slots.iter_mut().filter(|slot| slot.due <= now);
        due.filter_map(|slot| slot.waker.take()).for_each(Waker::wake);
    }
}

impl Timer {
    /// Sets the deadline to `after` from now.
    pub(crate) fn set(&self, after: Ticks) {
        self.put(self.wheel.age().after(after).0);
    }

    /// Takes the deadline away.
    pub(crate) fn clear(&self) {
        self.put(NEVER);
    }

    /// Ready when the deadline has passed; else the task is woken when it has.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut slots = self.wheel.slots.borrow_mut();
        let Some(slot) = slots.get_mut(self.slot) else { return Poll::Ready(()) };
        if slot.due <= self.wheel.now.get() {
            return Poll::Ready(());
        }
        if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn put(&self, due: u64) {
        if let Some(slot) = self.wheel.slots.borrow_mut().get_mut(self.slot) {
            slot.due = due;
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(slot) = self.wheel.slots.borrow_mut().get_mut(self.slot) {
            *slot = Slot { due: NEVER, waker: None };
        }
        self.wheel.free.borrow_mut().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_due(timer: &Timer) -> bool {
        timer.poll(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_two_ticks_late() {
        let wheel = Wheel::new();
        let timer = wheel.timer();
        timer.set(Ticks::from(TICK * 2));
        for (now, due) in [(1, false), (2, false), (3, true), (4, true)] {
            wheel.turn(now);
            assert_eq!(is_due(&timer), due, "at {now}");
        }
        timer.clear();
        assert!(!is_due(&timer));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken() {
        let wheel = Wheel::new();
        let timer = wheel.timer();
        timer.set(Ticks::from(Duration::from_millis(120)));
        let began = Instant::now();
        tokio::select! {
            () = wheel.run(|| {}) => {}
            () = std::future::poll_fn(|cx| timer.poll(cx)) => {}
        }
        assert!(began.elapsed() >= Duration::from_millis(120));
        assert!(began.elapsed() <= Duration::from_millis(250));
    }

    #[test]
    fn a_place_is_used_again() {
        let wheel = Wheel::new();
        for _ in 0..100 {
            drop(wheel.timer());
        }
        assert_eq!(wheel.slots.borrow().len(), 1);
    }
}
