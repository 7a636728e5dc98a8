//! A started part: where it listens, and how it stops.
//!
//! Stopping goes through three moments. *Leaving*: readiness turns false, everything still works.
//! *Draining*: nothing new is accepted, what is in flight may end. *Cancelled*: what is left is cut.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Faults;
use crate::database::Database;

/// How long a cancelled task may take to notice.
const CANCEL_WINDOW: Duration = Duration::from_millis(500);

/// How long a database may take to close.
const CLOSE_WINDOW: Duration = Duration::from_millis(500);

/// A part's stop signals and its tasks. Every task of the part is spawned here, so that draining
/// waits for it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    leaving: CancellationToken,
    draining: CancellationToken,
    cancelled: CancellationToken,
    tasks: TaskTracker,
}

impl Stop {
    /// Signals of a part that has just begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns onto the part's tracker. A task that outlives its part has to watch
    /// [`Stop::cancelled`] itself.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// The tracker, for what is not a plain task: a thread holds a token of it.
    #[must_use]
    pub const fn tracker(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Whether the part no longer wants new callers.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Whether the part has begun to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Ends when the part no longer wants new callers. Safe to drop.
    pub async fn left(&self) {
        self.leaving.cancelled().await;
    }

    /// Ends when the part begins to drain. Safe to drop.
    pub async fn drain_began(&self) {
        self.draining.cancelled().await;
    }

    /// Ends when what is left has to be cut off. Safe to drop.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Turns readiness false.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.leave();
        self.draining.cancel();
    }

    /// Cuts off what is left.
    pub fn cancel(&self) {
        self.drain();
        self.cancelled.cancel();
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything in flight came to its end.
    Clean,
    /// The window closed and something was cut off.
    Cut,
}

/// A started part, or several that stop together.
#[derive(Debug)]
pub struct Running {
    /// Where its first part listens.
    pub address: SocketAddr,
    /// What to tell whoever started it, in order: a label and a text.
    pub lines: Vec<(String, String)>,
    parts: Vec<Stop>,
    databases: Vec<Database>,
}

impl Running {
    /// A part that listens on `address` and stops by `stop`.
    #[must_use]
    pub fn new(name: &str, address: SocketAddr, stop: Stop) -> Self {
        let lines = vec![(name.to_owned(), format!("http://{address}"))];
        Self { address, lines, parts: vec![stop], databases: Vec::new() }
    }

    /// Closes `database` when everything has stopped, so that a file is whole by itself.
    #[must_use]
    pub fn keeping(mut self, database: Database) -> Self {
        self.databases.push(database);
        self
    }

    /// Adds a line to what is told.
    #[must_use]
    pub fn line(mut self, label: impl Into<String>, text: impl Into<String>) -> Self {
        self.lines.push((label.into(), text.into()));
        self
    }

    /// Takes another part in: it is told of after this one, and drained after it.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.lines.extend(other.lines);
        self.parts.extend(other.parts);
        self.databases.extend(other.databases);
        self
    }

    /// Signals of the parts, in the order in which they drain.
    #[must_use]
    pub fn stops(&self) -> &[Stop] {
        &self.parts
    }

    /// Stops within `grace`: every part turns unready at once, then they drain one after the other,
    /// each with what is left of the window. Dropping the future leaves the parts running.
    pub async fn drain(self, grace: Duration) -> Drained {
        let end = Instant::now() + grace;
        let mut drained = Drained::Clean;
        self.parts.iter().for_each(Stop::leave);
        for part in &self.parts {
            part.drain();
            part.tasks.close();
            if timeout_at(end, part.tasks.wait()).await.is_err() {
                drained = Drained::Cut;
                self.cut().await;
                break;
            }
        }
        for database in &self.databases {
            // What is not closed in time is whole all the same, together with its log.
            timeout(CLOSE_WINDOW, database.close()).await.ok();
        }
        drained
    }

    /// Stops at once.
    pub async fn cut(&self) {
        for part in &self.parts {
            part.cancel();
            part.tasks.close();
        }
        let end = Instant::now() + CANCEL_WINDOW;
        for part in &self.parts {
            // A task that ignores the signal ends with the process.
            timeout_at(end, part.tasks.wait()).await.ok();
        }
    }
}

/// Why a part did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {}", reason(source))]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be used.
    #[error("cannot use {}: {}", path.display(), reason(source))]
    Path {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration cannot be used.
    #[error("the configuration has faults:\n{0}")]
    Config(Faults),
    /// Another process has the database open.
    #[error("another process uses this data: {} is locked", path.display())]
    InUse {
        /// The lock's file.
        path: PathBuf,
    },
    /// The database cannot be used.
    #[error("cannot open the database {}: {source}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What the engine said.
        source: sqlx::Error,
    },
    /// The database's server cannot be used.
    #[error("cannot use PostgreSQL at {place}: {source}")]
    Server {
        /// Its host and port.
        place: String,
        /// What it or the network said.
        source: sqlx::Error,
    },
    /// The database is of another version.
    #[error("cannot bring the database {} to this version: {source}", path.display())]
    Migrate {
        /// Its file, or its schema and server.
        path: PathBuf,
        /// What went wrong.
        source: sqlx::migrate::MigrateError,
    },
    /// A key cannot be used.
    #[error("cannot use the key {}: {fault}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The service's own state cannot be used.
    #[error("cannot start: {0}")]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// The system's reason in plain words where it has common ones.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken by another program".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "it is not a folder".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(stop: &Stop) -> Running {
        Running::new("part", SocketAddr::from(([127, 0, 0, 1], 1)), stop.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_the_tasks_of_the_part() {
        let stop = Stop::new();
        let seen = stop.clone();
        stop.spawn(async move { seen.drain_began().await });
        assert_eq!(running(&stop).drain(Duration::from_secs(1)).await, Drained::Clean);
        assert!(stop.is_leaving());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_when_the_window_closes() {
        let stop = Stop::new();
        let seen = stop.clone();
        stop.spawn(async move { seen.cancelled().await });
        assert_eq!(running(&stop).drain(Duration::from_secs(1)).await, Drained::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn parts_turn_unready_together_and_drain_in_order() {
        let (first, second) = (Stop::new(), Stop::new());
        let (one, two) = (first.clone(), second.clone());
        first.spawn(async move {
            one.drain_began().await;
            assert!(two.is_leaving() && !two.is_draining());
        });
        let both = running(&first).then(running(&second));
        assert_eq!(both.drain(Duration::from_secs(1)).await, Drained::Clean);
        assert!(second.is_draining());
    }
}
