//! CREATE INDEX, DROP INDEX, REINDEX, ALTER INDEX, and the indexes behind UNIQUE constraints.
//!
//! An index is made under a lock that lets readers go on and keeps writers out until the transaction ends; CONCURRENTLY, writers go
//! on too (`online.rs`).
//! Its table's tree gets a new version number with it: a writer that waited for the lock sees by that number that its plan
//! does not know the index.

mod alter;
mod create;
mod drop;
mod online;
mod rebuild;
mod written;

pub(super) use create::{expressions_of, renumbered};
pub(super) use written::{WrittenIndex, WrittenPart, check_characteristics, read_deferrable, read_unique};
