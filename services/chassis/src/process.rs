//! `main` of every binary: read, check, open, start, say where, wait, drain.
//!
//! Or does one of the small things that `command.rs` has, and stops.
//!
//! Exit codes: 0 after an orderly end, 1 when something could not be opened or started, 64 when
//! the command line or the configuration is wrong (`EX_USAGE` of `sysexits.h`).

mod command;

use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::config::{Faults, Layers, Settings};
use crate::process::command::Command;
use crate::running::Drained;
use crate::{Bus, Clock, Deps, Random, Running, StartError, bus, keys, telemetry};

/// `EX_USAGE`.
const EXIT_USAGE: u8 = 64;

/// What a binary is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name; also the name of its section, but for `hubbub`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// A profile over the defaults: a name and TOML.
    pub profile: Option<(&'static str, &'static str)>,
    /// The key that `--listen` sets.
    pub listen_key: &'static str,
    /// What `keys init` calls with its folder: each makes the keys of a service that are not there yet.
    pub keys: &'static [MakeKeys],
    /// What `keys init` and `rotate-keys` do for the service that issues access tokens, if it is in here.
    pub token_keys: Option<TokenKeys>,
}

/// The keys of access tokens, which are as the configuration wants them.
#[derive(Debug, Clone, Copy)]
pub struct TokenKeys {
    /// Makes the first in a folder.
    pub make: fn(&Layers, &Path) -> Result<(), StartError>,
    /// Makes the next for a data folder; says what it did.
    pub rotate: fn(&Layers, &Path) -> Result<String, StartError>,
}

/// Makes the keys of a service that are not in the folder yet.
pub type MakeKeys = fn(&Path) -> Result<(), StartError>;

/// `[process]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// From the signal to the end, whatever is still in flight.
    #[serde(with = "crate::config::span")]
    grace: Duration,
    /// How many events a listener of the bus may lag behind.
    bus_capacity: usize,
}

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Folder for everything that is kept; made if it is not there.
    #[arg(long, global = true, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// A configuration file over the defaults; may be repeated, later ones win.
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// One setting over everything else, as in --set gateway.quota.enabled=false.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to listen, as in 0.0.0.0:8000.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Print the configuration in force, secrets masked, and stop.
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Runs a program to its end.
pub fn main<C, S, F>(program: Program, start: S) -> ExitCode
where
    C: Settings,
    S: FnOnce(C, Deps) -> F,
    F: Future<Output = Result<Running, StartError>>,
{
    let arguments = match arguments(&program) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    if let Some(command) = &arguments.command {
        return command.run(&program, &arguments);
    }
    let layers = layers(&program, &arguments);
    if arguments.print_config {
        say(&layers.print());
    }
    let settings = match read::<C>(&layers) {
        Ok(_) if arguments.print_config => return ExitCode::SUCCESS,
        Ok(settings) => settings,
        Err(faults) => {
            complain(&format!("{}: the configuration has faults:\n{faults}", program.name));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(&program, &arguments, &layers, settings, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&program, &error),
    }
}

/// Says what went wrong, and whose fault it is.
fn fail(program: &Program, error: &StartError) -> ExitCode {
    complain(&format!("{}: {error}", program.name));
    match error {
        StartError::Config(_) => ExitCode::from(EXIT_USAGE),
        _ => ExitCode::FAILURE,
    }
}

fn arguments(program: &Program) -> Result<Arguments, ExitCode> {
    use clap::{CommandFactory as _, FromArgMatches as _};

    let command = Arguments::command().name(program.name).version(program.version);
    let parsed = command.try_get_matches().and_then(|found| Arguments::from_arg_matches(&found));
    parsed.map_err(|error| {
        // Help and version are no faults; a closed standard output is nobody's loss.
        error.print().ok();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

fn layers(program: &Program, arguments: &Arguments) -> Layers {
    let mut layers = Layers::defaults();
    if let Some((name, text)) = program.profile {
        layers.profile(name, text);
    }
    arguments.config.iter().for_each(|path| layers.file(path));
    layers.environment(program.listen_key, std::env::vars_os().filter_map(text_of));
    arguments.set.iter().for_each(|setting| layers.command_line(setting));
    if let Some(address) = arguments.listen {
        layers.put(program.listen_key, address.to_string());
    }
    layers
}

fn text_of((name, value): (std::ffi::OsString, std::ffi::OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.into_string().ok()?))
}

/// What a part is told, and its process.
struct Told<C> {
    part: C,
    process: Config,
    log: telemetry::Config,
    bus: bus::Config,
}

/// The settings of the part and of the process, or every fault of both.
fn read<C: Settings>(layers: &Layers) -> Result<Told<C>, Faults> {
    let mut faults = layers.faults();
    let part = faults.take(C::read(layers));
    let process = faults.take(layers.section("process"));
    let log = layers.section::<telemetry::Config>("telemetry");
    let log = faults.take(log.and_then(telemetry::Config::check));
    let bus = faults.take(bus::Config::read(layers));
    match (part, process, log, bus) {
        (Some(part), Some(process), Some(log), Some(bus)) => {
            faults.or(Some(Told { part, process, log, bus }))
        }
        _ => Err(faults),
    }
}

fn run<C, S, F>(
    program: &Program,
    arguments: &Arguments,
    layers: &Layers,
    told: Told<C>,
    start: S,
) -> Result<(), StartError>
where
    S: FnOnce(C, Deps) -> F,
    F: Future<Output = Result<Running, StartError>>,
{
    let Told { part, process, log, bus } = told;
    telemetry::install(&log).map_err(|error| StartError::Other(error.into()))?;
    layers.warnings().iter().for_each(|warning| warn!("{warning}"));
    keys::make_folder(&arguments.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Other(error.into()))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let random = Random::System;
        let bus = Bus::open(&bus, process.bus_capacity, program.name, &random).await?;
        let (clock, data) = (Clock::System, arguments.data.clone());
        let deps = Deps { bus: bus.clone(), clock, random, data };
        let running = start(part, deps).await?;
        say(&summary(program, arguments, &running));
        signals.next().await;
        drain(running, process.grace, &mut signals).await;
        bus.close().await;
        Ok(())
    })
}

async fn drain(running: Running, grace: Duration, signals: &mut Signals) {
    info!(grace_ms = grace.as_millis(), "Draining; a second signal stops at once");
    let parts = running.stops().to_vec();
    let drained = tokio::select! {
        drained = running.drain(grace) => drained,
        () = signals.next() => {
            parts.iter().for_each(crate::Stop::cancel);
            Drained::Cut
        }
    };
    match drained {
        Drained::Clean => info!("Stopped"),
        Drained::Cut => warn!("Stopped, and what was still in flight was cut off"),
    }
}

/// The signals that end a process.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(|error| StartError::Other(error.into()));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What is told once everything runs.
fn summary(program: &Program, arguments: &Arguments, running: &Running) -> String {
    let mut text = format!("{} {} is running.\n", program.name, program.version);
    let data = ("data".to_owned(), arguments.data.display().to_string());
    for (label, value) in running.lines.iter().chain([&data]) {
        writeln!(text, "  {label:<9} {value}").ok();
    }
    text + "Ctrl-C stops it.\n"
}

/// A closed standard output stops nothing.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    io::Write::write_all(&mut out, text.as_bytes()).and_then(|()| io::Write::flush(&mut out)).ok();
}

fn complain(text: &str) {
    io::Write::write_all(&mut io::stderr(), format!("{text}\n").as_bytes()).ok();
}
