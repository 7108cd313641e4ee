//! The way of columns that are summed: from an aggregate through joins and projections that only hand them on, to where rows come
//! in the order of a primary key.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::{JoinSide, JoinType, Result as DfResult};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::joins::utils::ColumnIndex;
use datafusion::physical_plan::projection::ProjectionExec;
use heliosdb_types::ColumnId;

use super::step::{self, merged};
use crate::exec::scan::HeliosScanExec;

/// The plan with `sums` of its columns taken of runs, below all joins they come through; `None` if there is no join, or something
/// needs every value or row. The columns have the type of their sums.
pub(super) fn below_joins(plan: &Arc<dyn ExecutionPlan>, sums: &[usize]) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    match through_join(plan, sums)? {
        Way::On(plan) => Ok(Some(plan)),
        Way::Scan | Way::None => Ok(None),
    }
}

/// The side of a join that is only asked whether it has a row, with runs of equal rows put together.
pub(super) fn one_of_each(join: &HashJoinExec, side: JoinSide) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    match side {
        _ if !are_conditions_blind(join, side, &[]) => Ok(None),
        JoinSide::Left => one_of_rows(join.left()),
        _ => one_of_rows(join.right()),
    }
}

fn one_of_rows(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    if hands_on(plan)
        && let [input] = plan.children().as_slice()
    {
        let Some(input) = one_of_rows(input)? else { return Ok(None) };
        return replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some);
    }
    Ok(comes_in_runs(plan, &[]).then(|| merged(plan, Vec::new())))
}

enum Way {
    /// The plan with what was asked for.
    On(Arc<dyn ExecutionPlan>),
    /// There is no join below.
    Scan,
    None,
}

fn through_join(plan: &Arc<dyn ExecutionPlan>, sums: &[usize]) -> DfResult<Way> {
    if plan.fetch().is_some() {
        return Ok(Way::None);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return below_join(join, sums);
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let Some(below) = below_projection(projection, sums) else { return Ok(Way::Scan) };
        return Ok(match through_join(projection.input(), &below)? {
            Way::On(input) => Way::On(Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), input)?)),
            other => other,
        });
    }
    match plan.children().as_slice() {
        [input] if hands_on(plan) => Ok(match through_join(input, sums)? {
            Way::On(input) => Way::On(replace_children_if_necessary(Arc::clone(plan), vec![input])?),
            other => other,
        }),
        _ => Ok(Way::Scan),
    }
}

/// Steps that give their input's rows, whatever those are.
fn hands_on(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.fetch().is_none()
        && matches!(plan.name(), "CooperativeExec" | "CoalesceBatchesExec" | "CoalescePartitionsExec")
}

/// The places of columns below a projection that hands each of them on once and computes nothing from them.
fn below_projection(projection: &ProjectionExec, sums: &[usize]) -> Option<Vec<usize>> {
    let place = |at: &usize| Some(projection.expr().get(*at)?.expr.downcast_ref::<Column>()?.index());
    let below = sums.iter().map(place).collect::<Option<Vec<usize>>>()?;
    let others = projection.expr().iter().enumerate().filter(|(at, _)| !sums.contains(at));
    let blind = others.into_iter().all(|(_, item)| is_blind(&item.expr, &below));
    (distinct(&below) && blind).then_some(below)
}

/// Whether an expression is the same for all rows of a run: it looks at none of the columns that are summed, and is not drawn anew
/// for each row.
pub(super) fn is_blind(expr: &Arc<dyn PhysicalExpr>, sums: &[usize]) -> bool {
    !is_volatile(expr) && !collect_columns(expr).iter().any(|column| sums.contains(&column.index()))
}

/// The same of a join's condition, where the columns summed are on one side.
fn are_conditions_blind(join: &HashJoinExec, side: JoinSide, sums: &[usize]) -> bool {
    let blind = |(build, probe): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        let (near, far) = if side == JoinSide::Left { (build, probe) } else { (probe, build) };
        is_blind(near, sums) && !is_volatile(far)
    };
    let filtered = join.filter.as_ref().is_none_or(|filter| {
        let is_sum = |column: &ColumnIndex| column.side == side && sums.contains(&column.index);
        !is_volatile(filter.expression()) && !filter.column_indices().iter().any(is_sum)
    });
    filtered && join.on.iter().all(blind)
}

fn distinct(places: &[usize]) -> bool {
    places.iter().enumerate().all(|(at, place)| !places[..at].contains(place))
}

