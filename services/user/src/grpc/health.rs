//! What `grpc.health.v1.Health` says: that the service serves, until it leaves or while its database is
//! away. It is looked at now and then, not for each question: anybody may ask.

use std::time::Duration;

use auth_proto::auth_service_server::SERVICE_NAME;
use chassis::Stop;
use chassis::health::Health;
use contract::health::Status;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The server as a whole (gRPC Health Checking Protocol).
const ALL: &str = "";

/// Tells `reporter` how it goes, until the drain.
pub(super) async fn report(reporter: HealthReporter, of: Health, interval: Duration, stop: Stop) {
    while !stop.is_leaving() {
        let status = match of.database_status().await {
            Some(Status::Unhealthy | Status::Unknown) => ServingStatus::NotServing,
            Some(Status::Healthy | Status::Degraded) | None => ServingStatus::Serving,
        };
        tell(&reporter, status).await;
        tokio::select! {
            () = stop.left() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
    tell(&reporter, ServingStatus::NotServing).await;
}

/// Tells of the whole and of the one service that there is.
pub(super) async fn tell(reporter: &HealthReporter, status: ServingStatus) {
    for name in [ALL, SERVICE_NAME] {
        reporter.set_service_status(name, status).await;
    }
}
