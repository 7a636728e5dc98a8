//! What every process of Hubbub needs and no service is about.
//!
//! A part is a library with one door, `async fn start(Config, Deps) -> Result<Running, StartError>`;
//! this crate gives it what it stands on: a `main`, layered configuration, a clock that tests can
//! hold still, a listener that drains, a check of who is calling, a bus and a database. Nothing in
//! here knows a rule of a service, and nothing is global: two copies of a part run in one test.

pub mod bus;
pub mod caller;
pub mod clock;
pub mod config;
pub mod database;
pub mod health;
pub mod hop;
pub mod http_client;
pub mod identity;
pub mod json;
pub mod keys;
pub mod linger;
pub mod openapi;
pub mod peer;
pub mod process;
pub mod random;
pub mod refuse;
pub mod revocation;
pub mod running;
pub mod secret;
pub mod serve;
pub mod telemetry;
pub mod tokens;

use std::path::PathBuf;

pub use bus::Bus;
pub use clock::Clock;
pub use random::Random;
pub use running::{Running, StartError, Stop};

/// What a part takes from the process that it runs in.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Where events are rung.
    pub bus: Bus,
    /// What time it is.
    pub clock: Clock,
    /// Where chance comes from.
    pub random: Random,
    /// The data folder; it exists, and only its owner may enter.
    pub data: PathBuf,
}
