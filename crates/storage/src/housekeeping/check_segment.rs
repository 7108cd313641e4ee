//! Checking one segment: every byte against its checksum, every block decoded, every promise the footer makes kept.

use std::sync::Arc;

use heliosdb_runtime::OpenMode;
use heliosdb_types::{CommitTs, Result, compare};

use super::check::Checker;
use crate::cache::BlockCache;
use crate::manifest::{SegmentMeta, segment_path};
use crate::segment::SegmentReader;

/// Keeps the checked file's blocks apart from what the shard has cached: damage on disk must not hide behind a good copy.
const CACHE_BYTES: u64 = 8 << 20;

/// Bytes read at once for the checksum over the whole file.
const READ_BYTES: u64 = 1 << 20;

/// A segment whose footer could be read.
pub(super) struct CheckedSegment {
    pub meta: SegmentMeta,
    pub reader: Arc<SegmentReader>,
}

pub(super) type IsDeleted<'a> = &'a dyn Fn(u32) -> bool;

impl Checker<'_> {
    /// Checks a segment, and against `others` (of the same tree) that no key has two live versions.
    pub(super) fn segment(
        &mut self,
        meta: &SegmentMeta,
        is_deleted: IsDeleted<'_>,
        others: &[(CheckedSegment, IsDeleted<'_>)],
    ) -> Result<Option<CheckedSegment>> {
        let path = segment_path(meta.id);
        let shown = self.disk.describe(&path);
        self.about(Some(meta.tree), &shown);
        if !self.disk.exists(&path)? {
            self.found("segment_exists", None, "is missing, though the manifest or the log names it");
            return Ok(None);
        }
        let before = self.out.findings.len();
        let whole = self.whole_file(&path, meta)?;
        let cache = BlockCache::new(CACHE_BYTES);
        let reader = match SegmentReader::open(self.disk.as_ref(), &path, meta.id, meta.file_bytes, cache) {
            Ok(reader) => reader,
            Err(error) => {
                self.failed("segment_footer_reads", &error);
                return Ok(None);
            }
        };
        self.facts(meta, &reader);
        self.rows(meta, &reader, is_deleted, others)?;
        if !whole && self.out.findings.len() == before {
            self.found("segment_checksum_holds", Some(0), "the file's bytes are not those that were written");
        }
        Ok(Some(CheckedSegment { meta: meta.clone(), reader }))
    }

    /// Whether the checksum over all bytes holds. A length that is wrong is noticed when the file is opened.
    fn whole_file(&mut self, path: &str, meta: &SegmentMeta) -> Result<bool> {
        let file = self.disk.open(path, OpenMode::Read)?;
        let len = file.len()?;
        self.out.files += 1;
        self.out.bytes += len;
        let (mut checksum, mut offset) = (0, 0);
        while offset < len {
            (self.stop)()?;
            let mut bytes = vec![0; (len - offset).min(READ_BYTES) as usize];
            file.read_exact_at(&mut bytes, offset)?;
            checksum = crc32c::crc32c_append(checksum, &bytes);
            offset += bytes.len() as u64;
        }
        Ok(u64::from(checksum) == meta.file_checksum)
    }

    /// What manifest and footer say of each other.
    fn facts(&mut self, meta: &SegmentMeta, reader: &SegmentReader) {
        let info = reader.info();
        let same = info.rows == meta.rows
            && info.descriptor.tree == meta.tree
            && info.descriptor.version == meta.schema
            && info.min_key() == meta.min_key
            && info.max_key() == meta.max_key;
        if !same {
            self.found("segment_is_the_one_named", Some(0), "rows, tree, version or keys differ from the manifest's");
        }
        let times = match meta.stamp {
            Some(stamp) => !info.stamped_rows && meta.min_ts == stamp && meta.max_ts == stamp,
            None => !info.stamped_rows || (info.min_ts == meta.min_ts && info.max_ts == meta.max_ts),
        };
        if !times {
            self.found("segment_times_are_those_named", Some(0), "commit times differ from the manifest's");
        }
    }

    fn rows(
        &mut self,
        meta: &SegmentMeta,
        reader: &SegmentReader,
        is_deleted: IsDeleted<'_>,
        others: &[(CheckedSegment, IsDeleted<'_>)],
    ) -> Result<()> {
        let overlaps =
            |other: &CheckedSegment| other.meta.min_key <= meta.max_key && meta.min_key <= other.meta.max_key;
        let others: Vec<_> = others.iter().filter(|(other, _)| overlaps(other)).collect();
        let mut last: Option<(Vec<u8>, CommitTs, bool)> = None;
        for block in 0..reader.info().block_count() {
            (self.stop)()?;
            let full = match reader.read_block(block) {
                Ok(full) => full,
                Err(error) => {
                    self.failed("segment_block_reads", &error);
                    last = None;
                    continue;
                }
            };
            self.out.rows += full.keys.len() as u64;
            for rule in reader.broken_promises(block, &full)? {
                self.found(rule, reader.block_offset(block), &format!("in block {block}"));
            }
            for (at, key) in full.keys.iter().enumerate() {
                let row = full.first_row + at as u32;
                let begin = full.begin.get(at).copied().unwrap_or_default();
                let live = !is_deleted(row);
                if let Some((before, ts, was_live)) = &last {
                    let ordered = match before.as_slice().cmp(key) {
                        std::cmp::Ordering::Less => true,
                        std::cmp::Ordering::Equal => *ts > begin,
                        std::cmp::Ordering::Greater => false,
                    };
                    if !ordered {
                        self.found("segment_rows_are_in_order", reader.block_offset(block), &format!("at row {row}"));
                    }
                    if live && *was_live && before.as_slice() == key {
                        self.found("one_live_version_of_a_key", reader.block_offset(block), &format!("at row {row}"));
                    }
                }
                if !reader.may_hold(key) {
                    let problem = format!("the bloom filter or a fence denies the key of row {row}");
                    self.found("bloom_holds_every_key", reader.block_offset(block), &problem);
                }
                if live {
                    self.one_live_version(key, row, &others)?;
                }
                match &mut last {
                    Some((before, ts, was_live)) => {
                        before.clear();
                        before.extend_from_slice(key);
                        (*ts, *was_live) = (begin, live);
                    }
                    none => *none = Some((key.to_vec(), begin, live)),
                }
            }
        }
        Ok(())
    }

    fn one_live_version(&mut self, key: &[u8], row: u32, others: &[&(CheckedSegment, IsDeleted<'_>)]) -> Result<()> {
        for (other, other_deleted) in others {
            // What cannot be read there has been named when it was checked.
            let Ok(found) = other.reader.find(key) else { continue };
            if found.clone().any(|row| !other_deleted(row)) {
                let problem = format!("row {row} and one of segment {} both count", other.meta.id);
                self.found("one_live_version_of_a_key", None, &problem);
            }
        }
        Ok(())
    }
}

impl SegmentReader {
    /// The rules about a block's fences, times and zone maps that its rows break.
    fn broken_promises(&self, block: usize, full: &crate::segment::FullBlock) -> Result<Vec<&'static str>> {
        let mut broken = Vec::new();
        let keys = &full.keys;
        let fences = self.block_fences(block);
        if fences != Some((keys.get(0), keys.get(keys.len().saturating_sub(1)))) {
            broken.push("block_fences_are_its_keys");
        }
        let times = self.block_times(block);
        if let Some((min, max)) = times
            && full.begin.iter().any(|ts| *ts < min || *ts > max)
        {
            broken.push("block_times_hold_its_rows");
        }
        for (column, array) in full.columns.iter().enumerate() {
            let Some((stats, physical)) = self.zone_map(block, column) else { continue };
            let actual = heliosdb_hcc::collect_stats(array, physical)?;
            let low = stats
                .min
                .as_ref()
                .zip(actual.min.as_ref())
                .is_none_or(|(zone, min)| compare(zone.as_ref(), min.as_ref()).is_le());
            let high = stats
                .max
                .as_ref()
                .zip(actual.max.as_ref())
                .is_none_or(|(zone, max)| compare(zone.as_ref(), max.as_ref()).is_ge());
            if !(low && high && stats.null_count == actual.null_count) {
                broken.push("zone_maps_hold_their_values");
            }
        }
        Ok(broken)
    }
}
