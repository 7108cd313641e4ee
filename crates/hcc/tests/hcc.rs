//! Every encoding of every type against the plain array: decode, take, single rows, filters; and damaged bytes.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::sync::Arc;

use arrow_array::builder::{BinaryViewBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray, FixedSizeBinaryArray, PrimitiveArray};
use heliosdb_hcc::{
    Bitmap, BlockView, ColumnEncoder, CompareOp, EncodeOptions, EncodedBlock, Encoding, Filter, Predicate, Shared,
    Temperature, collect_stats,
};
use heliosdb_types::{Datum, DatumRef, Interval, KeySet, Numeric, PhysicalType, compare};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[path = "../../../fuzz/driver.rs"]
mod driver;
#[path = "cases/fixtures.rs"]
mod fixtures;
#[path = "cases/sizes.rs"]
mod sizes;

const TYPES: [PhysicalType; 17] = [
    PhysicalType::Bool,
    PhysicalType::Int16,
    PhysicalType::Int32,
    PhysicalType::Int64,
    PhysicalType::Float32,
    PhysicalType::Float64,
    PhysicalType::Decimal64 { precision: 15, scale: 2 },
    PhysicalType::Decimal128 { precision: 38, scale: 4 },
    PhysicalType::Numeric,
    PhysicalType::Text,
    PhysicalType::Bytes,
    PhysicalType::Date,
    PhysicalType::Time,
    PhysicalType::Timestamp,
    PhysicalType::TimestampTz,
    PhysicalType::Interval,
    PhysicalType::Uuid,
];

/// Free choices and every encoding by force.
fn ways() -> impl Iterator<Item = EncodeOptions> {
    let free = [Temperature::Young, Temperature::Settled, Temperature::Cold];
    let free = free.map(|temperature| EncodeOptions { temperature, ..Default::default() });
    let forced = Encoding::ALL.map(|encoding| EncodeOptions { force: Some(encoding), ..Default::default() });
    free.into_iter().chain(forced)
}

/// What a column looks like.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Constant,
    FewValues,
    SmallRange,
    Anything,
    /// The same value for long.
    Runs,
    /// One value, now and then another.
    MostlyOne,
    /// Ever larger, by little: what differences are small of.
    Ascending,
    /// As ascending, and now and then from the start again.
    Series,
    /// Small, but for the extremes.
    Outliers,
}

fn value(rng: &mut StdRng, physical: PhysicalType, shape: Shape) -> Datum {
    let whole: i64 = match shape {
        Shape::Constant => 42,
        Shape::FewValues => [-1_000_000_007, 3, 77, 1 << 30][rng.random_range(0..4)],
        Shape::SmallRange => rng.random_range(-500..20_000),
        Shape::Anything => match rng.random_range(0..20) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => rng.random(),
        },
        Shape::Runs | Shape::MostlyOne | Shape::Ascending | Shape::Series => rng.random_range(-50..5_000),
        Shape::Outliers => match rng.random_range(0..40) {
            0 => [i64::MIN, i64::MAX, i64::MIN + 1, 1 << 40][rng.random_range(0..4)],
            _ => rng.random_range(0..90),
        },
    };
    value_of(whole, physical, shape)
}

fn value_of(whole: i64, physical: PhysicalType, shape: Shape) -> Datum {
    let float = match (shape, whole & 15) {
        (Shape::Anything, 0) => f64::NAN,
        (Shape::Anything, 1) => -0.0,
        (Shape::Anything, 2) => f64::NEG_INFINITY,
        (Shape::Anything, 3) => 0.0,
        _ => whole as f64 / 8.0,
    };
    let text = || match shape {
        Shape::Constant => "constant text".to_owned(),
        Shape::FewValues => ["DELIVER IN PERSON", "", "é", "RAIL"][(whole & 3) as usize].to_owned(),
        Shape::Outliers if whole % 7 == 0 => String::new(),
        Shape::SmallRange | Shape::Runs | Shape::MostlyOne | Shape::Series | Shape::Outliers => {
            format!("Customer#{:09} sleeps quickly; carefully é final deposits", whole.unsigned_abs() % 5000)
        }
        // Of one length.
        Shape::Ascending => format!("order {:015}", whole.rem_euclid(1_000_000_000_000_000)),
        Shape::Anything => (0..(whole.unsigned_abs() % 20))
            .map(|i| char::from_u32((whole.unsigned_abs() as u32 >> i) % 0x300).unwrap_or('x'))
            .collect(),
    };
    match physical {
        PhysicalType::Bool => Datum::Bool(whole & 1 == 1),
        PhysicalType::Int16 => Datum::Int16(whole as i16),
        PhysicalType::Int32 => Datum::Int32(whole as i32),
        PhysicalType::Int64 => Datum::Int64(whole),
        PhysicalType::Float32 => Datum::Float32(float as f32),
        PhysicalType::Float64 => Datum::Float64(float),
        PhysicalType::Decimal64 { scale, .. } => Datum::Decimal { unscaled: (whole % 1_000_000_000_000).into(), scale },
        PhysicalType::Decimal128 { scale, .. } => {
            let wide = if matches!(shape, Shape::Anything) { i128::from(whole) * 1_000_000_007 } else { whole.into() };
            Datum::Decimal { unscaled: wide, scale }
        }
        PhysicalType::Numeric => {
            let scale = (whole & 3) as usize;
            Datum::Numeric(Numeric::parse(&format!("{}.{:0scale$}", whole % 1000, 5)).unwrap())
        }
        PhysicalType::Text => Datum::Text(text()),
        PhysicalType::Bytes => Datum::Bytes(if matches!(shape, Shape::Anything) {
            whole.to_le_bytes()[..(whole & 7) as usize].to_vec()
        } else {
            text().into_bytes()
        }),
        PhysicalType::Date => Datum::Date(whole as i32),
        PhysicalType::Time => Datum::Time(whole.rem_euclid(86_400_000_000)),
        PhysicalType::Timestamp => Datum::Timestamp(whole),
        PhysicalType::TimestampTz => Datum::TimestampTz(whole),
        PhysicalType::Interval => Datum::Interval(Interval {
            months: (whole & 3) as i32 - 1,
            days: (whole >> 2 & 31) as i32,
            micros: whole % 1_000_000_000,
        }),
        PhysicalType::Uuid => Datum::Uuid((whole as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c).to_le_bytes()),
    }
}

