//! What statements cost, counted by their text without its constants: behind `pg_stat_statements`.
//!
//! Invariants: a statement is counted once, when it has ended well; at most 5,000 are kept, the least used go; an
//! entry that went takes its counts with it, and whoever still holds it finds a new one. The text is read only where a
//! statement is new: who runs a prepared statement again has its entry at hand.

mod entry;
mod scan;
mod store;
mod text;
mod usage;

pub(crate) use entry::{Entry, Key, Tier, Timing};
pub(crate) use scan::{first_word, nth_statement};
pub(crate) use store::{DatabaseCounts, Statistics};
pub(crate) use text::fingerprint;
pub(crate) use usage::{Tally, Usage, Usages, index_oid};
