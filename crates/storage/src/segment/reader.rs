//! Opening a segment and getting at its chunks, through the cache.

use std::ops::Range;
use std::sync::{Arc, Once};

use arrow_buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use heliosdb_contracts::ScanMetrics;
use heliosdb_hcc::{BlockStats, BlockView, Shared};
use heliosdb_runtime::{Disk, DiskFile, OpenMode};
use heliosdb_types::{ColumnId, Datum, Error, PhysicalType, Result, SegmentId, compare};
use smallvec::SmallVec;

use super::bloom::{Bloom, FilterBits, key_hash};
use super::format::{Block, Chunk, HEADER_BYTES, Place, SegmentInfo, TRAILER_BYTES, read_trailer};
use crate::cache::{BlockCache, BlockKey};

/// A footer of some tens of columns and blocks.
const FOOTER_BYTES: u64 = 32 << 10;

/// Opened chunks in the order asked for; `None` where a column is younger than the segment.
pub(super) type Views = SmallVec<[Option<Arc<BlockView>>; 16]>;

/// An open segment: footer and bloom filter in memory, values on disk and in the cache. Shared by all readers.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    pub(super) id: SegmentId,
    pub(super) info: SegmentInfo,
    pub(super) types: Vec<PhysicalType>,
    /// The first row of every block, and the number of rows.
    starts: Vec<u32>,
    bloom: Option<Bloom>,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) cache: Arc<BlockCache>,
    /// Whether somebody announces reads, so that the disk was told to expect scattered ones.
    pub(super) announced: Once,
}

impl SegmentReader {
    /// About how many bytes at the end of a segment of so many rows [`SegmentReader::open`] reads.
    pub fn opening_bytes(rows: u32) -> u64 {
        FOOTER_BYTES + u64::from(rows) * FilterBits::Crowded as u64 / 8
    }

