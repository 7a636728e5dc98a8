//! What the gateway's door pays to learn who calls, inside this process.

use std::fmt::Write as _;

use chassis::secret::Secret;
use chassis::tokens::{KeyKind, TokenKey, TokenSecret};
use contract::caller::{Role, UserClaims};
use contract::{SessionId, UserId};
use gateway::bench::{Between, Callers, Shows, Trust};
use uuid::Uuid;

use crate::Outcome;
use crate::figures::{Spread, float};
use crate::machine::Layout;
use crate::table::Table;

/// Rounds of every row, after one that warms up.
const ROUNDS: usize = 7;
/// Callers who take turns where they are remembered.
const CALLERS: usize = 256;
/// Those who take turns where they are not: more than [`FORGETFUL`] remembers.
const STRANGERS: usize = 16;
/// Tokens that a door remembers,
const KEPT: usize = 20_000;
/// and one that is to forget before the same one comes again.
const FORGETFUL: usize = 2;
/// A check that is not remembered costs about a hundred times as much.
const FEWER: u64 = 20;
/// What a check may cost in nanoseconds: of a token that is remembered, and of one that is not (EdDSA).
const GOALS: [(&str, f64); 2] = [(REMEMBERED, 200.0), (FRESH, 60_000.0)];
const REMEMBERED: &str = "remembered";
const FRESH: &str = "EdDSA, not remembered";
/// How long the tokens live: longer than the benchmark.
const TOKEN_SECONDS: i64 = 6 * 3600;

/// One way of being let in.
struct Row {
    name: &'static str,
    callers: Callers,
    between: Between,
    /// Of all callers together, in a round.
    calls: u64,
    turns: u64,
    nanos: Vec<f64>,
}

/// Measures, and gives the report.
pub(crate) fn run(calls: u64) -> Outcome<String> {
    Layout::Pinned.under_test().take()?;
    let mut rows = rows(calls)?;
    for round in 0..=ROUNDS {
        for row in &mut rows {
            let took = row.callers.time(row.turns, row.between);
            let took = took.ok_or_else(|| format!("{}: a caller was refused", row.name))?;
            if round > 0 {
                row.nanos.push(took.as_secs_f64() * 1e9 / float(row.calls));
            }
        }
    }
    Layout::Free.load().take()?;
    let mut text =
        String::from("Checking who calls, at the gateway's door: its code called over and over");
    writeln!(text, "\n  inside one process on core 0, {ROUNDS} rounds. Median (min to max).\n")?;
    let mut table = Table::new(["", "calls a round", "ns per check"]);
    for row in &rows {
        let nanos = Spread::of(row.nanos.iter().copied()).words(0);
        table.row([row.name.to_owned(), row.calls.to_string(), nanos]);
    }
    writeln!(text, "{}", table.text())?;
    for (name, goal) in GOALS {
        let of = rows.iter().find(|row| row.name == name).ok_or("a row is missing")?;
        let median = Spread::of(of.nanos.iter().copied()).median;
        let verdict = if median <= goal { "reached" } else { "NOT reached" };
        writeln!(text, "  {name}: {verdict} ({median:.0} ns, at most {goal:.0})")?;
    }
    Ok(text)
}

fn rows(calls: u64) -> Outcome<Vec<Row>> {
    let (ed, _) = TokenKey::generate(KeyKind::EdDsa)?;
    let (es, _) = TokenKey::generate(KeyKind::Es256)?;
    let (rs, _) = TokenKey::generate(KeyKind::Rs256)?;
    let secret = TokenSecret::new(Secret::new(format!("{}{}", Uuid::new_v4(), Uuid::new_v4())));
    let hs = TokenKey::shared(&secret);
    let row = |name, key: &TokenKey, shows, (callers, kept): (usize, usize), between| {
        let jwks = serde_json::json!({"keys": key.jwk().into_iter().collect::<Vec<_>>()});
        let jwks = jwks.to_string();
        let trust =
            if key.jwk().is_some() { Trust::Published(&jwks) } else { Trust::Shared(&secret) };
        let tokens: Vec<String> = (0..callers).map(|_| sign(key)).collect::<Outcome<_>>()?;
        let wanted = if kept == FORGETFUL { calls / FEWER } else { calls };
        let turns = wanted.div_ceil(callers as u64).max(1);
        let callers_at = Callers::open(&trust, &tokens, shows, kept)?;
        let calls = turns * callers as u64;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Row {
            name,
            callers: callers_at,
            between,
            calls,
            turns,
            nanos: Vec::new(),
        })
    };
    let (many, one, strangers) = ((CALLERS, KEPT), (1, KEPT), (STRANGERS, FORGETFUL));
    let (nothing, revocation) = (Between::Nothing, Between::Revocation);
    Ok(vec![
        row(REMEMBERED, &ed, Shows::Token, one, nothing)?,
        row("remembered, 256 in turns", &ed, Shows::Token, many, nothing)?,
        row("remembered, the first time since a revocation", &ed, Shows::Token, many, revocation)?,
        row("machine key, its token remembered", &ed, Shows::MachineKey, many, nothing)?,
        row(FRESH, &ed, Shows::Token, strangers, nothing)?,
        row("ES256, not remembered", &es, Shows::Token, strangers, nothing)?,
        row("RS256, not remembered", &rs, Shows::Token, strangers, nothing)?,
        row("HS256, not remembered", &hs, Shows::Token, strangers, nothing)?,
    ])
}

fn sign(key: &TokenKey) -> Outcome<String> {
    let now = chassis::Clock::System.now().seconds();
    let claims = UserClaims {
        iss: "hubbub".to_owned(),
        sub: UserId(Uuid::new_v4()),
        aud: "hubbub".to_owned(),
        exp: now + TOKEN_SECONDS,
        nbf: now,
        iat: now,
        jti: Uuid::new_v4().to_string(),
        sid: SessionId(Uuid::new_v4()),
        name: "bench".to_owned(),
        roles: vec![Role::Customer],
        email_verified: false,
        scope: None,
    };
    Ok(key.sign(&claims)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_caller_is_let_in() {
        let text = run(600).unwrap();
        assert_eq!(text.matches("not remembered  ").count(), 4, "{text}");
    }
}
