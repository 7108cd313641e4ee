//! Opening a shard: 1. the manifest that counts; 2. the log from where the manifest ends; 3. what neither names is swept.

use std::sync::Arc;

use arc_swap::ArcSwap;
use heliosdb_contracts::row_id_key;
use heliosdb_runtime::{Canary, Clock, Disk, Entropy, Spawner};
use heliosdb_types::{BranchId, CommitTs, Error, Lsn, Result, TreeRef};
use heliosdb_wal::{Record, RecordKind, ReplayFrom, TornTail, Wal, WalConfig, WalOptions};
use rustc_hash::FxHashMap;

use crate::cache::BlockCache;
use crate::commit::{Target, apply_ops, live_row};
use crate::core::{Beginning, CommitState, Core};
use crate::delete_vector::DeleteVector;
use crate::large::tree_number;
use crate::log::{KIND_COMMIT, KIND_COUNTER, LoadedSegment, LogOp, decode_counter, decode_ops};
use crate::manifest::{Manifest, ManifestFiles, SegmentEntry, deletes_path, load_deletes, read_current, segment_id_of};
use crate::memtable::{Generation, Rotation};
use crate::metrics::Counters;
use crate::options::ShardOptions;
use crate::segments::Segment;
use crate::shape::TreeState;
use crate::version::{SegmentMap, TreeStates, Version};

/// The outside world a shard works with.
#[derive(Clone)]
pub struct ShardParts {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub spawner: Spawner,
}

/// What opening a shard found and did.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    /// The shard had no data before.
    pub created: bool,
    /// Records replayed from the log, and their bytes.
    pub replayed_records: u64,
    pub replayed_bytes: u64,
    /// The log's unfinished end, which was cut off.
    pub torn_tail: Option<TornTail>,
    /// Newest commit recovered.
    pub last_commit: CommitTs,
    /// Files that nothing named and that were removed.
    pub removed_files: u64,
}

/// State while the log is replayed.
struct Replay {
    disk: Arc<dyn Disk>,
    cache: Arc<BlockCache>,
    version: ArcSwap<Version>,
    state: CommitState,
    catalog_ts: CommitTs,
    next_tree: u64,
    row_ids: FxHashMap<TreeRef, u64>,
}

pub(crate) fn open(parts: ShardParts, options: ShardOptions) -> Result<(Core, RecoveryReport)> {
    let disk = &parts.disk;
    for dir in [ManifestFiles::MANIFESTS, ManifestFiles::SEGMENTS, ManifestFiles::DELETES] {
        disk.create_dir(dir)?;
    }
    let found = read_current(disk)?;
    let created = found.is_none();
    let manifest = found.unwrap_or_else(Manifest::empty);
    let cache = BlockCache::with_canary(options.cache_bytes, options.canary);
    let mut replay = Replay::from_manifest(disk, &cache, &manifest)?;
    let config = WalConfig {
        disk: disk.clone(),
        dir: "wal".into(),
        options: WalOptions {
            file_bytes: options.log_file_bytes,
            gather_max: options.commit_delay,
            inline: options.log_inline,
            canary: options.canary,
            ..WalOptions::default()
        },
        clock: parts.clock.clone(),
        entropy: parts.entropy.clone(),
        spawner: parts.spawner.clone(),
    };
    let from = ReplayFrom { start: Lsn(manifest.replay_lsn.0 + 1), known_durable: manifest.captured_lsn };
    let (wal, log) = Wal::open(config, from, &mut |record| replay.record(record))?;
    let Replay { version, state, catalog_ts, next_tree, row_ids, .. } = replay;
    let last_commit = state.last_ts;
    let mut version = Arc::unwrap_or_clone(version.into_inner());
    let replayed = std::mem::take(&mut version.active);
    if !replayed.is_empty() {
        // Becomes segments at leisure: the next restart need not replay it again, and nobody waits for its keys to be sorted.
        replayed.freeze(Rotation { lsn: log.last, ts: last_commit });
        version.frozen.push(replayed);
    }
    if !Canary::SweepBeforeSync.sings(options.canary) {
        // The process that swapped `CURRENT` in may have ended before its name was durable; what only the manifest before
        // it names must stay until no power loss can bring that one back.
        disk.sync_dir("")?;
    }
    let (removed_files, next_segment) = sweep(disk, &manifest, &version)?;
    let beginning = Beginning { version, state, next_tree, next_segment, manifest, cache, row_ids };
    let core = Core::new(parts.disk.clone(), parts.clock, parts.spawner, options, wal, beginning);
    Counters::add(&core.counters.orphans_removed, removed_files);
    core.balance_memory();
    core.visibility.start(log.last, last_commit, catalog_ts);
    let visibility = core.visibility.clone();
    core.wal.on_durable(move |lsn| visibility.durable_to(lsn));
    let report = RecoveryReport {
        created: created && log.records == 0,
        replayed_records: log.records,
        replayed_bytes: log.bytes,
        torn_tail: log.torn,
        last_commit,
        removed_files,
    };
    Ok((core, report))
}

