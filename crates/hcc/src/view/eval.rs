//! Filters on the encoded form: literals are moved into the block's space, values are not moved out of it.

use heliosdb_types::{Error, PhysicalType, Result};
use memchr::memmem::Finder;

use super::{BlockView, Body, FsstBody, Words};
use crate::Bitmap;
use crate::filter::{BytesTest, Filter, Test, in_ranges};
use crate::fsst::SymbolTable;
use crate::kind::Kind;
use crate::offsets::Offsets;
use crate::order::{comparable_bytes, fixed_key, float_key};
use crate::packed::{CHUNK, Packed};

/// Words of a selection that one packed chunk covers.
const CHUNK_WORDS: usize = CHUNK / 64;
/// Up to this many ranges are tested one after the other.
const FEW_RANGES: usize = 4;

impl BlockView {
    /// Drops from `selection` the rows that do not match. The selection has the block's length.
    pub fn filter(&self, filter: &Filter, selection: &mut Bitmap) -> Result<()> {
        if selection.len() != self.rows || filter.physical != self.physical {
            return Err(Error::internal("filter or selection was made for another column"));
        }
        let all_null = matches!(self.body, Body::AllNull);
        let validity = self.nulls.as_ref().map(|nulls| Bitmap::from_bits(nulls.inner()));
        match (&filter.test, validity) {
            (Test::IsNull, Some(validity)) => {
                selection.and_not_words(validity.words());
                return Ok(());
            }
            (Test::IsNull, None) if all_null => return Ok(()),
            (Test::IsNull, None) => {
                selection.clear_all();
                return Ok(());
            }
            (_, _) if all_null => {
                selection.clear_all();
                return Ok(());
            }
            (_, Some(validity)) => selection.and_words(validity.words()),
            (_, None) => {}
        }
        match &filter.test {
            Test::Ranges(ranges) => self.filter_ranges(ranges, selection),
            Test::Bytes(test) => self.filter_bytes(test, selection),
            Test::IsNull | Test::IsNotNull => Ok(()),
        }
    }

    fn filter_ranges(&self, ranges: &[(i128, i128)], selection: &mut Bitmap) -> Result<()> {
        // A comparison with NULL, of any type.
        if ranges.is_empty() {
            selection.clear_all();
            return Ok(());
        }
        match &self.body {
            Body::Frame { reference, distances } => filter_frame(*reference, distances, ranges, selection),
            Body::FixedDictionary { values, codes } => {
                let width = Kind::of(self.physical).width();
                let keep: Vec<bool> = values
                    .as_slice()
                    .chunks_exact(width)
                    .map(|value| in_ranges(ranges, fixed_key(value, self.physical)))
                    .collect();
                filter_codes(codes, &keep, selection);
            }
            Body::Bits(bits) => {
                let words = Bitmap::from_bits(bits);
                match (in_ranges(ranges, 0), in_ranges(ranges, 1)) {
                    (true, true) => {}
                    (false, true) => selection.and(&words),
                    (true, false) => selection.and_not(&words),
                    (false, false) => selection.clear_all(),
                }
            }
            Body::PlainFixed(values) if self.physical == PhysicalType::Float64 => {
                let ranges = narrowed(ranges);
                let key = |bytes: &[u8; 8]| float_key(f64::from_le_bytes(*bytes));
                filter_plain(values.as_slice(), selection, |bytes| ranges.iter().any(|r| r.contains(&key(bytes))));
            }
            Body::PlainFixed(values) => {
                let width = Kind::of(self.physical).width();
                selection.retain(|row| {
                    let value = values.as_slice().get(row * width..(row + 1) * width).unwrap_or(&[0; 16]);
                    Ok::<_, Error>(in_ranges(ranges, fixed_key(value, self.physical)))
                })?;
            }
            _ => return Err(Error::internal("a range was asked of a string column")),
        }
        Ok(())
    }

    fn filter_bytes(&self, test: &BytesTest, selection: &mut Bitmap) -> Result<()> {
        let physical = self.physical;
        match &self.body {
            Body::VarDictionary { words, codes } => {
                filter_codes(codes, &keep_words(words, test, physical), selection);
                Ok(())
            }
            Body::PlainVar { offsets, data } => {
                if let BytesTest::Contains(finder) = test
                    && selection.count() * 2 > self.rows
                {
                    search_all(data.as_slice(), &offsets.decode(0..self.rows), finder, selection);
                    return Ok(());
                }
                filter_strings(offsets, data.as_slice(), selection, |value| {
                    test.matches(comparable_bytes(value, physical))
                })
            }
            Body::Fsst(body) => self.filter_fsst(body, test, selection),
            _ => Err(Error::internal("a string test was asked of a column of numbers")),
        }
    }

