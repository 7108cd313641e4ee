//! Joins whose keys are one number beside DataFusion's own of the same keys.

use arrow_array::cast::AsArray;
use arrow_array::{Date32Array, Int16Array, Int32Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{JoinSide, JoinType};
use datafusion::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;
use heliosdb_runtime::{Entropy, SeededEntropy};

use super::*;
use crate::exec::spill::SPILL_JOINS;

/// Keys of four types around `base`, and a text.
fn schema() -> SchemaRef {
    let kinds = [DataType::Int16, DataType::Int32, DataType::Date32, DataType::Int64, DataType::Utf8];
    let field = |(place, kind): (usize, DataType)| Field::new(format!("c{place}"), kind, true);
    Arc::new(Schema::new(kinds.into_iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// `spread` distinct values of each key, of which one in `nulls` is NULL.
struct Rows {
    seed: u64,
    rows: usize,
    first: i64,
    spread: i64,
    nulls: u64,
}

impl Rows {
    fn batches(&self) -> Vec<RecordBatch> {
        let entropy = SeededEntropy::new(self.seed);
        let number = |base: i64| {
            let random = entropy.next_u64();
            let at = self.first + (random >> 16) as i64 % self.spread;
            (!random.is_multiple_of(self.nulls)).then(|| base.saturating_add(at))
        };
        let batch = |rows: usize| {
            let numbers = |base: i64| (0..rows).map(|_| number(base)).collect::<Vec<_>>();
            let narrow = |values: Vec<Option<i64>>| values.into_iter().map(|v| v.map(|v| v as i32));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int16Array::from_iter(narrow(numbers(-3)).map(|v| v.map(|v| v as i16)))),
                Arc::new(Int32Array::from_iter(narrow(numbers(i64::from(i32::MIN) + 3)))),
                Arc::new(Date32Array::from_iter(narrow(numbers(9000)))),
                Arc::new(Int64Array::from_iter(numbers(i64::MIN))),
                Arc::new(StringArray::from_iter_values(numbers(0).iter().map(|text| format!("{text:?}")))),
            ];
            RecordBatch::try_new(schema(), columns).unwrap()
        };
        (0..4).map(|_| batch(self.rows / 4)).collect()
    }
}

fn source(partitions: &[Vec<RecordBatch>]) -> Arc<dyn ExecutionPlan> {
    MemorySourceConfig::try_new_exec(partitions, schema(), None).unwrap()
}

/// `left.c4 < right.c4`, for pairs of equal keys.
fn filter() -> JoinFilter {
    let texts = Schema::new(vec![Field::new("l", DataType::Utf8, true), Field::new("r", DataType::Utf8, true)]);
    let less = BinaryExpr::new(Arc::new(Column::new("l", 0)), Operator::Lt, Arc::new(Column::new("r", 1)));
    let from = |side| ColumnIndex { index: 4, side };
    JoinFilter::new(Arc::new(less), vec![from(JoinSide::Left), from(JoinSide::Right)], Arc::new(texts))
}

fn join(build: &[RecordBatch], probe: &[RecordBatch], keys: &[usize]) -> HashJoinExecBuilder {
    let key = |place: &usize| Arc::new(Column::new(&format!("c{place}"), *place)) as Arc<dyn PhysicalExpr>;
    let on = keys.iter().map(|place| (key(place), key(place))).collect();
    let (one, other) = probe.split_at(1);
    HashJoinExecBuilder::new(source(&[build.to_vec()]), source(&[one.to_vec(), other.to_vec()]), on, JoinType::Inner)
        .with_partition_mode(PartitionMode::CollectLeft)
}

/// The rows of a plan as sorted text.
fn result(plan: Arc<dyn ExecutionPlan>) -> Vec<String> {
    let context = TaskContext::default().with_session_config(SessionConfig::new().with_batch_size(100));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(collect(plan, Arc::new(context))).unwrap();
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1)));
    let mut lines: Vec<String> = rows.map(|row| format!("{:?}", row.columns())).collect();
    lines.sort();
    lines
}

