//! The newest version of a key, whoever may see it: what uniqueness and row locks ask for.

use bytes::Bytes;
use heliosdb_contracts::{NewestRow, RowHint};
use heliosdb_types::{BranchId, CommandId, CommitTs, Result, SchemaVersion, TreeRef, TxnId};

use crate::core::Core;
use crate::txnbuf::Own;
use crate::version::Version;

/// Newest version in the memtables.
struct InMemory {
    begin: CommitTs,
    end: CommitTs,
    row: Bytes,
    schema: SchemaVersion,
}

impl Core {
    pub fn newest(&self, txn: TxnId, tree: TreeRef, key: &[u8], want_row: bool) -> Result<NewestRow> {
        let branch = {
            let buffer = self.txn(txn)?;
            let buffer = buffer.lock();
            match buffer.own(tree, key, CommandId(u32::MAX)) {
                Own::Untouched => buffer.branch,
                Own::Put { .. } => return Ok(NewestRow::Own),
                Own::Deleted => return Ok(NewestRow::OwnDeleted),
            }
        };
        let version = self.version.load();
        let memory = newest_in_memory(&version, branch, tree, key, want_row);
        if let Some(live) = memory.as_ref().filter(|found| found.end == CommitTs::MAX) {
            let hint = RowHint { epoch: version.epoch, ..RowHint::default() };
            return self.committed(&version, (branch, tree), live.begin, live.row.clone(), live.schema, hint);
        }
        let deleted_at = memory.map_or(CommitTs::ZERO, |found| found.end);
        Ok(NewestRow::Absent { deleted_at, lsn: self.visibility.pending_lsn(deleted_at) })
    }

    fn committed(
        &self,
        version: &Version,
        tree: (BranchId, TreeRef),
        ts: CommitTs,
        row: Bytes,
        schema: SchemaVersion,
        hint: RowHint,
    ) -> Result<NewestRow> {
        let state = version.tree(tree, ts)?;
        let descriptor = state.shape(schema)?.descriptor.clone();
        Ok(NewestRow::Committed { ts, lsn: self.visibility.pending_lsn(ts), row, descriptor, hint })
    }
}

fn newest_in_memory(
    version: &Version,
    branch: BranchId,
    tree: TreeRef,
    key: &[u8],
    want_row: bool,
) -> Option<InMemory> {
    version.memtables().find_map(|generation| {
        generation.tree((branch, tree))?.newest(key, |_, found| InMemory {
            begin: found.begin,
            end: found.end(),
            row: if want_row { found.row.clone() } else { Bytes::new() },
            schema: found.schema,
        })
    })
}
