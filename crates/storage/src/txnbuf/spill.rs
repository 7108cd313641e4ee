//! What a transaction does when its rows outgrow memory: they go, sorted, to private segments.
//!
//! The files are durable before the commit's record names them, and no manifest knows them until then; a rollback removes
//! them, a crash leaves them to the next start's sweep. Of a row that replaces another the key stays in memory, until that other
//! is doomed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use heliosdb_runtime::Thread;
use heliosdb_types::{CommandId, Error, Result, SchemaVersion, SegmentId, TreeRef};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::commands::RowCommands;
use super::savepoint::Undone;
use super::{Base, Entry, Image, NEVER, TreeWrites, TxnBuffer, entry_bytes};
use crate::log::{LoadedSegment, LogOp, Position};
use crate::segments::Segment;

/// A segment only its transaction sees.
pub(crate) struct Private {
    pub segment: Arc<Segment>,
    /// Which command made each row.
    pub rows: RowCommands,
    /// Rows that were deleted or replaced and have no entry for that, by the command that did it.
    pub ended: RowCommands,
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
}

/// The segments a job's rows were written to, and where each row is.
pub(crate) struct Spilled {
    pub job: SpillJob,
    pub segments: Vec<Arc<Segment>>,
    pub places: Vec<Position>,
}

impl Spilled {
    /// Nobody wants the files.
    pub fn give_up(&self) {
        self.segments.iter().for_each(|segment| segment.give_up());
    }
}

/// Jobs being written by a thread; their rows stay where they are until it is done.
pub(crate) struct Running {
    pub done: Receiver<Result<Vec<Spilled>>>,
    pub thread: Thread,
    /// Set by who has no use for the jobs any more.
    pub stop: Arc<AtomicBool>,
}

impl TxnBuffer {
    /// Bytes of rows that no job has taken yet, about.
    pub fn spillable_bytes(&self) -> usize {
        self.spillable
    }

    /// All rows that can go, by tree. The jobs before must have ended.
    pub fn spill_jobs(&mut self) -> Vec<SpillJob> {
        assert!(self.running.is_none(), "one spill at a time");
        let jobs = self.trees.iter().map(|(&tree, writes)| SpillJob { tree, rows: writes.rows_to_spill() });
        let mut jobs: Vec<SpillJob> = jobs.filter(|job| !job.rows.is_empty()).collect();
        jobs.sort_by_key(|job| job.tree);
        self.spillable = 0;
        jobs
    }

    pub fn spill_started(&mut self, running: Running) {
        self.running = Some(running);
    }

    /// Waits for the jobs that run, if any.
    pub fn finish_spill(&mut self) -> Result<()> {
        let Some(Running { done, thread, .. }) = self.running.take() else { return Ok(()) };
        let spilled = done.recv().map_err(|_| Error::internal("a spill stopped before its end"));
        thread.join()?;
        self.spilled(spilled??)
    }

    /// Stops the jobs that run, if any, because what `from` and later commands did is undone. Whether that came in time, or nothing
    /// of what they wrote is wanted: their rows are where they were. What they wrote goes to `undone`.
    pub fn stop_spill(&mut self, from: CommandId, undone: &mut Undone) -> Result<bool> {
        let Some(Running { done, thread, stop }) = self.running.take() else { return Ok(false) };
        stop.store(true, Ordering::Relaxed);
        let spilled = done.recv();
        thread.join()?;
        // A spill that failed has left no files.
        let Ok(Ok(spilled)) = spilled else { return Ok(true) };
        let stays = |row: &SpillRow| row.command < from;
        if spilled.iter().any(|spilled| spilled.job.rows.iter().any(stays)) {
            return self.spilled(spilled).map(|()| false);
        }
        spilled.iter().for_each(Spilled::give_up);
        undone.spilled = spilled;
        Ok(true)
    }

    /// Counts the rows that jobs could take, after one that has not.
    pub fn count_spillable(&mut self) {
        let entries = self.trees.values().flat_map(|writes| &writes.entries);
        let bytes = entries.map(|entry| match &entry.image {
            Image::Row(row) => entry_bytes(&entry.key, row),
            _ => 0,
        });
        self.spillable = bytes.sum();
    }

    /// Rows are in private segments now.
    pub fn spilled(&mut self, spilled: Vec<Spilled>) -> Result<()> {
        for Spilled { job, segments, places } in spilled {
            let mut rows: FxHashMap<SegmentId, Vec<(u32, CommandId)>> = FxHashMap::default();
            for (row, place) in job.rows.iter().zip(&places) {
                rows.entry(place.segment).or_default().push((place.row, row.command));
            }
            let writes = self.trees.entry(job.tree).or_default();
            for segment in segments {
                // First of all: from here on the transaction removes the file.
                writes.private.push(Private::new(segment));
            }
            for private in &mut writes.private {
                private.rows.add(rows.remove(&private.segment.meta.id).unwrap_or_default())?;
            }
            let highest = writes.private.iter().map(|private| &private.segment.meta.max_key).max();
            writes.private_highest = highest.cloned().unwrap_or_default();
            self.ends += writes.moved_out(job.rows.iter().map(|row| row.at).zip(places));
        }
        Ok(())
    }

