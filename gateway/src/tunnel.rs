//! What a connection becomes when it has left HTTP: bytes both ways, unchanged, until a side ends,
//! nothing moves for too long, or the gateway drains. Then the gateway closes it between two frames
//! (RFC 6455 section 7). A silent tunnel holds no buffer.

mod direction;
mod frames;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use self::direction::{Direction, Progress};
use self::frames::{Sender, close_from_client, close_from_server};
use crate::link::Link;
use crate::metrics::TunnelEnd;
use crate::pool::Place;
use crate::wheel::Ticks;

/// RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;
/// IANA, "WebSocket Close Code Number Registry": come back soon.
const SERVICE_RESTART: u16 = 1012;

/// The upstream's end of a connection that has left HTTP.
#[derive(Debug)]
pub(crate) struct Tunnel {
    upstream: TcpStream,
    /// What the upstream sent right behind its 101.
    early: Vec<u8>,
    /// At the upstream's endpoint, until the tunnel has ended.
    place: Place,
}

impl Tunnel {
    pub(crate) const fn new(upstream: TcpStream, early: Vec<u8>, place: Place) -> Self {
        Self { upstream, early, place }
    }

    /// Carries bytes until both sides have ended, or were told to and had time for it. `ahead` is
    /// what the caller sent right behind its request.
    pub(crate) async fn run(self, link: &Rc<Link>, caller: TcpStream, ahead: Vec<u8>) {
        let core = &link.core;
        let (_permit, _place) = (core.tunnels.enter(), self.place);
        core.counters.tunnels_opened.add(1);
        let limits = &core.shared.config.limits;
        link.timer.set(limits.tunnel_total_timeout.into());
        link.deadline.set(core.waits.tunnel_idle);
        let mut flow = Flow {
            link,
            caller,
            upstream: self.upstream,
            up: Direction::new(Sender::Caller, ahead),
            down: Direction::new(Sender::Upstream, self.early),
            stage: Stage::Open,
            term: Term::Total,
            end: TunnelEnd::Ended,
        };
        poll_fn(|cx| flow.poll(cx)).await;
        link.timer.clear();
        link.deadline.clear();
        core.counters.tunnel_closed(flow.end);
    }
}

/// Both directions of one tunnel.
struct Flow<'a> {
    link: &'a Link,
    caller: TcpStream,
    upstream: TcpStream,
    up: Direction,
    down: Direction,
    stage: Stage,
    term: Term,
    end: TunnelEnd,
}

/// How far a tunnel is; each stage has its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Both ways are open: it may be silent for a while.
    Open,
    /// One way has ended.
    Half,
    /// Both ways end with their frames in progress.
    Parting,
    /// Nothing is written any more: the peers may end by themselves.
    Leaving,
}

/// What the timer of the connection stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Term {
    /// The longest life of a tunnel.
    Total,
    /// Its turn while the gateway drains.
    Drain,
}

impl Flow<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let core = &self.link.core;
        if core.is_closing() && self.term == Term::Total {
            self.term = Term::Drain;
            self.link.timer.set(core.spread(core.shared.config.drain_tunnels));
        }
        loop {
            self.carry(cx);
            self.settle();
            if self.up.is_over() && self.down.is_over() {
                return Poll::Ready(());
            }
            if self.link.deadline.poll(cx).is_ready() {
                match self.stage {
                    Stage::Open => self.part(TunnelEnd::Idle),
                    Stage::Half => self.part(self.end),
                    Stage::Parting => {
                        self.up.cut();
                        self.down.cut();
                    }
                    Stage::Leaving => return Poll::Ready(()),
                }
            } else if self.link.timer.poll(cx).is_ready() {
                self.link.timer.clear();
                match self.term {
                    Term::Total => self.part(TunnelEnd::Total),
                    Term::Drain => self.part(TunnelEnd::Drained),
                }
            } else {
                return Poll::Pending;
            }
        }
    }

    /// Moves what can be moved now.
    fn carry(&mut self, cx: &mut Context<'_>) {
        let progress = {
            let mut buffer = self.link.core.buffer.borrow_mut();
            let (caller, upstream) = (&mut self.caller, &mut self.upstream);
            let mut progress = self.down.poll(cx, upstream, caller, &mut buffer);
            if self.down.is_cut_off() {
                self.up.cut();
            }
            progress = progress.max(self.up.poll(cx, caller, upstream, &mut buffer));
            if self.up.is_cut_off() && !self.down.is_shut() {
                self.down.cut();
                progress = progress.max(self.down.poll(cx, upstream, caller, &mut buffer));
            }
            progress
        };
        let is_ending = matches!(self.stage, Stage::Parting | Stage::Leaving);
        match progress {
            Progress::Moved if self.stage == Stage::Open => {
                self.link.deadline.set(self.link.core.waits.tunnel_idle);
            }
            // Behind a Close frame many peers just go.
            Progress::Broken if !(is_ending || self.up.is_closed() || self.down.is_closed()) => {
                self.end = TunnelEnd::Broken;
            }
            Progress::Still | Progress::Moved | Progress::Broken => {}
        }
    }

    /// Finds out how far the tunnel is now.
    fn settle(&mut self) {
        if self.up.is_shut() && self.down.is_shut() {
            if self.stage != Stage::Leaving {
                self.stage = Stage::Leaving;
                self.link.deadline.set(self.close_wait());
            }
        } else if self.stage == Stage::Open && !(self.up.is_open() && self.down.is_open()) {
            self.stage = Stage::Half;
            self.link.deadline.set(self.link.core.waits.half_close);
        }
    }

    /// Closes the tunnel from our side, unless that is being done.
    fn part(&mut self, end: TunnelEnd) {
        if matches!(self.stage, Stage::Parting | Stage::Leaving) {
            return;
        }
        self.stage = Stage::Parting;
        self.end = end;
        self.link.deadline.set(self.close_wait());
        let code = match end {
            TunnelEnd::Drained => SERVICE_RESTART,
            TunnelEnd::Idle | TunnelEnd::Total | TunnelEnd::Ended | TunnelEnd::Broken => GOING_AWAY,
        };
        self.down.part(close_from_server(code));
        self.up.part(close_from_client(GOING_AWAY, self.link.core.shared.random.bytes()));
    }

    fn close_wait(&self) -> Ticks {
        self.link.core.shared.config.limits.tunnel_close_timeout.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room<F>(_: impl FnOnce(Tunnel, &'static Rc<Link>, TcpStream, Vec<u8>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_tunnel_takes_little_room() {
        let room = room(Tunnel::run);
        assert!(room <= 768, "{room} bytes, and twice the sockets");
    }
}
