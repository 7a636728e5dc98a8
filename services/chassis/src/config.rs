//! Layered configuration: compiled-in defaults, a profile, files, the environment, `--set`; later
//! wins. Every fault of every section is found before anything is opened.
//!
//! A section is a struct of the module that uses it, with `deny_unknown_fields` and no `Default`:
//! the only defaults are in `config/default.toml`, each beside its unit and a comment.

mod faults;
mod layers;
mod older;
mod tree;

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

pub use faults::{Fault, Faults};
pub use layers::{Layer, Layers};

/// The defaults of every part.
pub const DEFAULT: &str = include_str!("../../../config/default.toml");

/// The settings of a process, read from its layers.
pub trait Settings: Sized {
    /// Reads them, or finds every fault.
    fn read(layers: &Layers) -> Result<Self, Faults>;
}

/// Reads a duration written with its unit: `"250ms"`, `"10s"`, `"5m"`.
pub mod span {
    use super::{Deserialize, Deserializer, Duration, de};

    /// For `#[serde(with = "chassis::config::span")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)
            .map_err(|_| de::Error::custom("expected a duration with its unit, as in \"10s\""))?;
        humantime::parse_duration(&text)
            .map_err(|_| de::Error::custom("expected a duration with its unit, as in \"10s\""))
    }
}
