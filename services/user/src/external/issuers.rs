//! The external issuers and their keys. A token chooses among them by its `iss` and leads nowhere else:
//! what is fetched is what the operator wrote down, and nothing is fetched for an issuer that nobody
//! wrote down.

use chassis::tokens::{BadToken, KeySource};
use chassis::{StartError, http_client};
use contract::Timestamp;

use super::Refused;
use super::claims::Claims;
use super::peek::Peeked;
use super::rules::Rules;

/// All of them; none, unless the operator says so.
#[derive(Debug)]
pub(crate) struct Issuers(Vec<Issuer>);

/// One of them.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) rules: Rules,
    keys: KeySource,
}

impl Issuers {
    /// Those with these rules; nothing is fetched yet.
    pub(crate) fn open(rules: Vec<Rules>) -> Result<Self, StartError> {
        rules.into_iter().map(Issuer::open).collect::<Result<_, _>>().map(Self)
    }

    /// Who vouches in `token`, and what is said there. Waits only for keys that are not known or too old.
    pub(super) async fn verify(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(&Issuer, Claims), Refused> {
        let peeked = Peeked::read(token)?;
        let found = self.0.iter().find(|issuer| issuer.rules.issuer == peeked.issuer);
        let issuer = found.ok_or(Refused::UnknownIssuer)?;
        if !issuer.rules.allow(&peeked.algorithm) {
            return Err(BadToken::Forged.into());
        }
        let claims = issuer.claims(token).await?;
        issuer.rules.check(&claims, now)?;
        Ok((issuer, claims))
    }
}

impl Issuer {
    fn open(rules: Rules) -> Result<Self, StartError> {
        // A URL that may leave this machine is one of https: the configuration saw to that.
        let is_public = rules.jwks_url.starts_with("https:");
        let client = if is_public { http_client::open_public() } else { http_client::open() }?;
        let keys = KeySource::new(&*rules.jwks_url, client, rules.cooldown);
        Ok(Self { rules, keys })
    }

    /// The claims, if a key of this issuer signed them. One that is not known may be new; where the
    /// issuer never told any, nobody can say whether the token is good.
    async fn claims(&self, token: &str) -> Result<Claims, Refused> {
        let known = self.keys.no_older_than(self.rules.keys_age_max).await;
        let unknown = match known.claims(token) {
            Err(BadToken::UnknownKey) => BadToken::UnknownKey,
            judged => return Ok(judged?),
        };
        let newer = self.keys.newer_than(known.generation).await;
        if newer.generation == 0 {
            return Err(Refused::NoKeys);
        }
        if newer.generation == known.generation {
            return Err(unknown.into());
        }
        Ok(newer.claims(token)?)
    }
}
