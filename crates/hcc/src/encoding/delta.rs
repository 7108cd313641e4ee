//! Differences from the row before: for numbers that climb or wander (keys, timestamps, counters).
//!
//! ```text
//! low i64 | first i64 | packed (difference - low), 0 for a group's first row | packed (anchor - first) [| patches]
//! ```
//! *Jumps* are the same, followed by patches: the differences that do not fit, less low, whose place is packed as 0. A
//! timestamp that climbs within a series and falls back at the next one would otherwise widen every difference. One in 64
//! may be such in young blocks, one in 7 in settled ones.
//!
//! Every 32nd value is an anchor, so a row is read by adding up to 31 differences, and equal differences (an arithmetic
//! sequence) need no bits and are not added one by one. The differences of a group lie side by side in the packed words.
//! Lemire, Boytsov, "Decoding billions of integers per second through vectorization", 2015.

use std::iter::Peekable;
use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::{Buffer, NullBuffer};
use heliosdb_types::{Error, PhysicalType, Result};

use crate::Bitmap;
use crate::arrays::{Lane, fixed_array, with_lane};
use crate::cell::Cell;
use crate::encoded::{Encoded, Wanted, misplaced};
use crate::filter::Test;
use crate::filtering::{filter_between, filter_computed, narrowed};
use crate::layout::{Reader, Writer, corrupt};
use crate::order::int_datum;
use crate::packed::{GROUP, Packed, packed_bytes, width_of, write_packed};
use crate::patches::{Patches, patch_bytes, write_patches};
use crate::search::{partition, search};

#[derive(Debug)]
pub(crate) struct Delta {
    physical: PhysicalType,
    rows: usize,
    low: i64,
    first: i64,
    differences: Packed,
    anchors: Packed,
    patches: Patches,
}

/// What must be known to size and write: the smallest difference, the spread of differences, bounds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub low: i64,
    pub spread: u64,
    pub min: i64,
    pub span: u64,
}

/// The layout of all differences but some, how many those are, and the bits their distances take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jumps {
    pub layout: Layout,
    pub outside: usize,
    pub width: u8,
}

impl Jumps {
    /// Where every difference fits.
    pub(crate) fn none(layout: Layout) -> Jumps {
        Jumps { layout, outside: 0, width: 0 }
    }
}

/// Differences within groups; `None` if they do not fit 64 bits.
pub(crate) fn layout(values: &[i64], min: i64, max: i64) -> Option<Layout> {
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for group in values.chunks(GROUP) {
        for pair in group.windows(2) {
            let difference = pair[1].checked_sub(pair[0])?;
            (low, high) = (low.min(difference), high.max(difference));
        }
    }
    (low, high) = if low > high { (0, 0) } else { (low, high) };
    Some(Layout { low, spread: high.wrapping_sub(low) as u64, min, span: max.wrapping_sub(min) as u64 })
}

/// Bytes of the body.
pub(crate) fn size(layout: &Layout, rows: usize) -> usize {
    48 + packed_bytes(rows, width_of(layout.spread)) + packed_bytes(rows.div_ceil(GROUP), width_of(layout.span))
}

/// One difference in this many is looked at to see whether jumps may pay.
const PROBE_ONE_IN: usize = 16;
/// Widths tried around the one that the probe suggests.
const WIDTHS_AROUND: u8 = 3;

