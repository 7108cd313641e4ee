//! The newest version of a key, whoever may see it: what uniqueness and row locks ask for.

use bytes::Bytes;
use heliosdb_contracts::{NewestRow, RowHint};
use heliosdb_types::{BranchId, CommitTs, Result, SchemaVersion, TreeRef, TxnId};

use crate::core::Core;
use crate::memtable::BranchTree;
use crate::metrics::Counters;
use crate::row_cache::RowOrigin;
use crate::segments::Found;
use crate::txnbuf::{NEVER, Own};
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
            match buffer.own(tree, key, NEVER)? {
                Own::Untouched => buffer.branch,
                Own::Put { .. } | Own::Private { .. } => return Ok(NewestRow::Own),
                Own::Deleted => return Ok(NewestRow::OwnDeleted),
            }
        };
        self.newest_committed((branch, tree), key, want_row)
    }

    /// Whether the key's row was deleted by a commit that is not visible yet.
    pub fn is_just_deleted(&self, tree: BranchTree, key: &[u8]) -> Result<bool> {
        if !self.visibility.has_pending_deletes() {
            return Ok(false);
        }
        let newest = self.newest_committed(tree, key, false)?;
        Ok(matches!(newest, NewestRow::Absent { deleted_at, .. } if deleted_at > self.visibility.visible_ts()))
    }

    pub fn newest_committed(&self, (branch, tree): BranchTree, key: &[u8], want_row: bool) -> Result<NewestRow> {
        let version = self.version.load();
        let segments = version.segments((branch, tree));
        if let Some((RowOrigin { segment, row, begin, schema }, found)) =
            self.row_cache.newest((branch, tree), segments, key)
            && version.tree((branch, tree), begin).is_ok_and(|state| state.shape(schema).is_ok())
        {
            let hint = RowHint { epoch: version.epoch, segment, row };
            let bytes = if want_row { Bytes::copy_from_slice(&found) } else { Bytes::new() };
            return self.committed(&version, (branch, tree), begin, bytes, schema, hint);
        }
        let memory = newest_in_memory(&version, branch, tree, key, want_row);
        if let Some(live) = memory.as_ref().filter(|found| found.end == CommitTs::MAX) {
            let hint = RowHint { epoch: version.epoch, ..RowHint::default() };
            return self.committed(&version, (branch, tree), live.begin, live.row.clone(), live.schema, hint);
        }
        let mut deleted_at = memory.map_or(CommitTs::ZERO, |found| found.end);
        let (mut asked, mut live) = (0, None);
        for segment in segments.holding(key) {
            asked += 1;
            match segment.newest(key, CommitTs::MAX)? {
                Found::Nothing => {}
                Found::Deleted(end) => deleted_at = deleted_at.max(end),
                Found::Live { row, begin } => {
                    live = Some((segment, row, begin));
                    break;
                }
            }
        }
        Counters::add(&self.counters.key_probes, 1);
        Counters::add(&self.counters.key_blooms, asked);
        Counters::at_least(&self.counters.key_blooms_max, asked);
        if let Some((segment, row, begin)) = live {
            let hint = RowHint { epoch: version.epoch, segment: segment.meta.id, row };
            let shape = version.tree((branch, tree), begin)?.newest();
            let bytes = if want_row { segment.row_bytes(row, shape)? } else { Bytes::new() };
            return self.committed(&version, (branch, tree), begin, bytes, shape.descriptor.version, hint);
        }
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
