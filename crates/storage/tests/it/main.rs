//! The shard from outside, through `ShardStore`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod ahead;
mod basics;
mod doomed;
mod durability;
mod first_rows;
mod giving_way;
mod housekeeping;
mod large;
mod large_transaction;
mod patches;
mod replay;
mod savepoints;
mod simulation;
mod stress;
mod support;
