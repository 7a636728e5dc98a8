//! What the doors and the head have made of a request: all that is left of it when it goes to its
//! upstream.

use crate::corridor::Order;
use crate::limits::Permit;
use crate::refusal::Refusal;
use crate::rewrite::Audience;
use crate::route::Forward;
use crate::visit::Visit;
use crate::wheel::Ticks;
use crate::wire::After;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Job<'p> {
    pub visit: Visit,
    pub audience: Audience,
    pub after: After,
    /// The head for the upstream, and what is here of the body.
    pub bytes: Vec<u8>,
    /// What the body may still have.
    allowed: u64,
    body_bytes_max: u64,
    pub forward: &'p Forward,
    _permit: Permit,
}

impl<'p> Job<'p> {
    pub(super) fn new(order: Order<'p, '_>, visit: Visit, bytes: Vec<u8>, after: After) -> Self {
        Self {
            visit,
            audience: Audience::of(order.caller.as_deref()),
            after,
            bytes,
            allowed: order.route.body_bytes_max,
            body_bytes_max: order.route.body_bytes_max,
            forward: order.forward,
            _permit: order.permit,
        }
    }

    /// Takes the next part of the body, which has so many bytes of data, if the route allows them.
    pub(super) fn take_in(&mut self, part: &[u8], data: u64) -> Result<(), Refusal> {
        let too_large = Refusal::BodyTooLarge { max: self.body_bytes_max };
        self.allowed = self.allowed.checked_sub(data).ok_or(too_large)?;
        self.visit.took_in(data);
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    pub(super) const fn has_a_body(&self) -> bool {
        self.allowed < self.body_bytes_max
    }

    /// From the request's last byte to the answer's head.
    pub(super) fn wait(&self) -> Ticks {
        Ticks::from(self.forward.response_timeout)
    }
}
