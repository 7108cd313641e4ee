//! Rows of a segment one after another: the block they are in is looked up once, not once a column and row.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::Array;
use bytes::Bytes;
use heliosdb_contracts::TreeDescriptor;
use heliosdb_hcc::BlockView;
use heliosdb_types::{ColumnId, CommitTs, DatumRef, Error, Result};

use super::SegmentReader;
use super::lookup::{KeyColumns, give_row};
use super::reader::Views;

/// Reads rows that lie close together. It holds the blocks it read last, which may outlive their place in the cache: one for keys and
/// begin timestamps, one for values.
#[derive(Default)]
pub(crate) struct NearbyRows {
    keys: Option<KeyBlock>,
    values: Option<(usize, Views)>,
    scratch: Vec<u8>,
}

struct KeyBlock {
    block: usize,
    columns: KeyColumns,
    begin: Option<Arc<BlockView>>,
}

/// A key with its row's begin; `None` if the segment's rows share the manifest's stamp.
pub(crate) type KeyAndBegin = (Bytes, Option<CommitTs>);

impl NearbyRows {
    /// Keys and begin timestamps of rows, in their order.
    pub fn keys(&mut self, reader: &SegmentReader, rows: Range<u32>, out: &mut Vec<KeyAndBegin>) -> Result<()> {
        let mut at = rows.start;
        while at < rows.end {
            let (block, first) = reader.locate(at)?;
            let range = reader.block_range(block);
            let end = range.end.min(rows.end);
            let known = match &mut self.keys {
                Some(known) if known.block == block => known,
                keys => {
                    let (columns, begin) = (reader.key_columns(block)?, reader.begin_view(block)?);
                    keys.insert(KeyBlock { block, columns, begin })
                }
            };
            let count = (end - at) as usize;
            let begin = known.begin.as_ref().map(|view| view.decode(first..first + count)).transpose()?;
            let begin = begin.as_ref().map(|stamps| {
                arrow_array::cast::AsArray::as_primitive_opt::<arrow_array::types::Int64Type>(stamps)
                    .filter(|stamps| stamps.len() == count)
                    .ok_or_else(|| Error::corrupt(format!("{}: begin_ts is not a number", reader.what())))
            });
            let begin = begin.transpose()?;
            // One allocation for all of them; each is a slice of it.
            let (mut joined, mut ends) = (Vec::with_capacity(count * 16), Vec::with_capacity(count));
            for row in first..first + count {
                known.columns.append(row, &mut self.scratch, &mut joined)?;
                ends.push(joined.len());
            }
            let (joined, mut start) = (Bytes::from(joined), 0);
            for (n, end) in ends.into_iter().enumerate() {
                let begin = begin.and_then(|stamps| stamps.values().get(n)).map(|ts| CommitTs(*ts as u64));
                out.push((joined.slice(start..end), begin));
                start = end;
            }
            at = end;
        }
        Ok(())
    }

    /// The same with empty keys: mostly nothing has to be read for it.
    pub fn begins(&mut self, reader: &SegmentReader, rows: Range<u32>, out: &mut Vec<KeyAndBegin>) -> Result<()> {
        match reader.info().begin_ts_chunk() {
            Some(_) => self.keys(reader, rows, out),
            None => {
                out.extend(rows.map(|_| (Bytes::new(), None)));
                Ok(())
            }
        }
    }

    /// Gives a row's columns to `sink`, as [`SegmentReader::read_row`] does. `projection` must be the same each time.
    pub fn read_row(
        &mut self,
        reader: &SegmentReader,
        row: u32,
        descriptor: &TreeDescriptor,
        projection: &[ColumnId],
        sink: &mut dyn FnMut(&[DatumRef<'_>]) -> Result<()>,
    ) -> Result<()> {
        let (block, row) = reader.locate(row)?;
        let (_, views) = match &mut self.values {
            Some(known) if known.0 == block => known,
            values => values.insert((block, reader.row_views(block, projection)?)),
        };
        give_row(views, row, descriptor, projection, &mut self.scratch, sink)
    }
}
