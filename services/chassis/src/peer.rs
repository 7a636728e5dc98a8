//! Calls from one service to another: a service token, a deadline, and the other's refusals passed
//! on in its own words.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use contract::caller::{REQUEST_ID, TRACEPARENT};
use contract::{Kind, Problem};
use http::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::hop::Hop;
use crate::identity::{Person, ServiceTokens};
use crate::refuse::Refusal;

/// Another service, by its base URL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    client: reqwest::Client,
    base: Arc<str>,
    name: Cow<'static, str>,
    tokens: ServiceTokens,
    window: Duration,
}

/// For whom a call is.
#[derive(Debug, Clone, Copy)]
pub enum On<'a> {
    /// For this service itself.
    OwnBehalf,
    /// For a user.
    BehalfOf(&'a Person),
}

/// Why a call did not give what it was for.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The other service said no, and why.
    #[error("the service refused: {}", .0.error)]
    Refused(Box<Problem>),
    /// It could not be reached, was too slow or broke off: what it did is not known.
    #[error("the service cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It answered something that cannot be understood.
    #[error("the service answered {0} and something that cannot be understood")]
    Garbled(StatusCode),
}

/// An answer with what is needed of its head.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// Its status.
    pub status: StatusCode,
    /// Its `Link` (RFC 8288).
    pub link: Option<String>,
    /// Its body.
    pub body: T,
}

impl Peer {
    /// The service `name` at `base`; every call has to end within `window`.
    #[must_use]
    pub fn new(
        client: reqwest::Client,
        base: &str,
        name: impl Into<Cow<'static, str>>,
        tokens: ServiceTokens,
        window: Duration,
    ) -> Self {
        let (base, name) = (base.trim_end_matches('/').into(), name.into());
        Self { client, base, name, tokens, window }
    }

    /// `GET` of `path` with its query.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        on: On<'_>,
        hop: &Hop,
    ) -> Result<Answer<T>, PeerError> {
        answer(self.request(Method::GET, path, on, hop)).await
    }

    /// `POST` of `body` to `path`.
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        on: On<'_>,
        hop: &Hop,
    ) -> Result<Answer<T>, PeerError> {
        answer(self.request(Method::POST, path, on, hop).json(body)).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        on: On<'_>,
        hop: &Hop,
    ) -> reqwest::RequestBuilder {
        let token = match on {
            On::OwnBehalf => self.tokens.plain(self.name.clone()),
            On::BehalfOf(person) => self.tokens.on_behalf_of(self.name.clone(), person),
        };
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, url).bearer_auth(token).timeout(self.window);
        if let Some(id) = &hop.request_id {
            request = request.header(REQUEST_ID, id);
        }
        if let Some(context) = &hop.traceparent {
            request = request.header(TRACEPARENT, context);
        }
        request
    }
}

async fn answer<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<Answer<T>, PeerError> {
    let response = request.send().await.map_err(PeerError::Unreachable)?;
    let status = response.status();
    let link = response.headers().get(header::LINK).and_then(|link| link.to_str().ok());
    let link = link.map(str::to_owned);
    let body = response.bytes().await.map_err(PeerError::Unreachable)?;
    if status.is_success() {
        let body = serde_json::from_slice(&body).map_err(|_| PeerError::Garbled(status))?;
        return Ok(Answer { status, link, body });
    }
    match serde_json::from_slice(&body) {
        Ok(problem) => Err(PeerError::Refused(Box::new(problem))),
        Err(_) => Err(PeerError::Garbled(status)),
    }
}

impl PeerError {
    /// What the other service said is wrong, in the words of the catalogue; the status alone does not tell
    /// a fault of the one for whom we ask from one of our own.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Refused(problem) => kind_of(problem),
            Self::Unreachable(_) | Self::Garbled(_) => None,
        }
    }
}

impl From<PeerError> for Refusal {
    /// What a caller did wrong there it did wrong here; anything else is a service that is down.
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Refused(problem) => match passed_on(&problem) {
                Some(kind) => from_problem(kind, *problem),
                None => Self::new(Kind::Unavailable).caused_by(PeerError::Refused(problem)),
            },
            error @ (PeerError::Unreachable(_) | PeerError::Garbled(_)) => {
                Self::new(Kind::Unavailable).caused_by(error)
            }
        }
    }
}

/// The kind of a problem that concerns our own caller: not one about our credentials.
fn passed_on(problem: &Problem) -> Option<Kind> {
    kind_of(problem).filter(|kind| kind.status() != 401 && *kind != Kind::Internal)
}

fn kind_of(problem: &Problem) -> Option<Kind> {
    let slug = problem.kind.strip_prefix(contract::problem::TYPE_PREFIX)?;
    Kind::ALL.iter().copied().find(|kind| kind.slug() == slug)
}

fn from_problem(kind: Kind, problem: Problem) -> Refusal {
    let refusal = Refusal::new(kind);
    match problem.detail {
        _ if !problem.errors.is_empty() => refusal.errors(problem.errors),
        Some(detail) => refusal.detail(detail),
        None => refusal,
    }
}
