//! Keeps a socket's time: pings, silence, and the end of its token.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::refuse::Refusal;
use contract::live::{CloseCode, ServerFrame};
use contract::{Channel, Kind, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::line::Ending;
use super::session::{Session, Token, millis};
use crate::config::Ws;
use crate::error::fault;

/// What a token's age asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Nothing before this moment.
    Nothing { until: Timestamp },
    /// Telling the client.
    Warning,
    /// The end.
    End,
}

/// What to do about a token at `now`.
fn due(token: &Token, ws: &Ws, now: Timestamp) -> Due {
    let warning = i64::try_from(ws.token_warning.as_millis()).unwrap_or(i64::MAX);
    let warn_at = Timestamp(token.warrant.expires_at.0.saturating_sub(warning));
    let end_at = token.warrant.expires_at.plus(ws.token_grace);
    if now >= end_at {
        Due::End
    } else if token.is_warned {
        Due::Nothing { until: end_at }
    } else if now >= warn_at {
        Due::Warning
    } else {
        Due::Nothing { until: warn_at }
    }
}

impl Session {
    /// Runs until time is up for this socket. Safe to drop.
    pub(super) async fn keep_time(&self) -> Ending {
        let ws = &self.node.config.ws;
        // Sockets that came together are not pinged together.
        let jitter = self.node.random.below(millis(ws.ping_interval));
        let mut ping_at = Instant::now() + Duration::from_millis(jitter);
        loop {
            let dead_at = self.line.heard_at() + ws.silence_max();
            let token_at = match self.check_token() {
                Ok(at) => at,
                Err(ending) => return ending,
            };
            let now = Instant::now();
            if now >= dead_at {
                return Ending::Close(CloseCode::Silent);
            }
            if now >= ping_at {
                self.line.say(&ServerFrame::Ping { heads: self.quiet_heads() });
                ping_at = now + ws.ping_interval;
            }
            tokio::select! {
                () = sleep_until(ping_at.min(dead_at).min(token_at)) => {}
                () = self.renewed.notified() => {}
            }
        }
    }

    /// Does what the token's age asks for; the moment to look again.
    fn check_token(&self) -> Result<Instant, Ending> {
        let ws = &self.node.config.ws;
        let now = self.node.clock.now();
        let mut token = self.token();
        if due(&token, ws, now) == Due::Warning {
            token.is_warned = true;
            let in_ms = millis(token.warrant.expires_at.since(now));
            self.line.say(&ServerFrame::TokenExpiring { in_ms });
        }
        match due(&token, ws, now) {
            Due::Nothing { until } => Ok(Instant::now() + until.since(now)),
            Due::Warning => Ok(Instant::now()),
            Due::End if token.key.is_some() => {
                let detail = "The machine key could not be exchanged for a fresh token.";
                self.line.say(&fault(None, &Refusal::new(Kind::Unavailable).detail(detail)));
                Err(Ending::Close(CloseCode::Internal))
            }
            Due::End => {
                let detail = "The token has expired, and no fresh one came.";
                self.line.say(&fault(None, &Refusal::new(Kind::ExpiredToken).detail(detail)));
                Err(Ending::Close(CloseCode::Unauthenticated))
            }
        }
    }

    /// The heads of the channels in which nothing was pushed since the last ping.
    fn quiet_heads(&self) -> BTreeMap<Channel, u64> {
        let seats = self.seats();
        let quiet = seats.iter().filter(|(_, seat)| seat.was_quiet());
        let heads = quiet.filter_map(|(ch, _)| Some((ch.clone(), self.node.hub.last(ch)?)));
        heads.collect()
    }
}

#[cfg(test)]
mod tests {
    use chassis::config::Layers;

    use super::*;
    use crate::socket::holder::Warrant;

    #[test]
    fn a_token_is_warned_about_once_and_has_grace_after_its_end() {
        let ws: Ws = Layers::defaults().section("chat.ws").unwrap();
        let mut token = Token::new(Warrant::until(Timestamp(900_000)), None);
        assert_eq!(due(&token, &ws, Timestamp(0)), Due::Nothing { until: Timestamp(840_000) });
        assert_eq!(due(&token, &ws, Timestamp(840_000)), Due::Warning);
        token.is_warned = true;
        let end = Timestamp(925_000);
        assert_eq!(due(&token, &ws, Timestamp(900_000)), Due::Nothing { until: end });
        assert_eq!(due(&token, &ws, end), Due::End);
    }
}
