//! From an array to a block: gather statistics, try what only trying can tell, choose, write.

mod fixed;
mod learnt;
mod nested;
mod strings;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::choose::{Plan, Temperature};
use crate::encoding::constant;
use crate::input::{check_type, fixed_values, var_values};
use crate::kind::{Encoding, Kind};
use crate::layout::{FLAG_DENSE, FLAG_VALIDITY, ROWS_MAX, VERSION, Writer};
use learnt::Learnt;

/// What the encoder may do.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    pub temperature: Temperature,
    /// No dictionary beyond this many distinct values in a block.
    pub dictionary_values_max: usize,
    /// Only this encoding (or an error if it does not fit); for tests and experiments.
    pub force: Option<Encoding>,
}

impl Default for EncodeOptions {
    fn default() -> EncodeOptions {
        EncodeOptions { temperature: Temperature::Young, dictionary_values_max: 4096, force: None }
    }
}

/// A block's bytes, self-describing but for type, row count and shared sections, which the caller keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBlock {
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
}

/// Encodes the blocks of one column of one segment. It learns from the blocks as they come (symbols, phrases, words); what
/// it learnt, and blocks refer to, is given out by [`ColumnEncoder::finish`].
pub struct ColumnEncoder {
    physical: PhysicalType,
    options: EncodeOptions,
    learnt: Learnt,
}

/// A body, and the shared section it refers to.
struct Body {
    encoding: Encoding,
    section: Option<usize>,
    bytes: Vec<u8>,
}

/// A block's values without NULLs.
enum Values<'a> {
    Bits(Vec<bool>),
    /// Whole numbers up to 64 bits.
    Whole(Vec<i64>),
    /// Floats as bits.
    Float(Vec<u64>),
    /// 16 bytes: decimals, and the bits of uuids and intervals.
    Wide(Vec<i128>),
    Strings(Vec<&'a [u8]>),
}

/// From this share of NULLs on they are left out of the body.
const DENSE_ONE_IN: usize = 8;

impl ColumnEncoder {
    pub fn new(physical: PhysicalType, options: EncodeOptions) -> ColumnEncoder {
        ColumnEncoder { physical, options, learnt: Learnt::default() }
    }

    pub fn physical(&self) -> PhysicalType {
        self.physical
    }

    /// Encodes one block. The array has [`crate::arrow_type`]'s type.
    pub fn encode(&mut self, array: &ArrayRef) -> Result<EncodedBlock> {
        self.encode_explained(array).map(|(block, _)| block)
    }

    /// As [`ColumnEncoder::encode`], and how the encoding was chosen; no plan where nothing was to be chosen.
    pub fn encode_explained(&mut self, array: &ArrayRef) -> Result<(EncodedBlock, Option<Plan>)> {
        check_type(array, self.physical)?;
        if array.len() > ROWS_MAX {
            return Err(Error::internal(format!("a block has at most {ROWS_MAX} rows")));
        }
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let null_count = nulls.map_or(0, NullBuffer::null_count);
        if null_count == array.len() {
            return self.all_null(array.len());
        }
        let dense = null_count * DENSE_ONE_IN >= array.len() && null_count > 0;
        let values = values_of(array, self.physical, nulls, dense)?;
        let (body, plan) = self.encode_values(&values, 0)?;
        let bytes = self.frame(&body, array.len(), nulls, dense);
        Ok((EncodedBlock { encoding: body.encoding, bytes }, plan))
    }

    fn all_null(&self, rows: usize) -> Result<(EncodedBlock, Option<Plan>)> {
        let mut writer = Writer::default();
        self.header(&mut writer, Encoding::AllNull, 0, rows, rows, None);
        Ok((EncodedBlock { encoding: Encoding::AllNull, bytes: writer.finish() }, None))
    }

    /// The shared sections that blocks refer to, in order; see [`crate::Shared`].
    pub fn finish(self) -> Vec<Vec<u8>> {
        self.learnt.into_sections()
    }

    /// Bytes that [`ColumnEncoder::finish`] would give, about.
    pub fn learnt_bytes(&self) -> usize {
        self.learnt.byte_len()
    }

    fn header(
        &self,
        writer: &mut Writer,
        encoding: Encoding,
        flags: u8,
        rows: usize,
        null_count: usize,
        section: Option<usize>,
    ) {
        writer.u8(VERSION);
        writer.u8(encoding as u8);
        writer.u8(flags);
        writer.u8(Kind::of(self.physical).tag());
        writer.u32(rows as u32);
        writer.u32(null_count as u32);
        writer.u32(section.map_or(0, |section| section as u32 + 1));
    }

    /// Header, validity, body.
    fn frame(&self, body: &Body, rows: usize, nulls: Option<&NullBuffer>, dense: bool) -> Vec<u8> {
        let mut writer = Writer::default();
        let flags = match nulls {
            None => 0,
            Some(_) if dense => FLAG_VALIDITY | FLAG_DENSE,
            Some(_) => FLAG_VALIDITY,
        };
        let null_count = nulls.map_or(0, NullBuffer::null_count);
        self.header(&mut writer, body.encoding, flags, rows, null_count, body.section);
        if let Some(nulls) = nulls {
            writer.words(Bitmap::from_bits(nulls.inner()).words());
            writer.align();
        }
        writer.raw(&body.bytes);
        writer.finish()
    }

