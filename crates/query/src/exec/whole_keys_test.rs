//! Aggregates by short decimals beside the same without the rule.

use arrow_array::{Decimal64Array, Int32Array, Int64Array, StringViewArray};
use datafusion::config::ConfigOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{Partitioning, collect};
use heliosdb_runtime::{Entropy, SeededEntropy};

use super::*;

const PRICE: DataType = DataType::Decimal64(5, 2);

/// A text, a price, a number, and what is summed; NULLs in all but the last.
fn rows() -> Arc<dyn ExecutionPlan> {
    let fields = [("name", DataType::Utf8View), ("price", PRICE), ("n", DataType::Int32), ("v", DataType::Int64)];
    let schema = Schema::new(fields.map(|(name, kind)| Field::new(name, kind, name != "v")).to_vec());
    let schema = Arc::new(schema);
    let entropy = SeededEntropy::new(7);
    let below = |count: u64| entropy.next_u64() % count;
    let batch = |rows: usize| {
        let number =
            |count: u64| (0..rows).map(move |_| (below(9) > 0).then(|| below(count) as i64)).collect::<Vec<_>>();
        let names = number(3).into_iter().map(|n| n.map(|n| format!("a name that is number {n}")));
        let prices: Decimal64Array = number(4).into_iter().map(|n| n.map(|n| n * 1050 - 2100)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter(names)),
            Arc::new(prices.with_data_type(PRICE)),
            Arc::new(Int32Array::from_iter(number(3).into_iter().map(|n| n.map(|n| n as i32)))),
            Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|v| v * v))),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let partitions = [vec![batch(300), batch(100)], vec![batch(200)]];
    MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&schema), None).unwrap()
}

fn keys(names: &[&str], schema: &Schema) -> PhysicalGroupBy {
    PhysicalGroupBy::new_single(names.iter().map(|name| (col(name, schema).unwrap(), (*name).to_owned())).collect())
}

/// An aggregate in one stage or in two with an exchange between them.
fn aggregate(names: &[&str], sums: bool, two_stages: bool, limit: Option<usize>) -> Arc<dyn ExecutionPlan> {
    let rows = rows();
    let schema = rows.schema();
    let sum = AggregateExprBuilder::new(sum_udaf(), vec![col("v", &schema).unwrap()]).schema(Arc::clone(&schema));
    let calls = if sums { vec![Arc::new(sum.alias("sum").build().unwrap())] } else { Vec::new() };
    let filters = vec![None; calls.len()];
    let stage = |mode, keys, input| {
        let stage =
            AggregateExec::try_new(mode, keys, calls.clone(), filters.clone(), input, Arc::clone(&schema)).unwrap();
        let limit = limit.map(datafusion::physical_plan::aggregates::LimitOptions::new);
        Arc::new(stage.with_limit_options(limit)) as Arc<dyn ExecutionPlan>
    };
    if !two_stages {
        return stage(AggregateMode::Single, keys(names, &schema), Arc::new(CoalescePartitionsExec::new(rows)));
    }
    let first = stage(AggregateMode::Partial, keys(names, &schema), rows);
    let by = names.iter().map(|name| col(name, &first.schema()).unwrap()).collect();
    let exchange = RepartitionExec::try_new(Arc::clone(&first), Partitioning::Hash(by, 3)).unwrap();
    stage(AggregateMode::FinalPartitioned, keys(names, &first.schema()), Arc::new(exchange))
}

fn result(plan: Arc<dyn ExecutionPlan>) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(collect(plan, Arc::new(TaskContext::default()))).unwrap();
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| batch.slice(row, 1)));
    let mut lines: Vec<String> = rows.map(|row| format!("{:?}", row.columns())).collect();
    lines.sort();
    lines
}

/// The same plan by whole numbers, if the rule has changed it.
fn replaced(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let whole = WHOLE_KEYS.optimize(Arc::clone(plan), &ConfigOptions::default()).unwrap();
    whole.downcast_ref::<ProjectionExec>().is_some().then_some(whole)
}

#[test]
fn groups_by_whole_numbers_are_the_same() {
    for (names, sums, two_stages) in [
        (&["name", "price"][..], true, true),
        (&["price", "n"], true, false),
        (&["name", "price", "n"], false, true),
        (&["n", "price", "name"], false, false),
    ] {
        let plan = aggregate(names, sums, two_stages, None);
        let whole = replaced(&plan).unwrap();
        assert_eq!(whole.schema(), plan.schema());
        let groups = whole.children()[0].schema();
        assert!(groups.fields().iter().all(|field| !matches!(field.data_type(), DataType::Decimal64(..))));
        assert!(result(whole) == result(plan), "{names:?} {sums} {two_stages}");
    }
}

#[test]
fn a_limit_stays_with_the_groups() {
    let plan = aggregate(&["name", "price"], false, true, Some(5));
    let whole = replaced(&plan).unwrap();
    let last = whole.children()[0].downcast_ref::<AggregateExec>().unwrap();
    assert_eq!(last.limit_options().map(|options| options.limit()), Some(5));
}

#[test]
fn one_key_and_keys_that_are_known_stay() {
    for names in [&["price"][..], &["name", "n"]] {
        for two_stages in [true, false] {
            assert!(replaced(&aggregate(names, true, two_stages, None)).is_none(), "{names:?}");
        }
    }
    // A first stage whose last is not there.
    let plan = aggregate(&["name", "price"], true, true, None);
    let first = Arc::clone(plan.children()[0].children()[0]);
    assert!(replaced(&first).is_none());
}
