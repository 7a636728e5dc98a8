//! The user service: accounts, credentials, sessions, and the keys of access tokens.
//!
//! A call goes `api` (the route table) → `api/*` (a handler each: translate, do not decide) →
//! `users` (the rules: `register`, `setup`, `login`, `session`, `confirmation`, `reset`, `phone_code`,
//! `profile`, `directory`) → `store` (every statement). Writing to people is an errand (`errands`), for
//! which no caller waits. What a field has to be is a type in `account`. It promises that a password
//! is never stored, that a session has one good refresh token at a time, and that an account which
//! was answered for is on the disk.

mod account;
mod address;
mod allowance;
mod api;
mod attempts;
mod audit;
mod audit_page;
mod config;
mod confirmation;
mod denied;
mod directory;
mod ends;
mod errands;
mod error;
mod external;
mod faults;
mod feed;
mod generate;
mod grpc;
mod keys;
mod link;
mod login;
mod mail;
mod notice;
mod one_time;
mod password;
mod people;
mod phone_code;
mod profile;
mod register;
mod reset;
mod session;
mod setup;
mod standing;
mod store;
mod tickets;
mod token;
mod users;
mod visitor;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use chassis::database::{Database, Schema, Step, Text};
use chassis::health::Health;
use chassis::identity::Identity;
use chassis::process::{Program, TokenKeys};
use chassis::revocation::Revocations;
use chassis::{Deps, Running, StartError, Stop, refuse, serve};
use tracing::{info, warn};

pub use config::Config;
pub use token::{make_keys, make_token_keys, rotate_keys};

use crate::api::Api;
use crate::attempts::Attempts;
use crate::audit::Recorder;
use crate::external::Issuers;
use crate::feed::Feed;
use crate::password::Passwords;
use crate::session::Sessions;
use crate::store::Store;
use crate::token::Issuer;
use crate::users::Users;
use crate::writing::Writing;

/// The binary.
pub const PROGRAM: Program = Program {
    name: "user",
    version: env!("CARGO_PKG_VERSION"),
    profile: None,
    listen_key: "user.listen",
    keys: &[make_keys],
    token_keys: Some(TOKEN_KEYS),
};

/// What is done with the keys of access tokens.
pub const TOKEN_KEYS: TokenKeys = TokenKeys { make: make_token_keys, rotate: rotate_keys };

/// What is kept. A step is never changed once shipped.
const SCHEMA: Schema = Schema {
    name: "hubbub_user",
    steps: &[
        Step {
            number: 1,
            name: "accounts and sessions",
            sql: Text {
                sqlite: include_str!("../migrations/sqlite/0001_accounts_and_sessions.sql"),
                postgres: include_str!("../migrations/postgres/0001_accounts_and_sessions.sql"),
            },
        },
        Step {
            number: 2,
            name: "ends and audit",
            sql: Text {
                sqlite: include_str!("../migrations/sqlite/0002_ends_and_audit.sql"),
                postgres: include_str!("../migrations/postgres/0002_ends_and_audit.sql"),
            },
        },
        Step {
            number: 3,
            name: "one-time tokens and phone codes",
            sql: Text {
                sqlite: include_str!(
                    "../migrations/sqlite/0003_one_time_tokens_and_phone_codes.sql"
                ),
                postgres: include_str!(
                    "../migrations/postgres/0003_one_time_tokens_and_phone_codes.sql"
                ),
            },
        },
        Step {
            number: 4,
            name: "keys and tickets",
            sql: Text {
                sqlite: include_str!("../migrations/sqlite/0004_keys_and_tickets.sql"),
                postgres: include_str!("../migrations/postgres/0004_keys_and_tickets.sql"),
            },
        },
        Step {
            number: 5,
            name: "external identities",
            sql: Text {
                sqlite: include_str!("../migrations/sqlite/0005_external_identities.sql"),
                postgres: include_str!("../migrations/postgres/0005_external_identities.sql"),
            },
        },
    ],
};
/// Most rows that one statement of the sweep deletes, so that nobody waits long behind it.
const SWEEP_ROWS_MAX: u32 = 1_000;

/// The OpenAPI document of the service, as it is served at `/openapi.json`.
pub fn openapi() -> serde_json::Result<String> {
    chassis::openapi::text(&api::document())
}

