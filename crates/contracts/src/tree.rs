//! What storage knows of a table: a tree of rows with typed columns and a key.

use std::sync::Arc;

use heliosdb_types::{ColumnId, Datum, PhysicalType, SchemaVersion, TreeRef};
use serde::{Deserialize, Serialize};

/// A tree's shape at one version. Logged and kept in the manifest, so that freezing and recovery never ask the catalog.
///
/// Invariants: column ids are unique and never reused across versions; the key of a tree never changes (a new key is a new
/// tree); a column added later carries the value older rows have (`missing`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeDescriptor {
    pub tree: TreeRef,
    pub version: SchemaVersion,
    pub columns: Vec<ColumnDescriptor>,
    pub key: TreeKey,
    /// Sort order of segments where it differs from the key; always `None` today.
    pub sort: Option<Vec<ColumnId>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDescriptor {
    pub id: ColumnId,
    pub physical: PhysicalType,
    pub nullable: bool,
    /// What rows written before this column existed hold.
    pub missing: Option<Datum>,
}

/// How a tree's rows are identified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TreeKey {
    /// `heliosdb_types::encode_key` of these columns, in order, ascending.
    Columns(Vec<ColumnId>),
    /// A hidden 64-bit row id ([`row_id_key`]) from [`crate::ShardClient::allocate_row_ids`].
    RowId,
}

/// The tree key of a hidden row id: big-endian, so that keys sort as ids do.
pub fn row_id_key(row_id: u64) -> [u8; 8] {
    row_id.to_be_bytes()
}

impl TreeDescriptor {
    /// Position of a column in `columns` (which is also its place in an encoded row).
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    pub fn column(&self, id: ColumnId) -> Option<&ColumnDescriptor> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The physical types in row order, as the row codec wants them.
    pub fn physical_types(&self) -> Vec<PhysicalType> {
        self.columns.iter().map(|column| column.physical).collect()
    }
}

pub type TreeDescriptorRef = Arc<TreeDescriptor>;
