//! Many rows of a block: zone maps, filters on encoded columns, visibility, then only what is left is materialised.

use std::sync::Arc;

use arrow_array::ArrayRef;
use heliosdb_contracts::{ScanMetrics, TreeDescriptor};
use heliosdb_hcc::{Bitmap, BlockView, CompareOp, Filter, Picked, Predicate};
use heliosdb_types::{ColumnId, CommitTs, Datum, Error, PhysicalType, Result};
use smallvec::SmallVec;

use super::SegmentReader;
use super::lookup::{KeyColumns, missing_value};
use crate::read::{ColumnBound, ColumnBuilder, ColumnFilter};

/// What is wanted of each block.
pub(crate) struct BlockScan<'a> {
    /// The reader's version of the tree; columns younger than the segment take their missing value from it.
    pub descriptor: &'a TreeDescriptor,
    pub projection: &'a [ColumnId],
    pub filters: &'a [ColumnFilter],
    /// What is still looked for, if the scan is for the first rows by some order.
    pub bound: Option<&'a ColumnBound>,
    /// Rows that begin later are not seen. Ignored where rows share a stamp, which the caller compares itself.
    pub as_of: CommitTs,
    pub want_keys: bool,
}

/// Keys one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(index).and_then(|end| self.bytes.get(start..*end)).unwrap_or(&[])
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// The rows of a block that are left.
#[derive(Debug)]
pub(crate) struct ScannedBlock {
    /// The block's rows that are here; `first_row + n` is the position of the n-th bit.
    pub selection: Bitmap,
    pub first_row: u32,
    /// How many.
    pub rows: usize,
    /// In the order of the projection.
    pub columns: Vec<ArrayRef>,
    /// If asked for.
    pub keys: Option<Keys>,
}

impl ScannedBlock {
    /// Positions in the segment, ascending.
    pub fn positions(&self) -> impl Iterator<Item = u32> + '_ {
        self.selection.iter().map(|row| self.first_row + row as u32)
    }
}

/// A whole block, for merging.
#[derive(Debug)]
pub(crate) struct FullBlock {
    pub first_row: u32,
    /// In the order of the segment's own descriptor.
    pub columns: Vec<ArrayRef>,
    pub keys: Keys,
    /// Empty if rows share a stamp.
    pub begin: Vec<CommitTs>,
}

impl SegmentReader {
    /// Chunks that a block's scan is likely to read: those of filters that have to look, and of `columns`.
    pub fn likely_chunks(&self, block: usize, scan: &BlockScan<'_>, columns: &[usize]) -> SmallVec<[usize; 16]> {
        let mut chunks = SmallVec::from_slice(columns);
        let Some(info) = self.info.blocks.get(block) else { return chunks };
        for filter in scan.filters {
            let Some(column) = self.info.column(filter.column) else { continue };
            let Some(chunk) = info.chunks.get(column) else { continue };
            if !filter.tally.is_worthless() && !filter.filter.must_match(&chunk.stats) && !chunks.contains(&column) {
                chunks.push(column);
            }
        }
        chunks
    }

    /// Chunks that give a scan its values once it knows the rows.
    pub fn value_chunks(&self, scan: &BlockScan<'_>) -> Vec<usize> {
        let mut chunks: Vec<usize> = scan.projection.iter().filter_map(|id| self.info.column(*id)).collect();
        if scan.want_keys {
            chunks.extend(self.key_chunks().unwrap_or_default());
        }
        chunks
    }

    /// False if zone maps show that no row of the block matches. Reads nothing.
    pub fn block_may_match(&self, block: usize, scan: &BlockScan<'_>) -> bool {
        let Some(info) = self.info.blocks.get(block) else { return false };
        if self.info.stamped_rows && info.min_ts > scan.as_of {
            return false;
        }
        if let Some(bound) = scan.bound
            && !self.block_may_hold(block, bound, scan.descriptor)
        {
            return false;
        }
        scan.filters.iter().all(|filter| match self.info.column(filter.column) {
            Some(column) => info.chunks.get(column).is_some_and(|chunk| filter.filter.may_match(&chunk.stats)),
            None => filter.filter.matches(&missing_value(scan.descriptor, filter.column)),
        })
    }

