//! Exact statistics of a block's values, from a few passes.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::encoding::{delta, frame};
use crate::packed::{packed_bytes, width_of};
use crate::patches::patch_bytes;

/// Rows after which a column that has hardly repeated itself is taken for one that will not.
const SAMPLE_ROWS: usize = 1024;
/// More exceptions than one in this many rows slow readers.
const PATCHES_ONE_IN: usize = 16;

/// What sizes follow from. NULLs are gone: they were filled or left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub rows: usize,
    /// Bytes of a value; 0 for bits and strings.
    pub width: usize,
    /// Different values, if there are few enough to know.
    pub distinct: Option<usize>,
    /// Changes from a row to the next, and one.
    pub runs: usize,
    /// A row that holds the most frequent value, and how many do, if that is most of them.
    pub common: Option<(usize, usize)>,
    pub plain_bytes: usize,
    /// Of a string.
    pub longest: usize,
    /// The largest distance from the smallest value, in steps.
    pub(crate) widest: u64,
    pub(crate) frame: Option<frame::Layout>,
    pub(crate) delta: Option<delta::Layout>,
    /// Differences but for some.
    pub(crate) jumps: Option<delta::Jumps>,
}

/// Distinct values in order of first appearance and each row's place among them; `None` beyond `limit`, or when most of
/// the first rows differ.
pub(crate) fn distinct<T: Copy + Eq + Hash>(values: &[T], limit: usize) -> Option<(Vec<T>, Vec<u32>)> {
    let mut places: FxHashMap<T, u32> = FxHashMap::default();
    let hopeless = if limit == usize::MAX { usize::MAX } else { SAMPLE_ROWS / 4 * 3 };
    let (mut found, mut codes) = (Vec::new(), Vec::with_capacity(values.len()));
    for (row, value) in values.iter().enumerate() {
        let next = found.len() as u32;
        let place = *places.entry(*value).or_insert(next);
        if place == next {
            if found.len() == limit || (row < SAMPLE_ROWS && found.len() == hopeless) {
                return None;
            }
            found.push(*value);
        }
        codes.push(place);
    }
    Some((found, codes))
}

/// How often the next value differs, and one.
pub(crate) fn runs<T: PartialEq>(values: &[T]) -> usize {
    values.windows(2).filter(|pair| pair[0] != pair[1]).count() + usize::from(!values.is_empty())
}

/// Rows that are asked which value is the most frequent.
const VOTERS: usize = 64;

/// A row that holds the value most rows hold, and how many do; `None` unless it is more than three in four. Only what most of a
/// few rows hold is counted: nearly all columns have no such value.
pub(crate) fn common<T: PartialEq>(values: &[T]) -> Option<(usize, usize)> {
    let voters = || (0..values.len()).step_by(values.len().div_ceil(VOTERS).max(1));
    let (mut row, mut votes) = (0, 0_usize);
    for at in voters() {
        if votes == 0 {
            (row, votes) = (at, 1);
        } else if values[row] == values[at] {
            votes += 1;
        } else {
            votes -= 1;
        }
    }
    let value = values.get(row)?;
    if voters().filter(|at| values[*at] == *value).count() * 2 < voters().count() {
        return None;
    }
    let count = values.iter().filter(|other| *other == value).count();
    (count * 4 > values.len() * 3).then_some((row, count))
}

/// Distances of whole numbers, and how they are best laid out. `None` if they exceed 64 bits.
pub(crate) fn frame_of(values: &[i128]) -> Option<(frame::Layout, Vec<u64>)> {
    let (low, high) = values.iter().fold((i128::MAX, i128::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let span = u64::try_from((high as u128).wrapping_sub(low as u128)).ok()?;
    let distances = values.iter().map(|value| value.wrapping_sub(low) as u64).collect();
    Some(layout_of(low, span, distances))
}

/// As [`frame_of`], for numbers of 64 bits.
pub(crate) fn frame_of_64(values: &[i64], low: i64, high: i64) -> (frame::Layout, Vec<u64>) {
    let distances = values.iter().map(|value| value.wrapping_sub(low) as u64).collect();
    layout_of(i128::from(low), high.wrapping_sub(low) as u64, distances)
}

fn layout_of(low: i128, mut span: u64, mut distances: Vec<u64>) -> (frame::Layout, Vec<u64>) {
    let step = common_divisor(&distances);
    if step > 1 {
        span /= step;
        distances.iter_mut().for_each(|distance| *distance /= step);
    }
    let whole = frame::Layout { reference: low, step, packed_max: span, patches: 0 };
    let rows = distances.len();
    let mut by_width = [0_usize; 65];
    distances.iter().for_each(|distance| by_width[usize::from(width_of(*distance))] += 1);
    let full = width_of(span);
    let mut best = (packed_bytes(rows, full), whole);
    let mut above = 0;
    for width in (0..full).rev() {
        above += by_width[usize::from(width) + 1];
        if above * PATCHES_ONE_IN > rows {
            break;
        }
        let bytes = packed_bytes(rows, width) + patch_bytes(above, rows, full);
        // A twentieth less, or patches are not worth their trouble.
        if bytes + bytes / 20 < best.0 {
            best = (bytes, frame::Layout { packed_max: (1 << width) - 1, patches: above, ..whole });
        }
    }
    (best.1, distances)
}

/// The greatest number that divides all distances; 1 if there is none larger or nothing is known.
fn common_divisor(distances: &[u64]) -> u64 {
    let mut divisor = 0;
    for distance in distances.iter().filter(|distance| **distance != 0) {
        // Most columns are found out by their first few values.
        if divisor != 0 && distance % divisor == 0 {
            continue;
        }
        divisor = gcd(divisor, *distance);
        if divisor == 1 {
            return 1;
        }
    }
    divisor.max(1)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_become_patches_and_common_divisors_steps() {
        let mut values: Vec<i64> = (0..4096).map(|i| i % 50 * 100 + 300).collect();
        let (layout, distances) = frame_of_64(&values, 300, 5200);
        assert_eq!((layout.reference, layout.step, layout.packed_max, layout.patches), (300, 100, 49, 0));
        assert_eq!(distances[51], 1);
        values[77] = 300 + (1 << 40) * 100;
        let (layout, _) = frame_of_64(&values, 300, values[77]);
        assert_eq!((layout.step, layout.packed_max, layout.patches), (100, 63, 1));
        assert!(frame_of(&[i128::MIN, i128::MAX]).is_none());
    }

    #[test]
    fn the_common_value_is_found_or_there_is_none() {
        let values: Vec<u8> = (0..100).map(|i| if i % 5 == 0 { i } else { 7 }).collect();
        assert_eq!(common(&values).map(|(row, count)| (values[row], count)), Some((7, 80)));
        assert_eq!(common(&[1, 2, 3]), None);
        assert_eq!(runs(&[1, 1, 2, 2, 1]), 3);
    }
}
