//! Where rows come clustered: from a scan, through filters, projections, and joins that keep the order of the side they probe with.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use crate::exec::merge_runs::MERGE_RUNS;
use crate::exec::scan::HeliosScanExec;

/// Whether this is a first stage, one of its groups' columns the first of the primary key, and nothing about it special.
pub(super) fn is_clustered(aggregate: &AggregateExec) -> bool {
    let plain = |call: &Arc<AggregateFunctionExpr>| {
        call.groups_accumulator_supported() && !call.is_distinct() && call.order_bys().is_empty()
    };
    *aggregate.mode() == AggregateMode::Partial
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.dynamic_expressions_produced().is_empty()
        && !aggregate.group_expr().has_grouping_set()
        && aggregate.aggr_expr().iter().all(plain)
        && aggregate.group_expr().expr().iter().any(|(expr, _)| leads_key(expr, aggregate.input()))
}

/// Whether an expression over a plan's output is the first column of the key of the table whose order the plan keeps.
fn leads_key(expr: &Arc<dyn PhysicalExpr>, plan: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(column) = expr.downcast_ref::<Column>() else { return false };
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        let Some(table) = scan.relation().table() else { return false };
        let first = table.primary_key.as_ref().and_then(|key| key.attributes.first());
        let first = first.and_then(|first| scan.relation().columns.iter().find(|column| column.attribute == *first));
        return first.is_some_and(|first| scan.column_at(column.index()) == Some(first.id));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let source = projection.expr().get(column.index());
        return source.is_some_and(|source| leads_key(&source.expr, projection.input()));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let at = match filter.projection() {
            Some(kept) => kept.get(column.index()).copied(),
            None => Some(column.index()),
        };
        return at.is_some_and(|at| leads_key(&below(column, at), filter.input()));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return probe_column(column, join).is_some_and(|probe| leads_key(&probe, join.right()));
    }
    match (plan.name(), plan.children().as_slice()) {
        ("CooperativeExec" | "CoalesceBatchesExec" | MERGE_RUNS, [input]) => leads_key(expr, input),
        _ => false,
    }
}

fn below(column: &Column, at: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(column.name(), at))
}

/// The column of the side a join probes with that is a column of its output, or equal to it.
fn probe_column(column: &Column, join: &HashJoinExec) -> Option<Arc<dyn PhysicalExpr>> {
    let at = match &join.projection {
        Some(kept) => kept.get(column.index()).copied()?,
        None => column.index(),
    };
    match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti => Some(below(column, at)),
        JoinType::Inner => {
            let left = join.left().schema().fields().len();
            if at >= left {
                return Some(below(column, at - left));
            }
            let is_it = |key: &Arc<dyn PhysicalExpr>| key.downcast_ref::<Column>().is_some_and(|key| key.index() == at);
            join.on.iter().find(|(key, _)| is_it(key)).map(|(_, probe)| Arc::clone(probe))
        }
        _ => None,
    }
}
