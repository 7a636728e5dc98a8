//! The simplest service there can be: one answer to every request, on one thread, so that the load's
//! core has room to keep any proxy busy. It also serves the key set that the gateway checks tokens with.

use std::process::ExitCode;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{Outcome, program, runtime};

/// Bytes of an answer's body, unless it is told.
pub(crate) const BODY_BYTES: usize = 1024;
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Serves until it is killed. Its arguments are the key set and the length of the answer's body.
pub(crate) fn main() -> ExitCode {
    let keys = std::env::args().nth(1).unwrap_or_default();
    let body = std::env::args().nth(2).and_then(|bytes| bytes.parse().ok()).unwrap_or(BODY_BYTES);
    match runtime().and_then(|runtime| runtime.block_on(serve(keys, body))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve(keys: String, body: usize) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    program::print(&format!("  upstream http://{}\n", listener.local_addr()?));
    let body = "x".repeat(body);
    let answer: &'static [u8] = answer("text/plain", &body).leak();
    let keys: &'static [u8] = self::answer("application/json", &keys).leak();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(
                    async move { connection(stream, answer, keys).await.ok() },
                );
            }
        })
        .await
}

fn answer(kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    // What most servers say.
    format!(
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Fri, 20 Nov 2026 17:00:00 GMT\r\n\
         Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: keep-alive\r\n\r\n{body}"
    )
    .into_bytes()
}

async fn connection(
    mut stream: TcpStream,
    answer: &'static [u8],
    keys: &'static [u8],
) -> Outcome<()> {
    let mut head = vec![0; HEAD_BYTES_MAX];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut head[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        // Requests without a body, one at a time: what the benchmark sends.
        if head[..filled].ends_with(b"\r\n\r\n") {
            let wants_keys = head.starts_with(b"GET /.well-known/");
            stream.write_all(if wants_keys { keys } else { answer }).await?;
            filled = 0;
        } else if filled == head.len() {
            return Err("the head is too large".into());
        }
    }
}
