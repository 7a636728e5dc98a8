//! What it costs to learn who calls: the door is asked as a request asks it, by callers in turns.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chassis::Clock;
use chassis::config::{Layers, Settings as _};
use chassis::revocation::Revocations;
use chassis::tokens::{KeySet, KeySource, TokenSecret};
use contract::revocation::{Revocation, Revoked};
use contract::{SessionId, Timestamp};
use tokio::time::Instant;

use crate::auth::{Door, Outcome, Verdict};
use crate::config::{Config, Plan};
use crate::head::{Head, Scratch};
use crate::route::Auth;
use crate::wire;

/// What is revoked between two looks is told for so long.
const REVOKED_FOR: Duration = Duration::from_mins(15);
/// A token behind a machine key lives so long.
const EXCHANGED_FOR_SECONDS: i64 = 3600;

/// What tokens are checked with.
#[derive(Debug)]
pub enum Trust<'a> {
    /// The issuer's keys, as it publishes them.
    Published(&'a str),
    /// A secret that it shares with us.
    Shared(&'a TokenSecret),
}

/// What a caller shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Its token.
    Token,
    /// A machine key that was exchanged for its token.
    MachineKey,
}

/// What happens before every caller has had another turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// Somebody else's session ends.
    Revocation,
}

/// Callers at the door of one core.
#[derive(Debug)]
pub struct Callers {
    plan: Plan,
    door: Door,
    revocations: Revocations,
    heads: Vec<String>,
    ended: u128,
    now: Timestamp,
}

impl Callers {
    /// One caller for each of `tokens`, at a door that remembers `remembered_max` of them.
    pub fn open(
        trust: &Trust<'_>,
        tokens: &[String],
        shows: Shows,
        remembered_max: usize,
    ) -> io::Result<Self> {
        let read = Config::read(&Layers::defaults());
        let mut config = read.map_err(|faults| io::Error::other(faults.to_string()))?;
        config.auth.cached_tokens_max = remembered_max;
        let plan = config.plan().map_err(|faults| io::Error::other(faults.to_string()))?;
        let keys = match trust {
            Trust::Published(jwks) => KeySet::parse(jwks.as_bytes(), 1),
            Trust::Shared(secret) => Some(KeySet::shared(secret)),
        };
        let keys = Arc::new(KeySource::issuer(keys.ok_or(io::ErrorKind::InvalidData)?));
        let revocations = Revocations::unknown(config.auth.revocations_max);
        revocations.mark_known();
        let door = Door::new(&keys, &revocations, &config.auth, 1);
        let now = Clock::System.now();
        let fields = tokens.iter().enumerate().map(|(number, token)| match shows {
            Shows::Token => format!("Authorization: Bearer {token}"),
            Shows::MachineKey => exchanged(&door, number, token, now),
        });
        let heads = fields.map(|field| head(&field)).collect();
        Ok(Self { plan, door, revocations, heads, ended: 0, now })
    }

    /// How long it takes to let `rounds` of all callers in, without what happens between the rounds;
    /// `None` when one of them was refused.
    #[must_use]
    pub fn time(&mut self, rounds: u64, between: Between) -> Option<Duration> {
        let heads = self.heads.clone();
        let scratches: Vec<Scratch> = heads.iter().map(|_| Scratch::default()).collect();
        let requests = heads.iter().zip(&scratches).map(|(head, scratch)| {
            wire::request(head.as_bytes(), &self.plan.limits, scratch).ok()?
        });
        let requests: Vec<_> = requests.collect::<Option<_>>()?;
        let heads: Vec<Head<'_>> = requests.iter().map(wire::Parsed::head).collect();
        let mut took = Duration::ZERO;
        for _ in 0..rounds {
            if between == Between::Revocation {
                self.revoke();
            }
            let began = Instant::now();
            let are_in = heads.iter().all(|head| self.lets_in(black_box(head)));
            took += began.elapsed();
            if !are_in {
                return None;
            }
        }
        Some(took)
    }

    fn lets_in(&self, head: &Head<'_>) -> bool {
        match self.door.check(head, Auth::Required, black_box(self.now)) {
            Ok(Verdict::Pass(caller)) => black_box(caller).is_some(),
            Ok(Verdict::Exchanged(caller, field)) => {
                black_box((caller, field));
                true
            }
            Ok(Verdict::UnknownKey { .. } | Verdict::UnknownApiKey(_)) | Err(_) => false,
        }
    }

    fn revoke(&mut self) {
        self.ended += 1;
        let sid = SessionId(uuid::Uuid::from_u128(self.ended));
        let until = self.now.plus(REVOKED_FOR);
        let what = Revoked::Session { sid };
        self.revocations.apply(&[Revocation { what, not_before: self.now, until }], self.now);
    }
}

fn head(field: &str) -> String {
    format!(
        "GET /api/users/profile HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: bench\r\n\
         Accept: */*\r\n{field}\r\n\r\n"
    )
}

/// The field of a machine key that `door` knows to stand for `token`.
fn exchanged(door: &Door, number: usize, token: &str, now: Timestamp) -> String {
    let key = format!("hbk_{number:048}");
    let expires_at = now.seconds() + EXCHANGED_FOR_SECONDS;
    let outcome = Outcome::Token { token: token.to_owned().into(), expires_at };
    let mut known_by = [0; 32];
    let sum = digest(&SHA256, key.as_bytes());
    known_by.iter_mut().zip(sum.as_ref()).for_each(|(to, from)| *to = *from);
    door.learn(&known_by, &outcome, now);
    format!("X-Api-Key: {key}")
}