/// How many arrays a plan's joins have made.
fn arrays(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.metrics().unwrap().sum_by_name("array_map_created_count").map_or(0, |count| count.as_usize())
}

#[test]
fn every_join_has_the_same_rows_by_one_number() {
    use JoinType::*;
    let kinds = [Inner, Left, Right, Full, LeftSemi, RightSemi, LeftAnti, RightAnti, LeftMark, RightMark];
    let build = Rows { seed: 1, rows: 200, first: -3, spread: 4, nulls: 9 }.batches();
    let whole = Rows { seed: 3, rows: 200, first: -3, spread: 4, nulls: u64::MAX }.batches();
    // Below and above what the other side has, too.
    let probe = Rows { seed: 2, rows: 300, first: -2, spread: 8, nulls: 7 }.batches();
    for keys in [&[0, 1][..], &[3, 2], &[2, 1, 0], &[0, 1, 2, 3]] {
        for (kind, filtered) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            for (build, equality, packs) in [
                (&build, NullEquality::NullEqualsNothing, true),
                (&build, NullEquality::NullEqualsNull, false),
                (&whole, NullEquality::NullEqualsNull, true),
            ] {
                let join = || {
                    let join = join(build, &probe, keys).with_type(kind).with_null_equality(equality);
                    join.with_filter(filtered.then(filter)).build().unwrap()
                };
                let plain: Arc<dyn ExecutionPlan> = Arc::new(join());
                let rows = result(Arc::clone(&plain));
                assert!(!rows.is_empty());
                assert_eq!(arrays(&plain), 0);
                assert_eq!(packed(&join(), build).unwrap().is_some(), packs, "{kind} {keys:?}");
                let ours = SPILL_JOINS.optimize(Arc::new(join()), &ConfigOptions::default()).unwrap();
                assert!(result(Arc::clone(&ours)) == rows, "{kind} {keys:?} {filtered} {equality:?}");
                assert_eq!(arrays(&ours), usize::from(packs), "{kind} {keys:?}");
            }
        }
    }
}

#[test]
fn keys_too_far_apart_for_an_array_are_one_number_too() {
    let build = Rows { seed: 1, rows: 2_000, first: 0, spread: 4_000, nulls: 50 }.batches();
    let probe = Rows { seed: 2, rows: 2_000, first: -100, spread: 4_200, nulls: 50 }.batches();
    // So that there are matches.
    let probe = [probe, build.clone()].concat();
    let join = || join(&build, &probe, &[1, 2, 3]).with_type(JoinType::Full).build().unwrap();
    let ours = SPILL_JOINS.optimize(Arc::new(join()), &ConfigOptions::default()).unwrap();
    let rows = result(Arc::clone(&ours));
    assert!(rows == result(Arc::new(join())));
    assert!(packed(&join(), &build).unwrap().is_some_and(|packed| packed.array_bytes == 0));
    assert_eq!(arrays(&ours), 0);
}

#[test]
fn an_array_is_made_where_it_is_small_for_its_rows() {
    assert!(is_array(16 * 300_000, 300_000) && !is_array(16 * 300_000 + 1, 300_000));
    assert!(is_array(1 << 20, 1024) && !is_array((1 << 20) + 1, 1024));
    assert!(is_array(20 * 1024, 20) && !is_array(20 * 1024 + 1, 20));
}

#[test]
fn what_has_no_room_or_no_digits_stays_as_it_is() {
    let wide = |value| {
        let values: Vec<ArrayRef> = vec![
            Arc::new(Int16Array::from(vec![0, 1])),
            Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX])),
            Arc::new(Date32Array::from(vec![None, None])),
            Arc::new(Int64Array::from(vec![0, value])),
            Arc::new(StringArray::from(vec!["a", "b"])),
        ];
        vec![RecordBatch::try_new(schema(), values).unwrap()]
    };
    let packs = |build: &[RecordBatch], keys: &[usize]| {
        packed(&join(build, build, keys).build().unwrap(), build).unwrap().is_some()
    };
    assert!(packs(&wide(1 << 30), &[1, 3]));
    assert!(!packs(&wide(1 << 31), &[1, 3]), "63 bits and one number more");
    assert!(!packs(&wide(i64::MAX), &[0, 3]));
    assert!(!packs(&wide(1), &[0, 2]), "a key without a value");
    assert!(!packs(&wide(1), &[0, 4]), "a text");
    assert!(!packs(&wide(1), &[0]), "one key");
    let empty = [wide(1)[0].slice(0, 0)];
    assert!(!packs(&empty, &[0, 1]), "no rows");
}

