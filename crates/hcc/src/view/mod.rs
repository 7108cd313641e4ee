//! An opened block: validated once, then read many times.

mod cell;
mod decode;
mod eval;
mod search;
mod take;

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use heliosdb_types::{PhysicalType, Result};

pub use cell::Cell;

use crate::fsst::SymbolTable;
use crate::kind::{Encoding, Kind};
use crate::layout::{FLAG_VALIDITY, Reader, VERSION, corrupt};
use crate::offsets::Offsets;
use crate::packed::Packed;

/// A column block ready to be read. It shares the bytes it was opened on; cheap to keep in a cache behind an `Arc`.
///
/// Invariants after `open`: every section lies inside the bytes, dictionary codes are below the dictionary's size, string
/// offsets ascend within the data, plain and dictionary text is UTF-8. FSST text is checked when it is expanded.
#[derive(Debug)]
pub struct BlockView {
    physical: PhysicalType,
    encoding: Encoding,
    rows: usize,
    null_count: usize,
    /// Present only if some rows are NULL and some are not.
    nulls: Option<NullBuffer>,
    body: Body,
    byte_len: usize,
}

#[derive(Debug)]
enum Body {
    AllNull,
    Bits(BooleanBuffer),
    Frame { reference: i128, distances: Packed },
    FixedDictionary { values: Buffer, codes: Packed },
    VarDictionary { words: Words, codes: Packed },
    PlainFixed(Buffer),
    PlainVar { offsets: Offsets, data: Buffer },
    Fsst(FsstBody),
}

/// A dictionary's strings: as bytes with bounds, and as ready-made Arrow views over `data`.
#[derive(Debug)]
struct Words {
    bounds: Vec<usize>,
    views: Vec<u128>,
    data: Buffer,
}

impl Words {
    fn len(&self) -> usize {
        self.views.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        match self.bounds.get(index..index + 2) {
            Some(&[start, end]) => self.data.as_slice().get(start..end).unwrap_or(&[]),
            _ => &[],
        }
    }
}

#[derive(Debug)]
struct FsstBody {
    table: Box<SymbolTable>,
    offsets: Offsets,
    codes: Buffer,
    /// Length of all strings expanded.
    expanded_len: usize,
}

impl FsstBody {
    fn codes(&self, row: usize) -> &[u8] {
        let (start, end) = self.offsets.bounds(row);
        self.codes.as_slice().get(start..end).unwrap_or(&[])
    }
}

impl BlockView {
    /// Opens what [`crate::ColumnEncoder`] wrote for `rows` rows of type `physical`. Checks everything that later reads
    /// rely on; damaged bytes are a `Corrupt` error, never a panic.
    pub fn open(bytes: Buffer, physical: PhysicalType, rows: usize) -> Result<BlockView> {
        let byte_len = bytes.len();
        let kind = Kind::of(physical);
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(corrupt("unknown version"));
        }
        let encoding = Encoding::from_tag(reader.u8()?)?;
        let flags = reader.u8()?;
        if reader.u8()? != kind.tag() {
            return Err(corrupt("holds another type than its column"));
        }
        let (stored_rows, null_count, zero) = (reader.u32()? as usize, reader.u32()? as usize, reader.u32()?);
        if stored_rows != rows || zero != 0 || flags & !FLAG_VALIDITY != 0 {
            return Err(corrupt("header does not match its place"));
        }
        let nulls = read_nulls(&mut reader, flags, rows, null_count, encoding)?;
        let body = read_body(&mut reader, encoding, physical, rows)?;
        Ok(BlockView { physical, encoding, rows, null_count, nulls, body, byte_len })
    }

    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub fn physical(&self) -> PhysicalType {
        self.physical
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn null_count(&self) -> usize {
        self.null_count
    }

    /// Encoded bytes, which is about what the view costs in memory.
    pub fn byte_len(&self) -> usize {
        self.byte_len
    }

    /// Rows beyond the end read as NULL.
    pub fn is_null(&self, row: usize) -> bool {
        row >= self.rows
            || match &self.nulls {
                Some(nulls) => nulls.is_null(row),
                None => matches!(self.body, Body::AllNull),
            }
    }
}

fn read_nulls(
    reader: &mut Reader,
    flags: u8,
    rows: usize,
    null_count: usize,
    encoding: Encoding,
) -> Result<Option<NullBuffer>> {
    let expected = if encoding == Encoding::AllNull { rows } else { 0 };
    if flags & FLAG_VALIDITY == 0 {
        return if null_count == expected { Ok(None) } else { Err(corrupt("NULLs without a validity bitmap")) };
    }
    let bits = read_bits(reader, rows)?;
    let nulls = NullBuffer::new(bits);
    if encoding == Encoding::AllNull || null_count == 0 || nulls.null_count() != null_count {
        return Err(corrupt("validity bitmap does not match the number of NULLs"));
    }
    Ok(Some(nulls))
}

