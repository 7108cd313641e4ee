//! Point reads: own writes, then rows read before, then memtables, then segments.

use heliosdb_contracts::{ReadContext, RowHint, RowSink};
use heliosdb_types::{ColumnId, CommitTs, Result, SchemaVersion, TreeRef};

use crate::core::{Core, with_own};
use crate::memtable::BranchTree;
use crate::row_cache::RowOrigin;
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::txnbuf::Own;
use crate::version::Version;

/// Most rows are encoded in one allocation of this.
const ROW_BYTES: usize = 256;

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
        let branch_tree = (context.snapshot.branch, tree);
        let snapshot = context.snapshot.ts;
        let committed = version.tree(branch_tree, snapshot);
        let memory = RowHint { epoch: version.epoch, ..RowHint::default() };
        let own_shapes;
        let state: &TreeState = match context.txn {
            None => committed?,
            Some(txn) => {
                let buffer = self.txn(txn)?;
                let buffer = buffer.lock();
                let state: &TreeState = match buffer.descriptors(tree).next() {
                    None => committed?,
                    Some(_) => {
                        own_shapes = with_own(committed.cloned(), buffer.descriptors(tree))?;
                        &own_shapes
                    }
                };
                match buffer.own(tree, key, context.command)? {
                    Own::Untouched => {}
                    Own::Private { segment, row } => {
                        let hint = RowHint { epoch: version.epoch, segment: segment.meta.id, row };
                        let newest = &state.newest().descriptor;
                        segment.reader.read_row(row, newest, projection, &mut |values| sink.row(values, hint))?;
                        return Ok(true);
                    }
                    Own::Deleted => return Ok(false),
                    Own::Put { row, schema } => return emit(state, schema, row, projection, memory, sink),
                }
                state
            }
        };
        let segments = version.segments(branch_tree);
        if let Some(found) = self.row_cache.visible(branch_tree, segments, key, snapshot)
            // Else it was kept after this version of the tree was looked up.
            && state.shape(found.origin.schema).is_ok()
        {
            let RowOrigin { segment, row, schema, .. } = found.origin;
            return emit(state, schema, &found.bytes, projection, RowHint { epoch: version.epoch, segment, row }, sink);
        }
        for generation in version.memtables() {
            let Some(memtable) = generation.tree(branch_tree) else { continue };
            let found = memtable.visible(key, snapshot, |v| emit(state, v.schema, &v.row, projection, memory, sink));
            if let Some(found) = found {
                return found;
            }
        }
        for segment in segments.holding(key) {
            let Some((row, begin)) = segment.visible(key, snapshot)? else { continue };
            let hint = RowHint { epoch: version.epoch, segment: segment.meta.id, row };
            // Of a row most of which is read, the rest costs little.
            let mostly = projection.len() * 2 >= state.newest().columns.len() && self.row_cache.has_room();
            if (mostly || self.row_cache.wants(branch_tree, key))
                && let Some((schema, kept)) = self.keep_row(&version, branch_tree, key, segment, (row, begin))?
            {
                return emit(state, schema, &kept, projection, hint, sink);
            }
            let newest = &state.newest().descriptor;
            segment.reader.read_row(row, newest, projection, &mut |values| sink.row(values, hint))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts a row of a segment into the row cache, and gives it back.
    fn keep_row(
        &self,
        version: &Version,
        tree: BranchTree,
        key: &[u8],
        segment: &Segment,
        (row, begin): (u32, CommitTs),
    ) -> Result<Option<(SchemaVersion, Vec<u8>)>> {
        // Not in a shape that only the reader's transaction knows, and not of a tree that is dropped by now.
        let Ok(state) = version.tree(tree, CommitTs::MAX) else { return Ok(None) };
        let shape = state.newest();
        let schema = shape.descriptor.version;
        let mut bytes = Vec::with_capacity(ROW_BYTES);
        segment.encode_row(row, shape, &mut bytes)?;
        let origin = RowOrigin { segment: segment.meta.id, row, begin, schema };
        if self.row_cache.insert(tree, key, origin, &bytes) {
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