/// As [`layout`], but for the differences that are far from the others, at most one in `one_in`; `None` if that
/// does not come below `limit` bytes.
pub(crate) fn jumps(values: &[i64], plain: &Layout, limit: usize, one_in: usize) -> Option<Jumps> {
    let full = width_of(plain.spread);
    let difference = |row: usize| values[row].wrapping_sub(values[row - 1]);
    let inner = |row: &usize| !row.is_multiple_of(GROUP);
    let mut probe: Vec<i64> = (1..values.len()).step_by(PROBE_ONE_IN + 1).filter(inner).map(difference).collect();
    probe.sort_unstable();
    // How far the probe is apart but for as many exceptions as there may be.
    let within = probe.len() - probe.len() / one_in;
    let narrow = width_of(narrowest(&probe, within)?.0);
    if narrow + 2 >= full || packed_bytes(values.len(), narrow) >= limit {
        return None;
    }
    let mut all: Vec<i64> = (1..values.len()).filter(inner).map(difference).collect();
    all.sort_unstable();
    let mut best: Option<(usize, Jumps)> = None;
    for width in (narrow.saturating_sub(WIDTHS_AROUND)..=narrow + WIDTHS_AROUND).rev() {
        let (first, count) = fullest(&all, width);
        let outside = all.len() - count;
        if outside > values.len() / one_in {
            break;
        }
        let window = all.get(first..first + count)?;
        let (low, high) = (*window.first()?, *window.last()?);
        let layout = Layout { low, spread: high.wrapping_sub(low) as u64, ..*plain };
        // Distances of those below wrap around.
        let width = if low == plain.low { full } else { 64 };
        let jumps = Jumps { layout, outside, width };
        let bytes = jumps_size(&jumps, values.len());
        if best.as_ref().is_none_or(|(least, _)| bytes < *least) {
            best = Some((bytes, jumps));
        }
    }
    let (bytes, jumps) = best?;
    (bytes < limit).then_some(jumps)
}

/// The least that `count` neighbours of ascending numbers are apart, and the lowest of them.
fn narrowest(ascending: &[i64], count: usize) -> Option<(u64, i64)> {
    let windows = ascending.iter().zip(ascending.iter().skip(count.checked_sub(1)?));
    windows.map(|(low, high)| (high.wrapping_sub(*low) as u64, *low)).min()
}

/// Where most of the ascending numbers lie together within `width` bits: the first of them, and how many.
fn fullest(ascending: &[i64], width: u8) -> (usize, usize) {
    let apart = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
    let (mut first, mut best) = (0, (0, 0));
    for (last, high) in ascending.iter().enumerate() {
        while ascending.get(first).is_some_and(|low| high.wrapping_sub(*low) as u64 > apart) {
            first += 1;
        }
        if last + 1 - first > best.1 {
            best = (first, last + 1 - first);
        }
    }
    best
}

/// Bytes of the body.
pub(crate) fn jumps_size(jumps: &Jumps, rows: usize) -> usize {
    size(&jumps.layout, rows) + patch_bytes(jumps.outside, rows, jumps.width)
}

pub(crate) fn write_jumps(writer: &mut Writer, layout: &Layout, values: &[i64]) {
    write(writer, layout, values);
    let distances = (0..values.len()).map(|row| (row as u32, distance(layout, values, row)));
    let patches: Vec<(u32, u64)> = distances.filter(|(_, distance)| *distance > layout.spread).collect();
    write_patches(writer, &patches);
}

/// How far a row's difference is above the lowest; 0 for a group's first row.
fn distance(layout: &Layout, values: &[i64], row: usize) -> u64 {
    match row % GROUP {
        0 => 0,
        _ => values[row].wrapping_sub(values[row - 1]).wrapping_sub(layout.low) as u64,
    }
}

/// Distances beyond the layout's spread are written as 0.
pub(crate) fn write(writer: &mut Writer, layout: &Layout, values: &[i64]) {
    writer.u64(layout.low as u64);
    writer.u64(layout.min as u64);
    write_packed(writer, values.len(), layout.spread, |row| match distance(layout, values, row) {
        distance if distance > layout.spread => 0,
        distance => distance,
    });
    let groups = values.len().div_ceil(GROUP);
    write_packed(writer, groups, layout.span, |group| values[group * GROUP].wrapping_sub(layout.min) as u64);
}