/// A join keeps, and repeats, rows by their other columns.
fn below_join(join: &HashJoinExec, sums: &[usize]) -> DfResult<Way> {
    let place = |at: &usize| join.projection.as_ref().map_or(Some(*at), |kept| kept.get(*at).copied());
    let Some(places) = sums.iter().map(place).collect::<Option<Vec<usize>>>() else { return Ok(Way::None) };
    let left = join.left().schema().fields().len();
    let (side, places) = match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => (JoinSide::Left, places),
        JoinType::RightSemi | JoinType::RightAnti => (JoinSide::Right, places),
        JoinType::Inner | JoinType::Left if places.iter().all(|at| *at < left) => (JoinSide::Left, places),
        JoinType::Inner | JoinType::Right if places.iter().all(|at| *at >= left) => {
            (JoinSide::Right, places.iter().map(|at| at - left).collect())
        }
        _ => return Ok(Way::None),
    };
    if !distinct(&places) || !are_conditions_blind(join, side, &places) {
        return Ok(Way::None);
    }
    let input = if side == JoinSide::Left { join.left() } else { join.right() };
    let merged = match through_join(input, &places)? {
        Way::On(input) => Some(input),
        Way::Scan => at_scan(input, &places)?,
        Way::None => None,
    };
    let Some(merged) = merged else { return Ok(Way::None) };
    let sides = match side {
        JoinSide::Left => vec![merged, Arc::clone(join.right())],
        _ => vec![Arc::clone(join.left()), merged],
    };
    Ok(Way::On(replace_children_if_necessary(Arc::new(join.builder().build()?), sides)?))
}

/// The side of a join without joins below, its runs put together.
fn at_scan(plan: &Arc<dyn ExecutionPlan>, sums: &[usize]) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    // Each part of the table by itself, and not what comes together from all.
    if hands_on(plan)
        && let [input] = plan.children().as_slice()
    {
        let Some(input) = at_scan(input, sums)? else { return Ok(None) };
        return replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some);
    }
    let schema = plan.schema();
    let kind = |at: &usize| schema.fields().get(*at).and_then(|field| step::sum_type(field.data_type()));
    let kinds = sums.iter().map(kind).collect::<Option<Vec<DataType>>>();
    let Some(kinds) = kinds.filter(|_| comes_in_runs(plan, sums)) else { return Ok(None) };
    Ok(Some(merged(plan, sums.iter().copied().zip(kinds).collect())))
}

/// Whether several rows of the key's beginning follow each other that differ in nothing but `sums`, as far as the key tells: it has
/// its first column among the others, and not all.
fn comes_in_runs(plan: &Arc<dyn ExecutionPlan>, sums: &[usize]) -> bool {
    let Some((scan, columns)) = scanned(plan) else { return false };
    let schema = plan.schema();
    if !schema.fields().iter().all(|field| step::is_compared(field.data_type())) {
        return false;
    }
    let Some(key) = scan.relation().table().and_then(|table| table.primary_key.as_ref()) else { return false };
    let others = columns.iter().enumerate().filter(|(at, _)| !sums.contains(at));
    let others: Vec<ColumnId> = others.filter_map(|(_, column)| *column).collect();
    let is_there = |attribute: &_| {
        let column = scan.relation().columns.iter().find(|column| column.attribute == *attribute);
        column.is_some_and(|column| others.contains(&column.id))
    };
    key.attributes.first().is_some_and(is_there) && !key.attributes.iter().all(is_there)
}

/// The scan below conditions and projections, and which of its columns the plan's are.
fn scanned(plan: &Arc<dyn ExecutionPlan>) -> Option<(&HeliosScanExec, Vec<Option<ColumnId>>)> {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        return Some((scan, (0..scan.schema().fields().len()).map(|at| scan.column_at(at)).collect()));
    }
    if plan.fetch().is_some() {
        return None;
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let (scan, below) = scanned(projection.input())?;
        let source = |expr: &Arc<dyn PhysicalExpr>| *below.get(expr.downcast_ref::<Column>()?.index())?;
        return Some((scan, projection.expr().iter().map(|item| source(&item.expr)).collect()));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let (scan, below) = scanned(filter.input())?;
        let Some(kept) = filter.projection() else { return Some((scan, below)) };
        return Some((scan, kept.iter().map(|at| below.get(*at).copied().flatten()).collect()));
    }
    match plan.children().as_slice() {
        [input] if matches!(plan.name(), "CooperativeExec" | "CoalesceBatchesExec") => scanned(input),
        _ => None,
    }
}
