//! Talking to a server from a terminal: `heliosdb sql`, `import`, `backup` and `check`.
//!
//! Does: speak PostgreSQL's protocol as a client (SCRAM, TLS, simple queries, COPY), show results, read commands with
//! history and completion, describe objects, load files, receive and read backups. Does not: know anything of our server
//! that another PostgreSQL server would not do as well, but for backups and checks. Invariants: what the server sends is never trusted with a length; a failed statement is
//! an exit code. May depend on: types, runtime, files.

mod backup;
mod backup_list;
mod check;
mod complete;
mod connect;
mod editor;
mod error;
mod format;
mod import;
mod meta;
mod progress;
mod protocol;
mod shell;
mod source;
mod split;
mod stream;
mod tar;
mod unpack;
mod watch;

pub use backup::{BackupArgs, backup};
pub use backup_list::{BACKUP_FILE, BEGUN_FILE, BackupList};
pub use check::check;
pub use connect::ConnectArgs;
pub use error::Failure;
pub use format::Format;
pub use import::{ImportArgs, import};
pub use shell::{SqlArgs, sql};
pub use tar::{TarReader, TarSink};
pub use unpack::Unpack;
