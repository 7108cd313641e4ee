//! Opening a segment and getting at its chunks, through the cache.

use std::ops::Range;
use std::sync::Arc;

use arrow_buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use heliosdb_contracts::ScanMetrics;
use heliosdb_hcc::BlockView;
use heliosdb_runtime::{Disk, DiskFile, OpenMode};
use heliosdb_types::{ColumnId, Datum, Error, PhysicalType, Result, SegmentId, compare};

use super::bloom::{Bloom, key_hash};
use super::format::{HEADER_BYTES, Place, SegmentInfo, TRAILER_BYTES, read_trailer};
use crate::cache::{BlockCache, BlockKey};

/// An open segment: footer and bloom filter in memory, values on disk and in the cache. Shared by all readers.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    pub(super) id: SegmentId,
    pub(super) info: SegmentInfo,
    pub(super) types: Vec<PhysicalType>,
    bloom: Option<Bloom>,
    file: Arc<dyn DiskFile>,
    cache: Arc<BlockCache>,
    file_bytes: u64,
}

impl SegmentReader {
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
        let footer = Bytes::from(read_checked(file.as_ref(), place, &what)?);
        let info = SegmentInfo::decode(&footer, &what, place.offset)?;
        let bloom = match info.bloom {
            Some(place) => Some(Bloom::read(&read_checked(file.as_ref(), place, &what)?)?),
            None => None,
        };
        let types = info.chunk_types();
        Ok(Arc::new(SegmentReader { id, info, types, bloom, file, cache, file_bytes }))
    }

    pub fn id(&self) -> SegmentId {
        self.id
    }

    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    pub fn rows(&self) -> u32 {
        self.info.rows
    }

    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Memory the footer and filter take, roughly; values are the cache's.
    pub fn memory_bytes(&self) -> usize {
        let chunks: usize = self.info.blocks.iter().map(|block| block.chunks.len()).sum();
        chunks * 160 + self.bloom.as_ref().map_or(0, Bloom::byte_len)
    }

    /// Positions of a block's rows.
    pub fn block_range(&self, block: usize) -> Range<u32> {
        let start = block as u32 * self.info.block_rows;
        start..(start + self.info.block_rows).min(self.info.rows)
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

    /// Reads the missing ones of a block's chunks at once if they lie close together: a cold row costs one read.
    pub(super) fn warm(&self, block: usize, chunks: &[usize], metrics: Option<&ScanMetrics>) -> Result<()> {
        let mut missing: Vec<(Place, usize)> = Vec::new();
        for chunk in chunks {
            if !self.cache.contains(&self.key(block, *chunk)) {
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
            self.admit(block, *chunk, *place, part)?;
        }
        Ok(())
    }

    fn key(&self, block: usize, chunk: usize) -> BlockKey {
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
        let mut bytes = vec![0; place.len as usize];
        self.file.read_exact_at(&mut bytes, place.offset)?;
        if let Some(metrics) = metrics {
            ScanMetrics::add(&metrics.bytes_from_disk, u64::from(place.len));
        }
        self.admit(block, chunk, place, &bytes)
    }

    /// Checks, opens and caches a chunk's bytes. They are copied to an aligned buffer of their own, so that a cached chunk
    /// holds no more memory than it is charged for.
    fn admit(&self, block: usize, chunk: usize, place: Place, bytes: &[u8]) -> Result<Arc<BlockView>> {
        if crc32c::crc32c(bytes) != place.crc {
            return Err(checksum_error(&self.what(), place));
        }
        let mut aligned = MutableBuffer::new(bytes.len());
        aligned.extend_from_slice(bytes);
        let physical = *self.types.get(chunk).ok_or_else(|| Error::internal("a segment has no such column"))?;
        let rows = self.block_range(block).len();
        let view = BlockView::open(Buffer::from(aligned), physical, rows)
            .map_err(|error| error.context(format!("{} at offset {}", self.what(), place.offset)))?;
        let view = Arc::new(view);
        self.cache.insert(self.key(block, chunk), view.clone());
        Ok(view)
    }

    pub(super) fn what(&self) -> String {
        format!("segment \"{}\"", self.file.path())
    }

    /// Reads every byte against the file's checksum, as the manifest knows it (low half of `file_checksum`).
    pub fn verify(&self, file_checksum: u64) -> Result<()> {
        const STEP: usize = 1 << 20;
        let (mut crc, mut at) = (0, 0);
        let mut buffer = vec![0; STEP];
        while at < self.file_bytes {
            let part = usize::try_from(self.file_bytes - at).unwrap_or(STEP).min(STEP);
            let Some(part) = buffer.get_mut(..part) else { break };
            self.file.read_exact_at(part, at)?;
            crc = crc32c::crc32c_append(crc, part);
            at += part.len() as u64;
        }
        if u64::from(crc) == file_checksum {
            Ok(())
        } else {
            Err(Error::corrupt(format!("{} fails its checksum", self.what())))
        }
    }
}

fn read_checked(file: &dyn DiskFile, place: Place, what: &str) -> Result<Vec<u8>> {
    // The trailer's checksum or the file's length has bounded the length already.
    let mut bytes = vec![0; place.len as usize];
    file.read_exact_at(&mut bytes, place.offset)?;
    if crc32c::crc32c(&bytes) == place.crc { Ok(bytes) } else { Err(checksum_error(what, place)) }
}

fn checksum_error(what: &str, place: Place) -> Error {
    Error::corrupt(format!("{what}: {} bytes fail their checksum at offset {}", place.len, place.offset))
}
