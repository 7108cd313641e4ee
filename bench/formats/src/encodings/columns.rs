//! A column that suits each encoding.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringViewArray};
use heliosdb_hcc::Encoding;
use heliosdb_types::{Datum, PhysicalType};

pub const ROWS: usize = 8192;

pub enum Values {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
}

pub struct Column {
    pub values: Values,
    pub array: ArrayRef,
    /// A value that many rows are above.
    pub literal: Datum,
    /// As Arrow has them.
    pub bytes: usize,
}

impl Column {
    fn new(values: Values, literal: Datum) -> Column {
        let array: ArrayRef = match &values {
            Values::Ints(values) => Arc::new(Int64Array::from(values.clone())),
            Values::Floats(values) => Arc::new(Float64Array::from(values.clone())),
            Values::Texts(values) => Arc::new(StringViewArray::from_iter_values(values)),
        };
        let bytes = match &values {
            // Views and the strings, as decoding gives them.
            Values::Texts(values) => ROWS * 16 + values.iter().map(String::len).sum::<usize>(),
            _ => ROWS * 8,
        };
        assert_eq!(array.len(), ROWS);
        Column { values, array, literal, bytes }
    }

    pub fn physical(&self) -> PhysicalType {
        match self.values {
            Values::Ints(_) => PhysicalType::Int64,
            Values::Floats(_) => PhysicalType::Float64,
            Values::Texts(_) => PhysicalType::Text,
        }
    }

    /// The strings one after the other, and where each ends.
    pub fn text(&self) -> (Vec<u8>, Vec<u32>) {
        let Values::Texts(values) = &self.values else { return (Vec::new(), Vec::new()) };
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for value in values {
            bytes.extend_from_slice(value.as_bytes());
            ends.push(bytes.len() as u32);
        }
        (bytes, ends)
    }

    pub fn that_suits(encoding: Encoding) -> Column {
        let ints = |f: &dyn Fn(i64) -> i64, literal| {
            Column::new(Values::Ints((0..ROWS as i64).map(f).collect()), Datum::Int64(literal))
        };
        let floats = |f: &dyn Fn(usize) -> f64, literal| {
            Column::new(Values::Floats((0..ROWS).map(f).collect()), Datum::Float64(literal))
        };
        let text = |f: &dyn Fn(usize) -> String| {
            Column::new(Values::Texts((0..ROWS).map(f).collect()), Datum::Text("j".into()))
        };
        let comment = |i: usize| {
            let words =
                ["furiously", "final", "deposits", "sleep", "ironic", "packages", "among", "the", "regular", "quickly"];
            let pick = |n: u32| words[(i.wrapping_mul(2_654_435_761) >> (n * 4)) % words.len()];
            format!("{} {} {} {}", pick(1), pick(2), pick(3), pick(4))
        };
        match encoding {
            Encoding::Constant => ints(&|_| 7, 4096),
            Encoding::Dictionary => ints(&|i| i * 7919 % 100 * 1_000_003, 50_000_000),
            Encoding::Plain => ints(&|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64), 0),
            Encoding::Delta => ints(&|i| i * 1000 + i * 7919 % 997, 4_096_000),
            Encoding::Jumps => ints(&|i| i % 1000 * 10_000_000 + i * 7919 % 4001, 5_000_000_000),
            Encoding::Runs => ints(&|i| i / 4 * 7, 7168),
            Encoding::Sparse => ints(&|i| if i * 7919 % 50 == 3 { i * 1_000_003 } else { 1 << 40 }, 4096),
            Encoding::Planes => ints(&|i| ((i * 7919 % 8191) as f64).sqrt() as i64, 45),
            Encoding::Alp => floats(&|i| (i * 7919 % ROWS) as f64 / 100.0, 40.96),
            // A gauge of one series after the other.
            Encoding::AlpDelta => floats(&|i| (i * 7919 % 201 + i + i / 1000 * 30_000) as f64 / 100.0, 1000.0),
            Encoding::AlpRd => floats(&|i| ((i * 7919 % ROWS) as f64).sqrt(), 64.0),
            Encoding::Words => text(&|i| format!("https://example.org/{}", i * 7919 % 500)),
            Encoding::Stencil => text(&|i| format!("order-{:012}", i * 3)),
            Encoding::Fsst | Encoding::Phrases | Encoding::Zstd => text(&comment),
            Encoding::Frame | Encoding::AllNull => ints(&|i| i * 7919 % 8191, 4096),
        }
    }
}
