//! Runs of equal values, of any type.
//!
//! ```text
//! runs u64 | spans: where each run ends | length u64 | padding | a block of one value a run
//! ```
//! The inner block has an encoding of its own (nesting pays: the values of runs are dictionary codes or short numbers), and
//! so do the ends, which lie close to a line. Opening counts the runs before every 64 rows, so a row
//! finds its run in O(1); a filter looks at each run once. Abadi,
//! Madden, Ferreira, "Integrating Compression and Execution in Column-Oriented Database Systems", SIGMOD 2006; nested as in
//! BtrBlocks (Kuschewski et al., SIGMOD 2023).

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use heliosdb_types::{PhysicalType, Result};

use crate::arrays::{pick, with_nulls};
use crate::bitmap::Ranks;
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted};
use crate::filter::Test;
use crate::layout::{Reader, Writer, corrupt};
use crate::offsets::{Spans, span_bytes, write_spans};
use crate::view::BlockView;
use crate::{Bitmap, Shared};

#[derive(Debug)]
pub(crate) struct Runs {
    ends: Spans,
    /// The last row of each run is set: how many are before a row is the number of its run.
    ranks: Ranks,
    runs: usize,
    rows: usize,
    inner: Box<BlockView>,
}

/// Bytes of the body around an inner block of this length.
pub(crate) fn size(ends: &[u64], inner_len: usize) -> usize {
    span_bytes(ends) + 16 + inner_len
}

pub(crate) fn write(writer: &mut Writer, ends: &[u64], inner: &[u8]) {
    writer.u64(ends.len() as u64);
    write_spans(writer, ends);
    writer.u64(inner.len() as u64);
    writer.align();
    writer.raw(inner);
}

pub(crate) fn read(
    reader: &mut Reader,
    physical: PhysicalType,
    rows: usize,
    shared: &Shared,
    depth: usize,
) -> Result<Runs> {
    let runs = reader.count(rows, "more runs than rows")?;
    let ends = Spans::read(reader, runs, rows)?;
    let len = reader.count(u32::MAX as usize, "a nested block is too long")?;
    reader.align();
    let inner = BlockView::open_nested(reader.raw(len)?, physical, runs, shared, depth)?;
    if runs == 0 || inner.null_count() > 0 {
        return Err(corrupt("runs without values"));
    }
    let bounds = ends.decode(0..runs);
    if !bounds.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(corrupt("a run without rows"));
    }
    let mut lasts = Bitmap::all_clear(rows);
    bounds.iter().skip(1).for_each(|end| lasts.set(end - 1));
    Ok(Runs { ends, ranks: Ranks::new(&lasts), runs, rows, inner: Box::new(inner) })
}

impl Runs {
    /// The run that holds a row.
    fn run_of(&self, row: usize) -> usize {
        self.ranks.rank(row)
    }

    /// The run of each row of a range, counted from its first.
    fn places(&self, range: Range<usize>) -> (Range<usize>, Vec<u32>) {
        let mut places = Vec::with_capacity(range.len());
        if range.is_empty() {
            return (0..0, places);
        }
        let first = self.run_of(range.start);
        let last = self.run_of(range.end - 1);
        let bounds = self.ends.decode(first..last + 1);
        for (place, pair) in bounds.windows(2).enumerate() {
            let (start, end) = (pair[0].max(range.start), pair[1].min(range.end));
            places.resize(places.len() + end.saturating_sub(start), place as u32);
        }
        (first..last + 1, places)
    }

    /// Sets the rows of the runs that are set.
    fn spread(&self, runs: &Bitmap) -> Bitmap {
        let mut rows = Bitmap::all_clear(self.rows);
        let bounds = self.ends.decode(0..self.runs);
        for run in runs.iter() {
            if let Some(&[start, end]) = bounds.get(run..run + 2) {
                rows.set_range(start..end);
            }
        }
        rows
    }
}

impl Encoded for Runs {
    fn extra_bytes(&self) -> usize {
        self.ranks.byte_len()
    }

    fn cell<'a>(&'a self, row: usize, scratch: &mut Vec<u8>) -> Result<Cell<'a>> {
        self.inner.cell(self.run_of(row), scratch)
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (runs, places) = self.places(range);
        with_nulls(pick(&self.inner.decode(runs)?, places)?, nulls)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let places: Vec<u32> = rows.iter().map(|row| self.run_of(*row as usize) as u32).collect();
        with_nulls(self.inner.take(&places)?, nulls)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let mut runs = Bitmap::all_set(self.runs);
        self.inner.filter_values(test, &mut runs)?;
        if !runs.all() {
            selection.and(&self.spread(&runs));
        }
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        if range.is_empty() {
            return Ok(Some(range));
        }
        let runs = self.run_of(range.start)..self.run_of(range.end - 1) + 1;
        let Some(found) = self.inner.equal_values(runs, wanted)? else { return Ok(None) };
        let start = if found.start >= self.runs { self.rows } else { self.ends.bounds(found.start).0 };
        let end = if found.is_empty() { start } else { self.ends.bounds(found.end - 1).1 };
        let start = start.clamp(range.start, range.end);
        Ok(Some(start..end.clamp(start, range.end)))
    }
}