    fn block_may_hold(&self, block: usize, bound: &ColumnBound, descriptor: &TreeDescriptor) -> bool {
        match self.block_stats(block, bound.column) {
            Some(stats) => bound.may_match(stats),
            None => bound.matches(&missing_value(descriptor, bound.column)),
        }
    }

    /// The block's rows that pass the filters and `visible`, which clears the bits of rows the caller hides (bit n is the
    /// row at `block_range(block).start + n`); `None` if none is left.
    pub fn scan_block(
        &self,
        block: usize,
        scan: &BlockScan<'_>,
        visible: &mut dyn FnMut(&mut Bitmap) -> Result<()>,
        metrics: &ScanMetrics,
    ) -> Result<Option<ScannedBlock>> {
        if !self.block_may_match(block, scan) {
            ScanMetrics::add(&metrics.blocks_skipped, 1);
            return Ok(None);
        }
        ScanMetrics::add(&metrics.blocks_read, 1);
        let range = self.block_range(block);
        let mut selection = Bitmap::all_set(range.len());
        visible(&mut selection)?;
        self.keep_begun(block, scan.as_of, &mut selection, metrics)?;
        self.keep_bounded(block, scan, &mut selection, metrics)?;
        self.keep_matching(block, scan, &mut selection, metrics)?;
        let rows = selection.count();
        if rows == 0 {
            return Ok(None);
        }
        let columns = self.materialise(block, scan, &selection, rows, metrics)?;
        let keys = if scan.want_keys { Some(self.block_keys(block, &selection, rows)?) } else { None };
        ScanMetrics::add(&metrics.rows_out, rows as u64);
        Ok(Some(ScannedBlock { selection, first_row: range.start, rows, columns, keys }))
    }

    /// Drops rows that begin after the snapshot; free where the block is older as a whole.
    fn keep_begun(&self, block: usize, as_of: CommitTs, selection: &mut Bitmap, metrics: &ScanMetrics) -> Result<()> {
        let (Some(chunk), Some(info)) = (self.info.begin_ts_chunk(), self.info.blocks.get(block)) else {
            return Ok(());
        };
        if info.max_ts <= as_of {
            return Ok(());
        }
        let newest = Datum::Int64(i64::try_from(as_of.0).unwrap_or(i64::MAX));
        let filter = Filter::compile(&Predicate::Compare(CompareOp::LtEq, &newest), PhysicalType::Int64)?;
        self.counted_chunk(block, chunk, metrics)?.filter(&filter, selection)
    }

    /// Drops rows that are no longer looked for: usually nearly all, and by a column that is quick to test.
    fn keep_bounded(
        &self,
        block: usize,
        scan: &BlockScan<'_>,
        selection: &mut Bitmap,
        metrics: &ScanMetrics,
    ) -> Result<()> {
        let Some(bound) = scan.bound else { return Ok(()) };
        let (Some(column), Some(stats)) = (self.info.column(bound.column), self.block_stats(block, bound.column))
        else {
            return Ok(());
        };
        let Some(filter) = bound.of_rows(stats.null_count > 0).filter(|filter| !filter.must_match(stats)) else {
            return Ok(());
        };
        let rows = selection.count();
        self.counted_chunk(block, column, metrics)?.filter(filter, selection)?;
        bound.tally.add(rows, selection.count());
        Ok(())
    }

    /// Applies the filters, those that leave least and the smallest columns first, and stops when nothing is left.
    fn keep_matching(
        &self,
        block: usize,
        scan: &BlockScan<'_>,
        selection: &mut Bitmap,
        metrics: &ScanMetrics,
    ) -> Result<()> {
        let Some(info) = self.info.blocks.get(block) else { return Ok(()) };
        let mut open: Vec<(u64, u32, usize, &ColumnFilter)> = Vec::new();
        for filter in scan.filters {
            // Younger columns passed in `block_may_match`: all rows hold the same value.
            let Some(column) = self.info.column(filter.column) else { continue };
            let Some(chunk) = info.chunks.get(column) else { continue };
            if !filter.tally.is_worthless() && !filter.filter.must_match(&chunk.stats) {
                open.push((filter.tally.rank(), chunk.place.len, column, filter));
            }
        }
        open.sort_by_key(|(rank, bytes, column, _)| (*rank, *bytes, *column));
        let mut rows = selection.count();
        for (_, _, column, filter) in open {
            if rows == 0 {
                return Ok(());
            }
            self.counted_chunk(block, column, metrics)?.filter(&filter.filter, selection)?;
            let kept = selection.count();
            filter.tally.add(rows, kept);
            rows = kept;
        }
        Ok(())
    }

