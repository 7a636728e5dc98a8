//! What names a request through every hop: its id and its trace context.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use contract::caller::{REQUEST_ID, TRACEPARENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::Random;

/// Most characters of a request id.
const REQUEST_ID_MAX: usize = 64;

/// The names that travel with a request. A handler hands them on to the services that it calls.
#[derive(Debug, Clone, Default)]
pub struct Hop {
    /// See [`REQUEST_ID`].
    pub request_id: Option<HeaderValue>,
    /// See [`TRACEPARENT`].
    pub traceparent: Option<HeaderValue>,
}

impl Hop {
    /// Reads the names from a request's head.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            request_id: headers.get(REQUEST_ID).cloned(),
            traceparent: headers.get(TRACEPARENT).cloned(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Hop {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Whether `text` is a request id that may be kept: 1 to 64 characters of `A-Za-z0-9._-`.
#[must_use]
pub fn is_request_id(text: &[u8]) -> bool {
    (1..=REQUEST_ID_MAX).contains(&text.len())
        && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Makes a request id: 32 hexadecimal digits.
#[must_use]
pub fn make_request_id(random: &Random) -> String {
    format!("{:032x}", u128::from_be_bytes(random.bytes()))
}
