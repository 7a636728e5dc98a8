//! What the cases stand on.

pub(crate) mod apart;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod door;
pub(crate) mod hub;
pub(crate) mod ledger;
pub(crate) mod reader;
pub(crate) mod socket;

use std::future::Future;
use std::time::Duration;

/// How long a fact may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `fact` gives something.
pub(crate) async fn eventually<T, F>(what: &str, mut fact: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = fact().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
