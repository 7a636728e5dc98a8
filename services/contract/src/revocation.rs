//! What ends before its time: sessions, and a user's tokens up to a moment. The user service feeds it
//! (`GET /internal/revocations`) and rings it (`auth.revoked`); everybody who checks tokens follows.

use serde::{Deserialize, Serialize};

use crate::{SessionId, Timestamp, UserId};

/// Longest that `wait` of [`FeedQuery`] may ask for, in seconds.
pub const FEED_WAIT_SECONDS_MAX: u32 = 30;
/// Most items of one answer of the feed; the rest come with the next question.
pub const FEED_ITEMS_MAX: usize = 1_000;

/// Query of `GET /internal/revocations`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedQuery {
    /// Items after this cursor; absent: those of the last 15 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Seconds to wait for an item while there is none, at most [`FEED_WAIT_SECONDS_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// A stretch of the feed: the answer to [`FeedQuery`], and the payload of `auth.revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// The cursor before the first item. Whoever knows another one has missed something, and reads
    /// the feed.
    pub after: u64,
    /// The cursor after the last item; it rises by one with each.
    pub cursor: u64,
    /// In order; empty when nothing happened.
    pub items: Vec<Revocation>,
}

/// One thing that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// What.
    #[serde(flatten)]
    pub what: Revoked,
    /// When it ended. Of a user, tokens whose `iat` is before this, a whole second, are dead; of a
    /// session, all are.
    pub not_before: Timestamp,
    /// From when on it may be forgotten: every token that it is about has expired by then.
    pub until: Timestamp,
}

/// Whose tokens are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Revoked {
    /// Those of one session, or of one machine key, which has its id in the same place.
    Session {
        /// The tokens' `sid`.
        sid: SessionId,
    },
    /// Those that a user was given before a moment.
    User {
        /// The tokens' `sub`.
        #[serde(rename = "userId")]
        user_id: UserId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_the_feed_is_written_as_the_documents_say() {
        let text = r#"{"after":6,"cursor":8,"items":[{"sid":"01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b","notBefore":"2026-11-20T17:00:00.123Z","until":"2026-11-20T17:15:30.123Z"},{"userId":"01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b","notBefore":"2026-11-20T17:00:01.000Z","until":"2026-11-20T17:15:30.123Z"}]}"#;
        let read: Revocations = serde_json::from_str(text).unwrap();
        assert!(matches!(read.items[0].what, Revoked::Session { .. }));
        assert!(matches!(read.items[1].what, Revoked::User { .. }));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