    fn filter_fsst(&self, body: &FsstBody, test: &BytesTest, selection: &mut Bitmap) -> Result<()> {
        let table: &SymbolTable = &body.table;
        let codes = body.codes.as_slice();
        let mut scratch = Vec::new();
        let mut expanded = |codes: &[u8]| -> Result<bool> {
            scratch.clear();
            table.append(codes, &mut scratch)?;
            Ok(test.matches(comparable_bytes(&scratch, self.physical)))
        };
        match test {
            // A numeric's display scale lies at the end of its codes, out of reach of a comparison from the front.
            _ if self.physical == PhysicalType::Numeric => selection.retain(|row| expanded(body.codes(row))),
            BytesTest::Compare(op, literal) => {
                filter_strings(&body.offsets, codes, selection, |codes| op.accepts(table.compare(codes, literal)))
            }
            BytesTest::StartsWith(prefix) => {
                filter_strings(&body.offsets, codes, selection, |codes| table.starts_with(codes, prefix))
            }
            BytesTest::Contains(finder) if selection.count() * 2 > self.rows => {
                let (data, bounds) = body.expand(0..self.rows, self.rows)?;
                search_all(data.as_slice(), &bounds, finder, selection);
                Ok(())
            }
            BytesTest::In(_) | BytesTest::Contains(_) => selection.retain(|row| expanded(body.codes(row))),
        }
    }
}

/// Tests the selected strings; `test` gets their stored bytes.
fn filter_strings(
    offsets: &Offsets,
    data: &[u8],
    selection: &mut Bitmap,
    mut test: impl FnMut(&[u8]) -> bool,
) -> Result<()> {
    let rows = selection.len();
    if selection.count() * 4 < rows {
        return selection.retain(|row| {
            let (start, end) = offsets.bounds(row);
            Ok(test(data.get(start..end).unwrap_or(&[])))
        });
    }
    let bounds = offsets.decode(0..rows);
    selection.retain(|row| {
        Ok(test(match bounds.get(row..row + 2) {
            Some(&[start, end]) => data.get(start..end).unwrap_or(&[]),
            _ => &[],
        }))
    })
}

/// Searches all strings at once, one after the other in `data`: a hit counts if it lies within one string.
fn search_all(data: &[u8], bounds: &[usize], finder: &Finder<'_>, selection: &mut Bitmap) {
    let needle_len = finder.needle().len();
    if needle_len == 0 {
        return;
    }
    let mut matched = Bitmap::all_clear(selection.len());
    let mut row = 0;
    let mut from = 0;
    while let Some(found) = data.get(from..).and_then(|rest| finder.find(rest)) {
        let at = from + found;
        while bounds.get(row + 1).is_some_and(|end| *end <= at) {
            row += 1;
        }
        let Some(&end) = bounds.get(row + 1) else { break };
        if at + needle_len <= end {
            matched.set(row);
            from = end;
        } else {
            from = at + 1;
        }
    }
    selection.and(&matched);
}

fn keep_words(words: &Words, test: &BytesTest, physical: PhysicalType) -> Vec<bool> {
    (0..words.len()).map(|index| test.matches(comparable_bytes(words.get(index), physical))).collect()
}

/// Ranges of order keys cut to 64 bits, for types whose keys fit.
fn narrowed(ranges: &[(i128, i128)]) -> Vec<std::ops::RangeInclusive<i64>> {
    let cut = |key: i128| key.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    let overlaps = |(low, high): &&(i128, i128)| *high >= i128::from(i64::MIN) && *low <= i128::from(i64::MAX);
    ranges.iter().filter(overlaps).map(|(low, high)| cut(*low)..=cut(*high)).collect()
}

fn filter_frame(reference: i128, distances: &Packed, ranges: &[(i128, i128)], selection: &mut Bitmap) {
    let widest = if distances.width() == 64 { u64::MAX } else { (1 << distances.width()) - 1 };
    let top = reference.saturating_add(i128::from(widest));
    let moved = |key: i128| key.saturating_sub(reference) as u64;
    let local: Vec<(u64, u64)> = ranges
        .iter()
        .filter(|(low, high)| *low <= top && *high >= reference)
        .map(|(low, high)| (moved((*low).max(reference)), moved((*high).min(top))))
        .collect();
    filter_packed(distances, &local, widest, selection);
}

