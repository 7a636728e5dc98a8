//! Who did what, from where, and who was refused: kept in a table to which rows are only added.
//!
//! A change is written in the transaction that makes it, so that there is none without its entry. A
//! refusal changes nothing; it goes through a bounded queue and is written soon after the answer. What
//! finds no place there is counted, and the count is written. Never holds a secret.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use chassis::{Clock, Stop, refuse};
use contract::{Kind, Timestamp, UserId};
use tokio::sync::mpsc;
use tracing::warn;

use crate::store::Store;

/// Refusals that wait to be written.
const QUEUE_MAX: usize = 1_000;
/// Most refusals that are written together.
const BATCH_MAX: usize = 100;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $word:literal $($method:literal $path:literal)?;)+) => {
        /// What was done, or wanted: a closed set, with the call that asks for it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            /// The word in the table.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What `method` on the route `path` is for.
            pub(crate) fn of_call(method: &Method, path: &str) -> Option<Self> {
                $($(if method.as_str() == $method && path == $path {
                    return Some(Self::$name);
                })?)+
                None
            }

            /// The method and the route of each that is a call.
            #[cfg(test)]
            pub(crate) fn calls() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$($(($method, $path),)?)+].into_iter()
            }
        }
    };
}

actions! {
    Register "register" "POST" "/api/register";
    SetUp "set-up" "POST" "/api/setup";
    LogIn "log-in" "POST" "/api/login";
    ExchangeToken "exchange-token" "POST" "/api/token-exchange";
    /// An external identity was put to an account that was here before.
    LinkIdentity "link-identity";
    Refresh "refresh" "POST" "/api/refresh-token";
    LogOut "log-out" "POST" "/api/logout";
    SendVerification "send-verification" "POST" "/api/verify-email/resend";
    VerifyEmail "verify-email" "POST" "/api/verify-email";
    ForgotPassword "forgot-password" "POST" "/api/forgot-password";
    ResetPassword "reset-password" "POST" "/api/reset-password";
    AskCode "ask-phone-code" "POST" "/api/otp";
    CheckCode "log-in-by-phone" "POST" "/api/otp/verify";
    /// Somebody else showed to have the number that the account claimed.
    LosePhone "lose-phone";
    ListSessions "list-sessions" "GET" "/api/sessions";
    EndSession "end-session" "DELETE" "/api/sessions/{id}";
    ChangePassword "change-password" "PUT" "/api/change-password";
    ReadProfile "read-profile" "GET" "/api/profile";
    ChangeProfile "change-profile" "PUT" "/api/profile";
    DeleteAccount "delete-account" "DELETE" "/api/users/me";
    ListUsers "list-users" "GET" "/api/users";
    ReadUser "read-user" "GET" "/api/users/{id}";
    ChangeRoles "change-roles" "PUT" "/api/users/{id}/roles";
    ReadAudit "read-audit" "GET" "/api/users/audit";
    GenerateToken "generate-token";
    ValidateToken "validate-token";
    ReadFeed "read-revocations" "GET" "/internal/revocations";
    ListKeys "list-keys" "GET" "/api/api-keys";
    MakeKey "make-key" "POST" "/api/api-keys";
    DeleteKey "delete-key" "DELETE" "/api/api-keys/{id}";
    ExchangeKey "exchange-key" "POST" "/internal/keys/exchange";
    MakeTicket "make-ticket" "POST" "/api/ws-ticket";
    RedeemTicket "redeem-ticket" "POST" "/internal/tickets/redeem";
    FindUsers "find-users" "GET" "/internal/users";
    MakeAccount "make-account" "POST" "/internal/accounts";
    ListDeleted "list-deleted" "GET" "/internal/deleted";
    /// Refusals for which there was no place; `detail` says how many.
    Lost "lost-entries";
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Refused(Kind),
}

impl Outcome {
    /// The word in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(kind) => kind.slug(),
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    /// Who did or wanted it, where that is known.
    pub(crate) actor: Option<UserId>,
    /// Whom it is about.
    pub(crate) account: Option<UserId>,
    /// From where, where it came over the network.
    pub(crate) address: Option<IpAddr>,
    /// What an administrator would ask next.
    pub(crate) detail: Option<String>,
}

impl Entry {
    /// `actor` did this to its own account.
    pub(crate) const fn own(action: Action, actor: UserId, address: IpAddr, at: Timestamp) -> Self {
        Self {
            at,
            action,
            outcome: Outcome::Done,
            actor: Some(actor),
            account: Some(actor),
            address: Some(address),
            detail: None,
        }
    }
}

/// The account that a refusal is about, where its caller is nobody yet: travels in the answer as far
/// as the layer that records it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About(pub(crate) UserId);

/// Takes refusals in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Entry>,
    lost: std::sync::Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder, whose entries a task of `stop` writes to `store` until the drain is over.
    pub(crate) fn start(store: Store, clock: Clock, stop: &Stop) -> Self {
        let (queue, entries) = mpsc::channel(QUEUE_MAX);
        let lost = std::sync::Arc::<AtomicU64>::default();
        let writer = Writer { store, clock, entries, lost: lost.clone() };
        stop.spawn(writer.run(stop.clone()));
        Self { queue, lost }
    }

    /// Records `entry` soon. Never waits.
    pub(crate) fn refused(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Writer {
    store: Store,
    clock: Clock,
    entries: mpsc::Receiver<Entry>,
    lost: std::sync::Arc<AtomicU64>,
}

impl Writer {
    async fn run(mut self, stop: Stop) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                taken = self.entries.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { return },
                () = stop.drain_began() => self.entries.close(),
                () = stop.cancelled() => return,
            }
            self.write(&mut batch).await;
        }
    }

    /// Writes `batch`, and how many found no place; what the store does not take is counted with them.
    async fn write(&self, batch: &mut Vec<Entry>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let of_refusals = batch.len() as u64;
        if lost > 0 {
            batch.push(self.lost_entry(lost));
        }
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.store.record(batch).await {
            self.lost.fetch_add(lost + of_refusals, Ordering::Relaxed);
            warn!(cause = refuse::chain(&error), "{of_refusals} refusals are not in the audit");
        }
        batch.clear();
    }

    fn lost_entry(&self, count: u64) -> Entry {
        Entry {
            at: self.clock.now(),
            action: Action::Lost,
            outcome: Outcome::Done,
            actor: None,
            account: None,
            address: None,
            detail: Some(format!("{count} refusals were not recorded")),
        }
    }
}
