//! Writing a segment: rows come in key order, leave in blocks, and the file is durable when `finish` returns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array};
use bytes::Bytes;
use heliosdb_contracts::{TreeDescriptorRef, TreeKey, datum_at};
use heliosdb_hcc::{ColumnEncoder, EncodeOptions, collect_stats};
use heliosdb_runtime::{Canary, Disk, DiskFile, OpenMode};
use heliosdb_types::{CommitTs, Error, Result, encode_key};

use super::bloom::{self, FilterBits};
use super::format::{Block, Chunk, Place, SegmentInfo, header, trailer};

/// Bytes collected before they are written to the file.
const WRITE_BYTES: usize = 1 << 20;

/// A block is cut when its rows' strings reach this, so that large values bound neither memory nor a cached chunk badly.
const BLOCK_BYTES: usize = 4 << 20;

/// How rows know when they were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitStamp {
    /// Every row brings its begin_ts.
    PerRow,
    /// All rows share one, which is not known yet or kept by the manifest.
    Shared,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentOptions {
    pub block_rows: u32,
    pub stamp: CommitStamp,
    pub encode: EncodeOptions,
    pub filter: FilterBits,
    pub canary: Option<Canary>,
}

impl Default for SegmentOptions {
    fn default() -> SegmentOptions {
        SegmentOptions {
            block_rows: 8192,
            stamp: CommitStamp::PerRow,
            encode: EncodeOptions::default(),
            filter: FilterBits::Alone,
            canary: None,
        }
    }
}

/// A finished file, as the manifest wants to know it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentFile {
    pub path: String,
    pub file_bytes: u64,
    /// crc32c of all bytes, in the low half.
    pub file_checksum: u64,
    pub rows: u32,
    pub min_key: Bytes,
    pub max_key: Bytes,
    /// ZERO when rows share a stamp.
    pub min_ts: CommitTs,
    pub max_ts: CommitTs,
}

/// Rows pushed but not yet in a block: parts of arrays, in order.
#[derive(Default)]
struct Pending {
    parts: Vec<Vec<ArrayRef>>,
    keys: Vec<Bytes>,
    begin: Vec<CommitTs>,
    string_bytes: usize,
}

pub(crate) struct SegmentWriter {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    path: String,
    options: SegmentOptions,
    info: SegmentInfo,
    encoders: Vec<ColumnEncoder>,
    pending: Pending,
    hashes: Vec<u64>,
    /// The last row pushed: the order to keep.
    last: Option<(Bytes, CommitTs)>,
    buffer: Vec<u8>,
    written: u64,
    checksum: u32,
}

impl SegmentWriter {
    /// Creates the file, which must not exist. On an error anywhere the caller removes it.
    pub fn new(
        disk: Arc<dyn Disk>,
        path: &str,
        descriptor: TreeDescriptorRef,
        options: SegmentOptions,
    ) -> Result<SegmentWriter> {
        if options.block_rows == 0 {
            return Err(Error::internal("a segment's blocks need rows"));
        }
        let file = disk.open(path, OpenMode::CreateNew)?;
        let info = SegmentInfo {
            descriptor,
            rows: 0,
            block_rows: options.block_rows,
            stamped_rows: options.stamp == CommitStamp::PerRow,
            temperature: options.encode.temperature,
            min_ts: CommitTs::ZERO,
            max_ts: CommitTs::ZERO,
            bloom: None,
            shared: Vec::new(),
            blocks: Vec::new(),
        };
        let encoders = info.chunk_types().into_iter().map(|physical| ColumnEncoder::new(physical, options.encode));
        let mut writer = SegmentWriter {
            disk,
            file,
            path: path.to_owned(),
            options,
            encoders: encoders.collect(),
            info,
            pending: Pending::default(),
            hashes: Vec::new(),
            last: None,
            buffer: Vec::with_capacity(WRITE_BYTES + WRITE_BYTES / 4),
            written: 0,
            checksum: 0,
        };
        writer.append(&header())?;
        Ok(writer)
    }

    /// Rows so far; the next row's position.
    pub fn rows(&self) -> u32 {
        self.info.rows + self.pending.keys.len() as u32
    }

