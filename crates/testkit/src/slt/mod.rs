//! sqllogictest's own format (sqlite.org/sqllogictest): `golden/<feature>/<name>.slt` says itself what is right.
//!
//! The golden transcripts are stronger: they hold names, tags, SQLSTATEs and messages as PostgreSQL gave them. This format
//! is for scripts that exist in it, and for many results with little text. [`parse`] reads a file into records and refuses
//! what it does not know; [`run`] plays them over the wire.
//!
//! [`public`] plays other engines' files in this format (sqlite's, DataFusion's, DuckDB's), with PostgreSQL as the arbiter.

mod parse;
pub mod public;
mod run;

pub use parse::{Expected, Record, Script, Sort, Want, parse};
pub use run::{Played, run};