fn read_bits(reader: &mut Reader, rows: usize) -> Result<BooleanBuffer> {
    let words: ScalarBuffer<u64> = reader.words(rows.div_ceil(64))?;
    reader.align();
    Ok(BooleanBuffer::new(words.into_inner(), 0, rows))
}

fn read_body(reader: &mut Reader, encoding: Encoding, physical: PhysicalType, rows: usize) -> Result<Body> {
    let kind = Kind::of(physical);
    Ok(match (encoding, kind) {
        (Encoding::AllNull, _) => Body::AllNull,
        (Encoding::Plain, Kind::Bool) => Body::Bits(read_bits(reader, rows)?),
        (Encoding::Constant, Kind::Bool | Kind::Int { .. } | Kind::Wide)
        | (Encoding::ForPacked, Kind::Int { .. } | Kind::Wide) => {
            let reference = reader.i128()?;
            let distances = Packed::read(reader, rows)?;
            if distances.width() > kind.width() * 8 || (kind != Kind::Wide && i64::try_from(reference).is_err()) {
                return Err(corrupt("frame of reference is wider than the type"));
            }
            Body::Frame { reference, distances }
        }
        (Encoding::Constant | Encoding::Dictionary, Kind::Int { .. } | Kind::Wide | Kind::Fixed { .. }) => {
            let count = read_count(reader, rows)?;
            reader.align();
            let bytes = count.checked_mul(kind.width()).ok_or_else(|| corrupt("dictionary is too large"))?;
            let values = reader.raw(bytes)?;
            reader.align();
            Body::FixedDictionary { values, codes: read_codes(reader, rows, count)? }
        }
        (Encoding::Constant | Encoding::Dictionary, Kind::Var) => {
            let count = read_count(reader, rows)?;
            let (offsets, data) = read_strings(reader, count, physical)?;
            reader.align();
            let bounds = offsets.decode(0..count);
            let views = decode::views_of(&bounds, &data);
            Body::VarDictionary { words: Words { bounds, views, data }, codes: read_codes(reader, rows, count)? }
        }
        (Encoding::Plain, Kind::Int { .. } | Kind::Wide | Kind::Fixed { .. }) => {
            Body::PlainFixed(reader.raw(rows * kind.width())?)
        }
        (Encoding::Plain, Kind::Var) => {
            let (offsets, data) = read_strings(reader, rows, physical)?;
            Body::PlainVar { offsets, data }
        }
        (Encoding::Fsst, Kind::Var) => Body::Fsst(read_fsst(reader, rows)?),
        _ => return Err(corrupt("encoding does not fit the column's type")),
    })
}

/// A dictionary never has more values than rows; a larger count could cost time and memory no byte of the block backs.
fn read_count(reader: &mut Reader, rows: usize) -> Result<usize> {
    match usize::try_from(reader.u64()?) {
        Ok(count) if (1..=rows).contains(&count) => Ok(count),
        _ => Err(corrupt("dictionary size is out of range")),
    }
}

fn read_codes(reader: &mut Reader, rows: usize, count: usize) -> Result<Packed> {
    let codes = Packed::read(reader, rows)?;
    if !codes.is_narrow() || codes.max() >= count as u64 {
        return Err(corrupt("dictionary code is beyond the dictionary"));
    }
    Ok(codes)
}

fn read_strings(reader: &mut Reader, rows: usize, physical: PhysicalType) -> Result<(Offsets, Buffer)> {
    let len = read_len(reader)?;
    let offsets = Offsets::read(reader, rows, len)?;
    let data = reader.raw(len)?;
    if physical == PhysicalType::Text {
        decode::check_text(data.as_slice(), offsets.decode(0..rows).into_iter())?;
    }
    Ok((offsets, data))
}

/// Arrow views address 32 bits.
fn read_len(reader: &mut Reader) -> Result<usize> {
    match i32::try_from(reader.u64()?) {
        Ok(len) => Ok(len as usize),
        Err(_) => Err(corrupt("strings are longer than 2 GiB")),
    }
}

fn read_fsst(reader: &mut Reader, rows: usize) -> Result<FsstBody> {
    let expanded_len = read_len(reader)?;
    let table = Box::new(SymbolTable::read(reader)?);
    let len = read_len(reader)?;
    let offsets = Offsets::read(reader, rows, len)?;
    let codes = reader.raw(len)?;
    // A code stands for eight bytes at most, so a declared length beyond that is damage, not a reason to allocate.
    if expanded_len > len * 8 {
        return Err(corrupt("expanded length is beyond what the codes can give"));
    }
    Ok(FsstBody { table, offsets, codes, expanded_len })
}
