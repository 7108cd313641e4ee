//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use heliosdb_types::{Error, ErrorKind, Result, SqlState};
use tokio::net::{TcpListener, TcpStream};

/// Listens on `address`; port 0 takes a free one (ask the listener which). Errors say what to do.
#[allow(clippy::disallowed_methods)] // this is the seam the ban points to
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| explain(address, source))
}

/// Lets the system notice, within a few minutes, that a silent peer no longer exists.
pub fn keep_alive(socket: &TcpStream) -> Result<()> {
    let settings = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, KEEP_ALIVE_IDLE, 120),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 30),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
    ];
    for (level, name, value) in settings {
        set_option(socket, level, name, value)?;
    }
    Ok(())
}

#[cfg(target_os = "macos")]
const KEEP_ALIVE_IDLE: libc::c_int = libc::TCP_KEEPALIVE;
#[cfg(not(target_os = "macos"))]
const KEEP_ALIVE_IDLE: libc::c_int = libc::TCP_KEEPIDLE;

#[allow(unsafe_code)]
fn set_option(socket: &TcpStream, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` lives; the option's value is `len` bytes at a valid address.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) };
    match result {
        0 => Ok(()),
        _ => Err(Error::io("set a socket option", io::Error::last_os_error())),
    }
}

fn explain(address: SocketAddr, source: io::Error) -> Error {
    let (state, hint) = match source.kind() {
        io::ErrorKind::AddrInUse => (
            SqlState::OBJECT_IN_USE,
            format!(
                "Is another server running on port {}? Choose another port, or 0 for any free one.",
                address.port()
            ),
        ),
        io::ErrorKind::AddrNotAvailable => {
            (SqlState::INVALID_PARAMETER_VALUE, format!("{} is not an address of this machine.", address.ip()))
        }
        io::ErrorKind::PermissionDenied => {
            (SqlState::INSUFFICIENT_PRIVILEGE, "Ports below 1024 need privileges; choose a higher one.".to_owned())
        }
        _ => (SqlState::SYSTEM_ERROR, "Check the address and the machine's network.".to_owned()),
    };
    Error::new(ErrorKind::Unavailable, state, format!("could not listen on {address}: {source}")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_can_be_kept_alive() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        keep_alive(&socket).unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_explained() {
        let first = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = listen(first.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(error.state(), SqlState::OBJECT_IN_USE);
        assert!(error.hint().unwrap().contains("another server"));
    }
}
