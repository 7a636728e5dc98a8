//! Why an exchange does not come to its end, and what the caller and the log are told.

use std::io;

use super::job::Job;
use crate::pool::{self, Place};
use crate::refusal::Refusal;

/// Why an exchange does not come to its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The upstream broke off before the first byte of an answer.
    Dead(io::Error),
    /// There is no connection.
    Unreachable(pool::Error),
    /// The upstream broke the rules, or broke off in its answer's head.
    Bad(&'static str),
    /// The caller may not have what it asks for, or sends what it may not.
    Refused(Refusal),
    /// The upstream was too slow.
    Late,
    /// The caller is gone, or takes nothing any more.
    Gone,
    /// The answer broke off; its head is out already.
    BrokeOff(&'static str),
    /// The answer made no progress; its head is out already.
    Stalled,
}

impl Failure {
    /// Whether it is the upstream's fault.
    pub(super) const fn is_the_upstreams(&self) -> bool {
        match self {
            Self::Dead(_)
            | Self::Unreachable(_)
            | Self::Bad(_)
            | Self::Late
            | Self::BrokeOff(_)
            | Self::Stalled => true,
            Self::Refused(_) | Self::Gone => false,
        }
    }

    /// What the caller is told, and the log.
    pub(super) fn refusal(self, job: &mut Job<'_>, place: &Place) -> Option<Refusal> {
        use contract::Kind::{UpstreamFailed, UpstreamTimeout};
        let endpoint = place.name.clone();
        Some(match self {
            Self::Dead(error) => {
                Refusal::Upstream { endpoint, cause: chassis::refuse::chain(&error).into() }
            }
            Self::Unreachable(error) => {
                Refusal::Unreachable { endpoint, cause: chassis::refuse::chain(&error).into() }
            }
            Self::Bad(cause) => Refusal::Upstream { endpoint, cause: cause.into() },
            Self::Refused(refusal) => refusal,
            Self::Late => Refusal::Timeout { endpoint, after: job.forward.response_timeout },
            Self::Gone => return None,
            Self::BrokeOff(cause) => {
                job.visit.broke_off(UpstreamFailed, cause);
                return None;
            }
            Self::Stalled => {
                job.visit.broke_off(UpstreamTimeout, "the answer's body made no progress");
                return None;
            }
        })
    }
}
