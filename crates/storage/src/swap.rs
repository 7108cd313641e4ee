//! Replacing the manifest, and the version in memory with it.
//!
//! 1. Under the commit mutex, note what is applied.
//! 2. Wait until that is durable, so that the manifest holds nothing a crash could take back.
//! 3. Write delete vectors.
//! 4. Write the manifest, then swap `CURRENT`.
//! 5. Under the commit mutex again, carry over what was deleted meanwhile and install the new version.
//! 6. Remove what is no longer needed.
//!
//! One swap at a time (`Core::manifest`). Once step 4 has begun its outcome may be unknown, so a failure there fences the
//! shard and removes no file; but for a disk that is full before `CURRENT` is touched: that swap never happened.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use heliosdb_runtime::{Canary, failpoint};
use heliosdb_types::{CommitTs, Lsn, Result, SegmentId, SqlState};
use rustc_hash::FxHashSet;

use crate::core::Core;
use crate::delete_vector::DeleteImage;
use crate::manifest::{
    Manifest, ManifestFiles, SegmentEntry, TreeEntry, deletes_path, swap_manifest, write_deletes, write_manifest,
};
use crate::memtable::{BranchTree, Generation, Rotation};
use crate::segments::Segment;
use crate::version::{SegmentMap, Version};

/// What a freeze or a merge changes.
pub(crate) struct Change<'a> {
    pub add: Vec<Arc<Segment>>,
    pub remove: Vec<SegmentId>,
    /// The generation whose rows `add` holds.
    pub frozen: Option<(Rotation, Arc<Generation>)>,
    /// Brings the added segments' delete vectors up to a timestamp; called with ascending ones, last under the commit
    /// mutex with `CommitTs::MAX`.
    pub carry: &'a mut dyn FnMut(CommitTs),
}

/// The applied state a manifest describes.
struct Captured {
    version: Arc<Version>,
    lsn: Lsn,
    last_ts: CommitTs,
    counters: Vec<(heliosdb_types::SequenceId, u64)>,
    loads: Vec<Lsn>,
}

impl Core {
    /// Swaps; if that failed for certain, the added segments go again.
    pub fn swap_or_undo(&self, change: Change<'_>, added: &[Arc<Segment>]) -> Result<()> {
        let swapped = self.swap(change);
        if swapped.is_err() && self.wal.check_fence().is_ok() {
            added.iter().for_each(|segment| segment.give_up());
        }
        swapped
    }

    fn swap(&self, change: Change<'_>) -> Result<()> {
        let mut current = self.manifest.lock();
        let captured = self.capture();
        self.wal.wait_durable_blocking(captured.lsn)?;
        (change.carry)(captured.last_ts);
        let replay_lsn = change.frozen.as_ref().map_or(current.replay_lsn, |(rotation, _)| rotation.lsn);
        assert!(replay_lsn >= current.replay_lsn && replay_lsn <= captured.lsn, "the replay point advances");
        let gone = self.dropped_trees(&captured.version, &change);
        let segments = next_segments(&captured.version, &change, &gone);
        self.save_deletes(&mut current, &segments, captured.last_ts)?;
        failpoint("swap.deletes_written")?;
        let next = self.next_manifest(&current, &captured, replay_lsn, &segments, &gone);
        let written = write_manifest(&self.disk, &next);
        if let Err(error) = &written
            && error.state() == SqlState::DISK_FULL
        {
            // Certain: the old manifest counts. A later swap may find space.
            return written;
        }
        let swapped = written.and_then(|()| swap_manifest(&self.disk, &next));
        if let Err(error) = swapped.and_then(|()| failpoint("swap.manifest_swapped")) {
            self.fence(&format!("the manifest could not be written: {error}"));
            return Err(error);
        }
        *current = next;
        self.install(&current, change, &gone);
        let cleaned = self.remove_unused_deletes(&current);
        let needless = Canary::RecycleNeededLog.sings(self.options.canary);
        let replayed = if needless { current.captured_lsn } else { current.replay_lsn };
        if let Err(error) = cleaned.and_then(|()| self.wal.retire(Lsn(replayed.0 + 1))) {
            // The swap has happened; what is left over takes space until the next one, or the next start.
            tracing::warn!(%error, "could not remove what the last manifest gave up");
        }
        Ok(())
    }

    fn capture(&self) -> Captured {
        let mut state = self.commit.lock();
        let replayed = self.manifest_replay_lsn.load(Ordering::Relaxed);
        state.loads.retain(|lsn| lsn.0 > replayed);
        let mut counters: Vec<_> = state.counters.iter().map(|(&id, &value)| (id, value)).collect();
        counters.sort_unstable();
        let (lsn, last_ts, loads) = (self.applied_lsn(), state.last_ts, state.loads.clone());
        Captured { version: self.version.load_full(), lsn, last_ts, counters, loads }
    }

    /// Trees no snapshot can read any more: what was dropped, and what an earlier swap gave up while this change was being
    /// prepared.
    fn dropped_trees(&self, version: &Version, change: &Change<'_>) -> FxHashSet<BranchTree> {
        let horizon = self.gc_horizon();
        let dropped = version.trees.iter().filter(|(_, state)| state.dropped.is_some_and(|ts| ts <= horizon));
        let added = change.add.iter().map(|segment| (segment.meta.branch, segment.meta.tree));
        dropped.map(|(&tree, _)| tree).chain(added.filter(|tree| !version.trees.contains_key(tree))).collect()
    }

