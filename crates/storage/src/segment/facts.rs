//! What a segment's columns are made of: bytes, encodings, bounds. For views and tools; no read depends on it.
//!
//! Encodings come from the first bytes of every block's columns. The plain size of strings is estimated from some blocks,
//! spread evenly: reading all of them would cost as much as a scan.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use heliosdb_contracts::{ColumnFacts, SegmentFacts, StoredColumn};
use heliosdb_hcc::{BlockStats, BlockView, Temperature};
use heliosdb_types::{CommitTs, Error, PhysicalType, Result};

use super::SegmentReader;
use crate::manifest::SegmentMeta;

/// Blocks whose strings are measured.
const SAMPLED_BLOCKS: usize = 8;

/// What does not change as long as the file exists.
#[derive(Debug)]
pub(crate) struct Facts {
    temperature: &'static str,
    blocks: u32,
    bloom_bytes: u64,
    columns: Vec<ColumnFacts>,
}

impl Facts {
    pub fn of_segment(&self, meta: &SegmentMeta, deletes: u64) -> SegmentFacts {
        SegmentFacts {
            id: meta.id,
            tree: meta.tree,
            level: meta.level,
            temperature: self.temperature,
            rows: u64::from(meta.rows),
            deletes,
            blocks: self.blocks,
            stored_bytes: meta.file_bytes,
            bloom_bytes: self.bloom_bytes,
            min_key: meta.min_key.clone(),
            max_key: meta.max_key.clone(),
            min_ts: meta.min_ts,
            max_ts: meta.max_ts,
            columns: self.columns.clone(),
        }
    }
}

impl SegmentReader {
    pub fn facts(&self) -> Result<Facts> {
        let info = self.info();
        let columns = self.types.iter().enumerate().map(|(chunk, &physical)| self.column_facts(chunk, physical));
        Ok(Facts {
            temperature: match info.temperature {
                Temperature::Young => "young",
                Temperature::Settled => "settled",
                Temperature::Cold => "cold",
            },
            blocks: info.blocks.len() as u32,
            bloom_bytes: info.bloom.map_or(0, |place| u64::from(place.len)),
            columns: columns.collect::<Result<_>>()?,
        })
    }

    /// First and last key of a block, as the footer has them.
    pub fn block_fences(&self, block: usize) -> Option<(&[u8], &[u8])> {
        self.info().blocks.get(block).map(|block| (block.first_key.as_ref(), block.last_key.as_ref()))
    }

    /// Bounds of the rows' commit times, where rows have their own.
    pub fn block_times(&self, block: usize) -> Option<(CommitTs, CommitTs)> {
        self.info().blocks.get(block).filter(|_| self.info().stamped_rows).map(|block| (block.min_ts, block.max_ts))
    }

    /// Where a block's bytes begin in the file.
    pub fn block_offset(&self, block: usize) -> Option<u64> {
        self.info().blocks.get(block).and_then(|block| block.chunks.first()).map(|chunk| chunk.place.offset)
    }

    /// What the footer says of a column in a block.
    pub fn zone_map(&self, block: usize, column: usize) -> Option<(&BlockStats, PhysicalType)> {
        let chunk = self.info().blocks.get(block)?.chunks.get(column)?;
        Some((&chunk.stats, *self.types.get(column)?))
    }

    fn column_facts(&self, chunk: usize, physical: PhysicalType) -> Result<ColumnFacts> {
        let info = self.info();
        let chunks = || info.blocks.iter().filter_map(|block| block.chunks.get(chunk));
        let shared: u64 = info.shared.get(chunk).map_or(0, |places| places.iter().map(|p| u64::from(p.len)).sum());
        let mut stats: Option<BlockStats> = None;
        let mut encodings: Vec<(String, u32)> = Vec::new();
        for found in chunks() {
            stats = Some(match &stats {
                Some(before) => before.merge(&found.stats, physical),
                None => found.stats.clone(),
            });
            let mut head = [0; 2];
            self.read_at(&mut head, found.place.offset)?;
            let name = BlockView::encoding_of(&head).map_err(|error| error.context(self.what()))?.name();
            match encodings.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => encodings.push((name.to_owned(), 1)),
            }
        }
        encodings.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let stats = stats.ok_or_else(|| Error::corrupt(format!("{} has no blocks", self.what())))?;
        let columns = &info.descriptor.columns;
        Ok(ColumnFacts {
            column: match columns.get(chunk) {
                Some(column) => StoredColumn::User(column.id),
                None if info.row_id_chunk() == Some(chunk) => StoredColumn::RowId,
                None => StoredColumn::CommitTime,
            },
            physical,
            stored_bytes: shared + chunks().map(|found| u64::from(found.place.len)).sum::<u64>(),
            plain_bytes: self.plain_bytes(chunk, physical, &stats)?,
            encodings,
            nulls: u64::from(stats.null_count),
            min: stats.min,
            max: stats.max,
        })
    }

    /// Bytes of the column as an Arrow array with 32-bit offsets.
    fn plain_bytes(&self, chunk: usize, physical: PhysicalType, stats: &BlockStats) -> Result<u64> {
        let rows = u64::from(stats.rows);
        let validity = if stats.null_count > 0 { rows.div_ceil(8) } else { 0 };
        let values = match physical {
            PhysicalType::Bool => rows.div_ceil(8),
            PhysicalType::Int16 => rows * 2,
            PhysicalType::Int32 | PhysicalType::Date | PhysicalType::Float32 => rows * 4,
            PhysicalType::Int64
            | PhysicalType::Decimal64 { .. }
            | PhysicalType::Float64
            | PhysicalType::Time
            | PhysicalType::Timestamp
            | PhysicalType::TimestampTz => rows * 8,
            PhysicalType::Decimal128 { .. } | PhysicalType::Uuid | PhysicalType::Interval => rows * 16,
            PhysicalType::Numeric | PhysicalType::Text | PhysicalType::Bytes => rows * 4 + self.string_bytes(chunk)?,
        };
        Ok(validity + values)
    }

    fn string_bytes(&self, chunk: usize) -> Result<u64> {
        let blocks = self.info().blocks.len();
        let step = blocks.div_ceil(SAMPLED_BLOCKS).max(1);
        let (mut bytes, mut rows) = (0, 0);
        for block in (0..blocks).step_by(step) {
            let view = self.chunk(block, chunk)?;
            bytes += value_bytes(&view.decode(0..view.rows())?);
            rows += view.rows() as u64;
        }
        Ok((bytes as f64 / rows.max(1) as f64 * f64::from(self.rows())).round() as u64)
    }
}

/// Bytes of an array's strings.
fn value_bytes(array: &ArrayRef) -> u64 {
    let views = match (array.as_string_view_opt(), array.as_binary_view_opt()) {
        (Some(strings), _) => strings.views(),
        (None, Some(bytes)) => bytes.views(),
        (None, None) => return 0,
    };
    // The low half of a view's low word is the length.
    views.iter().enumerate().filter(|(row, _)| array.is_valid(*row)).map(|(_, view)| u64::from(*view as u32)).sum()
}
