//! What a peer sends, text by text. Reads into a buffer that the sockets of a thread share, so that
//! an idle socket holds none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use contract::live::INBOUND_BYTES_MAX;

use super::line::{Ending, Line};
use crate::codec::{self, Decoder, Fault, Incoming};

/// Most bytes that are read at once.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Holds bytes only between a read and their decoding, which never wait.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES_MAX]);
}

/// The reading end of a socket.
#[derive(Debug)]
pub(crate) struct Inbox {
    line: Arc<Line>,
    decoder: Decoder,
    /// Decoded and not yet taken: at most what one read brought.
    messages: VecDeque<Incoming>,
    fault: Option<Fault>,
}

impl Inbox {
    /// `early` came together with the upgrade request.
    pub(crate) fn new(line: Arc<Line>, early: &[u8]) -> Self {
        let decoder = Decoder::new(INBOUND_BYTES_MAX);
        let mut inbox = Self { line, decoder, messages: VecDeque::new(), fault: None };
        inbox.decode(early);
        inbox
    }

    /// The next text, or why there will be none. Safe to drop: nothing is lost by it.
    pub(crate) async fn next(&mut self) -> Result<String, Ending> {
        loop {
            match self.messages.pop_front() {
                Some(Incoming::Text(text)) => return Ok(text),
                // Only the newest ping asks for an answer (RFC 6455 section 5.5.3).
                Some(Incoming::Ping(payload)) => {
                    if !self.messages.iter().any(|next| matches!(next, Incoming::Ping(_))) {
                        self.line.push(codec::pong(&payload));
                    }
                }
                Some(Incoming::Pong) => {}
                Some(Incoming::Close(_)) => return Err(Ending::Answered),
                None => self.fill().await?,
            }
        }
    }

    /// Reads on until the peer has closed. Safe to drop.
    pub(crate) async fn until_closed(&mut self) {
        while self.fault.is_none() {
            if self.next().await.is_err() {
                break;
            }
        }
        // Behind a fault nothing can be understood: wait for the end of the connection.
        while self.fault.is_some() {
            if self.line.stream().readable().await.is_err() {
                return;
            }
            match self.read(|_, _| ()) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Ending> {
        if let Some(fault) = self.fault {
            return Err(Ending::Close(fault.into()));
        }
        // Once emptied, an idle socket keeps nothing.
        self.messages = VecDeque::new();
        self.line.uncrowded().await;
        self.line.stream().readable().await.map_err(|_| Ending::Gone)?;
        match self.read(Self::decode) {
            Ok(0) => Err(Ending::Gone),
            Ok(_) => {
                self.line.heard();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Ending::Gone),
        }
    }

    fn read(&mut self, take: impl FnOnce(&mut Self, &[u8])) -> io::Result<usize> {
        BUFFER.with_borrow_mut(|buffer| {
            let read = self.line.stream().try_read(buffer)?;
            take(self, buffer.get(..read).unwrap_or_default());
            Ok(read)
        })
    }

    fn decode(&mut self, mut bytes: &[u8]) {
        loop {
            match self.decoder.next(&mut bytes) {
                Ok(Some(message)) => self.messages.push_back(message),
                Ok(None) => return,
                Err(fault) => {
                    self.fault = Some(fault);
                    return;
                }
            }
        }
    }
}
