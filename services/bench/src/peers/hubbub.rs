//! The gateway of this repository, as shipped: this binary under another name.

use std::fs;
use std::path::Path;

use super::{Peer, Running, Setting};
use crate::Outcome;
use crate::program::Process;

/// Starts the gateway: its defaults, a route to the upstream that wants a token, the access log into
/// a file. No quota is on the route, as on most.
pub(super) fn start(peer: Peer, setting: &Setting<'_>) -> Outcome<Running> {
    let Setting { folder, layout, upstream, issuer } = setting;
    let threads = layout.workers();
    let lean_way = peer == Peer::Hubbub;
    let issuer = &issuer.url;
    let file = folder.join("bench.toml");
    fs::write(
        &file,
        format!(
            "[gateway]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\n\
             threads = {threads}\nlean_way = {lean_way}\naccess_log.to = 'access.log'\n\
             auth.jwks_url = '{issuer}/.well-known/jwks.json'\nauth.revocations_url = ''\n\
             [gateway.upstreams.bench]\nendpoints = ['http://{upstream}']\n\
             [gateway.routes.bench]\nprefix = '/bench'\nupstream = 'bench'\nauth = 'required'\n\
             [gateway.routes.bench-sockets]\nprefix = '/ws'\nupstream = 'bench'\n\
             auth = 'required'\nwebsocket = true\n"
        ),
    )?;
    let arguments = arguments(&file, folder);
    let process =
        Process::own("gateway", layout.under_test(), layout.load(), &arguments, "Ctrl-C")?;
    let address = process.line("gateway")?.replacen("http://", "", 1).parse()?;
    Ok(Running { peer, process, address })
}

fn arguments(file: &Path, folder: &Path) -> [String; 4] {
    let data = folder.join("data");
    ["--config".to_owned(), text(file), "--data".to_owned(), text(&data)]
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
