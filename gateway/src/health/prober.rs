//! Asks one endpoint how it is, again and again.

use std::sync::Arc;
use std::time::Duration;

use chassis::{Clock, Stop};
use contract::health::Status;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::{Board, Probe, Spot};

/// Longest answer to a probe that is read, in bytes.
const BYTES_MAX: usize = 64 * 1024;

/// What counts of an endpoint's answer to a probe.
#[derive(Deserialize)]
struct Word {
    status: Status,
}

/// Asks one endpoint.
#[derive(Debug)]
pub(crate) struct Prober {
    pub spot: Spot,
    /// The upstream's name.
    pub upstream: Box<str>,
    /// The endpoint's `host:port`.
    pub endpoint: Box<str>,
    /// Where it says how it is.
    pub url: String,
    pub client: reqwest::Client,
    pub interval: Duration,
    pub board: Arc<Board>,
    pub clock: Clock,
}

impl Prober {
    /// Asks until the gateway drains.
    pub(crate) async fn run(self, stop: Stop) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ask = async {
            loop {
                ticks.tick().await;
                self.ask().await;
            }
        };
        tokio::select! {
            () = stop.drain_began() => {}
            () = ask => {}
        }
    }

    async fn ask(&self) {
        let began = Instant::now();
        let (status, error) = match self.get().await {
            Ok(status) => (status, None),
            Err(error) => (Status::Unhealthy, Some(chassis::refuse::chain(&error))),
        };
        let cause = error.clone().unwrap_or_default();
        let probe = Probe { status, took: began.elapsed(), error };
        let Some(change) = self.board.note(self.spot, probe, self.clock.now()) else { return };
        let (upstream, endpoint) = (&self.upstream, &self.endpoint);
        match (change.upstream, change.endpoint) {
            // What changes the whole says of the endpoint as well what there is to say.
            ((before, Status::Unhealthy), _) if before != Status::Unhealthy => {
                warn!(%upstream, %endpoint, cause, "The upstream {upstream} is unhealthy");
            }
            ((before, after), _) if before != after => {
                info!(%upstream, %endpoint, "The upstream {upstream} is {after:?}");
            }
            (_, (before, Status::Unhealthy)) if before != Status::Unhealthy => {
                warn!(%upstream, %endpoint, cause, "An endpoint of {upstream} is unhealthy");
            }
            (_, (before, after)) if before != after => {
                info!(%upstream, %endpoint, "An endpoint of {upstream} is {after:?}");
            }
            ((_, _), (_, _)) => {}
        }
    }

    /// What the endpoint says of itself; its word counts for less than its status code.
    async fn get(&self) -> Result<Status, reqwest::Error> {
        let mut response = self.client.get(&self.url).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            if body.len() + part.len() <= BYTES_MAX {
                body.extend_from_slice(&part);
            }
        }
        let word = serde_json::from_slice::<Word>(&body).map_or(Status::Healthy, |w| w.status);
        Ok(if word == Status::Unknown { Status::Healthy } else { word })
    }
}
