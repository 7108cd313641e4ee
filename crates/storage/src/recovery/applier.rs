//! What the log's records do to the state the manifest gave, one after another.
//!
//! One thread applies, and nobody reads what it fills before it is done. Each operation is applied as a commit applies it, but for
//! what a replay may find done already: rows that are gone, segments that were replaced.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use heliosdb_runtime::Disk;
use heliosdb_types::{BranchId, CommitTs, Error, Lsn, Result, TreeRef};
use rustc_hash::FxHashMap;

use super::batch::{Batch, Entry, first_bytes};
use crate::cache::BlockCache;
use crate::commit::{Target, apply_ops, live_in_segments};
use crate::core::CommitState;
use crate::delete_vector::DeleteVector;
use crate::large::tree_number;
use crate::log::{LoadedSegment, LogOp, Position};
use crate::manifest::{Manifest, load_deletes};
use crate::memtable::{Generation, TreeFill};
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::version::{SegmentMap, TreeStates, Version};

/// Operations whose keys are looked for ahead: enough that misses of the processor's caches overlap, few enough that what was
/// fetched is still there when it is used.
const AHEAD: usize = 256;

const TRUNK: BranchId = BranchId(0);

/// State while the log is replayed.
pub(super) struct Applier {
    disk: Arc<dyn Disk>,
    cache: Arc<BlockCache>,
    version: ArcSwap<Version>,
    state: CommitState,
    catalog_ts: CommitTs,
    next_tree: u64,
    row_ids: FxHashMap<TreeRef, u64>,
    /// The trees that the log has rows of.
    fills: FxHashMap<TreeRef, TreeFill>,
    /// What the greatest key that was added to a tree begins with: in some trees it is a row id.
    greatest: FxHashMap<TreeRef, u64>,
}

/// What replay has made of the manifest.
pub(super) struct Replayed {
    pub version: Version,
    pub state: CommitState,
    pub catalog_ts: CommitTs,
    pub next_tree: u64,
    pub row_ids: FxHashMap<TreeRef, u64>,
}

impl Applier {
    pub fn new(disk: &Arc<dyn Disk>, cache: &Arc<BlockCache>, manifest: &Manifest) -> Result<Applier> {
        let trees = trees_of(manifest)?;
        let segments = segments_of(disk, cache, manifest, &trees)?;
        let version = Version {
            epoch: manifest.number,
            trees: Arc::new(trees),
            active: Arc::new(Generation::replaying()),
            frozen: Vec::new(),
            segments: Arc::new(segments),
        };
        Ok(Applier {
            disk: disk.clone(),
            cache: cache.clone(),
            version: ArcSwap::from_pointee(version),
            state: CommitState {
                last_ts: manifest.last_ts,
                counters: manifest.counters.iter().copied().collect(),
                loads: manifest.installed_loads.clone(),
            },
            catalog_ts: manifest.catalog_ts,
            next_tree: manifest.next_tree,
            row_ids: manifest.row_ids.iter().copied().collect(),
            fills: FxHashMap::default(),
            greatest: FxHashMap::default(),
        })
    }

    /// Applies a batch and leaves it empty.
    pub fn apply(&mut self, batch: &mut Batch) -> Result<()> {
        let mut ops = batch.ops.drain(..);
        let mut hashes = batch.hashes.as_slice();
        let (mut looked_for, mut bytes) = (0, 0);
        for entry in batch.entries.drain(..) {
            let (lsn, ts, count) = match entry {
                Entry::Counter(sequence, value) => {
                    self.state.counters.insert(sequence, value);
                    continue;
                }
                Entry::Commit { lsn, ts, ops } => (lsn, ts, ops),
            };
            let mut system = false;
            for _ in 0..count {
                if looked_for == 0 {
                    looked_for = self.look_ahead(ops.as_slice(), hashes);
                }
                looked_for = looked_for.saturating_sub(1);
                let (op, hash) = match (ops.next(), hashes.split_off_first()) {
                    (Some(op), Some(hash)) => (op, *hash),
                    _ => return Err(Error::internal("a batch of log records has fewer operations than it says")),
                };
                system |= op.tree().is_some_and(TreeRef::is_system);
                bytes += self.op(lsn, ts, op, hash)?;
            }
            self.state.last_ts = self.state.last_ts.max(ts);
            if system {
                self.catalog_ts = self.catalog_ts.max(ts);
            }
        }
        self.version.load().active.add_bytes(bytes);
        for (tree, key) in batch.greatest.drain(..) {
            self.note_greatest(tree, key);
        }
        drop(ops);
        batch.hashes.clear();
        batch.bytes = 0;
        Ok(())
    }