pub(crate) fn read(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Delta> {
    let (low, first) = (reader.u64()? as i64, reader.u64()? as i64);
    let differences = Packed::read(reader, rows)?;
    let anchors = Packed::read(reader, rows.div_ceil(GROUP))?;
    if rows == 0 {
        return Err(corrupt("differences of no rows"));
    }
    Ok(Delta { physical, rows, low, first, differences, anchors, patches: Patches::default() })
}

pub(crate) fn read_jumps(reader: &mut Reader, physical: PhysicalType, rows: usize) -> Result<Delta> {
    let delta = read(reader, physical, rows)?;
    Ok(Delta { patches: Patches::read(reader, rows)?, ..delta })
}

impl Delta {
    fn anchor(&self, group: usize) -> i64 {
        self.first.wrapping_add(self.anchors.get(group) as i64)
    }

    /// Of a row, as 64 bits whatever the type.
    pub(crate) fn value(&self, row: usize) -> i64 {
        let (group, steps) = (row / GROUP, row % GROUP);
        let mut value = self.anchor(group).wrapping_add(self.low.wrapping_mul(steps as i64));
        if self.differences.width() > 0 {
            let differences = self.differences.group(group);
            let before = differences.iter().skip(1).take(steps);
            value = before.fold(value, |value, difference| value.wrapping_add(*difference as i64));
        }
        if !self.patches.is_empty() {
            let jumps = self.patches.within(group * GROUP + 1..row + 1);
            value = jumps.fold(value, |value, (_, jump)| value.wrapping_add(jump as i64));
        }
        value
    }

    /// Appends the values of a group, some of them beyond the end.
    fn append_group(&self, group: usize, out: &mut Vec<i64>) {
        let rows = group * GROUP..(group + 1) * GROUP;
        let jumps = self.patches.within(rows.clone()).map(|(at, jump)| (rows.start + at, jump as i64));
        let mut sums = Sums { row: rows.start, value: 0, jumps: jumps.peekable() };
        self.add_up(&self.differences.group(group), &mut sums, out, |value| value);
    }

    fn key(&self, row: usize) -> i64 {
        self.key_of(self.value(row))
    }

    fn key_of(&self, value: i64) -> i64 {
        with_lane!(self.physical, L => L::cut64(value as u64).wide64())
    }

    /// Appends the values of a run of rows.
    pub(crate) fn values<T>(&self, range: Range<usize>, out: &mut Vec<T>, map: impl Fn(i64) -> T) {
        // What the first row adds its difference to.
        let before = if range.start.is_multiple_of(GROUP) { 0 } else { self.value(range.start - 1) };
        let jumps = self.patches.within(range.clone()).map(|(at, jump)| (range.start + at, jump as i64));
        let mut sums = Sums { row: range.start, value: before, jumps: jumps.peekable() };
        if self.differences.is_narrow() {
            self.differences.slices32(range.clone(), |part| self.add_up(part, &mut sums, out, &map));
        } else {
            self.differences.slices64(range.clone(), |part| self.add_up(part, &mut sums, out, &map));
        }
    }

    /// Appends the values of the next rows, whose packed differences these are: a group at a time, so that the inner loop of
    /// a group without jumps is an addition.
    fn add_up<D: Copy + Into<u64>, T>(
        &self,
        mut differences: &[D],
        sums: &mut Sums<impl Iterator<Item = (usize, i64)>>,
        out: &mut Vec<T>,
        map: impl Fn(i64) -> T,
    ) {
        while !differences.is_empty() {
            let (mut group, rest) = differences.split_at((GROUP - sums.row % GROUP).min(differences.len()));
            let end = sums.row + group.len();
            if let (0, Some((_, others))) = (sums.row % GROUP, group.split_first()) {
                sums.value = self.anchor(sums.row / GROUP);
                out.push(map(sums.value));
                group = others;
            }
            let first = end - group.len();
            while sums.jumps.next_if(|(row, _)| *row < first).is_some() {}
            let mut value = sums.value;
            // Added up in an array: a closure that `extend` calls would keep the sum in memory, five times as slow.
            let mut values = [0; GROUP];
            if sums.jumps.peek().is_some_and(|(row, _)| *row < end) {
                for ((slot, difference), row) in values.iter_mut().zip(group).zip(first..) {
                    let jump = sums.jumps.next_if(|(at, _)| *at == row).map_or(0, |(_, jump)| jump);
                    value = value.wrapping_add(self.low.wrapping_add((*difference).into() as i64)).wrapping_add(jump);
                    *slot = value;
                }
            } else {
                for (slot, difference) in values.iter_mut().zip(group) {
                    value = value.wrapping_add(self.low.wrapping_add((*difference).into() as i64));
                    *slot = value;
                }
            }
            out.extend(values.iter().take(group.len()).map(|value| map(*value)));
            (differences, sums.row, sums.value) = (rest, end, value);
        }
    }
}

/// How far a run of rows was added up.
struct Sums<J: Iterator> {
    row: usize,
    /// Of the row before.
    value: i64,
    /// Jumps of this row and those after it.
    jumps: Peekable<J>,
}

impl Encoded for Delta {
    fn cell<'a>(&'a self, row: usize, _: &mut Vec<u8>) -> Result<Cell<'a>> {
        Ok(Cell::Ready(int_datum(i128::from(self.key(row)), self.physical)))
    }

    fn decode(&self, range: Range<usize>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let rows = range.len();
        let values = with_lane!(self.physical, L => {
            let mut out = Vec::with_capacity(rows);
            self.values(range, &mut out, |value| L::cut64(value as u64));
            Buffer::from_vec(out)
        });
        fixed_array(values, rows, nulls, self.physical)
    }

    fn take(&self, rows: &[u32], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let dense = rows.len() > self.rows / 32;
        let values = with_lane!(self.physical, L => {
            let mut all = Vec::new();
            if dense {
                all.reserve_exact(self.rows);
                self.values(0..self.rows, &mut all, |value| L::cut64(value as u64));
            }
            let value = |row: &u32| match all.get(*row as usize) {
                Some(value) => *value,
                None => L::cut64(self.value(*row as usize) as u64),
            };
            Buffer::from_vec(rows.iter().map(value).collect::<Vec<L>>())
        });
        fixed_array(values, rows.len(), nulls, self.physical)
    }

    fn filter(&self, test: &Test, selection: &mut Bitmap) -> Result<()> {
        let keys = |range: Range<usize>, out: &mut Vec<i64>| {
            with_lane!(self.physical, L => self.values(range, out, |value| L::cut64(value as u64).wide64()));
        };
        match test {
            Test::Ranges(ranges) => filter_between(self.rows, selection, &narrowed(ranges), keys),
            Test::Member(set) => filter_computed(self.rows, selection, keys, |key| set.contains(*key)),
            _ => return Err(misplaced("strings")),
        }
        Ok(())
    }

    fn equal_range(&self, range: Range<usize>, wanted: &Wanted<'_>) -> Result<Option<Range<usize>>> {
        let Wanted::Key(key) = wanted else { return Err(Error::internal("a string was looked for among numbers")) };
        let (first, last) = (range.start.div_ceil(GROUP), range.end.div_ceil(GROUP));
        // Anchors are cheap: rows before the last smaller one are smaller, rows from the first larger one on are larger.
        let below = partition(first..last, |group| i128::from(self.key(group * GROUP)) < *key);
        let start = if below <= first { range.start } else { (below - 1) * GROUP };
        let above = partition(below..last, |group| i128::from(self.key(group * GROUP)) <= *key);
        let end = if above >= last { range.end } else { above * GROUP };
        if end - start > 2 * GROUP {
            return Ok(Some(search(start..end, |row| i128::from(self.key(row)).cmp(key))));
        }
        // Added up once, not for every step of a search.
        let mut values = Vec::with_capacity(2 * GROUP);
        (start / GROUP..end.div_ceil(GROUP)).for_each(|group| self.append_group(group, &mut values));
        let values = values.get(start % GROUP..).unwrap_or(&[]);
        let found =
            search(0..end - start, |row| i128::from(self.key_of(values.get(row).copied().unwrap_or(0))).cmp(key));
        Ok(Some(start + found.start..start + found.end))
    }
}
