//! The token keys of one folder as this replica has them: what it signs with, what it publishes, what
//! it checks with. All three change together, when the folder does or when a key's time has come.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chassis::StartError;
use chassis::tokens::{KeySet, KeySource, OwnKeys, TokenKey};
use contract::Timestamp;
use serde_json::json;
use tracing::info;

use super::folder;
use super::ring::{Kept, Ring, Spans};
use super::rotation;
use crate::config::Config;

/// Before the first change.
const FIRST_GENERATION: u64 = 1;

/// The keys of one folder.
#[derive(Debug)]
pub(super) struct Book {
    folder: PathBuf,
    spans: Spans,
    copy_life: Duration,
    page: ArcSwap<Page>,
    own: OwnKeys,
}

/// What holds until something changes.
#[derive(Debug)]
struct Page {
    generation: u64,
    ring: Ring,
    jwks: String,
}

/// A key that signs right now.
#[derive(Debug)]
pub(super) struct Signer(Arc<Kept>);

impl std::ops::Deref for Signer {
    type Target = TokenKey;

    fn deref(&self) -> &TokenKey {
        &self.0.key
    }
}

impl Book {
    /// Reads the folder; makes a key where the newest is not of the kind that is wanted.
    pub(super) fn open(config: &Config, data: &Path, now: Timestamp) -> Result<Self, StartError> {
        let folder = config.identity.keys_folder(data);
        let tokens = &config.section.tokens;
        let spans = config.key_spans();
        let ring = rotation::newest_of_kind(&folder, tokens.algorithm, now)?;
        let (ring, _) = ring.split(now, spans);
        let page = Page::of(FIRST_GENERATION, ring);
        let keys = page.set().ok_or_else(|| StartError::Other("no token key is usable".into()))?;
        Ok(Self {
            folder,
            spans,
            // A replica may notice a new key so late; a copy made before that has to be given up when
            // the key begins to sign.
            copy_life: tokens.publish_ahead.saturating_sub(tokens.keys_interval),
            page: ArcSwap::from_pointee(page),
            own: OwnKeys::new(keys),
        })
    }

    pub(super) fn signer(&self, now: Timestamp) -> Option<Signer> {
        let page = self.page.load();
        page.ring.signer(now, self.spans).map(Signer)
    }

    pub(super) fn jwks(&self) -> String {
        self.page.load().jwks.clone()
    }

    /// How long a copy of what is published will do.
    pub(super) const fn copy_life(&self) -> Duration {
        self.copy_life
    }

    pub(super) fn source(&self) -> KeySource {
        self.own.source()
    }

    /// Looks at the folder again, stops publishing what is no longer of use, and takes its files away.
    /// One at a time. Where the folder cannot be read, what is known goes on; files that cannot be
    /// removed are no longer published all the same.
    pub(super) fn look(&self, now: Timestamp) -> Result<(), StartError> {
        let page = self.page.load_full();
        let found = folder::read(&self.folder, &page.ring)?;
        let (ring, gone) = found.split(now, self.spans);
        // An empty folder was emptied by mistake: what is known goes on.
        if !ring.keys().is_empty() && ring.ids() != page.ring.ids() {
            let next = Page::of(page.generation + 1, ring);
            if let Some(keys) = next.set() {
                let count = next.ring.keys().len();
                info!(
                    count,
                    newest = next.ring.newest().map(|key| key.key.id()),
                    "Token keys changed"
                );
                // Whoever checks has a key before anybody signs with it.
                self.own.publish(keys);
                self.page.store(Arc::new(next));
            }
        }
        folder::remove(&self.folder, &gone)
    }
}

impl Page {
    fn of(generation: u64, ring: Ring) -> Self {
        let keys: Vec<_> = ring.keys().iter().rev().filter_map(|kept| kept.key.jwk()).collect();
        let jwks = json!({ "keys": keys }).to_string();
        Self { generation, ring, jwks }
    }

    fn set(&self) -> Option<KeySet> {
        KeySet::parse(self.jwks.as_bytes(), self.generation)
    }
}
