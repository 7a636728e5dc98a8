//! Extractors that refuse in the words of the problem catalogue.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use contract::Kind;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refuse::Refusal;

/// Largest body of a call, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of a body.
pub const DEPTH_MAX: usize = 64;

/// A JSON body: in, read strictly; out, written.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// The parameters of a path. One of the wrong form is an unknown thing: 404.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

/// The parameters of a query.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let body = read(request).await?;
        parse(&body).map(Self)
    }
}

/// A body that may be left out, with its content type.
impl<S: Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Refusal> {
        let is_absent =
            request.body().is_end_stream() && !request.headers().contains_key(CONTENT_TYPE);
        if is_absent {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|_: PathRejection| Refusal::new(Kind::NotFound))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|error: QueryRejection| {
            Refusal::new(Kind::Invalid)
                .detail("A parameter of the query is missing or of the wrong form.")
                .caused_by(error)
        })
    }
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    let too_large = || {
        let detail = format!("The body may have {BODY_BYTES_MAX} bytes.");
        Refusal::new(Kind::BodyTooLarge).detail(detail)
    };
    if announced(request.headers()).is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    if !is_json(request.headers()) {
        return Err(Refusal::new(Kind::UnsupportedMediaType)
            .detail("Send the body as Content-Type: application/json."));
    }
    if is_coded(request.headers()) {
        return Err(Refusal::new(Kind::UnsupportedMediaType)
            .detail("Send the body without a Content-Encoding."));
    }
    match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => {
            Err(Refusal::new(Kind::BadRequest).detail("The body broke off.").caused_by(error))
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    // Types and their names are the same in any case (RFC 9110 section 8.3.1).
    let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").unwrap_or("");
    subtype == "json" || subtype.ends_with("+json")
}

/// A coding that we do not undo would be taken for the body itself.
fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Reads JSON that is nested at most [`DEPTH_MAX`] deep; tells broken JSON from a broken rule, and
/// names the field.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if is_deeper_than(body, DEPTH_MAX) {
        let detail = format!("The body is nested more than {DEPTH_MAX} levels deep.");
        return Err(Refusal::new(Kind::BadJson).detail(detail));
    }
    let mut input = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let field = error.path().to_string();
        refuse(&field, error.inner())
    })?;
    input.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

fn refuse(path: &str, error: &serde_json::Error) -> Refusal {
    // The place in the text says nothing to somebody who thinks in fields.
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    let message = without_value(message).to_owned();
    if !error.is_data() {
        return Refusal::new(Kind::BadJson)
            .detail(format!("The body is not valid JSON: {message}."));
    }
    match message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(field) if path == "." => Refusal::invalid(field, "is required"),
        Some(field) => Refusal::invalid(&format!("{path}.{field}"), "is required"),
        None if path == "." => Refusal::new(Kind::Invalid).detail(message),
        None => Refusal::invalid(path, message),
    }
}

/// What was expected, without what came: that may have been a secret.
fn without_value(message: &str) -> &str {
    let has_value = message.starts_with("invalid ") || message.starts_with("unknown variant");
    let expected = message.rfind("expected ").and_then(|at| message.get(at..));
    expected.filter(|_| has_value).unwrap_or(message)
}

/// Whether brackets outside of strings nest deeper than `max`. Looks at bytes, allocates nothing.
fn is_deeper_than(json: &[u8], max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > max {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Body {
        name: String,
        #[expect(dead_code, reason = "only its type matters")]
        size: Option<u32>,
    }

    fn refused(body: &str) -> (Kind, String) {
        let refusal = parse::<Body>(body.as_bytes()).unwrap_err();
        (refusal.kind(), refusal.problem("r").error)
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert_eq!(parse::<Body>(br#"{"name":"x","more":1}"#).unwrap().name, "x");
    }

    #[test]
    fn broken_json_and_broken_rules_are_told_apart() {
        assert_eq!(refused(r#"{"name":"#).0, Kind::BadJson);
        assert_eq!(refused(r#"{"name":"x"} y"#).0, Kind::BadJson);
        assert_eq!(refused("").0, Kind::BadJson);
        assert_eq!(refused("{}"), (Kind::Invalid, "name: is required".to_owned()));
        let (kind, error) = refused(r#"{"name":7}"#);
        assert_eq!(kind, Kind::Invalid);
        assert!(error.starts_with("name: expected a string"), "{error}");
        assert_eq!(refused("[]").0, Kind::Invalid);
    }

    #[test]
    fn a_json_body_says_that_it_is_json_in_any_case_and_comes_as_it_is() {
        let with = |name, value: &'static str| {
            HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
            assert!(is_json(&with(CONTENT_TYPE, good)), "{good}");
        }
        for bad in ["text/plain", "json", "application/jsonp", ""] {
            assert!(!is_json(&with(CONTENT_TYPE, bad)), "{bad}");
        }
        assert!(is_coded(&with(header::CONTENT_ENCODING, "gzip")));
        assert!(!is_coded(&with(header::CONTENT_ENCODING, "identity")));
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(!is_deeper_than(br#"{"a":"[[[[[[\"[["}"#, 2));
        assert!(!is_deeper_than(b"[[]]", 2));
        assert!(is_deeper_than(b"[[[", 2));
        assert_eq!(refused(&"[".repeat(100_000)).0, Kind::BadJson);
    }
}
