//! PostgreSQL's wire protocol, versions 3.0 and 3.2.
//!
//! Built on `pgwire`'s message types, backend encoders and SCRAM exchange, with a connection loop of our own. Why not its
//! handlers: they flush after most messages (a system call each, where one at Sync is enough), keep no portal across
//! messages the way a transaction needs, and answer before our `finish` could fail. Why not its frontend decoders: they
//! read a message's fields from the whole input buffer with unchecked reads, so a short message panics or eats its
//! successor; ours (`frontend`) are handed exactly one frame and check every read.
//!
//! The way of a message: `stream` (plain or TLS) -> `wire` (bytes to frames) -> `frontend` (frame to message) -> `connection` (dispatch, errors,
//! transaction ends) -> `simple` | `extended` | `copy` -> `rows` (Arrow to DataRow) -> `wire` (one write).

mod alarm;
mod auth;
mod connection;
mod copy;
mod counters;
mod extended;
mod failure;
mod frontend;
mod inbox;
mod options;
mod parameters;
mod registry;
mod reply;
mod rows;
mod server;
mod simple;
mod startup;
mod stream;
mod throttle;
mod tls;
mod vigil;
mod wire;

pub use counters::Counters;
pub use options::{Environment, Options};
pub use server::{Server, serve};
pub use tls::{Tls, TlsMaterial, TlsSlot};
