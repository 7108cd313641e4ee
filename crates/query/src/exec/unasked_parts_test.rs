//! Which joins keep their filters.

use arrow_schema::{DataType, Field, Schema};
use datafusion::common::{JoinType, NullEquality};
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, lit};
use datafusion::physical_plan::Partitioning;
use datafusion::physical_plan::empty::EmptyExec;

use super::*;

fn leaf() -> Arc<dyn ExecutionPlan> {
    let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
    divided(Arc::new(EmptyExec::new(Arc::new(schema))))
}

fn divided(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let key = Arc::new(Column::new("k", 0));
    Arc::new(RepartitionExec::try_new(plan, Partitioning::Hash(vec![key], 2)).unwrap())
}

/// A semi join that has a filter for its other side.
fn join(mode: PartitionMode, build: Arc<dyn ExecutionPlan>, probe: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let build = match mode {
        PartitionMode::CollectLeft => Arc::new(CoalescePartitionsExec::new(build)),
        _ => build,
    };
    let key = || Arc::new(Column::new("k", 0)) as _;
    let (kind, nulls) = (JoinType::RightSemi, NullEquality::NullEqualsNothing);
    let join = HashJoinExec::try_new(build, probe, vec![(key(), key())], None, &kind, None, mode, nulls, false);
    let filter = Arc::new(DynamicFilterPhysicalExpr::new(vec![key()], lit(true)));
    Arc::new(join.unwrap().with_dynamic_filter_expr(filter).unwrap())
}

/// Of each join, from the top, whether it has a filter.
fn filters(plan: &Arc<dyn ExecutionPlan>) -> Vec<bool> {
    let own = plan.downcast_ref::<HashJoinExec>().map(|join| !join.dynamic_expressions_produced().is_empty());
    own.into_iter().chain(plan.children().into_iter().flat_map(filters)).collect()
}

fn kept(plan: Arc<dyn ExecutionPlan>) -> Vec<bool> {
    assert!(filters(&plan).iter().all(|filter| *filter));
    filters(&UnaskedParts.optimize(plan, &ConfigOptions::default()).unwrap())
}

#[test]
fn joins_of_parts_that_may_be_dropped_have_no_filter_that_waits_for_them() {
    let (own, shared) = (PartitionMode::Partitioned, PartitionMode::CollectLeft);
    let one = |mode| join(mode, leaf(), leaf());
    assert_eq!(kept(join(own, leaf(), one(shared))), [true, false]);
    assert_eq!(kept(join(own, one(shared), leaf())), [true, true]);
    assert_eq!(kept(join(shared, leaf(), one(shared))), [true, true], "all parts are dropped or none");
    assert_eq!(kept(join(own, leaf(), one(own))), [true, true], "it says that it was dropped");
    assert_eq!(kept(join(own, leaf(), join(own, leaf(), one(own)))), [true, true, false], "it was not begun");
    assert_eq!(kept(join(own, leaf(), join(own, one(own), leaf()))), [true, true, false]);
    assert_eq!(kept(join(own, leaf(), join(shared, leaf(), one(own)))), [true, false, false]);
    assert_eq!(kept(join(own, leaf(), join(own, leaf(), divided(one(own))))), [true, true, true], "all are asked");
}
