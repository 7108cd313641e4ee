//! Strings of one length: the bytes that all of them share once, the others row by row.
//!
//! ```text
//! length u64 | holes u64 | stencil: the shared bytes, 0 in holes | places of holes, u8 each | rows * holes bytes
//! ```
//! For what is written in columns: entries of an index (a tag, a number, a row's key), identifiers, digests, dates as text.
//! Neighbours in order differ in their last bytes only, so little is left of each, and any row is put together, or compared,
//! in a few nanoseconds: no other compressed form of strings is searched as fast. The idea is that of a page's common prefix
//! (Graefe, "Modern B-Tree Techniques", 2011, 3.5), with the shared bytes anywhere.

use std::cmp::Ordering;
use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::expanded_array;
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::{BytesTest, Test};
use crate::filtering::{retain_expanded, search_all};
use crate::layout::{Reader, Writer, corrupt};
use crate::order::comparable_bytes;
use crate::search::{partition, search};

/// Longer strings are hardly ever of one length.
const LENGTH_MAX: usize = 64;
/// A hole stands for no more bytes than this: what may be allocated for a block follows from its size.
const EXPANSION_MAX: usize = 16;

/// What strings of one length have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stencil {
    /// 0 in holes.
    shared: Vec<u8>,
    holes: Vec<u8>,
}

impl Stencil {
    /// `None`: the strings have several lengths, or too much in common, or nothing.
    pub(crate) fn of(values: &[&[u8]]) -> Option<Stencil> {
        let (first, rest) = values.split_first()?;
        if first.is_empty() || first.len() > LENGTH_MAX || rest.iter().any(|value| value.len() != first.len()) {
            return None;
        }
        let mut differs = vec![0; first.len()];
        for value in rest {
            for ((differs, byte), shared) in differs.iter_mut().zip(*value).zip(*first) {
                *differs |= byte ^ shared;
            }
        }
        let holes: Vec<u8> = (0..first.len() as u8).filter(|at| differs[usize::from(*at)] != 0).collect();
        if holes.is_empty() || holes.len() == first.len() || holes.len() * EXPANSION_MAX < first.len() {
            return None;
        }
        let shared = first.iter().zip(&differs).map(|(byte, differs)| if *differs == 0 { *byte } else { 0 });
        Some(Stencil { shared: shared.collect(), holes })
    }

    /// Bytes of the body.
    pub(crate) fn size(&self, rows: usize) -> usize {
        16 + self.shared.len() + self.holes.len() + rows * self.holes.len()
    }

    pub(crate) fn write(&self, writer: &mut Writer, values: &[&[u8]]) {
        writer.u64(self.shared.len() as u64);
        writer.u64(self.holes.len() as u64);
        writer.raw(&self.shared);
        writer.raw(&self.holes);
        let mut row = vec![0; self.holes.len()];
        for value in values {
            row.iter_mut().zip(&self.holes).for_each(|(to, at)| *to = value[usize::from(*at)]);
            writer.raw(&row);
        }
    }
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<StencilStrings> {
    let length = reader.count(LENGTH_MAX, "strings of one length are too long")?;
    let holes = reader.count(length, "there are more holes than bytes")?;
    if holes * EXPANSION_MAX < length {
        return Err(corrupt("strings of one length share too much"));
    }
    let shared = reader.raw(length)?.to_vec();
    let holes = reader.raw(holes)?.to_vec();
    let ascending = holes.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if !ascending || holes.last().is_some_and(|last| usize::from(*last) >= length) {
        return Err(corrupt("holes are out of order"));
    }
    let bytes = rows.checked_mul(holes.len()).ok_or_else(|| corrupt("too many rows"))?;
    let data = reader.raw(bytes)?;
    Ok(StencilStrings { physical, rows, stencil: Stencil { shared, holes }, data })
}

#[derive(Debug)]
pub(crate) struct StencilStrings {
    physical: PhysicalType,
    rows: usize,
    stencil: Stencil,
    data: Buffer,
}

impl StencilStrings {
    fn length(&self) -> usize {
        self.stencil.shared.len()
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        let (start, holes) = (out.len(), self.stencil.holes.len());
        out.extend_from_slice(&self.stencil.shared);
        let own = self.data.as_slice().get(row * holes..(row + 1) * holes).unwrap_or(&[]);
        let string = out.get_mut(start..).unwrap_or(&mut []);
        for (at, byte) in self.stencil.holes.iter().zip(own) {
            if let Some(to) = string.get_mut(usize::from(*at)) {
                *to = *byte;
            }
        }
    }

    /// The strings of rows one after the other, and their bounds.
    fn expand(&self, rows: impl ExactSizeIterator<Item = usize>) -> (Buffer, Vec<usize>) {
        let (count, length) = (rows.len(), self.length());
        let mut data = Vec::with_capacity(count * length);
        rows.for_each(|row| self.append(row, &mut data));
        (Buffer::from_vec(data), (0..=count).map(|at| at * length).collect())
    }

