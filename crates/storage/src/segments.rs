//! Segments as a version holds them: the file, the rows of it that were deleted, and its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use heliosdb_contracts::SegmentFacts;
use heliosdb_runtime::{Disk, OpenMode};
use heliosdb_types::{CommitTs, DatumRef, Error, Result, encode_row};
use parking_lot::Mutex;

use crate::cache::BlockCache;
use crate::dead_rows::DeadRows;
use crate::delete_vector::DeleteVector;
use crate::manifest::{DeletesPlace, SegmentMeta, segment_path};
use crate::segment::{Facts, SegmentReader};
use crate::shape::Shape;

/// A segment some version reads. Its file goes when it is obsolete and nobody reads it any more.
pub(crate) struct Segment {
    pub meta: SegmentMeta,
    pub reader: Arc<SegmentReader>,
    pub deletes: Arc<DeleteVector>,
    /// Where the manifest finds the deletes.
    pub saved: Mutex<Option<DeletesPlace>>,
    /// What was found out of its content, once somebody asked.
    facts: Arc<OnceLock<Facts>>,
    /// Set under the commit mutex, before a version without this segment is installed: later deletes go elsewhere.
    replaced: AtomicBool,
    file: Arc<SegmentOnDisk>,
}

/// Removes the file with its last owner, if it was given up.
struct SegmentOnDisk {
    disk: Arc<dyn Disk>,
    cache: Arc<BlockCache>,
    meta_id: heliosdb_types::SegmentId,
    obsolete: AtomicBool,
}

/// The newest version of a key in a segment.
pub(crate) enum Found {
    Nothing,
    Live {
        row: u32,
        begin: CommitTs,
    },
    /// `ZERO`: before anything that can still ask.
    Deleted(CommitTs),
}

impl Segment {
    pub fn open(
        disk: &Arc<dyn Disk>,
        cache: &Arc<BlockCache>,
        meta: SegmentMeta,
        deletes: DeleteVector,
        saved: Option<DeletesPlace>,
    ) -> Result<Arc<Segment>> {
        let path = segment_path(meta.id);
        if !disk.exists(&path)? {
            let path = disk.describe(&path);
            return Err(Error::corrupt(format!("segment \"{path}\" is missing (of tree {})", meta.tree)));
        }
        let reader = SegmentReader::open(disk.as_ref(), &path, meta.id, meta.file_bytes, cache.clone())?;
        if reader.rows() != meta.rows || reader.info().descriptor.tree != meta.tree {
            let path = disk.describe(&path);
            return Err(Error::corrupt(format!("segment \"{path}\" is not the one the manifest names, at offset 0")));
        }
        let file = SegmentOnDisk {
            disk: disk.clone(),
            cache: cache.clone(),
            meta_id: meta.id,
            obsolete: AtomicBool::new(false),
        };
        let (deletes, saved) = (Arc::new(deletes), Mutex::new(saved));
        let (facts, replaced) = (Arc::default(), AtomicBool::new(false));
        Ok(Arc::new(Segment { meta, reader, deletes, saved, facts, replaced, file: Arc::new(file) }))
    }

    /// Announces what [`Segment::open`] will read. What is wrong with the file is for that to say.
    pub fn announce_opening(disk: &dyn Disk, meta: &SegmentMeta) {
        if let Ok(file) = disk.open(&segment_path(meta.id), OpenMode::Read) {
            let bytes = SegmentReader::opening_bytes(meta.rows).min(meta.file_bytes);
            file.announce(meta.file_bytes - bytes, bytes);
        }
    }

    /// Opens files that have just been written and that nothing names yet. If one cannot be opened all of them go.
    pub fn open_written(
        disk: &Arc<dyn Disk>,
        cache: &Arc<BlockCache>,
        metas: Vec<SegmentMeta>,
    ) -> Result<Vec<Arc<Segment>>> {
        let mut opened: Vec<Arc<Segment>> = Vec::with_capacity(metas.len());
        for meta in &metas {
            match Segment::open(disk, cache, meta.clone(), DeleteVector::default(), None) {
                Ok(segment) => opened.push(segment),
                Err(error) => {
                    opened.iter().for_each(|segment| segment.give_up());
                    for meta in metas.iter().skip(opened.len()) {
                        remove_file(disk, meta.id);
                    }
                    return Err(error);
                }
            }
        }
        Ok(opened)
    }

