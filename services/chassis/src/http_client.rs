//! The clients for calls to others: bounded, direct, and careful with idle connections.

use std::time::Duration;

use crate::StartError;

/// How long a connection to another service may take to open.
const CONNECT_WINDOW: Duration = Duration::from_secs(1);
/// How long a connection to somebody on the internet may take to open, its encryption counted.
const PUBLIC_CONNECT_WINDOW: Duration = Duration::from_secs(2);
/// How long a connection is silent before the system looks whether the other side is there still, and
/// between two looks.
const PROBE_AFTER: Duration = Duration::from_secs(2);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// So many looks without an answer, and the connection is dead.
const PROBES_MAX: u32 = 3;
/// Idle connections are closed before the other side closes them.
const IDLE_WINDOW: Duration = Duration::from_secs(4);
/// Most idle connections to one service.
const IDLE_MAX: usize = 64;

/// A client for calls to our own services: no proxy, no redirects, and no certificates, so that it can be
/// made where the system has none.
pub fn open() -> Result<reqwest::Client, StartError> {
    build(bounded(CONNECT_WINDOW).tls_certs_only([]))
}

/// A client for calls to somebody on the internet, over TLS alone, who is known by the certificates that
/// the system trusts: no proxy, no redirects.
pub fn open_public() -> Result<reqwest::Client, StartError> {
    build(bounded(PUBLIC_CONNECT_WINDOW).https_only(true))
}

fn bounded(connect_window: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(connect_window)
        .pool_idle_timeout(IDLE_WINDOW)
        .pool_max_idle_per_host(IDLE_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .tcp_keepalive(PROBE_AFTER)
        .tcp_keepalive_interval(PROBE_INTERVAL)
        .tcp_keepalive_retries(PROBES_MAX)
}

fn build(client: reqwest::ClientBuilder) -> Result<reqwest::Client, StartError> {
    client.build().map_err(|error| StartError::Other(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_on_the_internet_is_called_in_the_clear() {
        let refused = open_public().unwrap().get("http://127.0.0.1:9/").send().await.unwrap_err();
        assert!(refused.is_builder(), "{refused:?}");
    }
}