    /// Private segments that a statement sees, and which of their rows it does not.
    pub fn private_segments(&self, tree: TreeRef, before: CommandId) -> Vec<(Arc<Segment>, RoaringBitmap)> {
        let Some(writes) = self.trees.get(&tree) else { return Vec::new() };
        let mut hidden = writes.hidden_rows(before);
        let all = writes.private.iter().map(|private| {
            let rows = hidden.remove(&private.segment.meta.id).unwrap_or_default();
            (private.segment.clone(), rows)
        });
        all.filter(|(segment, hidden)| hidden.len() < u64::from(segment.meta.rows)).collect()
    }

    /// The private segments of a tree, seen or not.
    pub fn private_ids(&self, tree: TreeRef) -> impl Iterator<Item = SegmentId> {
        let writes = self.trees.get(&tree).into_iter();
        writes.flat_map(|writes| writes.private.iter().map(|private| private.segment.meta.id))
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

impl Drop for TxnBuffer {
    fn drop(&mut self) {
        // A spill that still runs has files to remove, too; if it stopped it has removed them.
        let _ = self.stop_spill(CommandId(0), &mut Undone::default());
        self.private().for_each(|segment| segment.give_up());
    }
}

impl Private {
    fn new(segment: Arc<Segment>) -> Private {
        let (rows, ended) = (RowCommands::default(), RowCommands::default());
        Private { segment, rows, ended, dead: RoaringBitmap::new() }
    }

    /// Whether a row is there for a statement, as far as entries do not say otherwise.
    fn has(&self, row: u32, before: CommandId) -> bool {
        self.rows.contains(row, before) && !self.ended.contains(row, before) && !self.dead.contains(row)
    }

    /// The rows that are not.
    fn hidden(&self, before: CommandId) -> RoaringBitmap {
        let seen = self.rows.before(before);
        let mut hidden = &self.dead | &*self.ended.before(before);
        if seen.len() < self.rows.len() {
            hidden |= self.rows.all() - &*seen;
        }
        hidden
    }
}

impl TreeWrites {
    fn rows_to_spill(&self) -> Vec<SpillRow> {
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| entry.may_spill());
        let rows = entries.filter_map(|(at, entry)| match &entry.image {
            Image::Row(row) => Some(SpillRow {
                key: entry.key.clone(),
                row: row.clone(),
                schema: entry.schema,
                command: entry.command,
                at: at as u32,
            }),
            _ => None,
        });
        rows.collect()
    }

    /// Takes out fresh inserts that were spilled, and leaves of other rows where they are now. A row that was superseded while it was
    /// written stays, too: the newer one refers to it. Gives the bytes of what stays and has left its row.
    fn moved_out(&mut self, places: impl Iterator<Item = (u32, Position)>) -> usize {
        let mut spilled: Vec<Option<Position>> = vec![None; self.entries.len()];
        for (at, place) in places {
            if let Some(slot) = spilled.get_mut(at as usize) {
                *slot = Some(place);
            }
        }
        let mut bytes = 0;
        self.retain(|at, entry| match spilled.get(at as usize).copied().flatten() {
            Some(_) if entry.base == Base::Nothing && entry.superseded == NEVER => false,
            Some(place) => {
                entry.image = Image::Private(place);
                bytes += entry_bytes(&entry.key, &Bytes::new());
                true
            }
            None => true,
        });
        bytes
    }

    pub(super) fn private_segment(&self, at: Position) -> Result<&Arc<Segment>> {
        let found = self.private.iter().find(|private| private.segment.meta.id == at.segment);
        found.map(|private| &private.segment).ok_or_else(|| Error::internal("a private segment is gone"))
    }

    pub(super) fn private_row(&self, key: &[u8], before: CommandId) -> Result<Option<(&Arc<Segment>, u32)>> {
        if self.private_highest < key {
            return Ok(None);
        }
        for private in self.private.iter().filter(|private| private.segment.meta.may_hold(key)) {
            // One row of each key.
            let row = private.segment.reader.find(key)?.next();
            if let Some(row) = row.filter(|row| private.has(*row, before)) {
                return Ok(Some((&private.segment, row)));
            }
        }
        Ok(None)
    }

    /// Private rows that are not there for commands from `before` on.
    fn hidden_rows(&self, before: CommandId) -> FxHashMap<SegmentId, RoaringBitmap> {
        let mut hidden: FxHashMap<_, RoaringBitmap> =
            self.private.iter().map(|private| (private.segment.meta.id, private.hidden(before))).collect();
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
        self.base != Base::Deleted && self.older.is_none() && self.superseded == NEVER
    }
}
