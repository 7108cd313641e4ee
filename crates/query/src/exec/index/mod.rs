//! Secondary indexes: trees of entries that are kept with a table's rows.

mod build;
mod entry;
mod implied;
mod keep;
mod keys;
mod later;
mod online;
mod order;
mod path;
mod rows;
mod sorted;
mod verify;

pub(crate) use build::{BuildProgress, build};
pub use entry::IndexWrite;
pub(crate) use entry::{ENTRY_ROW, IndexSpec, encode_part, entry_tree, tree_key};
pub(crate) use keep::{IndexKeeper, Written};
pub(crate) use keys::{TableKey, TableKeys, bare, needs_binding, split};
pub(crate) use later::{UniqueEvent, check_unique};
pub(crate) use online::complete;
pub(crate) use order::FirstByIndex;
pub(crate) use path::{KeyPart, Wanted, entry_range, ranges};
pub(crate) use rows::{Found, KeyedScan, OrderBy, cheapest, find, first_in_order, serves};
pub(crate) use verify::{TableFindings, verify_index, verify_rows};
