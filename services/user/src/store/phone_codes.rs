//! Statements about codes that are sent to telephones. A number's row is locked first, its account next.

use std::time::Duration;

use chassis::database::{Row, Text, Transaction, again, query};
use contract::revocation::{Revocation, Revocations};
use contract::{SessionId, Timestamp, UserId};

use super::sessions::{self, NewSession};
use super::{Error, Store, accounts, feed, finish, required};
use crate::account::{Account, Phone};
use crate::audit::{Action, Entry};
use crate::phone_code::Limits;

/// The longer of the two windows in which codes are counted.
const DAY: Duration = Duration::from_hours(24);

/// A row to lock, where there is none.
const PREPARE: &str = "
    INSERT INTO phone_codes (phone, guesses, expires_at, window_began, window_sent, day_began,
        day_sent, keep_until)
    VALUES ($1, 0, $2, $2, 0, $2, 0, $2)
    ON CONFLICT (phone) DO NOTHING";

const LOCK: Text = Text {
    sqlite: "
        SELECT window_began, window_sent, day_began, day_sent FROM phone_codes WHERE phone = $1",
    postgres: "
        SELECT window_began, window_sent, day_began, day_sent FROM phone_codes WHERE phone = $1
        FOR UPDATE",
};

const OFFER: &str = "
    UPDATE phone_codes
    SET code = $2, guesses = 0, expires_at = $3, window_began = $4, window_sent = $5,
        day_began = $6, day_sent = $7, keep_until = $8
    WHERE phone = $1";

/// Of guesses at once, each is counted before any is judged.
const GUESS: &str = "
    UPDATE phone_codes SET guesses = guesses + 1
    WHERE phone = $1 AND code IS NOT NULL AND expires_at > $2 AND guesses < $3
    RETURNING code";

/// Of two that know the code, the first alone changes a row.
const USE: &str = "UPDATE phone_codes SET code = NULL WHERE phone = $1 AND code = $2";

const WHO_HAS: &str = "SELECT id FROM accounts WHERE phone = $1";

const LOSE_PHONE: &str = "UPDATE accounts SET phone = NULL, updated_at = $2 WHERE id = $1";

const VERIFY_PHONE: &str = "UPDATE accounts SET phone_verified = $2 WHERE id = $1";

const SWEEP: Text = Text {
    sqlite: "
        DELETE FROM phone_codes
        WHERE phone IN (
            SELECT phone FROM phone_codes WHERE keep_until < $1 ORDER BY keep_until LIMIT $2)",
    postgres: "
        DELETE FROM phone_codes
        WHERE phone = ANY (ARRAY (
            SELECT phone FROM phone_codes WHERE keep_until < $1 ORDER BY keep_until LIMIT $2
            FOR UPDATE SKIP LOCKED))",
};

/// A code about to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    pub(crate) phone: &'a Phone,
    /// The PHC string of the code.
    pub(crate) code: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) limits: Limits,
}

/// Somebody who knew the code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) phone: &'a Phone,
    /// The PHC string that their code was checked against.
    pub(crate) code: &'a str,
    /// The account to make if nobody has shown to have the number.
    pub(crate) fresh: &'a Account,
    pub(crate) session: &'a NewSession,
}

/// Codes that were sent since a moment.
#[derive(Debug, Clone, Copy)]
struct Sent {
    began: Timestamp,
    count: i64,
}

impl Sent {
    /// With one more; `None` beyond `max` in `window`.
    fn one_more(self, now: Timestamp, window: Duration, max: u32) -> Option<Self> {
        if now >= self.began.plus(window) || self.count == 0 {
            return Some(Self { began: now, count: 1 });
        }
        (self.count < i64::from(max)).then_some(Self { count: self.count + 1, ..self })
    }
}

impl Store {
    /// Puts a code in the place of the one before, unless the number got too many.
    pub(crate) async fn offer_code(&self, sending: &Sending<'_>) -> Result<bool, Error> {
        transact!(self, |transaction| {
            let offered = offer(transaction, sending).await?;
            Ok(offered)
        })
    }

    /// Counts a guess; gives what it is checked against, while there is a code and guesses are left.
    pub(crate) async fn guess_code(
        &self,
        phone: &Phone,
        guesses_max: u32,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let guess = || query(GUESS).bind(phone.as_str()).bind(now.0).bind(guesses_max);
        let row = transact!(self, |transaction| {
            let row = transaction.fetch_optional(guess()).await?;
            Ok::<_, Error>(row)
        })?;
        Ok(row.map(|row| row.get::<&str>("code").map(str::to_owned)).transpose()?)
    }

