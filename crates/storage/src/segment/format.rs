//! The segment file's footer and trailer: what is where, and the bounds that let blocks be skipped.
//!
//! Trailer, the last 32 bytes: footer offset u64 | footer length u32 | footer crc32c u32 | version u32 | crc32c of the 20
//! bytes before u32 | magic 8.

use bytes::Bytes;
use heliosdb_contracts::{TreeDescriptorRef, TreeKey};
use heliosdb_hcc::{BlockStats, Temperature};
use heliosdb_types::{ColumnId, CommitTs, Datum, Error, PhysicalType, Result};

use crate::codec::{Reader, put_bytes, put_descriptor, put_u32, put_u64, read_descriptor};

pub(super) const MAGIC: &[u8; 8] = b"HELIOSSG";
/// 2: columns have shared sections. Nothing was released with 1.
pub(super) const VERSION: u32 = 2;
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const TRAILER_BYTES: usize = 32;

/// Where bytes are in the file and what they must hash to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub offset: u64,
    pub len: u32,
    pub crc: u32,
}

/// A column's part of a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chunk {
    pub place: Place,
    pub stats: BlockStats,
}

/// A block: chunks in column order, hidden columns last, and its first and last key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub rows: u32,
    pub first_key: Bytes,
    pub last_key: Bytes,
    pub min_ts: CommitTs,
    pub max_ts: CommitTs,
    pub chunks: Vec<Chunk>,
}

/// A segment's footer: everything about it but the values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentInfo {
    pub descriptor: TreeDescriptorRef,
    pub rows: u32,
    /// No block has more rows; fewer where rows are large.
    pub block_rows: u32,
    /// Whether rows carry their own begin_ts; otherwise the manifest knows the one they share.
    pub stamped_rows: bool,
    /// What its encodings were chosen for.
    pub temperature: Temperature,
    /// Bounds of the rows' own begin_ts; ZERO if they carry none.
    pub min_ts: CommitTs,
    pub max_ts: CommitTs,
    pub(super) bloom: Option<Place>,
    /// Sections that a column's blocks share, by chunk number.
    pub(super) shared: Vec<Vec<Place>>,
    pub(super) blocks: Vec<Block>,
}

/// A hidden row id, kept as a column.
pub(super) const ROW_ID_TYPE: PhysicalType = PhysicalType::Int64;
/// begin_ts, kept as a column; timestamps stay below 2^63.
pub(super) const BEGIN_TS_TYPE: PhysicalType = PhysicalType::Int64;

impl SegmentInfo {
    pub fn min_key(&self) -> &[u8] {
        self.blocks.first().map_or(&[], |block| &block.first_key)
    }

    pub fn max_key(&self) -> &[u8] {
        self.blocks.last().map_or(&[], |block| &block.last_key)
    }

    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The place of a user column among the chunks; `None` if the segment is older than the column.
    pub fn column(&self, id: ColumnId) -> Option<usize> {
        self.descriptor.position(id)
    }

    /// As [`SegmentInfo::column`], looking at one place first: projections mostly name columns in their order.
    pub(super) fn column_near(&self, id: ColumnId, guess: usize) -> Option<usize> {
        match self.descriptor.columns.get(guess) {
            Some(column) if column.id == id => Some(guess),
            _ => self.column(id),
        }
    }

    /// Keys of one column of whole numbers: how many there are from the first to the last, used or not. `None` for other
    /// keys.
    pub(super) fn key_span(&self) -> Option<u64> {
        let TreeKey::Columns(ids) = &self.descriptor.key else { return None };
        let chunk = match ids.as_slice() {
            [id] => self.column(*id)?,
            _ => return None,
        };
        let whole = |datum: &Datum| match datum {
            Datum::Int16(v) => Some(i64::from(*v)),
            Datum::Int32(v) => Some(i64::from(*v)),
            Datum::Int64(v) => Some(*v),
            _ => None,
        };
        let low = whole(self.blocks.first()?.chunks.get(chunk)?.stats.min.as_ref()?)?;
        let high = whole(self.blocks.last()?.chunks.get(chunk)?.stats.max.as_ref()?)?;
        (high.wrapping_sub(low) as u64).checked_add(1)
    }

