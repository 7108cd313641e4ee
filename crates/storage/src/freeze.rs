//! From memtable to segments: rotate, wait for the log, write, swap the manifest.

use std::sync::Arc;

use heliosdb_runtime::failpoint;
use heliosdb_types::{CommitTs, Error, Result};
use rustc_hash::FxHashMap;

use crate::core::{CommitState, Core};
use crate::memtable::{BranchTree, Generation, Rotation, TreeMem, VersionId};
use crate::metrics::Counters;
use crate::pace::Pace;
use crate::segment::CommitStamp;
use crate::segments::Segment;
use crate::swap::Change;
use crate::tree_writer::{Place, TreeWriter};
use crate::version::Version;

/// Where a frozen tree's versions went, by version; `GONE` for those nobody can see.
type RowMap = Vec<Place>;
const GONE: Place = (u32::MAX, u32::MAX);

/// What a frozen tree became.
struct Frozen {
    segments: Vec<Arc<Segment>>,
    rows: RowMap,
}

impl Core {
    /// Gives writes a new memtable. An empty one rotates only if `even_empty`: its log may hold counters.
    pub fn rotate(&self, even_empty: bool) -> bool {
        let state = self.commit.lock();
        let before = self.version.load_full();
        let replayable = self.applied_lsn().0 > self.replay_lsn().0;
        let rotates = !before.active.is_empty() || (even_empty && replayable);
        if rotates {
            self.rotate_locked(&state, &before);
        }
        rotates
    }

    /// As `rotate`, if the memtable is full and there is room for one more frozen one. Commits do it themselves, so that
    /// memory stays bounded however long a freeze takes.
    pub fn rotate_if_full(&self) {
        let full = |version: &Version| {
            version.active.bytes() >= self.options.memtable_bytes && version.frozen.len() <= self.options.frozen_max
        };
        if full(&self.version.load()) {
            let state = self.commit.lock();
            let before = self.version.load_full();
            if full(&before) {
                self.rotate_locked(&state, &before);
            }
        }
    }

    fn rotate_locked(&self, state: &CommitState, before: &Version) {
        let lsn = self.applied_lsn();
        before.active.freeze(Rotation { lsn, ts: state.last_ts });
        let mut frozen = vec![before.active.clone()];
        frozen.extend(before.frozen.iter().cloned());
        self.generation_began(self.clock.monotonic());
        self.version.store(Arc::new(Version { active: Arc::default(), frozen, ..Version::clone(before) }));
    }

    /// Turns the oldest frozen memtable into segments. False if there is none.
    pub fn freeze_oldest(&self) -> Result<bool> {
        let _one_at_a_time = self.freezing.lock();
        let version = self.version.load_full();
        let Some(generation) = version.frozen.last().cloned() else { return Ok(false) };
        let rotation = generation.rotation().ok_or_else(|| Error::internal("a frozen memtable has a rotation"))?;
        failpoint("freeze.begin")?;
        self.wal.wait_durable_blocking(rotation.lsn)?;
        let begun = self.clock.monotonic();
        let mut pace = self.pace();
        let frozen =
            self.giving_way("freeze rows", || self.freeze_trees(&version, &generation, rotation, &mut pace))?;
        failpoint("freeze.segments_written")?;
        let mut add: Vec<_> = frozen.values().flat_map(|done| done.segments.iter().cloned()).collect();
        add.sort_unstable_by_key(|segment| segment.meta.id);
        let written = add.len();
        // Those up to the manifest's timestamp are saved with it, the rest with the next one: the log that holds them
        // is replayed until then.
        let mut carried = 0;
        let mut carry = |_: CommitTs| carried += carry_late(&generation, carried, &frozen);
        let frozen_by = Some((rotation, generation.clone()));
        let change = Change { add: add.clone(), remove: vec![], frozen: frozen_by, carry: &mut carry };
        self.swap_or_undo(change, &add)?;
        self.froze(generation.bytes(), self.clock.monotonic().saturating_sub(begun + pace.rested()));
        Counters::add(&self.counters.freezes, 1);
        let bytes = add.iter().map(|segment| segment.meta.file_bytes).sum();
        Counters::add(&self.counters.freeze_bytes, bytes);
        self.wake_compactor.notify_one();
        tracing::debug!(lsn = rotation.lsn.0, segments = written, "froze a memtable");
        drop((version, frozen, add));
        self.outdated.lock().push(generation);
        failpoint("freeze.done")?;
        Ok(true)
    }

