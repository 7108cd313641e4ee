//! Rows that a transaction has deleted or replaced, by position: what is left of entries that have grown too many.
//!
//! An entry that does nothing but end a row of a segment says no more than which row, and which command did it. So it leaves, and a
//! bit takes its place: of a committed row in [`Doomed`], of one of the transaction's own in its private segment. A new row in the
//! place of the old one has gone to a private segment by then.
//!
//! The transaction has locked the rows: each stays the newest version of its key and lives until the commit. But a merge may put it
//! elsewhere. The segment is pinned, so that keys are still found by it; whoever needs positions of a version first has the rows
//! of segments that the version is without looked up anew ([`TxnBuffer::rehome`]).

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_types::{CommandId, CommitTs, Error, Result, SegmentId, TreeRef};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use super::commands::RowCommands;
use super::{Base, Entry, Image, NEVER, TreeWrites, TxnBuffer};
use crate::commit::{Target, live_in_segments, live_row};
use crate::log::Position;
use crate::segment::NearbyRows;
use crate::segments::Segment;
use crate::version::Version;

/// Committed rows of one segment.
pub(super) struct Doomed {
    segment: Arc<Segment>,
    pub rows: RowCommands,
    /// The least and the greatest of their keys, about: no other key is looked for.
    lowest: Bytes,
    highest: Bytes,
}

/// Rows of one segment on their way to becoming doomed.
struct Batch {
    segment: Arc<Segment>,
    rows: Vec<(u32, CommandId)>,
    lowest: Bytes,
    highest: Bytes,
}

type Batches = FxHashMap<SegmentId, Batch>;

/// What doomed rows hide from a scan: positions, and keys where a position would not be enough.
#[derive(Default)]
pub(crate) struct DoomedMask {
    pub rows: FxHashMap<SegmentId, RoaringBitmap>,
    pub keys: Vec<Bytes>,
}

impl TxnBuffer {
    /// Whether entries that end rows take more than `limit` bytes, and are worth another try.
    pub fn ends_are_many(&self, limit: usize) -> bool {
        self.ends > self.ends_kept + limit.max(self.ends_kept / 2)
    }

    /// Has rows in segments take the place of the entries that end them; says how many. Those in a memtable stay entries. No spill
    /// may run.
    pub fn doom(&mut self, version: &Version) -> Result<u64> {
        assert!(self.running.is_none(), "what a spill writes stays where it is");
        let branch = self.branch;
        self.rehome(version)?;
        let mut count = 0;
        for (&tree, writes) in &mut self.trees {
            let live = |key: &Bytes, old| live_row(version, (branch, tree), key, old, CommitTs::MAX);
            count += writes.doom(&live)?;
        }
        let ends = self.trees.values().flat_map(|writes| writes.entries.iter().filter(|entry| entry.ends_a_row()));
        self.ends = ends.map(|entry| super::entry_bytes(&entry.key, &Bytes::new())).sum();
        self.ends_kept = self.ends;
        Ok(count)
    }

    /// Finds doomed rows of segments that a version is without where that version has them. It must be one that was the shard's
    /// newest since this buffer was locked.
    pub fn rehome(&mut self, version: &Version) -> Result<()> {
        let branch = self.branch;
        let dropped: Vec<TreeRef> =
            self.trees.keys().copied().filter(|tree| matches!(self.descriptor(*tree), Some(None))).collect();
        for (&tree, writes) in self.trees.iter_mut().filter(|(tree, _)| !dropped.contains(tree)) {
            let is_gone = |doomed: &Doomed| version.segment((branch, tree), doomed.segment.meta.id).is_none();
            while let Some(at) = writes.doomed.iter().position(is_gone) {
                let Some(gone) = writes.doomed.get(at) else { break };
                let live = |key: &Bytes, near| live_in_segments(version, (branch, tree), key, near, CommitTs::MAX);
                let found = gone.find_anew(&live)?;
                writes.add_doomed(found)?;
                writes.doomed.swap_remove(at);
            }
        }
        Ok(())
    }

    /// What a statement of a tree must not see of committed segments, for commands before `before`. The buffer is at home in the
    /// version that is read.
    pub fn doomed_mask(&self, tree: TreeRef, before: CommandId, snapshot: CommitTs) -> Result<DoomedMask> {
        let mut mask = DoomedMask::default();
        for doomed in self.trees.get(&tree).into_iter().flat_map(|writes| &writes.doomed) {
            let rows = doomed.rows.before(before);
            if doomed.segment.meta.max_ts > snapshot {
                // A snapshot from before the row began would see the version before it.
                doomed.keys_after(&rows, snapshot, &mut mask.keys)?;
            }
            if !rows.is_empty() {
                mask.rows.insert(doomed.segment.meta.id, rows.into_owned());
            }
        }
        Ok(mask)
    }

    /// Every doomed row of the trees that the commit keeps.
    pub fn doomed(&self) -> impl Iterator<Item = (TreeRef, &Arc<Segment>, &RoaringBitmap)> {
        let trees = self.kept_trees().into_iter();
        trees.flat_map(|(tree, writes)| writes.doomed.iter().map(move |d| (tree, &d.segment, d.rows.all())))
    }
}

