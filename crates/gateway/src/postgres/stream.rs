//! A client's socket, plain or encrypted, as one thing to read from and write to.
//!
//! Invariants: reading and writing are cancel-safe: a call dropped while it waits has taken and given nothing. Plain
//! sockets are tried before they are waited for, so that data that is there costs one system call.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::tls::Tls;

pub(crate) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
    /// A handshake failed, or was given up.
    Gone,
}

impl Stream {
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Encrypted(_))
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Stream::Plain(socket) => Some(socket),
            Stream::Encrypted(tls) => Some(tls.get_ref().0),
            Stream::Gone => None,
        }
    }

    /// The first byte that comes, left where it is.
    pub(crate) async fn peek(&self) -> io::Result<u8> {
        let mut first = [0];
        match self.socket().ok_or(io::ErrorKind::NotConnected)?.peek(&mut first).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(first[0]),
        }
    }

    /// Encrypts from here on; the protocol agreed on (ALPN), if any.
    pub(crate) async fn encrypt(&mut self, tls: &Tls) -> io::Result<Option<Vec<u8>>> {
        let Stream::Plain(socket) = std::mem::replace(self, Stream::Gone) else {
            return Err(io::Error::other("already encrypted"));
        };
        let stream = tls.acceptor.accept(socket).await?;
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        *self = Stream::Encrypted(Box::new(stream));
        Ok(protocol)
    }

    /// Appends what has arrived, at least a byte; 0 at the end of the stream.
    pub(crate) async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        match self {
            // Not `try_read_buf`: that finds out that nothing is left by asking the system again.
            Stream::Plain(socket) => socket.read_buf(input).await,
            Stream::Encrypted(tls) => tls.read_buf(input).await,
            Stream::Gone => Ok(0),
        }
    }

    /// Writes all of `output` and takes it out as it goes. `written` hears of every byte.
    pub(crate) async fn write_all(&mut self, output: &mut BytesMut, mut written: impl FnMut(usize)) -> io::Result<()> {
        while !output.is_empty() {
            let done = match self {
                Stream::Plain(socket) => match socket.try_write(output) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        socket.writable().await?;
                        continue;
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    done => done?,
                },
                Stream::Encrypted(tls) => tls.write(output).await?,
                Stream::Gone => return Err(io::ErrorKind::NotConnected.into()),
            };
            output.advance(done);
            written(done);
        }
        match self {
            Stream::Encrypted(tls) => tls.flush().await,
            _ => Ok(()),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.shutdown().await,
            Stream::Encrypted(tls) => tls.shutdown().await,
            Stream::Gone => Ok(()),
        }
    }

    /// Throws away bytes that have arrived; 0 when there are none right now.
    pub(crate) fn discard(&self, scrap: &mut [u8]) -> usize {
        self.socket().and_then(|socket| socket.try_read(scrap).ok()).unwrap_or(0)
    }
}
