//! Where each string (or run) of a block starts, in one of two forms, whichever is smaller.
//!
//! *Line*: distances from a straight line, bit-packed. Strings of similar lengths end near `row * average`, so a distance
//! takes a few bits where an offset takes seventeen. O(1). *Lengths*: bit-packed lengths, and the offset of every sixteenth
//! string as a line. A read adds up to fifteen lengths, and a length takes fewer bits than a distance when lengths vary but
//! none is extreme.
//!
//! ```text
//! form u64 | line: slope u64 | lowest i64 | packed distances (rows + 1)
//!          | lengths: packed lengths (rows) | line of every 16th offset
//! ```

use heliosdb_types::Result;

use crate::layout::{Reader, Writer, corrupt};
use crate::packed::{self, Packed, packed_bytes, width_of, write_packed};

const SLOPE_BITS: u32 = 16;

fn predicted(slope: u64, index: usize) -> i64 {
    ((u128::from(slope) * index as u128) >> SLOPE_BITS) as i64
}

struct Line {
    slope: u64,
    lowest: i64,
    max: u64,
}

fn fit(ends: &[u64]) -> Line {
    let rows = ends.len().max(1) as u64;
    let slope = (ends.last().copied().unwrap_or(0) << SLOPE_BITS) / rows;
    let (mut low, mut high) = (0_i64, 0_i64);
    for (i, end) in ends.iter().enumerate() {
        let distance = *end as i64 - predicted(slope, i + 1);
        (low, high) = (low.min(distance), high.max(distance));
    }
    Line { slope, lowest: low, max: (high - low) as u64 }
}

fn line_bytes(ends: &[u64]) -> usize {
    32 + packed_bytes(ends.len() + 1, width_of(fit(ends).max))
}

/// Strings from one offset kept to the next; a part of a packed group.
const GROUP: usize = 16;

/// Ends of groups, and the longest string.
fn groups(ends: &[u64]) -> (Vec<u64>, u64) {
    let anchors = ends.chunks(GROUP).filter_map(|group| group.last().copied()).collect();
    let mut last = 0;
    let longest = ends.iter().map(|end| end - std::mem::replace(&mut last, *end)).max();
    (anchors, longest.unwrap_or(0))
}

/// Bytes the spans of these ends will take.
pub(crate) fn span_bytes(ends: &[u64]) -> usize {
    let (anchors, longest) = groups(ends);
    16 + line_bytes(ends).min(line_bytes(&anchors) + 16 + packed_bytes(ends.len(), width_of(longest)))
}

/// Writes the spans of strings that end at `ends` (the first starts at 0).
pub(crate) fn write_spans(writer: &mut Writer, ends: &[u64]) {
    let (anchors, longest) = groups(ends);
    // Within a tenth, take the form that is read in one step.
    let lengths = line_bytes(&anchors) + 16 + packed_bytes(ends.len(), width_of(longest));
    let use_lengths = lengths + lengths / 10 < line_bytes(ends);
    writer.u64(u64::from(use_lengths));
    writer.align();
    if !use_lengths {
        return write_offsets(writer, ends);
    }
    write_packed(writer, ends.len(), longest, |row| {
        let start = if row == 0 { 0 } else { ends[row - 1] };
        ends[row] - start
    });
    write_offsets(writer, &anchors);
}

/// Spans of an opened block. Invariant: ascending, the last ends at the length of the data.
#[derive(Debug)]
pub(crate) enum Spans {
    Line(Offsets),
    Lengths { lengths: Packed, anchors: Offsets },
}

impl Spans {
    pub(crate) fn read(reader: &mut Reader, rows: usize, data_len: usize) -> Result<Spans> {
        let form = reader.u64()?;
        reader.align();
        match form {
            0 => Ok(Spans::Line(Offsets::read(reader, rows, data_len)?)),
            1 => {
                let lengths = Packed::read(reader, rows)?;
                if lengths.width() > 31 {
                    return Err(corrupt("string lengths are out of range"));
                }
                let anchors = Offsets::read(reader, rows.div_ceil(GROUP), data_len)?;
                let ends = anchors.decode(0..rows.div_ceil(GROUP));
                let (mut row, mut at, mut wrong) = (0, 0_usize, false);
                lengths.slices32(0..rows, |values| {
                    for length in values {
                        wrong |= row % GROUP == 0 && ends.get(row / GROUP) != Some(&at);
                        at += *length as usize;
                        row += 1;
                    }
                });
                if wrong || at != data_len {
                    return Err(corrupt("string lengths do not add up to their offsets"));
                }
                Ok(Spans::Lengths { lengths, anchors })
            }
            _ => Err(corrupt("string offsets have an unknown form")),
        }
    }

    /// Start and end of a row's bytes.
    pub(crate) fn bounds(&self, row: usize) -> (usize, usize) {
        match self {
            Spans::Line(offsets) => offsets.bounds(row),
            Spans::Lengths { lengths, anchors } => {
                let group = lengths.group(row / packed::GROUP);
                let at = row % packed::GROUP;
                let before: u64 = group.iter().take(at).skip(at / GROUP * GROUP).sum();
                let start = anchors.at(row / GROUP) + before as usize;
                (start, start + group.get(at).map_or(0, |length| *length as usize))
            }
        }
    }

