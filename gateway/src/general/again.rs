//! The body of a request that may have to be sent again: what went out of it is kept while that is
//! little, and comes home when an upstream of HTTP/2 turns the request away untouched.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::body::Upload;

/// Most bytes of a body that are kept.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Where a body comes home to.
#[derive(Debug, Default)]
pub(super) struct Home {
    place: RefCell<Place>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Away,
    Home(Box<Upload>),
    /// It cannot be sent again.
    Lost,
}

impl Home {
    /// The body, as it was before it was sent; `None` when it cannot be sent again. Whoever has it drops
    /// it.
    pub(super) async fn wait(&self) -> Option<Upload> {
        poll_fn(|cx| match std::mem::take(&mut *self.place.borrow_mut()) {
            Place::Away => {
                self.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
            Place::Home(upload) => Poll::Ready(Some(*upload)),
            Place::Lost => Poll::Ready(None),
        })
        .await
    }

    fn put(&self, place: Place) {
        self.place.replace(place);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What a body knows of its way home.
#[derive(Debug, Default)]
pub(super) struct Again {
    home: Weak<Home>,
    /// What went out, while it may have to go again.
    sent: Vec<Bytes>,
    sent_bytes: usize,
    is_lost: bool,
    /// What goes out once more, before what is still to come.
    ahead: VecDeque<Bytes>,
}

impl Again {
    /// One that comes home to `home`, and sends what it sent before.
    pub(super) fn to(self, home: &Rc<Home>) -> Self {
        let ahead = self.sent.into_iter().chain(self.ahead).collect();
        Self { home: Rc::downgrade(home), sent: Vec::new(), sent_bytes: 0, is_lost: false, ahead }
    }

    /// The next part that goes out once more.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let part = self.ahead.pop_front()?;
        self.keep(&part);
        Some(part)
    }

    /// `part` goes out.
    pub(super) fn keep(&mut self, part: &Bytes) {
        self.sent_bytes = self.sent_bytes.saturating_add(part.len());
        if self.is_lost || self.sent_bytes > KEPT_BYTES_MAX || self.home.strong_count() == 0 {
            return self.lose();
        }
        self.sent.push(part.clone());
    }

    /// Something went out that is not kept.
    pub(super) fn lose(&mut self) {
        self.is_lost = true;
        self.sent = Vec::new();
    }

    /// How many bytes go out once more.
    pub(super) fn ahead_bytes(&self) -> u64 {
        self.ahead.iter().map(|part| part.len() as u64).sum()
    }

    /// Sends home what `upload` makes, if somebody waits there; says whether one may.
    pub(super) fn go_home(self, upload: impl FnOnce(Self) -> Upload) -> bool {
        let Some(home) = self.home.upgrade() else { return false };
        if self.is_lost {
            home.put(Place::Lost);
            return false;
        }
        let unsent = self.ahead.into_iter();
        let sent = self.sent.into_iter().chain(unsent).collect();
        home.put(Place::Home(Box::new(upload(Self { sent, ..Self::default() }))));
        true
    }
}
