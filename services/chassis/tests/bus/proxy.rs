//! A way to the server that can be cut without either end hearing of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::nats::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
    cut: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (swallows, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (seen, told) = (swallows.clone(), cut.clone());
        let target = server.url().strip_prefix("nats://").unwrap().to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (here, _) = listener.accept().await.unwrap();
                seen.store(false, Ordering::Relaxed);
                let there = TcpStream::connect(&target).await.unwrap();
                let ((from, to), (back_from, back_to)) = (here.into_split(), there.into_split());
                tokio::select! {
                    () = pass_on(from, back_to, &seen) => {}
                    () = pass_on(back_from, to, &seen) => {}
                    () = told.notified() => {}
                }
            }
        });
        Self { address, swallows, cut, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on nothing gets through, and nobody is told.
    pub(crate) fn swallow(&self) {
        self.swallows.store(true, Ordering::Relaxed);
    }

    /// Ends the connection. The next one is well.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, swallows: &AtomicBool) {
    let mut bytes = vec![0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if !swallows.load(Ordering::Relaxed) && to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}
