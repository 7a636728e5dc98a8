//! The life of a tunnel: every byte as it was sent, within its limits.

use std::time::Duration;

use chassis::running::Drained;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::frames::{Frame, From, frame, frames, is_last};
use crate::sockets::{ask, switch};
use crate::support::{Caller, Gateway, PATIENCE, Upstream, gateway};

pub(crate) const GRACE: Duration = Duration::from_secs(8);
/// Tunnels end as soon as the gateway drains.
pub(crate) const AT_ONCE: &str = "gateway.drain_tunnels=0s";

/// Tunnels with both their ends in hand.
pub(crate) struct Tunnels {
    pub gateway: Gateway,
    ends: mpsc::UnboundedReceiver<Caller>,
}

impl Tunnels {
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let (peers, ends) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |mut peer| {
            let peers = peers.clone();
            async move {
                peer.request().await;
                peer.caller.send(switch()).await;
                peers.send(peer.caller).unwrap();
            }
        })
        .await;
        Self { gateway: gateway(upstream.address, settings).await, ends }
    }

    /// The caller's end and the upstream's.
    pub(crate) async fn open(&mut self) -> (Caller, Caller) {
        let mut caller = self.gateway.connect().await;
        caller.send(ask("")).await;
        let head = caller.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (caller, self.ends.recv().await.unwrap())
    }

    /// Waits until one tunnel has been counted as ended by `cause`, and no other has.
    async fn ended_by(&self, cause: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let metrics = self.gateway.operator("/metrics").await.body;
            let is_closed = |line: &&str| line.starts_with("gateway_tunnels_closed_total{");
            let sum = metrics.lines().filter(is_closed).filter(|line| !line.ends_with(" 0"));
            let expected = format!("gateway_tunnels_closed_total{{cause=\"{cause}\"}} 1");
            if sum.eq([expected.as_str()]) && metrics.contains("\ngateway_tunnels 0") {
                return;
            }
            assert!(Instant::now() < end, "{metrics}");
        }
    }
}

/// One tunnel.
pub(crate) async fn one(settings: &[&str]) -> (Tunnels, Caller, Caller) {
    let mut tunnels = Tunnels::start(settings).await;
    let (caller, upstream) = tunnels.open().await;
    (tunnels, caller, upstream)
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let (tunnels, mut caller, mut upstream) =
        one(&["gateway.limits.tunnel_idle_timeout=200ms"]).await;
    is_last(&frames(&mut caller, From::Upstream).await, 1001);
    is_last(&frames(&mut upstream, From::Caller).await, 1001);
    drop((caller, upstream));
    tunnels.ended_by("idle").await;
}

