//! Point reads: own writes, then rows read before, then memtables, then segments.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{ReadContext, RowHint, RowSink};
use heliosdb_types::{ColumnId, CommitTs, Result, SchemaVersion, TreeRef};

use crate::core::Core;
use crate::memtable::BranchTree;
use crate::row_cache::RowFound;
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::txnbuf::Own;
use crate::version::Version;

impl Core {
    pub fn get(
        &self,
        context: &ReadContext,
        tree: TreeRef,
        key: &[u8],
        projection: &[ColumnId],
        sink: &mut dyn RowSink,
    ) -> Result<bool> {
        let version = self.version.load();
        let state = self.tree_state(&version, context.txn, context.snapshot.ts, context.snapshot.branch, tree)?;
        let memory = RowHint { epoch: version.epoch, ..RowHint::default() };
        if let Some(txn) = context.txn {
            let buffer = self.txn(txn)?;
            let buffer = buffer.lock();
            match buffer.own(tree, key, context.command)? {
                Own::Untouched => {}
                Own::Private { segment, row } => {
                    let hint = RowHint { epoch: version.epoch, segment: segment.meta.id, row };
                    let newest = &state.newest().descriptor;
                    segment.reader.read_row(row, newest, projection, &mut |values| sink.row(values, hint))?;
                    return Ok(true);
                }
                Own::Deleted => return Ok(false),
                Own::Put { row, schema } => return emit(&state, schema, row, projection, memory, sink),
            }
        }
        let branch_tree = (context.snapshot.branch, tree);
        let snapshot = context.snapshot.ts;
        let has_segments = !version.segments(branch_tree).is_empty();
        if has_segments
            && let Some(found) = self.row_cache.visible(branch_tree, key, snapshot)
            // Else it was kept after this version of the tree was looked up.
            && state.shape(found.schema).is_ok()
        {
            let hint = RowHint { epoch: version.epoch, segment: found.segment.meta.id, row: found.row };
            return emit(&state, found.schema, &found.bytes, projection, hint, sink);
        }
        for generation in version.memtables() {
            let Some(memtable) = generation.tree(branch_tree) else { continue };
            let found = memtable.visible(key, snapshot, |v| emit(&state, v.schema, &v.row, projection, memory, sink));
            if let Some(found) = found {
                return found;
            }
        }
        for segment in version.segments(branch_tree).iter().filter(|segment| segment.meta.may_hold(key)) {
            let Some(row) = segment.visible(key, snapshot)? else { continue };
            let hint = RowHint { epoch: version.epoch, segment: segment.meta.id, row };
            // Of a row most of which is read, the rest costs little.
            let mostly = projection.len() * 2 >= state.newest().columns.len() && self.row_cache.has_room();
            if (mostly || self.row_cache.wants(branch_tree, key))
                && let Some((schema, bytes)) = self.keep_row(&version, branch_tree, key, segment, row)?
            {
                return emit(&state, schema, &bytes, projection, hint, sink);
            }
            let newest = &state.newest().descriptor;
            segment.reader.read_row(row, newest, projection, &mut |values| sink.row(values, hint))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts a row of a segment into the row cache, and gives it back: its shape and the whole of it.
    fn keep_row(
        &self,
        version: &Version,
        tree: BranchTree,
        key: &[u8],
        segment: &Arc<Segment>,
        row: u32,
    ) -> Result<Option<(SchemaVersion, Bytes)>> {
        // Not in a shape that only the reader's transaction knows, and not of a tree that is dropped by now.
        let Ok(state) = version.tree(tree, CommitTs::MAX) else { return Ok(None) };
        let shape = state.newest();
        let (begin, schema) = (segment.begin_of(row)?, shape.descriptor.version);
        let bytes = segment.row_bytes(row, shape)?;
        let found = RowFound { segment: segment.clone(), row, begin, schema, bytes: bytes.clone() };
        if self.row_cache.insert(tree, key, found) {
            self.balance_memory();
        }
        Ok(Some((schema, bytes)))
    }
}

fn emit(
    state: &TreeState,
    schema: SchemaVersion,
    row: &[u8],
    columns: &[ColumnId],
    hint: RowHint,
    sink: &mut dyn RowSink,
) -> Result<bool> {
    sink.row(&state.row_values(schema, row, columns)?, hint)?;
    Ok(true)
}
