//! How many rows a plan's steps give, reckoned from what ANALYZE found.
//!
//! Does: estimate selections, joins and groups from common values, histograms and counts of different values, for physical plans
//! (sides of joins, EXPLAIN) and for the relations whose join order is chosen. Does not: guess about tables that were never
//! analyzed; there `exec/estimate.rs` reckons from zone maps. Invariants: an estimate has a column of facts for each column of the
//! plan's output; rows are at least one; nothing but speed depends on it. The reasoning is that of Selinger's System R (1979) with
//! the refinements PostgreSQL documents (chapter "How the Planner Uses Statistics"): conditions are taken to be independent,
//! unless two bound one column; every value of the side with fewer different values of a join column is taken to be on the other,
//! as far as both lie in one range (`meeting.rs`). What conditions leave of a small table is not reckoned but read (`look.rs`).

mod facts;
mod groups;
mod joins;
mod known;
mod logical;
mod look;
mod meeting;
mod physical;
mod selectivity;
mod sides;
mod together;

pub(super) use facts::Estimate;
pub(super) use groups::of_expression;
pub(super) use joins::{Pair, pairs_selectivity};
pub(super) use logical::{estimate as estimate_logical, kept, over};
pub(super) use look::looked;
pub(super) use physical::{address, walk};
pub(super) use selectivity::filtered;
pub(super) use sides::informed;

/// As many different values as PostgreSQL takes for what it knows nothing of.
const UNKNOWN_DISTINCT: f64 = 200.0;
/// What comparisons, ranges and anything else nothing is known about keep.
const UNKNOWN_EQUAL: f64 = 0.005;
const UNKNOWN_LESS: f64 = 1.0 / 3.0;
const UNKNOWN_RANGE: f64 = 0.005;
const UNKNOWN_OTHER: f64 = 1.0 / 3.0;
