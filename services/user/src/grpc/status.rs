//! Refusals in gRPC's words. The kind stands in the metadata, so that clients need not read texts; what
//! tonic says by itself of a message that it cannot read is put into words of ours.

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use chassis::refuse::Refusal;
use contract::Kind;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The metadata that names the kind of a refusal, as `type` of a problem does over HTTP.
const KIND: &str = "problem";

/// What the caller gets to read.
pub(super) fn to_status(refusal: &Refusal) -> Status {
    let problem = refusal.problem("");
    let mut status = Status::new(code(refusal.kind()), problem.error);
    let slug = MetadataValue::from_static(refusal.kind().slug());
    status.metadata_mut().insert(KIND, slug);
    if let Some(wait) = refusal.wait() {
        status.metadata_mut().insert("retry-after", wait.as_secs().max(1).into());
    }
    status
}

/// For a path that leads nowhere.
pub(super) fn no_such_call() -> Response {
    Status::unimplemented("There is no such call.").into_http()
}

/// For a call that took too long.
pub(super) fn too_slow() -> Response {
    Status::deadline_exceeded("The call took too long.").into_http()
}

/// Puts what tonic says of a message that it did not take, into words of ours. A refusal of ours names
/// its kind.
pub(super) fn reword(headers: &mut HeaderMap) {
    if headers.contains_key(KIND) {
        return;
    }
    let Some(said) = headers.get(Status::GRPC_STATUS) else { return };
    let status = match Code::from_bytes(said.as_bytes()) {
        Code::OutOfRange => Status::resource_exhausted("The message is too large."),
        Code::Internal | Code::Unknown => Status::invalid_argument("The message cannot be read."),
        _ => return,
    };
    for (name, value) in [
        (Status::GRPC_STATUS, HeaderValue::from(i32::from(status.code()))),
        (Status::GRPC_MESSAGE, escaped(status.message())),
    ] {
        headers.insert(name, value);
    }
}

/// Our texts need no more of the percent-encoding that gRPC has for them.
fn escaped(text: &str) -> HeaderValue {
    HeaderValue::try_from(text.replace(' ', "%20")).unwrap_or(HeaderValue::from_static(""))
}

const fn code(kind: Kind) -> Code {
    match kind {
        Kind::BadRequest
        | Kind::BadJson
        | Kind::Invalid
        | Kind::BadFrame
        | Kind::UnknownOp
        | Kind::UnsupportedMediaType
        | Kind::ExpectationFailed
        | Kind::UpgradeRequired => Code::InvalidArgument,
        Kind::Unauthenticated
        | Kind::BadToken
        | Kind::ExpiredToken
        | Kind::RevokedToken
        | Kind::WrongCredentials => Code::Unauthenticated,
        Kind::Forbidden | Kind::NotAMember => Code::PermissionDenied,
        Kind::NotFound | Kind::Gone => Code::NotFound,
        Kind::MethodNotAllowed | Kind::NotImplemented => Code::Unimplemented,
        Kind::RequestTimeout | Kind::UpstreamTimeout => Code::DeadlineExceeded,
        Kind::Taken | Kind::ClientIdConflict => Code::AlreadyExists,
        Kind::BodyTooLarge
        | Kind::UriTooLong
        | Kind::HeadTooLarge
        | Kind::RateLimited
        | Kind::Overloaded => Code::ResourceExhausted,
        Kind::Internal | Kind::Loop => Code::Internal,
        Kind::UpstreamUnreachable | Kind::UpstreamFailed | Kind::Unavailable => Code::Unavailable,
    }
}
