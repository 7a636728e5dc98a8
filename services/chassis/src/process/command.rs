//! The small things that a binary does beside running: making keys, asking a part how it is.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{EXIT_USAGE, Program, complain, say};
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
    pub(super) fn run(&self, program: &Program) -> ExitCode {
        let done = match self {
            Self::Keys { what: Keys::Init { folder } } => {
                let made = program.keys.iter().try_for_each(|make| make(folder));
                made.map(|()| format!("The keys are in {}.\n", folder.display()))
            }
            Self::Health { url } if !url.starts_with("http://") => {
                complain(&format!("{}: {url} is no URL that begins with http://", program.name));
                return ExitCode::from(EXIT_USAGE);
            }
            Self::Health { url } => ask(url).map(|()| "healthy\n".to_owned()),
        };
        match done {
            Ok(text) => {
                say(&text);
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(&format!("{}: {error}", program.name));
                ExitCode::FAILURE
            }
        }
    }
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
