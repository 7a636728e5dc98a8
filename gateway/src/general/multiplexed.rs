//! An exchange with an upstream of HTTP/2, on a stream of a connection that others use, too.

use std::error::Error as _;
use std::rc::Rc;

use http::header;
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;

use super::again::Home;
use super::body::Upload;
use super::forward::{Exchange, Failure, Found};
use crate::pool::{Age, Carrier, Lease};
use crate::refusal::Refusal;

/// Runs it; once more, on another stream, where the upstream provably did nothing, or where a connection
/// broke and twice is as good as once.
pub(super) async fn run(
    mut exchange: Exchange<'_>,
    request: Request<Upload>,
) -> Result<Found, Refusal> {
    let (parts, upload) = request.into_parts();
    let is_safe = exchange.job.method.is_idempotent() && upload.is_end_stream();
    let (response, lease) = match attempt(&mut exchange, parts.clone(), upload).await? {
        Attempt::Answer(answer) => *answer,
        Attempt::Failed { failure, again } => {
            let upload = match again {
                Again::Untouched(upload) => upload,
                Again::IfSafe if is_safe => Upload::empty(exchange.link.clone()),
                Again::IfSafe | Again::Never => return Err(exchange.refusal(failure)),
            };
            exchange.counts.replaced.add(1);
            match attempt(&mut exchange, parts, upload).await? {
                Attempt::Answer(answer) => *answer,
                Attempt::Failed { failure, .. } => return Err(exchange.refusal(failure)),
            }
        }
    };
    exchange.accept(response, Carrier::Stream(lease))
}

/// What came of sending a request.
enum Attempt {
    Answer(Box<(http::Response<Incoming>, Lease)>),
    Failed { failure: Failure, again: Again },
}

/// Whether a request that failed may be sent once more.
enum Again {
    /// The upstream did nothing with it; this is its body.
    Untouched(Upload),
    /// Its connection, which was there before, broke: nobody knows what became of it.
    IfSafe,
    /// The upstream has it, and may act on it yet.
    Never,
}

async fn attempt(
    exchange: &mut Exchange<'_>,
    parts: Parts,
    upload: Upload,
) -> Result<Attempt, Refusal> {
    let leased = exchange.pool.lease(&mut exchange.place).await;
    let (lease, age) = leased.map_err(|error| exchange.unreachable(&error))?;
    match age {
        Age::Kept => exchange.counts.reused.add(1),
        Age::New => exchange.counts.opened.add(1),
    }
    let home = Rc::new(Home::default());
    let request = addressed(exchange, parts, upload.homing(&home))?;
    exchange.link.deadline.set(exchange.job.wait());
    let sent = exchange.before_deadline(lease.sender().try_send_request(request)).await;
    let mut error = match sent {
        Some(Ok(response)) => return Ok(Attempt::Answer(Box::new((response, lease)))),
        None => return Ok(Attempt::Failed { failure: Failure::Late, again: Again::Never }),
        Some(Err(error)) => error,
    };
    let upload = match error.take_message() {
        Some(unsent) => Some(unsent.into_body()),
        None if is_untouched(&error) => exchange.before_deadline(home.wait()).await.flatten(),
        None => None,
    };
    let has_connection_broken = !is_reset(&error);
    if has_connection_broken {
        lease.retire();
    }
    let again = match upload {
        Some(upload) => Again::Untouched(upload),
        None if has_connection_broken && age == Age::Kept => Again::IfSafe,
        None => Again::Never,
    };
    Ok(Attempt::Failed { failure: Failure::Broken(Box::new(error)), again })
}

/// The request with the place that it is for, which HTTP/2 has beside the fields (RFC 9113 section
/// 8.3.1).
fn addressed(
    exchange: &Exchange<'_>,
    mut parts: Parts,
    upload: Upload,
) -> Result<Request<Upload>, Refusal> {
    let host = parts.headers.remove(header::HOST).unwrap_or_else(|| exchange.place.host.clone());
    let mut uri = parts.uri.into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Authority::try_from(host.as_bytes()).ok();
    parts.uri = Uri::from_parts(uri).map_err(|_| Refusal::Malformed("Host is no host."))?;
    parts.version = http::Version::HTTP_2;
    Ok(Request::from_parts(parts, upload))
}

fn of_h2(error: &TrySendError<Request<Upload>>) -> Option<&h2::Error> {
    error.error().source().and_then(|source| source.downcast_ref::<h2::Error>())
}

/// Whether only the stream broke, and not its connection.
fn is_reset(error: &TrySendError<Request<Upload>>) -> bool {
    of_h2(error).is_some_and(h2::Error::is_reset)
}

/// Whether the upstream says that it did nothing: it refused the stream, or its GOAWAY named an earlier
/// one as the last (RFC 9113 section 8.7), which h2 tells to no stream before that.
fn is_untouched(error: &TrySendError<Request<Upload>>) -> bool {
    of_h2(error).is_some_and(|error| {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (is_refused || error.is_go_away())
    })
}
