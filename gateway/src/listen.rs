//! Where callers come in: a listener per core, connections within bounds, and their end.

mod chunks;
mod gate;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use chassis::StartError;
use chassis::linger::{LINGER_BYTES_MAX, LINGER_WINDOW};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::time::timeout;

use crate::core::{Core, Shared};
use crate::corridor;
use crate::link::{Link, Stage};
use crate::metrics::Counters;
use crate::refusal::{Refusal, as_bytes};
use gate::Gate;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most connections beyond the limit that are told so at a time; the others are just closed.
const TOLD_MAX: usize = 64;
/// Most bytes that hyper holds of one caller: more than the gate lets a head have.
const HTTP_BUFFER_BYTES: usize = 128 * 1024;

/// Binds one listener per core to `address`; they share the connections that come in.
pub(crate) fn bind(
    address: SocketAddr,
    cores: usize,
) -> Result<(SocketAddr, Vec<Socket>), StartError> {
    let fault = |source| StartError::Bind { address, source };
    // The first takes the port for itself, so that a port that is taken is found out, and shares it
    // from then on.
    let first = socket(address).map_err(fault)?;
    first.bind(&address.into()).map_err(fault)?;
    first.set_reuse_port(true).map_err(fault)?;
    let bound = first.local_addr().map_err(fault)?;
    let bound = bound.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..cores {
        let next = socket(address).map_err(fault)?;
        next.set_reuse_port(true).map_err(fault)?;
        next.bind(&bound.into()).map_err(fault)?;
        sockets.push(next);
    }
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(fault)?;
    }
    Ok((bound, sockets))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Starts a thread for each of `sockets`; gives what they count.
pub(crate) fn start(
    shared: &Arc<Shared>,
    sockets: Vec<Socket>,
) -> Result<Vec<Arc<Counters>>, StartError> {
    let cores = sockets.len();
    let mut all = Vec::with_capacity(cores);
    for (index, socket) in sockets.into_iter().enumerate() {
        let counters = Arc::new(Counters::new(&shared.plan));
        all.push(counters.clone());
        let runtime_failed = |error: io::Error| StartError::Other(error.into());
        let shared = shared.clone();
        // Draining waits for the thread by this.
        let token = shared.stop.tracker().token();
        thread::Builder::new()
            .name(format!("gateway-{index}"))
            .spawn(move || {
                match runtime() {
                    Ok(runtime) => runtime.block_on(run(&shared, counters, cores, socket)),
                    Err(error) => tracing::error!(%error, "A core could not start"),
                }
                drop(token);
            })
            .map_err(runtime_failed)?;
    }
    Ok(all)
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// The life of a core.
async fn run(shared: &Arc<Shared>, counters: Arc<Counters>, cores: usize, socket: Socket) {
    let listener = match TcpListener::from_std(socket.into()) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "A listener cannot be used"),
    };
    let core = Rc::new(Core::new(shared, counters, cores));
    let serving = async {
        accept_until_drain(&core, listener).await;
        core.close();
        tokio::select! {
            () = core.tasks.wait() => {}
            () = shared.stop.cancelled() => {}
        }
    };
    tokio::select! {
        () = core.wheel.run(|| core.tick()) => {}
        () = serving => {}
    }
    core.end();
}

async fn accept_until_drain(core: &Rc<Core>, listener: TcpListener) {
    let stop = &core.shared.stop;
    let closing = async {
        stop.drain_began().await;
        tokio::select! {
            () = tokio::time::sleep(core.shared.config.drain_delay) => {}
            () = stop.cancelled() => {}
        }
    };
    let mut closing = std::pin::pin!(closing);
    let told = crate::limits::Gauge::new(TOLD_MAX);
    loop {
        let accepted = tokio::select! {
            () = &mut closing => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        core.counters.connections_accepted.add(1);
        // A hint to the kernel; without it answers are only later.
        stream.set_nodelay(true).ok();
        if let Some(permit) = core.connections.enter() {
            let link = Link::new(core.clone(), peer.ip());
            core.tasks.spawn_local(async move {
                connection(link, stream).await;
                drop(permit);
            });
            continue;
        }
        core.counters.connections_refused.add(1);
        if let Some(permit) = told.enter() {
            let link = Link::new(core.clone(), peer.ip());
            core.tasks.spawn_local(async move {
                refuse(&link, stream, &Refusal::Overloaded).await;
                drop(permit);
            });
        }
    }
}

/// How a connection ended.
enum End {
    /// By the rules of HTTP, or by the caller.
    Over,
    /// It made no progress.
    Late,
}

/// The life of a caller's connection.
async fn connection(link: Rc<Link>, stream: TcpStream) {
    let gate = Gate::new(stream, link.clone());
    let service = service_fn(|request| {
        let link = link.clone();
        async move { Ok::<_, Infallible>(corridor::answer(link, request).await) }
    });
    let mut http = http1::Builder::new()
        .max_buf_size(HTTP_BUFFER_BYTES)
        .header_read_timeout(None)
        .serve_connection(gate, service);
    let mut is_told = false;
    let end = poll_fn(|cx| {
        if link.core.is_closing() && !is_told {
            is_told = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        if link.timer.poll(cx).is_ready() {
            return Poll::Ready(End::Late);
        }
        // What went wrong on a caller's connection is the caller's business.
        Pin::new(&mut http).poll(cx).map(|_| End::Over)
    });
    let end = end.await;
    let gate = http.into_parts().io;
    if gate.is_stalled() {
        // Whatever is said now would stand in the middle of an answer that is not out yet.
        return;
    }
    let (mut stream, ahead) = gate.into_parts();
    // Ends are rare and large: kept out of the room that every connection takes.
    if let Some(tunnel) = link.take_tunnel() {
        return Box::pin(tunnel.run(&link, stream, ahead)).await;
    }
    match (end, link.stage()) {
        (End::Over, Stage::Serving) | (End::Late, Stage::Serving | Stage::Idle) => {}
        (End::Late, Stage::Head) => Box::pin(refuse(&link, stream, &Refusal::Slow)).await,
        (End::Over, Stage::Idle) if link.is_broken() => Box::pin(linger(stream)).await,
        (End::Over, Stage::Head) if let Some(refusal) = link.take_fault() => {
            Box::pin(refuse(&link, stream, &refusal)).await;
        }
        // The peer may be gone already.
        (End::Over, Stage::Head | Stage::Idle) => drop(stream.shutdown().await.ok()),
    }
}

/// Tells a caller that never got as far as the corridor why.
async fn refuse(link: &Link, mut stream: TcpStream, refusal: &Refusal) {
    let answer = as_bytes(&corridor::refuse_at_the_gate(link, refusal));
    // A caller that does not take its answer in this time is left alone.
    if let Ok(Ok(())) = timeout(LINGER_WINDOW, stream.write_all(&answer)).await {
        linger(stream).await;
    }
}

/// Ends a connection on which more may come, within bounds, so that the last answer is read.
async fn linger(mut stream: TcpStream) {
    let read = async {
        let (mut part, mut read) = ([0; 4096], 0_u64);
        stream.shutdown().await?;
        while read <= LINGER_BYTES_MAX {
            match stream.read(&mut part).await? {
                0 => break,
                more => read += more as u64,
            }
        }
        Ok::<_, io::Error>(())
    };
    // The peer may be gone already.
    timeout(LINGER_WINDOW, read).await.ok();
}
