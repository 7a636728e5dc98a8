//! nginx, as a proxy and as the upstream of them all.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Peer, Running, Setting, free_address, launch, ready};
use crate::Outcome;
use crate::machine::Place;
use crate::program::{Process, find};

/// Starts nginx as a proxy.
pub(super) fn start(peer: Peer, setting: &Setting<'_>) -> Outcome<Running> {
    let address = free_address()?;
    let Setting { folder, upstream, .. } = setting;
    let log = match peer {
        Peer::NginxLogging => "access_log access.log combined buffer=64k flush=1s;",
        _ => "access_log off;",
    };
    // The buffer of a tunnel is the one of heads, which are small and leave it at its default.
    let buffer = match peer {
        Peer::NginxTunnel16 => "proxy_buffer_size 16k;",
        Peer::NginxTunnel64 => "proxy_buffer_size 64k; proxy_busy_buffers_size 64k;",
        _ => "",
    };
    let http = format!(
        "{log} {buffer} proxy_buffers 16 16k;
    upstream bench {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen {address} reuseport;
        proxy_http_version 1.1;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        location / {{
            proxy_set_header Connection '';
            proxy_pass http://bench;
        }}
        location /ws {{
            proxy_set_header Connection upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_read_timeout 10m;
            proxy_pass http://bench;
        }}
    }}"
    );
    let command = command(folder, setting.layout.workers(), &http)?;
    launch(command, peer, address, setting)
}

/// Starts nginx as the upstream beside the load: the file `/bench/<bytes>` is so many times `x`.
pub(crate) fn serve(folder: &Path, body: usize, load: Place) -> Outcome<(Process, SocketAddr)> {
    let folder = folder.join("upstream");
    let address = free_address()?;
    fs::create_dir_all(folder.join("bench"))?;
    let text = "x".repeat(body);
    fs::write(folder.join(format!("bench/{body}")), &text)?;
    let http = format!(
        "access_log off;
    server {{
        listen {address};
        root {};
        location = /health {{ return 200 'well'; }}
        open_file_cache max=16; sendfile on; tcp_nopush on;
    }}",
        folder.display()
    );
    let process = Process::start(command(&folder, 1, &http)?, load, load)?;
    let process = ready(process, &folder.join("error.log"), address)?;
    Ok((process, address))
}

fn command(folder: &Path, workers: usize, http: &str) -> Outcome<Command> {
    let text = format!(
        "daemon off; user root root; worker_processes {workers}; worker_rlimit_nofile 20000;
error_log error.log; pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    default_type text/plain;
    keepalive_timeout 75s; keepalive_requests 1000000000;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {http}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(find("nginx").ok_or("nginx is missing")?);
    command.arg("-p").arg(folder).arg("-c").arg(&file).arg("-e").arg(folder.join("error.log"));
    Ok(command)
}
