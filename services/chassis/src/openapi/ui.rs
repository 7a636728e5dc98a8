//! Serves a document at `/openapi.json` and Swagger UI on it at `/docs/`, open to everybody.
//!
//! Everything that the page loads is in the binary and comes from the same listener; its policy lets it
//! talk to nobody else. Addresses are relative, so that it works behind any prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use contract::Kind;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::text;
use crate::StartError;
use crate::refuse::Refusal;

const DOCUMENT: &str = "openapi.json";
const PAGE: &str = "index.html";
/// What the page loads of Swagger UI, which has more.
const LOADED: [&str; 6] = [
    "favicon-32x32.png",
    "index.css",
    "swagger-initializer.js",
    "swagger-ui-bundle.js",
    "swagger-ui-standalone-preset.js",
    "swagger-ui.css",
];
/// Swagger UI sets styles of single elements, and has pictures in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Something that never changes while the process runs.
#[derive(Debug)]
struct File {
    kind: HeaderValue,
    coding: Coding,
    etag: HeaderValue,
    bytes: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    /// Whatever the client says that it takes: every browser takes it.
    Gzip,
}

type Files = Arc<BTreeMap<&'static str, File>>;

/// The routes of `document` and of the page on it.
pub fn routes(document: &OpenApi) -> Result<Router, StartError> {
    let files: Files = Arc::new(files(document).map_err(StartError::Other)?);
    let router = Router::new()
        .route("/openapi.json", get(async |files, head: HeaderMap| file(&files, &head, DOCUMENT)))
        .route("/docs", get(async || Redirect::permanent("docs/")))
        .route("/docs/", get(async |files, head: HeaderMap| file(&files, &head, PAGE)))
        .route("/docs/{name}", get(loaded));
    Ok(router.with_state(files))
}

fn files(
    document: &OpenApi,
) -> Result<BTreeMap<&'static str, File>, Box<dyn std::error::Error + Send + Sync>> {
    let document = text(document)?.into();
    let mut files = BTreeMap::from([
        (DOCUMENT, File::new("application/json", Coding::Plain, document)?),
        (
            PAGE,
            File::new("text/html; charset=utf-8", Coding::Plain, include_str!("page.html").into())?,
        ),
    ]);
    // No badge: it would be asked for elsewhere.
    let config = Arc::new(Config::from("../openapi.json").validator_url("none"));
    for name in LOADED {
        let found =
            utoipa_swagger_ui::serve(name, config.clone()).map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("Swagger UI has no {name}"))?;
        let coding = if found.gzpipped { Coding::Gzip } else { Coding::Plain };
        let bytes = found.bytes.into_owned().into();
        files.insert(name, File::new(&found.content_type, coding, bytes)?);
    }
    Ok(files)
}

async fn loaded(files: State<Files>, Path(name): Path<String>, head: HeaderMap) -> Response {
    match LOADED.into_iter().find(|loaded| *loaded == name) {
        Some(name) => file(&files, &head, name),
        None => Refusal::new(Kind::NotFound).into_response(),
    }
}

fn file(State(files): &State<Files>, head: &HeaderMap, name: &'static str) -> Response {
    match files.get(name) {
        Some(file) => file.answer(head),
        None => Refusal::new(Kind::NotFound).into_response(),
    }
}

impl File {
    fn new(
        kind: &str,
        coding: Coding,
        bytes: Bytes,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes));
        let etag = HeaderValue::try_from(format!("\"{digest}\""))?;
        Ok(Self { kind: HeaderValue::try_from(kind)?, coding, etag, bytes })
    }

    /// RFC 9110 section 13.1.2.
    fn answer(&self, head: &HeaderMap) -> Response {
        let fields = [
            (ETAG, self.etag.clone()),
            // Asked for again each time, and mostly not sent.
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        if self.is_known(head) {
            return (StatusCode::NOT_MODIFIED, fields).into_response();
        }
        let mut response = (fields, self.bytes.clone()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, self.kind.clone());
        if self.coding == Coding::Gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn is_known(&self, head: &HeaderMap) -> bool {
        let fields = head.get_all(IF_NONE_MATCH).iter();
        let mut tags = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes()
        })
    }
}
