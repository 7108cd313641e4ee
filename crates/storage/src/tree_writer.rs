//! Writing a tree's rows, in order, to as many segments as they need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::ArrayRef;
use bytes::Bytes;
use heliosdb_hcc::{EncodeOptions, Temperature};
use heliosdb_runtime::{Canary, Disk};
use heliosdb_types::{BranchId, ColumnId, CommitTs, Error, Result, SchemaVersion, SegmentId};

use crate::manifest::{SegmentMeta, segment_path};
use crate::read::ColumnBuilder;
use crate::segment::{CommitStamp, FilterBits, SegmentOptions, SegmentWriter};
use crate::shape::{Projection, Shape, TreeState};

/// Where segments are written and how large they get.
#[derive(Clone)]
pub(crate) struct SegmentTarget {
    pub disk: Arc<dyn Disk>,
    pub ids: Arc<AtomicU64>,
    pub segment_rows: usize,
    pub block_rows: usize,
    pub canary: Option<Canary>,
}

/// Rows arrive by key ascending, newest version first. Dropped without `finish`, it removes what it wrote.
pub(crate) struct TreeWriter {
    target: SegmentTarget,
    branch: BranchId,
    level: u8,
    stamp: CommitStamp,
    filter: FilterBits,
    shape: Arc<Shape>,
    state: Arc<TreeState>,
    current: Option<(SegmentId, SegmentWriter)>,
    done: Vec<SegmentMeta>,
    batch: RowsBatch,
    last_key: Option<Bytes>,
    finished: bool,
}

/// Rows not yet handed to the segment writer.
struct RowsBatch {
    builders: Vec<ColumnBuilder>,
    keys: Vec<Bytes>,
    begin: Vec<CommitTs>,
    bytes: usize,
    projection: Option<Projection>,
}

/// Rows are handed on when they reach this, so that large values do not pile up.
const BATCH_BYTES: usize = 4 << 20;

/// Which of the segments written, and which row of it.
pub(crate) type Place = (u32, u32);

impl TreeWriter {
    pub fn new(target: SegmentTarget, branch: BranchId, state: Arc<TreeState>, level: u8, stamp: CommitStamp) -> Self {
        let shape = state.newest().clone();
        let builders = shape.descriptor.columns.iter().map(|column| ColumnBuilder::new(column.physical, 0)).collect();
        let batch = RowsBatch { builders, keys: Vec::new(), begin: Vec::new(), bytes: 0, projection: None };
        let (current, done) = (None, Vec::new());
        // What is frozen comes by the memtable and covers what came before; what is loaded is in the order of its keys.
        let filter = if (level, stamp) == (0, CommitStamp::PerRow) { FilterBits::Crowded } else { FilterBits::Alone };
        let (last_key, finished) = (None, false);
        TreeWriter { target, branch, level, stamp, filter, shape, state, current, done, batch, last_key, finished }
    }

    /// With filters for keys that other segments cover, too.
    pub fn among_others(mut self) -> Self {
        self.filter = FilterBits::Crowded;
        self
    }

    /// Adds a row in the row codec's form.
    pub fn add(&mut self, key: &Bytes, row: &[u8], schema: SchemaVersion, begin: CommitTs) -> Result<Place> {
        if self.batch.projection.as_ref().is_none_or(|projection| projection.version() != schema) {
            let columns: Vec<ColumnId> = self.shape.descriptor.columns.iter().map(|column| column.id).collect();
            self.batch.projection = Some(Projection::new(&self.state, schema, &columns)?);
        }
        let place = self.place(key)?;
        let Some(projection) = &self.batch.projection else { return Err(Error::internal("set above")) };
        for (builder, value) in self.batch.builders.iter_mut().zip(projection.values(row)?) {
            builder.append(value)?;
        }
        self.batch.keys.push(key.clone());
        self.last_key = Some(key.clone());
        if self.stamp == CommitStamp::PerRow {
            self.batch.begin.push(begin);
        }
        self.batch.bytes += row.len();
        if self.batch.keys.len() >= self.target.block_rows || self.batch.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(place)
    }

