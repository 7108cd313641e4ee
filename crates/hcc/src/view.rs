//! An opened block: validated once, then read many times.
//!
//! NULLs live here and nowhere else. A block with few keeps its NULL rows in the body, filled with some value; one with many
//! leaves them out ("dense"), and a row's place in the body is the number of non-null rows before it.

use std::ops::Range;

use arrow_array::{ArrayRef, new_null_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result};

use crate::arrays::{pick, with_nulls};
use crate::bitmap::Ranks;
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted};
use crate::encoding;
use crate::encoding::plain::read_bits;
use crate::filter::{Filter, Test};
use crate::kind::{Encoding, Kind, arrow_type};
use crate::layout::{FLAG_DENSE, FLAG_VALIDITY, ROWS_MAX, Reader, VERSION, corrupt};
use crate::order::{datum_bytes, datum_key};
use crate::{Bitmap, Shared};

/// Blocks lie in blocks (runs, sparse) no deeper than this.
const DEPTH_MAX: usize = 2;

/// A column block ready to be read. It shares the bytes it was opened on; cheap to keep in a cache behind an `Arc`.
///
/// Invariants after `open`: every section lies inside the bytes, dictionary codes are below the dictionary's size, string
/// offsets ascend within the data, plain and dictionary text is UTF-8. Compressed text is checked when it is expanded.
#[derive(Debug)]
pub struct BlockView {
    physical: PhysicalType,
    encoding: Encoding,
    rows: usize,
    null_count: usize,
    /// Present only if some rows are NULL and some are not.
    nulls: Option<NullBuffer>,
    /// Present if the body holds the non-null rows only.
    dense: Option<Ranks>,
    /// Absent if every row is NULL.
    body: Option<Box<dyn Encoded>>,
    byte_len: usize,
}

impl BlockView {
    /// Opens a block that refers to no shared section, of `rows` rows of type `physical`. Checks everything that later reads
    /// rely on; damaged bytes are a `Corrupt` error, never a panic.
    pub fn open(bytes: Buffer, physical: PhysicalType, rows: usize) -> Result<BlockView> {
        BlockView::open_with(bytes, physical, rows, &Shared::default())
    }

    /// Opens what [`crate::ColumnEncoder`] wrote, with its column's shared sections.
    pub fn open_with(bytes: Buffer, physical: PhysicalType, rows: usize, shared: &Shared) -> Result<BlockView> {
        BlockView::open_nested(bytes, physical, rows, shared, 0)
    }

    pub(crate) fn open_nested(
        bytes: Buffer,
        physical: PhysicalType,
        rows: usize,
        shared: &Shared,
        depth: usize,
    ) -> Result<BlockView> {
        if depth > DEPTH_MAX || rows > ROWS_MAX {
            return Err(corrupt("too large or too deep"));
        }
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
        let (stored_rows, null_count, section) = (reader.u32()? as usize, reader.u32()? as usize, reader.u32()?);
        let dense = flags & FLAG_DENSE != 0;
        if stored_rows != rows || flags & !(FLAG_VALIDITY | FLAG_DENSE) != 0 || (dense && flags & FLAG_VALIDITY == 0) {
            return Err(corrupt("header does not match its place"));
        }
        let nulls = read_nulls(&mut reader, flags, rows, null_count, encoding)?;
        let mut view = BlockView { physical, encoding, rows, null_count, nulls, dense: None, body: None, byte_len };
        if encoding != Encoding::AllNull {
            view.dense =
                view.nulls.as_ref().filter(|_| dense).map(|nulls| Ranks::new(&Bitmap::from_bits(nulls.inner())));
            let held = if dense { rows - null_count } else { rows };
            let section = (section as usize).checked_sub(1);
            let body = encoding::read(&mut reader, encoding, physical, held, shared, section, depth + 1)?;
            view.byte_len += body.extra_bytes() + view.dense.as_ref().map_or(0, Ranks::byte_len);
            view.body = Some(body);
        }
        Ok(view)
    }

