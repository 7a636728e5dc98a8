//! Every part as a process of its own, with no broker between them.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::client::Client;
use super::hub::{Program, sibling};

/// Four processes on one data folder.
pub(crate) struct Apart {
    pub(crate) user: Program,
    pub(crate) message: Program,
    pub(crate) chat: Program,
    pub(crate) gateway: Program,
    places: Places,
    folder: TempDir,
}

/// Ports of the spokes.
#[derive(Clone, Copy)]
struct Places {
    user: u16,
    chat: u16,
    message: u16,
}

impl Apart {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [user, chat, message] = [(); 3].map(|()| harness::free_port().unwrap());
        let places = Places { user, chat, message };
        let start = |part, settings: &[&str]| places.start(folder.path(), part, settings);
        let (blocklist, grpc) = ("user.passwords.blocklist=false", "user.grpc_listen=127.0.0.1:0");
        Self {
            user: start("user", &[&listen("user", user), blocklist, grpc]),
            message: start("message", &[&listen("message", message)]),
            chat: start("chat", &[&listen("chat", chat)]),
            gateway: start(
                "gateway",
                &[
                    "gateway.listen=127.0.0.1:0",
                    "gateway.admin_listen=127.0.0.1:0",
                    "gateway.quota.enabled=false",
                ],
            ),
            places,
            folder,
        }
    }

    /// Starts the chat service where it was.
    pub(crate) fn start_chat_again(&mut self) {
        let settings = listen("chat", self.places.chat);
        self.chat = self.places.start(self.folder.path(), "chat", &[&settings]);
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.gateway.url("gateway"))
    }
}

impl Places {
    fn start(self, folder: &Path, name: &str, settings: &[&str]) -> Program {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut command = Command::new(sibling(name));
        command.arg("--data").arg(folder.join("data"));
        command.env("USER_SERVICE_URL", url(self.user)).env("CHAT_SERVICE_URL", url(self.chat));
        command.env("MESSAGE_SERVICE_URL", url(self.message));
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        Program::start(command, folder.join(name))
    }
}

fn listen(name: &str, at: u16) -> String {
    format!("{name}.listen=127.0.0.1:{at}")
}
