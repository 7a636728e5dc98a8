//! What the two ends of a caller's connection know of each other: the gate that reads, and the
//! corridor that answers.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Waker;

use http::HeaderValue;

use crate::core::Core;
use crate::refusal::Refusal;
use crate::tunnel::Tunnel;
use crate::wheel::Timer;

/// Most bytes that are kept of what a caller sends before it was answered.
pub(crate) const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for a request.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// A request is in the corridor, or its answer on the way out.
    Serving,
}

/// The connection of one caller.
#[derive(Debug)]
pub(crate) struct Link {
    pub core: Rc<Core>,
    pub peer: IpAddr,
    /// The peer as `X-Forwarded-For` has it.
    pub forwarded_for: HeaderValue,
    /// Of the connection: its next head, and the caller's taking of bytes.
    pub timer: Timer,
    /// Of the exchange with the upstream.
    pub deadline: Timer,
    stage: Cell<Stage>,
    /// Why the gate let a head not in, or a body not go on.
    fault: RefCell<Option<Refusal>>,
    is_broken: Cell<bool>,
    tunnel: RefCell<Option<Tunnel>>,
    /// Whoever waits for the answer to be complete, or to be taken.
    waiter: RefCell<Option<Waker>>,
    /// Of the request that is being served.
    pub bytes_in: Cell<u64>,
    /// Whether its body waits for the caller rather than for the upstream.
    pub starved: Cell<bool>,
    /// Whether the caller takes nothing of what is to be written.
    is_stalled: Cell<bool>,
    /// Whether no request has come yet.
    is_fresh: Cell<bool>,
    span: Span,
    /// Whether nothing of the answer is still to be handed over.
    is_said: Cell<bool>,
}

/// What a link is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// A connection, one request after the other.
    Connection,
    /// One stream of a connection that has many (RFC 9113 section 5).
    Stream,
}

impl Link {
    pub(crate) fn new(core: Rc<Core>, peer: IpAddr) -> Rc<Self> {
        let (timer, deadline) = (core.wheel.timer(), core.wheel.timer());
        // A connection that never says a word is no better than one that stops in its head.
        timer.set(core.waits.head);
        Rc::new(Self {
            core,
            peer,
            forwarded_for: HeaderValue::try_from(peer.to_canonical().to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            timer,
            deadline,
            stage: Cell::new(Stage::Idle),
            fault: RefCell::default(),
            is_broken: Cell::new(false),
            tunnel: RefCell::default(),
            waiter: RefCell::default(),
            bytes_in: Cell::new(0),
            starved: Cell::new(false),
            is_stalled: Cell::new(false),
            is_fresh: Cell::new(true),
            span: Span::Connection,
            is_said: Cell::new(false),
        })
    }

    /// A stream of the connection.
    pub(crate) fn stream(&self) -> Rc<Self> {
        Rc::new(Self {
            core: self.core.clone(),
            peer: self.peer,
            forwarded_for: self.forwarded_for.clone(),
            timer: self.core.wheel.timer(),
            deadline: self.core.wheel.timer(),
            stage: Cell::new(Stage::Serving),
            fault: RefCell::default(),
            is_broken: Cell::new(false),
            tunnel: RefCell::default(),
            waiter: RefCell::default(),
            bytes_in: Cell::new(0),
            starved: Cell::new(false),
            is_stalled: Cell::new(false),
            is_fresh: Cell::new(false),
            span: Span::Stream,
            is_said: Cell::new(false),
        })
    }

    pub(crate) const fn span(&self) -> Span {
        self.span
    }

    /// Whether nothing but the beginning of a first request has come.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.is_fresh.get()
    }

    /// The connection has streams from here on, of which none is open.
    pub(crate) fn streams_begin(&self) {
        self.is_fresh.set(false);
        self.stage.set(Stage::Idle);
        self.timer.set(self.core.waits.keep_alive);
    }

    /// The first of its streams is open.
    pub(crate) fn is_busy(&self) {
        self.stage.set(Stage::Serving);
        if !self.is_stalled.get() {
            self.timer.clear();
        }
    }

    /// The answer was handed over to its end, or ends early by no fault of the caller.
    pub(crate) fn answer_ends(&self) {
        self.is_said.set(true);
    }

    /// Whether the caller has given the answer up.
    pub(crate) const fn is_given_up(&self) -> bool {
        !self.is_said.get()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// The first bytes of a head are here.
    pub(crate) fn head_begins(&self) {
        if self.stage.replace(Stage::Head) != Stage::Head {
            self.timer.set(self.core.waits.head);
        }
    }

    /// A whole head is here, and its request goes in.
    pub(crate) fn request_begins(&self) {
        self.stage.set(Stage::Serving);
        self.is_fresh.set(false);
        self.timer.clear();
        self.starved.set(false);
        // What was found out too late about the body before is nobody's any more.
        self.fault.take();
    }

    /// The answer is complete.
    pub(crate) fn request_ends(&self) {
        self.stage.set(Stage::Idle);
        self.deadline.clear();
        self.bytes_in.set(0);
        if !self.is_stalled.get() {
            self.timer.set(self.core.waits.keep_alive);
        }
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Whether the caller takes nothing of what is to be written.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled.get()
    }

    /// The caller takes nothing: from here on it has so long.
    pub(crate) fn stalls(&self) {
        self.is_stalled.set(true);
        self.timer.set(self.core.waits.body_idle);
    }

    /// The caller takes bytes again.
    pub(crate) fn resumed(&self) {
        self.is_stalled.set(false);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
        match self.stage.get() {
            Stage::Serving => self.timer.clear(),
            Stage::Idle => self.timer.set(self.core.waits.keep_alive),
            Stage::Head => self.timer.set(self.core.waits.head),
        }
    }

    /// Wakes `waker` when the answer is complete, or the caller takes bytes again.
    pub(crate) fn wait_for_end(&self, waker: &Waker) {
        self.waiter.replace(Some(waker.clone()));
    }

    pub(crate) fn put_fault(&self, fault: Refusal) {
        self.fault.replace(Some(fault));
    }

    /// The body that is being read breaks the rules: it ends here, and so does the connection.
    pub(crate) fn break_body(&self) {
        self.put_fault(Refusal::BROKEN_CHUNKS);
        self.is_broken.set(true);
    }

    /// Whether bytes may still come that nobody can make sense of.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    /// As [`Link::put_fault`], unless somebody knew better before.
    pub(crate) fn suspect(&self, fault: Refusal) {
        self.fault.borrow_mut().get_or_insert(fault);
    }

    pub(crate) fn take_fault(&self) -> Option<Refusal> {
        self.fault.take()
    }

    /// Leaves what the connection becomes when the 101 is on its way.
    pub(crate) fn put_tunnel(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(tunnel));
    }

    pub(crate) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }
}
