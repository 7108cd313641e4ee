//! Pieces of filters that encodings share: literals are moved into the block's space, values are not moved out of it.

use std::convert::Infallible;

use heliosdb_types::{PhysicalType, Result};
use memchr::memmem::Finder;

use crate::Bitmap;
use crate::filter::BytesTest;
use crate::offsets::Spans;
use crate::order::comparable_bytes;
use crate::packed::{CHUNK, Packed};

/// Words of a selection that one packed chunk covers.
const CHUNK_WORDS: usize = CHUNK / 64;
/// Up to this many ranges are tested one after the other.
const FEW_RANGES: usize = 4;

/// Tests the selected strings; `test` gets their stored bytes.
pub(crate) fn filter_strings(
    offsets: &Spans,
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

/// Keeps the rows whose string, put together by `append`, meets the test.
pub(crate) fn retain_expanded(
    selection: &mut Bitmap,
    test: &BytesTest,
    physical: PhysicalType,
    append: impl Fn(usize, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut scratch = Vec::new();
    selection.retain(|row| {
        scratch.clear();
        append(row, &mut scratch)?;
        Ok(test.matches(comparable_bytes(&scratch, physical)))
    })
}

/// Tests of emptiness, which spans of codes tell without expanding: every string but the empty one has codes.
pub(crate) fn filter_emptiness(spans: &Spans, selection: &mut Bitmap, (empty, other): (bool, bool)) -> Result<()> {
    let bounds = spans.decode(0..selection.len());
    selection.retain(|row| {
        let is_empty = matches!(bounds.get(row..row + 2), Some(&[start, end]) if start == end);
        Ok(if is_empty { empty } else { other })
    })
}

/// Searches all strings at once, one after the other in `data`: a hit counts if it lies within one string.
pub(crate) fn search_all(data: &[u8], bounds: &[usize], finder: &Finder<'_>, selection: &mut Bitmap) {
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

/// Ranges of order keys cut to 64 bits, for types whose keys fit.
pub(crate) fn narrowed(ranges: &[(i128, i128)]) -> Vec<(i64, i64)> {
    let cut = |key: i128| key.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    let overlaps = |(low, high): &&(i128, i128)| *high >= i128::from(i64::MIN) && *low <= i128::from(i64::MAX);
    ranges.iter().filter(overlaps).map(|(low, high)| (cut(*low), cut(*high))).collect()
}

/// Keeps the rows whose packed value lies in one of the ranges (disjoint, ascending, at most `widest`).
pub(crate) fn filter_packed(packed: &Packed, ranges: &[(u64, u64)], widest: u64, selection: &mut Bitmap) {
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

/// A selection with fewer rows than one in this many is asked row by row.
const SPARSE_SELECTION: usize = 32;

/// Keeps the rows whose packed value passes.
pub(crate) fn filter_each(packed: &Packed, selection: &mut Bitmap, test: impl Fn(u64) -> bool) {
    if selection.count() * SPARSE_SELECTION < selection.len() {
        let Ok(()) = selection.retain(|row| Ok::<bool, Infallible>(test(packed.get(row))));
        return;
    }
    if packed.is_narrow() {
        each_chunk32(packed, selection, |value| test(u64::from(value)));
    } else {
        each_chunk64(packed, selection, test);
    }
}

/// Keeps the rows whose dictionary entry is kept.
pub(crate) fn filter_codes(codes: &Packed, keep: &[bool], selection: &mut Bitmap) {
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

/// Keeps the rows whose value passes; `values` appends a run of rows to a buffer, a chunk at a time.
pub(crate) fn filter_computed<T>(
    rows: usize,
    selection: &mut Bitmap,
    mut values: impl FnMut(std::ops::Range<usize>, &mut Vec<T>),
    test: impl Fn(&T) -> bool,
) {
    let mut out = Vec::with_capacity(CHUNK);
    for (chunk, words) in selection.words_mut().chunks_mut(CHUNK_WORDS).enumerate() {
        if words.iter().any(|word| *word != 0) {
            out.clear();
            values(chunk * CHUNK..((chunk + 1) * CHUNK).min(rows), &mut out);
            and_mask(words, &out, &test);
        }
    }
}

/// As [`filter_computed`], keeping the rows whose value lies in one of the ranges.
pub(crate) fn filter_between<T: PartialOrd>(
    rows: usize,
    selection: &mut Bitmap,
    ranges: &[(T, T)],
    values: impl FnMut(std::ops::Range<usize>, &mut Vec<T>),
) {
    match ranges {
        [] => selection.clear_all(),
        [one] => filter_computed(rows, selection, values, |value| within(one, value)),
        many => filter_computed(rows, selection, values, |value| many.iter().any(|range| within(range, value))),
    }
}

/// Without a branch, so that a loop of them vectorises.
pub(crate) fn within<T: PartialOrd>((low, high): &(T, T), value: &T) -> bool {
    (low <= value) & (value <= high)
}

/// Keeps the rows whose plain value passes.
pub(crate) fn filter_plain<const N: usize>(values: &[u8], selection: &mut Bitmap, test: impl Fn(&[u8; N]) -> bool) {
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
pub(crate) fn and_mask<T>(words: &mut [u64], values: &[T], test: impl Fn(&T) -> bool) {
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