macro_rules! primitive {
    ($arrow:ty, $values:expr, $pick:pat => $value:expr) => {
        Arc::new(
            PrimitiveArray::<$arrow>::from_iter($values.iter().map(|datum| match datum {
                $pick => Some($value),
                _ => None,
            }))
            .with_data_type(heliosdb_hcc::arrow_type(PHYSICAL.get())),
        ) as ArrayRef
    };
}

thread_local! { static PHYSICAL: std::cell::Cell<PhysicalType> = const { std::cell::Cell::new(PhysicalType::Bool) } }

fn array_of(values: &[Datum], physical: PhysicalType) -> ArrayRef {
    PHYSICAL.with(|cell| cell.set(physical));
    match physical {
        PhysicalType::Bool => Arc::new(BooleanArray::from_iter(values.iter().map(|v| match v {
            Datum::Bool(v) => Some(*v),
            _ => None,
        }))),
        PhysicalType::Int16 => primitive!(Int16Type, values, Datum::Int16(v) => *v),
        PhysicalType::Int32 => primitive!(Int32Type, values, Datum::Int32(v) => *v),
        PhysicalType::Int64 => primitive!(Int64Type, values, Datum::Int64(v) => *v),
        PhysicalType::Float32 => primitive!(Float32Type, values, Datum::Float32(v) => *v),
        PhysicalType::Float64 => primitive!(Float64Type, values, Datum::Float64(v) => *v),
        PhysicalType::Decimal64 { .. } => {
            primitive!(Decimal64Type, values, Datum::Decimal { unscaled, .. } => *unscaled as i64)
        }
        PhysicalType::Decimal128 { .. } => {
            primitive!(Decimal128Type, values, Datum::Decimal { unscaled, .. } => *unscaled)
        }
        PhysicalType::Date => primitive!(Date32Type, values, Datum::Date(v) => *v),
        PhysicalType::Time => primitive!(Time64MicrosecondType, values, Datum::Time(v) => *v),
        PhysicalType::Timestamp => primitive!(TimestampMicrosecondType, values, Datum::Timestamp(v) => *v),
        PhysicalType::TimestampTz => primitive!(TimestampMicrosecondType, values, Datum::TimestampTz(v) => *v),
        PhysicalType::Interval => {
            primitive!(IntervalMonthDayNanoType, values, Datum::Interval(v) => IntervalMonthDayNano::new(v.months, v.days, v.micros * 1000))
        }
        PhysicalType::Uuid => Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                values.iter().map(|v| match v {
                    Datum::Uuid(v) => Some(v.to_vec()),
                    _ => None,
                }),
                16,
            )
            .unwrap(),
        ),
        PhysicalType::Text => {
            let mut builder = StringViewBuilder::new();
            values.iter().for_each(|v| match v {
                Datum::Text(v) => builder.append_value(v),
                _ => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
        PhysicalType::Bytes | PhysicalType::Numeric => {
            let mut builder = BinaryViewBuilder::new();
            values.iter().for_each(|v| match v {
                Datum::Bytes(v) => builder.append_value(v),
                Datum::Numeric(v) => builder.append_value(v.as_bytes()),
                _ => builder.append_null(),
            });
            Arc::new(builder.finish())
        }
    }
}

fn column(seed: u64, physical: PhysicalType, shape: Shape, rows: usize, nulls: f64) -> Vec<Datum> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut last, mut whole) = (value(&mut rng, physical, shape), rng.random_range(-1_000_000..1_000_000_000_i64));
    let next = |_| {
        if rng.random_bool(nulls) {
            return Datum::Null;
        }
        match shape {
            Shape::Runs if rng.random_bool(0.98) => {}
            Shape::MostlyOne if rng.random_bool(0.95) => return last.clone(),
            Shape::MostlyOne => return value(&mut rng, physical, shape),
            Shape::Ascending | Shape::Series => {
                whole += rng.random_range(0..40);
                if matches!(shape, Shape::Series) && rng.random_bool(0.005) {
                    whole = rng.random_range(-1_000_000_000_000..0);
                }
                last = value_of(whole, physical, shape);
            }
            _ => last = value(&mut rng, physical, shape),
        }
        last.clone()
    };
    (0..rows).map(next).collect()
}