    /// Uses the code and opens a session of whoever has the number; `None` when the code was used or
    /// replaced meanwhile. Gives the account, and the sessions that had to make room.
    pub(crate) async fn arrive(
        &self,
        arrival: &Arrival<'_>,
        entry: impl Fn(Action, UserId) -> Entry,
        end: impl Fn(SessionId) -> Revocation,
    ) -> Result<Option<(Account, Revocations)>, Error> {
        transact!(self, |transaction| {
            let used = query(USE).bind(arrival.phone.as_str()).bind(arrival.code);
            if transaction.execute(used).await? == 0 {
                return Ok(None);
            }
            let account = self.settle(transaction, arrival, &entry).await?;
            let session = arrival.session;
            sessions::insert(transaction, account.id, session).await?;
            self.audit(transaction, &entry(Action::CheckCode, account.id)).await?;
            let ended = sessions::trim(transaction, account.id, session).await?;
            let ended = ended.into_iter().map(&end).collect();
            let told = feed::revoke(transaction, ended).await?;
            Ok(Some((account, told)))
        })
    }

    /// The account of whoever has the number.
    async fn settle(
        &self,
        transaction: &mut Transaction,
        arrival: &Arrival<'_>,
        entry: impl Fn(Action, UserId) -> Entry,
    ) -> Result<Account, Error> {
        let who_has = query(WHO_HAS).bind(arrival.phone.as_str());
        if let Some(row) = transaction.fetch_optional(who_has).await? {
            let holder = accounts::lock(transaction, required(&row, "id")?).await?;
            let holder = holder.filter(|holder| holder.phone.as_ref() == Some(arrival.phone));
            match holder {
                Some(holder) if holder.phone_verified => return Ok(holder),
                Some(claimant) => self.lose_phone(transaction, claimant.id, &entry).await?,
                None => {}
            }
        }
        let fresh = arrival.fresh;
        accounts::insert(transaction, fresh, None).await?;
        let verify = query(VERIFY_PHONE).bind(fresh.id.to_string()).bind(true);
        transaction.execute(verify).await?;
        self.audit(transaction, &entry(Action::Register, fresh.id)).await?;
        Ok(fresh.clone())
    }

    async fn lose_phone(
        &self,
        transaction: &mut Transaction,
        of: UserId,
        entry: impl Fn(Action, UserId) -> Entry,
    ) -> Result<(), Error> {
        let entry = Entry { actor: None, ..entry(Action::LosePhone, of) };
        transaction.execute(query(LOSE_PHONE).bind(of.to_string()).bind(entry.at.0)).await?;
        self.audit(transaction, &entry).await
    }

    /// Deletes up to `limit` rows that said nothing any more before `now`; says how many.
    pub(crate) async fn sweep_codes(&self, now: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(self.db.execute(query(SWEEP).bind(now.0).bind(limit)).await?)
    }
}

async fn offer(transaction: &mut Transaction, sending: &Sending<'_>) -> Result<bool, Error> {
    let Sending { phone, code, now, limits } = *sending;
    transaction.execute(query(PREPARE).bind(phone.as_str()).bind(now.0)).await?;
    let row = transaction.fetch_optional(query(LOCK).bind(phone.as_str())).await?;
    let Some(row) = row else { return Ok(false) };
    let (window, day) = (sent(&row, "window")?, sent(&row, "day")?);
    let window = window.one_more(now, limits.window, limits.per_window_max);
    let day = day.one_more(now, DAY, limits.per_day_max);
    let (Some(window), Some(day)) = (window, day) else { return Ok(false) };
    let expires_at = now.plus(limits.life);
    let keep_until = day.began.plus(DAY).max(window.began.plus(limits.window)).max(expires_at);
    let offer = query(OFFER)
        .bind(phone.as_str())
        .bind(code)
        .bind(expires_at.0)
        .bind(window.began.0)
        .bind(window.count)
        .bind(day.began.0)
        .bind(day.count)
        .bind(keep_until.0);
    transaction.execute(offer).await?;
    Ok(true)
}

fn sent(row: &Row, of: &str) -> Result<Sent, Error> {
    let began = Timestamp(row.get(&format!("{of}_began"))?);
    Ok(Sent { began, count: row.get(&format!("{of}_sent"))? })
}
