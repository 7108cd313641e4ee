//! What a transaction does when its rows outgrow memory: they go, sorted, to private segments.
//!
//! The files are durable before the commit's record names them, and no manifest knows them until then; a rollback removes
//! them, a crash leaves them to the next start's sweep. Of a row that replaces a committed one the key stays in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use heliosdb_runtime::Thread;
use heliosdb_types::{CommandId, Error, Result, SchemaVersion, SegmentId, TreeRef};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::keys::Keys;
use super::{Base, Entry, Image, NEVER, TreeWrites, TxnBuffer};
use crate::log::{LoadedSegment, LogOp, Position};
use crate::segments::Segment;

/// A segment only its transaction sees.
pub(crate) struct Private {
    pub segment: Arc<Segment>,
    /// Rows of this command and earlier ones,
    pub command: CommandId,
    /// down to this one.
    pub first: CommandId,
    /// While savepoints are open: rows by the part of the transaction they come from, oldest first.
    pub parts: Vec<(CommandId, RoaringBitmap)>,
    /// Rows a rollback to a savepoint undid.
    pub dead: RoaringBitmap,
}

/// A row to be spilled.
pub(crate) struct SpillRow {
    pub key: Bytes,
    pub row: Bytes,
    pub schema: SchemaVersion,
    pub command: CommandId,
    /// Its entry.
    at: u32,
}

/// Rows of one tree on their way to private segments.
pub(crate) struct SpillJob {
    pub tree: TreeRef,
    pub rows: Vec<SpillRow>,
    command: CommandId,
}

/// The segments a job's rows were written to, and where each row is.
pub(crate) struct Spilled {
    pub job: SpillJob,
    pub segments: Vec<Arc<Segment>>,
    pub places: Vec<Position>,
}

/// Jobs being written by a thread; their rows stay where they are until it is done.
pub(crate) struct Running {
    pub done: Receiver<Result<Vec<Spilled>>>,
    pub thread: Thread,
}

impl TxnBuffer {
    /// Bytes of rows that no job has taken yet, about.
    pub fn spillable_bytes(&self) -> usize {
        self.spillable
    }

    /// All rows that can go, by tree. `current` is the running command: its own rows are kept apart, for it must not see
    /// them. The jobs before must have ended.
    pub fn spill_jobs(&mut self, current: CommandId) -> Vec<SpillJob> {
        assert!(self.running.is_none(), "one spill at a time");
        let mut jobs = Vec::new();
        for (&tree, writes) in &self.trees {
            for (command, running) in [(CommandId(current.0.saturating_sub(1)), false), (current, true)] {
                let rows = writes.rows_to_spill(current, running);
                if !rows.is_empty() {
                    jobs.push(SpillJob { tree, rows, command });
                }
            }
        }
        jobs.sort_by_key(|job| (job.tree, job.command));
        self.spillable = 0;
        jobs
    }

    pub fn spill_started(&mut self, running: Running) {
        self.running = Some(running);
    }

    /// Waits for the jobs that run, if any.
    pub fn finish_spill(&mut self) -> Result<()> {
        let Some(Running { done, thread }) = self.running.take() else { return Ok(()) };
        let spilled = done.recv().map_err(|_| Error::internal("a spill stopped before its end"));
        thread.join()?;
        self.spilled(spilled??);
        Ok(())
    }

