//! Secondary indexes: trees of entries that are kept with a table's rows.

mod build;
mod entry;
mod keep;
mod order;
mod path;
mod rows;

pub(crate) use build::build;
pub use entry::IndexWrite;
pub(crate) use entry::{ENTRY_ROW, IndexSpec, encode_part, entry_tree, tree_key};
pub(crate) use keep::{IndexKeeper, Written};
pub(crate) use order::FirstByIndex;
pub(crate) use rows::{Found, KeyedScan, OrderBy, find, first_in_order};