    /// Nothing more comes.
    pub fn finish(self) -> Replayed {
        let Applier { version, state, catalog_ts, next_tree, mut row_ids, fills, greatest, .. } = self;
        fills.into_values().for_each(TreeFill::settle);
        let version = Arc::unwrap_or_clone(version.into_inner());
        // Only now are all trees known: some came with their rows.
        for (tree, id) in greatest {
            if version.trees.get(&(TRUNK, tree)).is_some_and(|state| state.is_row_id()) {
                let next = row_ids.entry(tree).or_insert(1);
                *next = (*next).max(id.saturating_add(1));
            }
        }
        Replayed { version, state, catalog_ts, next_tree, row_ids }
    }

    /// Reads what the next operations will look for, so that it is near when they do. Returns of how many.
    fn look_ahead(&self, ops: &[LogOp], hashes: &[u64]) -> usize {
        let next = || ops.iter().zip(hashes).take(AHEAD);
        let mut sum = 0;
        for (op, hash) in next() {
            if let Some((tree, _)) = op.key()
                && let Some(fill) = self.fills.get(&tree)
            {
                sum ^= fill.touch(*hash);
            }
        }
        for (op, hash) in next().filter(|(op, _)| !matches!(op, LogOp::Insert { .. })) {
            if let Some((tree, key)) = op.key()
                && let Some(fill) = self.fills.get(&tree)
                && let Some((_, newest)) = fill.find(key, *hash)
            {
                sum ^= fill.end_of(newest).0;
            }
        }
        std::hint::black_box(sum);
        next().len()
    }

    /// Applies one operation. Returns the memory it takes.
    fn op(&mut self, lsn: Lsn, ts: CommitTs, op: LogOp, hash: u64) -> Result<usize> {
        match op {
            LogOp::Insert { tree, schema, key, row } => {
                let fill = self.fill(tree);
                let before = fill.find(&key, hash);
                Ok(fill.push((key, hash), row, schema, ts, before))
            }
            LogOp::Update { tree, schema, key, row, old } => {
                let fill = self.fill(tree);
                let before = fill.find(&key, hash);
                if !before.is_some_and(|(_, newest)| fill.end(newest, ts)) {
                    self.end_in_segments(tree, &key, old, ts)?;
                }
                Ok(self.fill(tree).push((key, hash), row, schema, ts, before))
            }
            LogOp::Delete { tree, key, old } => {
                let ended = self.fills.get_mut(&tree).is_some_and(|fill| {
                    let before = fill.find(&key, hash);
                    before.is_some_and(|(_, newest)| fill.end(newest, ts))
                });
                if !ended {
                    self.end_in_segments(tree, &key, old, ts)?;
                }
                Ok(0)
            }
            LogOp::Define(_) | LogOp::Drop(_) | LogOp::AddSegments(_) | LogOp::Mask { .. } => self.other(lsn, ts, op),
        }
    }

