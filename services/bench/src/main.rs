//! The benchmark programs: each starts what it needs, measures it in turns, and prints its figures
//! beside the set-up that they belong to.
//!
//! The processes under test are this same binary under another name, so that a figure is always of
//! the code beside it: see [`program`].

mod all;
mod disk;
mod doors;
mod echo;
mod figures;
mod frames;
mod identity;
mod ingest;
mod issuer;
mod latency;
mod load;
mod machine;
mod memory;
mod neighbours;
mod open_loop;
mod peers;
mod proc;
mod program;
mod proxies;
mod request;
mod rounds;
mod sends;
mod smoke;
mod sockets;
mod table;
mod upstream;
mod wrk;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What can go wrong in a benchmark ends it, with its words.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures Hubbub and prints figures with their set-up")]
struct Arguments {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Two figures in half a minute: what the gateway costs, and durable messages per second.
    Smoke,
    /// What a proxied request costs, beside nginx, HAProxy, Caddy and Pingora.
    Proxies(proxies::Options),
    /// How long requests wait at half load, beside nginx and HAProxy.
    Latency(latency::Options),
    /// What a WebSocket message costs, beside nginx and HAProxy.
    Sockets(sockets::Options),
    /// What idle connections cost in memory, beside nginx and HAProxy.
    Memory(memory::Options),
    /// How many messages per second are acknowledged, on both engines.
    Ingest(ingest::Options),
    /// Checking tokens, signing in, the directory, ending sessions; all of it, or the parts named.
    Identity(identity::Options),
    /// How long it takes to find a route among 10, 1,000 and 10,000.
    Routes(doors::Options),
    /// What each feature of the gateway costs a request.
    Features(doors::Options),
    /// Everything, one after the other; takes part of an hour.
    All(all::Options),
}

fn main() -> ExitCode {
    if let Some(code) = program::as_named() {
        return code;
    }
    let report = match Arguments::parse().which {
        Which::Smoke => smoke::run(),
        Which::Proxies(options) => proxies::run(&options),
        Which::Latency(options) => latency::run(&options),
        Which::Sockets(options) => sockets::run(&options),
        Which::Memory(options) => memory::run(&options),
        Which::Ingest(options) => ingest::run(&options),
        Which::Identity(options) => identity::run(&options),
        Which::Routes(options) => doors::routes(&options),
        Which::Features(options) => doors::features(&options),
        Which::All(options) => all::run(&options),
    };
    match report {
        Ok(report) => {
            program::print(&report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            program::print(&format!("The benchmark failed: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// The load has one core, like what it loads.
fn runtime() -> Outcome<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
