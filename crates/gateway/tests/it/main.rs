//! The PostgreSQL gateway against a mock engine: driven by tokio-postgres, and by raw bytes where clients are too polite.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod auth;
mod copy;
mod extended;
mod hostile;
mod mock;
mod raw;
mod shutdown;
mod simple;
mod values;
