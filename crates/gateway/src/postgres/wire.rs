//! A client's socket with its two buffers: bytes in as frames, replies out in as few writes as possible.
//!
//! Invariants: the input grows by what arrives, never by what a length claims; a frame is handed out whole; both buffers
//! shrink again once a large message has passed, so that an idle connection holds a few kilobytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use tokio::net::TcpStream;

use super::counters::{Counters, add};
use super::failure::{Failure, Outcome, violation};
use super::frontend::longest;
use super::inbox::{Inbox, InboxPart};
use super::stream::Stream;
use super::tls::Tls;

/// What an idle connection keeps of each buffer.
const KEPT_BYTES: usize = 8 << 10;
/// One read.
const READ_BYTES: usize = 4 << 10;
/// One read inside a large message.
const LARGE_READ_BYTES: usize = 64 << 10;
/// How far ahead of the statement that runs we read: enough for pipelines, and to notice a client that hangs up.
const READ_AHEAD_BYTES: usize = 64 << 10;

pub(crate) struct Wire {
    stream: Stream,
    peer: Option<SocketAddr>,
    input: BytesMut,
    /// Replies not yet written.
    pub(crate) output: BytesMut,
    counters: Arc<Counters>,
    message_bytes_max: usize,
    part: InboxPart,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, counters: Arc<Counters>, message_bytes_max: usize, inbox: Arc<Inbox>) -> Wire {
        let peer = socket.peer_addr().ok();
        Wire {
            stream: Stream::Plain(socket),
            peer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            counters,
            message_bytes_max,
            part: InboxPart::new(inbox),
        }
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    /// The first byte of the connection, left to be read.
    pub(crate) async fn peek(&self) -> io::Result<u8> {
        self.stream.peek().await
    }

    /// Encrypts from here on; the protocol agreed on, if any. Nothing may have been read ahead.
    pub(crate) async fn encrypt(&mut self, tls: &Tls) -> io::Result<Option<Vec<u8>>> {
        debug_assert!(self.input.is_empty() && self.output.is_empty());
        self.stream.encrypt(tls).await
    }

    /// Bytes that have arrived and were not taken yet.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.input
    }

    pub(crate) fn take(&mut self, len: usize) -> Bytes {
        self.input.split_to(len.min(self.input.len())).freeze()
    }

    /// Reads something more. The end of the stream is an error: whoever asks needs more.
    pub(crate) async fn fill(&mut self, still_missing: usize) -> io::Result<()> {
        if self.input.is_empty() {
            // The last message has been handled.
            self.part.holds(0);
        }
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
            self.input = BytesMut::new();
        }
        self.input.reserve(if still_missing > READ_BYTES { LARGE_READ_BYTES } else { READ_BYTES });
        match self.stream.read(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                add(&self.counters.bytes_received, n as u64);
                match self.part.holds(self.input.len()) {
                    true => Ok(()),
                    false => Err(io::ErrorKind::OutOfMemory.into()),
                }
            }
        }
    }

    /// Resolves when the client has hung up. Meanwhile reads ahead, up to a limit. Safe to drop at any time.
    pub(crate) async fn hung_up(&mut self) {
        while self.input.len() < READ_AHEAD_BYTES {
            if self.fill(0).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }

    /// The next frame if it has arrived whole: type and body. Otherwise how many bytes are missing at least.
    pub(crate) fn frame(&mut self) -> Outcome<Result<(u8, Bytes), usize>> {
        let Some((&kind, rest)) = self.input.split_first() else { return Ok(Err(5)) };
        let Some(longest) = longest(kind, self.message_bytes_max) else {
            return Err(Failure::Fatal(violation(format!("invalid frontend message type {kind}"))));
        };
        let Some(length) = rest.first_chunk::<4>() else { return Ok(Err(4)) };
        let length = match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) if (4..=longest).contains(&length) => length,
            _ => return Err(Failure::Fatal(violation("invalid message length"))),
        };
        if rest.len() < length {
            return Ok(Err(length - rest.len()));
        }
        self.input.advance(5);
        Ok(Ok((kind, self.input.split_to(length - 4).freeze())))
    }

    /// Appends a reply.
    pub(crate) fn send(&mut self, message: &impl Message) {
        let before = self.output.len();
        if let Err(error) = message.encode(&mut self.output) {
            // Only a reply beyond the protocol's own limits; better missing than half.
            tracing::error!(%error, "a reply could not be encoded");
            self.output.truncate(before);
        }
    }

    /// Writes everything gathered. Waits as long as the client does not read.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let counters = &self.counters;
        let result = self.stream.write_all(&mut self.output, |n| add(&counters.bytes_sent, n as u64)).await;
        self.output.clear();
        if self.output.capacity() > 4 * LARGE_READ_BYTES {
            self.output = BytesMut::new();
        }
        result
    }

    /// Gives the buffers back before a wait that may be long.
    pub(crate) fn rest(&mut self) {
        if self.output.is_empty() && self.output.capacity() > KEPT_BYTES {
            self.output = BytesMut::new();
        }
    }

    /// Says goodbye properly, so that the last reply is not lost to a reset. Bounded by what is readable right now.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        // Unread input would turn the close into a reset that overtakes our last message.
        let mut scrap = [0; 4096];
        for _ in 0..256 {
            if self.stream.discard(&mut scrap) == 0 {
                break;
            }
        }
    }
}