    /// Where the next row goes; versions of one key stay in one segment.
    fn place(&mut self, key: &Bytes) -> Result<Place> {
        let full = self.rows_in_current() as usize >= self.target.segment_rows;
        if full && self.last_key.as_ref() != Some(key) {
            self.finish_current()?;
        }
        Ok((self.done.len() as u32, self.rows_in_current()))
    }

    fn rows_in_current(&self) -> u32 {
        self.current.as_ref().map_or(0, |(_, writer)| writer.rows()) + self.batch.keys.len() as u32
    }

    fn flush(&mut self) -> Result<()> {
        if self.batch.keys.is_empty() {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = self.batch.builders.iter_mut().map(ColumnBuilder::finish).collect();
        self.batch.bytes = 0;
        let keys = std::mem::take(&mut self.batch.keys);
        let begin = std::mem::take(&mut self.batch.begin);
        self.writer()?.push(&columns, &keys, &begin)
    }

    /// Adds whole columns in the newest shape, for merging. Returns the place of the first row; a segment may exceed its
    /// target by one such batch.
    pub fn add_columns(&mut self, columns: &[ArrayRef], keys: &[Bytes], begin: &[CommitTs]) -> Result<Place> {
        if self.rows_in_current() as usize >= self.target.segment_rows {
            self.finish_current()?;
        }
        let place = (self.done.len() as u32, self.rows_in_current());
        self.writer()?.push(columns, keys, begin)?;
        Ok(place)
    }

    fn writer(&mut self) -> Result<&mut SegmentWriter> {
        if self.current.is_none() {
            let id = SegmentId(self.target.ids.fetch_add(1, Ordering::Relaxed));
            let options = SegmentOptions {
                block_rows: self.target.block_rows as u32,
                stamp: self.stamp,
                canary: self.target.canary,
                encode: EncodeOptions { temperature: self.temperature(), ..Default::default() },
                filter: self.filter,
            };
            let disk = self.target.disk.clone();
            let writer = SegmentWriter::new(disk, &segment_path(id), self.shape.descriptor.clone(), options)?;
            self.current = Some((id, writer));
        }
        let (_, writer) = self.current.as_mut().ok_or_else(|| Error::internal("set above"))?;
        Ok(writer)
    }

    /// What was merged or loaded in bulk stays; what was just frozen is likely to be merged soon.
    fn temperature(&self) -> Temperature {
        match (self.level, self.stamp) {
            (0, CommitStamp::PerRow) => Temperature::Young,
            _ => Temperature::Settled,
        }
    }

    fn finish_current(&mut self) -> Result<()> {
        self.flush()?;
        let Some((id, writer)) = self.current.take() else { return Ok(()) };
        let finished = writer.finish();
        if finished.is_err() {
            self.remove(id);
        }
        let file = finished?;
        self.done.push(SegmentMeta {
            id,
            branch: self.branch,
            tree: self.shape.descriptor.tree,
            level: self.level,
            schema: self.shape.descriptor.version,
            rows: file.rows,
            file_bytes: file.file_bytes,
            file_checksum: file.file_checksum,
            min_key: file.min_key,
            max_key: file.max_key,
            min_ts: file.min_ts,
            max_ts: file.max_ts,
            stamp: None,
        });
        Ok(())
    }

    /// The segments, durable.
    pub fn finish(mut self) -> Result<Vec<SegmentMeta>> {
        self.finish_current()?;
        self.finished = true;
        Ok(std::mem::take(&mut self.done))
    }

    fn remove(&self, id: SegmentId) {
        if let Err(error) = self.target.disk.remove(&segment_path(id)) {
            tracing::warn!(%error, segment = id.0, "could not remove an unfinished segment");
        }
    }
}

impl Drop for TreeWriter {
    fn drop(&mut self) {
        if !self.finished {
            if let Some((id, _)) = self.current.take() {
                self.remove(id);
            }
            self.done.iter().for_each(|meta| self.remove(meta.id));
        }
    }
}