/// Bitwise equality: NaN equals NaN.
fn same(a: &DatumRef<'_>, b: &DatumRef<'_>) -> bool {
    match (a, b) {
        (DatumRef::Float64(a), DatumRef::Float64(b)) => a.to_bits() == b.to_bits(),
        (DatumRef::Float32(a), DatumRef::Float32(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

/// A block and the shared sections it refers to; `None` if the encoding that was forced does not fit.
fn encode(array: &ArrayRef, physical: PhysicalType, options: EncodeOptions) -> Option<(EncodedBlock, Vec<Vec<u8>>)> {
    let mut encoder = ColumnEncoder::new(physical, options);
    let block = encoder.encode(array).ok()?;
    Some((block, encoder.finish()))
}

fn shared(sections: &[Vec<u8>], physical: PhysicalType) -> Shared {
    Shared::open(sections.iter().map(|section| section.clone().into()), physical).unwrap()
}

fn open(array: &ArrayRef, physical: PhysicalType, options: EncodeOptions) -> Option<BlockView> {
    let (block, sections) = encode(array, physical, options)?;
    assert_eq!((block.clone(), sections.clone()), encode(array, physical, options).unwrap(), "not deterministic");
    let shared = shared(&sections, physical);
    let view = BlockView::open_with(block.bytes.into(), physical, array.len(), &shared).unwrap();
    assert_eq!(view.encoding(), block.encoding);
    Some(view)
}

fn forced(encoding: Encoding) -> EncodeOptions {
    EncodeOptions { force: Some(encoding), ..Default::default() }
}

fn check_reads(view: &BlockView, values: &[Datum], array: &ArrayRef, rng: &mut StdRng) {
    let rows = values.len();
    assert_eq!(&view.decode(0..rows).unwrap(), array);
    assert_eq!(view.null_count(), array.null_count());
    let (a, b) = (rng.random_range(0..=rows), rng.random_range(0..=rows));
    let (start, end) = (a.min(b), a.max(b));
    assert_eq!(&view.decode(start..end).unwrap(), &array.slice(start, end - start));
    let mut scratch = Vec::new();
    for _ in 0..40.min(rows) {
        let row = rng.random_range(0..rows);
        let got = view.get(row, &mut scratch).unwrap();
        assert!(same(&got, &values[row].as_ref()), "row {row}: {got:?} is not {:?}", values[row]);
    }
    let dense = rng.random_bool(0.5);
    let picks: Vec<u32> = (0..rows as u32).filter(|_| rng.random_bool(if dense { 0.7 } else { 0.02 })).collect();
    let shuffled: Vec<u32> = (0..10.min(rows)).map(|_| rng.random_range(0..rows as u32)).collect();
    for picks in [picks, shuffled] {
        let expected: Vec<Datum> = picks.iter().map(|row| values[*row as usize].clone()).collect();
        assert_eq!(&view.take(&picks).unwrap(), &array_of(&expected, view.physical()));
    }
    assert!(view.take(&[rows as u32]).is_err());
}

fn whole_number(value: &Datum) -> Option<i64> {
    match value {
        Datum::Int16(v) => Some(i64::from(*v)),
        Datum::Int32(v) | Datum::Date(v) => Some(i64::from(*v)),
        Datum::Int64(v) => Some(*v),
        _ => None,
    }
}

/// Sets around some of the values: with some of the numbers between two of them, or a part of that, and what is outside or not.
fn check_sets(view: &BlockView, values: &[Datum], array: &ArrayRef, rng: &mut StdRng) {
    let numbers: Vec<i64> = values.iter().filter_map(whole_number).collect();
    let Some(&first) = numbers.first() else { return };
    for (share, span, elsewhere) in [(0.5, 1 << 12, false), (0.9, 1 << 16, true), (0.0, 100, true), (1.0, 64, false)] {
        let one = numbers[rng.random_range(0..numbers.len())];
        let low = first.min(one).saturating_sub(rng.random_range(0..100));
        let mut set = KeySet::new(low, span, elsewhere);
        numbers.iter().filter(|_| rng.random_bool(share)).for_each(|number| set.insert(*number));
        check_filter(view, &Predicate::Member(&Arc::new(set)), values, array, rng);
    }
}

fn matches(predicate: &Predicate<'_>, value: &Datum) -> bool {
    let test = |op: CompareOp, literal: &Datum| {
        if value.is_null() || literal.is_null() {
            return false;
        }
        let ordering = compare(value.as_ref(), literal.as_ref());
        match op {
            CompareOp::Eq => ordering.is_eq(),
            CompareOp::NotEq => ordering.is_ne(),
            CompareOp::Lt => ordering.is_lt(),
            CompareOp::LtEq => ordering.is_le(),
            CompareOp::Gt => ordering.is_gt(),
            CompareOp::GtEq => ordering.is_ge(),
        }
    };
    match predicate {
        Predicate::Compare(op, literal) => test(*op, literal),
        Predicate::In(list) => list.iter().any(|literal| test(CompareOp::Eq, literal)),
        Predicate::IsNull => value.is_null(),
        Predicate::IsNotNull => !value.is_null(),
        Predicate::StartsWith(prefix) => matches!(value, Datum::Text(text) if text.starts_with(prefix)),
        Predicate::Contains(needle) => matches!(value, Datum::Text(text) if text.contains(needle)),
        Predicate::Member(set) => whole_number(value).is_some_and(|number| set.contains(number)),
    }
}

fn check_filter(view: &BlockView, predicate: &Predicate<'_>, values: &[Datum], array: &ArrayRef, rng: &mut StdRng) {
    let filter = Filter::compile(predicate, view.physical()).unwrap();
    let stats = collect_stats(array, view.physical()).unwrap();
    let expected: Vec<u32> =
        (0..values.len()).filter(|row| matches(predicate, &values[*row])).map(|row| row as u32).collect();
    let mut selection = Bitmap::all_set(values.len());
    view.filter(&filter, &mut selection).unwrap();
    assert_eq!(selection.rows(), expected, "{:?} {predicate:?}", view.encoding());
    assert!(expected.is_empty() || filter.may_match(&stats), "a zone map hides rows: {predicate:?} {stats:?}");
    assert!(!filter.must_match(&stats) || expected.len() == values.len(), "a zone map proves too much: {predicate:?}");
    // A selection that is part empty already stays within itself, for few and for many rows.
    for share in [0.01, 0.8] {
        let mut some = Bitmap::all_clear(values.len());
        (0..values.len()).filter(|_| rng.random_bool(share)).for_each(|row| some.set(row));
        let wanted: Vec<u32> = expected.iter().copied().filter(|row| some.get(*row as usize)).collect();
        view.filter(&filter, &mut some).unwrap();
        assert_eq!(some.rows(), wanted, "{:?} {predicate:?} on a part", view.encoding());
    }
    for (row, value) in values.iter().enumerate().take(50) {
        assert_eq!(filter.matches(&value.as_ref()), matches(predicate, value), "row {row} {predicate:?}");
    }
}

fn check_filters(view: &BlockView, values: &[Datum], array: &ArrayRef, shape: Shape, rng: &mut StdRng) {
    let physical = view.physical();
    let literal = |rng: &mut StdRng| match rng.random_range(0..3) {
        0 if !values.is_empty() => values[rng.random_range(0..values.len())].clone(),
        1 => value(rng, physical, Shape::Anything),
        _ => value(rng, physical, shape),
    };
    let ops = [CompareOp::Eq, CompareOp::NotEq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq];
    for op in ops {
        check_filter(view, &Predicate::Compare(op, &literal(rng)), values, array, rng);
        if physical == PhysicalType::Text {
            check_filter(view, &Predicate::Compare(op, &Datum::Text(String::new())), values, array, rng);
        }
    }
    for count in [0, 2, 9] {
        let list: Vec<Datum> = (0..count).map(|_| literal(rng)).collect();
        check_filter(view, &Predicate::In(&list), values, array, rng);
    }
    if matches!(physical, PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64 | PhysicalType::Date) {
        check_sets(view, values, array, rng);
    }
    check_filter(view, &Predicate::Compare(CompareOp::NotEq, &Datum::Null), values, array, rng);
    check_filter(view, &Predicate::IsNull, values, array, rng);
    check_filter(view, &Predicate::IsNotNull, values, array, rng);
    if physical == PhysicalType::Text {
        for piece in ["", "C", "Customer#00000", "é", "7 sl", "DELIVER", "final deposits", "deposits"] {
            check_filter(view, &Predicate::StartsWith(piece), values, array, rng);
            check_filter(view, &Predicate::Contains(piece), values, array, rng);
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let shapes = [
        Shape::Constant,
        Shape::FewValues,
        Shape::SmallRange,
        Shape::Anything,
        Shape::Runs,
        Shape::MostlyOne,
        Shape::Ascending,
        Shape::Series,
        Shape::Outliers,
    ];
    proptest::sample::select(shapes.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn every_encoding_reads_and_filters_as_the_array(
        seed: u64,
        shape in shapes(),
        rows in prop_oneof![Just(1_usize), 2_usize..200, Just(1024), 1025_usize..2200],
        nulls in prop_oneof![Just(0.0), Just(0.1), Just(0.9), Just(1.0)],
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        for physical in TYPES {
            let values = column(seed, physical, shape, rows, nulls);
            let array = array_of(&values, physical);
            for options in ways() {
                let Some(view) = open(&array, physical, options) else {
                    prop_assert!(options.force.is_some(), "the free choice failed");
                    continue;
                };
                check_reads(&view, &values, &array, &mut rng);
                check_filters(&view, &values, &array, shape, &mut rng);
            }
        }
    }

    #[test]
    fn damaged_bytes_never_panic(seed: u64, shape in shapes(), rows in 1_usize..300) {
        let mut rng = StdRng::seed_from_u64(seed);
        for physical in TYPES {
            let values = column(seed, physical, shape, rows, 0.1);
            let array = array_of(&values, physical);
            for options in ways() {
                let Some((block, mut sections)) = encode(&array, physical, options) else { continue };
                let whole = shared(&sections, physical);
                for _ in 0..12 {
                    let mut bytes = block.bytes.clone();
                    damage(&mut bytes, &mut rng);
                    use_damaged(bytes, physical, rows, &whole);
                }
                for section in &mut sections {
                    damage(section, &mut rng);
                }
                if let Ok(damaged) = Shared::open(sections.into_iter().map(|section| section.into()), physical) {
                    use_damaged(block.bytes, physical, rows, &damaged);
                }
            }
        }
    }
}

/// The property above is about every encoding: each is written by force, or inside another, for some type and shape.
#[test]
fn every_encoding_is_met() {
    let mut met = std::collections::BTreeSet::new();
    for physical in TYPES {
        for shape in [Shape::Constant, Shape::FewValues, Shape::SmallRange, Shape::Anything, Shape::MostlyOne] {
            for (rows, nulls) in [(300, 0.1), (300, 1.0)] {
                let array = array_of(&column(3, physical, shape, rows, nulls), physical);
                met.extend(
                    ways().filter_map(|options| encode(&array, physical, options)).map(|(block, _)| block.encoding),
                );
            }
        }
    }
    let missing: Vec<Encoding> = Encoding::ALL.into_iter().filter(|encoding| !met.contains(encoding)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Every encoding of every type; an input's first two bytes say which block it pretends to be.
#[test]
fn fuzz_encoding() {
    let (mut kinds, mut seeds) = (Vec::new(), Vec::new());
    for physical in TYPES {
        // The last is long enough for packed chunks.
        for (shape, rows) in [(Shape::FewValues, 200), (Shape::Anything, 200), (Shape::Series, 1100)] {
            let array = array_of(&column(7, physical, shape, rows, 0.1), physical);
            for options in ways() {
                let Some((block, sections)) = encode(&array, physical, options) else { continue };
                seeds.push([&(kinds.len() as u16).to_le_bytes()[..], &block.bytes].concat());
                kinds.push((physical, rows, shared(&sections, physical)));
            }
        }
    }
    driver::fuzz("encoding", &seeds, &[], |bytes| {
        let Some((&kind, block)) = bytes.split_first_chunk::<2>() else { return };
        let Some((physical, rows, shared)) = kinds.get(usize::from(u16::from_le_bytes(kind))) else { return };
        use_damaged(block.to_vec(), *physical, *rows, shared);
    });
}

/// A sorted block is searched on its encoded form.
#[test]
fn sorted_blocks_are_searched() {
    for physical in TYPES {
        for shape in [Shape::Constant, Shape::FewValues, Shape::SmallRange, Shape::Anything] {
            let mut values = column(5, physical, shape, 1500, 0.0);
            values.sort_by(|a, b| compare(a.as_ref(), b.as_ref()));
            let array = array_of(&values, physical);
            for options in ways() {
                let Some(view) = open(&array, physical, options) else { continue };
                let mut rng = StdRng::seed_from_u64(9);
                for at in 0..30 {
                    let wanted =
                        if at % 2 == 0 { values[at * 49].clone() } else { value(&mut rng, physical, Shape::Anything) };
                    let Some(found) = view.equal_range(100..1400, &wanted).unwrap() else {
                        let numeric = physical == PhysicalType::Numeric;
                        match view.encoding() {
                            Encoding::Sparse | Encoding::Zstd => {}
                            Encoding::Fsst | Encoding::Phrases | Encoding::Runs => assert!(numeric),
                            other => panic!("{other:?} cannot be searched"),
                        }
                        continue;
                    };
                    let order = |row: usize| compare(values[row].as_ref(), wanted.as_ref());
                    let expected = (100..1400).filter(|row| order(*row).is_eq()).count();
                    assert_eq!(found.len(), expected, "{physical:?} {:?} {wanted:?}", view.encoding());
                    assert_eq!(found.start, 100 + (100..1400).filter(|row| order(*row).is_lt()).count());
                }
                assert_eq!(view.equal_range(0..10, &Datum::Null).unwrap(), None);
            }
        }
    }
}

/// Flips bits (mostly near the front, where lengths are), cuts, or appends.
fn damage(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    if bytes.is_empty() {
        return;
    }
    match rng.random_range(0..8) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => bytes.extend_from_slice(&[0xff; 40]),
        2..=5 => {
            let at = rng.random_range(0..bytes.len().min(96));
            bytes[at] = rng.random();
        }
        _ => {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
    }
}

fn use_damaged(bytes: Vec<u8>, physical: PhysicalType, rows: usize, shared: &Shared) {
    let Ok(view) = BlockView::open_with(bytes.into(), physical, rows, shared) else { return };
    if let Ok(array) = view.decode(0..rows) {
        assert_eq!(array.len(), rows);
        array.to_data().validate_full().unwrap();
    }
    let _ = view.take(&[0, rows as u32 - 1]);
    let _ = view.take(&(0..rows as u32).step_by(3).collect::<Vec<u32>>());
    let mut scratch = Vec::new();
    (0..rows.min(20)).for_each(|row| drop(view.get(row, &mut scratch).map(|_| ())));
    (0..rows).step_by(97).for_each(|row| drop(view.get(row, &mut scratch).map(|_| ())));
    let literal = value(&mut StdRng::seed_from_u64(1), physical, Shape::SmallRange);
    if let Ok(Some(found)) = view.equal_range(rows / 3..rows, &literal) {
        assert!(rows / 3 <= found.start && found.start <= found.end && found.end <= rows, "{found:?} of {rows}");
    }
    for op in [CompareOp::Eq, CompareOp::Lt] {
        let filter = Filter::compile(&Predicate::Compare(op, &literal), physical).unwrap();
        let _ = view.filter(&filter, &mut Bitmap::all_set(rows));
    }
    if physical == PhysicalType::Text {
        let filter = Filter::compile(&Predicate::Contains("final"), physical).unwrap();
        let _ = view.filter(&filter, &mut Bitmap::all_set(rows));
    }
}

/// A block of lineitem-like columns lands well below a quarter of its CSV.
#[test]
fn lineitem_compresses() {
    let rows = 8192;
    let mut rng = StdRng::seed_from_u64(7);
    let words = [
        "furiously",
        "slyly",
        "final",
        "deposits",
        "requests",
        "sleep",
        "carefully",
        "quickly",
        "among",
        "the",
        "ironic",
        "packages",
        "regular",
        "accounts",
    ];
    let mut columns: Vec<(PhysicalType, Vec<Datum>)> = Vec::new();
    let mut ints =
        |low: i64, high: i64| -> Vec<Datum> { (0..rows).map(|_| Datum::Int64(rng.random_range(low..high))).collect() };
    columns.push((PhysicalType::Int64, (0..rows as i64).map(|i| Datum::Int64(i / 4 * 4 + 1_000_000)).collect()));
    for (low, high) in [(1, 200_000), (1, 10_000), (1, 8)] {
        columns.push((PhysicalType::Int64, ints(low, high)));
    }
    let decimal = PhysicalType::Decimal64 { precision: 15, scale: 2 };
    for (low, high, step) in [(1, 51, 100), (90_000, 10_000_000, 1), (0, 11, 1), (0, 9, 1)] {
        let values = ints(low, high).into_iter().map(|v| match v {
            Datum::Int64(v) => Datum::Decimal { unscaled: i128::from(v * step), scale: 2 },
            other => other,
        });
        columns.push((decimal, values.collect()));
    }
    for _ in 0..3 {
        columns.push((
            PhysicalType::Date,
            ints(8_000, 10_500)
                .into_iter()
                .map(|v| match v {
                    Datum::Int64(v) => Datum::Date(v as i32),
                    other => other,
                })
                .collect(),
        ));
    }
    for list in [
        &["A", "N", "R"][..],
        &["F", "O"],
        &["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"],
        &["AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB", "REG AIR"],
    ] {
        columns.push((
            PhysicalType::Text,
            (0..rows).map(|_| Datum::Text(list[rng.random_range(0..list.len())].into())).collect(),
        ));
    }
    let comment = |rng: &mut StdRng| {
        (0..rng.random_range(2..6)).map(|_| words[rng.random_range(0..words.len())]).collect::<Vec<_>>().join(" ")
    };
    columns.push((PhysicalType::Text, (0..rows).map(|_| Datum::Text(comment(&mut rng))).collect()));
    let (mut encoded, mut csv) = (0, 0);
    for (physical, values) in &columns {
        let array = array_of(values, *physical);
        let block = ColumnEncoder::new(*physical, EncodeOptions::default()).encode(&array).unwrap();
        encoded += block.bytes.len();
        csv += values.iter().map(|v| match v {
            Datum::Int64(v) => v.to_string().len(),
            Datum::Decimal { unscaled, .. } => unscaled.to_string().len() + 1,
            Datum::Date(_) => 10,
            Datum::Text(v) => v.len(),
            _ => 0,
        } + 1).sum::<usize>();
    }
    assert!(encoded * 4 < csv, "{encoded} bytes against {csv} of CSV");
}

/// Dictionary strings come out as views over one shared buffer.
#[test]
fn dictionaries_share_their_strings() {
    let values: Vec<Datum> = (0..4000).map(|i| Datum::Text(format!("a long enough string {}", i % 5))).collect();
    let view = open(&array_of(&values, PhysicalType::Text), PhysicalType::Text, forced(Encoding::Dictionary)).unwrap();
    let decoded = view.decode(0..4000).unwrap();
    let buffers = decoded.as_string_view().data_buffers();
    assert_eq!(buffers.len(), 1);
    assert!(buffers[0].len() < 200);
}

/// Choices that the format's size depends on.
#[test]
fn the_expected_encoding_is_chosen() {
    let choose = |values: Vec<Datum>, physical, temperature| {
        let options = EncodeOptions { temperature, ..Default::default() };
        open(&array_of(&values, physical), physical, options).unwrap().encoding()
    };
    let young = |values, physical| choose(values, physical, Temperature::Young);
    let settled = |values, physical| choose(values, physical, Temperature::Settled);
    let ints = |f: fn(i64) -> i64| (0..4096).map(|i| Datum::Int64(f(i))).collect::<Vec<_>>();
    assert_eq!(young(ints(|_| 7), PhysicalType::Int64), Encoding::Constant);
    assert_eq!(young(ints(|i| i * 1999 % 4093), PhysicalType::Int64), Encoding::Frame);
    assert_eq!(young(ints(|i| (i % 9) * (1 << 40) + i % 3), PhysicalType::Int64), Encoding::Dictionary);
    assert_eq!(young(ints(|i| i * 1_000_003), PhysicalType::Int64), Encoding::Delta);
    // Ticks of one series after the other.
    let ticks = ints(|i| i % 900 * 10_000_000 + i * 7919 % 4001);
    assert_eq!(young(ticks.clone(), PhysicalType::Int64), Encoding::Jumps);
    assert_eq!(settled(ticks, PhysicalType::Int64), Encoding::Jumps);
    assert_eq!(young(ints(|i| i / 100 * 7919 % 1013), PhysicalType::Int64), Encoding::Runs);
    assert_eq!(young(ints(|i| if i % 40 == 0 { i * 7919 } else { i % 8 }), PhysicalType::Int64), Encoding::Frame);
    assert_eq!(young(vec![Datum::Null; 10], PhysicalType::Text), Encoding::AllNull);
    let text = |f: fn(usize) -> String| (0..4096).map(|i| Datum::Text(f(i))).collect::<Vec<_>>();
    let comment = |i: usize| {
        let words = ["furiously", "final", "deposits", "sleep", "ironic", "packages", "among", "the", "regular"];
        let pick = |n: usize| words[i.wrapping_mul(2_654_435_761).rotate_right(n as u32 * 5) % words.len()];
        format!("{} {} {} {i}", pick(1), pick(2), pick(3))
    };
    assert_eq!(young(text(comment), PhysicalType::Text), Encoding::Fsst);
    assert_eq!(settled(text(comment), PhysicalType::Text), Encoding::Phrases);
    let entries = (0..4096_u64).map(|i| Datum::Bytes([&[1][..], &(i / 10).to_be_bytes(), &i.to_be_bytes()].concat()));
    let entries: Vec<Datum> = entries.collect();
    assert_eq!(young(entries.clone(), PhysicalType::Bytes), Encoding::Stencil);
    assert_eq!(settled(entries, PhysicalType::Bytes), Encoding::Stencil);
    assert_eq!(young(text(|i| ["AIR", "RAIL"][i * 7 % 11 % 2].into()), PhysicalType::Text), Encoding::Words);
    let rare = text(|i| if i % 50 == 0 { format!("error {i}") } else { "ok".into() });
    assert!(matches!(settled(rare, PhysicalType::Text), Encoding::Sparse | Encoding::Runs));
    let floats = |f: fn(i32) -> f64| (0..4096).map(|i| Datum::Float64(f(i))).collect::<Vec<_>>();
    assert_eq!(young(floats(|i| f64::from(i * 7919 % 100_003) / 100.0), PhysicalType::Float64), Encoding::Alp);
    assert_eq!(young(floats(|i| f64::from(i).sqrt()), PhysicalType::Float64), Encoding::AlpRd);
    // A gauge that wanders, of one series after the other.
    let gauge = floats(|i| f64::from(i * 7919 % 101 + i * 3 + i / 700 * 500_000) / 100.0);
    assert_eq!(young(gauge.clone(), PhysicalType::Float64), Encoding::AlpDelta);
    assert_eq!(settled(gauge, PhysicalType::Float64), Encoding::AlpDelta);
    let skewed = ints(|i| ((i * 7919 % 4093) as f64).sqrt().exp2() as i64);
    assert_eq!(choose(skewed, PhysicalType::Int64, Temperature::Cold), Encoding::Planes);
}

/// A list of words, or phrases, is written once for all blocks of a column.
#[test]
fn blocks_share_what_was_learnt() {
    let url = |i: usize| Datum::Text(format!("https://example.org/articles/{:05}/comments?page=1", i * 7919 % 700));
    let options = EncodeOptions { temperature: Temperature::Settled, ..Default::default() };
    let mut encoder = ColumnEncoder::new(PhysicalType::Text, options);
    let blocks: Vec<(ArrayRef, EncodedBlock)> = (0..6)
        .map(|block| {
            let values: Vec<Datum> = (block * 3000..(block + 1) * 3000).map(url).collect();
            let array = array_of(&values, PhysicalType::Text);
            let encoded = encoder.encode(&array).unwrap();
            (array, encoded)
        })
        .collect();
    let sections = encoder.finish();
    assert_eq!(sections.len(), 1);
    let shared = shared(&sections, PhysicalType::Text);
    let raw = 6 * 3000 * 51;
    let stored: usize = blocks.iter().map(|(_, block)| block.bytes.len()).sum::<usize>() + sections[0].len();
    assert!(stored * 20 < raw, "{stored} bytes of {raw}");
    for (array, block) in &blocks {
        assert_eq!(block.encoding, Encoding::Words);
        let view = BlockView::open_with(block.bytes.clone().into(), PhysicalType::Text, 3000, &shared).unwrap();
        assert_eq!(&view.decode(0..3000).unwrap(), array);
        // Without its sections, or with another column's, a block is damaged, not misread.
        assert!(BlockView::open(block.bytes.clone().into(), PhysicalType::Text, 3000).is_err());
    }
}

/// The plan says what was weighed.
#[test]
fn plans_explain_themselves() {
    let values: Vec<Datum> = (0..4096).map(|i| Datum::Int64(i * i % 1000)).collect();
    let array = array_of(&values, PhysicalType::Int64);
    let mut encoder = ColumnEncoder::new(PhysicalType::Int64, EncodeOptions::default());
    let (block, plan) = encoder.encode_explained(&array).unwrap();
    let text = plan.unwrap().explain();
    assert!(text.starts_with(&format!("{:?} for 4096 Young rows", block.encoding)), "{text}");
    assert!(text.contains("Frame") && text.contains("Plain") && text.contains("bits a row"), "{text}");
}

/// What is estimated is about what is written: choices rest on it.
#[test]
fn sizes_are_known_before_anything_is_written() {
    for physical in TYPES {
        for shape in [
            Shape::FewValues,
            Shape::SmallRange,
            Shape::Runs,
            Shape::MostlyOne,
            Shape::Ascending,
            Shape::Series,
            Shape::Outliers,
        ] {
            let array = array_of(&column(11, physical, shape, 1100, 0.0), physical);
            for mut options in ways() {
                if options.force.is_some() {
                    // Where every encoding is weighed.
                    options.temperature = Temperature::Cold;
                }
                let mut encoder = ColumnEncoder::new(physical, options);
                let Ok((block, Some(plan))) = encoder.encode_explained(&array) else { continue };
                let candidate = plan.candidates.iter().find(|candidate| candidate.encoding == block.encoding);
                let Some(candidate) = candidate else { panic!("{:?} was chosen unweighed", block.encoding) };
                // Lists of words are weighed with what they add to the shared section.
                let shared = if block.encoding == Encoding::Words { encoder.learnt_bytes() } else { 0 };
                let written = block.bytes.len() - 16;
                let near = candidate.bytes.abs_diff(written) <= 64 + written / 20 + shared;
                assert!(near, "{physical:?} {shape:?} {:?}: {} of {written}", block.encoding, candidate.bytes);
            }
        }
    }
}

/// All but a few rows hold the smallest value (or differ by the same): nothing is packed, and the exceptions are kept.
#[test]
fn exceptions_are_kept_where_nothing_is_packed() {
    for rows in [100, 1024, 5000] {
        let zeros: Vec<Datum> = (0..rows).map(|i| Datum::Int64(if i % 50 == 3 { i * 7919 } else { 0 })).collect();
        let steps: Vec<Datum> = (0..rows).map(|i| Datum::Int64(i / 90 * 1_000_000 + i)).collect();
        for values in [zeros, steps] {
            let array = array_of(&values, PhysicalType::Int64);
            for options in ways() {
                let Some(view) = open(&array, PhysicalType::Int64, options) else { continue };
                assert_eq!(&view.decode(0..rows as usize).unwrap(), &array, "{:?} {options:?}", view.encoding());
            }
        }
        let floats: Vec<Datum> =
            (0..rows).map(|i| Datum::Float64(if i % 50 == 3 { i as f64 / 4.0 + 1e300 } else { 0.0 })).collect();
        let array = array_of(&floats, PhysicalType::Float64);
        for options in ways() {
            let Some(view) = open(&array, PhysicalType::Float64, options) else { continue };
            assert_eq!(&view.decode(0..rows as usize).unwrap(), &array, "{:?} {options:?}", view.encoding());
        }
    }
}