    /// What a string is compared with: of the shared bytes once for all rows.
    fn sought(&self, other: &[u8]) -> Sought {
        let mut sought = Sought { bytes: [0; LENGTH_MAX], holes: 0, rest: self.length().cmp(&other.len()) };
        let mut holes = self.stencil.holes.iter().map(|hole| usize::from(*hole)).peekable();
        for (at, (shared, byte)) in self.stencil.shared.iter().zip(other).enumerate() {
            if holes.next_if_eq(&at).is_none() {
                if shared != byte {
                    sought.rest = shared.cmp(byte);
                    break;
                }
            } else if let Some(to) = sought.bytes.get_mut(sought.holes) {
                *to = *byte;
                sought.holes += 1;
            }
        }
        sought
    }

    /// A row against what is sought.
    fn compare(&self, row: usize, sought: &Sought) -> Ordering {
        let (start, wanted) = (row * self.stencil.holes.len(), sought.bytes.get(..sought.holes).unwrap_or(&[]));
        let own = self.data.as_slice().get(start..start + wanted.len()).unwrap_or(&[]);
        own.cmp(wanted).then(sought.rest)
    }
}

/// A string as rows see it that have the shared bytes.
struct Sought {
    /// Its bytes in the holes up to the first shared byte that it has not.
    bytes: [u8; LENGTH_MAX],
    holes: usize,
    /// How rows compare that have these bytes.
    rest: Ordering,
}

impl Encoded for StencilStrings {
    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        let start = scratch.len();
        self.append(row, scratch);
        Cell::scratch(scratch, start, self.physical)
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (data, bounds) = self.expand(range);
        expanded_array(data, &bounds, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (data, bounds) = self.expand(rows.iter().map(|row| *row as usize));
        expanded_array(data, &bounds, nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let Test::Bytes(test) = test else { return Err(misplaced("numbers")) };
        match test {
            BytesTest::Compare(op, literal) if self.physical != PhysicalType::Numeric => {
                let literal = self.sought(literal);
                selection.retain(|row| Ok(op.accepts(self.compare(row, &literal))))
            }
            BytesTest::Contains(finder) if selection.count() * 2 > self.rows => {
                let (data, bounds) = self.expand(0..self.rows);
                search_all(data.as_slice(), &bounds, finder, selection);
                Ok(())
            }
            test => retain_expanded(selection, test, self.physical, |row, out| {
                self.append(row, out);
                Ok(())
            }),
        }
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Bytes(wanted) = wanted else {
            return Err(Error::internal("a number was looked for among strings"));
        };
        if self.physical == PhysicalType::Numeric {
            // What is compared is not how a numeric begins.
            return Ok(Some(search(range, |row| {
                let mut string = Vec::with_capacity(self.length());
                self.append(row, &mut string);
                comparable_bytes(&string, self.physical).cmp(wanted)
            })));
        }
        let wanted = self.sought(wanted);
        Ok(Some(search(range, |row| self.compare(row, &wanted))))
    }

    fn at_least(&self, range: Range<usize>, bytes: &[u8]) -> Result<Option<usize>> {
        let sought = self.sought(bytes);
        Ok(Some(partition(range, |row| self.compare(row, &sought).is_lt())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_rows_share_is_written_once() {
        let stencil = Stencil::of(&[b"2026-11-20", b"2026-11-21", b"2026-12-01"]).unwrap();
        assert_eq!(stencil, Stencil { shared: b"2026-1\0-\0\0".to_vec(), holes: vec![6, 8, 9] });
        assert_eq!(Stencil::of(&[b"ab", b"abc"]), None, "several lengths");
        assert_eq!(Stencil::of(&[b"ab", b"ab"]), None, "nothing differs");
        assert_eq!(Stencil::of(&[b"ab", b"ba"]), None, "everything differs");
        assert_eq!(Stencil::of(&[&[b'a'; 65], &[b'b'; 65]]), None, "too long");
        assert_eq!(Stencil::of(&[]), None);
        let mut one = [b'a'; 17];
        one[3] = b'b';
        assert_eq!(Stencil::of(&[&[b'a'; 17], &one]), None, "a byte of seventeen");
    }

    #[test]
    fn rows_compare_as_their_strings_do() {
        let rows: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![1, n / 9, 7, n % 9, 9]).collect();
        let values: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let stencil = Stencil::of(&values).unwrap();
        assert_eq!(stencil.holes, [1, 3]);
        let data: Vec<u8> = rows.iter().flat_map(|row| [row[1], row[3]]).collect();
        let (physical, data) = (PhysicalType::Bytes, Buffer::from_vec(data));
        let strings = StencilStrings { physical, rows: rows.len(), stencil, data };
        let mut wanted: Vec<Vec<u8>> = vec![vec![], vec![0; 9], vec![1], vec![2], vec![255; 6]];
        for row in &rows {
            for at in 0..=row.len() {
                for byte in [0, 1, 5, 7, 8, 255] {
                    wanted.push([&row[..at], &[byte]].concat());
                    wanted.push([&row[..at], &[byte], row.get(at + 1..).unwrap_or(&[])].concat());
                }
                wanted.push(row[..at].to_vec());
            }
        }
        for wanted in &wanted {
            let sought = strings.sought(wanted);
            for (at, row) in rows.iter().enumerate() {
                assert_eq!(strings.compare(at, &sought), row.cmp(wanted), "{row:?} and {wanted:?}");
            }
            let at_least = rows.iter().position(|row| row >= wanted).unwrap_or(rows.len());
            assert_eq!(strings.at_least(0..rows.len(), wanted).unwrap(), Some(at_least), "{wanted:?}");
        }
    }
}
