//! Caddy.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::{Peer, Running, Setting, free_address, launch};
use crate::Outcome;
use crate::program::find;

pub(super) fn start(setting: &Setting<'_>) -> Outcome<Running> {
    let address = free_address()?;
    let transport = json!({
        "protocol": "http",
        "compression": false,
        "keep_alive": {"max_idle_conns": 1024, "max_idle_conns_per_host": 1024},
    });
    let proxy = json!({
        "handler": "reverse_proxy",
        "transport": transport,
        "upstreams": [{"dial": setting.upstream.to_string()}],
    });
    let config = json!({
        "admin": {"disabled": true},
        "apps": {"http": {"servers": {"bench": {
            "listen": [address.to_string()],
            "automatic_https": {"disable": true},
            "routes": [{"handle": [proxy]}],
        }}}},
    });
    let file = setting.folder.join("caddy.json");
    fs::write(&file, config.to_string())?;
    let mut command = Command::new(find("caddy").ok_or("caddy is missing")?);
    command.arg("run").arg("--config").arg(&file);
    command.env("GOMAXPROCS", setting.layout.workers().to_string());
    // Nothing of a benchmark stays in anybody's home.
    command.env("HOME", setting.folder);
    launch(command, Peer::Caddy, address, setting)
}
