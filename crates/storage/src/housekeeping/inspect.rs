//! What a stopped shard's files are: for people who look at a directory.

use std::collections::BTreeMap;
use std::sync::Arc;

use heliosdb_contracts::SegmentFacts;
use heliosdb_runtime::{Disk, OpenMode};
use heliosdb_types::{BranchId, CommitTs, Lsn, Result, SchemaVersion, SegmentId, TreeRef};
use heliosdb_wal::{LogSurvey, ReplayFrom, SurveyRange, survey};

use crate::cache::BlockCache;
use crate::delete_vector::DeleteVector;
use crate::manifest::{
    DELETES_MAGIC_1, Manifest, ManifestFiles, SegmentMeta, load_deletes, manifest_path, read_current, segment_id_of,
};
use crate::segment::SegmentReader;
use crate::segments::Segment;

const CACHE_BYTES: u64 = 8 << 20;

/// How many files of a kind have a format version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVersion {
    pub kind: &'static str,
    pub version: u32,
    pub files: u64,
    pub bytes: u64,
}

/// The manifest that counts, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSummary {
    pub path: String,
    pub number: u64,
    pub replay_lsn: Lsn,
    pub captured_lsn: Lsn,
    pub last_ts: CommitTs,
    pub catalog_ts: CommitTs,
    pub branches: usize,
    pub counters: usize,
    pub next_segment: u64,
    pub next_tree: u64,
    pub loads: usize,
}

/// A tree of the manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeSummary {
    pub tree: TreeRef,
    /// Shapes that rows may have, and columns of the newest.
    pub versions: usize,
    pub columns: usize,
    pub dropped: bool,
    pub segments: Vec<SegmentFacts>,
}

/// A stopped shard, as far as its files say.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// `None`: it has a log alone.
    pub manifest: Option<ManifestSummary>,
    pub trees: Vec<TreeSummary>,
    pub log: LogSurvey,
    pub versions: Vec<FileVersion>,
}

/// Describes the shard in `disk`'s root, which nobody uses. Damage is an error that names file and offset.
pub fn inspect_dir(disk: &Arc<dyn Disk>) -> Result<Inspection> {
    let found = read_current(disk)?;
    let manifest = found.clone().unwrap_or_else(Manifest::empty);
    let from = ReplayFrom { start: Lsn(manifest.replay_lsn.0 + 1), known_durable: manifest.captured_lsn };
    let log = survey(disk.as_ref(), "wal", SurveyRange { from, durable: None }, &mut |_| Ok(()))?;
    let cache = BlockCache::new(CACHE_BYTES);
    let mut trees = Vec::with_capacity(manifest.trees.len());
    for entry in &manifest.trees {
        let mut segments = Vec::new();
        if entry.dropped.is_none() {
            for of_tree in
                manifest.segments.iter().filter(|s| (s.meta.branch, s.meta.tree) == (entry.branch, entry.tree))
            {
                let deletes = match &of_tree.deletes {
                    Some(place) => DeleteVector::from_image(load_deletes(disk, place)?),
                    None => DeleteVector::default(),
                };
                segments.push(Segment::open(disk, &cache, of_tree.meta.clone(), deletes, None)?.facts()?);
            }
        }
        trees.push(TreeSummary {
            tree: entry.tree,
            versions: entry.descriptors.len(),
            columns: entry.descriptors.last().map_or(0, |newest| newest.columns.len()),
            dropped: entry.dropped.is_some(),
            segments,
        });
    }
    let summary = found.map(|manifest| ManifestSummary {
        path: disk.describe(&manifest_path(manifest.number)),
        number: manifest.number,
        replay_lsn: manifest.replay_lsn,
        captured_lsn: manifest.captured_lsn,
        last_ts: manifest.last_ts,
        catalog_ts: manifest.catalog_ts,
        branches: manifest.branches.len(),
        counters: manifest.counters.len(),
        next_segment: manifest.next_segment,
        next_tree: manifest.next_tree,
        loads: manifest.installed_loads.len(),
    });
    let log_bytes = log.files.iter().map(|file| file.bytes).sum();
    let mut versions = vec![FileVersion {
        kind: "log",
        version: heliosdb_wal::FORMAT_VERSION,
        files: log.files.len() as u64,
        bytes: log_bytes,
    }];
    for (kind, dir) in [
        ("manifest", ManifestFiles::MANIFESTS),
        ("segment", ManifestFiles::SEGMENTS),
        ("delete vectors", ManifestFiles::DELETES),
    ] {
        versions.extend(versions_in(disk.as_ref(), kind, dir)?);
    }
    Ok(Inspection { manifest: summary, trees, log, versions })
}

/// The files of a directory by the version in their first bytes.
fn versions_in(disk: &dyn Disk, kind: &'static str, dir: &str) -> Result<Vec<FileVersion>> {
    let mut found: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let names = if disk.exists(dir)? { disk.list(dir)? } else { Vec::new() };
    for name in names {
        let file = disk.open(&format!("{dir}/{name}"), OpenMode::Read)?;
        let mut head = [0; 12];
        let got = file.read_at(&mut head, 0)?;
        let (files, bytes) = found.entry(version_in(head.get(..got).unwrap_or_default())).or_default();
        *files += 1;
        *bytes += file.len()?;
    }
    Ok(found.into_iter().map(|(version, (files, bytes))| FileVersion { kind, version, files, bytes }).collect())
}

/// Files begin with a magic of 8 bytes and the version, but for delete vectors of version 1; 0: neither.
fn version_in(head: &[u8]) -> u32 {
    if head.starts_with(DELETES_MAGIC_1) {
        return 1;
    }
    let version = head.get(8..12).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    version.filter(|_| head.starts_with(b"HELIOS")).unwrap_or(0)
}

/// Describes one segment file by itself: of deletes and of its level it knows nothing.
pub fn inspect_segment(disk: &Arc<dyn Disk>, name: &str) -> Result<SegmentFacts> {
    let id = segment_id_of(name).unwrap_or(SegmentId(0));
    let bytes = disk.open(name, OpenMode::Read)?.len()?;
    let reader = SegmentReader::open(disk.as_ref(), name, id, bytes, BlockCache::new(CACHE_BYTES))?;
    let info = reader.info();
    let meta = SegmentMeta {
        id,
        branch: BranchId(0),
        tree: info.descriptor.tree,
        level: 0,
        schema: SchemaVersion(info.descriptor.version.0),
        rows: info.rows,
        file_bytes: bytes,
        file_checksum: 0,
        min_key: bytes::Bytes::copy_from_slice(info.min_key()),
        max_key: bytes::Bytes::copy_from_slice(info.max_key()),
        min_ts: info.min_ts,
        max_ts: info.max_ts,
        stamp: None,
    };
    Ok(reader.facts()?.of_segment(&meta, 0))
}
