//! The feed of a user service, as the documents describe it, with the faults that a case wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chassis::caller::bearer;
use chassis::config::Layers;
use chassis::health::Health;
use chassis::identity::{Caller, Grant, Identity};
use chassis::revocation::Revocations;
use chassis::serve::serve;
use chassis::{Clock, Deps, Running, Stop};
use contract::revocation::{FeedQuery, Revocation, Revocations as Stretch};
use tokio::sync::watch;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    Well,
    /// Whoever waits is not woken.
    Deaf,
    /// Nobody is told more than a first page.
    Curt,
    /// Nobody waits: all are answered at once.
    Hasty,
    /// Nobody is answered.
    Silent,
    /// All are refused.
    Failing,
    /// It is another service's place, which has no feed.
    Absent,
    /// All are told nonsense.
    Mad,
}

/// A feed and its database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feed(Arc<Inner>);

struct Inner {
    identity: Identity,
    log: Mutex<Log>,
    /// Rung when something ended or the mood has changed.
    changed: watch::Sender<()>,
    asked: Mutex<Vec<FeedQuery>>,
}

struct Log {
    /// The cursor before the first item.
    after: u64,
    items: Vec<Revocation>,
    page_max: usize,
    mood: Mood,
}

impl Feed {
    /// A feed without items whose cursor is `after`.
    pub(crate) fn new(deps: &Deps, after: u64) -> Self {
        let config = Layers::defaults().section("identity").unwrap();
        let nothing = Revocations::unfollowed();
        Self(Arc::new(Inner {
            identity: Identity::open(&config, "user", deps, nothing).unwrap(),
            log: Mutex::new(Log { after, items: Vec::new(), page_max: 1_000, mood: Mood::Well }),
            changed: watch::Sender::new(()),
            asked: Mutex::default(),
        }))
    }

    /// Serves it at `address`.
    pub(crate) fn serve(&self, address: SocketAddr) -> Running {
        let stop = Stop::new();
        let server = Layers::defaults().section("user.server").unwrap();
        let health = Health::new("Test", "0", Clock::System, stop.clone());
        let router = Router::new().route("/internal/revocations", get(tell));
        let router = router.with_state(self.clone());
        let address = serve(address, &server, router, health, &stop).unwrap();
        Running::new("test", address, stop)
    }

    /// These ended; gives the stretch that they are.
    pub(crate) fn end(&self, items: &[Revocation]) -> Arc<Stretch> {
        let mut log = self.0.log.lock().unwrap();
        let after = log.cursor();
        log.items.extend(items);
        let stretch = Stretch { after, cursor: log.cursor(), items: items.to_vec() };
        drop(log);
        self.0.changed.send_replace(());
        Arc::new(stretch)
    }

    /// Its database is another one.
    pub(crate) fn restore(&self, after: u64, items: &[Revocation]) {
        let mut log = self.0.log.lock().unwrap();
        (log.after, log.items) = (after, items.to_vec());
        drop(log);
        self.0.changed.send_replace(());
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.0.log.lock().unwrap().mood = mood;
        self.0.changed.send_replace(());
    }

    pub(crate) fn pages_of(&self, page_max: usize) {
        self.0.log.lock().unwrap().page_max = page_max;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<FeedQuery> {
        self.0.asked.lock().unwrap().clone()
    }

    async fn answer(&self, query: FeedQuery) -> Response {
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let (mood, stretch) = {
                let log = self.0.log.lock().unwrap();
                (log.mood, log.stretch(query.after))
            };
            let must_wait = stretch.items.is_empty()
                && query.wait.is_some()
                && query.after == Some(stretch.cursor);
            match mood {
                Mood::Failing => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
                Mood::Absent => return StatusCode::NOT_FOUND.into_response(),
                Mood::Mad => return r#"{"after":9,"cursor":3,"items":[]}"#.into_response(),
                Mood::Hasty => return axum::Json(stretch).into_response(),
                Mood::Well | Mood::Deaf if !must_wait => {
                    return axum::Json(stretch).into_response();
                }
                Mood::Curt if query.after.is_none() => return axum::Json(stretch).into_response(),
                Mood::Well | Mood::Silent | Mood::Curt => changed.changed().await.unwrap(),
                Mood::Deaf => std::future::pending().await,
            }
        }
    }
}

impl Log {
    fn cursor(&self) -> u64 {
        self.after + self.items.len() as u64
    }

    /// The page after `after`, or the first one; an empty one where `after` lies ahead.
    fn stretch(&self, after: Option<u64>) -> Stretch {
        let after = after.unwrap_or(self.after).clamp(self.after, self.cursor());
        let skipped = usize::try_from(after - self.after).unwrap();
        let items: Vec<_> = self.items.iter().skip(skipped).take(self.page_max).copied().collect();
        Stretch { after, cursor: after + items.len() as u64, items }
    }
}

async fn tell(
    State(feed): State<Feed>,
    Query(query): Query<FeedQuery>,
    headers: HeaderMap,
) -> Response {
    let token = bearer(headers["authorization"].as_bytes()).unwrap();
    let Ok(Caller::Service(service)) = feed.0.identity.verify(token).await else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if service.require(Grant::Revocations).is_err() {
        return StatusCode::FORBIDDEN.into_response();
    }
    feed.0.asked.lock().unwrap().push(query);
    feed.answer(query).await
}
