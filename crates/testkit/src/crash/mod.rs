//! kill -9 against a real server, with a model of what it acknowledged.
//!
//! Each cycle: start the server, check everything acknowledged so far, let writers work, kill the server at a random
//! moment (or let a failpoint kill it inside a freeze, a compaction or a manifest swap), again. The data live on from
//! cycle to cycle.

mod bulk;
mod check;
mod ddl;
mod harness;
mod model;
mod writer;

pub use harness::{CrashOptions, CrashReport, run};
