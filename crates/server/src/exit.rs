//! How the process ends: documented in docs/configuration.md, so that scripts can tell causes apart.

use heliosdb_types::{Error, ErrorKind};

/// The process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Stopped as asked.
    Clean = 0,
    /// Something unforeseen.
    Failed = 1,
    /// Wrong flags (clap's code too), environment or configuration file.
    Usage = 2,
    /// The data directory is used by another process.
    Locked = 3,
    /// A port is taken or may not be used.
    Port = 4,
    /// Stored data is damaged; nothing was changed.
    Damaged = 5,
    /// A public address without a superuser password.
    Unprotected = 6,
    /// The data directory cannot be used: permissions, disk full, I/O errors.
    DataDirectory = 7,
    /// A second signal cut the stop short.
    Forced = 130,
}

/// Why the server did not start.
#[derive(Debug)]
pub struct Failure {
    pub code: ExitCode,
    pub error: Error,
}

impl Failure {
    pub(crate) fn usage(error: Error) -> Failure {
        Failure { code: ExitCode::Usage, error }
    }

    pub(crate) fn port(error: Error) -> Failure {
        Failure { code: ExitCode::Port, error }
    }

    /// An error of storage or of what stands on it.
    pub(crate) fn data(error: Error) -> Failure {
        let code = match error.kind() {
            ErrorKind::Corrupt => ExitCode::Damaged,
            ErrorKind::Unavailable => ExitCode::DataDirectory,
            _ => ExitCode::Failed,
        };
        Failure { code, error }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { code: ExitCode::Failed, error }
    }
}
