//! Estimates of physical plans: what the choice of a join's sides and EXPLAIN ask.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::common::stats::Precision;
use datafusion::common::{JoinSide, JoinType, Result as DfResult, Statistics};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::operator_statistics::{ExtendedStatistics, StatisticsProvider, StatisticsResult};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use super::facts::{ColumnFacts, Estimate};
use super::joins::{Pair, joined};
use super::{groups, meeting, selectivity};
use crate::exec::again::AGAIN;
use crate::exec::group_numbers::numbered_keys;
use crate::exec::interrupt::{WATCHED, unchecked};
use crate::exec::run_aggregate::RunAggregateExec;
use crate::exec::scan::HeliosScanExec;
use crate::exec::shared_rows::SHARED;
use crate::exec::slices::SLICES;
use crate::exec::sort_memory::SORT_MEMORY;
use crate::exec::spill::as_hash_join;
use crate::exec::together::TOGETHER;
use crate::exec::windows::{COUNTED_WINDOWS, WHOLE_WINDOWS};

/// A step's estimate from those of its inputs; `None`: it is not known how.
fn derive(plan: &dyn ExecutionPlan, inputs: &[Estimate]) -> Option<Estimate> {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        return scan.estimate();
    }
    if plan.name() == "ScalarSubqueryExec" {
        // The first input with what the others compute.
        return inputs.first().cloned();
    }
    let [input, others @ ..] = inputs else {
        return (plan.name() == "PlaceholderRowExec").then(|| unknown(1.0, plan.schema().fields().len()));
    };
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let left = selectivity::filtered(input, std::slice::from_ref(filter.predicate()));
        let left = filter.projection().as_ref().map_or(left.clone(), |kept| left.projected(kept));
        return Some(limited(left, plan.fetch()));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns = projection.expr().iter().map(|item| groups::of_expression(&item.expr, input));
        return Some(Estimate { rows: input.rows, columns: columns.collect() });
    }
    if let Some(keys) = numbered_keys(plan) {
        let keys: Vec<ColumnFacts> = keys.iter().map(|key| groups::of_expression(key, input)).collect();
        let mut numbered = input.clone();
        let distinct = groups::groups(&keys, input.rows);
        numbered.columns.push(ColumnFacts { distinct, width: 4.0, ..ColumnFacts::unknown() });
        return Some(numbered);
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return Some(aggregated(aggregate, input));
    }
    if let Some(runs) = plan.downcast_ref::<RunAggregateExec>() {
        return Some(aggregated(runs.partial(), input));
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let rows = (input.rows - limit.skip() as f64).max(1.0);
        return Some(limited(input.clone().with_rows(rows), limit.fetch()));
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return Some(limited(input.clone(), Some(limit.fetch())));
    }
    if plan.downcast_ref::<UnionExec>().is_some() || plan.name() == "InterleaveExec" {
        let rows = inputs.iter().map(|input| input.rows).sum();
        return Some(unknown(rows, input.columns.len()));
    }
    if let [right] = others {
        return join(plan, input, right);
    }
    if !others.is_empty() {
        return None;
    }
    // What passes rows on, perhaps with further columns, is told by its shape; what may change their number is told by name.
    let passes = matches!(
        plan.name(),
        "CoalescePartitionsExec"
            | "RepartitionExec"
            | "SortExec"
            | "PartialSortExec"
            | "SortPreservingMergeExec"
            | "CoalesceBatchesExec"
            | "CooperativeExec"
            | "BufferExec"
            | "WindowAggExec"
            | "BoundedWindowAggExec"
            | COUNTED_WINDOWS
            | WHOLE_WINDOWS
            | crate::exec::grouping_sets::REGROUPED
            | crate::exec::outer_constants::VARYING
            | crate::exec::late_rows::LATE_ROWS
            | crate::exec::group_numbers::SPELL_GROUPS
            | crate::exec::merge_runs::MERGE_RUNS
            | SORT_MEMORY
            | AGAIN
            | SLICES
            | TOGETHER
            | WATCHED
            | SHARED
    );
    let width = plan.schema().fields().len();
    (passes && width >= input.columns.len()).then(|| {
        let mut passed = input.clone();
        passed.columns.resize_with(width, ColumnFacts::unknown);
        limited(passed, plan.fetch())
    })
}

fn unknown(rows: f64, columns: usize) -> Estimate {
    Estimate { rows: rows.max(1.0), columns: std::iter::repeat_with(ColumnFacts::unknown).take(columns).collect() }
}

fn limited(input: Estimate, fetch: Option<usize>) -> Estimate {
    let rows = fetch.map_or(input.rows, |fetch| input.rows.min(fetch as f64));
    input.with_rows(rows)
}

