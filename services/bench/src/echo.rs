//! The cheapest service of WebSockets: every message comes back. A socket that is silent costs it
//! nothing but its descriptor.

use std::io::ErrorKind;
use std::process::ExitCode;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::frames::{By, accept, first, write};
use crate::{Outcome, program, runtime};

/// What is read at once, at most.
const PART_BYTES: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// Serves until it is killed.
pub(crate) fn main() -> ExitCode {
    match runtime().and_then(|runtime| runtime.block_on(serve())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve() -> Outcome<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    program::print(&format!("  echo {}\n", listener.local_addr()?));
    let local = LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(async move { connection(stream).await.ok() });
            }
        })
        .await
}

async fn connection(mut stream: TcpStream) -> Outcome<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if read(&stream, &mut head).await? == 0 {
            return Ok(());
        }
    }
    if !head.starts_with(b"GET /ws") {
        // Probes ask how it is.
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        return Ok(stream.write_all(answer).await?);
    }
    stream.write_all(accept(&head)?.as_bytes()).await?;
    drop(head);
    let (mut input, mut output) = (Vec::new(), Vec::new());
    while read(&stream, &mut input).await? > 0 {
        let mut done = 0;
        while let Some(frame) = first(&input[done..], By::Client)? {
            write(&mut output, By::Server, &input[done + frame.head..done + frame.whole]);
            done += frame.whole;
        }
        input.drain(..done);
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}

/// Appends what is there; waits without a buffer.
pub(crate) async fn read(stream: &TcpStream, to: &mut Vec<u8>) -> Outcome<usize> {
    loop {
        stream.readable().await?;
        to.reserve(PART_BYTES.saturating_sub(to.len()));
        match stream.try_read_buf(to) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return Ok(done?),
        }
    }
}
