//! What statements do when memory is short: files for what does not fit, and joins that divide what they join.
//!
//! Sorts, aggregates and exchanges spill by themselves, through [`SpillFiles`]; hash joins by [`SPILL_JOINS`],
//! window functions in `exec/windows`.

mod divide;
#[cfg(test)]
#[path = "exchange_test.rs"]
mod exchange_test;
mod files;
mod handover;
mod join;
#[cfg(test)]
mod place;

pub(super) use divide::{Files, WriteFile};
pub(super) use files::SpillFiles;
pub(super) use handover::{Given, Handover};
pub(super) use join::{SPILL_JOIN, SPILL_JOINS, as_hash_join};
#[cfg(test)]
pub(super) use place::Place;
