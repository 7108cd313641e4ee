//! ORDER BY ... LIMIT over a table: the scan gives the sort's columns and each row's reference.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::read::{LateRowsExec, Read, RowOf, Source};
use super::{LIMIT_MAX, ROWS_FOR_ONE};
use crate::exec::each_node::EachNode;
use crate::exec::error::to_datafusion;
use crate::exec::scan::HeliosScanExec;

/// Fewer columns are not worth a look-up.
const COLUMNS_MIN: usize = 2;

/// Puts the node where it belongs.
pub(in crate::exec) const LATE_ROWS_RULE: EachNode = EachNode::new("late_rows", late);

/// A scan, what of its columns a plan above it gives, and the conditions in between, over the scan's columns.
struct Below<'a> {
    scan: &'a HeliosScanExec,
    columns: Vec<usize>,
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

fn below(plan: &Arc<dyn ExecutionPlan>) -> Option<Below<'_>> {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        return Some(Below { scan, columns: (0..scan.schema().fields().len()).collect(), conditions: Vec::new() });
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let mut found = below(projection.input())?;
        let column = |expr: &Arc<dyn PhysicalExpr>| found.columns.get(expr.downcast_ref::<Column>()?.index()).copied();
        found.columns = projection.expr().iter().map(|item| column(&item.expr)).collect::<Option<_>>()?;
        return Some(found);
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        if filter.fetch().is_some() {
            return None;
        }
        let mut found = below(filter.input())?;
        found.conditions.push(moved(filter.predicate(), |at| found.columns.get(at).copied())?);
        if let Some(kept) = filter.projection() {
            found.columns = kept.iter().map(|at| found.columns.get(*at).copied()).collect::<Option<_>>()?;
        }
        return Some(found);
    }
    match (plan.name(), plan.children().as_slice()) {
        ("CooperativeExec", [input]) => below(input),
        _ => None,
    }
}

/// An expression whose columns have other places.
fn moved(expr: &Arc<dyn PhysicalExpr>, place: impl Fn(usize) -> Option<usize>) -> Option<Arc<dyn PhysicalExpr>> {
    let mut known = true;
    let changed = Arc::clone(expr).transform_up(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        Ok(match place(column.index()) {
            Some(at) => Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>),
            None => {
                known = false;
                Transformed::no(expr)
            }
        })
    });
    Some(changed.ok()?.data).filter(|_| known)
}

/// The plan that reads late, if the sort is of that kind and it pays.
fn late(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(None) };
    let Some(fetch) = sort.fetch().filter(|fetch| (1..=LIMIT_MAX).contains(fetch)) else { return Ok(None) };
    let Some(below) = below(sort.input()) else { return Ok(None) };
    if !below.scan.can_narrow() || below.scan.estimated_rows() < ROWS_FOR_ONE * fetch as u64 {
        return Ok(None);
    }
    let by = |item: &PhysicalSortExpr| moved(&item.expr, |at| below.columns.get(at).copied());
    let Some(by) = sort.expr().iter().map(by).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let needed: BTreeSet<usize> =
        by.iter().chain(&below.conditions).flat_map(collect_columns).map(|column| column.index()).collect();
    let rest: BTreeSet<usize> = below.columns.iter().filter(|at| !needed.contains(at)).copied().collect();
    if rest.len() < COLUMNS_MIN {
        return Ok(None);
    }
    let needed: Vec<usize> = needed.into_iter().collect();
    let place = |at: usize| needed.iter().position(|known| *known == at);
    let Some(scan) = below.scan.narrowed(&needed).map_err(to_datafusion)? else { return Ok(None) };
    let mut input: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(Arc::new(scan)));
    if input.output_partitioning().partition_count() != sort.input().output_partitioning().partition_count() {
        return Ok(None);
    }
    for condition in &below.conditions {
        let Some(condition) = moved(condition, place) else { return Ok(None) };
        input = Arc::new(FilterExec::try_new(condition, input)?);
    }
    let order = sort
        .expr()
        .iter()
        .zip(&by)
        .map(|(item, expr)| Some(PhysicalSortExpr { expr: moved(expr, place)?, options: item.options }));
    let Some(order) = order.collect::<Option<Vec<_>>>().and_then(LexOrdering::new) else { return Ok(None) };
    let sorted = SortExec::new(order, input).with_preserve_partitioning(sort.preserve_partitioning());
    let sorted = sorted.with_fetch(Some(fetch));
    let mut read = Read { tree: below.scan.tree().map_err(to_datafusion)?, columns: Vec::new(), types: Vec::new() };
    let mut sources = Vec::with_capacity(below.columns.len());
    for at in &below.columns {
        sources.push(match place(*at) {
            Some(place) => Source::Sorted(place),
            None => Source::Read(read.place_of(below.scan, *at).map_err(to_datafusion)?),
        });
    }
    let row_of = RowOf::Reference(needed.len());
    Ok(Some(Arc::new(LateRowsExec::of_sort(sort, Arc::new(sorted), sources, row_of, read))))
}
