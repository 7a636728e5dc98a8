//! Callers that speak HTTP/2 without TLS, by prior knowledge (RFC 9113 section 3.3): hyper reads their
//! frames, and every stream takes the corridor as a request of its own.
//!
//! A stream that takes nothing of its answer ends alone; a connection ends when it makes no progress,
//! waits too long for its next request, or gives up streams faster than they cost it anything
//! (CVE-2023-44487). None of that reaches other connections.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use chassis::linger::LINGER_WINDOW;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;

use super::answer;
use super::socket::Socket;
use crate::farewell::part;
use crate::link::Link;
use crate::wheel::Ticks;

/// The streams of one connection.
#[derive(Debug)]
struct Streams {
    link: Rc<Link>,
    open: Cell<usize>,
    /// Of the request that hyper has handed over last, and is about to spawn.
    next: RefCell<Option<Rc<Link>>>,
    /// Streams that were given up since the moment.
    given_up: Cell<(Ticks, usize)>,
    /// Whether the connection was told to end.
    is_leaving: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Serves a connection of which `ahead` was read already, to its end.
pub(super) async fn serve(link: &Rc<Link>, stream: TcpStream, ahead: Vec<u8>) {
    link.streams_begin();
    let streams = Rc::new(Streams {
        link: link.clone(),
        open: Cell::new(0),
        next: RefCell::default(),
        given_up: Cell::new((link.core.wheel.age(), 0)),
        is_leaving: Cell::new(false),
        waker: RefCell::default(),
    });
    let stream = Rc::new(stream);
    run(&streams, Socket::new(stream.clone(), ahead, link.clone())).await;
    if let Some(stream) = Rc::into_inner(stream).filter(|_| !link.is_stalled()) {
        part(stream).await;
    }
}

async fn run(streams: &Rc<Streams>, socket: Socket) {
    let link = &streams.link;
    let begun = streams.clone();
    let service = service_fn(move |request| {
        let link = begun.begin();
        async move { Ok::<_, Infallible>(answer(link, request).await) }
    });
    let mut http = pin!(builder(streams).serve_connection(socket, service));
    poll_fn(|cx| {
        streams.waker.replace(Some(cx.waker().clone()));
        if streams.is_worn_out() {
            return Poll::Ready(());
        }
        if link.core.is_closing() && streams.leaves() {
            http.as_mut().graceful_shutdown();
        }
        while link.timer.poll(cx).is_ready() {
            if link.is_stalled() || !streams.leaves() {
                return Poll::Ready(());
            }
            http.as_mut().graceful_shutdown();
        }
        // What went wrong on a caller's connection is the caller's business.
        http.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

fn builder(streams: &Rc<Streams>) -> http2::Builder<Spawner> {
    let config = &streams.link.core.shared.config;
    let (http2, head_bytes_max) = (&config.http2, config.limits.head_bytes_max);
    let mut builder = http2::Builder::new(Spawner(streams.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(http2.streams_max)
        .max_frame_size(http2.frame_bytes_max)
        .max_header_list_size(u32::try_from(head_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(http2.stream_window_bytes)
        .initial_connection_window_size(http2.connection_window_bytes)
        .max_send_buf_size(http2.send_buffer_bytes_max)
        .max_pending_accept_reset_streams(http2.resets_max)
        .max_local_error_reset_streams(http2.resets_max)
        .keep_alive_interval(http2.ping_interval)
        .keep_alive_timeout(http2.ping_timeout);
    builder
}

impl Streams {
    /// A request has come.
    fn begin(&self) -> Rc<Link> {
        self.open.set(self.open.get() + 1);
        self.link.is_busy();
        let link = self.link.stream();
        self.next.replace(Some(link.clone()));
        link
    }

    /// One of them is over.
    fn end(&self, stream: &Link) {
        if stream.is_given_up() {
            self.count_given_up();
        }
        self.open.set(self.open.get().saturating_sub(1));
        if self.open.get() > 0 {
            return;
        }
        self.link.request_ends();
        if self.is_leaving.get() && !self.link.is_stalled() {
            self.link.timer.set(LINGER_WINDOW.into());
        }
    }

    fn count_given_up(&self) {
        let wheel = &self.link.core.wheel;
        let (since, count) = self.given_up.get();
        let window = self.link.core.shared.config.http2.resets_window.into();
        let is_over = wheel.since(since) > window;
        self.given_up.set(if is_over { (wheel.age(), 1) } else { (since, count + 1) });
        if let Some(waker) = self.waker.borrow().as_ref().filter(|_| self.is_worn_out()) {
            waker.wake_by_ref();
        }
    }

    /// Whether the caller gave up more than it may.
    fn is_worn_out(&self) -> bool {
        self.given_up.get().1 > self.link.core.shared.config.http2.resets_max
    }

    /// Notes that the connection is told to end; whether that is news. One that serves nothing then has
    /// a moment to hear of it.
    fn leaves(&self) -> bool {
        let is_news = !self.is_leaving.replace(true);
        if is_news && self.open.get() == 0 {
            self.link.timer.set(LINGER_WINDOW.into());
        }
        is_news
    }
}

/// Runs each stream of a connection as a task of its core.
#[derive(Debug, Clone)]
struct Spawner(Rc<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let Some(link) = self.0.next.take() else { return };
        let open = Open { streams: self.0.clone(), link };
        if !open.link.core.is_over() {
            let tasks = open.link.core.tasks.clone();
            tasks.spawn_local(open.watch(future));
        }
    }
}

/// A stream that is open, until this is dropped.
struct Open {
    streams: Rc<Streams>,
    link: Rc<Link>,
}

impl Open {
    /// Drives the stream until it is over, or its caller takes nothing for too long.
    async fn watch(self, future: impl Future<Output = ()>) {
        let mut future = pin!(future);
        poll_fn(|cx| match self.link.timer.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => future.as_mut().poll(cx),
        })
        .await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.streams.end(&self.link);
    }
}