/// Keeps the rows whose packed value lies in one of the ranges (disjoint, ascending, at most `widest`).
fn filter_packed(packed: &Packed, ranges: &[(u64, u64)], widest: u64, selection: &mut Bitmap) {
    match ranges {
        [] => selection.clear_all(),
        [(0, high)] if *high >= widest => {}
        [(low, high)] if packed.is_narrow() => {
            let (low, span) = (*low as u32, (*high - *low) as u32);
            each_chunk32(packed, selection, |value| value.wrapping_sub(low) <= span);
        }
        [(low, high)] => {
            let (low, span) = (*low, *high - *low);
            each_chunk64(packed, selection, |value| value.wrapping_sub(low) <= span);
        }
        few if few.len() <= FEW_RANGES => {
            each_chunk64(packed, selection, |value| {
                few.iter().fold(false, |hit, (low, high)| hit | (value.wrapping_sub(*low) <= *high - *low))
            });
        }
        many => each_chunk64(packed, selection, |value| {
            let after = many.partition_point(|(low, _)| *low <= value);
            after.checked_sub(1).and_then(|at| many.get(at)).is_some_and(|(_, high)| value <= *high)
        }),
    }
}

/// Keeps the rows whose dictionary entry is kept.
fn filter_codes(codes: &Packed, keep: &[bool], selection: &mut Bitmap) {
    let kept = keep.iter().filter(|keep| **keep).count();
    if kept == 0 {
        return selection.clear_all();
    }
    if kept == keep.len() {
        return;
    }
    let first = keep.iter().position(|keep| *keep).unwrap_or(0);
    // Dictionaries are sorted, so comparisons and prefixes keep a run of codes.
    if keep.iter().skip(first).take(kept).all(|keep| *keep) {
        let run = (first as u64, (first + kept - 1) as u64);
        return filter_packed(codes, &[run], u64::MAX, selection);
    }
    each_chunk32(codes, selection, |code| keep.get(code as usize).copied().unwrap_or(false));
}

/// Keeps the rows whose plain value passes.
fn filter_plain<const N: usize>(values: &[u8], selection: &mut Bitmap, test: impl Fn(&[u8; N]) -> bool) {
    let (values, _) = values.as_chunks::<N>();
    for (words, values) in selection.words_mut().chunks_mut(CHUNK_WORDS).zip(values.chunks(CHUNK)) {
        and_mask(words, values, &test);
    }
}

fn each_chunk32(packed: &Packed, selection: &mut Bitmap, test: impl Fn(u32) -> bool) {
    let mut values = [0_u32; CHUNK];
    for (chunk, words) in selection.words_mut().chunks_mut(CHUNK_WORDS).enumerate() {
        if words.iter().any(|word| *word != 0) {
            let len = packed.chunk32(chunk, &mut values);
            and_mask(words, &values[..len], |value| test(*value));
        }
    }
}

fn each_chunk64(packed: &Packed, selection: &mut Bitmap, test: impl Fn(u64) -> bool) {
    let mut values = [0_u64; CHUNK];
    for (chunk, words) in selection.words_mut().chunks_mut(CHUNK_WORDS).enumerate() {
        if words.iter().any(|word| *word != 0) {
            let len = packed.chunk64(chunk, &mut values);
            and_mask(words, &values[..len], |value| test(*value));
        }
    }
}

/// ANDs the outcome for 64 values at a time into a word. The comparison loop is free of branches, so it vectorises; eight
/// outcome bytes become eight bits by one multiplication.
fn and_mask<T>(words: &mut [u64], values: &[T], test: impl Fn(&T) -> bool) {
    const GATHER: u64 = 0x0102_0408_1020_4080;
    for (word, group) in words.iter_mut().zip(values.chunks(64)) {
        if *word == 0 {
            continue;
        }
        let mut outcomes = [0_u8; 64];
        for (outcome, value) in outcomes.iter_mut().zip(group) {
            *outcome = u8::from(test(value));
        }
        let (eights, _) = outcomes.as_chunks::<8>();
        let mut mask = 0;
        for (at, eight) in eights.iter().enumerate() {
            mask |= (u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56) << (8 * at);
        }
        *word &= mask;
    }
}
