//! Benchmarks: us beside the peer, in one run on one machine; a table for people, a JSON line for history.

mod beside;
pub mod cancel;
mod history;
pub mod htap;
pub mod load;
pub mod olap;
pub mod oltp;
pub mod plans;
mod stats;
pub mod tpcc;
pub mod weblog;

pub use history::append;
pub use stats::{median, spread};