    /// Writes the delete vectors that changed, up to `ts`.
    fn save_deletes(&self, current: &mut Manifest, segments: &SegmentMap, ts: CommitTs) -> Result<()> {
        let dirty: Vec<_> = sorted(segments).into_iter().filter(|segment| segment.deletes.is_dirty(ts)).collect();
        if dirty.is_empty() {
            return Ok(());
        }
        let images: Vec<DeleteImage> = dirty.iter().map(|segment| segment.deletes.image(ts)).collect();
        let number = current.next_deletes;
        // Used up even if the write fails: a file of that number may exist.
        current.next_deletes += 1;
        let places = write_deletes(&self.disk, number, &images)?;
        for (segment, place) in dirty.iter().zip(places) {
            *segment.saved.lock() = Some(place);
            segment.deletes.mark_saved(ts);
        }
        Ok(())
    }

    fn next_manifest(
        &self,
        current: &Manifest,
        captured: &Captured,
        replay_lsn: Lsn,
        segments: &SegmentMap,
        gone: &FxHashSet<BranchTree>,
    ) -> Manifest {
        let trees = captured.version.trees.iter().filter(|(tree, _)| !gone.contains(tree));
        let mut trees: Vec<TreeEntry> = trees
            .map(|(&(branch, tree), state)| TreeEntry {
                branch,
                tree,
                descriptors: state.descriptors().cloned().collect(),
                dropped: state.dropped,
            })
            .collect();
        trees.sort_by_key(|entry| (entry.branch, entry.tree));
        let entries = sorted(segments).into_iter();
        let entries =
            entries.map(|segment| SegmentEntry { meta: segment.meta.clone(), deletes: *segment.saved.lock() });
        let mut row_ids: Vec<_> = self.row_ids.lock().iter().map(|(&tree, &next)| (tree, next)).collect();
        row_ids.retain(|(tree, _)| trees.binary_search_by_key(tree, |entry| entry.tree).is_ok());
        row_ids.sort_unstable();
        Manifest {
            number: current.number + 1,
            replay_lsn,
            captured_lsn: captured.lsn,
            last_ts: captured.last_ts,
            catalog_ts: self.visibility.catalog_ts(),
            next_segment: self.next_segment.load(Ordering::Relaxed),
            next_deletes: current.next_deletes,
            next_tree: self.next_tree.load(Ordering::Relaxed),
            branches: current.branches.clone(),
            trees,
            segments: entries.collect(),
            counters: captured.counters.clone(),
            row_ids,
            installed_loads: captured.loads.iter().copied().filter(|&lsn| lsn > replay_lsn).collect(),
        }
    }

    /// Step 5: from here on commits find rows in their new places.
    fn install(&self, manifest: &Manifest, change: Change<'_>, gone: &FxHashSet<BranchTree>) {
        let state = self.commit.lock();
        let before = self.version.load_full();
        if !Canary::LoseLateDelete.sings(self.options.canary) {
            (change.carry)(CommitTs::MAX);
        }
        let segments = next_segments(&before, &change, gone);
        let mut trees = (*before.trees).clone();
        gone.iter().for_each(|tree| _ = trees.remove(tree));
        let mut frozen = before.frozen.clone();
        if let Some((_, generation)) = &change.frozen {
            let last = frozen.pop();
            assert!(last.is_some_and(|last| Arc::ptr_eq(&last, generation)), "generations are frozen in order");
        }
        let version = Version {
            epoch: manifest.number,
            trees: Arc::new(trees),
            active: before.active.clone(),
            frozen,
            segments: Arc::new(segments),
        };
        let removed = |segment: &&Arc<Segment>| {
            change.remove.contains(&segment.meta.id) || gone.contains(&(segment.meta.branch, segment.meta.tree))
        };
        before.all_segments().filter(removed).for_each(|segment| segment.mark_replaced());
        self.version.store(Arc::new(version));
        self.manifest_replay_lsn.store(manifest.replay_lsn.0, Ordering::Relaxed);
        drop(state);
        before.all_segments().chain(&change.add).filter(removed).for_each(|segment| segment.give_up());
        let careless = Canary::PruneOpenSnapshot.sings(self.options.canary);
        let horizon = if careless { self.visibility.visible_ts() } else { self.gc_horizon() };
        self.version.load().all_segments().for_each(|segment| segment.deletes.prune(horizon));
        self.balance_memory();
        self.room.notify_all();
    }

    fn remove_unused_deletes(&self, manifest: &Manifest) -> Result<()> {
        let used: FxHashSet<String> =
            manifest.segments.iter().filter_map(|entry| entry.deletes).map(|place| deletes_path(place.file)).collect();
        for name in self.disk.list(ManifestFiles::DELETES)? {
            let path = format!("{}/{name}", ManifestFiles::DELETES);
            if !used.contains(&path) {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }
}

/// The segments after the change.
fn next_segments(version: &Version, change: &Change<'_>, gone: &FxHashSet<BranchTree>) -> SegmentMap {
    let mut segments: SegmentMap = (*version.segments).clone();
    segments.retain(|tree, _| !gone.contains(tree));
    if !change.remove.is_empty() {
        for list in segments.values_mut() {
            if list.iter().any(|segment| change.remove.contains(&segment.meta.id)) {
                let left = list.iter().filter(|segment| !change.remove.contains(&segment.meta.id));
                *list = Arc::new(left.cloned().collect());
            }
        }
    }
    for segment in &change.add {
        let tree = (segment.meta.branch, segment.meta.tree);
        if !gone.contains(&tree) {
            Arc::make_mut(segments.entry(tree).or_default()).push(segment.clone());
        }
    }
    segments.retain(|_, list| !list.is_empty());
    segments
}

/// By id, so that what is written does not depend on hash order.
fn sorted(segments: &SegmentMap) -> Vec<Arc<Segment>> {
    let mut all: Vec<_> = segments.values().flat_map(|list| list.iter().cloned()).collect();
    all.sort_by_key(|segment| segment.meta.id);
    all
}