    /// Bytes so far, rows not yet in a block aside.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Adds rows: the descriptor's columns in order, their tree keys, and (with [`CommitStamp::PerRow`]) their begin_ts.
    ///
    /// Rows come sorted by (key ascending, begin_ts descending), across calls too; anything else is an internal error.
    pub fn push(&mut self, columns: &[ArrayRef], keys: &[Bytes], begin: &[CommitTs]) -> Result<()> {
        let per_row = self.options.stamp == CommitStamp::PerRow;
        if columns.len() != self.info.descriptor.columns.len()
            || columns.iter().any(|column| column.len() != keys.len())
            || begin.len() != if per_row { keys.len() } else { 0 }
        {
            return Err(Error::internal("a segment's columns, keys and timestamps differ in length"));
        }
        if u32::try_from(u64::from(self.rows()) + keys.len() as u64).is_err() {
            return Err(Error::internal("a segment has at most 2^32 rows"));
        }
        self.check_order(keys, begin)?;
        self.check_keys(columns, keys)?;
        let sizes = string_sizes(columns, keys.len());
        let mut done = 0;
        while done < keys.len() {
            let room = self.options.block_rows as usize - self.pending.keys.len();
            let mut count = 0;
            while count < room.min(keys.len() - done) && self.pending.string_bytes < BLOCK_BYTES {
                self.pending.string_bytes += sizes.get(done + count).copied().unwrap_or(0);
                count += 1;
            }
            self.pending.parts.push(columns.iter().map(|column| column.slice(done, count)).collect());
            self.pending.keys.extend(keys.iter().skip(done).take(count).cloned());
            self.pending.begin.extend(begin.iter().skip(done).take(count));
            done += count;
            if count == room || self.pending.string_bytes >= BLOCK_BYTES {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn check_order(&mut self, keys: &[Bytes], begin: &[CommitTs]) -> Result<()> {
        let stamp = |row: usize| begin.get(row).copied().unwrap_or(CommitTs::ZERO);
        let mut last = self.last.take();
        for (row, key) in keys.iter().enumerate() {
            let ordered = match &last {
                None => true,
                Some((before, ts)) => before < key || (before == key && *ts > stamp(row)),
            };
            if !ordered {
                return Err(Error::internal(format!("rows of segment \"{}\" are not in order", self.path)));
            }
            last = Some((key.clone(), stamp(row)));
        }
        self.last = last;
        Ok(())
    }

    /// Keys are rebuilt from columns when read, so what is given must be what will be rebuilt. Checked at both ends of
    /// every push, which catches a wrong column order or a wrong codec.
    fn check_keys(&self, columns: &[ArrayRef], keys: &[Bytes]) -> Result<()> {
        let ends = [keys.first().map(|key| (0, key)), keys.last().map(|key| (keys.len() - 1, key))];
        for (row, key) in ends.into_iter().flatten() {
            let built = match &self.info.descriptor.key {
                TreeKey::RowId => key.len() == 8,
                TreeKey::Columns(ids) => {
                    let mut built = Vec::with_capacity(key.len());
                    for id in ids {
                        let position = self.info.column(*id);
                        let found =
                            position.and_then(|at| Some((columns.get(at)?, self.info.descriptor.columns.get(at)?)));
                        let (array, column) = found.ok_or_else(|| Error::internal("a key column is not a column"))?;
                        encode_key(&mut built, datum_at(array, row, column.physical)?, false);
                    }
                    built == *key
                }
            };
            if !built {
                return Err(Error::internal(format!("a key given to segment \"{}\" is not its row's", self.path)));
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let (Some(first_key), Some(last_key)) = (pending.keys.first().cloned(), pending.keys.last().cloned()) else {
            return Ok(());
        };
        let mut columns = concat_columns(&pending.parts, self.info.descriptor.columns.len())?;
        if self.info.row_id_chunk().is_some() {
            columns.push(Arc::new(row_ids(&pending.keys)?));
        } else {
            for key in &pending.keys {
                let hash = bloom::key_hash(key);
                // Versions of one key follow one another and need one entry.
                if self.hashes.last() != Some(&hash) {
                    self.hashes.push(hash);
                }
            }
        }
        if self.info.begin_ts_chunk().is_some() {
            columns.push(Arc::new(Int64Array::from_iter_values(pending.begin.iter().map(|ts| ts.0 as i64))));
        }
        let mut chunks = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let encoder = self.encoders.get_mut(index).ok_or_else(|| Error::internal("a column without an encoder"))?;
            let stats = collect_stats(column, encoder.physical())?;
            let block = encoder.encode(column)?;
            chunks.push(Chunk { place: self.append(&block.bytes)?, stats });
        }
        let min_ts = pending.begin.iter().min().copied().unwrap_or_default();
        let max_ts = pending.begin.iter().max().copied().unwrap_or_default();
        let first = self.info.blocks.is_empty();
        self.info.min_ts = if first { min_ts } else { self.info.min_ts.min(min_ts) };
        self.info.max_ts = self.info.max_ts.max(max_ts);
        let rows = pending.keys.len() as u32;
        self.info.rows += rows;
        self.info.blocks.push(Block { rows, first_key, last_key, min_ts, max_ts, chunks });
        Ok(())
    }

    /// Appends a section and returns its place.
    fn append(&mut self, bytes: &[u8]) -> Result<Place> {
        let place = Place { offset: self.bytes(), len: bytes.len() as u32, crc: crc32c::crc32c(bytes) };
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(place)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and makes file and name durable. A segment without rows is an internal error.
    pub fn finish(mut self) -> Result<SegmentFile> {
        self.write_block()?;
        self.info.check().map_err(|why| Error::internal(format!("segment \"{}\": {why}", self.path)))?;
        for encoder in std::mem::take(&mut self.encoders) {
            let places: Result<_> = encoder.finish().iter().map(|section| self.append(section)).collect();
            self.info.shared.push(places?);
        }
        if self.info.row_id_chunk().is_none() && !bloom::needless(self.hashes.len(), self.info.key_span()) {
            let filter = bloom::build(&self.hashes, self.options.filter);
            self.info.bloom = Some(self.append(&filter)?);
        }
        let footer = self.append(&self.info.encode())?;
        self.append(&trailer(&footer))?;
        self.flush()?;
        if !Canary::ManifestBeforeSegment.sings(self.options.canary) {
            self.file.sync_all()?;
        }
        self.disk.sync_dir(self.path.rfind('/').map_or("", |at| &self.path[..at]))?;
        Ok(SegmentFile {
            file_bytes: self.written,
            file_checksum: u64::from(self.checksum),
            rows: self.info.rows,
            min_key: Bytes::copy_from_slice(self.info.min_key()),
            max_key: Bytes::copy_from_slice(self.info.max_key()),
            min_ts: self.info.min_ts,
            max_ts: self.info.max_ts,
            path: self.path,
        })
    }
}

/// Bytes of each row's strings; empty if no column holds strings.
fn string_sizes(columns: &[ArrayRef], rows: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    for column in columns {
        let views = match (column.as_string_view_opt(), column.as_binary_view_opt()) {
            (Some(strings), _) => strings.views(),
            (None, Some(bytes)) => bytes.views(),
            (None, None) => continue,
        };
        sizes.resize(rows, 0);
        // The low half of a view's low word is the length; a NULL's is zero or harmless.
        sizes.iter_mut().zip(views.iter()).for_each(|(size, view)| *size += *view as u32 as usize);
    }
    sizes
}

fn concat_columns(parts: &[Vec<ArrayRef>], columns: usize) -> Result<Vec<ArrayRef>> {
    (0..columns)
        .map(|column| {
            let arrays: Vec<&dyn Array> = parts.iter().filter_map(|part| part.get(column)).map(AsRef::as_ref).collect();
            match parts {
                [only] => only.get(column).cloned().ok_or_else(|| Error::internal("a column is missing")),
                _ => arrow_select::concat::concat(&arrays)
                    .map_err(|error| Error::internal(format!("could not join column parts: {error}"))),
            }
        })
        .collect()
}

fn row_ids(keys: &[Bytes]) -> Result<Int64Array> {
    let id = |key: &Bytes| key.as_ref().try_into().map(i64::from_be_bytes);
    let ids: std::result::Result<Vec<i64>, _> = keys.iter().map(id).collect();
    Ok(Int64Array::from(ids.map_err(|_| Error::internal("a hidden row id is not 8 bytes"))?))
}
