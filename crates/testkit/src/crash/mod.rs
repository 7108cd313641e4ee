//! kill -9 against a real server, with a model of what it acknowledged.
//!
//! Each cycle: start the server, check everything acknowledged so far, let writers work, kill the server at a random
//! moment (or let a failpoint kill it inside a freeze, a compaction or a manifest swap), again. The data live on from
//! cycle to cycle. Two cycles of three belong to the bank, with bulk loads and definitions beside it, every third to the
//! TPC-C-like mix; three after three run at another isolation level. Index builds
//! have cycles of their own.

mod bulk;
mod check;
mod ddl;
mod harness;
mod indexes;
mod mix;
mod model;
mod writer;

pub use harness::{CrashOptions, CrashReport, run};
pub use indexes::{IndexOptions, IndexReport, run as run_indexes};
