//! Large values: kept out of line, in pieces, as rows of a tree of their own beside the table's.
//!
//! A value longer than `ShardOptions::value_inline_bytes` in a column that is not part of the key is cut off its row when
//! it is written; the row keeps a reference ([`reference`]). Whoever reads the row through [`crate::Shard`] gets the value
//! ([`read`], [`scan`], [`range`]): references never leave storage. The pieces are rows like all others: logged, frozen, merged,
//! spilled by large transactions, undone by rollbacks and seen by snapshots without a rule of their own.
//!
//! Invariants:
//! 1. A stored value that looks like a reference is one: a user's value that looks like one is itself cut off.
//! 2. A row version and the pieces it refers to begin in one transaction; the pieces end when the last version that refers
//!    to them does. An update that leaves a value as it was keeps the reference, so versions share pieces.
//! 3. A reference begins as its value does, so comparing it with anything shorter than that beginning gives what comparing
//!    the value would give; other tests wait until the value is there ([`scan`]).

mod cut;
mod range;
mod read;
mod reference;
mod scan;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeDescriptorRef, TreeKey};
use heliosdb_types::{BranchId, ColumnId, CommandId, PhysicalType, Result, SchemaVersion, TreeId, TreeRef, TxnId};

use crate::core::Core;
use crate::txnbuf::TxnBuffer;

pub(crate) use range::open_range;
pub(crate) use scan::open_scan;

/// Trees of pieces have the number of their table's tree and this bit.
const PIECES_BIT: u64 = 1 << 63;

/// The one column of a tree of pieces.
const PIECE: ColumnId = ColumnId(1);

/// The tree that holds the pieces of a tree's large values.
pub(crate) fn pieces_tree(tree: TreeRef) -> TreeRef {
    TreeRef::new(tree.database, TreeId(tree.tree.0 | PIECES_BIT))
}

pub(crate) fn is_pieces_tree(tree: TreeRef) -> bool {
    tree.tree.0 & PIECES_BIT != 0
}

/// The tree whose pieces a tree holds.
pub(crate) fn pieces_owner(tree: TreeRef) -> TreeRef {
    TreeRef::new(tree.database, TreeId(tree_number(tree)))
}

/// The number of a tree, or of the one whose pieces it holds.
pub(crate) fn tree_number(tree: TreeRef) -> u64 {
    tree.tree.0 & !PIECES_BIT
}

fn pieces_descriptor(tree: TreeRef) -> TreeDescriptorRef {
    let column = ColumnDescriptor { id: PIECE, physical: PhysicalType::Bytes, nullable: false, missing: None };
    let (version, columns, key) = (SchemaVersion(1), vec![column], TreeKey::RowId);
    Arc::new(TreeDescriptor { tree: pieces_tree(tree), version, columns, key, sort: None })
}

/// Whether values of a column may be out of line.
fn may_be_large(tree: &TreeDescriptor, id: ColumnId) -> bool {
    let in_key = matches!(&tree.key, TreeKey::Columns(ids) if ids.contains(&id));
    // Numerics are short: the longest takes some 70 kB.
    let long = |column: &ColumnDescriptor| matches!(column.physical, PhysicalType::Text | PhysicalType::Bytes);
    !in_key && tree.column(id).is_some_and(long)
}

/// The places of a projection whose values may be out of line.
fn large_places(tree: &TreeDescriptor, projection: &[ColumnId]) -> Vec<usize> {
    (0..projection.len()).filter(|at| projection.get(*at).is_some_and(|id| may_be_large(tree, *id))).collect()
}

impl Core {
    /// The tree, if its rows may refer to pieces.
    pub fn with_large(&self, branch: BranchId, txn: Option<TxnId>, tree: TreeRef) -> Result<Option<TreeDescriptorRef>> {
        if !self.any_large.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let pieces = pieces_tree(tree);
        let version = self.version.load();
        let committed = version.trees.contains_key(&(branch, pieces));
        let own = match txn {
            Some(txn) if !committed => matches!(self.txn(txn)?.lock().descriptor(pieces), Some(Some(_))),
            _ => false,
        };
        if !committed && !own {
            return Ok(None);
        }
        // Dropped by now, perhaps, but an older snapshot still reads it.
        let dropped = || Some(version.trees.get(&(branch, tree))?.newest().descriptor.clone());
        Ok(self.descriptor(txn, tree).or_else(dropped))
    }

    /// Makes a tree's pieces go with it.
    pub fn drop_pieces(&self, buffer: &mut TxnBuffer, command: CommandId, tree: TreeRef) {
        let pieces = pieces_tree(tree);
        let committed = self.version.load().trees.get(&(buffer.branch, pieces)).is_some_and(|s| s.dropped.is_none());
        if buffer.descriptor(pieces).map_or(committed, |own| own.is_some()) {
            buffer.drop_tree(command, pieces);
        }
    }

    /// Gives a tree a place for pieces, unless it has one.
    fn define_pieces(&self, txn: TxnId, command: CommandId, tree: TreeRef) -> Result<TreeDescriptorRef> {
        let descriptor = pieces_descriptor(tree);
        let buffer = self.txn(txn)?;
        let mut buffer = buffer.lock();
        let committed = self.version.load().trees.contains_key(&(buffer.branch, descriptor.tree));
        if !committed && buffer.descriptor(descriptor.tree).is_none() {
            self.any_large.store(true, Ordering::Relaxed);
            buffer.define(command, descriptor.clone());
        }
        Ok(descriptor)
    }
}
