//! A refused caller gets to read the answer: what still arrives of its body is read and thrown
//! away, within bounds, instead of being met with a reset.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::Stop;

/// Most bytes of a refused body that are read.
pub const LINGER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest time that a refused body is read.
pub const LINGER_WINDOW: Duration = Duration::from_secs(2);

/// Reads and throws away what is left of `body`. Safe to drop.
pub async fn linger<B>(mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = 0_u64;
    let drain = async {
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > LINGER_BYTES_MAX {
                break;
            }
        }
    };
    timeout(LINGER_WINDOW, drain).await.ok();
}

/// A request's body that lingers when it is dropped before its end. A caller that waits for
/// `100 Continue` (RFC 9110 section 10.1.1) sends nothing before it is asked to, and is not asked.
#[derive(Debug)]
pub struct LingeringBody {
    inner: Option<Incoming>,
    waits: bool,
    stop: Stop,
}

impl LingeringBody {
    /// Wraps `inner`; `waits` says whether its sender expects `100 Continue`.
    #[must_use]
    pub const fn new(inner: Incoming, waits: bool, stop: Stop) -> Self {
        Self { inner: Some(inner), waits, stop }
    }
}

impl Body for LingeringBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits = false;
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for LingeringBody {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if !self.waits && !inner.is_end_stream() {
            self.stop.spawn(linger(inner));
        }
    }
}
