//! Strings compressed one by one with a symbol table.
//!
//! ```text
//! block: expanded length u64 | length u64 | spans | codes
//! shared section: count u64 | symbols of 8 bytes | lengths of 1 byte
//! ```
//! A code of one byte stands for up to eight; 255 escapes a byte that has no symbol. Boncz, Neumann, Leis, "FSST: Fast
//! Random Access String Compression", VLDB 2020. A row expands alone; comparisons and prefixes expand no more than they
//! must. Quick to write, so the choice for young text.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use fsst::Compressor;
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{expanded_array, is_dense, picked_array};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{BytesTest, Test};
use crate::filtering::{filter_emptiness, filter_strings, retain_expanded, search_all};
use crate::layout::{Reader, Writer, corrupt};
use crate::offsets::{Spans, span_bytes, write_spans};
use crate::search::{partition, search};
use crate::symbols::SymbolTable;

/// Compressed strings, one after the other, and where each ends.
pub(crate) struct Compressed {
    pub(crate) codes: Vec<u8>,
    pub(crate) ends: Vec<u64>,
}

pub(crate) fn compress(compressor: &Compressor, values: &[&[u8]]) -> Compressed {
    let (mut codes, mut ends) = (Vec::new(), Vec::new());
    compressor.compress_bulk_into::<{ Compressor::DEFAULT_BULK_LANES }>(values, &mut codes, &mut ends);
    Compressed { codes, ends }
}

/// Bytes of the body.
pub(crate) fn size(compressed: &Compressed) -> usize {
    16 + span_bytes(&compressed.ends) + compressed.codes.len()
}

pub(crate) fn write(writer: &mut Writer, compressed: &Compressed, expanded_len: usize) {
    writer.u64(expanded_len as u64);
    writer.u64(compressed.codes.len() as u64);
    write_spans(writer, &compressed.ends);
    writer.raw(&compressed.codes);
}

pub(crate) fn read(
    reader: &mut Reader,
    physical: PhysicalType,
    rows: usize,
    table: Arc<SymbolTable>,
) -> Result<FsstStrings> {
    let expanded_len = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let len = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let spans = Spans::read(reader, rows, len)?;
    let codes = reader.raw(len)?;
    // A code stands for eight bytes at most, so a declared length beyond that is damage, not a reason to allocate.
    if expanded_len > len * 8 {
        return Err(corrupt("expanded length is beyond what the codes can give"));
    }
    Ok(FsstStrings { physical, rows, table, spans, codes, expanded_len })
}

#[derive(Debug)]
pub(crate) struct FsstStrings {
    physical: PhysicalType,
    rows: usize,
    table: Arc<SymbolTable>,
    spans: Spans,
    codes: Buffer,
    /// Length of all strings expanded.
    expanded_len: usize,
}

impl FsstStrings {
    fn codes(&self, row: usize) -> &[u8] {
        let (start, end) = self.spans.bounds(row);
        self.codes.as_slice().get(start..end).unwrap_or(&[])
    }

    /// The strings of `range` one after the other, and their bounds.
    fn expand(&self, range: Range<usize>) -> Result<(Buffer, Vec<usize>)> {
        let starts = self.spans.decode(range.clone());
        let whole = range == (0..self.rows);
        let codes_len = starts.last().copied().unwrap_or(0) - starts.first().copied().unwrap_or(0);
        let capacity = if whole { self.expanded_len } else { self.expanded_len.min(codes_len * 8) };
        let mut data = vec![0; capacity + 8];
        let mut bounds = Vec::with_capacity(starts.len());
        let mut at = 0;
        bounds.push(0);
        for pair in starts.windows(2) {
            if let [start, end] = *pair {
                at = self.table.expand(self.codes.as_slice().get(start..end).unwrap_or(&[]), &mut data, at)?;
                bounds.push(at);
            }
        }
        if whole && at != self.expanded_len {
            return Err(corrupt("compressed strings do not have the declared length"));
        }
        data.truncate(at);
        Ok((Buffer::from_vec(data), bounds))
    }
}

impl Encoded for FsstStrings {
    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        let start = scratch.len();
        self.table.append(self.codes(row), scratch)?;
        Cell::scratch(scratch, start, self.physical)
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (data, bounds) = self.expand(range)?;
        expanded_array(data, &bounds, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        if is_dense(rows.len(), self.rows) {
            let (data, bounds) = self.expand(0..self.rows)?;
            return picked_array(data, &bounds, rows, nulls, self.physical);
        }
        let codes_len: usize = rows.iter().map(|row| self.codes(*row as usize).len()).sum();
        let mut data = Vec::new();
        data.try_reserve(codes_len * 3).map_err(|_| Error::internal("no memory to expand strings"))?;
        let mut bounds = Vec::with_capacity(rows.len() + 1);
        bounds.push(0);
        for row in rows {
            self.table.append(self.codes(*row as usize), &mut data)?;
            bounds.push(data.len());
        }
        expanded_array(Buffer::from_vec(data), &bounds, nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Bytes(test) = test else { return Err(misplaced("numbers")) };
        let table: &SymbolTable = &self.table;
        if let Some(answers) = test.by_emptiness().filter(|_| self.physical != PhysicalType::Numeric) {
            return filter_emptiness(&self.spans, selection, answers);
        }
        let append = |row: usize, out: &mut Vec<u8>| table.append(self.codes(row), out);
        let codes = self.codes.as_slice();
        match test {
            // A numeric's display scale lies at the end of its codes, out of reach of a comparison from the front.
            _ if self.physical == PhysicalType::Numeric => retain_expanded(selection, test, self.physical, append),
            BytesTest::Compare(op, literal) => {
                filter_strings(&self.spans, codes, selection, |codes| op.accepts(table.compare(codes, literal)))
            }
            BytesTest::StartsWith(prefix) => {
                filter_strings(&self.spans, codes, selection, |codes| table.starts_with(codes, prefix))
            }
            BytesTest::Contains(finder) if selection.count() * 2 > self.rows => {
                let (data, bounds) = self.expand(0..self.rows)?;
                search_all(data.as_slice(), &bounds, finder, selection);
                Ok(())
            }
            BytesTest::In(_) | BytesTest::Contains(_) => retain_expanded(selection, test, self.physical, append),
        }
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Bytes(wanted) = wanted else {
            return Err(Error::internal("a number was looked for among strings"));
        };
        // As above: a numeric's scale cannot be told from its digits while compressed.
        if self.physical == PhysicalType::Numeric {
            return Ok(None);
        }
        Ok(Some(search(range, |row| self.table.compare(self.codes(row), wanted))))
    }

    fn at_least(&self, range: Range<usize>, bytes: &[u8]) -> Result<Option<usize>> {
        Ok(Some(partition(range, |row| self.table.compare(self.codes(row), bytes).is_lt())))
    }
}
