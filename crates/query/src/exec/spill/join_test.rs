//! Joins with little memory beside the same joins with much.

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{Partitioning, collect};
use heliosdb_runtime::{Entropy, SeededEntropy};

use super::super::place::Place;
use super::*;

fn schema(side: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(format!("{side}_key"), DataType::Int64, true),
        Field::new(format!("{side}_text"), DataType::Utf8, false),
    ]))
}

/// Rows of two partitions: keys many of which are there several times, on one side only, or NULL.
fn rows(side: &str, rows: usize, keys: i64, seed: u64) -> Arc<dyn ExecutionPlan> {
    let entropy = SeededEntropy::new(seed);
    let random = |below: i64| (entropy.next_u64() % below as u64) as i64;
    let batch = |rows: usize| {
        let keys: Vec<Option<i64>> = (0..rows).map(|_| (random(20) != 0).then(|| random(keys))).collect();
        let texts: Vec<String> = (0..rows).map(|_| format!("{side} {:020}", random(1000))).collect();
        let columns: [arrow_array::ArrayRef; 2] =
            [Arc::new(Int64Array::from(keys)), Arc::new(StringArray::from(texts))];
        RecordBatch::try_new(schema(side), columns.to_vec()).unwrap()
    };
    let partitions: Vec<Vec<RecordBatch>> = (0..2).map(|_| (0..4).map(|_| batch(rows / 8)).collect()).collect();
    MemorySourceConfig::try_new_exec(&partitions, schema(side), None).unwrap()
}

fn divided(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let key = Arc::new(Column::new(plan.schema().field(0).name(), 0));
    Arc::new(RepartitionExec::try_new(plan, Partitioning::Hash(vec![key], 3)).unwrap())
}

/// `l_text < r_text`, for pairs of equal keys.
fn filter() -> JoinFilter {
    let schema = Schema::new(vec![Field::new("l", DataType::Utf8, false), Field::new("r", DataType::Utf8, false)]);
    let less = BinaryExpr::new(Arc::new(Column::new("l", 0)), Operator::Lt, Arc::new(Column::new("r", 1)));
    let from = |side| ColumnIndex { index: 1, side };
    JoinFilter::new(Arc::new(less), vec![from(JoinSide::Left), from(JoinSide::Right)], Arc::new(schema))
}

fn join(kind: JoinType, mode: PartitionMode, rows_each: usize, keys: i64, filter: Option<JoinFilter>) -> HashJoinExec {
    let (left, right) = (rows("l", rows_each, keys, 1), rows("r", rows_each, keys, 2));
    let (left, right) = match mode {
        PartitionMode::CollectLeft => (Arc::new(CoalescePartitionsExec::new(left)) as Arc<dyn ExecutionPlan>, right),
        _ => (divided(left), divided(right)),
    };
    let on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)> =
        vec![(Arc::new(Column::new("l_key", 0)), Arc::new(Column::new("r_key", 0)))];
    HashJoinExec::try_new(left, right, on, filter, &kind, None, mode, NullEquality::NullEqualsNothing, false).unwrap()
}

fn place(bytes: usize) -> Place {
    Place::new(bytes, 100)
}

/// The rows of a plan as sorted text.
fn result(plan: Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let batches = runtime.block_on(collect(plan, Arc::clone(context))).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            lines.push(format!("{:?}", batch.slice(row, 1).columns()));
        }
    }
    lines.sort();
    Ok(lines)
}

fn spilled(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.metrics().unwrap().spilled_rows().unwrap_or(0)
}

#[test]
fn every_join_has_the_same_rows_with_little_memory() {
    use JoinType::*;
    let kinds = [Inner, Left, Right, Full, LeftSemi, RightSemi, LeftAnti, RightAnti, LeftMark, RightMark];
    for (kind, mode, filtered) in kinds.into_iter().flat_map(|kind| {
        let modes = [PartitionMode::CollectLeft, PartitionMode::Partitioned];
        modes.into_iter().flat_map(move |mode| [(kind, mode, false), (kind, mode, true)])
    }) {
        let join = || join(kind, mode, 800, 150, filtered.then(filter));
        let plain = result(Arc::new(join()), &place(1 << 30).context).unwrap();
        let (much, little) = (place(1 << 30), place(40_000));
        for (place, spills) in [(&much, false), (&little, true)] {
            let plan: Arc<dyn ExecutionPlan> = Arc::new(SpillJoinExec::new(&join(), 0).unwrap());
            let rows = result(Arc::clone(&plan), &place.context).unwrap();
            assert!(rows == plain, "{kind} {mode:?} {filtered}: {} rows for {}", rows.len(), plain.len());
            assert_eq!(spilled(&plan) > 0, spills, "{kind} {mode:?}");
            drop(plan);
            assert_eq!(place.held(), 0);
            assert_eq!(place.files(), 0);
        }
    }
}

#[test]
fn parts_that_are_still_too_large_are_divided_again() {
    let join = || join(JoinType::Full, PartitionMode::CollectLeft, 8_000, 100_000, None);
    let plain = result(Arc::new(join()), &place(1 << 30).context).unwrap();
    let place = place(60_000);
    let plan: Arc<dyn ExecutionPlan> = Arc::new(SpillJoinExec::new(&join(), 0).unwrap());
    assert!(result(Arc::clone(&plan), &place.context).unwrap() == plain);
    assert!(spilled(&plan) > 16_000, "{} rows were written: both sides once", spilled(&plan));
}

#[test]
fn one_key_that_memory_does_not_hold_is_said_to_be_too_much() {
    let join = join(JoinType::LeftSemi, PartitionMode::Partitioned, 8_000, 1, None);
    let place = place(60_000);
    let plan: Arc<dyn ExecutionPlan> = Arc::new(SpillJoinExec::new(&join, 0).unwrap());
    let error = result(plan, &place.context).unwrap_err();
    assert!(error.contains("HashJoinInput"), "{error}");
    assert_eq!(place.held(), 0);
}

#[test]
fn a_partition_that_is_dropped_unasked_takes_nothing_from_the_others() {
    for (mode, parts) in [(PartitionMode::CollectLeft, 2), (PartitionMode::Partitioned, 3)] {
        for dropped in 0..parts {
            let join = || join(JoinType::Inner, mode, 800, 150, None);
            let place = place(1 << 30);
            let rows_of = |plan: &dyn ExecutionPlan, skipped: Option<usize>| {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
                runtime.block_on(async {
                    if let Some(part) = skipped {
                        drop(plan.execute(part, Arc::clone(&place.context)).unwrap());
                    }
                    let mut rows = 0;
                    for part in (0..parts).filter(|part| *part != dropped) {
                        let batches = plan.execute(part, Arc::clone(&place.context)).unwrap();
                        let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
                        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
                    }
                    rows
                })
            };
            let expected = rows_of(&join(), None);
            assert!(expected > 100, "{expected}");
            assert_eq!(
                rows_of(&SpillJoinExec::new(&join(), 0).unwrap(), Some(dropped)),
                expected,
                "{mode:?} {dropped}"
            );
        }
    }
}
