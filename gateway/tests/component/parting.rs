//! How the gateway ends tunnels: by a Close frame of its own, only where one can stand, and with
//! nothing behind it.

use std::cell::Cell;
use std::time::Duration;

use chassis::running::Drained;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

use crate::frames::{Frame, From, frame, frames, is_last};
use crate::support::{Caller, Gateway};
use crate::tunnels::{AT_ONCE, GRACE, Tunnels, one};

/// Peers do not have long to end.
const SOON: &str = "gateway.limits.tunnel_close_timeout=300ms";

/// Sends frames of many sizes, in pieces that hardly ever end where a frame does, until it is told
/// to stop behind one; gives the frames that it began.
async fn chatter(mut to: OwnedWriteHalf, from: From, is_told: &Cell<bool>) -> Vec<Frame> {
    let (mut began, mut ahead) = (Vec::new(), Vec::new());
    for piece in (0_usize..).map(|n| 500 + n * 1237 % 9001) {
        while ahead.len() <= piece && !is_told.get() {
            let n = began.len();
            let size = [0, 1, 125, 126, 3000, 70_000, 65_536, 17][n % 8];
            let frame = Frame::binary(vec![u8::try_from(n % 251).unwrap(); size]);
            ahead.extend(frame.encode(from));
            began.push(frame);
        }
        let rest = ahead.split_off(piece.min(ahead.len()));
        if ahead.is_empty() || to.write_all(&ahead).await.is_err() {
            break;
        }
        ahead = rest;
        // Others have their turn in the middle of frames.
        tokio::task::yield_now().await;
    }
    began
}

/// While `talker` sends without end, the gateway drains: `listener` gets whole frames, all of them
/// as they were sent, and then a Close with `code`.
async fn drain_under_chatter(
    gateway: Gateway,
    (talker, from): (Caller, From),
    mut listener: Caller,
    code: u16,
) {
    let (mut answers, to) = talker.stream.into_split();
    let is_told = Cell::new(false);
    let talk = chatter(to, from, &is_told);
    let listen = async {
        let mut heard = vec![frame(&mut listener, from).await.unwrap()];
        let (drained, rest) = tokio::join!(gateway.drain(GRACE), async {
            let rest = frames(&mut listener, from).await;
            drop(listener);
            rest
        });
        assert_eq!(drained, Drained::Clean);
        heard.extend(rest);
        heard
    };
    let end = async {
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut answers, &mut rest).await.ok();
        is_told.set(true);
    };
    let (began, mut heard, ()) = tokio::join!(talk, listen, end);
    is_last(&heard, code);
    heard.pop();
    assert!(heard.len() > 1 && began.starts_with(&heard), "{} of {}", heard.len(), began.len());
}

#[tokio::test]
async fn a_drain_tells_a_caller_between_two_frames_of_a_stream() {
    for _ in 0..5 {
        let (tunnels, caller, upstream) = one(&[AT_ONCE]).await;
        drain_under_chatter(tunnels.gateway, (upstream, From::Upstream), caller, 1012).await;
    }
}

#[tokio::test]
async fn a_drain_tells_an_upstream_between_two_frames_of_a_stream() {
    for _ in 0..5 {
        let (tunnels, caller, upstream) = one(&[AT_ONCE]).await;
        drain_under_chatter(tunnels.gateway, (caller, From::Caller), upstream, 1001).await;
    }
}

