//! What a spoke says about itself: `/`, `/health`, `/health/live`, `/health/ready`.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use contract::health::{SpokeHealth, Status};
use http::StatusCode;
use tokio::time::timeout;

use crate::database::Database;
use crate::revocation::Revocations;
use crate::{Clock, Stop};

/// How long the database may take to say that it is there.
const DATABASE_WINDOW: Duration = Duration::from_secs(1);

/// What a spoke is asked about.
#[derive(Debug, Clone)]
pub struct Health {
    name: &'static str,
    version: &'static str,
    clock: Clock,
    database: Option<Database>,
    revocations: Option<Revocations>,
    stop: Stop,
}

impl Health {
    /// The health of the part that people call `name`.
    #[must_use]
    pub const fn new(name: &'static str, version: &'static str, clock: Clock, stop: Stop) -> Self {
        Self { name, version, clock, database: None, revocations: None, stop }
    }

    /// Counts `database` in.
    #[must_use]
    pub fn with_database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Is not ready before it is known what is in `revocations`.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/", get(report))
            .route("/health", get(report))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .with_state(self)
    }

    /// How the database is, for a part that has one. Waits no longer than a moment.
    pub async fn database_status(&self) -> Option<Status> {
        let database = self.database.as_ref()?;
        match timeout(DATABASE_WINDOW, database.ping()).await {
            Ok(Ok(())) => Some(Status::Healthy),
            Ok(Err(_)) | Err(_) => Some(Status::Unhealthy),
        }
    }
}

async fn report(State(health): State<Health>) -> Response {
    let database = health.database_status().await;
    let status = database.unwrap_or(Status::Healthy);
    let body = SpokeHealth {
        status,
        service: health.name.to_owned(),
        version: health.version.to_owned(),
        timestamp: health.clock.now(),
        database,
    };
    let code = match status {
        Status::Healthy | Status::Degraded => StatusCode::OK,
        Status::Unhealthy | Status::Unknown => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(body)).into_response()
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    if health.stop.is_leaving() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if health.revocations.as_ref().is_some_and(|revocations| !revocations.is_known()) {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}
