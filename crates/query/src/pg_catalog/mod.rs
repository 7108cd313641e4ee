//! `pg_catalog` and `information_schema`: virtual tables computed from the catalog snapshot.

mod facts;

use std::sync::Arc;

use crate::catalog::Relation;

pub use facts::Facts;
pub(crate) use facts::quote_identifier;

/// Every virtual table; the same in all databases.
pub fn virtual_tables() -> &'static [Arc<Relation>] {
    &[]
}
