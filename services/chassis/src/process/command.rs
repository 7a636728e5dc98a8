//! The small things that a binary does beside running: making keys, asking a part how it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::{Arguments, EXIT_USAGE, Program, complain, fail, layers, say};
use crate::config::Layers;
use crate::{StartError, http_client};

/// From asking a part how it is to giving it up.
const HEALTH_WINDOW: Duration = Duration::from_secs(3);

/// What is done instead of running.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The keys that services sign with.
    Keys {
        #[command(subcommand)]
        what: Keys,
    },
    /// Makes the next key of access tokens. Services that run take it over by themselves.
    RotateKeys,
    /// Ends with 0 when URL answers 200 within 3 s: for containers without a shell.
    Health {
        /// As in `http://127.0.0.1:3001/health/ready`.
        url: String,
    },
}

/// What is done with keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Keys {
    /// Makes those that are not there yet; replicas of a service share them.
    Init {
        /// Where they are kept; made if it is not there, for its owner alone.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

impl Command {
    pub(super) fn run(&self, program: &Program, arguments: &Arguments) -> ExitCode {
        let done = match (self, program.token_keys) {
            (Self::Keys { what: Keys::Init { folder } }, _) => make(program, arguments, folder),
            (Self::RotateKeys, Some(keys)) => written(program, arguments)
                .and_then(|layers| (keys.rotate)(&layers, &arguments.data)),
            (Self::RotateKeys, None) => {
                complain(&format!(
                    "{}: the keys of access tokens are the user service's",
                    program.name
                ));
                return ExitCode::from(EXIT_USAGE);
            }
            (Self::Health { url }, _) if !url.starts_with("http://") => {
                complain(&format!("{}: {url} is no URL that begins with http://", program.name));
                return ExitCode::from(EXIT_USAGE);
            }
            (Self::Health { url }, _) => ask(url).map(|()| "healthy\n".to_owned()),
        };
        match done {
            Ok(text) => {
                say(&text);
                ExitCode::SUCCESS
            }
            Err(error) => fail(program, &error),
        }
    }
}

/// The configuration, when it can be read at all.
fn written(program: &Program, arguments: &Arguments) -> Result<Layers, StartError> {
    let layers = layers(program, arguments);
    layers.faults().or(Some(layers)).map_err(StartError::Config)
}

fn make(program: &Program, arguments: &Arguments, folder: &Path) -> Result<String, StartError> {
    program.keys.iter().try_for_each(|make| make(folder))?;
    if let Some(keys) = program.token_keys {
        (keys.make)(&written(program, arguments)?, folder)?;
    }
    Ok(format!("The keys are in {}.\n", folder.display()))
}

fn ask(url: &str) -> Result<(), StartError> {
    let other = |error: Box<dyn std::error::Error + Send + Sync>| StartError::Other(error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| other(error.into()))?;
    let http = http_client::open()?;
    let answer = runtime.block_on(async { http.get(url).timeout(HEALTH_WINDOW).send().await });
    match answer.map_err(|error| other(error.into()))?.status() {
        http::StatusCode::OK => Ok(()),
        status => Err(other(format!("{url} answered {status}").into())),
    }
}
