//! ORDER BY ... LIMIT and MIN or MAX by the order of an index.
//!
//! The operator above stays as it is and decides; below it, the scan of a table becomes one of the first rows in its order, which
//! hold its answer.

use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use super::rows::OrderBy;
use crate::exec::error::to_datafusion;
use crate::exec::scan::HeliosScanExec;

/// Larger limits are sorted.
const LIMIT_MAX: usize = 10_000;

#[derive(Debug)]
pub(crate) struct FirstByIndex;

impl PhysicalOptimizerRule for FirstByIndex {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let changed = plan.transform_down(|plan| {
            let changed = match plan.downcast_ref::<SortExec>() {
                Some(sort) => sorted(sort)?,
                None => match plan.downcast_ref::<AggregateExec>() {
                    Some(aggregate) => extreme(aggregate)?,
                    None => None,
                },
            };
            Ok(match changed {
                Some(child) => Transformed::yes(replace_children_if_necessary(plan, vec![child])?),
                None => Transformed::no(plan),
            })
        });
        Ok(changed?.data)
    }

    fn name(&self) -> &str {
        "first_by_index"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan below projections, and each column as an expression over the scan's.
fn scan_below(plan: &Arc<dyn ExecutionPlan>) -> Option<(&HeliosScanExec, Vec<Arc<dyn PhysicalExpr>>)> {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        let column = |(at, field): (usize, &Arc<arrow_schema::Field>)| {
            Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>
        };
        return Some((scan, scan.schema().fields().iter().enumerate().map(column).collect()));
    }
    if matches!(plan.name(), "CooperativeExec" | "RepartitionExec" | "CoalesceBatchesExec") {
        return scan_below(plan.children().first()?);
    }
    let projection = plan.downcast_ref::<ProjectionExec>()?;
    let (scan, below) = scan_below(projection.input())?;
    let sources = projection.expr().iter().map(|expr| over(&expr.expr, &below));
    Some((scan, sources.collect::<Option<_>>()?))
}

/// An expression over the scan's columns, from one over columns computed from them.
fn over(expr: &Arc<dyn PhysicalExpr>, sources: &[Arc<dyn PhysicalExpr>]) -> Option<Arc<dyn PhysicalExpr>> {
    let changed = Arc::clone(expr).transform_up(|expr| {
        Ok(match expr.downcast_ref::<Column>().and_then(|column| sources.get(column.index())) {
            Some(source) => Transformed::yes(Arc::clone(source)),
            None => Transformed::no(expr),
        })
    });
    Some(changed.ok()?.data)
}

/// What an index may be ordered by that an expression over the scan is.
fn ordered_by(scan: &HeliosScanExec, expr: &Arc<dyn PhysicalExpr>) -> Option<heliosdb_types::ColumnId> {
    match expr.downcast_ref::<Column>() {
        Some(column) => scan.column_at(column.index()),
        None => scan.computed_by(expr),
    }
}

/// The plan with another scan at its bottom.
fn replaced(plan: &Arc<dyn ExecutionPlan>, scan: &Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    if plan.downcast_ref::<HeliosScanExec>().is_some() {
        return Ok(Arc::clone(scan));
    }
    let children = plan.children().into_iter().map(|child| replaced(child, scan)).collect::<DfResult<Vec<_>>>()?;
    replace_children_if_necessary(Arc::clone(plan), children)
}

fn sorted(sort: &SortExec) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(count) = sort.fetch().filter(|count| (1..=LIMIT_MAX).contains(count)) else { return Ok(None) };
    let Some((scan, sources)) = scan_below(sort.input()) else { return Ok(None) };
    let mut order = Vec::new();
    for by in sort.expr().iter() {
        let column = over(&by.expr, &sources).and_then(|expr| ordered_by(scan, &expr));
        let Some(column) = column else { return Ok(None) };
        order.push(OrderBy {
            column,
            descending: by.options.descending,
            nulls_first: by.options.nulls_first,
            not_null: false,
        });
    }
    first(scan, sort.input(), &order, count)
}

/// `min(a)` or `max(a)` of all rows.
fn extreme(aggregate: &AggregateExec) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let [call] = aggregate.aggr_expr() else { return Ok(None) };
    let plain = aggregate.group_expr().is_empty() && aggregate.filter_expr().iter().all(Option::is_none);
    if !plain || call.is_distinct() {
        return Ok(None);
    }
    let descending = match call.fun().name() {
        "min" => false,
        "max" => true,
        _ => return Ok(None),
    };
    let arguments = call.expressions();
    let [argument] = arguments.as_slice() else { return Ok(None) };
    let Some((scan, sources)) = scan_below(aggregate.input()) else { return Ok(None) };
    let argument = over(argument, &sources);
    // NULLs are told from values by reading the column.
    let column = argument.as_ref().and_then(|argument| argument.downcast_ref::<Column>());
    let Some(column) = column.and_then(|column| scan.column_at(column.index())) else { return Ok(None) };
    let order = [OrderBy { column, descending, nulls_first: false, not_null: true }];
    first(scan, aggregate.input(), &order, 1)
}

fn first(
    scan: &HeliosScanExec,
    input: &Arc<dyn ExecutionPlan>,
    order: &[OrderBy],
    count: usize,
) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(found) = scan.in_order(order, count).map_err(to_datafusion)? else { return Ok(None) };
    let found: Arc<dyn ExecutionPlan> = Arc::new(found);
    replaced(input, &found).map(Some)
}
