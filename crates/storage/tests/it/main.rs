//! The shard from outside, through `ShardStore`.
#![allow(clippy::disallowed_methods)]

mod basics;
mod durability;
mod simulation;
mod stress;
mod support;
