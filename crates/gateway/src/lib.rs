//! Wire protocols in, results out.
//!
//! Does: speak PostgreSQL's protocol ([`postgres`]) over `heliosdb_contracts::SqlService`: startup, SCRAM, simple and
//! extended queries, portals, COPY, cancel, text and binary values. Does not: parse SQL, plan, know storage or
//! transactions beyond when a session's `finish` and `fail` are due. Invariants: bytes from a client never panic and
//! never cost more memory than has arrived; replies leave in one write per Sync unless they outgrow the buffer; success
//! is never reported before `finish` said so. May depend on: types, contracts, runtime, pgwire, Arrow arrays.
//!
//! ```no_run
//! # async fn example(service: std::sync::Arc<dyn heliosdb_contracts::SqlService>) -> heliosdb_types::Result<()> {
//! use heliosdb_gateway::postgres::{Environment, Options, serve};
//! let listener = heliosdb_runtime::listen("127.0.0.1:5432".parse().expect("an address")).await?;
//! let server = serve(listener, service, Options::default(), Environment::real());
//! server.shutdown(std::time::Duration::from_secs(10)).await;
//! # Ok(()) }
//! ```

pub mod postgres;
