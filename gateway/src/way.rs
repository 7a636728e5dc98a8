//! Which way a request takes, decided here alone.

use crate::config::Protocol;
use crate::head::{Head, Seen, Version};
use crate::route::{Goal, Route};

/// The two ways through the same corridor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Our own relay, for plain HTTP/1.1.
    Lean,
    /// Through hyper, for what is rare.
    General,
}

/// Fields that make a request more than plain: it may become a tunnel, waits to be asked for its
/// body, or has to do with trailers.
const RARE: Seen = Seen::UPGRADE.and(Seen::EXPECT).and(Seen::TE).and(Seen::TRAILER);

impl Way {
    /// The way of the request with `head`.
    pub(crate) fn of(head: &Head<'_>) -> Self {
        let is_plain = head.version == Version::Http11 && !head.seen.has_any(RARE);
        if is_plain { Self::Lean } else { Self::General }
    }

    /// The way that leads where `route` does: to an upstream of HTTP/2, the general one alone.
    pub(crate) const fn to(route: &Route) -> Self {
        match &route.goal {
            Goal::Upstream(forward) => match forward.protocol {
                Protocol::Http1 => Self::Lean,
                Protocol::H2c => Self::General,
            },
            Goal::Own(_) => Self::Lean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::tests::both_ways;

    #[test]
    fn only_plain_requests_go_the_lean_way() {
        for (head, way) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", Way::Lean),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", Way::Lean),
            ("GET / HTTP/1.0\r\nHost: a\r\n", Way::General),
            ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n", Way::General),
            ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n", Way::General),
            ("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n", Way::General),
            ("POST / HTTP/1.1\r\nHost: a\r\nTrailer: x\r\n", Way::General),
        ] {
            assert_eq!(both_ways(&format!("{head}\r\n"), Way::of), way, "{head:?}");
        }
    }
}