#[tokio::test]
async fn a_silent_tunnel_is_told_of_a_drain_on_both_sides() {
    let (tunnels, mut caller, mut upstream) = one(&["gateway.drain_tunnels=300ms"]).await;
    let began = Instant::now();
    let callers = async {
        is_last(&frames(&mut caller, From::Upstream).await, 1012);
        // What a caller answers is for nobody any more.
        caller.send(Frame::close(1012).encode(From::Caller)).await;
        drop(caller);
    };
    let upstreams = async {
        is_last(&frames(&mut upstream, From::Caller).await, 1001);
        upstream.send(Frame::close(1001).encode(From::Upstream)).await;
        drop(upstream);
    };
    let (drained, (), ()) = tokio::join!(tunnels.gateway.drain(GRACE), callers, upstreams);
    assert_eq!(drained, Drained::Clean);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn tunnels_end_one_after_the_other() {
    let mut tunnels = Tunnels::start(&["gateway.drain_tunnels=400ms"]).await;
    let mut callers = tokio::task::JoinSet::new();
    let mut upstreams = Vec::new();
    for _ in 0..20 {
        let (mut caller, upstream) = tunnels.open().await;
        upstreams.push(upstream);
        callers.spawn(async move {
            is_last(&[frame(&mut caller, From::Upstream).await.unwrap()], 1012);
            Instant::now()
        });
    }
    let began = Instant::now();
    let (drained, ends) = tokio::join!(tunnels.gateway.drain(GRACE), callers.join_all());
    assert_eq!(drained, Drained::Clean);
    let (first, last) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    assert!(last.duration_since(*first) > Duration::from_millis(100), "spread: {ends:?}");
    assert!(last.duration_since(began) < Duration::from_secs(2), "{ends:?}");
}

#[tokio::test]
async fn peers_that_do_not_end_are_dropped() {
    let (tunnels, mut caller, mut upstream) = one(&[AT_ONCE, SOON]).await;
    let began = Instant::now();
    assert_eq!(tunnels.gateway.drain(GRACE).await, Drained::Clean);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    is_last(&frames(&mut caller, From::Upstream).await, 1012);
    is_last(&frames(&mut upstream, From::Caller).await, 1001);
}

#[tokio::test]
async fn the_frame_in_progress_is_the_last_one() {
    let (tunnels, mut caller, mut upstream) = one(&[AT_ONCE]).await;
    let last = Frame::binary("the last one").encode(From::Upstream);
    upstream.send(&last[..5]).await;
    assert_eq!(caller.exactly(5).await, &last[..5]);
    let talk = async {
        is_last(&frames(&mut upstream, From::Caller).await, 1001);
        upstream.send([&last[5..], &last[..5]].concat()).await;
        let rest = [&last[5..], &Frame::close(1012).encode(From::Upstream)].concat();
        assert_eq!(caller.exactly(100).await, rest);
        drop((caller, upstream));
    };
    let (drained, ()) = tokio::join!(tunnels.gateway.drain(GRACE), talk);
    assert_eq!(drained, Drained::Clean);
}

#[tokio::test]
async fn a_frame_that_does_not_end_is_followed_by_nothing() {
    let (tunnels, mut caller, mut upstream) = one(&[AT_ONCE, SOON]).await;
    let whole = Frame::binary("whole").encode(From::Upstream);
    let half = Frame::binary("half of it").encode(From::Upstream);
    upstream.send([&whole[..], &half[..8]].concat()).await;
    assert_eq!(caller.exactly(whole.len()).await, whole);
    let (drained, rest) = tokio::join!(tunnels.gateway.drain(GRACE), caller.exactly(100));
    assert_eq!((drained, &rest[..]), (Drained::Clean, &half[..8]));
    is_last(&frames(&mut upstream, From::Caller).await, 1001);
}

#[tokio::test]
async fn nothing_is_said_behind_an_upstreams_own_close() {
    let (tunnels, mut caller, mut upstream) = one(&[AT_ONCE, SOON]).await;
    upstream.send(Frame::close(4503).encode(From::Upstream)).await;
    assert_eq!(frame(&mut caller, From::Upstream).await, Some(Frame::close(4503)));
    let (drained, rest) = tokio::join!(tunnels.gateway.drain(GRACE), caller.rest());
    assert_eq!((drained, rest.as_str()), (Drained::Clean, ""));
    is_last(&frames(&mut upstream, From::Caller).await, 1001);
}

#[tokio::test]
async fn nothing_is_said_behind_a_callers_own_close() {
    let (tunnels, mut caller, mut upstream) = one(&[AT_ONCE, SOON]).await;
    caller.send(Frame::close(1000).encode(From::Caller)).await;
    assert_eq!(frame(&mut upstream, From::Caller).await, Some(Frame::close(1000)));
    let (drained, rest) = tokio::join!(tunnels.gateway.drain(GRACE), upstream.rest());
    assert_eq!((drained, rest.as_str()), (Drained::Clean, ""));
    is_last(&frames(&mut caller, From::Upstream).await, 1012);
}

#[tokio::test]
async fn what_is_no_framing_is_passed_on_and_never_mixed_with_ours() {
    let (tunnels, mut caller, mut upstream) = one(&[AT_ONCE, SOON]).await;
    caller.send("hello, no frames here\r\n").await;
    upstream.send("hello, no frames here\r\n").await;
    assert_eq!(caller.exactly(23).await, b"hello, no frames here\r\n");
    assert_eq!(upstream.exactly(23).await, b"hello, no frames here\r\n");
    upstream.send("and more").await;
    assert_eq!(caller.exactly(8).await, b"and more");
    let rests = async { tokio::join!(caller.rest(), upstream.rest()) };
    let (drained, rests) = tokio::join!(tunnels.gateway.drain(GRACE), rests);
    assert_eq!((drained, rests), (Drained::Clean, (String::new(), String::new())));
}