    /// Chunk number of the hidden row id.
    pub(super) fn row_id_chunk(&self) -> Option<usize> {
        (self.descriptor.key == TreeKey::RowId).then_some(self.descriptor.columns.len())
    }

    /// Chunk number of the hidden begin_ts.
    pub(super) fn begin_ts_chunk(&self) -> Option<usize> {
        let row_id = usize::from(self.row_id_chunk().is_some());
        self.stamped_rows.then_some(self.descriptor.columns.len() + row_id)
    }

    /// Types of all chunks of a block, hidden ones included.
    pub(super) fn chunk_types(&self) -> Vec<PhysicalType> {
        let mut types = self.descriptor.physical_types();
        types.extend(self.row_id_chunk().map(|_| ROW_ID_TYPE));
        types.extend(self.begin_ts_chunk().map(|_| BEGIN_TS_TYPE));
        types
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_descriptor(&mut out, &self.descriptor);
        put_u32(&mut out, self.rows);
        put_u32(&mut out, self.block_rows);
        out.push(u8::from(self.stamped_rows));
        out.push(match self.temperature {
            Temperature::Young => 0,
            Temperature::Settled => 1,
            Temperature::Cold => 2,
        });
        put_u64(&mut out, self.min_ts.0);
        put_u64(&mut out, self.max_ts.0);
        out.push(u8::from(self.bloom.is_some()));
        put_place(&mut out, &self.bloom.unwrap_or_default());
        for sections in &self.shared {
            put_u32(&mut out, sections.len() as u32);
            sections.iter().for_each(|place| put_place(&mut out, place));
        }
        put_u32(&mut out, self.blocks.len() as u32);
        for block in &self.blocks {
            put_u32(&mut out, block.rows);
            put_bytes(&mut out, &block.first_key);
            put_bytes(&mut out, &block.last_key);
            put_u64(&mut out, block.min_ts.0);
            put_u64(&mut out, block.max_ts.0);
            for chunk in &block.chunks {
                put_place(&mut out, &chunk.place);
                let mut stats = Vec::new();
                chunk.stats.encode(&mut stats);
                put_bytes(&mut out, &stats);
            }
        }
        out
    }

    /// Reads and checks a footer; `what` names the file in errors, `data_end` is where the footer begins.
    pub(super) fn decode(bytes: &Bytes, what: &str, data_end: u64) -> Result<SegmentInfo> {
        let mut reader = Reader::new(bytes, what);
        let descriptor = read_descriptor(&mut reader)?;
        let (rows, block_rows) = (reader.u32()?, reader.u32()?);
        let stamped_rows = reader.u8()? != 0;
        let temperature = match reader.u8()? {
            0 => Temperature::Young,
            1 => Temperature::Settled,
            2 => Temperature::Cold,
            _ => return Err(reader.corrupt("unknown temperature")),
        };
        let (min_ts, max_ts) = (CommitTs(reader.u64()?), CommitTs(reader.u64()?));
        let has_bloom = reader.u8()? != 0;
        let bloom = Some(read_place(&mut reader, data_end)?).filter(|_| has_bloom);
        let mut info = SegmentInfo {
            descriptor,
            rows,
            block_rows,
            stamped_rows,
            temperature,
            min_ts,
            max_ts,
            bloom,
            shared: Vec::new(),
            blocks: Vec::new(),
        };
        let types = info.chunk_types();
        for _ in &types {
            let count = reader.count(16)?;
            let sections: Result<_> = (0..count).map(|_| read_place(&mut reader, data_end)).collect();
            info.shared.push(sections?);
        }
        let count = reader.count(28)?;
        info.blocks.reserve_exact(count);
        for _ in 0..count {
            let block = read_block(&mut reader, &types, data_end)?;
            info.blocks.push(block);
        }
        if !reader.is_empty() {
            return Err(reader.corrupt("bytes follow the footer"));
        }
        info.check().map_err(|why| reader.corrupt(why))?;
        Ok(info)
    }

