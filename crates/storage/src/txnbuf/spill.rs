//! What a transaction does when its rows outgrow memory: fresh inserts go, sorted, to private segments.
//!
//! The files are durable before the commit's record names them, and no manifest knows them until then; a rollback removes
//! them, a crash leaves them to the next start's sweep. Rows that replace committed ones stay in memory.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_types::{CommandId, Result, SchemaVersion, TreeRef};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::{Base, Entry, NEVER, TreeWrites, TxnBuffer};
use crate::log::{LoadedSegment, LogOp, Position};
use crate::segments::Segment;

/// A segment only its transaction sees.
pub(crate) struct Private {
    pub segment: Arc<Segment>,
    /// Rows of this command and earlier ones.
    pub command: CommandId,
}

/// A row to be spilled.
pub(crate) struct SpillRow {
    pub key: Bytes,
    pub row: Bytes,
    pub schema: SchemaVersion,
}

impl TxnBuffer {
    /// Bytes of rows that could be spilled, about.
    pub fn spillable_bytes(&self) -> usize {
        self.spillable
    }

    /// Moves fresh inserts to private segments, which `write` makes of sorted rows. `current` is the running command: its
    /// own rows are kept apart, for it must not see them.
    pub fn spill(
        &mut self,
        current: CommandId,
        write: &dyn Fn(TreeRef, Vec<SpillRow>) -> Result<Vec<Arc<Segment>>>,
    ) -> Result<()> {
        let trees: Vec<TreeRef> = self.trees.keys().copied().collect();
        for tree in trees {
            for (command, running) in [(CommandId(current.0.saturating_sub(1)), false), (current, true)] {
                let Some(writes) = self.trees.get_mut(&tree) else { continue };
                let rows = writes.fresh_rows(current, running);
                if rows.is_empty() {
                    continue;
                }
                let segments = write(tree, rows)?;
                writes.private.extend(segments.into_iter().map(|segment| Private { segment, command }));
                writes.forget_fresh(current, running);
            }
        }
        self.bytes = self.bytes.saturating_sub(self.spillable);
        self.spillable = 0;
        Ok(())
    }

    /// The private row of a key, if commands before `before` wrote one.
    pub fn private_row(&self, tree: TreeRef, key: &[u8], before: CommandId) -> Result<Option<(&Arc<Segment>, u32)>> {
        match self.trees.get(&tree) {
            Some(writes) => writes.private_row(key, before),
            None => Ok(None),
        }
    }

    /// Private segments that a statement sees, and which of their rows it does not.
    pub fn private_segments(&self, tree: TreeRef, before: CommandId) -> Vec<(Arc<Segment>, RoaringBitmap)> {
        let Some(writes) = self.trees.get(&tree) else { return Vec::new() };
        let mut hidden = writes.hidden_rows(before);
        let seen = writes.private.iter().filter(|private| private.command < before);
        seen.map(|private| {
            let rows = hidden.remove(&private.segment.meta.id).unwrap_or_default();
            (private.segment.clone(), rows)
        })
        .collect()
    }

    /// The operation that makes private segments everybody's.
    pub(super) fn load_op(&self) -> Option<LogOp> {
        let mut loaded = Vec::new();
        let mut trees: Vec<_> = self.trees.iter().collect();
        trees.sort_by_key(|(tree, _)| **tree);
        for (tree, writes) in trees {
            if matches!(self.descriptor(*tree), Some(None)) {
                continue;
            }
            let mut hidden = writes.hidden_rows(NEVER);
            loaded.extend(writes.private.iter().map(|private| LoadedSegment {
                meta: private.segment.meta.clone(),
                hidden: hidden.remove(&private.segment.meta.id).unwrap_or_default(),
            }));
        }
        (!loaded.is_empty()).then_some(LogOp::AddSegments(loaded))
    }

    pub fn private(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.trees.values().flat_map(|writes| writes.private.iter().map(|private| &private.segment))
    }

    /// The private segments belong to the shard now.
    pub fn keep_private(&mut self) {
        self.trees.values_mut().for_each(|writes| writes.private.clear());
    }
}

impl Drop for TxnBuffer {
    fn drop(&mut self) {
        self.private().for_each(|segment| segment.give_up());
    }
}

impl TreeWrites {
    fn fresh_rows(&self, current: CommandId, running: bool) -> Vec<SpillRow> {
        let fresh = self.entries.iter().filter(|entry| entry.is_fresh(current, running));
        let mut rows: Vec<SpillRow> = fresh
            .filter_map(|entry| {
                Some(SpillRow { key: entry.key.clone(), row: entry.row.clone()?, schema: entry.schema })
            })
            .collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    /// Takes out what was spilled; what stays keeps its order.
    fn forget_fresh(&mut self, current: CommandId, running: bool) {
        let entries = std::mem::take(&mut self.entries);
        self.newest.clear();
        let mut moved: FxHashMap<u32, u32> = FxHashMap::default();
        for (at, entry) in entries.into_iter().enumerate() {
            if entry.is_fresh(current, running) {
                continue;
            }
            let to = self.entries.len() as u32;
            moved.insert(at as u32, to);
            let older = entry.older.and_then(|older| moved.get(&older).copied());
            self.newest.insert(entry.key.clone(), to);
            self.entries.push(Entry { older, ..entry });
        }
    }

    pub(super) fn private_row(&self, key: &[u8], before: CommandId) -> Result<Option<(&Arc<Segment>, u32)>> {
        for private in self.private.iter().filter(|private| private.command < before) {
            if private.segment.meta.may_hold(key)
                && let Some(row) = private.segment.reader.find(key)?.next()
            {
                return Ok(Some((&private.segment, row)));
            }
        }
        Ok(None)
    }

    /// Private rows that commands before `before` replaced or deleted.
    fn hidden_rows(&self, before: CommandId) -> FxHashMap<heliosdb_types::SegmentId, RoaringBitmap> {
        let mut hidden: FxHashMap<_, RoaringBitmap> = FxHashMap::default();
        for entry in self.entries.iter().filter(|entry| entry.older.is_none() && entry.command < before) {
            if let Base::Spilled(Position { segment, row }) = entry.base {
                hidden.entry(segment).or_default().insert(row);
            }
        }
        hidden
    }
}

impl Entry {
    /// Whether it is a new row nothing else refers to, of the running command or of an earlier one.
    fn is_fresh(&self, current: CommandId, running: bool) -> bool {
        self.base == Base::Nothing
            && self.row.is_some()
            && self.older.is_none()
            && self.superseded == NEVER
            && (self.command >= current) == running
    }
}
