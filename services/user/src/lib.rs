//! The user service: accounts, credentials, sessions, and the keys of access tokens.
//!
//! A call goes `api` (the route table) → `api/*` (a handler each: translate, do not decide) →
//! `users` (the rules: `register`, `setup`, `login`, `session`, `profile`, `directory`) → `store`
//! (every statement). What a field has to be is a type in `account`. It promises that a password
//! is never stored, that a session has one good refresh token at a time, and that an account which
//! was answered for is on the disk.

mod account;
mod address;
mod api;
mod attempts;
mod config;
mod directory;
mod error;
mod faults;
mod login;
mod password;
mod profile;
mod register;
mod session;
mod setup;
mod store;
mod token;
mod users;

use std::sync::Arc;
use std::time::Duration;

use chassis::database::{Database, Schema, Step, Text};
use chassis::health::Health;
use chassis::identity::Identity;
use chassis::process::Program;
use chassis::{Deps, Running, StartError, Stop, refuse, serve};
use tracing::{info, warn};

pub use config::Config;
pub use token::make_keys;

use crate::api::Api;
use crate::attempts::Attempts;
use crate::password::Passwords;
use crate::session::Sessions;
use crate::store::Store;
use crate::token::Issuer;
use crate::users::Users;

/// The binary.
pub const PROGRAM: Program = Program {
    name: "user",
    version: env!("CARGO_PKG_VERSION"),
    profile: None,
    listen_key: "user.listen",
    keys: &[make_keys],
};

/// What is kept. A step is never changed once shipped.
const SCHEMA: Schema = Schema {
    name: "hubbub_user",
    steps: &[Step {
        number: 1,
        name: "accounts and sessions",
        sql: Text {
            sqlite: include_str!("../migrations/sqlite/0001_accounts_and_sessions.sql"),
            postgres: include_str!("../migrations/postgres/0001_accounts_and_sessions.sql"),
        },
    }],
};
/// Most rows that one statement of the sweep deletes, so that nobody waits long behind it.
const SWEEP_ROWS_MAX: u32 = 1_000;

/// Starts the service: opens what it needs, binds, serves.
pub async fn start(config: Config, deps: Deps) -> Result<Running, StartError> {
    let stop = Stop::new();
    let chosen_code = config.setup_code()?;
    let file = deps.data.join(&config.section.database_file);
    let database = Database::open(&config.database, &file, &SCHEMA).await?;
    let store = Store::new(database.clone());
    let issuer = Issuer::open(&config, &deps)?;
    let identity = Identity::with_keys(&config.identity, "user", &deps, issuer.key_source()?);
    let drawn_code = setup::offer(&store, chosen_code.as_ref(), &deps.random).await;
    let drawn_code = drawn_code.map_err(|error| StartError::Other(error.into()))?;

    let users = Arc::new(users(&config, &deps, store, issuer, &stop));
    stop.spawn(sweep(users.clone(), config.section.sweep_interval, stop.clone()));
    let api = Api::new(users, identity, config.section.trusted_proxies.clone());
    let health = Health::new("User Service", PROGRAM.version, deps.clock, stop.clone());
    let health = health.with_database(database.clone());
    let (listen, limits) = (config.section.listen, &config.section.server);
    let address = serve::serve(listen, limits, api.routes(), health, &stop)?;

    let running = Running::new("user", address, stop).keeping(database);
    Ok(match drawn_code {
        Some(code) => {
            running.line("set-up", format!("{code}  makes the first administrator; shown only now"))
        }
        None => running,
    })
}

fn users(config: &Config, deps: &Deps, store: Store, issuer: Issuer, stop: &Stop) -> Users {
    let section = &config.section;
    Users {
        passwords: Passwords::new(
            section.passwords.parallel,
            section.passwords.waiting_max,
            stop.tracker().clone(),
        ),
        sessions: Sessions {
            store: store.clone(),
            issuer,
            lives: section.sessions.clone(),
            clock: deps.clock.clone(),
            random: deps.random.clone(),
        },
        attempts: Attempts::new(section.attempts_entries_max),
        rules: config.password_rules(),
        store,
        clock: deps.clock.clone(),
        random: deps.random.clone(),
    }
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
