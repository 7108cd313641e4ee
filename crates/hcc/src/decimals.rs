//! Floats that were decimals, as whole numbers and back: what `Alp` and `AlpDelta` share.
//!
//! value = number * 10^factor * 10^-exponent, in 64-bit arithmetic. The writer checks that every value comes back bit for bit;
//! those that do not are patches. Scaling never turns the order around, so a range of floats is a range of numbers.
//! Afroozeh, Kuffó, Boncz, "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2024.

use heliosdb_types::{PhysicalType, Result};

use crate::layout::{Reader, Writer};
use crate::order::float_key_of;
use crate::packed::width_of;

const EXPONENT_MAX: usize = 18;
const TENS: [f64; EXPONENT_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
const TENTHS: [f64; EXPONENT_MAX + 1] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17,
    1e-18,
];
/// Beyond this, whole numbers and floats part ways.
const NUMBER_MAX: f64 = 4_503_599_627_370_496.0;
/// Values of the sample that exponents are tried on.
const TRIALS: usize = 64;

/// Powers of ten to scale by: `exponent u64 | factor u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    exponent: usize,
    factor: usize,
}

impl Scale {
    pub(crate) fn write(self, writer: &mut Writer) {
        writer.u64(self.exponent as u64);
        writer.u64(self.factor as u64);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Scale> {
        let exponent = reader.count(EXPONENT_MAX, "exponent is out of range")?;
        let factor = reader.count(exponent, "factor is out of range")?;
        Ok(Scale { exponent, factor })
    }

    fn up(self, value: f64) -> Option<i64> {
        let number = (value * TENS.get(self.exponent)? * TENTHS.get(self.factor)?).round();
        (number.abs() <= NUMBER_MAX).then_some(number as i64)
    }

    /// What turns numbers into floats.
    pub(crate) fn down<F: Float>(self) -> impl Fn(i64) -> F + Copy {
        let (tens, tenths) = (TENS.get(self.factor).unwrap_or(&1.0), TENTHS.get(self.exponent).unwrap_or(&1.0));
        move |number| F::narrow(number as f64 * tens * tenths)
    }

    /// The bits of the float a number stands for.
    pub(crate) fn bits(self, number: i64, physical: PhysicalType) -> u64 {
        match physical {
            PhysicalType::Float32 => self.down::<f32>()(number).bits(),
            _ => self.down::<f64>()(number).bits(),
        }
    }

    /// Moves ranges of keys into the space of distances from `low`, at most `widest`: disjoint, ascending. `low + widest`
    /// is a whole number of 64 bits.
    pub(crate) fn moved(
        self,
        ranges: &[(i128, i128)],
        low: i64,
        widest: u64,
        physical: PhysicalType,
    ) -> Vec<(u64, u64)> {
        let key =
            |distance: u64| i128::from(float_key_of(self.bits(low.wrapping_add(distance as i64), physical), physical));
        let mut out = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            let Some(from) = first_distance(widest, |distance| key(distance) >= *first) else { continue };
            let after = first_distance(widest, |distance| key(distance) > *last);
            let to = after.map_or(Some(widest), |after| after.checked_sub(1));
            out.extend(to.filter(|to| from <= *to).map(|to| (from, to)));
        }
        out
    }
}

