//! Bounds on what HTTP clients cost: so many connections at a time, and none that says nothing for long.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use heliosdb_runtime::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may make no progress in the direction it waits for.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct LimitedListener {
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
    silence: Duration,
}

impl LimitedListener {
    pub(crate) fn new(listener: TcpListener, clock: Arc<dyn Clock>) -> LimitedListener {
        LimitedListener { listener, clock, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)), silence: SILENCE_MAX }
    }
}

impl axum::serve::Listener for LimitedListener {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedStream, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((socket, address)) => {
                    let stream = LimitedStream {
                        socket,
                        deadline: self.clock.sleep(self.silence),
                        clock: self.clock.clone(),
                        silence: self.silence,
                        _place: place,
                    };
                    return (stream, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept an HTTP connection");
                    self.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when nothing has moved for too long.
pub(crate) struct LimitedStream {
    socket: TcpStream,
    deadline: Pin<Box<dyn Future<Output = ()> + Send>>,
    clock: Arc<dyn Clock>,
    silence: Duration,
    _place: OwnedSemaphorePermit,
}

impl LimitedStream {
    /// What moved restarts the deadline; what is pending may meet it.
    fn watch<T>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.deadline = self.clock.sleep(self.silence);
            return moved;
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.socket).poll_read(context, buf);
        self.watch(context, moved)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watch(context, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.socket).poll_flush(context);
        self.watch(context, moved)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use axum::serve::Listener;
    use heliosdb_runtime::{RealClock, listen};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_silent_client_loses_its_place() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut limited = LimitedListener::new(listener, Arc::new(RealClock::new()));
        limited.places = Arc::new(Semaphore::new(1));
        limited.silence = Duration::from_millis(100);
        let address = limited.local_addr().unwrap();
        let mut silent = TcpStream::connect(address).await.unwrap();
        let (mut served, _) = limited.accept().await;
        silent.write_all(b"G").await.unwrap();
        assert_eq!(served.read_u8().await.unwrap(), b'G');
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"x").await.unwrap();
        {
            let accept = limited.accept();
            let early = tokio::time::timeout(Duration::from_millis(20), accept).await;
            assert!(early.is_err(), "there is one place only");
        }
        assert_eq!(served.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(served);
        let (mut served, _) = limited.accept().await;
        assert_eq!(served.read_u8().await.unwrap(), b'x');
    }
}