    /// The same rows, committed at `ts`: what a loaded segment becomes.
    pub fn stamped(&self, ts: CommitTs) -> Arc<Segment> {
        let meta = SegmentMeta { stamp: Some(ts), min_ts: ts, max_ts: ts, ..self.meta.clone() };
        let (reader, deletes, file) = (self.reader.clone(), self.deletes.clone(), self.file.clone());
        let (saved, facts, replaced) = (Mutex::new(None), self.facts.clone(), AtomicBool::new(false));
        Arc::new(Segment { meta, reader, deletes, saved, facts, replaced, file })
    }

    /// The next version is without it.
    pub fn mark_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Whether the current version may be without it. While it is not, its delete vector tells of every commit that is applied.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// What views and tools show of it.
    pub fn facts(&self) -> Result<SegmentFacts> {
        let facts = match self.facts.get() {
            Some(facts) => facts,
            None => {
                let found = self.reader.facts()?;
                self.facts.get_or_init(|| found)
            }
        };
        Ok(facts.of_segment(&self.meta, self.deletes.count()))
    }

    /// No manifest names it any more.
    pub fn give_up(&self) {
        self.file.obsolete.store(true, Ordering::Release);
    }

    pub fn begin_of(&self, row: u32) -> Result<CommitTs> {
        self.stamp_or(self.reader.begin_ts(row)?)
    }

    /// A row's own begin if it carries one, or that of all the segment's rows.
    pub fn stamp_or(&self, own: Option<CommitTs>) -> Result<CommitTs> {
        own.or(self.meta.stamp)
            .ok_or_else(|| Error::internal(format!("segment {} has no commit timestamp", self.meta.id)))
    }

    /// The row of the key that a snapshot sees, and its begin.
    pub fn visible(&self, key: &[u8], snapshot: CommitTs) -> Result<Option<(u32, CommitTs)>> {
        if self.meta.min_ts > snapshot {
            return Ok(None);
        }
        for row in self.reader.find(key)? {
            let begin = self.begin_of(row)?;
            if begin <= snapshot {
                // Newest first: an older version ended when this one began.
                return Ok((!self.deletes.is_deleted(row, snapshot)).then_some((row, begin)));
            }
        }
        Ok(None)
    }

    /// The newest version of the key that began before `before`.
    pub fn newest(&self, key: &[u8], before: CommitTs) -> Result<Found> {
        for row in self.reader.find(key)? {
            let begin = self.begin_of(row)?;
            if begin < before {
                return Ok(match self.deletes.deleted_at(row) {
                    None => Found::Live { row, begin },
                    Some(end) => Found::Deleted(end),
                });
            }
        }
        Ok(Found::Nothing)
    }

    /// Whether the row at a position has this key: hints are checked, not believed.
    pub fn is_at(&self, row: u32, key: &[u8]) -> Result<bool> {
        if row >= self.meta.rows {
            return Ok(false);
        }
        let mut found = Vec::with_capacity(key.len());
        self.reader.key_of(row, &mut found)?;
        Ok(found == key)
    }

    /// A row in the row codec's form and the newest shape.
    pub fn row_bytes(&self, row: u32, shape: &Shape) -> Result<Bytes> {
        let mut out = Vec::new();
        self.encode_row(row, shape, &mut out)?;
        Ok(out.into())
    }

    /// The same, appended to `out`.
    pub fn encode_row(&self, row: u32, shape: &Shape, out: &mut Vec<u8>) -> Result<()> {
        let mut sink = |values: &[DatumRef<'_>]| encode_row(&shape.types, values, out);
        self.reader.read_row(row, &shape.descriptor, &shape.columns, &mut sink)
    }

    /// Rows deleted for `snapshot`, as numbers.
    pub fn mask(&self, snapshot: CommitTs) -> Option<Arc<DeadRows>> {
        self.deletes.mask(snapshot)
    }
}

impl Drop for SegmentOnDisk {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire) {
            self.cache.forget(self.meta_id);
            remove_file(&self.disk, self.meta_id);
        }
    }
}

fn remove_file(disk: &Arc<dyn Disk>, id: heliosdb_types::SegmentId) {
    let path = segment_path(id);
    if let Err(error) = disk.remove(&path) {
        // The next start sweeps it.
        tracing::warn!(%error, path, "could not remove a segment no longer used");
    }
}