    /// `depth`: how many blocks it lies in.
    fn encode_values(&mut self, values: &Values<'_>, depth: usize) -> Result<(Body, Option<Plan>)> {
        match values {
            Values::Bits(bits) => self.encode_bits(bits, depth),
            Values::Whole(numbers) => self.encode_whole(numbers, depth),
            Values::Float(bits) => self.encode_floats(bits, depth),
            Values::Wide(words) => self.encode_wide(words, depth),
            Values::Strings(strings) => self.encode_strings(strings, depth),
        }
    }

    /// A block inside another. Blocks inside are not forced, but for what would nest again.
    fn nested(&mut self, values: &Values<'_>, rows: usize) -> Result<Vec<u8>> {
        let (body, _) = self.encode_values(values, 1)?;
        Ok(self.frame(&body, rows, None, false))
    }

    fn forced(&self, depth: usize) -> Option<Encoding> {
        self.options.force.filter(|_| depth == 0)
    }

    fn misfit(&self) -> Error {
        Error::internal(format!("encoding {:?} does not fit a column of type {:?}", self.options.force, self.physical))
    }

    fn constant(&self, value: &[u8]) -> Body {
        let mut writer = Writer::default();
        constant::write(&mut writer, value, self.physical);
        Body { encoding: Encoding::Constant, section: None, bytes: writer.into_unaligned() }
    }

    /// Booleans: constant, runs, or one bit a row in Arrow's layout.
    fn encode_bits(&mut self, bits: &[bool], depth: usize) -> Result<(Body, Option<Plan>)> {
        let forced = self.forced(depth);
        let allows = |encoding| forced.is_none_or(|forced| forced == encoding);
        let changes = crate::choose::runs(bits);
        if changes == 1 && allows(Encoding::Constant) {
            return Ok((self.constant(&[u8::from(bits[0])]), None));
        }
        if depth == 0 && (forced == Some(Encoding::Runs) || (forced.is_none() && changes < bits.len() / 64)) {
            return Ok((self.split_runs(bits, &Values::Bits)?.into_body(), None));
        }
        if !allows(Encoding::Plain) {
            return Err(self.misfit());
        }
        let mut writer = Writer::default();
        let mut words = Bitmap::all_clear(bits.len());
        bits.iter().enumerate().filter(|(_, bit)| **bit).for_each(|(row, _)| words.set(row));
        writer.words(words.words());
        Ok((Body { encoding: Encoding::Plain, section: None, bytes: writer.finish() }, None))
    }
}

/// A block's values: NULL rows left out, or filled with the value before, which costs least whatever the encoding.
fn values_of<'a>(
    array: &'a ArrayRef,
    physical: PhysicalType,
    nulls: Option<&NullBuffer>,
    dense: bool,
) -> Result<Values<'a>> {
    Ok(match Kind::of(physical) {
        Kind::Bool => {
            let bits = array.as_boolean_opt().ok_or_else(|| Error::internal("column is not boolean"))?;
            Values::Bits(without_nulls(bits.values().iter(), nulls, dense))
        }
        Kind::Var => Values::Strings(without_nulls(var_values(array, physical)?.into_iter(), nulls, dense)),
        kind => {
            let values = fixed_values(array, physical)?;
            let bytes = values.buffer.as_slice();
            match kind {
                Kind::Int { width: 2 } => {
                    let numbers = bytes.as_chunks::<2>().0.iter().map(|v| i64::from(i16::from_le_bytes(*v)));
                    Values::Whole(without_nulls(numbers, nulls, dense))
                }
                Kind::Int { width: 4 } => {
                    let numbers = bytes.as_chunks::<4>().0.iter().map(|v| i64::from(i32::from_le_bytes(*v)));
                    Values::Whole(without_nulls(numbers, nulls, dense))
                }
                Kind::Int { .. } => {
                    let numbers = bytes.as_chunks::<8>().0.iter().map(|v| i64::from_le_bytes(*v));
                    Values::Whole(without_nulls(numbers, nulls, dense))
                }
                Kind::Fixed { width: 4 } => {
                    let bits = bytes.as_chunks::<4>().0.iter().map(|v| u64::from(u32::from_le_bytes(*v)));
                    Values::Float(without_nulls(bits, nulls, dense))
                }
                Kind::Fixed { width: 8 } => {
                    let bits = bytes.as_chunks::<8>().0.iter().map(|v| u64::from_le_bytes(*v));
                    Values::Float(without_nulls(bits, nulls, dense))
                }
                _ => {
                    let words = bytes.as_chunks::<16>().0.iter().map(|v| i128::from_le_bytes(*v));
                    Values::Wide(without_nulls(words, nulls, dense))
                }
            }
        }
    })
}

fn without_nulls<T: Copy>(values: impl Iterator<Item = T>, nulls: Option<&NullBuffer>, dense: bool) -> Vec<T> {
    let Some(nulls) = nulls else { return values.collect() };
    if dense {
        return values.enumerate().filter(|(row, _)| nulls.is_valid(*row)).map(|(_, value)| value).collect();
    }
    let mut out: Vec<T> = Vec::with_capacity(nulls.len());
    for (row, value) in values.enumerate() {
        if nulls.is_valid(row) {
            // NULLs at the front take the first value there is.
            out.resize(row + 1, value);
        } else if let Some(last) = out.last().copied() {
            out.push(last);
        }
    }
    out
}
