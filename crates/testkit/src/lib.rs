//! What tests and benchmarks share: a server in its own process, TPC-H and web log data, answers, peers to be measured beside,
//! the crash harness, the `tidy` checks.
//!
//! Does: drive the built `heliosdb` binary from outside, as a client would. Does not: link the engine, except that
//! `tests/it/storm.rs` runs storage and transactions together without SQL (a test that needs the insides of one crate
//! lives in that crate). Invariants: nothing depends on this crate; every random choice comes from a seed that a failure
//! prints. May depend on: all crates.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests drive real processes, files and clocks")]
#![allow(clippy::unwrap_used, reason = "a test helper that cannot go on should say where")]

pub mod bench;
pub mod clients;
pub mod compat;
pub mod crash;
pub mod elle;
pub mod golden;
pub mod htap;
pub mod long_haul;
pub mod peer;
mod plot;
pub mod server;
pub mod sessions;
pub mod slt;
mod stopped;
pub mod tidy;
pub mod tpcc;
pub mod tpch;
pub mod weblog;
