//! Single rows: finding a key, reading a row in O(1) a column.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use heliosdb_contracts::{TreeDescriptor, TreeKey};
use heliosdb_hcc::{BlockView, Cell};
use heliosdb_types::{
    ColumnId, CommitTs, Datum, DatumRef, Error, PhysicalType, Result, decode_key, encode_key, key_bound_bytes,
};
use smallvec::SmallVec;

use super::SegmentReader;
use super::reader::Views;

/// The end of a range is looked for among so many rows first.
const NEAR_ROWS: usize = 32;

/// The chunks a block's keys are made of.
pub(super) struct KeyColumns {
    views: SmallVec<[Arc<BlockView>; 4]>,
    row_id: bool,
}

impl KeyColumns {
    /// Appends the key of a row of the block. `scratch` is any buffer; its content is lost.
    pub(super) fn append(&self, row: usize, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        for view in &self.views {
            match view.get(row, scratch)? {
                DatumRef::Int64(id) if self.row_id => out.extend_from_slice(&id.to_be_bytes()),
                value => encode_key(out, value, false),
            }
        }
        Ok(())
    }
}

impl SegmentReader {
    /// Chunk numbers of the key.
    pub(super) fn key_chunks(&self) -> Result<SmallVec<[usize; 4]>> {
        match &self.info.descriptor.key {
            TreeKey::RowId => Ok(self.info.row_id_chunk().into_iter().collect()),
            TreeKey::Columns(ids) => ids
                .iter()
                .map(|id| {
                    self.info.column(*id).ok_or_else(|| Error::corrupt(format!("{} lacks a key column", self.what())))
                })
                .collect(),
        }
    }

    pub(super) fn key_columns(&self, block: usize) -> Result<KeyColumns> {
        let views: Result<_> = self.key_chunks()?.iter().map(|chunk| self.chunk(block, *chunk)).collect();
        Ok(KeyColumns { views: views?, row_id: self.info.descriptor.key == TreeKey::RowId })
    }

    /// As [`SegmentReader::key_columns`], from all chunks of a block.
    pub(super) fn key_columns_of(&self, views: &Views) -> Result<KeyColumns> {
        let view = |chunk: &usize| {
            let view = views.get(*chunk).cloned().flatten();
            view.ok_or_else(|| Error::internal("a segment has no such column"))
        };
        let views = self.key_chunks()?.iter().map(view).collect::<Result<_>>()?;
        Ok(KeyColumns { views, row_id: self.info.descriptor.key == TreeKey::RowId })
    }

    /// The positions of a key's versions, newest first; empty if it has none. Reads disk only if fences and bloom allow.
    pub fn find(&self, key: &[u8]) -> Result<Range<u32>> {
        if !self.may_hold(key) {
            return Ok(0..0);
        }
        match self.key_values(key)? {
            Some(values) => self.find_values(key, &values),
            None => self.find_bytes(key),
        }
    }

    /// The key's columns, if comparing them is the same as comparing keys.
    fn key_values(&self, key: &[u8]) -> Result<Option<Vec<Datum>>> {
        if self.info.descriptor.key == TreeKey::RowId {
            return Ok(key.try_into().ok().map(|id| vec![Datum::Int64(i64::from_be_bytes(id))]));
        }
        let chunks = self.key_chunks()?;
        let types: SmallVec<[PhysicalType; 4]> =
            chunks.iter().filter_map(|chunk| self.types.get(*chunk).copied()).collect();
        // Intervals do not come back from a key.
        Ok(decode_key(&types, key).ok())
    }

    /// Narrows the rows of each block that may hold the key, column by column, on the encoded form.
    fn find_values(&self, key: &[u8], values: &[Datum]) -> Result<Range<u32>> {
        let chunks = self.key_chunks()?;
        let first = self.info.blocks.partition_point(|block| block.last_key.as_ref() < key);
        let mut found: Option<Range<u32>> = None;
        for (index, block) in self.info.blocks.iter().enumerate().skip(first) {
            if block.first_key.as_ref() > key {
                break;
            }
            let start = self.block_range(index).start;
            let mut rows = 0..block.rows as usize;
            for (chunk, value) in chunks.iter().zip(values) {
                match self.chunk(index, *chunk)?.equal_range(rows, value)? {
                    Some(narrowed) => rows = narrowed,
                    None => return self.find_bytes(key),
                }
            }
            let rows = start + rows.start as u32..start + rows.end as u32;
            found =
                Some(found.map_or(rows.clone(), |found| if rows.is_empty() { found } else { found.start..rows.end }));
            if block.last_key.as_ref() > key {
                break;
            }
        }
        Ok(found.unwrap_or(0..0))
    }

