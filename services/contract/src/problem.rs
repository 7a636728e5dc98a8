//! The closed catalogue of everything that can be refused (RFC 9457), the same list for answers,
//! socket errors, logs and metrics. `PROBLEMS.md` beside this crate says what to do about each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of a problem (RFC 9457 section 3).
pub const CONTENT_TYPE: &str = "application/problem+json";
/// What a kind's slug is appended to for `type`. A name, not an address: it never depends on where
/// Hubbub is installed.
pub const TYPE_PREFIX: &str = "urn:hubbub:problem:";

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident $status:literal $slug:literal $title:literal;)+) => {
        /// What is wrong, as the public may hear it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $slug)] $name,)+
        }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable word: end of `type`, `code` of a socket error, label in log and metric.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// The same short sentence every time.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }
        }
    };
}

catalogue! {
    /// The request breaks HTTP's rules, or its path cannot be made canonical.
    BadRequest 400 "bad-request" "The request is malformed";
    /// The body is no JSON, or is nested too deeply.
    BadJson 400 "bad-json" "The body is not valid JSON";
    /// A field is missing, of the wrong type, or breaks a rule.
    Invalid 400 "invalid" "The request breaks a rule";
    /// A socket frame is no JSON object or names no operation.
    BadFrame 400 "bad-frame" "The frame is malformed";
    /// A socket frame names an operation that does not exist.
    UnknownOp 400 "unknown-op" "The operation does not exist";
    /// No credentials, or none that can be used.
    Unauthenticated 401 "unauthenticated" "Authentication is required";
    /// The token is no token of ours, was changed, or is for somebody else.
    BadToken 401 "bad-token" "The token is not valid";
    /// The token was good once.
    ExpiredToken 401 "expired-token" "The token has expired";
    /// The session that the token belongs to was ended.
    RevokedToken 401 "revoked-token" "The session has ended";
    /// The account is unknown or the password is wrong: which of them is never said.
    WrongCredentials 401 "wrong-credentials" "The credentials are wrong";
    /// The caller is known and may not do this.
    Forbidden 403 "forbidden" "This is not allowed";
    /// The room can be seen, but writing to it takes membership.
    NotAMember 403 "not-a-member" "You are not a member of this room";
    /// Unknown, or hidden from the caller.
    NotFound 404 "not-found" "There is no such thing";
    /// The path exists, under other methods.
    MethodNotAllowed 405 "method-not-allowed" "The method is not allowed here";
    /// The caller was too slow.
    RequestTimeout 408 "request-timeout" "The request took too long to arrive";
    /// The name, address or id belongs to another.
    Taken 409 "taken" "This is already taken";
    /// The same client id came with another body.
    ClientIdConflict 409 "client-id-conflict" "The client id was used for something else";
    /// It was there once and cannot be used again.
    Gone 410 "gone" "This is no longer available";
    /// More bytes than the route takes.
    BodyTooLarge 413 "body-too-large" "The body is too large";
    /// A longer target than the gateway takes.
    UriTooLong 414 "uri-too-long" "The URI is too long";
    /// A call with a body has to say that it is JSON.
    UnsupportedMediaType 415 "unsupported-media-type" "The content type is not supported";
    /// An expectation other than `100-continue`.
    ExpectationFailed 417 "expectation-failed" "The expectation cannot be met";
    /// A WebSocket endpoint was called without an upgrade.
    UpgradeRequired 426 "upgrade-required" "An upgrade to WebSocket is required";
    /// More calls than are allowed.
    RateLimited 429 "rate-limited" "There were too many requests";
    /// More or longer fields than are taken.
    HeadTooLarge 431 "head-too-large" "The request head is too large";
    /// A fault of ours.
    Internal 500 "internal" "Something went wrong here";
    /// A transfer coding that nobody here knows.
    NotImplemented 501 "not-implemented" "This is not implemented";
    /// The upstream could not be reached.
    UpstreamUnreachable 502 "upstream-unreachable" "The service behind the gateway is down";
    /// The upstream's answer cannot be used.
    UpstreamFailed 502 "upstream-failed" "The service behind the gateway failed";
    /// Something that is needed is down; trying again is right.
    Unavailable 503 "unavailable" "The service is unavailable for the moment";
    /// A bound was reached.
    Overloaded 503 "overloaded" "The service is overloaded";
    /// The upstream did not answer in time.
    UpstreamTimeout 504 "upstream-timeout" "The service behind the gateway is too slow";
    /// The request came back to a gateway that had passed it on.
    Loop 508 "loop" "The request runs in a circle";
}

impl Kind {
    /// Whether the same request may succeed later, unchanged.
    #[must_use]
    pub const fn worth_retrying(self) -> bool {
        matches!(self.status(), 408 | 429 | 502 | 503 | 504)
    }
}

/// One field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldFault {
    /// The field as the caller spelled it, dots between levels.
    #[schema(example = "username")]
    pub field: String,
    /// What it has to be.
    #[schema(example = "must be 3 to 32 characters")]
    pub message: String,
}

impl FieldFault {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The body of an answer that says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:hubbub:problem:` and the slug of the kind.
    #[schema(pattern = "^urn:hubbub:problem:[a-z-]+$", example = "urn:hubbub:problem:invalid")]
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind's title.
    #[schema(example = "The request breaks a rule")]
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 400)]
    pub status: u16,
    /// What the caller can do about this very occurrence; absent when there is nothing to add.
    #[schema(nullable = false)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path that was asked for, as the part that answers was asked.
    #[schema(nullable = false)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The request's id, as in `X-Request-Id`.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub request_id: String,
    /// One readable line, for clients that look only here.
    pub error: String,
    /// The fields that break a rule.
    #[schema(required = false)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldFault>,
}

impl Problem {
    /// The problem of `kind`, met by the request `request_id`.
    #[must_use]
    pub fn new(kind: Kind, request_id: &str) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: None,
            instance: None,
            request_id: request_id.to_owned(),
            error: kind.title().to_owned(),
            errors: Vec::new(),
        }
    }

    /// Says more about this occurrence; it becomes the readable line too.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        self.error.clone_from(&detail);
        self.detail = Some(detail);
        self
    }

    /// Names the path that was asked for.
    #[must_use]
    pub fn instance(mut self, path: impl Into<String>) -> Self {
        self.instance = Some(path.into());
        self
    }

    /// Lists the fields that break a rule.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldFault>) -> Self {
        self.errors = errors;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_documented_and_none_is_listed_twice() {
        let page = include_str!("../PROBLEMS.md");
        for kind in Kind::ALL {
            let row = format!("| `{}` | {} |", kind.slug(), kind.status());
            assert_eq!(page.matches(&row).count(), 1, "PROBLEMS.md lacks the row {row}");
        }
        assert_eq!(page.matches("\n| `").count(), Kind::ALL.len());
    }

    #[test]
    fn a_problem_has_the_members_that_clients_rely_on() {
        let problem = Problem::new(Kind::NotFound, "abc").detail("There is no room x.");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:hubbub:problem:not-found");
        assert_eq!(json["status"], 404);
        assert_eq!(json["requestId"], "abc");
        assert_eq!(json["error"], "There is no room x.");
        assert!(json.get("errors").is_none());
    }
}
