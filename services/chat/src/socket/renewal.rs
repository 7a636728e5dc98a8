//! Fresh tokens for a socket that is open: those that its client sends, and those that a machine key is
//! exchanged for before the last one ends, without its client doing anything.

use std::time::Duration;

use chassis::refuse::Refusal;
use contract::live::{self, CloseCode, Done, ServerFrame};
use contract::scope::Scope;
use contract::{Kind, Timestamp};
use tokio::time::sleep;

use super::holder::{Holder, Presented, revoked};
use super::line::Ending;
use super::ops::{RequestId, fields};
use super::session::{Session, Token, millis};
use crate::error::fault;

/// Shortest time between two exchanges of a key.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest time between two tries while the user service is away.
const PAUSE_MAX: Duration = Duration::from_secs(8);

impl Session {
    /// Takes a fresh token of the same user. It stands in for a machine key, too.
    pub(super) async fn renew(&self, id: RequestId, text: &str) -> Result<(), Refusal> {
        let auth: live::Auth = fields(text)?;
        let holder = self.node.identify(Presented::token(auth.token)).await?;
        let exp = self.adopt(holder)?;
        self.acknowledge(id, Done::Auth { exp });
        if self.is_revoked() {
            self.line.say(&fault(None, &revoked()));
            self.line.end(Ending::Close(CloseCode::Revoked));
        }
        Ok(())
    }

    /// Exchanges the key again and again, as long as it lives. Ends with it. Safe to drop.
    pub(super) async fn keep_key(&self) -> Ending {
        let mut failures = 0;
        while let Some(key) = self.key() {
            sleep(self.time_to_exchange(failures)).await;
            let fresh = Box::pin(self.node.identify(Presented::Key(key))).await;
            if self.key().is_none() {
                break;
            }
            match fresh.and_then(|holder| self.adopt(holder)) {
                Ok(_) if self.is_revoked() => return self.end_revoked(),
                Ok(_) => failures = 0,
                Err(refusal) if refusal.kind().status() < 500 => return self.end_revoked(),
                Err(refusal) => {
                    refusal.log("", "/ws");
                    failures += 1;
                }
            }
        }
        // There is none, or a token stands in for it.
        std::future::pending().await
    }

    /// Some time in the second half of the token's life, so that sockets that came together do not ask
    /// together; after a failure soon, and then less and less often.
    fn time_to_exchange(&self, failures: u32) -> Duration {
        let chance = |span: Duration| Duration::from_millis(self.node.random.below(millis(span)));
        if failures > 0 {
            let pause = PAUSE_MIN.saturating_mul(1 << failures.min(8)).min(PAUSE_MAX);
            return pause / 2 + chance(pause / 2);
        }
        let rest = self.token().warrant.expires_at.since(self.node.clock.now());
        (rest / 2 + chance(rest / 4)).max(PAUSE_MIN)
    }

    /// From now on the socket is judged by what `holder` shows.
    fn adopt(&self, holder: Holder) -> Result<Timestamp, Refusal> {
        if holder.person.id != self.person.id {
            let detail = "This socket belongs to another user: open a new one.";
            return Err(Refusal::new(Kind::Forbidden).detail(detail));
        }
        let Holder { warrant, key, .. } = holder;
        let (exp, standing) = (warrant.expires_at, warrant.standing);
        *self.token() = Token::new(warrant, key);
        self.leave_what_is_closed();
        self.enrolled.renew(standing);
        self.renewed.notify_one();
        Ok(exp)
    }

    /// A token that is for less than the one before takes the rooms along with it.
    fn leave_what_is_closed(&self) {
        if self.require(Scope::MessagesRead).is_ok() {
            return;
        }
        let seats = std::mem::take(&mut *self.seats());
        for (ch, seat) in seats.into_iter().filter(|(_, seat)| !seat.is_gone()) {
            self.node.hub.leave(&seat);
            self.line.say(&ServerFrame::Unsubscribed { ch, code: Kind::Forbidden });
        }
    }

    fn end_revoked(&self) -> Ending {
        self.line.say(&fault(None, &revoked()));
        Ending::Close(CloseCode::Revoked)
    }
}
