//! Strings as codes of phrases that all blocks of a column share.
//!
//! ```text
//! block: expanded length u64 | codes u64 | spans: where each row's codes end | packed codes of 12 bits
//! shared section: count u64 | lengths of 1 byte | phrases        (see `phrases.rs`)
//! ```
//! A dozen bits stand for up to sixteen bytes, so text of a limited vocabulary takes about half of what FSST takes, below
//! zstd's best, while any row expands alone at a few nanoseconds a phrase. Slower to write than FSST, so the choice for
//! settled text. Comparisons and prefixes expand no more than they must. Gargiulo, Venturini, "OnPair: Short Strings
//! Compression for Fast Random Access", 2025.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{expanded_array, is_dense, picked_array};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{BytesTest, Test};
use crate::filtering::{filter_emptiness, retain_expanded, search_all};
use crate::layout::{Reader, Writer, corrupt};
use crate::offsets::{Spans, span_bytes, write_spans};
use crate::order::comparable_bytes;
use crate::packed::{Packed, packed_bytes, write_packed};
use crate::phrases::{CODE_BITS, Cutter, PHRASE_MAX, Padded, PhraseTable};
use crate::search::search;

/// Codes of strings, one after the other, and where each string's end.
pub(crate) struct Cut {
    pub(crate) codes: Vec<u16>,
    pub(crate) ends: Vec<u64>,
}

pub(crate) fn cut(cutter: &Cutter, values: &[&[u8]]) -> Cut {
    let mut cut = Cut { codes: Vec::new(), ends: Vec::with_capacity(values.len()) };
    let mut padded = Padded::default();
    for value in values {
        cutter.cut(value, &mut padded, &mut cut.codes);
        cut.ends.push(cut.codes.len() as u64);
    }
    cut
}

/// Bytes of the body.
pub(crate) fn size(cut: &Cut) -> usize {
    32 + span_bytes(&cut.ends) + packed_bytes(cut.codes.len(), CODE_BITS)
}

pub(crate) fn write(writer: &mut Writer, cut: &Cut, expanded_len: usize) {
    writer.u64(expanded_len as u64);
    writer.u64(cut.codes.len() as u64);
    write_spans(writer, &cut.ends);
    let widest = (1 << CODE_BITS) - 1;
    write_packed(writer, cut.codes.len(), widest, |at| u64::from(cut.codes[at]));
}

pub(crate) fn read(
    reader: &mut Reader,
    physical: PhysicalType,
    rows: usize,
    table: Arc<PhraseTable>,
) -> Result<PhraseStrings> {
    let expanded_len = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let count = reader.count(i32::MAX as usize, "strings are longer than 2 GiB")?;
    let spans = Spans::read(reader, rows, count)?;
    let codes = Packed::read(reader, count)?;
    // Codes of a fixed width are backed by bytes, and each stands for sixteen at most: a bound on what is allocated.
    if codes.width() != usize::from(CODE_BITS) || expanded_len > count * PHRASE_MAX {
        return Err(corrupt("phrases are out of range"));
    }
    Ok(PhraseStrings { physical, rows, table, spans, codes, expanded_len })
}

#[derive(Debug)]
pub(crate) struct PhraseStrings {
    physical: PhysicalType,
    rows: usize,
    table: Arc<PhraseTable>,
    spans: Spans,
    codes: Packed,
    expanded_len: usize,
}

impl PhraseStrings {
    fn append(&self, row: usize, out: &mut Vec<u8>) {
        let (start, end) = self.spans.bounds(row);
        self.codes.groups(start..end, |codes| {
            let mut at = out.len();
            out.resize(at + codes.len() * PHRASE_MAX, 0);
            for code in codes {
                at = self.table.put(*code as u16, out, at).unwrap_or(at);
            }
            out.truncate(at);
        });
    }

