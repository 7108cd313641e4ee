//! What each encoding costs: a table of size, encode, decode, random rows and filters, on data it suits.
//!
//! `cargo run --release -p heliosdb-hcc --example encodings`. Blocks of 8,192 rows, warm, one thread; the best of several runs.
//! Decode counts Arrow bytes that come out, encode Arrow bytes that go in (choosing included).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the system's clock and may panic"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use heliosdb_hcc::{
    Bitmap, BlockView, ColumnEncoder, CompareOp, EncodeOptions, Encoding, Filter, Predicate, Shared, Temperature,
};
use heliosdb_types::{Datum, PhysicalType};

const ROWS: usize = 8192;

/// A column that suits the encoding, a literal about half of whose rows are above it, and the temperature it belongs to.
fn column(encoding: Encoding) -> (ArrayRef, PhysicalType, Datum) {
    let ints = |f: &dyn Fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(f))) as ArrayRef;
    let floats = |f: &dyn Fn(f64) -> f64| {
        let values = (0..ROWS).map(|i| f((i * 7919 % ROWS) as f64));
        Arc::new(Float64Array::from_iter_values(values)) as ArrayRef
    };
    let text = |f: &dyn Fn(usize) -> String| Arc::new(StringViewArray::from_iter_values((0..ROWS).map(f))) as ArrayRef;
    let comment = |i: usize| {
        let words =
            ["furiously", "final", "deposits", "sleep", "ironic", "packages", "among", "the", "regular", "quickly"];
        let pick = |n: u32| words[(i.wrapping_mul(2_654_435_761) >> (n * 4)) % words.len()];
        format!("{} {} {} {}", pick(1), pick(2), pick(3), pick(4))
    };
    let half = Datum::Int64(4096);
    let middle = Datum::Text("j".into());
    match encoding {
        Encoding::Constant => (ints(&|_| 7), PhysicalType::Int64, half),
        Encoding::Dictionary => (ints(&|i| i * 7919 % 100 * 1_000_003), PhysicalType::Int64, Datum::Int64(50_000_000)),
        Encoding::Plain => {
            (ints(&|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)), PhysicalType::Int64, Datum::Int64(0))
        }
        Encoding::Delta => (ints(&|i| i * 1000 + i * 7919 % 997), PhysicalType::Int64, Datum::Int64(4_096_000)),
        Encoding::Jumps => {
            (ints(&|i| i % 1000 * 10_000_000 + i * 7919 % 4001), PhysicalType::Int64, Datum::Int64(5_000_000_000))
        }
        Encoding::Runs => (ints(&|i| i / 4 * 7), PhysicalType::Int64, Datum::Int64(7168)),
        Encoding::Sparse => {
            (ints(&|i| if i * 7919 % 50 == 3 { i * 1_000_003 } else { 1 << 40 }), PhysicalType::Int64, half)
        }
        Encoding::Planes => {
            (ints(&|i| ((i * 7919 % 8191) as f64).sqrt() as i64), PhysicalType::Int64, Datum::Int64(45))
        }
        Encoding::Alp => (floats(&|i| i / 100.0), PhysicalType::Float64, Datum::Float64(40.96)),
        Encoding::AlpDelta => {
            let values = (0..ROWS).map(|i| (i + i * 7919 % 200) as f64 / 100.0);
            (Arc::new(Float64Array::from_iter_values(values)), PhysicalType::Float64, Datum::Float64(40.96))
        }
        Encoding::AlpRd => (floats(&f64::sqrt), PhysicalType::Float64, Datum::Float64(64.0)),
        Encoding::Words => (text(&|i| format!("https://example.org/{}", i * 7919 % 500)), PhysicalType::Text, middle),
        Encoding::Fsst | Encoding::Phrases | Encoding::Zstd => (text(&comment), PhysicalType::Text, middle),
        _ => (ints(&|i| i * 7919 % 8191), PhysicalType::Int64, half),
    }
}

/// Seconds of the quickest of several runs of `count` calls, for one call.
fn best(count: usize, mut call: impl FnMut(usize)) -> f64 {
    let run = |call: &mut dyn FnMut(usize)| {
        let begun = Instant::now();
        (0..count).for_each(&mut *call);
        begun.elapsed().as_secs_f64() / count as f64
    };
    (0..7).map(|_| run(&mut call)).fold(f64::MAX, f64::min)
}

fn main() {
    println!("| encoding | bits a value | encode MB/s | decode GB/s | random row ns | filtered value ns |");
    println!("|---|---|---|---|---|---|");
    for encoding in Encoding::ALL.into_iter().filter(|encoding| *encoding != Encoding::AllNull) {
        let (array, physical, literal) = column(encoding);
        let options = EncodeOptions { force: Some(encoding), ..EncodeOptions::default() };
        let mut encoder = ColumnEncoder::new(physical, options);
        let block = encoder.encode(&array).unwrap();
        let encode = best(8, |_| drop(black_box(encoder.encode(&array).unwrap())));
        let sections = encoder.finish();
        let shared = Shared::open(sections.into_iter().map(Into::into), physical).unwrap();
        let bits = block.bytes.len() as f64 * 8.0 / ROWS as f64;
        let view = BlockView::open_with(block.bytes.into(), physical, ROWS, &shared).unwrap();
        assert_eq!(&view.decode(0..ROWS).unwrap(), &array);
        // What is read: values, and for strings their bytes.
        let bytes = match physical {
            PhysicalType::Text => array.get_buffer_memory_size(),
            _ => ROWS * 8,
        } as f64;
        let decode = best(32, |_| drop(black_box(view.decode(0..ROWS).unwrap())));
        let slow = matches!(encoding, Encoding::Planes | Encoding::Zstd);
        let mut scratch = Vec::new();
        let row = best(if slow { 64 } else { 4096 }, |i| {
            black_box(view.get(i * 7919 % ROWS, &mut scratch).unwrap());
        });
        let filter = Filter::compile(&Predicate::Compare(CompareOp::Gt, &literal), physical).unwrap();
        let filtered = best(32, |_| {
            let mut selection = Bitmap::all_set(ROWS);
            view.filter(&filter, &mut selection).unwrap();
            black_box(selection.count());
        });
        println!(
            "| {encoding:?} | {bits:.2} | {:.0} | {:.2} | {:.1} | {:.2} |",
            bytes / encode / 1e6,
            bytes / decode / 1e9,
            row * 1e9,
            filtered * 1e9 / ROWS as f64
        );
    }
    // The choice itself, for what young and settled blocks cost to write.
    for temperature in [Temperature::Young, Temperature::Settled, Temperature::Cold] {
        let (mut bytes, mut seconds) = (0.0, 0.0);
        for encoding in [Encoding::Frame, Encoding::Delta, Encoding::Alp, Encoding::Fsst, Encoding::Words] {
            let (array, physical, _) = column(encoding);
            let mut encoder = ColumnEncoder::new(physical, EncodeOptions { temperature, ..EncodeOptions::default() });
            encoder.encode(&array).unwrap();
            seconds += best(4, |_| drop(black_box(encoder.encode(&array).unwrap())));
            bytes += array.get_buffer_memory_size() as f64;
        }
        println!("\n{temperature:?}, freely chosen, five columns: {:.0} MB/s", bytes / seconds / 1e6);
    }
}
