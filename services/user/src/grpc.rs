//! `auth.AuthService` over gRPC, on a listener of its own: cleartext HTTP/2, with the health and the
//! reflection that gRPC tools look for.
//!
//! A call goes `listen` (a bounded connection, a named call) → `auth` (translate, do not decide) →
//! `users`. A refusal is the one that HTTP has, in gRPC's words (`status`). Health and reflection are
//! open, like `/health` over HTTP; everything else takes a caller.

use std::net::SocketAddr;
use std::time::Duration;

use auth_proto::auth_service_server::AuthServiceServer;
use axum::Router;
use chassis::{StartError, Stop, serve};
use serde::{Deserialize, Deserializer, de};
use tokio::net::TcpListener;
use tonic_health::ServingStatus;

mod auth;
mod bodies;
mod health;
mod listen;
mod status;

pub(crate) use auth::Auth;

/// `user.grpc_listen`: an address, or nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listen(Option<SocketAddr>);

/// `[user.grpc]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Most connections at a time; more wait.
    pub(crate) connections_max: usize,
    /// Most calls at a time of one connection.
    pub(crate) streams_max: u32,
    /// Largest message that is read.
    pub(crate) message_bytes_max: usize,
    /// From the connection to the end of its first words.
    #[serde(with = "chassis::config::span")]
    pub(crate) preface_timeout: Duration,
    /// From a call's head to the answer's.
    #[serde(with = "chassis::config::span")]
    pub(crate) call_timeout: Duration,
    /// Between two questions whether the peer is there.
    #[serde(with = "chassis::config::span")]
    pub(crate) ping_interval: Duration,
    /// How long it may take to answer one.
    #[serde(with = "chassis::config::span")]
    pub(crate) ping_timeout: Duration,
    /// How often health is looked at.
    #[serde(with = "chassis::config::span")]
    pub(crate) health_interval: Duration,
}

/// A listener that took its port and does not accept yet.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Listen {
    /// Takes the port, where there is to be a listener.
    pub(crate) fn bind(self) -> Result<Option<Bound>, StartError> {
        let Some(address) = self.0 else { return Ok(None) };
        let listener = serve::bind(address)?;
        let bound = listener.local_addr().map_err(|source| StartError::Bind { address, source })?;
        Ok(Some(Bound { listener, address: bound }))
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let rule = || de::Error::custom("expected an address with its port, or nothing");
        text.parse().map(|address| Self(Some(address))).map_err(|_| rule())
    }
}

impl Bound {
    /// Serves `auth` here until `stop`, accepting for `drain_delay` after the drain has begun.
    pub(crate) async fn serve(
        self,
        auth: Auth,
        config: &Config,
        drain_delay: Duration,
        stop: &Stop,
        of: chassis::health::Health,
    ) -> Result<(), StartError> {
        let routes = routes(auth, config, stop, of).await?;
        let server = listen::Server::new(routes, config.clone(), drain_delay, stop.clone());
        stop.spawn(server.accept(self.listener));
        Ok(())
    }
}

async fn routes(
    auth: Auth,
    config: &Config,
    stop: &Stop,
    of: chassis::health::Health,
) -> Result<Router, StartError> {
    let bytes_max = config.message_bytes_max;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(auth_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| StartError::Other(error.into()))?;
    let (reporter, health) = tonic_health::server::health_reporter();
    // Both names are there before anybody can ask.
    health::tell(&reporter, ServingStatus::Serving).await;
    stop.spawn(health::report(reporter, of, config.health_interval, stop.clone()));
    Ok(Router::new()
        .route_service(
            "/auth.AuthService/{call}",
            AuthServiceServer::new(auth).max_decoding_message_size(bytes_max),
        )
        .route_service("/grpc.health.v1.Health/{call}", health.max_decoding_message_size(bytes_max))
        .route_service(
            "/grpc.reflection.v1.ServerReflection/{call}",
            reflection.max_decoding_message_size(bytes_max),
        )
        .fallback(|| async { status::no_such_call() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
        let value = serde_json::Value::String(text.to_owned());
        let read: Result<Listen, _> = serde_json::from_value(value);
        read.map(|listen| listen.0).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_no_listener_and_a_slip_is_refused() {
        assert_eq!(listen(""), Ok(None));
        assert_eq!(listen("[::1]:50051").unwrap().unwrap().port(), 50_051);
        for slip in ["50051", "localhost:50051", " ", "127.0.0.1"] {
            assert!(listen(slip).unwrap_err().contains("an address with its port"), "{slip}");
        }
    }
}