    /// The strings of `range` one after the other, and their bounds.
    fn expand(&self, range: Range<usize>) -> Result<(Buffer, Vec<usize>)> {
        let whole = range == (0..self.rows);
        let starts = self.spans.decode(range);
        let (from, to) = (starts.first().copied().unwrap_or(0), starts.last().copied().unwrap_or(0));
        let capacity = if whole { self.expanded_len } else { self.expanded_len.min((to - from) * PHRASE_MAX) };
        let mut data = vec![0; capacity + PHRASE_MAX];
        let mut bounds = Vec::with_capacity(starts.len());
        bounds.push(0);
        let mut ends = starts.iter().skip(1).map(|end| end - from).peekable();
        let (mut at, mut done, mut short) = (0, 0, false);
        // Empty strings at the front end before any code.
        while ends.next_if(|end| *end == 0).is_some() {
            bounds.push(0);
        }
        self.codes.slices32(from..to, |codes| {
            for code in codes {
                match self.table.put(*code as u16, &mut data, at) {
                    Some(end) => at = end,
                    None => short = true,
                }
                done += 1;
                while ends.next_if(|end| *end == done).is_some() {
                    bounds.push(at);
                }
            }
        });
        if short || at > capacity || (whole && at != self.expanded_len) {
            return Err(corrupt("phrases do not have the declared length"));
        }
        data.truncate(at);
        Ok((Buffer::from_vec(data), bounds))
    }

    /// Compares a row with `other`, expanding no more than their common prefix.
    fn compare(&self, row: usize, mut other: &[u8]) -> Ordering {
        let (start, end) = self.spans.bounds(row);
        for at in start..end {
            let (bytes, len) = self.table.get(self.codes.get(at) as u16);
            let piece = bytes.get(..len).unwrap_or(&[]);
            let common = piece.len().min(other.len());
            let (head, rest) = other.split_at(common);
            match piece.get(..common).unwrap_or(&[]).cmp(head) {
                Ordering::Equal if piece.len() > common => return Ordering::Greater,
                Ordering::Equal => other = rest,
                unequal => return unequal,
            }
        }
        if other.is_empty() { Ordering::Equal } else { Ordering::Less }
    }

    fn starts_with(&self, row: usize, mut prefix: &[u8]) -> bool {
        let (start, end) = self.spans.bounds(row);
        for at in start..end {
            if prefix.is_empty() {
                break;
            }
            let (bytes, len) = self.table.get(self.codes.get(at) as u16);
            let piece = bytes.get(..len).unwrap_or(&[]);
            let common = piece.len().min(prefix.len());
            if piece.get(..common) != prefix.get(..common) {
                return false;
            }
            prefix = prefix.get(common..).unwrap_or(&[]);
        }
        prefix.is_empty()
    }
}

impl Encoded for PhraseStrings {
    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        let start = scratch.len();
        self.append(row, scratch);
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
        let mut data = Vec::new();
        let mut bounds = Vec::with_capacity(rows.len() + 1);
        bounds.push(0);
        for row in rows {
            self.append(*row as usize, &mut data);
            bounds.push(data.len());
        }
        expanded_array(Buffer::from_vec(data), &bounds, nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Bytes(test) = test else { return Err(misplaced("numbers")) };
        if let Some(answers) = test.by_emptiness().filter(|_| self.physical != PhysicalType::Numeric) {
            return filter_emptiness(&self.spans, selection, answers);
        }
        // Expanding the block costs a few nanoseconds a row, finding one row in it many more.
        if selection.count() * 8 > self.rows {
            let (data, bounds) = self.expand(0..self.rows)?;
            if let BytesTest::Contains(finder) = test {
                search_all(data.as_slice(), &bounds, finder, selection);
                return Ok(());
            }
            return selection.retain(|row| {
                let value = match bounds.get(row..row + 2) {
                    Some(&[start, end]) => data.as_slice().get(start..end).unwrap_or(&[]),
                    _ => &[],
                };
                Ok(test.matches(comparable_bytes(value, self.physical)))
            });
        }
        match test {
            BytesTest::Compare(op, literal) if self.physical != PhysicalType::Numeric => {
                selection.retain(|row| Ok(op.accepts(self.compare(row, literal))))
            }
            BytesTest::StartsWith(prefix) => selection.retain(|row| Ok(self.starts_with(row, prefix))),
            _ => retain_expanded(selection, test, self.physical, |row, out| {
                self.append(row, out);
                Ok(())
            }),
        }
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Bytes(wanted) = wanted else {
            return Err(Error::internal("a number was looked for among strings"));
        };
        // A numeric's scale cannot be told from its digits while compressed.
        if self.physical == PhysicalType::Numeric {
            return Ok(None);
        }
        Ok(Some(search(range, |row| self.compare(row, wanted))))
    }
}