    /// Reads and checks the footer (and bloom filter). `file_bytes`: the length the manifest knows.
    pub fn open(
        disk: &dyn Disk,
        path: &str,
        id: SegmentId,
        file_bytes: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<SegmentReader>> {
        let file = disk.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len != file_bytes || len < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            let path = file.path();
            return Err(Error::corrupt(format!(
                "segment \"{path}\" has {len} bytes, not {file_bytes}, at offset {len}"
            )));
        }
        let what = format!("segment \"{}\"", file.path());
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, len - TRAILER_BYTES as u64)?;
        let place = read_trailer(&trailer, &what, len)?;
        let footer = Bytes::from(read_checked(file.as_ref(), place, &what, cache.verify)?);
        let info = SegmentInfo::decode(&footer, &what, place.offset)?;
        let bloom = match info.bloom {
            Some(place) => Some(Bloom::read(&read_checked(file.as_ref(), place, &what, cache.verify)?)?),
            None => None,
        };
        let types = info.chunk_types();
        let mut starts = vec![0];
        starts.extend(info.blocks.iter().scan(0, |end, block| {
            *end += block.rows;
            Some(*end)
        }));
        Ok(Arc::new(SegmentReader { id, info, types, starts, bloom, file, cache, announced: Once::new() }))
    }

    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    pub fn rows(&self) -> u32 {
        self.info.rows
    }

    /// Block and row in it of a row's position.
    pub(super) fn locate(&self, row: u32) -> Result<(usize, usize)> {
        if row >= self.info.rows {
            return Err(Error::internal(format!("{} has no row {row}", self.what())));
        }
        // Blocks are full unless rows are large, so the first guess is mostly right.
        let guess = (row / self.info.block_rows) as usize;
        let block = if self.block_range(guess).contains(&row) {
            guess
        } else {
            self.starts.partition_point(|start| *start <= row).saturating_sub(1)
        };
        Ok((block, (row - self.block_range(block).start) as usize))
    }

    /// Positions of a block's rows.
    pub fn block_range(&self, block: usize) -> Range<u32> {
        let at = |index: usize| self.starts.get(index).copied().unwrap_or(self.info.rows);
        at(block)..at(block + 1)
    }

    /// Smallest and largest value of a column as its blocks' zone maps know them.
    pub fn column_bounds(&self, column: ColumnId) -> Option<(Datum, Datum)> {
        let column = self.info.column(column)?;
        let stats = self.info.blocks.iter().filter_map(|block| Some(&block.chunks.get(column)?.stats));
        let mut bounds: Option<(&Datum, &Datum)> = None;
        for (min, max) in stats.filter_map(|stats| Some((stats.min.as_ref()?, stats.max.as_ref()?))) {
            let (low, high) = bounds.get_or_insert((min, max));
            if compare(min.as_ref(), low.as_ref()).is_lt() {
                *low = min;
            }
            if compare(max.as_ref(), high.as_ref()).is_gt() {
                *high = max;
            }
        }
        bounds.map(|(low, high)| (low.clone(), high.clone()))
    }

    /// A block's zone map of a column; `None`: the column is younger than the segment.
    pub fn block_stats(&self, block: usize, column: ColumnId) -> Option<&BlockStats> {
        let column = self.info.column(column)?;
        Some(&self.info.blocks.get(block)?.chunks.get(column)?.stats)
    }

    /// Whether the key may be in here, by fences and bloom filter: no disk read.
    pub fn may_hold(&self, key: &[u8]) -> bool {
        self.info.min_key() <= key
            && key <= self.info.max_key()
            && self.bloom.as_ref().is_none_or(|bloom| bloom.may_hold(key_hash(key)))
    }

    /// One chunk, from the cache or the disk.
    pub(super) fn chunk(&self, block: usize, chunk: usize) -> Result<Arc<BlockView>> {
        self.cached(block, chunk).map_or_else(|| self.load(block, chunk, None), Ok)
    }

    /// As [`SegmentReader::chunk`], counting what was read.
    pub(super) fn counted_chunk(&self, block: usize, chunk: usize, metrics: &ScanMetrics) -> Result<Arc<BlockView>> {
        ScanMetrics::add(&metrics.bytes_read, u64::from(self.place(block, chunk)?.len));
        self.cached(block, chunk).map_or_else(|| self.load(block, chunk, Some(metrics)), Ok)
    }

    /// Several chunks of a block. Those not cached are read at once if they lie close together: a cold row costs one read.
    pub(super) fn chunks(
        &self,
        block: usize,
        wanted: &[Option<usize>],
        metrics: Option<&ScanMetrics>,
    ) -> Result<Views> {
        let mut views: Views = wanted.iter().map(|chunk| self.cached(block, (*chunk)?)).collect();
        let absent =
            |views: &Views| wanted.iter().zip(views).filter(|(chunk, view)| chunk.is_some() && view.is_none()).count();
        if absent(&views) > 1 {
            self.read_together(block, wanted, &views, metrics)?;
        }
        for (chunk, view) in wanted.iter().zip(&mut views) {
            if let Some(chunk) = chunk {
                if let Some(metrics) = metrics {
                    ScanMetrics::add(&metrics.bytes_read, u64::from(self.place(block, *chunk)?.len));
                }
                if view.is_none() {
                    *view = Some(self.cached(block, *chunk).map_or_else(|| self.load(block, *chunk, metrics), Ok)?);
                }
            }
        }
        Ok(views)
    }

    /// One read for the chunks that have no view yet, if that reads at most twice what is needed. The cache keeps them.
    fn read_together(
        &self,
        block: usize,
        wanted: &[Option<usize>],
        views: &Views,
        metrics: Option<&ScanMetrics>,
    ) -> Result<()> {
        let mut missing: Vec<(Place, usize)> = Vec::new();
        for (chunk, view) in wanted.iter().zip(views) {
            if let (Some(chunk), None) = (chunk, view) {
                missing.push((self.place(block, *chunk)?, *chunk));
            }
        }
        missing.sort_unstable_by_key(|(place, _)| place.offset);
        let (Some((first, _)), Some((last, _))) = (missing.first(), missing.last()) else { return Ok(()) };
        let span = (last.offset + u64::from(last.len)).saturating_sub(first.offset);
        let wanted: u64 = missing.iter().map(|(place, _)| u64::from(place.len)).sum();
        if missing.len() < 2 || span > wanted * 2 {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(span).map_err(|_| Error::internal("a block exceeds memory"))?];
        self.file.read_exact_at(&mut bytes, first.offset)?;
        if let Some(metrics) = metrics {
            ScanMetrics::add(&metrics.bytes_from_disk, wanted);
        }
        for (place, chunk) in &missing {
            let start = (place.offset - first.offset) as usize;
            let part = bytes.get(start..start + place.len as usize).unwrap_or(&[]);
            let mut own = MutableBuffer::new(part.len());
            own.extend_from_slice(part);
            self.admit(block, *chunk, *place, own)?;
        }
        Ok(())
    }

    pub(super) fn key(&self, block: usize, chunk: usize) -> BlockKey {
        BlockKey { segment: self.id, block: block as u32, column: chunk as u32 }
    }

    fn cached(&self, block: usize, chunk: usize) -> Option<Arc<BlockView>> {
        self.cache.get(&self.key(block, chunk))
    }

    fn place(&self, block: usize, chunk: usize) -> Result<Place> {
        let found = self.info.blocks.get(block).and_then(|block| block.chunks.get(chunk));
        found.map(|chunk| chunk.place).ok_or_else(|| Error::internal("a segment has no such block or column"))
    }

    fn load(&self, block: usize, chunk: usize, metrics: Option<&ScanMetrics>) -> Result<Arc<BlockView>> {
        let place = self.place(block, chunk)?;
        let mut bytes = MutableBuffer::from_len_zeroed(place.len as usize);
        self.file.read_exact_at(&mut bytes, place.offset)?;
        if let Some(metrics) = metrics {
            ScanMetrics::add(&metrics.bytes_from_disk, u64::from(place.len));
        }
        self.admit(block, chunk, place, bytes)
    }

    /// Checks, opens and caches a chunk's bytes: an aligned buffer of their own, so that a cached chunk holds no more memory
    /// than it is charged for.
    fn admit(&self, block: usize, chunk: usize, place: Place, bytes: MutableBuffer) -> Result<Arc<BlockView>> {
        let view = self.open_chunk(block, chunk, place, bytes)?;
        self.cache.insert(self.key(block, chunk), view.clone());
        Ok(view)
    }

    fn open_chunk(&self, block: usize, chunk: usize, place: Place, bytes: MutableBuffer) -> Result<Arc<BlockView>> {
        if self.cache.verify && crc32c::crc32c(&bytes) != place.crc {
            return Err(checksum_error(&self.what(), place));
        }
        let physical = *self.types.get(chunk).ok_or_else(|| Error::internal("a segment has no such column"))?;
        let rows = self.block_range(block).len();
        let shared = self.shared(chunk, physical)?;
        let view = BlockView::open_with(Buffer::from(bytes), physical, rows, &shared)
            .map_err(|error| error.context(format!("{} at offset {}", self.what(), place.offset)))?;
        Ok(Arc::new(view))
    }

    /// All chunks of a block for who reads a segment once and as a whole: what the cache does not have stays out of it.
    pub(super) fn passing_chunks(&self, block: usize) -> Result<Views> {
        let chunks = 0..self.types.len();
        let mut views: Views = chunks.clone().map(|chunk| self.cache.peek(&self.key(block, chunk))).collect();
        if views.iter().any(Option::is_none) {
            let places = chunks.clone().map(|chunk| self.place(block, chunk)).collect::<Result<Vec<_>>>()?;
            let start = places.iter().map(|place| place.offset).min().unwrap_or(0);
            let end = places.iter().map(|place| place.offset + u64::from(place.len)).max().unwrap_or(start);
            // A block's chunks lie side by side.
            let span = usize::try_from(end - start).map_err(|_| Error::internal("a block exceeds memory"))?;
            let mut bytes = vec![0; span];
            self.file.read_exact_at(&mut bytes, start)?;
            for (chunk, (place, view)) in places.iter().zip(&mut views).enumerate() {
                if view.is_none() {
                    let from = (place.offset - start) as usize;
                    let part = bytes.get(from..from + place.len as usize).unwrap_or(&[]);
                    let mut own = MutableBuffer::new(part.len());
                    own.extend_from_slice(part);
                    *view = Some(self.open_chunk(block, chunk, *place, own)?);
                }
            }
        }
        Ok(views)
    }

    /// Encoded bytes of a block.
    pub fn block_bytes(&self, block: usize) -> u64 {
        let chunks = self.info.blocks.get(block).map_or(&[][..], |block| &block.chunks);
        chunks.iter().map(|chunk| u64::from(chunk.place.len)).sum()
    }

    /// Memory an open segment takes: its filter, fences and zone maps, about.
    pub fn memory_bytes(&self) -> u64 {
        let bloom = self.bloom.as_ref().map_or(0, Bloom::memory_bytes);
        let bound = |datum: &Option<Datum>| match datum {
            Some(Datum::Text(text)) => text.capacity(),
            Some(Datum::Bytes(bytes)) => bytes.capacity(),
            _ => 0,
        };
        let of_chunk = |chunk: &Chunk| size_of::<Chunk>() + bound(&chunk.stats.min) + bound(&chunk.stats.max);
        let of_block = |block: &Block| {
            let keys = block.first_key.len() + block.last_key.len();
            size_of::<Block>() + keys + block.chunks.iter().map(of_chunk).sum::<usize>()
        };
        (bloom + self.info.blocks.iter().map(of_block).sum::<usize>() + self.starts.len() * 4) as u64
    }

    /// What the blocks of a column share: opened once, then kept by the cache and by the blocks that use it.
    fn shared(&self, chunk: usize, physical: PhysicalType) -> Result<Arc<Shared>> {
        let places = self.info.shared.get(chunk).map_or(&[][..], Vec::as_slice);
        if places.is_empty() {
            return Ok(Arc::default());
        }
        let key = (self.id, chunk as u32);
        if let Some(shared) = self.cache.shared(&key) {
            return Ok(shared);
        }
        let mut sections = Vec::with_capacity(places.len());
        for place in places {
            sections.push(Buffer::from(read_checked(self.file.as_ref(), *place, &self.what(), self.cache.verify)?));
        }
        let shared = Shared::open(sections, physical).map_err(|error| error.context(self.what()))?;
        let shared = Arc::new(shared);
        self.cache.insert_shared(key, shared.clone());
        Ok(shared)
    }

    /// Bytes of the file as they are, unchecked.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    pub(super) fn what(&self) -> String {
        format!("segment \"{}\"", self.file.path())
    }
}

fn read_checked(file: &dyn DiskFile, place: Place, what: &str, verify: bool) -> Result<Vec<u8>> {
    // The trailer's checksum or the file's length has bounded the length already.
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    if verify && crc32c::crc32c(&bytes) != place.crc {
        return Err(checksum_error(what, place));
    }
    Ok(bytes)
}

fn checksum_error(what: &str, place: Place) -> Error {
    Error::corrupt(format!("{what}: {} bytes fail their checksum at offset {}", place.len, place.offset))
}