/// The smallest distance up to `widest` for which `reached`, which stays true from there on; `None` if there is none.
fn first_distance(widest: u64, reached: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, widest);
    if !reached(widest) {
        return None;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if reached(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// A float of the block: `f64`, or `f32` computed with as `f64`.
pub(crate) trait Float: Copy {
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
    fn bits(self) -> u64;
    fn of_bits(bits: u64) -> Self;
}

impl Float for f64 {
    fn wide(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> f64 {
        value
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn of_bits(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
}

impl Float for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }

    fn narrow(value: f64) -> f32 {
        value as f32
    }

    fn bits(self) -> u64 {
        u64::from(self.to_bits())
    }

    fn of_bits(bits: u64) -> f32 {
        f32::from_bits(bits as u32)
    }
}

/// A block's numbers, before they are written.
#[derive(Debug)]
pub(crate) struct Scaled {
    pub scale: Scale,
    /// Rows that are patches repeat the number before them, which costs least whatever the encoding.
    pub numbers: Vec<i64>,
    pub low: i64,
    pub high: i64,
    /// Rows whose float does not come back, and its bits.
    pub patches: Vec<(u32, u64)>,
}

/// The number that stands for a value, if it comes back bit for bit.
fn exact<F: Float>(scale: Scale, value: F) -> Option<i64> {
    let number = scale.up(value.wide())?;
    (scale.down::<F>()(number).bits() == value.bits()).then_some(number)
}

/// The scale that suits some of the values best: fewest bits, exceptions counted as whole floats.
fn best_scale<F: Float>(values: &[F]) -> Scale {
    let step = (values.len() / TRIALS).max(1);
    let sample: Vec<F> = values.iter().step_by(step).take(TRIALS).copied().collect();
    let mut best = (usize::MAX, Scale { exponent: 0, factor: 0 });
    for exponent in 0..=EXPONENT_MAX {
        for factor in 0..=exponent {
            let scale = Scale { exponent, factor };
            let (mut low, mut high, mut misses) = (i64::MAX, i64::MIN, 0);
            for value in &sample {
                match exact(scale, *value) {
                    Some(number) => (low, high) = (low.min(number), high.max(number)),
                    None => misses += 1,
                }
            }
            let width = if low > high { 0 } else { usize::from(width_of(high.wrapping_sub(low) as u64)) };
            let bits = sample.len() * width + misses * 80;
            if bits < best.0 {
                best = (bits, scale);
            }
        }
    }
    best.1
}

pub(crate) fn scale<F: Float>(values: &[F]) -> Scaled {
    let scale = best_scale(values);
    let (mut numbers, mut patches) = (Vec::with_capacity(values.len()), Vec::new());
    // Rows before the first number repeat it.
    let mut last = values.iter().find_map(|value| exact(scale, *value)).unwrap_or(0);
    let (mut low, mut high) = (last, last);
    for (row, value) in values.iter().enumerate() {
        match exact(scale, *value) {
            Some(number) => last = number,
            None => patches.push((row as u32, value.bits())),
        }
        (low, high) = (low.min(last), high.max(last));
        numbers.push(last);
    }
    Scaled { scale, numbers, low, high, patches }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::float_key;

    #[test]
    fn decimals_come_back_and_others_are_patches() {
        let values = [f64::NAN, 19.99, -0.01, -0.0, 1e300, 0.07, f64::INFINITY];
        let scaled = scale(&values);
        let back = scaled.scale.down::<f64>();
        assert_eq!(scaled.numbers, [1999, 1999, -1, -1, -1, 7, 7]);
        assert_eq!(scaled.patches.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 3, 4, 6]);
        assert_eq!((scaled.low, scaled.high, back(1999), back(-1)), (-1, 1999, 19.99, -0.01));
    }

    #[test]
    fn ranges_of_floats_are_ranges_of_numbers() {
        let scale = Scale { exponent: 14, factor: 12 };
        let key = |value: f64| i128::from(float_key(value));
        let moved = |low: f64, high: f64| scale.moved(&[(key(low), key(high))], -500, 1000, PhysicalType::Float64);
        assert_eq!(moved(-1.005, 1.0), [(400, 600)]);
        assert_eq!(moved(f64::NEG_INFINITY, f64::NAN), [(0, 1000)]);
        assert_eq!(moved(5.001, 9.0), []);
        assert_eq!(moved(0.001, 0.009), []);
        // The whole space of numbers is searched without overflow.
        let all = [(key(f64::NEG_INFINITY), key(0.0))];
        assert_eq!(scale.moved(&all, i64::MIN, u64::MAX, PhysicalType::Float64), [(0, 1 << 63)]);
    }
}
