//! From an array to a block: look at the data, estimate every encoding that fits, write the smallest.

mod fixed;
mod var;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use fsst::Compressor;
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::input::check_type;
use crate::kind::{Encoding, Kind};
use crate::layout::{FLAG_VALIDITY, VERSION, Writer};

/// What the encoder may do.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions {
    /// No dictionary beyond this many distinct values in a block.
    pub dictionary_values_max: usize,
    /// Only this encoding (or an error if it does not fit); for tests and experiments.
    pub force: Option<Encoding>,
}

impl Default for EncodeOptions {
    fn default() -> EncodeOptions {
        EncodeOptions { dictionary_values_max: 4096, force: None }
    }
}

impl EncodeOptions {
    fn allows(&self, encoding: Encoding) -> bool {
        self.force.is_none_or(|forced| forced == encoding)
    }
}

/// A block's bytes, self-describing but for type and row count, which the caller keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBlock {
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
}

/// Encodes the blocks of one column. It remembers the FSST symbol table between blocks, since training costs more than
/// compressing; every block still carries the table it was written with.
pub struct ColumnEncoder {
    physical: PhysicalType,
    options: EncodeOptions,
    trained: Option<Trained>,
}

/// A symbol table and how well it did on the block it was trained on.
struct Trained {
    compressor: Compressor,
    /// Compressed bytes per 1,000 bytes of text.
    permille: usize,
}

/// What all encodings need to know of NULLs.
struct Rows<'a> {
    len: usize,
    nulls: Option<&'a NullBuffer>,
}

impl Rows<'_> {
    fn is_valid(&self, row: usize) -> bool {
        self.nulls.is_none_or(|nulls| nulls.is_valid(row))
    }
}

impl ColumnEncoder {
    pub fn new(physical: PhysicalType, options: EncodeOptions) -> ColumnEncoder {
        ColumnEncoder { physical, options, trained: None }
    }

    pub fn physical(&self) -> PhysicalType {
        self.physical
    }

    /// Encodes one block. The array has [`crate::arrow_type`]'s type.
    pub fn encode(&mut self, array: &ArrayRef) -> Result<EncodedBlock> {
        check_type(array, self.physical)?;
        if u32::try_from(array.len()).is_err() {
            return Err(Error::internal("a block has at most 2^32 rows"));
        }
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let rows = Rows { len: array.len(), nulls };
        let null_count = nulls.map_or(0, NullBuffer::null_count);
        if null_count == rows.len {
            let writer = self.begin(&rows, Encoding::AllNull, null_count);
            return Ok(EncodedBlock { encoding: Encoding::AllNull, bytes: writer.finish() });
        }
        match Kind::of(self.physical) {
            Kind::Bool => self.encode_bool(array, &rows),
            Kind::Int { .. } | Kind::Wide | Kind::Fixed { .. } => self.encode_fixed(array, &rows),
            Kind::Var => self.encode_var(array, &rows),
        }
    }

    /// Writes the header and, unless all or none are NULL, the validity bitmap.
    fn begin(&self, rows: &Rows<'_>, encoding: Encoding, null_count: usize) -> Writer {
        let mut writer = Writer::default();
        let partly = null_count > 0 && encoding != Encoding::AllNull;
        writer.u8(VERSION);
        writer.u8(encoding as u8);
        writer.u8(if partly { FLAG_VALIDITY } else { 0 });
        writer.u8(Kind::of(self.physical).tag());
        writer.u32(rows.len as u32);
        writer.u32(null_count as u32);
        writer.u32(0);
        if let Some(nulls) = rows.nulls.filter(|_| partly) {
            writer.words(Bitmap::from_bits(nulls.inner()).words());
            writer.align();
        }
        writer
    }

    fn start(&self, rows: &Rows<'_>, encoding: Encoding) -> Writer {
        self.begin(rows, encoding, rows.nulls.map_or(0, NullBuffer::null_count))
    }

    fn misfit(&self) -> Error {
        Error::internal(format!("encoding {:?} does not fit a column of type {:?}", self.options.force, self.physical))
    }

    /// Booleans: a frame of reference of width 0 when all are equal, else one bit a row in Arrow's layout.
    fn encode_bool(&mut self, array: &ArrayRef, rows: &Rows<'_>) -> Result<EncodedBlock> {
        let values = array.as_boolean_opt().ok_or_else(|| Error::internal("column is not boolean"))?;
        let mut live = (0..rows.len).filter(|row| rows.is_valid(*row)).map(|row| values.value(row));
        let first = live.next().unwrap_or(false);
        if live.all(|value| value == first) && self.options.allows(Encoding::Constant) {
            let mut writer = self.start(rows, Encoding::Constant);
            fixed::write_frame(&mut writer, i128::from(first), rows.len, 0, |_| 0);
            return Ok(EncodedBlock { encoding: Encoding::Constant, bytes: writer.finish() });
        }
        if !self.options.allows(Encoding::Plain) {
            return Err(self.misfit());
        }
        let mut writer = self.start(rows, Encoding::Plain);
        writer.words(Bitmap::from_bits(values.values()).words());
        Ok(EncodedBlock { encoding: Encoding::Plain, bytes: writer.finish() })
    }
}
