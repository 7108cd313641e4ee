//! What a shard's log records say: rows, shapes, bulk loads and counters. The record frame is the `wal` crate's.

mod ops;
mod slab;

pub(crate) use ops::{
    KIND_COMMIT, KIND_COUNTER, LoadedSegment, LogOp, Position, decode_counter, decode_ops, decode_ops_into,
    encode_counter, encode_ops,
};
