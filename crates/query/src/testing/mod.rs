//! What this crate's tests stand on: a shard in memory, and tables and plans made by hand.

mod bench;
mod mem_shard;
mod tables;

pub(crate) use bench::{Bench, text, values};
pub(crate) use mem_shard::MemShard;
pub(crate) use tables::relation;