    /// A block's encoding, from its first bytes.
    pub fn encoding_of(head: &[u8]) -> Result<Encoding> {
        match head {
            [VERSION, tag, ..] => Encoding::from_tag(*tag),
            _ => Err(corrupt("unknown version")),
        }
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

    /// Encoded bytes and what was built beside them, which is about what the view costs in memory.
    pub fn byte_len(&self) -> usize {
        self.byte_len
    }

    /// Rows beyond the end read as NULL.
    pub fn is_null(&self, row: usize) -> bool {
        row >= self.rows
            || match &self.nulls {
                Some(nulls) => nulls.is_null(row),
                None => self.body.is_none(),
            }
    }

    /// The value of a row; rows beyond the end are NULL. Compressed strings are appended to `scratch`.
    pub fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        match &self.body {
            Some(body) if !self.is_null(row) => {
                let place = self.dense.as_ref().map_or(row, |ranks| ranks.rank(row));
                body.cell(place, scratch)
            }
            _ => Ok(Cell::Ready(DatumRef::Null)),
        }
    }

    /// The value of a row by itself. `scratch` is cleared first.
    pub fn get<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> Result<DatumRef<'a>> {
        scratch.clear();
        let cell = self.cell(row, scratch)?;
        Ok(cell.resolve(scratch))
    }

    /// The rows of `range` (cut to the block) as an array of [`crate::arrow_type`]'s type.
    pub fn decode(&self, range: Range<usize>) -> Result<ArrayRef> {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        let range = range.start..range.end.max(range.start);
        let rows = range.len();
        let Some(body) = &self.body else { return Ok(new_null_array(&arrow_type(self.physical), rows)) };
        let nulls = self.nulls.as_ref().map(|nulls| nulls.slice(range.start, rows)).filter(|n| n.null_count() > 0);
        let Some(ranks) = &self.dense else { return body.decode(range, nulls) };
        let places = ranks.rank(range.start)..ranks.rank(range.end);
        if places.is_empty() {
            return Ok(new_null_array(&arrow_type(self.physical), rows));
        }
        self.spread(&body.decode(places, None)?, rows, nulls)
    }

    /// Puts values that were kept without NULLs where they belong.
    fn spread(&self, values: &ArrayRef, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let mut next = 0;
        let place = |row: usize| {
            let place = next;
            next += u32::from(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
            // NULL rows after the last value name any place that exists.
            place.min(values.len().saturating_sub(1) as u32)
        };
        let places = (0..rows).map(place).collect();
        with_nulls(pick(values, places)?, nulls)
    }

    /// The rows at these positions, in the order given (ascending is fastest). A position beyond the end is an error.
    pub fn take(&self, rows: &[u32]) -> Result<ArrayRef> {
        if rows.iter().any(|row| *row as usize >= self.rows) {
            return Err(Error::internal("row position beyond the end of its block"));
        }
        if rows.len() == self.rows && rows.iter().enumerate().all(|(i, row)| *row as usize == i) {
            return self.decode(0..self.rows);
        }
        let Some(body) = &self.body else { return Ok(new_null_array(&arrow_type(self.physical), rows.len())) };
        let nulls = self.nulls.as_ref().map(|nulls| {
            NullBuffer::new(BooleanBuffer::collect_bool(rows.len(), |i| nulls.is_valid(rows[i] as usize)))
        });
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let Some(ranks) = &self.dense else { return body.take(rows, nulls) };
        let live = rows.iter().map(|row| *row as usize).filter(|row| !self.is_null(*row));
        let places: Vec<u32> = live.map(|row| ranks.rank(row) as u32).collect();
        if places.is_empty() {
            return Ok(new_null_array(&arrow_type(self.physical), rows.len()));
        }
        self.spread(&body.take(&places, None)?, rows.len(), nulls)
    }

    /// Drops from `selection` the rows that do not match. The selection has the block's length.
    pub fn filter(&self, filter: &Filter, selection: &mut Bitmap) -> Result<()> {
        if selection.len() != self.rows || filter.physical != self.physical {
            return Err(Error::internal("filter or selection was made for another column"));
        }
        self.filter_values(&filter.test, selection)
    }

    pub(crate) fn filter_values(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let validity = self.nulls.as_ref().map(|nulls| Bitmap::from_bits(nulls.inner()));
        let (body, validity) = match (test, &self.body, validity) {
            (Test::IsNull, Some(_), Some(validity)) => {
                selection.and_not_words(validity.words().iter().copied());
                return Ok(());
            }
            (Test::IsNull, None, _) | (Test::IsNotNull, Some(_), None) => return Ok(()),
            (Test::IsNull, Some(_), None) | (_, None, _) => {
                selection.clear_all();
                return Ok(());
            }
            (_, Some(body), validity) => (body, validity),
        };
        if let Some(validity) = &validity {
            selection.and_words(validity.words());
        }
        match test {
            // A comparison with NULL, of any type.
            Test::Ranges(ranges) if ranges.is_empty() => selection.clear_all(),
            Test::IsNull | Test::IsNotNull => {}
            Test::Ranges(_) | Test::Member(_) | Test::Bytes(_) => match (&self.dense, validity) {
                (Some(_), Some(validity)) => return self.filter_dense(body.as_ref(), test, &validity, selection),
                _ => return body.filter(test, selection),
            },
        }
        Ok(())
    }

    /// Moves the selection into the places of the body and back.
    fn filter_dense(&self, body: &dyn Encoded, test: &Test, valid: &Bitmap, selection: &mut Bitmap) -> Result<()> {
        let mut places = Bitmap::all_clear(self.rows - self.null_count);
        for (place, row) in valid.iter().enumerate() {
            if selection.get(row) {
                places.set(place);
            }
        }
        body.filter(test, &mut places)?;
        for (place, row) in valid.iter().enumerate() {
            if !places.get(place) {
                selection.clear(row);
            }
        }
        Ok(())
    }

    /// The rows of `range` that hold `value`, given that the rows of `range` ascend. `None` where the block cannot tell:
    /// it holds NULLs, its encoding has no cheap single rows, or the value is NULL. A value of another type than the
    /// column's is an internal error.
    pub fn equal_range(&self, range: Range<usize>, value: &Datum) -> Result<Option<Range<usize>>> {
        if Kind::of(self.physical) == Kind::Var {
            return match datum_bytes(value, self.physical)? {
                Some(bytes) => self.equal_values(range, &Wanted::Bytes(bytes)),
                None => Ok(None),
            };
        }
        match datum_key(value, self.physical)? {
            Some(key) => self.equal_values(range, &Wanted::Key(key)),
            None => Ok(None),
        }
    }

    /// The first row of `range`, whose rows ascend, that is not below `bytes`; the range's end if all are. `None` where the block
    /// cannot tell: it holds NULLs or anything but text and bytes, or its encoding has no cheap single rows.
    pub fn at_least(&self, range: Range<usize>, bytes: &[u8]) -> Result<Option<usize>> {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        match &self.body {
            Some(body)
                if matches!(self.physical, PhysicalType::Text | PhysicalType::Bytes)
                    && self.nulls.is_none()
                    && range.start <= range.end =>
            {
                body.at_least(range, bytes)
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn equal_values(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let range = range.start.min(self.rows)..range.end.min(self.rows);
        match &self.body {
            Some(body) if self.nulls.is_none() && range.start <= range.end => body.equal_range(range, wanted),
            _ => Ok(None),
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
    let nulls = NullBuffer::new(read_bits(reader, rows)?);
    if encoding == Encoding::AllNull || null_count == 0 || null_count == rows || nulls.null_count() != null_count {
        return Err(corrupt("validity bitmap does not match the number of NULLs"));
    }
    Ok(Some(nulls))
}
