//! Point reads: own writes, then memtables, then segments.

use heliosdb_contracts::{ReadContext, RowHint, RowSink};
use heliosdb_types::{ColumnId, Result, SchemaVersion, TreeRef};

use crate::core::Core;
use crate::shape::{Projection, TreeState};
use crate::txnbuf::Own;

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
        for generation in version.memtables() {
            let Some(memtable) = generation.tree(branch_tree) else { continue };
            let found = memtable
                .visible(key, context.snapshot.ts, |v| emit(&state, v.schema, &v.row, projection, memory, sink));
            if let Some(found) = found {
                return found;
            }
        }
        for segment in version.segments(branch_tree).iter().filter(|segment| segment.meta.may_hold(key)) {
            let Some(row) = segment.visible(key, context.snapshot.ts)? else { continue };
            let hint = RowHint { epoch: version.epoch, segment: segment.meta.id, row };
            let newest = &state.newest().descriptor;
            segment.reader.read_row(row, newest, projection, &mut |values| sink.row(values, hint))?;
            return Ok(true);
        }
        Ok(false)
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
    let projection = Projection::new(state, schema, columns)?;
    sink.row(&projection.values(row)?, hint)?;
    Ok(true)
}
