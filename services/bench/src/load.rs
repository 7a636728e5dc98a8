//! Closed-loop load: so many keep-alive connections, each with one request in flight, every answer
//! checked. An error counts as an error, never as a fast answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use crate::Outcome;
use crate::request::whole;

/// Keeps `connections` busy at `address` for `span`, each sending `request` over and over. Gives
/// the number of complete answers with the status 200; anything else ends the benchmark.
pub(crate) async fn load(
    address: &str,
    request: &str,
    connections: usize,
    span: Duration,
) -> Outcome<u64> {
    let end = Instant::now() + span;
    let answers = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (address, request, answers) = (address.to_owned(), request.to_owned(), answers.clone());
        let busy = async move { connection(&address, request.as_bytes(), end, &answers).await };
        tasks.spawn_local_on(busy, &local);
    }
    local
        .run_until(async {
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            Ok(answers.get())
        })
        .await
}

async fn connection(
    address: &str,
    request: &[u8],
    end: Instant,
    answers: &Cell<u64>,
) -> Outcome<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    while Instant::now() < end {
        stream.write_all(request).await?;
        let mut filled = 0;
        while whole(&buffer[..filled])?.is_none() {
            let read = stream.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Err("the connection was closed".into());
            }
            filled += read;
        }
        answers.set(answers.get() + 1);
    }
    Ok(())
}