    /// The invariants that readers rely on.
    pub(super) fn check(&self) -> std::result::Result<(), &'static str> {
        if self.blocks.is_empty() {
            return Err("a segment without blocks");
        }
        if self.blocks.iter().any(|block| block.rows == 0 || block.rows > self.block_rows) {
            return Err("a block has no rows or too many");
        }
        if self.blocks.iter().map(|block| u64::from(block.rows)).sum::<u64>() != u64::from(self.rows) {
            return Err("blocks do not add up to the rows");
        }
        if self.blocks.iter().any(|block| block.first_key > block.last_key) {
            return Err("a block's keys descend");
        }
        let ascending = |pair: &[Block]| matches!(pair, [a, b] if a.last_key <= b.first_key);
        if !self.blocks.windows(2).all(ascending) {
            return Err("keys of blocks descend");
        }
        Ok(())
    }
}

fn read_block(reader: &mut Reader<'_>, types: &[PhysicalType], data_end: u64) -> Result<Block> {
    let rows = reader.u32()?;
    let (first_key, last_key) = (reader.shared_bytes()?, reader.shared_bytes()?);
    let (min_ts, max_ts) = (CommitTs(reader.u64()?), CommitTs(reader.u64()?));
    let mut chunks = Vec::with_capacity(types.len());
    for physical in types {
        let place = read_place(reader, data_end)?;
        let bytes = reader.bytes()?;
        let (stats, used) = BlockStats::decode(bytes, *physical)?;
        if used != bytes.len() || stats.rows != rows {
            return Err(reader.corrupt("statistics do not fit their block"));
        }
        chunks.push(Chunk { place, stats });
    }
    Ok(Block { rows, first_key, last_key, min_ts, max_ts, chunks })
}

fn put_place(out: &mut Vec<u8>, place: &Place) {
    put_u64(out, place.offset);
    put_u32(out, place.len);
    put_u32(out, place.crc);
}

/// A place must lie between header and footer.
fn read_place(reader: &mut Reader<'_>, data_end: u64) -> Result<Place> {
    let place = Place { offset: reader.u64()?, len: reader.u32()?, crc: reader.u32()? };
    match place.offset.checked_add(u64::from(place.len)) {
        Some(end) if end <= data_end => Ok(place),
        _ => Err(reader.corrupt("a chunk lies outside the file")),
    }
}

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header
}

pub(super) fn trailer(footer: &Place) -> [u8; TRAILER_BYTES] {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    put_place(&mut out, footer);
    put_u32(&mut out, VERSION);
    let crc = crc32c::crc32c(&out);
    put_u32(&mut out, crc);
    out.extend_from_slice(MAGIC);
    out.try_into().expect("16 + 4 + 4 + 8 bytes")
}

/// The footer's place, from a file's last 32 bytes.
pub(super) fn read_trailer(bytes: &[u8; TRAILER_BYTES], what: &str, file_len: u64) -> Result<Place> {
    let at = file_len - TRAILER_BYTES as u64;
    let damaged = |why: &str| Error::corrupt(format!("{what}: {why} at offset {at}"));
    let all = Bytes::copy_from_slice(bytes);
    let mut reader = Reader::new(&all, what);
    let place = Place { offset: reader.u64()?, len: reader.u32()?, crc: reader.u32()? };
    let version = reader.u32()?;
    let crc = reader.u32()?;
    if reader.take(8)? != MAGIC {
        return Err(damaged("does not end as a segment does"));
    }
    if crc32c::crc32c(&bytes[..20]) != crc {
        return Err(damaged("the trailer fails its checksum"));
    }
    if version != VERSION {
        return Err(damaged(&format!("has version {version}, this program knows {VERSION}")));
    }
    if place.offset.checked_add(u64::from(place.len)) != Some(at) {
        return Err(damaged("the footer does not lie before the trailer"));
    }
    Ok(place)
}
