//! Where callers come in: a listener per core, connections within bounds, and their end.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chassis::StartError;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::core::{Core, Nth, Shared};
use crate::farewell::refuse;
use crate::link::Link;
use crate::metrics::Counters;
use crate::refusal::Refusal;
use crate::{general, lean};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long to wait when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Most connections beyond the limit that are told so at a time; the others are just closed.
const TOLD_MAX: usize = 64;

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
        let (shared, nth) = (shared.clone(), Nth { index, of: cores });
        // Draining waits for the thread by this.
        let token = shared.stop.tracker().token();
        thread::Builder::new()
            .name(format!("gateway-{index}"))
            .spawn(move || {
                match runtime() {
                    Ok(runtime) => runtime.block_on(run(&shared, counters, nth, socket)),
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
async fn run(shared: &Arc<Shared>, counters: Arc<Counters>, nth: Nth, socket: Socket) {
    let listener = match TcpListener::from_std(socket.into()) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "A listener cannot be used"),
    };
    let core = Rc::new(Core::new(shared, counters, nth));
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
                serve(link, stream).await;
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

/// The life of a caller's connection: the lean way as long as it does, the general one from the
/// first request that it does not do for.
async fn serve(link: Rc<Link>, stream: TcpStream) {
    let (stream, kept) = if link.core.shared.config.lean_way {
        match lean::serve(&link, stream).await {
            Some(rest) => rest,
            None => return,
        }
    } else {
        (stream, Vec::new())
    };
    // Large, and rare: kept out of the room that every connection takes, and given back before what
    // is left to do, which may be a long tunnel.
    let rest = Box::pin(general::serve(&link, stream, kept)).await;
    Box::pin(rest.run(&link)).await;
}