    /// As [`SegmentReader::find_values`], by rebuilding keys.
    fn find_bytes(&self, key: &[u8]) -> Result<Range<u32>> {
        let start = self.partition_point(key, |row_key| row_key < key)?;
        let end = self.partition_point_from(start, |row_key| row_key == key)?;
        Ok(start..end)
    }

    /// Walks on from `start` while `within`: versions of one key are few.
    fn partition_point_from(&self, start: u32, within: impl Fn(&[u8]) -> bool) -> Result<u32> {
        let (mut end, mut built, mut scratch) = (start, Vec::new(), Vec::new());
        let mut columns: Option<(usize, KeyColumns)> = None;
        while end < self.info.rows {
            let (block, row) = self.locate(end)?;
            let columns = match &mut columns {
                Some((at, columns)) if *at == block => columns,
                slot => &mut slot.insert((block, self.key_columns(block)?)).1,
            };
            built.clear();
            columns.append(row, &mut scratch, &mut built)?;
            if !within(&built) {
                break;
            }
            end += 1;
        }
        Ok(end)
    }

    /// The first row whose key is not `before`; `key` says which block can hold the boundary.
    fn partition_point(&self, key: &[u8], before: impl Fn(&[u8]) -> bool) -> Result<u32> {
        let block = self.info.blocks.partition_point(|block| block.last_key.as_ref().cmp(key) == Ordering::Less);
        if block == self.info.blocks.len() {
            return Ok(self.info.rows);
        }
        let range = self.block_range(block);
        let columns = self.key_columns(block)?;
        let (mut low, mut high) = (0, range.len());
        let mut built = Vec::with_capacity(key.len() + 16);
        let mut scratch = Vec::new();
        while low < high {
            let middle = low + (high - low) / 2;
            built.clear();
            columns.append(middle, &mut scratch, &mut built)?;
            if before(&built) { low = middle + 1 } else { high = middle }
        }
        Ok(range.start + low as u32)
    }

    /// Positions of the rows whose keys are in `lower..upper`.
    pub fn rows_between(&self, lower: &[u8], upper: Option<&[u8]>) -> Result<Range<u32>> {
        let start = self.first_at_least(lower)?;
        let end = match upper {
            Some(upper) => self.end_from(start, upper)?,
            None => self.info.rows,
        };
        Ok(start..end.max(start))
    }

    /// The first row whose key is not below a bound.
    fn first_at_least(&self, bound: &[u8]) -> Result<u32> {
        let block = self.info.blocks.partition_point(|block| block.last_key.as_ref() < bound);
        if block < self.info.blocks.len()
            && let Some((view, bound)) = self.strings(block, bound)?
            && let Some(row) = view.at_least(0..self.block_range(block).len(), &bound)?
        {
            return Ok(self.block_range(block).start + row as u32);
        }
        self.partition_point(bound, |key| key < bound)
    }

    /// The block's keys and the bound as what they are of, if they are of strings alone: as entries of indexes are.
    fn strings(&self, block: usize, bound: &[u8]) -> Result<Option<(Arc<BlockView>, Vec<u8>)>> {
        let &[chunk] = &*self.key_chunks()? else { return Ok(None) };
        if !matches!(self.types.get(chunk), Some(PhysicalType::Text | PhysicalType::Bytes)) {
            return Ok(None);
        }
        let Some(bound) = key_bound_bytes(bound) else { return Ok(None) };
        Ok(Some((self.chunk(block, chunk)?, bound)))
    }

