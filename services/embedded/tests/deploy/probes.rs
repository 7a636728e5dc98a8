//! The probes, asked of a running program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::tree::binary;
use super::{cluster, compose};

/// `hubbub` with every part on a free port.
pub(crate) struct Running {
    child: Child,
    /// Where each listener is, by its name; nothing when it ended before it ran.
    pub(crate) urls: BTreeMap<String, String>,
}

impl Running {
    /// Starts `command`, whose binary is `hubbub`, with its data in `data`.
    pub(crate) fn start(mut command: Command, data: &Path) -> Self {
        command.arg("--data").arg(data);
        for key in ["gateway.listen", "gateway.admin_listen", "user.grpc_listen"] {
            command.arg("--set").arg(format!("{key}=127.0.0.1:0"));
        }
        for part in ["user", "chat", "message"] {
            command.arg("--set").arg(format!("{part}.listen=127.0.0.1:0"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let summary = lines.take_while(|line| line != "Ctrl-C stops it.");
        let urls = summary.filter_map(|line| {
            let (label, url) = line.trim().split_once(' ')?;
            Some((label.to_owned(), url.trim().to_owned()))
        });
        Self { urls: urls.collect(), child }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether `hubbub health` is content with `url`.
fn is_healthy(url: &str) -> bool {
    let mut command = Command::new(binary("hubbub"));
    command.args(["health", url]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

#[tokio::test]
async fn whatever_is_asked_of_a_part_is_what_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Command::new(binary("hubbub")), &folder.path().join("data"));
    let probes: BTreeSet<_> = compose::probes().into_iter().chain(cluster::probes()).collect();
    for (program, listener, path) in &probes {
        let url = format!("{}{path}", running.urls[listener]);
        let status = reqwest::get(&url).await.unwrap().status();
        assert_eq!(status, 200, "{program}: {url}");
    }
    assert_eq!(probes.len(), 8, "two of each part: {probes:?}");
}

#[test]
fn the_health_command_tells_200_from_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(Command::new(binary("hubbub")), &folder.path().join("data"));
    for listener in ["gateway", "user", "chat", "message"] {
        let base = &running.urls[listener];
        assert!(is_healthy(&format!("{base}/health/ready")), "{listener}");
        assert!(!is_healthy(&format!("{base}/health/nothing")), "{listener}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(!is_healthy(&format!("http://{nobody}/health/ready")));
}
