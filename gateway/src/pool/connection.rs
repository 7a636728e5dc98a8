//! A connection of the general way: hyper's sender, and the task that moves its bytes.

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::kept::Reusable;
use crate::general::Upload;

/// What moves the bytes of a connection.
pub(crate) type Driver = http1::Connection<TokioIo<TcpStream>, Upload>;

/// A connection and the task that drives it. Dropping it closes the connection at once, whatever is
/// still under way on it: a peer that takes no more bytes would hold it open for ever.
#[derive(Debug)]
pub(crate) struct Connection {
    pub sender: SendRequest<Upload>,
    driver: JoinHandle<()>,
    is_retired: bool,
}

impl Connection {
    /// Drives `connection` as one of `tasks`.
    pub(crate) fn drive(
        sender: SendRequest<Upload>,
        connection: Driver,
        tasks: &TaskTracker,
    ) -> Self {
        let driver = tasks.spawn_local(async move {
            // Whoever waits for an answer on it is told; nobody else has to know.
            connection.await.ok();
        });
        Self { sender, driver, is_retired: false }
    }

    /// Lets it serve no other request.
    pub(crate) const fn retire(&mut self) {
        self.is_retired = true;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Reusable for Connection {
    fn stands(&self) -> bool {
        !self.is_retired && !self.sender.is_closed()
    }

    fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }
}