/// Starts the service: opens what it needs, binds, serves.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    let stop = Stop::new();
    let chosen_code = config.setup_code()?;
    let file = deps.data.join(&config.section.database_file);
    let database = Database::open(&config.database, &file, &SCHEMA).await?;
    let store = Store::new(database.clone(), config.section.audit_keep);
    let issuer = Issuer::open(&config, &deps)?;
    let known = Revocations::unknown(config.identity.revocations_max);
    let keys = issuer.key_source();
    let identity = Identity::with_keys(&config.identity, "user", &deps, keys, known.clone());
    let drawn_code = setup::offer(&store, chosen_code.as_ref(), &deps.random).await;
    let drawn_code = drawn_code.map_err(|error| StartError::Other(error.into()))?;

    let recorder = Recorder::start(store.clone(), deps.clock.clone(), &stop);
    let life = config.section.access_token_life;
    let feed = Feed::open(store.clone(), known, &deps, life, &stop).await;
    let feed = feed.map_err(|error| StartError::Other(error.into()))?;
    stop.spawn(feed.clone().watch(config.section.feed_interval));
    let users = Arc::new(users(&config, &deps, store, issuer, feed, &stop)?);
    stop.spawn(sweep(users.clone(), config.section.sweep_interval, stop.clone()));
    stop.spawn(token::follow(users.clone(), config.section.tokens.keys_interval, stop.clone()));
    let api = Api::new(users, identity, &config.section, recorder);
    let health = Health::new("User Service", PROGRAM.version, deps.clock, stop.clone());
    let health = health.with_database(database.clone());
    let grpc = config.section.grpc_listen.bind()?;
    let (listen, limits) = (config.section.listen, &config.section.server);
    let auth = api.grpc();
    let address = serve::serve(listen, limits, api.routes()?, health.clone(), &stop)?;
    let grpc_address = grpc.as_ref().map(|bound| bound.address);
    if let Some(bound) = grpc {
        bound.serve(auth, &config.section.grpc, limits.drain_delay, &stop, health).await?;
    }

    let running = Running::new("user", address, stop).keeping(database);
    let running = match grpc_address {
        Some(address) => running.line("grpc", format!("http://{address}")),
        None => running,
    };
    Ok(match drawn_code {
        Some(code) => {
            running.line("set-up", format!("{code}  makes the first administrator; shown only now"))
        }
        None => running,
    })
}

fn users(
    config: &Config,
    deps: &Deps,
    store: Store,
    issuer: Issuer,
    feed: Feed,
    stop: &Stop,
) -> Result<Users, StartError> {
    let section = &config.section;
    let passwords = Passwords::new(
        section.passwords.parallel,
        section.passwords.waiting_max,
        stop.tracker().clone(),
    );
    let external = config.external_issuers().map_err(StartError::Config)?;
    let writing = Writing::new(section, deps, &store, stop);
    Ok(Users {
        letters: writing.letters()?,
        codes: writing.codes(&passwords)?,
        passwords,
        sessions: Sessions {
            store: store.clone(),
            issuer,
            lives: section.sessions.clone(),
            clock: deps.clock.clone(),
            random: deps.random.clone(),
            feed: feed.clone(),
        },
        attempts: Attempts::new(section.attempts_entries_max),
        external: Issuers::open(external)?,
        rules: config.password_rules(),
        feed,
        keys_max: section.keys_per_account_max,
        tickets_max: section.tickets_per_session_max,
        store,
        clock: deps.clock.clone(),
        random: deps.random.clone(),
    })
}

/// Forgets dead sessions now and then, until the drain.
async fn sweep(users: Arc<Users>, interval: Duration, stop: Stop) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            () = stop.drain_began() => return,
            _ = ticks.tick() => {}
        }
        match sweep_all(&users.sessions, &stop).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, "Forgot {rows} dead sessions and spent tokens"),
            Err(error) => warn!(cause = refuse::chain(&error), "Dead sessions stay for now"),
        }
    }
}

/// One bounded statement after the other, so that those who wait to write get in between.
async fn sweep_all(sessions: &Sessions, stop: &Stop) -> Result<u64, store::Error> {
    let mut rows = 0;
    while !stop.is_draining() {
        let deleted = sessions.sweep(SWEEP_ROWS_MAX).await?;
        rows += deleted;
        if deleted == 0 {
            break;
        }
    }
    Ok(rows)
}