/// Removes files that neither the manifest nor the log names: of freezes, merges and loads that did not finish.
/// Returns how many, and the first segment id never used.
fn sweep(disk: &Arc<dyn Disk>, manifest: &Manifest, version: &Version) -> Result<(u64, u64)> {
    let (mut removed, mut next) = (0, manifest.next_segment);
    for name in disk.list(ManifestFiles::SEGMENTS)? {
        let id = segment_id_of(&name);
        next = next.max(id.map_or(0, |id| id.0 + 1));
        if !version.all_segments().any(|segment| Some(segment.meta.id) == id) {
            disk.remove(&format!("{}/{name}", ManifestFiles::SEGMENTS))?;
            removed += 1;
        }
    }
    for name in disk.list(ManifestFiles::DELETES)? {
        let path = format!("{}/{name}", ManifestFiles::DELETES);
        let used = |entry: &SegmentEntry| entry.deletes.is_some_and(|place| deletes_path(place.file) == path);
        if !manifest.segments.iter().any(used) {
            disk.remove(&path)?;
            removed += 1;
        }
    }
    Ok((removed, next))
}

impl Replay {
    fn from_manifest(disk: &Arc<dyn Disk>, cache: &Arc<BlockCache>, manifest: &Manifest) -> Result<Replay> {
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
        let mut segments = SegmentMap::default();
        for entry in &manifest.segments {
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
        let version = Version {
            epoch: manifest.number,
            trees: Arc::new(trees),
            active: Arc::new(Generation::replaying()),
            frozen: Vec::new(),
            segments: Arc::new(segments),
        };
        Ok(Replay {
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
        })
    }

    fn record(&mut self, record: Record) -> Result<()> {
        let what = || format!("log record {}", record.lsn);
        match record.kind {
            RecordKind(KIND_COUNTER) => {
                let (sequence, value) = decode_counter(&record.ops, &what())?;
                self.state.counters.insert(sequence, value);
                Ok(())
            }
            RecordKind(KIND_COMMIT) => {
                // Names cost more than small records do, and only errors need them.
                let ops = decode_ops(&record.ops, "").or_else(|_| decode_ops(&record.ops, &what()))?;
                self.commit(&record, ops)
            }
            RecordKind(kind) => Err(Error::corrupt(format!("{} is of unknown kind {kind}", what()))),
        }
    }

    fn commit(&mut self, record: &Record, ops: Vec<LogOp>) -> Result<()> {
        let (branch, ts) = (record.branch, record.commit_ts);
        if branch != BranchId(0) {
            return Err(Error::corrupt(format!("log record {} is of an unknown branch {branch}", record.lsn)));
        }
        let mut targets = Vec::with_capacity(ops.len());
        let version = self.version.load_full();
        for op in &ops {
            targets.push(match op {
                LogOp::Update { tree, key, old, .. } | LogOp::Delete { tree, key, old } => {
                    live_row(&version, (branch, *tree), key, *old, ts)?
                }
                LogOp::Mask { tree, segment, .. } => {
                    // One that is gone was replaced by what the manifest lists, with these deletes.
                    let found = version.segment((branch, *tree), *segment);
                    found.map_or(Target::Nothing, |segment| Target::Rows(segment.clone()))
                }
                LogOp::AddSegments(loaded) => self.load(record.lsn, loaded)?,
                _ => Target::Nothing,
            });
        }
        apply_ops(&self.version, branch, &ops, targets, ts)?;
        // Only now are the trees known that came with their rows.
        ops.iter().for_each(|op| self.note(op));
        self.state.last_ts = self.state.last_ts.max(ts);
        if ops.iter().any(|op| op.tree().is_some_and(TreeRef::is_system)) {
            self.catalog_ts = self.catalog_ts.max(ts);
        }
        Ok(())
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

    /// Counters that follow from what was logged.
    fn note(&mut self, op: &LogOp) {
        match op {
            LogOp::Define(descriptor) => self.next_tree = self.next_tree.max(tree_number(descriptor.tree) + 1),
            LogOp::Insert { tree, key, .. } => {
                let version = self.version.load();
                let row_id = version.trees.get(&(BranchId(0), *tree)).is_some_and(|state| state.is_row_id());
                if row_id {
                    self.note_row_id(*tree, key);
                }
            }
            LogOp::AddSegments(loaded) => {
                for meta in loaded.iter().map(|load| &load.meta) {
                    let version = self.version.load();
                    if version.trees.get(&(meta.branch, meta.tree)).is_some_and(|state| state.is_row_id()) {
                        self.note_row_id(meta.tree, &meta.max_key);
                    }
                }
            }
            _ => {}
        }
    }

    fn note_row_id(&mut self, tree: TreeRef, key: &[u8]) {
        if let Some(id) = key.first_chunk::<8>() {
            let id = u64::from_be_bytes(*id);
            debug_assert_eq!(row_id_key(id)[..], key[..]);
            let next = self.row_ids.entry(tree).or_insert(1);
            *next = (*next).max(id.saturating_add(1));
        }
    }
}
