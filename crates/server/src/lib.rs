//! The server: one process from configuration to clean end. The binary `heliosdb` is a thin shell around it.
//!
//! Does: settings (flags, environment, file), data directory and its lock, wiring of disk, shard, participant, engine and
//! protocols, HTTP health and metrics, logs, signals; looks at, checks and restores what is stopped. Does not: anything the wired crates do. Invariants: nothing is
//! served before recovery is complete; a public address is never served while the superuser has no password; a clean end
//! leaves nothing to replay. May depend on: every crate but testkit.
//!
//! ```no_run
//! use heliosdb_server::{Config, Node};
//! let node = Node::start(Config::new("./heliosdb-data")).map_err(|failure| failure.error)?;
//! println!("{}", node.pg_address());
//! node.stop(std::time::Duration::from_secs(30))?;
//! # Ok::<(), heliosdb_types::Error>(())
//! ```

mod banner;
mod check;
mod cli;
mod config;
mod data_dir;
mod exit;
mod http;
mod http_limits;
mod inspect;
mod logging;
mod memory;
mod metrics;
mod node;
mod offline;
pub mod processor;
mod restore;
mod settings_doc;
mod signals;
mod table;
mod tls;

pub use cli::run;
pub use config::{Config, LogFormat};
pub use exit::{ExitCode, Failure};
pub use node::Node;
pub use tls::{TlsConfig, TlsMode};