    /// Applies what is not a row.
    fn other(&mut self, lsn: Lsn, ts: CommitTs, op: LogOp) -> Result<usize> {
        let target = match &op {
            LogOp::Mask { tree, segment, .. } => {
                // One that is gone was replaced by what the manifest lists, with these deletes.
                let version = self.version.load();
                let found = version.segment((TRUNK, *tree), *segment);
                found.map_or(Target::Nothing, |segment| Target::Rows(segment.clone()))
            }
            LogOp::AddSegments(loaded) => self.load(lsn, loaded)?,
            _ => Target::Nothing,
        };
        match &op {
            LogOp::Define(descriptor) => self.next_tree = self.next_tree.max(tree_number(descriptor.tree) + 1),
            LogOp::AddSegments(loaded) => {
                loaded.iter().for_each(|load| self.note_greatest(load.meta.tree, first_bytes(&load.meta.max_key)));
            }
            _ => {}
        }
        apply_ops(&self.version, TRUNK, std::slice::from_ref(&op), vec![target], ts)?;
        Ok(0)
    }

    /// The files of a bulk load, unless the manifest has them (or what they were merged into) already.
    fn load(&mut self, lsn: Lsn, loaded: &[LoadedSegment]) -> Result<Target> {
        if self.state.loads.contains(&lsn) {
            return Ok(Target::Nothing);
        }
        self.state.loads.push(lsn);
        let mut segments = Vec::with_capacity(loaded.len());
        for load in loaded {
            segments.push(Segment::open(&self.disk, &self.cache, load.meta.clone(), DeleteVector::default(), None)?);
        }
        Ok(Target::Load(segments))
    }

    /// Ends what a row replaces that the log has no older version of; nothing, if that happened before the manifest was written.
    fn end_in_segments(&self, tree: TreeRef, key: &Bytes, old: Position, ts: CommitTs) -> Result<()> {
        let target = live_in_segments(&self.version.load(), (TRUNK, tree), key, old, ts)?;
        target.end(ts, (TRUNK, tree));
        Ok(())
    }

    fn note_greatest(&mut self, tree: TreeRef, key: u64) {
        let greatest = self.greatest.entry(tree).or_insert(key);
        *greatest = key.max(*greatest);
    }

    fn fill(&mut self, tree: TreeRef) -> &mut TreeFill {
        let active = &self.version;
        self.fills.entry(tree).or_insert_with(|| TreeFill::new(active.load().active.tree_or_new((TRUNK, tree))))
    }
}

fn trees_of(manifest: &Manifest) -> Result<TreeStates> {
    let mut trees = TreeStates::default();
    for entry in manifest.trees.iter().filter(|entry| entry.dropped.is_none()) {
        let mut descriptors = entry.descriptors.iter().cloned();
        let first = descriptors.next().ok_or_else(|| Error::corrupt("a tree without a shape"))?;
        let mut state = TreeState::new(first);
        for descriptor in descriptors {
            state = state.with(descriptor)?;
        }
        trees.insert((entry.branch, entry.tree), Arc::new(state));
    }
    Ok(trees)
}

/// Segments whose footers and filters are on their way from disk together, a few hundred kilobytes each.
const ANNOUNCED_TOGETHER: usize = 64;

fn segments_of(
    disk: &Arc<dyn Disk>,
    cache: &Arc<BlockCache>,
    manifest: &Manifest,
    trees: &TreeStates,
) -> Result<SegmentMap> {
    let mut segments = SegmentMap::default();
    for (at, entry) in manifest.segments.iter().enumerate() {
        if at % ANNOUNCED_TOGETHER == 0 {
            for entry in manifest.segments.iter().skip(at).take(ANNOUNCED_TOGETHER) {
                Segment::announce_opening(disk.as_ref(), &entry.meta);
            }
        }
        let tree = (entry.meta.branch, entry.meta.tree);
        if !trees.contains_key(&tree) {
            // Dropped; no snapshot survives a restart. The sweep removes the file.
            continue;
        }
        let deletes = match &entry.deletes {
            Some(place) => DeleteVector::from_image(load_deletes(disk, place)?),
            None => DeleteVector::default(),
        };
        let segment = Segment::open(disk, cache, entry.meta.clone(), deletes, entry.deletes)?;
        Arc::make_mut(segments.entry(tree).or_default()).push(segment);
    }
    Ok(segments)
}
