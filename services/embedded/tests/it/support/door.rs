//! A way to servers that can be shut: spreads connections over them as a cluster's Service does, and
//! passes over those that take none.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Shut for good when dropped.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    leads_to: Arc<Mutex<Vec<SocketAddr>>>,
    state: watch::Sender<State>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Shut,
}

impl Door {
    /// Opens one that leads nowhere yet.
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (leads_to, state) = (Arc::default(), watch::Sender::new(State::Open));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&leads_to), state.subscribe()));
        Self { address, leads_to, state, _serving: serving }
    }

    /// Where it is, as `host:port`.
    pub(crate) fn place(&self) -> String {
        self.address.to_string()
    }

    /// Leads to the servers at these URLs from now on.
    pub(crate) fn lead_to<'a>(&self, urls: impl IntoIterator<Item = &'a str>) {
        let place = |url: &str| url.split("://").last().unwrap().parse().unwrap();
        *self.leads_to.lock().unwrap() = urls.into_iter().map(place).collect();
    }

    /// Cuts every connection and lets nobody in.
    pub(crate) fn shut(&self) {
        self.state.send_replace(State::Shut);
    }

    pub(crate) fn open_again(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn serve(
    listener: TcpListener,
    leads_to: Arc<Mutex<Vec<SocketAddr>>>,
    state: watch::Receiver<State>,
) {
    let mut connections = JoinSet::new();
    for turn in 0.. {
        let (caller, _) = listener.accept().await.unwrap();
        let mut servers = leads_to.lock().unwrap().clone();
        let first = turn % servers.len().max(1);
        servers.rotate_left(first);
        connections.spawn(pass(caller, servers, state.clone()));
    }
}

async fn pass(mut caller: TcpStream, servers: Vec<SocketAddr>, mut state: watch::Receiver<State>) {
    for server in servers {
        let Ok(mut server) = TcpStream::connect(server).await else { continue };
        tokio::select! {
            _ = state.wait_for(|state| *state == State::Shut) => {}
            _ = copy_bidirectional(&mut caller, &mut server) => {}
        }
        return;
    }
}