    fn materialise(
        &self,
        block: usize,
        scan: &BlockScan<'_>,
        selection: &Bitmap,
        rows: usize,
        metrics: &ScanMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let chunks: Vec<Option<usize>> = scan.projection.iter().map(|id| self.info.column(*id)).collect();
        let views = self.chunks(block, &chunks, Some(metrics))?;
        let picked = if views.iter().any(Option::is_some) { Picked::of(selection, rows) } else { Picked::All };
        let column = |(id, view): (&ColumnId, &Option<Arc<BlockView>>)| match view {
            Some(view) => picked.read(view).map_err(|error| error.context(self.what())),
            None => missing_array(scan.descriptor, *id, rows),
        };
        scan.projection.iter().zip(&views).map(column).collect()
    }

    /// Whether all rows of a block began by `as_of`, as far as its header tells. Ignores what the caller compares itself.
    pub fn all_begun(&self, block: usize, as_of: CommitTs) -> bool {
        self.info.begin_ts_chunk().is_none() || self.info.blocks.get(block).is_some_and(|info| info.max_ts <= as_of)
    }

    fn block_keys(&self, block: usize, selection: &Bitmap, rows: usize) -> Result<Keys> {
        keys_of(&self.key_columns(block)?, selection, rows)
    }

    /// A block decoded whole: every column, key and begin_ts.
    pub fn read_block(&self, block: usize) -> Result<FullBlock> {
        let range = self.block_range(block);
        let views = self.passing_chunks(block)?;
        // On its way while this one is decoded.
        self.announce_block(block + 1);
        let decode = |chunk: usize| -> Result<ArrayRef> {
            let view = views.get(chunk).and_then(Option::as_ref);
            let view = view.ok_or_else(|| Error::internal("a segment has no such column"))?;
            view.decode(0..view.rows()).map_err(|error| error.context(self.what()))
        };
        let columns: Result<Vec<ArrayRef>> = (0..self.info.descriptor.columns.len()).map(decode).collect();
        let begin = match self.info.begin_ts_chunk() {
            None => Vec::new(),
            Some(chunk) => {
                let stamps = decode(chunk)?;
                let stamps = arrow_array::cast::AsArray::as_primitive_opt::<arrow_array::types::Int64Type>(&stamps);
                let stamps = stamps.ok_or_else(|| Error::internal("begin_ts is not a number"))?;
                stamps.values().iter().map(|ts| CommitTs(*ts as u64)).collect()
            }
        };
        let columns_of_keys = self.key_columns_of(&views)?;
        let keys = keys_of(&columns_of_keys, &Bitmap::all_set(range.len()), range.len())?;
        Ok(FullBlock { first_row: range.start, columns: columns?, keys, begin })
    }
}

fn keys_of(columns: &KeyColumns, selection: &Bitmap, rows: usize) -> Result<Keys> {
    let mut keys = Keys { bytes: Vec::with_capacity(rows * 10), ends: Vec::with_capacity(rows) };
    let mut scratch = Vec::new();
    for row in selection.iter() {
        columns.append(row, &mut scratch, &mut keys.bytes)?;
        keys.ends.push(keys.bytes.len());
    }
    Ok(keys)
}

/// A younger column's value for old rows, repeated.
fn missing_array(descriptor: &TreeDescriptor, id: ColumnId, rows: usize) -> Result<ArrayRef> {
    let column = descriptor.column(id);
    let column = column.ok_or_else(|| Error::internal("a projection names a column the tree does not have"))?;
    let value = column.missing.as_ref().unwrap_or(&Datum::Null);
    let mut builder = ColumnBuilder::new(column.physical, rows);
    (0..rows).try_for_each(|_| builder.append(value.as_ref()))?;
    Ok(builder.finish())
}
