//! One question to the feed: a service token, a deadline, a bounded answer of which nothing is
//! believed before it was looked at.

use std::time::Duration;

use contract::revocation::{FeedQuery, Revocations};
use http::StatusCode;

use super::is_sound;
use crate::identity::ServiceTokens;

/// From the question to its answer, beyond what the feed may wait.
const WINDOW: Duration = Duration::from_secs(3);
/// Largest answer that is read, in bytes: a thousand items of 150.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Where the feed is, and who asks.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) url: String,
    /// What it is called in service tokens.
    pub(super) authority: String,
    pub(super) client: reqwest::Client,
    pub(super) tokens: ServiceTokens,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("the feed cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the feed refused with {0}")]
    Refused(StatusCode),
    #[error("the feed answered more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the feed answered something that is no stretch of revocations")]
    Garbled,
}

impl NoAnswer {
    /// Whether whoever answers has no feed at all.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Refused(StatusCode::NOT_FOUND))
    }
}

impl Source {
    /// Asks. Safe to drop: a question changes nothing.
    pub(super) async fn ask(&self, query: FeedQuery) -> Result<Revocations, NoAnswer> {
        let window = WINDOW + Duration::from_secs(query.wait.unwrap_or(0).into());
        let token = self.tokens.plain(self.authority.clone());
        let request = self.client.get(self.question(query)).bearer_auth(token).timeout(window);
        let mut response = request.send().await?;
        if !response.status().is_success() {
            return Err(NoAnswer::Refused(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let stretch = serde_json::from_slice(&body).map_err(|_| NoAnswer::Garbled)?;
        if is_sound(&stretch) { Ok(stretch) } else { Err(NoAnswer::Garbled) }
    }

    fn question(&self, query: FeedQuery) -> String {
        let after = query.after.map(|after| format!("after={after}"));
        let wait = query.wait.map(|wait| format!("wait={wait}"));
        let said: Vec<_> = after.into_iter().chain(wait).collect();
        format!("{}?{}", self.url, said.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::revocation::progress::WAIT_SECONDS;
    use crate::{Bus, Clock, Deps, Random, http_client};

    /// What is missed at most, without a bus, while nobody knows that the feed is away.
    const NOTICED_WITHIN: Duration = Duration::from_secs(8);

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_went_dumb_is_noticed_soon() {
        let data = tempfile::tempdir().unwrap();
        let (bus, clock, random) = (Bus::local(1), Clock::System, Random::System);
        let deps = Deps { bus, clock, random, data: data.path().to_owned() };
        // It takes connections, and never reads from them.
        let dumb = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = Source {
            url: format!("http://{}/", dumb.local_addr().unwrap()),
            authority: "user".to_owned(),
            client: http_client::open().unwrap(),
            tokens: ServiceTokens::open("chat", &deps.data, &deps).unwrap(),
        };
        let began = Instant::now();
        let waiting = FeedQuery { after: Some(7), wait: Some(WAIT_SECONDS) };
        let answer = source.ask(waiting).await;
        assert!(matches!(answer, Err(NoAnswer::Unreachable(_))), "{answer:?}");
        let took = began.elapsed();
        let feed_may_take = Duration::from_secs(WAIT_SECONDS.into());
        assert!(feed_may_take < took && took <= NOTICED_WITHIN, "{took:?}");
    }
}
