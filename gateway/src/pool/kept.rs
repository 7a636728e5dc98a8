//! Unused connections to one endpoint: kept while they are fresh, the last used first, so that the
//! others grow old and are closed before the upstream does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use tokio::net::TcpStream;

use crate::config::Target;
use crate::farewell;
use crate::wheel::{Ticks, Wheel};

/// Unused connections, the last used last.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    idle: RefCell<VecDeque<Idle<C>>>,
    idle_timeout: Ticks,
    idle_max: usize,
    is_closed: Cell<bool>,
    wheel: Rc<Wheel>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: Ticks,
}

impl<C: Reusable> Kept<C> {
    pub(super) fn new(target: &Target, wheel: &Rc<Wheel>) -> Self {
        Self {
            idle: RefCell::default(),
            idle_timeout: target.settings.idle_timeout.into(),
            idle_max: target.settings.idle_connections_max,
            is_closed: Cell::new(false),
            wheel: wheel.clone(),
        }
    }

    /// A kept connection that still works as far as is known.
    pub(crate) fn reuse(&self) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop_back() {
            let is_fresh = self.wheel.since(last.since) < self.idle_timeout;
            if is_fresh && last.connection.is_ready() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(crate) fn keep(&self, connection: C) {
        let mut idle = self.idle.borrow_mut();
        if self.is_closed.get() || !connection.stands() {
            return;
        }
        if idle.len() >= self.idle_max {
            idle.pop_front();
        }
        idle.push_back(Idle { connection, since: self.wheel.age() });
    }

    /// Closes what was not used for long, and what is dead.
    pub(super) fn sweep(&self) {
        let is_good = |idle: &Idle<C>| {
            self.wheel.since(idle.since) < self.idle_timeout && idle.connection.stands()
        };
        self.idle.borrow_mut().retain(is_good);
    }

    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.idle.borrow_mut().clear();
    }
}

/// A connection that may serve another request.
pub(crate) trait Reusable {
    /// Whether it still stands, as far as the event loop has heard.
    fn stands(&self) -> bool;
    /// Whether it can take a request now.
    fn is_ready(&self) -> bool;
}

impl Reusable for TcpStream {
    /// Costs a call only when the event loop has heard of something.
    fn stands(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Bytes that nobody asked for would be taken for the next answer (RFC 9112 section 9.2): they end
    /// a connection as its end does. Asks the kernel, since the event loop may not have heard of them.
    fn is_ready(&self) -> bool {
        farewell::has_nothing_unread(self)
    }
}