    /// Frees the memtables that are in segments by now and that nobody reads any more. Many rows freed at once make everybody wait for
    /// the allocator, so it is done by the piece.
    pub fn forget_outdated(&self) {
        let idle: Vec<_> =
            self.outdated.lock().extract_if(.., |generation| Arc::strong_count(generation) == 1).collect();
        if idle.is_empty() {
            return;
        }
        let mut pace = self.pace();
        // Where no thread is to be had they go at once.
        let _ = self.giving_way("forget rows", move || {
            let is_urgent = || !self.version.load().frozen.is_empty();
            idle.into_iter().for_each(|generation| generation.forget(|| pace.rest(is_urgent())));
            Ok(())
        });
    }

    /// Every tree of a generation that is still there.
    fn freeze_trees(
        &self,
        version: &Version,
        generation: &Generation,
        rotation: Rotation,
        pace: &mut Pace<'_>,
    ) -> Result<FxHashMap<BranchTree, Frozen>> {
        let mut frozen: FxHashMap<BranchTree, Frozen> = FxHashMap::default();
        for (tree, memtable) in generation.trees() {
            match self.freeze_tree(version, tree, &memtable, rotation, pace) {
                Ok(None) => {}
                Ok(Some(done)) => _ = frozen.insert(tree, done),
                Err(error) => {
                    frozen.values().flat_map(|done| &done.segments).for_each(|segment| segment.give_up());
                    return Err(error);
                }
            }
        }
        Ok(frozen)
    }

    fn freeze_tree(
        &self,
        version: &Version,
        tree: BranchTree,
        memtable: &TreeMem,
        rotation: Rotation,
        pace: &mut Pace<'_>,
    ) -> Result<Option<Frozen>> {
        let horizon = self.gc_horizon();
        // A tree that is gone for every snapshot leaves nothing behind.
        let Some(state) = version.trees.get(&tree) else { return Ok(None) };
        if state.dropped.is_some_and(|ts| ts <= horizon) {
            return Ok(None);
        }
        let mut writer = TreeWriter::new(self.background_target(), tree.0, state.clone(), 0, CommitStamp::PerRow);
        let mut rows = vec![GONE; memtable.len()];
        let mut ended: Vec<(CommitTs, Place)> = Vec::new();
        let mut looked_at = 0_usize;
        memtable.for_each_sorted(|id, row| {
            looked_at += 1;
            if looked_at.is_multiple_of(self.options.block_rows) {
                // While one more is waiting, memory fills.
                pace.rest(self.version.load().frozen.len() > 1);
            }
            let end = row.end();
            if end <= horizon || end <= row.begin {
                return Ok(());
            }
            let place = writer.add(&row.key, &row.row, row.schema, row.begin)?;
            if let Some(slot) = rows.get_mut(id.0 as usize) {
                *slot = place;
            }
            if end <= rotation.ts {
                ended.push((end, place));
            }
            Ok::<(), Error>(())
        })?;
        let metas = writer.finish()?;
        let segments = Segment::open_written(&self.disk, &self.cache, metas)?;
        ended.sort_unstable();
        for (ts, (segment, row)) in ended {
            let fresh = segments.get(segment as usize).is_some_and(|segment| segment.deletes.delete(row, ts));
            assert!(fresh, "a version ends once");
        }
        Ok(Some(Frozen { segments, rows }))
    }
}

/// Deletes that landed after the rotation, but for the first `from`, onto the segments; says how many.
fn carry_late(generation: &Generation, from: usize, frozen: &FxHashMap<BranchTree, Frozen>) -> usize {
    let late = generation.late_from(from);
    let count = late.len();
    for (tree, VersionId(version), ts) in late {
        let Some(done) = frozen.get(&tree) else { continue };
        let (segment, row) = done.rows.get(version as usize).copied().unwrap_or(GONE);
        if (segment, row) == GONE {
            // It had ended for every snapshot by the time it would have been written.
            continue;
        }
        let fresh = done.segments.get(segment as usize).is_some_and(|segment| segment.deletes.delete(row, ts));
        assert!(fresh, "a late delete finds its row");
    }
    count
}
