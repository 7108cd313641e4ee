//! The systems we are measured beside, started on this machine in the same run.

mod duckdb;
mod postgres;

pub use duckdb::{DuckDb, install as install_duckdb};
pub use postgres::{Postgres, PostgresVersion};