    /// Where `range.start ..= range.end` start: one more than there are rows.
    pub(crate) fn decode(&self, range: std::ops::Range<usize>) -> Vec<usize> {
        match self {
            Spans::Line(offsets) => offsets.decode(range),
            Spans::Lengths { lengths, .. } => {
                let mut out = vec![self.bounds(range.start).0; range.len() + 1];
                let mut last = self.bounds(range.start).0;
                let mut slots = out.iter_mut().skip(1);
                lengths.slices32(range, |values| {
                    let mut at = last;
                    for (length, slot) in values.iter().zip(slots.by_ref()) {
                        at += *length as usize;
                        *slot = at;
                    }
                    last = at;
                });
                out
            }
        }
    }
}

/// Writes the line of strings that end at `ends` (the first starts at 0).
fn write_offsets(writer: &mut Writer, ends: &[u64]) {
    let line = fit(ends);
    writer.u64(line.slope);
    writer.u64(line.lowest as u64);
    write_packed(writer, ends.len() + 1, line.max, |i| {
        let offset = if i == 0 { 0 } else { ends[i - 1] };
        (offset as i64 - predicted(line.slope, i) - line.lowest) as u64
    });
}

/// Offsets as a line. Invariant: ascending, the last is the length of the data.
#[derive(Debug)]
pub(crate) struct Offsets {
    slope: u64,
    lowest: i64,
    distances: Packed,
}

impl Offsets {
    pub(crate) fn read(reader: &mut Reader, rows: usize, data_len: usize) -> Result<Offsets> {
        let slope = reader.u64()?;
        let lowest = reader.u64()? as i64;
        let distances = Packed::read(reader, rows + 1)?;
        if slope >> 48 != 0 || distances.width() > 40 || lowest.unsigned_abs() >> 40 != 0 {
            return Err(corrupt("string offsets are out of range"));
        }
        let offsets = Offsets { slope, lowest, distances };
        let (mut last, mut ascending) = (0, true);
        offsets.each(0..rows + 1, |offset| {
            ascending &= offset >= last;
            last = offset;
        });
        if !ascending || offsets.at(0) != 0 || last != data_len {
            return Err(corrupt("string offsets do not ascend to the length of the data"));
        }
        Ok(offsets)
    }

    fn at(&self, index: usize) -> usize {
        self.place(index, self.distances.get(index))
    }

    fn place(&self, index: usize, distance: u64) -> usize {
        predicted(self.slope, index).wrapping_add(self.lowest).wrapping_add(distance as i64).max(0) as usize
    }

    /// Start and end of a row's bytes.
    pub(crate) fn bounds(&self, row: usize) -> (usize, usize) {
        (self.at(row), self.at(row + 1))
    }

    fn each(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(usize)) {
        let mut index = range.start;
        self.distances.slices64(range, |values| {
            for value in values {
                visit(self.place(index, *value));
                index += 1;
            }
        });
    }

    /// Offsets `range.start ..= range.end`: one more than there are rows.
    pub(crate) fn decode(&self, range: std::ops::Range<usize>) -> Vec<usize> {
        let mut out = Vec::with_capacity(range.len() + 1);
        self.each(range.start..range.end + 1, |offset| out.push(offset));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lengths_need_no_bits() {
        let ends: Vec<u64> = (1..=5000).map(|i| i * 25).collect();
        assert_eq!(span_bytes(&ends), 48);
    }

    fn spans_of(ends: &[u64]) -> Spans {
        let mut writer = Writer::default();
        write_spans(&mut writer, ends);
        let data_len = ends.last().copied().unwrap_or(0) as usize;
        Spans::read(&mut Reader::new(writer.finish().into()), ends.len(), data_len).unwrap()
    }

    #[test]
    fn uneven_lengths() {
        let mut forms = [0, 0];
        for (rows, extreme) in
            [0_usize, 1, 7, 16, 33, 1024, 2500].into_iter().flat_map(|rows| [(rows, 0), (rows, 100_000)])
        {
            let mut end = 0;
            let ends: Vec<u64> = (0..rows)
                .map(|i| {
                    // Some are empty, and they come in waves, which keeps them off a line.
                    end += (i as u64 * 7919) % (1 + i as u64 / 100 % 4 * 16) + if i == 3 { extreme } else { 0 };
                    end
                })
                .collect();
            let spans = spans_of(&ends);
            forms[usize::from(matches!(spans, Spans::Lengths { .. }))] += 1;
            for row in 0..rows {
                let start = if row == 0 { 0 } else { ends[row - 1] as usize };
                assert_eq!(spans.bounds(row), (start, ends[row] as usize));
            }
            assert_eq!(spans.decode(0..rows).len(), rows + 1);
        }
        assert!(forms.iter().all(|seen| *seen > 0), "both forms were written: {forms:?}");
    }
}