impl TreeWrites {
    fn doom(&mut self, live: &dyn Fn(&Bytes, Position) -> Result<Target>) -> Result<u64> {
        let (mut committed, mut own) = (Batches::default(), FxHashMap::<SegmentId, Vec<(u32, CommandId)>>::default());
        let mut goes = RoaringBitmap::new();
        for (at, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.may_go()) {
            match entry.base {
                Base::Spilled(place) => own.entry(place.segment).or_default().push((place.row, entry.command)),
                Base::Committed(hint) => match live(&entry.key, Position::from(hint))? {
                    Target::Segment { segment, row } => {
                        Batch::add(&mut committed, segment, (row, entry.command), &entry.key);
                    }
                    // Or it is gone, which the commit will tell.
                    _ => continue,
                },
                Base::Nothing | Base::Deleted => continue,
            }
            goes.insert(at as u32);
        }
        self.add_doomed(committed)?;
        for private in &mut self.private {
            private.ended.add(own.remove(&private.segment.meta.id).unwrap_or_default())?;
        }
        assert!(own.is_empty(), "a row of its own is in a private segment");
        if !goes.is_empty() {
            self.retain(|at, _| !goes.contains(at));
        }
        Ok(goes.len())
    }

    fn add_doomed(&mut self, batches: Batches) -> Result<()> {
        let mut batches: Vec<Batch> = batches.into_values().collect();
        batches.sort_unstable_by_key(|batch| batch.segment.meta.id);
        for Batch { segment, rows, lowest, highest } in batches {
            match self.doomed.iter_mut().find(|doomed| doomed.segment.meta.id == segment.meta.id) {
                Some(doomed) => {
                    doomed.rows.add(rows)?;
                    doomed.lowest = lowest.min(std::mem::take(&mut doomed.lowest));
                    doomed.highest = highest.max(std::mem::take(&mut doomed.highest));
                }
                None => {
                    let mut doomed = Doomed { segment, rows: RowCommands::default(), lowest, highest };
                    doomed.rows.add(rows)?;
                    self.doomed.push(doomed);
                }
            }
        }
        Ok(())
    }

    /// Whether a command before `before` doomed the committed row of a key.
    pub(super) fn is_doomed(&self, key: &[u8], before: CommandId) -> Result<bool> {
        for doomed in self.doomed.iter().filter(|doomed| doomed.lowest <= key && doomed.highest >= key) {
            if doomed.segment.reader.find(key)?.any(|row| doomed.rows.contains(row, before)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes of what is known by position.
    pub(super) fn position_bytes(&self) -> usize {
        let doomed: usize = self.doomed.iter().map(|doomed| doomed.rows.bytes()).sum();
        let private = self.private.iter().map(|private| private.rows.bytes() + private.ended.bytes());
        doomed + private.sum::<usize>()
    }
}

impl Doomed {
    /// The same rows where `live` finds them, which looks at a place first: rows next to each other mostly still are.
    fn find_anew(&self, live: &dyn Fn(&Bytes, Position) -> Result<Target>) -> Result<Batches> {
        let (mut found, mut nearby, mut keys) = (Batches::default(), NearbyRows::default(), Vec::new());
        let mut near = Position::default();
        for (row, command) in self.rows.iter() {
            keys.clear();
            nearby.keys(&self.segment.reader, row..row + 1, &mut keys)?;
            for (key, _) in keys.drain(..) {
                let Target::Segment { segment, row } = live(&key, near)? else {
                    return Err(Error::internal(format!("a row that is to be deleted is gone, key {key:02x?}")));
                };
                near = Position { segment: segment.meta.id, row: row.saturating_add(1) };
                Batch::add(&mut found, segment, (row, command), &key);
            }
        }
        Ok(found)
    }

    /// Keys of the rows among `rows` that began after a snapshot.
    fn keys_after(&self, rows: &RoaringBitmap, snapshot: CommitTs, out: &mut Vec<Bytes>) -> Result<()> {
        let (mut nearby, mut keys) = (NearbyRows::default(), Vec::new());
        for row in rows {
            keys.clear();
            nearby.keys(&self.segment.reader, row..row + 1, &mut keys)?;
            for (key, begin) in keys.drain(..) {
                if self.segment.stamp_or(begin)? > snapshot {
                    out.push(key);
                }
            }
        }
        Ok(())
    }
}

impl Batch {
    fn add(batches: &mut Batches, segment: Arc<Segment>, row: (u32, CommandId), key: &Bytes) {
        let new = |segment| Batch { segment, rows: Vec::new(), lowest: key.clone(), highest: key.clone() };
        let batch = batches.entry(segment.meta.id).or_insert_with(|| new(segment));
        batch.rows.push(row);
        if *key < batch.lowest {
            batch.lowest = key.clone();
        } else if *key > batch.highest {
            batch.highest = key.clone();
        }
    }
}

impl Entry {
    /// Whether it holds no row and keeps one from being seen.
    fn ends_a_row(&self) -> bool {
        !matches!(self.image, Image::Row(_)) && matches!(self.base, Base::Committed(_) | Base::Spilled(_))
    }

    /// Whether ending a row is all it does, and nothing refers to it.
    fn may_go(&self) -> bool {
        self.ends_a_row() && self.older.is_none() && self.superseded == NEVER
    }
}