#[test]
fn numbers_tell_their_keys() {
    let ranges = [(i64::MIN, i64::MIN + 3), (-5, 5), (7, 7), (i64::MAX - 1, i64::MAX)];
    assert_eq!(Digit::all(&ranges).unwrap().1, 4 * 11 * 2);
    let columns: Vec<Arc<dyn PhysicalExpr>> =
        (0..4).map(|place| Arc::new(Column::new("c", place)) as Arc<dyn PhysicalExpr>).collect();
    let key = PackedKey::within(columns, &ranges);
    assert!(key.parts().map(|(_, least, greatest)| (least, greatest)).eq(ranges));
    let keys = (0..88).map(|number| (0..4).map(|place| key.part_of(number, place).unwrap()).collect::<Vec<_>>());
    let keys: Vec<Vec<i64>> = keys.collect();
    assert!(keys.is_sorted() && keys[0] == [i64::MIN, -5, 7, i64::MAX - 1]);
    assert_eq!(keys[87], [i64::MIN + 3, 5, 7, i64::MAX]);
    let fields: Vec<Field> = (0..4).map(|place| Field::new(format!("c{place}"), DataType::Int64, false)).collect();
    let column = |place: usize| Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| key[place]))) as ArrayRef;
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..4).map(column).collect()).unwrap();
    let numbers = key.evaluate(&batch).unwrap().into_array(88).unwrap();
    assert_eq!(&numbers, &(Arc::new(Int64Array::from_iter_values(0..88)) as ArrayRef));
}

#[test]
fn narrow_keys_make_the_numbers_of_wide_ones() {
    let entropy = SeededEntropy::new(4);
    let ends = [i32::MIN, -6, -5, 0, 1000, 1001, 1 << 20, i32::MAX];
    let values = |_| -> Int32Array {
        let value = |_| match entropy.next_u64() {
            random if random.is_multiple_of(11) => None,
            random if random.is_multiple_of(2) => Some(ends[(random >> 8) as usize % ends.len()]),
            random => Some((random >> 8) as i32),
        };
        (0..3000).map(value).collect()
    };
    let narrow: Vec<Int32Array> = (0..3).map(values).collect();
    let widened = |values: &Int32Array| values.iter().map(|value| value.map(i64::from)).collect::<Int64Array>();
    let wide: Vec<ArrayRef> = narrow.iter().map(|values| Arc::new(widened(values)) as ArrayRef).collect();
    let narrow: Vec<ArrayRef> = narrow.into_iter().map(|values| Arc::new(values) as ArrayRef).collect();
    let (all, few, more) = ((i64::from(i32::MIN), i64::from(i32::MAX)), (-5, 1000), (0, 1 << 20));
    for ranges in [[few, all, more], [all, more, few], [more, few, all]] {
        let numbers = |columns: &[ArrayRef]| {
            let names = ["a", "b", "c"].into_iter();
            let batch =
                RecordBatch::try_from_iter_with_nullable(names.zip(columns).map(|(n, c)| (n, Arc::clone(c), true)));
            let parts = (0..3).map(|place| Arc::new(Column::new("k", place)) as Arc<dyn PhysicalExpr>).collect();
            PackedKey::within(parts, &ranges).evaluate(&batch.unwrap()).unwrap().into_array(3000).unwrap()
        };
        let (narrow, wide) = (numbers(&narrow), numbers(&wide));
        assert_eq!(&narrow, &wide);
        let found = narrow.as_primitive::<arrow_array::types::Int64Type>().values().iter();
        let found = found.filter(|number| **number >= 0).count();
        assert!((50..2900).contains(&found), "{found}");
    }
}
