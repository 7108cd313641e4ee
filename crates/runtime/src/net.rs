//! Listening sockets.

use std::io;
use std::net::SocketAddr;

use heliosdb_types::{Error, ErrorKind, Result, SqlState};
use tokio::net::TcpListener;

/// Listens on `address`; port 0 takes a free one (ask the listener which). Errors say what to do.
#[allow(clippy::disallowed_methods)] // this is the seam the ban points to
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| explain(address, source))
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
    async fn a_taken_port_is_explained() {
        let first = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = listen(first.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(error.state(), SqlState::OBJECT_IN_USE);
        assert!(error.hint().unwrap().contains("another server"));
    }
}
