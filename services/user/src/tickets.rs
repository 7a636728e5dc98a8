//! Tickets for sockets: a browser cannot send a token with a WebSocket, and an address is no place for
//! one. A ticket is good once, for half a minute, and for no more than the token that it was got with.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::identity::UserCaller;
use contract::Timestamp;
use contract::internal::accounts::Redeemed;
use contract::key::Ticket;

use crate::denied::Denied;
use crate::error::Error;
use crate::keys::{Digest, digest};
use crate::store::tickets::Added;
use crate::users::Users;

/// Life of a ticket.
const LIFE: Duration = Duration::from_secs(30);

/// A ticket about to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) hash: Digest,
    /// Whom it is for.
    pub(crate) of: Redeemed,
    pub(crate) expires_at: Timestamp,
}

impl Users {
    /// Gives the caller a ticket.
    pub(crate) async fn make_ticket(&self, caller: UserCaller) -> Result<Ticket, Error> {
        let ticket = URL_SAFE_NO_PAD.encode(self.random.bytes::<32>());
        let drawn = Drawn {
            hash: digest(&ticket),
            of: Redeemed {
                user_id: caller.person.id,
                username: caller.person.name.to_string(),
                session_id: caller.session,
                roles: caller.roles.to_vec(),
                // Machine keys get none: they need no ticket.
                scope: None,
                issued_at: caller.issued_at,
                expires_at: caller.expires_at,
            },
            expires_at: self.clock.now().plus(LIFE),
        };
        match self.store.add_ticket(&drawn, self.tickets_max).await? {
            Added::Stored => Ok(Ticket { ticket, expires_in: LIFE.as_secs() }),
            Added::SessionOver => Err(Denied::SessionOver.into()),
        }
    }

    /// Uses a ticket up; says whom it is for.
    pub(crate) async fn redeem_ticket(&self, ticket: &str) -> Result<Redeemed, Error> {
        let redeemed = self.store.redeem_ticket(&digest(ticket), self.clock.now()).await?;
        Ok(redeemed.ok_or(Denied::DeadTicket)?)
    }
}
