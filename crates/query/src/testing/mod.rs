//! What this crate's tests stand on: a shard in memory, and tables made by hand.

mod mem_shard;
mod tables;

pub(crate) use mem_shard::MemShard;
pub(crate) use tables::relation;
