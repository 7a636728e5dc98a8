//! The end of a connection on which more may come: said so that the last answer is read, and not
//! cut off by a reset.

use std::io;
use std::rc::Rc;

use chassis::linger::{LINGER_BYTES_MAX, LINGER_WINDOW};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::link::Link;
use crate::refusal::Refusal;
use crate::visit::Visit;
use crate::wire::{After, whole};

/// Tells a caller that never got as far as the corridor why.
pub(crate) async fn refuse(link: &Rc<Link>, mut stream: TcpStream, refusal: &Refusal) {
    let mut answer = Vec::new();
    let mut visit = Visit::of_nothing(link);
    let response = visit.refuse(refusal);
    whole(&response, &mut visit, &link.core, After::Closes, &mut answer);
    drop(visit);
    // A caller that does not take its answer in this time is left alone.
    if let Ok(Ok(())) = timeout(LINGER_WINDOW, stream.write_all(&answer)).await {
        linger(stream).await;
    }
}

/// Whether `stream` stands, and nothing has come on it that was not read. One call.
pub(crate) fn has_nothing_unread(stream: &TcpStream) -> bool {
    let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    matches!(recv(stream, &mut [0_u8], look), Err(Errno::WOULDBLOCK))
}

/// Ends a connection that nobody needs any more: at once, unless something has come that was not read,
/// which would make the kernel cut off what was sent last.
pub(crate) async fn part(mut stream: TcpStream) {
    if has_nothing_unread(&stream) {
        // The peer may be gone already.
        stream.shutdown().await.ok();
    } else {
        linger(stream).await;
    }
}

/// Ends a connection on which more may come, within bounds.
pub(crate) async fn linger(mut stream: TcpStream) {
    let read = async {
        let (mut part, mut read) = ([0; 4096], 0_u64);
        stream.shutdown().await?;
        while read <= LINGER_BYTES_MAX {
            match stream.read(&mut part).await? {
                0 => break,
                more => read += more as u64,
            }
        }
        Ok::<_, io::Error>(())
    };
    // The peer may be gone already.
    timeout(LINGER_WINDOW, read).await.ok();
}
