//! Reading: one row by key, the newest version of a key, and scans.

mod ahead;
mod bound;
mod builder;
mod get;
mod newest;
mod order;
mod predicate;
mod range;
mod scan;

pub(crate) use bound::ColumnBound;
pub(crate) use builder::{ColumnBuilder, batch};
pub(crate) use predicate::{ColumnFilter, compile};
pub(crate) use range::open_range;
pub(crate) use scan::open_scan;