#[tokio::test]
async fn a_busy_tunnel_is_not_silent_but_ends_at_its_limit() {
    let settings =
        ["gateway.limits.tunnel_idle_timeout=2s", "gateway.limits.tunnel_total_timeout=3s"];
    let began = Instant::now();
    let (tunnels, mut caller, upstream) = one(&settings).await;
    let (kept, mut says) = upstream.stream.into_split();
    let talk = async {
        let ping = Frame { first: 0x89, payload: Vec::new() }.encode(From::Upstream);
        while says.write_all(&ping).await.is_ok() && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let listen = async {
        let heard = frames(&mut caller, From::Upstream).await;
        drop(caller);
        heard
    };
    let heard = tokio::select! { heard = listen => heard, () = talk => panic!("it never ended") };
    is_last(&heard, 1001);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    drop((kept, says));
    tunnels.ended_by("total").await;
}

#[tokio::test]
async fn one_side_may_end_before_the_other() {
    let (tunnels, mut caller, mut upstream) = one(&[]).await;
    caller.send("last words").await;
    caller.stream.shutdown().await.unwrap();
    assert_eq!(upstream.rest().await, "last words");
    upstream.send("bye").await;
    drop(upstream);
    assert_eq!(caller.rest().await, "bye");
    tunnels.ended_by("ended").await;
}

#[tokio::test]
async fn the_other_side_has_some_time_then() {
    let setting = "gateway.limits.tunnel_half_close_timeout=200ms";
    let (tunnels, mut caller, mut upstream) = one(&[setting]).await;
    upstream.send("one frame").await;
    upstream.stream.shutdown().await.unwrap();
    assert_eq!(caller.rest().await, "one frame");
    is_last(&frames(&mut upstream, From::Caller).await, 1001);
    drop((caller, upstream));
    tunnels.ended_by("ended").await;
}

#[tokio::test]
async fn a_caller_that_breaks_off_takes_its_upstream_with_it() {
    let (tunnels, caller, mut upstream) = one(&[]).await;
    let began = Instant::now();
    reset(caller);
    assert_eq!(upstream.rest().await, "");
    // This side does not end at all.
    tunnels.ended_by("broken").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_upstream_that_breaks_off_takes_its_caller_with_it() {
    let (tunnels, mut caller, upstream) = one(&[]).await;
    let began = Instant::now();
    reset(upstream);
    assert_eq!(caller.rest().await, "");
    tunnels.ended_by("broken").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Ends a connection without a word.
fn reset(end: Caller) {
    SockRef::from(&end.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(end);
}

#[tokio::test]
async fn last_words_arrive_from_an_upstream_that_hears_nothing() {
    let (_tunnels, mut caller, mut upstream) = one(&[]).await;
    for _ in 0..50 {
        caller.send(Frame::binary(vec![7; 1000]).encode(From::Caller)).await;
    }
    upstream.stream.readable().await.unwrap();
    // What it has not read makes a reset of its end.
    upstream.send(Frame::close(1008).encode(From::Upstream)).await;
    drop(upstream);
    is_last(&frames(&mut caller, From::Upstream).await, 1008);
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let (tunnels, mut caller, upstream) = one(&[AT_ONCE]).await;
    // What the kernel takes for the two ends in hand says nothing about the gateway.
    SockRef::from(&caller.stream).set_recv_buffer_size(65_536).unwrap();
    SockRef::from(&upstream.stream).set_send_buffer_size(65_536).unwrap();
    let (_kept, mut says) = upstream.stream.into_split();
    let sent: Vec<_> = (0..400_u16).map(|n| Frame::binary(vec![(n % 251) as u8; 40_000])).collect();
    let mut bytes = sent.iter().map(|frame| frame.encode(From::Upstream)).collect::<Vec<_>>();
    let last = bytes.pop().unwrap();
    let first = bytes.concat();
    // Nothing of it is read before the gateway and the kernel are full.
    let mut written = 0;
    while let Ok(more) = timeout(Duration::from_millis(300), says.write(&first[written..])).await {
        written += more.unwrap();
    }
    assert!(written < first.len(), "the gateway takes only what its caller takes");
    let ((), got) = tokio::join!(
        async {
            says.write_all(&first[written..]).await.unwrap();
            says.write_all(&last).await.unwrap();
        },
        async {
            let mut got = Vec::new();
            while got.len() < sent.len() {
                got.push(frame(&mut caller, From::Upstream).await.unwrap());
            }
            got
        }
    );
    assert!(got == sent);
    let (drained, rest) =
        tokio::join!(tunnels.gateway.drain(GRACE), frames(&mut caller, From::Upstream));
    assert_eq!(drained, Drained::Clean);
    is_last(&rest, 1012);
}

#[tokio::test]
async fn much_goes_both_ways_and_nothing_is_lost() {
    let (_tunnels, caller, upstream) = one(&[]).await;
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut caller_hears, mut caller_says) = caller.stream.into_split();
    let (mut upstream_hears, mut upstream_says) = upstream.stream.into_split();
    let echo = tokio::io::copy(&mut upstream_hears, &mut upstream_says);
    let mut got = vec![0; sent.len()];
    let read = tokio::io::AsyncReadExt::read_exact(&mut caller_hears, &mut got);
    let both = async { tokio::join!(caller_says.write_all(&sent), read) };
    tokio::select! { _ = echo => panic!("it ended early"), _ = both => {} }
    assert!(got == sent);
}
