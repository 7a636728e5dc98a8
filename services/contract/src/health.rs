//! What a part says about itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// How a part or a part of a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not asked yet.
    Unknown,
    /// Answers, and everything that it needs does.
    Healthy,
    /// Answers, though not everything does.
    Degraded,
    /// Does not answer, or says that it cannot work.
    Unhealthy,
}

/// `GET /health` of a spoke.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpokeHealth {
    /// How it is.
    pub status: Status,
    /// Its name for people: `User Service`.
    #[schema(example = "User Service")]
    pub service: String,
    /// The version of its binary.
    pub version: String,
    /// When it said so.
    pub timestamp: Timestamp,
    /// How its database is; absent when it has none.
    #[schema(nullable = false)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Status>,
}

/// `GET /health` of the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregate {
    /// The worst of what is critical, degraded when anything is amiss.
    pub status: Status,
    /// The version of the gateway's binary.
    pub version: String,
    /// When this was put together.
    pub timestamp: Timestamp,
    /// Every upstream by its configured name.
    pub services: Vec<ServiceHealth>,
}

/// One upstream as the gateway's probes found it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// Its name in the gateway's configuration.
    pub name: String,
    /// How the best of its endpoints is.
    pub status: Status,
    /// How long the last probe took; `null` when not yet known.
    pub latency_ms: Option<f64>,
    /// When it was last probed; `null` when not yet known.
    pub last_checked_at: Option<Timestamp>,
    /// Since when it has this status; `null` when not yet known.
    pub since: Option<Timestamp>,
    /// Why the last probe of an endpoint failed: only for administrators and on the admin listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The URLs of its endpoints: only for administrators and on the admin listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<String>>,
    /// How each of its endpoints is: only for administrators and on the admin listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<EndpointHealth>>,
}

/// One endpoint of an upstream as the gateway's probes found it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// Its URL in the gateway's configuration.
    pub url: String,
    /// How it is.
    pub status: Status,
    /// How long the last probe took; `null` when not yet known.
    pub latency_ms: Option<f64>,
    /// When it was last probed; `null` when not yet known.
    pub last_checked_at: Option<Timestamp>,
    /// Since when it has this status; `null` when not yet known.
    pub since: Option<Timestamp>,
    /// Why the last probe failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
