//! The proxies that are measured in turns, each with the settings that suit it best: keep-alive on
//! both sides, `X-Forwarded-For` added, one or two workers.

mod caddy;
mod haproxy;
mod hubbub;
mod nginx;
mod pingora;

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::Instant;

use crate::Outcome;
use crate::issuer::Issuer;
use crate::machine::{Layout, Place};
use crate::program::{Process, find, need};

/// How long a peer may take to listen.
const READY_WINDOW: Duration = Duration::from_secs(10);
/// How often is looked whether it does.
const READY_PAUSE: Duration = Duration::from_millis(20);

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// No proxy at all.
    Direct,
    /// The gateway as shipped: token checked, metrics counted, access log written.
    Hubbub,
    /// The same with `gateway.lean_way = false`.
    HubbubGeneral,
    /// Without an access log.
    Nginx,
    /// With an access log, buffered.
    NginxLogging,
    /// With 16 KiB for what a tunnel carries.
    #[value(skip)]
    NginxTunnel16,
    /// With 64 KiB for it.
    #[value(skip)]
    NginxTunnel64,
    Haproxy,
    Caddy,
    Pingora,
}

/// What every peer is started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// For configurations, logs and whatever else a peer writes.
    pub(crate) folder: &'a Path,
    pub(crate) layout: Layout,
    pub(crate) upstream: SocketAddr,
    pub(crate) issuer: &'a Issuer,
}

/// Larger bodies are sent as files by nginx, which is the cheapest for them.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Starts what is behind every proxy, beside the load.
pub(crate) fn upstream(folder: &Path, body: usize, load: Place) -> Outcome<(Process, SocketAddr)> {
    if body > ANSWER_BYTES_MAX {
        return nginx::serve(folder, body, load);
    }
    let arguments = [String::new(), body.to_string()];
    let process = Process::own("upstream", load, load, &arguments, "  upstream")?;
    let address = process.line("upstream")?.replacen("http://", "", 1).parse()?;
    Ok((process, address))
}

/// A peer that listens.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) peer: Peer,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Hubbub => "hubbub",
            Self::HubbubGeneral => "hubbub, general way",
            Self::Nginx => "nginx",
            Self::NginxLogging => "nginx, logging",
            Self::NginxTunnel16 => "nginx, 16 KiB buffer",
            Self::NginxTunnel64 => "nginx, 64 KiB buffer",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Pingora => "pingora",
        }
    }

    /// Whether it is of this repository.
    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Hubbub | Self::HubbubGeneral)
    }

    /// The program of the system that it is, named like its package.
    const fn program(self) -> Option<&'static str> {
        match self {
            Self::Direct | Self::Hubbub | Self::HubbubGeneral | Self::Pingora => None,
            Self::Nginx | Self::NginxLogging | Self::NginxTunnel16 | Self::NginxTunnel64 => {
                Some("nginx")
            }
            Self::Haproxy => Some("haproxy"),
            Self::Caddy => Some("caddy"),
        }
    }

    fn start(self, setting: &Setting<'_>) -> Outcome<Running> {
        // Each has a folder of its own.
        let folder = setting.folder.join(self.name().replace([' ', ','], "-"));
        std::fs::create_dir_all(&folder)?;
        let setting = &Setting { folder: &folder, ..*setting };
        match self {
            Self::Direct => Err("going direct starts nothing".into()),
            Self::Hubbub | Self::HubbubGeneral => hubbub::start(self, setting),
            Self::Nginx | Self::NginxLogging | Self::NginxTunnel16 | Self::NginxTunnel64 => {
                nginx::start(self, setting)
            }
            Self::Haproxy => haproxy::start(setting),
            Self::Caddy => caddy::start(setting),
            Self::Pingora => pingora::start(setting),
        }
    }
}

/// Starts all of `peers`, in their order; going direct is left to the caller.
pub(crate) fn start(peers: &[Peer], setting: &Setting<'_>) -> Outcome<Vec<Running>> {
    let proxies = peers.iter().filter(|peer| **peer != Peer::Direct);
    proxies
        .map(|peer| {
            let running = peer.start(setting);
            running.map_err(|error| format!("{} did not start: {error}", peer.name()).into())
        })
        .collect()
}

/// Fails with what would help when a program that `peers` or the load need is missing.
pub(crate) fn need_all(peers: &[Peer], others: &[&'static str]) -> Outcome<()> {
    let mut names: Vec<_> = peers.iter().filter_map(|peer| peer.program()).collect();
    names.extend(others);
    names.sort_unstable();
    names.dedup();
    need(&names)?;
    if peers.contains(&Peer::Pingora) { pingora::build() } else { Ok(()) }
}

/// What the programs of `peers` call themselves, in a line.
pub(crate) fn versions(peers: &[Peer]) -> String {
    let mut programs: Vec<_> = peers.iter().filter_map(|peer| peer.program()).collect();
    programs.dedup();
    let version = |name: &&str| {
        let argument = if *name == "caddy" { "version" } else { "-v" };
        let output = Command::new(find(name)?).arg(argument).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let number = text.split([' ', '/', '\n']).find(|word| {
            word.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit())
        });
        Some(format!("{name} {}", number?.trim_start_matches('v')))
    };
    let mut versions: Vec<_> = programs.iter().filter_map(version).collect();
    if peers.contains(&Peer::Pingora) {
        versions.push(format!("pingora {}", pingora::VERSION));
    }
    versions.join(", ")
}

/// Starts a program of the system and waits until `address` can be connected to.
fn launch(
    mut command: Command,
    peer: Peer,
    address: SocketAddr,
    setting: &Setting<'_>,
) -> Outcome<Running> {
    let log = setting.folder.join("output.log");
    let file = File::create(&log)?;
    command.current_dir(setting.folder);
    command.stdout(Stdio::from(file.try_clone()?)).stderr(Stdio::from(file));
    let layout = setting.layout;
    let process = Process::start(command, layout.under_test(), layout.load())?;
    ready(process, &log, address).map(|process| Running { peer, process, address })
}

/// Waits until `address` can be connected to.
fn ready(mut process: Process, log: &Path, address: SocketAddr) -> Outcome<Process> {
    let end = Instant::now() + READY_WINDOW;
    while TcpStream::connect(address).is_err() {
        if !process.is_there() || Instant::now() > end {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            return Err(format!("nothing listens at {address}: {said}").into());
        }
        sleep(READY_PAUSE);
    }
    Ok(process)
}

/// An address that nobody has at the moment.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