    /// The first row from `start` on whose key is not below `upper`. Ranges are mostly short, so the search goes forward from their
    /// start in steps that double, and back into the last of them.
    fn end_from(&self, start: u32, upper: &[u8]) -> Result<u32> {
        if start >= self.info.rows {
            return Ok(start);
        }
        let (block, first) = self.locate(start)?;
        if self.info.blocks.get(block).is_none_or(|block| block.last_key.as_ref() < upper) {
            return self.first_at_least(upper);
        }
        let range = self.block_range(block);
        if let Some((view, upper)) = self.strings(block, upper)? {
            let near = (first + NEAR_ROWS).min(range.len());
            let mut end = view.at_least(first..near, &upper)?;
            if end == Some(near) {
                end = view.at_least(near..range.len(), &upper)?;
            }
            if let Some(end) = end {
                return Ok(range.start + end as u32);
            }
        }
        let columns = self.key_columns(block)?;
        let (mut built, mut scratch) = (Vec::with_capacity(upper.len() + 16), Vec::new());
        let mut is_below = |row: usize| -> Result<bool> {
            built.clear();
            columns.append(row, &mut scratch, &mut built)?;
            Ok(built.as_slice() < upper)
        };
        let (mut low, mut step) = (first, 1);
        // Rows before `low` are below; the block's last is not.
        let mut high = range.len() - 1;
        while low < high {
            let next = (low + step - 1).min(high);
            if !is_below(next)? {
                high = next;
                break;
            }
            low = next + 1;
            step *= 2;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if is_below(middle)? { low = middle + 1 } else { high = middle }
        }
        Ok(range.start + low as u32)
    }

    /// Appends a row's key to `out`.
    pub fn key_of(&self, row: u32, out: &mut Vec<u8>) -> Result<()> {
        let (block, row) = self.locate(row)?;
        self.key_columns(block)?.append(row, &mut Vec::new(), out)
    }

    /// The chunk of a block's begin timestamps, if its rows carry their own.
    pub(super) fn begin_view(&self, block: usize) -> Result<Option<Arc<BlockView>>> {
        self.info.begin_ts_chunk().map(|chunk| self.chunk(block, chunk)).transpose()
    }

    /// When a row was committed; `None` if the segment's rows share the manifest's stamp.
    pub fn begin_ts(&self, row: u32) -> Result<Option<CommitTs>> {
        let (block, row) = self.locate(row)?;
        let Some(chunk) = self.info.begin_ts_chunk() else { return Ok(None) };
        match self.chunk(block, chunk)?.get(row, &mut Vec::new())? {
            DatumRef::Int64(ts) => Ok(Some(CommitTs(ts as u64))),
            _ => Err(Error::corrupt(format!("{}: a row has no begin_ts", self.what()))),
        }
    }

    /// Gives a row's columns to `sink`, in the order of `projection`. `descriptor` is the reader's version of the tree: it
    /// knows what columns younger than the segment hold.
    pub fn read_row(
        &self,
        row: u32,
        descriptor: &TreeDescriptor,
        projection: &[ColumnId],
        sink: &mut dyn FnMut(&[DatumRef<'_>]) -> Result<()>,
    ) -> Result<()> {
        let (block, row) = self.locate(row)?;
        give_row(&self.row_views(block, projection)?, row, descriptor, projection, &mut Vec::new(), sink)
    }

    /// The chunks of a block that rows of these columns are read from.
    pub(super) fn row_views(&self, block: usize, projection: &[ColumnId]) -> Result<Views> {
        let mut next = 0;
        let chunk = |id: &ColumnId| {
            let found = self.info.column_near(*id, next);
            next = found.map_or(next, |at| at + 1);
            found
        };
        let chunks: SmallVec<[Option<usize>; 16]> = projection.iter().map(chunk).collect();
        self.chunks(block, &chunks, None)
    }
}

/// Text of a row that has to be put together mostly fits.
const SCRATCH_BYTES: usize = 256;

/// A row of a block to `sink`, from the block's views of the projection. `scratch` is any buffer; its content is lost.
pub(super) fn give_row(
    views: &Views,
    row: usize,
    descriptor: &TreeDescriptor,
    projection: &[ColumnId],
    scratch: &mut Vec<u8>,
    sink: &mut dyn FnMut(&[DatumRef<'_>]) -> Result<()>,
) -> Result<()> {
    scratch.clear();
    scratch.reserve(SCRATCH_BYTES);
    let mut cells: SmallVec<[Cell<'_>; 16]> = SmallVec::with_capacity(views.len());
    for (view, id) in views.iter().zip(projection) {
        cells.push(match view {
            Some(view) => view.cell(row, scratch)?,
            None => Cell::Ready(missing_value(descriptor, *id)),
        });
    }
    let values: SmallVec<[DatumRef<'_>; 16]> = cells.iter().map(|cell| cell.resolve(scratch)).collect();
    sink(&values)
}

/// What rows older than a column hold in it.
pub(super) fn missing_value(descriptor: &TreeDescriptor, id: ColumnId) -> DatumRef<'_> {
    let missing = descriptor.column(id).and_then(|column| column.missing.as_ref());
    missing.map_or(DatumRef::Null, |datum| datum.as_ref())
}
