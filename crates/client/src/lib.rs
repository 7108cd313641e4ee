//! Talking to a server from a terminal: `heliosdb sql` and `heliosdb import`.
//!
//! Does: speak PostgreSQL's protocol as a client (SCRAM, TLS, simple queries, COPY), show results, read commands with
//! history and completion, describe objects, load files. Does not: know anything of our server that another PostgreSQL
//! server would not do as well. Invariants: what the server sends is never trusted with a length; a failed statement is
//! an exit code. May depend on: types, runtime.

mod complete;
mod connect;
mod csv;
mod editor;
mod error;
mod format;
mod guess;
mod import;
mod meta;
mod parquet;
mod protocol;
mod shell;
mod source;
mod split;
mod stream;

pub use connect::ConnectArgs;
pub use error::Failure;
pub use import::{ImportArgs, import};
pub use shell::{SqlArgs, sql};
