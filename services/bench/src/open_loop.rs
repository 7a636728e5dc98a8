//! Load at a constant rate, whatever the answers do: each request has the moment at which it was to
//! be sent, and waits are counted from there. A slow answer makes those behind it late, as it would
//! in life, and the load does not hold back (no coordinated omission).

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::thread::set_current_timer_slack;
use tokio::time::Instant;

use crate::Outcome;
use crate::request::whole;

/// Longest wait for the last answers.
const WINDOW: Duration = Duration::from_secs(5);
/// How late the kernel may end a wait, in nanoseconds: its ordinary 50 us would be in every figure.
const SLACK: NonZeroU64 = NonZeroU64::MIN;
/// What is read at once, at most.
const PART_BYTES: usize = 64 * 1024;
/// Events that are taken at once, at most.
const EVENTS: usize = 256;

/// When requests are to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Between one request and the next.
    pub(crate) interval: Duration,
    pub(crate) requests: u32,
}

impl Schedule {
    /// `rate` requests per second for `span`.
    pub(crate) fn new(rate: f64, span: Duration) -> Outcome<Self> {
        let interval = Duration::try_from_secs_f64(1.0 / rate)?;
        let requests = span.as_nanos().checked_div(interval.as_nanos());
        Ok(Self { interval, requests: requests.ok_or("no such rate")?.try_into()? })
    }

    /// When the request `number` is to be sent, from the beginning.
    fn due(&self, number: u32) -> Duration {
        self.interval * number
    }
}

/// One connection; it has at most one request in flight.
struct Lane {
    stream: TcpStream,
    answer: Vec<u8>,
    /// When the request that it carries was to be sent.
    meant: Instant,
}

/// A load that runs.
struct Running<'a> {
    request: &'a str,
    lanes: Vec<Lane>,
    idle: VecDeque<usize>,
    /// Requests that found no idle connection.
    late: VecDeque<Instant>,
    poll: OwnedFd,
    part: Vec<u8>,
    waits: Vec<u64>,
}

/// Sends `request` to `address` as `schedule` says, over so many connections. Gives how long each
/// took, in nanoseconds, sorted; any error ends it.
pub(crate) fn run(
    address: SocketAddr,
    request: &str,
    connections: usize,
    schedule: Schedule,
) -> Outcome<Vec<u64>> {
    let mut load = Running::open(address, request, connections)?;
    set_current_timer_slack(Some(SLACK))?;
    let outcome = load.keep(schedule);
    // Whoever is started from here next has the ordinary one.
    set_current_timer_slack(None)?;
    outcome?;
    load.waits.sort_unstable();
    Ok(load.waits)
}

impl<'a> Running<'a> {
    fn open(address: SocketAddr, request: &'a str, connections: usize) -> Outcome<Self> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut lanes = Vec::new();
        for lane in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&poll, &stream, EventData::new_u64(lane as u64), EventFlags::IN)?;
            lanes.push(Lane { stream, answer: Vec::new(), meant: Instant::now() });
        }
        let idle = (0..connections).collect();
        let part = vec![0; PART_BYTES];
        Ok(Self { request, lanes, idle, late: VecDeque::new(), poll, part, waits: Vec::new() })
    }

    /// Sends and receives until all is answered.
    fn keep(&mut self, schedule: Schedule) -> Outcome<()> {
        let began = Instant::now();
        let end = began + schedule.due(schedule.requests) + WINDOW;
        let mut next = 0;
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let now = Instant::now();
            while next < schedule.requests && began + schedule.due(next) <= now {
                self.late.push_back(began + schedule.due(next));
                next += 1;
            }
            self.send()?;
            let is_sent = next == schedule.requests;
            if is_sent && self.idle.len() == self.lanes.len() {
                return Ok(());
            }
            let until = if is_sent { end } else { began + schedule.due(next) };
            let timeout = until.saturating_duration_since(Instant::now()).try_into()?;
            epoll::wait(&self.poll, spare_capacity(&mut events), Some(&timeout))?;
            for event in events.drain(..) {
                self.receive(usize::try_from(event.data.u64())?)?;
            }
            if Instant::now() > end {
                let open = self.lanes.len() - self.idle.len();
                return Err(format!("{open} requests were not answered").into());
            }
        }
    }

    /// Sends what is late, as far as there are idle connections.
    fn send(&mut self) -> Outcome<()> {
        while let (Some(place), Some(meant)) = (self.idle.front(), self.late.front()) {
            let lane = &mut self.lanes[*place];
            lane.meant = *meant;
            // A connection without anything in flight takes a request at once.
            lane.stream.write_all(self.request.as_bytes())?;
            self.idle.pop_front();
            self.late.pop_front();
        }
        Ok(())
    }

    fn receive(&mut self, place: usize) -> Outcome<()> {
        let lane = &mut self.lanes[place];
        let read = lane.stream.read(&mut self.part)?;
        if read == 0 {
            return Err("a connection was closed".into());
        }
        lane.answer.extend_from_slice(&self.part[..read]);
        let Some(whole) = whole(&lane.answer)? else { return Ok(()) };
        if lane.answer.len() != whole.head + whole.body {
            return Err("more came than was asked for".into());
        }
        lane.answer.clear();
        self.waits.push(u64::try_from(lane.meant.elapsed().as_nanos())?);
        self.idle.push_back(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Answers so many requests, each `after`.
    fn answering(requests: usize, after: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for _ in 0..requests {
                stream.read_exact(&mut [0; 3]).unwrap();
                thread::sleep(after);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").unwrap();
            }
        });
        address
    }

    #[test]
    fn a_schedule_spreads_its_requests_evenly() {
        let schedule = Schedule::new(1000.0, Duration::from_secs(2)).unwrap();
        assert_eq!(schedule.requests, 2000);
        assert_eq!(schedule.due(500), Duration::from_millis(500));
        assert!(Schedule::new(0.0, Duration::from_secs(2)).is_err());
    }

    #[test]
    fn whoever_waits_behind_a_slow_answer_is_late_too() {
        let after = Duration::from_millis(30);
        let schedule = Schedule { interval: Duration::from_millis(1), requests: 3 };
        let waits = run(answering(3, after), "GET", 1, schedule).unwrap();
        assert_eq!(waits.len(), 3);
        for (wait, least) in waits.iter().zip([30, 59, 88]) {
            assert!(*wait >= least * 1_000_000, "{waits:?}");
        }
    }

    #[test]
    fn a_connection_that_ends_is_an_error() {
        let schedule = Schedule { interval: Duration::from_millis(1), requests: 3 };
        assert!(run(answering(2, Duration::ZERO), "GET", 1, schedule).is_err());
    }
}
