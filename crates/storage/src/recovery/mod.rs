//! Opening a shard: 1. the manifest that counts; 2. the log from where the manifest ends; 3. what neither names is swept.

mod applier;
mod batch;
mod pipeline;

use std::sync::Arc;
use std::time::Duration;

use heliosdb_runtime::{Canary, Clock, Disk, Entropy, Spawner};
use heliosdb_types::{CommitTs, Lsn, Result};
use heliosdb_wal::{ReplayFrom, TornTail, Wal, WalConfig, WalOptions};

use self::applier::{Applier, Replayed};
use self::pipeline::Pipeline;
use crate::cache::BlockCache;
use crate::core::{Beginning, Core};
use crate::manifest::{Manifest, ManifestFiles, SegmentEntry, deletes_path, read_current, segment_id_of};
use crate::memtable::Rotation;
use crate::metrics::Counters;
use crate::options::ShardOptions;
use crate::version::Version;

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
    /// From reading the log's first byte to applying its last record.
    pub replay_time: Duration,
    /// The log's unfinished end, which was cut off.
    pub torn_tail: Option<TornTail>,
    /// Newest commit recovered.
    pub last_commit: CommitTs,
    /// Files that nothing named and that were removed.
    pub removed_files: u64,
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
    let beside = (!options.log_inline).then(|| parts.spawner.clone());
    let applier = Applier::new(disk, &cache, &manifest)?;
    let mut pipeline = Pipeline::new(applier, options.log_file_bytes, parts.clock.clone(), beside);
    let (wal, log) = match Wal::open(config, from, &mut pipeline) {
        Ok(opened) => opened,
        // What went wrong with an earlier record is known later.
        Err(error) => return Err(pipeline.failure().unwrap_or(error)),
    };
    let (applier, replay_time) = pipeline.end()?;
    let Replayed { mut version, state, catalog_ts, next_tree, row_ids } = applier.finish();
    let last_commit = state.last_ts;
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
        replay_time,
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
