//! What a spoke says about its calls, for people and programs: the parts that every document has.
//!
//! A spoke puts its handlers into a `utoipa_axum` router, so that what is routed and what is described is
//! one table; this module adds what all of them share: the shape of problems, how callers say who they
//! are, where a call is reached from outside. It describes only what is served.

mod problems;
mod ui;

use axum::routing::MethodRouter;
use contract::Problem;
use http::Method;
use serde_json::Value;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Server};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::caller::Needs;

pub use problems::{Problems, Refuses, refuses};
pub use ui::routes;

/// The scheme of whoever sends an access token.
pub const BEARER: &str = "bearer";
/// The scheme of machines. The gateway alone takes their keys, and exchanges them for tokens.
pub const API_KEY: &str = "apiKey";
/// Of an operation: its path at the gateway. What has none is not reached through the gateway.
pub const PUBLIC_PATH: &str = "x-public-path";

/// A document without calls: what it is about, and what all calls share.
#[must_use]
pub fn document(title: &str, version: &str, description: &str) -> OpenApi {
    let info = InfoBuilder::new().title(title).version(version).description(Some(description));
    let mut components = Components::new();
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token, as signing in gives it."));
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    let key = ApiKeyValue::with_description(
        "X-Api-Key",
        "A machine key with the scope that is named. Only the gateway takes it.",
    );
    components.add_security_scheme(API_KEY, SecurityScheme::ApiKey(ApiKey::Header(key)));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new("/")]))
        .components(Some(components))
        .build()
}

/// Lets machine keys in to `routes` as far as `needs` says, and says so in their description.
pub fn needing<S>(needs: Needs, routes: UtoipaMethodRouter<S>) -> UtoipaMethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let (schemas, mut described, served): (_, _, MethodRouter<S>) = routes;
    for (method, operation) in described.paths.values_mut().flat_map(operations) {
        if let Some(scope) = needs.of(&method) {
            let security = operation.security.get_or_insert_default();
            security.push(SecurityRequirement::new(API_KEY, [scope.as_str()]));
        }
    }
    (schemas, described, served.layer(needs.layer()))
}

/// Notes at every call where `public` says that it is reached from outside.
pub fn publish(document: &mut OpenApi, public: impl Fn(&str) -> Option<String>) {
    for (path, item) in &mut document.paths.paths {
        let Some(public) = public(path) else { continue };
        for (_, operation) in operations(item) {
            let noted = Extensions::builder().add(PUBLIC_PATH, public.clone()).build();
            operation.extensions.get_or_insert_default().merge(noted);
        }
    }
}

/// The document as it is served: the same text every time.
pub fn text(document: &OpenApi) -> serde_json::Result<String> {
    // Extensions are in no order of their own; the keys of a value are sorted.
    let value: Value = serde_json::to_value(document)?;
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::OPTIONS, options),
        (Method::HEAD, head),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
