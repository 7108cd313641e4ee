//! The systems we are measured beside, started on this machine in the same run.

mod chdb;
mod datafusion;
mod duckdb;
mod lines;
mod postgres;

pub use chdb::{Chdb, install as install_chdb};
pub use datafusion::{DataFusion, install as install_datafusion};
pub use duckdb::{DuckDb, install as install_duckdb};
pub use lines::Peer;
pub use postgres::{Postgres, PostgresVersion};
