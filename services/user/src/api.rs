//! The route table, which is also the table of what is described. The gateway's `/api/auth/x` arrives here
//! as `/api/x`.

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use chassis::StartError;
use chassis::caller::Needs;
use chassis::identity::Identity;
use chassis::openapi::{self, needing};
use contract::scope::Scope;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::address::Proxies;
use crate::audit::Recorder;
use crate::config::Section;
use crate::grpc::Auth;
use crate::users::Users;

mod audit;
mod confirm;
mod document;
mod external;
mod feed;
mod form;
mod internal;
mod jwks;
mod keys;
mod page;
mod phone;
mod profile;
mod session;
mod sign_in;
mod tag;
mod user;
mod wire;

/// What machine keys may do here: nothing else. Credentials, sessions and keys are for people.
const DIRECTORY: Needs = Needs::read(Scope::UsersRead);
const AUDIT: Needs = Needs::read(Scope::Admin);

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    users: Arc<Users>,
    identity: Identity,
    pub(crate) proxies: Arc<Proxies>,
    /// As the public sees the call that trades refresh tokens.
    cookie_path: Arc<str>,
    recorder: Recorder,
}

impl Api {
    pub(crate) fn new(
        users: Arc<Users>,
        identity: Identity,
        section: &Section,
        recorder: Recorder,
    ) -> Self {
        let proxies = Arc::new(section.trusted_proxies.clone());
        let cookie_path = section.cookie_path.as_str().into();
        Self { users, identity, proxies, cookie_path, recorder }
    }

    /// The same over gRPC.
    pub(crate) fn grpc(&self) -> Auth {
        Auth {
            users: self.users.clone(),
            identity: self.identity.clone(),
            proxies: self.proxies.clone(),
            recorder: self.recorder.clone(),
        }
    }

    /// Everything that is served here but what every spoke serves.
    pub(crate) fn routes(self) -> Result<Router, StartError> {
        let (calls, document) = calls().split_for_parts();
        let all = calls.nest("/internal", internal());
        let all = all.route_layer(from_fn_with_state(self.clone(), audit::record_refusals));
        Ok(all.with_state(self).merge(openapi::routes(&document)?))
    }
}

/// What the public document says: of the same table that is served.
pub(crate) fn document() -> OpenApi {
    calls().into_openapi()
}

/// The calls of people, each described beside its handler.
fn calls() -> OpenApiRouter<Api> {
    let mut router = OpenApiRouter::with_openapi(document::base())
        .routes(routes!(sign_in::register))
        .routes(routes!(sign_in::set_up))
        .routes(routes!(sign_in::log_in))
        .routes(routes!(sign_in::refresh))
        .routes(routes!(external::exchange_token))
        .routes(routes!(session::log_out))
        .routes(routes!(confirm::show_page, confirm::verify_email))
        .routes(routes!(confirm::resend_verification))
        .routes(routes!(confirm::forgot_password))
        .routes(routes!(confirm::reset_password))
        .routes(routes!(phone::ask_code))
        .routes(routes!(phone::check_code))
        .routes(routes!(session::list_sessions))
        .routes(routes!(session::end_session))
        .routes(routes!(session::change_password))
        .routes(routes!(profile::get_profile, profile::update_profile))
        .routes(needing(DIRECTORY, routes!(user::list_users)))
        .routes(routes!(profile::delete_account))
        .routes(needing(AUDIT, routes!(audit::list_audit)))
        .routes(needing(DIRECTORY, routes!(user::get_user)))
        .routes(routes!(user::change_roles))
        .routes(routes!(keys::list_keys, keys::make_key))
        .routes(routes!(keys::delete_key))
        .routes(routes!(keys::make_ticket))
        .routes(routes!(jwks::get_jwks));
    document::finish(router.get_openapi_mut());
    router
}

/// The calls of other services, which are nobody else's to know.
fn internal() -> Router<Api> {
    Router::new()
        .route("/revocations", get(feed::read_feed))
        .route("/keys/exchange", post(internal::exchange_key))
        .route("/tickets/redeem", post(internal::redeem_ticket))
        .route("/users", get(internal::find_users))
        .route("/accounts", post(internal::make_account))
        .route("/deleted", get(internal::list_deleted))
}

impl FromRef<Api> for Arc<Users> {
    fn from_ref(api: &Api) -> Self {
        api.users.clone()
    }
}

impl FromRef<Api> for Identity {
    fn from_ref(api: &Api) -> Self {
        api.identity.clone()
    }
}
