//! The one public error: a *kind* that says what the caller should do, a SQLSTATE that says what a client sees.
//!
//! Invariants: a message never repeats its source; `position` counts characters from 1 in the statement's text.

use std::error::Error as StdError;
use std::fmt;

use crate::SqlState;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Nothing happened; the same request may succeed now (a lock timed out, a serialization failure, a deadlock).
    Retry,
    /// The request conflicts with data: a constraint does not hold.
    Conflict,
    /// This node may no longer write (a failed fsync, a newer term). Restart or fail over.
    Fenced,
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// A resource is missing for now: memory, disk space, a connection slot, shutting down.
    Unavailable,
    /// Stored bytes are damaged; names file and offset.
    Corrupt,
    /// The request was cancelled by its client, a timeout or an administrator.
    Cancelled,
    /// A defect of ours.
    Internal,
}

/// An error with everything PostgreSQL's ErrorResponse can carry.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    state: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<u32>,
    schema: Option<String>,
    table: Option<String>,
    column: Option<String>,
    data_type: Option<String>,
    constraint: Option<String>,
    traceback: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! field {
    ($(#[$doc:meta])* $with:ident, $name:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $with(mut self, $name: impl Into<String>) -> Error {
            self.0.$name = Some($name.into());
            self
        }

        pub fn $name(&self) -> Option<&str> {
            self.0.$name.as_deref()
        }
    };
}

impl Error {
    pub fn new(kind: ErrorKind, state: SqlState, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            data_type: None,
            constraint: None,
            traceback: None,
            source: None,
        }))
    }

    /// The request is wrong, for the reason `state` names.
    pub fn invalid(state: SqlState, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, state, message)
    }

    /// A construct we do not implement (0A000). `what` is its name: "SELECT ... FOR UPDATE".
    pub fn unsupported(what: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Invalid, SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported yet"))
    }

    pub fn syntax(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, SqlState::SYNTAX_ERROR, message)
    }

    pub fn conflict(state: SqlState, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Conflict, state, message)
    }

    pub fn retry(state: SqlState, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Retry, state, message)
    }

    /// Damaged bytes; the message names file and offset.
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, SqlState::DATA_CORRUPTED, message)
    }

    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, SqlState::INTERNAL_ERROR, message)
    }

    pub fn unavailable(state: SqlState, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unavailable, state, message)
    }

    pub fn fenced(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Fenced, SqlState::IO_ERROR, message)
    }

    /// The client (or a timeout) asked the statement to stop.
    pub fn cancelled(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Cancelled, SqlState::QUERY_CANCELED, message)
    }

    /// An I/O error of the operating system; ENOSPC becomes 53100.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Error {
        let full = matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let state = if full { SqlState::DISK_FULL } else { SqlState::IO_ERROR };
        let error = Error::new(ErrorKind::Unavailable, state, format!("could not {}: {source}", doing.into()));
        if full { error.with_hint("Check free disk space.") } else { error }
    }

    field!(/** What exactly was wrong: `Key (id)=(1) already exists.` */ with_detail, detail);
    field!(/** What to do next. */ with_hint, hint);
    field!(with_schema, schema);
    field!(with_table, table);
    field!(with_column, column);
    field!(with_data_type, data_type);
    field!(with_constraint, constraint);
    field!(/** PostgreSQL's CONTEXT: `COPY t, line 3, column id: "x"`. */ with_traceback, traceback);

    /// Where in the statement, in characters from 1.
    #[must_use]
    pub fn with_position(mut self, position: u32) -> Error {
        self.0.position = Some(position);
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Forgets the position: the text it counts in is not the client's.
    #[must_use]
    pub fn without_position(mut self) -> Error {
        self.0.position = None;
        self
    }

    /// Puts a verb phrase in front: `context("read segment 12")` gives "read segment 12: ...".
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn state(&self) -> SqlState {
        self.0.state
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn position(&self) -> Option<u32> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}): {}", self.0.kind, self.0.state, self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, " DETAIL: {detail}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