fn aggregated(aggregate: &AggregateExec, input: &Estimate) -> Estimate {
    let keys = aggregate.group_expr();
    let mut columns: Vec<ColumnFacts> =
        keys.expr().iter().map(|(expr, _)| groups::of_expression(expr, input)).collect();
    let second = matches!(aggregate.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
    let rows = match (columns.is_empty(), second) {
        (true, _) => 1.0,
        // The first stage has counted the groups already.
        (false, true) => input.rows,
        (false, false) => {
            let sets = keys.groups().iter().map(|nulled| {
                let kept = columns.iter().zip(nulled).filter(|(_, nulled)| !**nulled);
                groups::groups(&kept.map(|(column, _)| column.clone()).collect::<Vec<_>>(), input.rows)
            });
            sets.sum()
        }
    };
    columns.resize_with(aggregate.schema().fields().len(), ColumnFacts::unknown);
    limited(Estimate { rows: rows.max(1.0), columns }, aggregate.limit_options().map(|options| options.limit()))
}

fn join(plan: &dyn ExecutionPlan, left: &Estimate, right: &Estimate) -> Option<Estimate> {
    if plan.downcast_ref::<CrossJoinExec>().is_some() {
        return Some(sides(left, right, JoinType::Inner).with_rows(left.rows * right.rows));
    }
    let (on, filter, join_type, projection, fetch) =
        if let Some(join) = plan.downcast_ref::<HashJoinExec>().or_else(|| as_hash_join(plan)) {
            (join.on(), join.filter(), *join.join_type(), join.projection.clone(), join.fetch())
        } else if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
            (join.on(), join.filter().as_ref(), join.join_type(), None, None)
        } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
            (&[][..], join.filter(), *join.join_type(), join.projection().clone(), None)
        } else {
            return None;
        };
    let pair = |(a, b): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| Pair {
        left: groups::of_expression(a, left),
        right: groups::of_expression(b, right),
    };
    let pairs: Vec<Pair> = on.iter().map(pair).collect();
    let kept = filter.map_or(1.0, |filter| kept(filter, left, right));
    let rows = joined(left, right, &pairs, kept, join_type);
    let mut out = sides(left, right, join_type).with_rows(rows);
    if join_type == JoinType::Inner {
        meeting::meet(
            &mut out.columns,
            left.columns.len(),
            &pairs,
            on.iter().map(|(a, b)| (meeting::place(a), meeting::place(b))),
        );
    }
    let out = projection.map_or(out.clone(), |places| out.projected(&places));
    Some(limited(out, fetch))
}

/// The columns a join gives.
fn sides(left: &Estimate, right: &Estimate, join_type: JoinType) -> Estimate {
    let columns: Vec<ColumnFacts> = match join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => left.columns.clone(),
        JoinType::RightSemi | JoinType::RightAnti => right.columns.clone(),
        JoinType::LeftMark => left.columns.iter().cloned().chain([ColumnFacts::unknown()]).collect(),
        JoinType::RightMark => right.columns.iter().cloned().chain([ColumnFacts::unknown()]).collect(),
        _ => left.columns.iter().chain(&right.columns).cloned().collect(),
    };
    Estimate { rows: left.rows, columns }
}

fn kept(filter: &JoinFilter, left: &Estimate, right: &Estimate) -> f64 {
    let column = |place: &datafusion::physical_plan::joins::utils::ColumnIndex| {
        let side = match place.side {
            JoinSide::Left => left.column(place.index),
            JoinSide::Right => right.column(place.index),
            JoinSide::None => None,
        };
        side.cloned().unwrap_or_else(ColumnFacts::unknown)
    };
    let columns = filter.column_indices().iter().map(column).collect();
    selectivity::one(unchecked(filter.expression()), &Estimate { rows: left.rows.max(right.rows), columns })
}

/// Tells DataFusion's choice of join sides.
#[derive(Debug)]
pub(crate) struct Provider;

impl StatisticsProvider for Provider {
    fn compute_statistics(
        &self,
        plan: &dyn ExecutionPlan,
        children: &[ExtendedStatistics],
    ) -> DfResult<StatisticsResult> {
        let inputs: Option<Vec<Estimate>> =
            children.iter().map(|child| child.get_extension::<Estimate>().cloned()).collect();
        let Some(estimate) = inputs.and_then(|inputs| derive(plan, &inputs)) else {
            return Ok(StatisticsResult::Delegate);
        };
        let mut statistics = ExtendedStatistics::new(as_statistics(&estimate, &plan.schema()));
        statistics.set_extension(estimate);
        Ok(StatisticsResult::Computed(statistics))
    }
}

fn as_statistics(estimate: &Estimate, schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(estimate.rows as usize);
    statistics.total_byte_size = Precision::Inexact(estimate.bytes() as usize);
    statistics
}

/// Where a step is in memory: what [`walk`] knows it by.
pub(crate) fn address(plan: &Arc<dyn ExecutionPlan>) -> usize {
    Arc::as_ptr(plan).cast::<()>() as usize
}

/// The estimated rows of a plan's steps, by their addresses.
pub(crate) fn walk(plan: &Arc<dyn ExecutionPlan>, out: &mut HashMap<usize, f64>) -> Option<Estimate> {
    let inputs: Vec<Option<Estimate>> = plan.children().into_iter().map(|child| walk(child, out)).collect();
    let inputs: Option<Vec<Estimate>> = inputs.into_iter().collect();
    let found = inputs.and_then(|inputs| derive(plan.as_ref(), &inputs))?;
    out.insert(address(plan), found.rows);
    Some(found)
}