    /// Rows are in private segments now.
    pub fn spilled(&mut self, spilled: Vec<Spilled>) {
        // A tree's jobs together: taking rows out moves the others.
        let mut moved: BTreeMap<TreeRef, Vec<(u32, Position)>> = BTreeMap::new();
        for Spilled { job, segments, places } in spilled {
            let command = job.command;
            let parts = parts_of(&self.savepoints, &job, &places);
            let first = job.rows.iter().map(|row| row.command).min().unwrap_or(command);
            let private = segments.into_iter().map(|segment| {
                let rows = parts.iter().filter(|((id, _), _)| *id == segment.meta.id);
                let parts = rows.map(|((_, part), rows)| (*part, rows.clone())).collect();
                Private { segment, command, first, parts, dead: RoaringBitmap::new() }
            });
            let writes = self.trees.entry(job.tree).or_default();
            writes.private.extend(private);
            let highest = writes.private.iter().map(|private| &private.segment.meta.max_key).max();
            writes.private_highest = highest.cloned().unwrap_or_default();
            moved.entry(job.tree).or_default().extend(job.rows.iter().map(|row| row.at).zip(places));
        }
        for (tree, places) in moved {
            self.trees.entry(tree).or_default().moved_out(&places);
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

    /// The private segments belong to the shard now; those of trees the transaction dropped again to nobody.
    pub fn keep_private(&mut self) {
        let dropped: Vec<TreeRef> =
            self.trees.keys().copied().filter(|tree| matches!(self.descriptor(*tree), Some(None))).collect();
        for (tree, writes) in &mut self.trees {
            let private = std::mem::take(&mut writes.private);
            if dropped.contains(tree) {
                private.iter().for_each(|private| private.segment.give_up());
            }
        }
    }
}

/// Rows by segment and by the part of the transaction they come from; nothing while there is no savepoint.
fn parts_of(
    savepoints: &[CommandId],
    job: &SpillJob,
    places: &[Position],
) -> BTreeMap<(SegmentId, CommandId), RoaringBitmap> {
    let mut parts: BTreeMap<(SegmentId, CommandId), RoaringBitmap> = BTreeMap::new();
    if !savepoints.is_empty() {
        for (row, place) in job.rows.iter().zip(places) {
            let part = TxnBuffer::part_of(savepoints, row.command);
            parts.entry((place.segment, part)).or_default().insert(place.row);
        }
    }
    parts
}

impl Drop for TxnBuffer {
    fn drop(&mut self) {
        // A spill that still runs has files to remove, too; if it failed it has removed them.
        let _ = self.finish_spill();
        self.private().for_each(|segment| segment.give_up());
    }
}

impl TreeWrites {
    fn rows_to_spill(&self, current: CommandId, running: bool) -> Vec<SpillRow> {
        let entries = self.entries.iter().enumerate();
        entries
            .filter(|(_, entry)| entry.may_spill() && (entry.command >= current) == running)
            .filter_map(|(at, entry)| match &entry.image {
                Image::Row(row) => Some(SpillRow {
                    key: entry.key.clone(),
                    row: row.clone(),
                    schema: entry.schema,
                    command: entry.command,
                    at: at as u32,
                }),
                _ => None,
            })
            .collect()
    }

    /// Takes out fresh inserts that were spilled, and leaves of other rows where they are now; what stays keeps its order.
    /// A row that was superseded while it was written stays, too: the newer one refers to it.
    fn moved_out(&mut self, places: &[(u32, Position)]) {
        let mut spilled: Vec<Option<Position>> = vec![None; self.entries.len()];
        for &(at, place) in places {
            if let Some(slot) = spilled.get_mut(at as usize) {
                *slot = Some(place);
            }
        }
        let entries = std::mem::take(&mut self.entries);
        self.keys = Keys::default();
        let mut moved: FxHashMap<u32, u32> = FxHashMap::default();
        for (at, (mut entry, place)) in entries.into_iter().zip(spilled).enumerate() {
            match place {
                Some(_) if entry.base == Base::Nothing && entry.superseded == NEVER => continue,
                Some(place) => entry.image = Image::Private(place),
                None => {}
            }
            let to = self.entries.len() as u32;
            if entry.superseded != NEVER {
                moved.insert(at as u32, to);
            }
            entry.older = entry.older.and_then(|older| moved.get(&older).copied());
            self.keys.append(&self.entries, &entry.key);
            self.entries.push(entry);
        }
    }

    pub(super) fn private_segment(&self, at: Position) -> Result<&Arc<Segment>> {
        let found = self.private.iter().find(|private| private.segment.meta.id == at.segment);
        found.map(|private| &private.segment).ok_or_else(|| Error::internal("a private segment is gone"))
    }

    pub(super) fn private_row(&self, key: &[u8], before: CommandId) -> Result<Option<(&Arc<Segment>, u32)>> {
        if self.private_highest < key {
            return Ok(None);
        }
        for private in self.private.iter().filter(|private| private.command < before) {
            if private.segment.meta.may_hold(key)
                && let Some(row) = private.segment.reader.find(key)?.find(|row| !private.dead.contains(*row))
            {
                return Ok(Some((&private.segment, row)));
            }
        }
        Ok(None)
    }

    /// Private rows that commands before `before` replaced or deleted.
    fn hidden_rows(&self, before: CommandId) -> FxHashMap<SegmentId, RoaringBitmap> {
        let dead = self.private.iter().filter(|private| !private.dead.is_empty());
        let mut hidden: FxHashMap<_, RoaringBitmap> =
            dead.map(|private| (private.segment.meta.id, private.dead.clone())).collect();
        for entry in self.entries.iter().filter(|entry| entry.command < before) {
            if let (None, Base::Spilled(at)) = (entry.older, entry.base) {
                hidden.entry(at.segment).or_default().insert(at.row);
            }
            if let (true, Image::Private(at)) = (entry.superseded < before, &entry.image) {
                hidden.entry(at.segment).or_default().insert(at.row);
            }
        }
        hidden
    }
}

impl Entry {
    /// Whether its row can go: nothing else refers to it.
    fn may_spill(&self) -> bool {
        matches!(self.base, Base::Nothing | Base::Committed(_)) && self.older.is_none() && self.superseded == NEVER
    }
}
