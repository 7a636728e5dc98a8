//! The handlers of `auth.AuthService`: who calls, what is asked, what is answered, and what of it the
//! audit has to know.

use std::net::SocketAddr;
use std::sync::Arc;

use auth_proto::auth_service_server::AuthService;
use auth_proto::{
    GenerateTokenRequest, GenerateTokenResponse, ValidateTokenRequest, ValidateTokenResponse,
};
use axum::http::HeaderValue;
use chassis::caller::caller_of;
use chassis::identity::{Caller, Identity, ServiceCaller};
use chassis::refuse::Refusal;
use contract::{Kind, UserId};
use tonic::{Request, Response, Status};

use super::status::to_status;
use crate::address::Proxies;
use crate::audit::{Action, Entry, Outcome, Recorder};
use crate::generate::{may_generate, told};
use crate::users::Users;
use crate::visitor::Visitor;

const GENERATE: &str = "/auth.AuthService/GenerateToken";
const VALIDATE: &str = "/auth.AuthService/ValidateToken";

/// What the listener knows of a call, beside its head.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    pub(super) request_id: HeaderValue,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Auth {
    pub(crate) users: Arc<Users>,
    pub(crate) identity: Identity,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) recorder: Recorder,
}

/// A refusal, and what the audit says of it.
struct Refused {
    refusal: Refusal,
    caller: Option<Caller>,
    about: Option<UserId>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, caller: None, about: None }
    }
}

#[tonic::async_trait]
impl AuthService for Auth {
    async fn generate_token(
        &self,
        request: Request<GenerateTokenRequest>,
    ) -> Result<Response<GenerateTokenResponse>, Status> {
        let token = self.generate(&request).await;
        let token = token.map_err(|refused| self.refuse(&request, Action::GenerateToken, refused));
        Ok(Response::new(GenerateTokenResponse { token: token? }))
    }

    async fn validate_token(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        let id = self.validate(&request).await;
        let id = id.map_err(|refused| self.refuse(&request, Action::ValidateToken, refused));
        Ok(Response::new(ValidateTokenResponse { user_id: id?.to_string() }))
    }
}

impl Auth {
    async fn generate(&self, request: &Request<GenerateTokenRequest>) -> Result<String, Refused> {
        let caller = caller_of(request.metadata().as_ref(), &self.identity).await?;
        let refused = |refusal, about| Refused { refusal, caller: Some(caller.clone()), about };
        let service = asker(&caller).map_err(|refusal| refused(refusal, None))?;
        let visitor = self.visitor(request)?;
        let made = self.users.generate_token(&request.get_ref().email, service, visitor).await;
        made.map_err(|error| {
            let about = error.about();
            refused(error.into(), about)
        })
    }

    async fn validate(&self, request: &Request<ValidateTokenRequest>) -> Result<UserId, Refused> {
        let caller = caller_of(request.metadata().as_ref(), &self.identity).await?;
        let refused = |refusal| Refused { refusal, caller: Some(caller.clone()), about: None };
        match self.identity.verify(&request.get_ref().token).await.map_err(refused)? {
            Caller::User(user) if user.scope.is_none() => Ok(user.person.id),
            // The answer has no room for what a machine's token allows.
            Caller::User(_) => {
                let detail = "A machine's token does not stand for its account.";
                Err(refused(Refusal::new(Kind::BadToken).detail(detail)))
            }
            Caller::Service(_) => {
                let detail = "The token is not one of ours: sign in again.";
                Err(refused(Refusal::new(Kind::BadToken).detail(detail)))
            }
        }
    }

    fn visitor<T>(&self, request: &Request<T>) -> Result<Visitor, Refusal> {
        let arrival = arrival(request).ok_or(Refusal::new(Kind::Internal))?;
        let address = self.proxies.client(arrival.peer.ip(), request.metadata().as_ref());
        Ok(Visitor { address, device: None })
    }

    /// Says no to the caller, to the log where there is a cause, and to the audit.
    fn refuse<T>(&self, request: &Request<T>, action: Action, refused: Refused) -> Status {
        let Refused { refusal, caller, about } = refused;
        let id = arrival(request).and_then(|arrival| arrival.request_id.to_str().ok());
        refusal.log(id.unwrap_or_default(), path(action));
        if is_recorded(&refusal) {
            let (actor, detail) = match &caller {
                Some(Caller::User(user)) => (Some(user.person.id), None),
                Some(Caller::Service(service)) => (None, Some(told(service))),
                None => (None, None),
            };
            self.recorder.refused(Entry {
                at: self.users.clock.now(),
                action,
                outcome: Outcome::Refused(refusal.kind()),
                actor,
                account: about.or(actor),
                address: self.visitor(request).ok().map(|visitor| visitor.address),
                detail,
            });
        }
        to_status(&refusal)
    }
}

/// The service that asks for a token, when it may.
fn asker(caller: &Caller) -> Result<&ServiceCaller, Refusal> {
    match caller {
        Caller::Service(service) => may_generate(service).map(|()| service),
        Caller::User(_) => Err(Refusal::new(Kind::Forbidden).detail("This is for services.")),
    }
}

fn arrival<T>(request: &Request<T>) -> Option<&Arrival> {
    request.extensions().get()
}

const fn path(action: Action) -> &'static str {
    match action {
        Action::GenerateToken => GENERATE,
        _ => VALIDATE,
    }
}

/// As over HTTP; and whoever may ask for tokens and asks for nobody's is worth knowing of.
fn is_recorded(refusal: &Refusal) -> bool {
    matches!(refusal.kind().status(), 401 | 403 | 404)
}
