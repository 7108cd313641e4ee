//! How handling a message can fail, by what happens to the connection.

use std::io;

use heliosdb_types::{Error, ErrorKind, SqlState};

#[derive(Debug)]
pub(crate) enum Failure {
    /// Reported to the client; the session goes on.
    Statement(Error),
    /// Reported, then the connection closes.
    Fatal(Error),
    /// Nobody is there to be told.
    Gone,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Statement(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::OutOfMemory => Failure::Fatal(
                Error::new(
                    ErrorKind::Unavailable,
                    SqlState::OUT_OF_MEMORY,
                    "out of memory for messages that clients are sending",
                )
                .with_hint("Send less at once, or raise the server's max_message_memory."),
            ),
            _ => Failure::Gone,
        }
    }
}

/// 08P01.
pub(crate) fn violation(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::PROTOCOL_VIOLATION, message)
}

/// What a client is told when the server stops.
pub(crate) fn shutting_down() -> Error {
    Error::new(ErrorKind::Unavailable, SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}
