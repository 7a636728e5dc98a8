//! Where a call comes from, as far as it can be known: for limits, for the audit, and for the owner of
//! a session to recognise it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use chassis::refuse::Refusal;
use contract::Kind;

use crate::api::Api;

/// Most characters that are kept of what a client calls itself.
const DEVICE_MAX: usize = 200;

/// What stands before a service's name in the place of a device; no client may call itself so.
const SERVICE: &str = "service ";

/// Whoever makes a call.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The peer's address, or the one that a trusted peer forwards for.
    pub(crate) address: IpAddr,
    /// What its client calls itself. Anybody may write anything there.
    pub(crate) device: Option<String>,
}

impl FromRequestParts<Api> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(peer) = peer.ok_or(Refusal::new(Kind::Internal))?;
        let address = api.proxies.client(peer.ip(), &parts.headers);
        Ok(Self { address, device: device(&parts.headers) })
    }
}

/// The device of a session that `service` opened.
pub(crate) fn device_of_service(service: &str) -> String {
    format!("{SERVICE}{service}")
}

/// Whether a session with this device was opened by a service.
pub(crate) fn is_of_service(device: Option<&str>) -> bool {
    let head = device.and_then(|device| device.get(..SERVICE.len()));
    head.is_some_and(|head| head.eq_ignore_ascii_case(SERVICE))
}

/// Printable text alone: it is shown to people, and stands in a database.
fn device(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(DEVICE_MAX).collect();
    let text = text.trim();
    (!text.is_empty() && !is_of_service(Some(text))).then(|| text.to_owned())
}
