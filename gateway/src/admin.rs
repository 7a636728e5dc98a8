//! The operators' listener: metrics, and health with its details. Nothing here changes anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chassis::revocation::Revocations;
use chassis::{StartError, Stop};
use http::{StatusCode, header};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::corridor::readiness;
use crate::health::Board;
use crate::metrics::Scrape;

/// The format that [`encode`] writes.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone)]
struct Admin {
    registry: Arc<Registry>,
    board: Arc<Board>,
    revocations: Revocations,
    stop: Stop,
}

/// Serves until `linger` after the gateway began to drain; gives the address that was bound.
pub(crate) fn serve(
    listener: TcpListener,
    scrape: Scrape,
    revocations: Revocations,
    linger: Duration,
    stop: &Stop,
) -> Result<SocketAddr, StartError> {
    let bound = listener.local_addr().map_err(|error| StartError::Other(error.into()))?;
    let board = scrape.board.clone();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let admin = Admin { registry: Arc::new(registry), board, revocations, stop: stop.clone() };
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/health", get(show_health))
        .route("/health/live", get(async || "live\n"))
        .route("/health/ready", get(show_ready))
        .with_state(admin);
    let leaving = stop.clone();
    let serving = async {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "The operators' listener failed");
        }
    };
    stop.spawn(async move {
        // An idle connection of a scraper must not hold the drain up.
        let end = async {
            leaving.drain_began().await;
            tokio::time::sleep(linger).await;
        };
        tokio::select! {
            () = leaving.cancelled() => {}
            () = end => {}
            () = serving => {}
        }
    });
    Ok(bound)
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn show_health(State(admin): State<Admin>) -> Response {
    let told = admin.board.told();
    let code = StatusCode::from_u16(told.code).unwrap_or(StatusCode::OK);
    (code, [(header::CONTENT_TYPE, "application/json")], told.detailed.clone()).into_response()
}

async fn show_ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    let (code, word) = readiness(&admin.stop, &admin.revocations);
    (StatusCode::from_u16(code).unwrap_or(StatusCode::OK), word)
}
