//! Estimates of the relations whose join order is to be chosen.

use std::sync::Arc;

use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::facts::{ColumnFacts, Estimate};
use super::joins::{Pair, joined};
use super::{UNKNOWN_OTHER, groups, meeting, selectivity};
use crate::catalog::Relation;
use crate::exec::scope::StatementScope;
use crate::exec::table::HeliosTable;

/// An expression over rows of a schema; `None` for what only a whole plan can compute (a subquery).
pub(crate) fn over(expr: &Expr, schema: &DFSchema) -> Option<Arc<dyn PhysicalExpr>> {
    create_physical_expr(expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default()).ok()
}

/// The rows of a plan; `None` if any of its tables was never analyzed, or it is not known how.
pub(crate) fn estimate(plan: &LogicalPlan, scope: &StatementScope) -> Option<Estimate> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => estimate(&alias.input, scope),
        LogicalPlan::TableScan(scan) => {
            let relation = HeliosTable::relation_of(scan)?;
            let whole =
                Estimate::of_table(&relation, live_rows(&relation, scope)?, scan.source.schema().fields().len())?;
            let projected = scan.projection.as_ref().map_or(whole.clone(), |kept| whole.projected(kept));
            Some(kept(projected, &scan.filters, &scan.projected_schema))
        }
        LogicalPlan::Filter(filter) => {
            let input = estimate(&filter.input, scope)?;
            Some(kept(input, std::slice::from_ref(&filter.predicate), filter.input.schema()))
        }
        LogicalPlan::Projection(projection) => {
            let input = estimate(&projection.input, scope)?;
            let column = |expr: &Expr| {
                let expr = over(&expr.clone().unalias_nested().data, projection.input.schema());
                expr.map_or_else(ColumnFacts::unknown, |expr| groups::of_expression(&expr, &input))
            };
            Some(Estimate { rows: input.rows, columns: projection.expr.iter().map(column).collect() })
        }
        LogicalPlan::Aggregate(aggregate) => {
            let input = estimate(&aggregate.input, scope)?;
            let mut columns: Vec<ColumnFacts> = Vec::new();
            for expr in &aggregate.group_expr {
                let expr = over(&expr.clone().unalias_nested().data, aggregate.input.schema())?;
                columns.push(groups::of_expression(&expr, &input));
            }
            let rows = if columns.is_empty() { 1.0 } else { groups::groups(&columns, input.rows) };
            columns.resize_with(plan.schema().fields().len(), ColumnFacts::unknown);
            Some(Estimate { rows, columns })
        }
        LogicalPlan::Distinct(_) => {
            let [input] = plan.inputs()[..] else { return None };
            let input = estimate(input, scope)?;
            let rows = groups::groups(&input.columns, input.rows);
            Some(input.with_rows(rows))
        }
        LogicalPlan::Sort(sort) => {
            let input = estimate(&sort.input, scope)?;
            let rows = sort.fetch.map_or(input.rows, |fetch| input.rows.min(fetch as f64));
            Some(input.with_rows(rows))
        }
        LogicalPlan::Limit(limit) => {
            let input = estimate(&limit.input, scope)?;
            let rows = match limit.get_fetch_type() {
                Ok(FetchType::Literal(Some(rows))) => input.rows.min(rows as f64),
                _ => input.rows,
            };
            Some(input.with_rows(rows))
        }
        LogicalPlan::Join(join) => {
            let (left, right) = (estimate(&join.left, scope)?, estimate(&join.right, scope)?);
            let (mut pairs, mut places) = (Vec::with_capacity(join.on.len()), Vec::with_capacity(join.on.len()));
            for (a, b) in &join.on {
                let (a, b) = (over(a, join.left.schema())?, over(b, join.right.schema())?);
                places.push((meeting::place(&a), meeting::place(&b)));
                let (left, right) = (groups::of_expression(&a, &left), groups::of_expression(&b, &right));
                pairs.push(Pair { left, right });
            }
            let kept = if join.filter.is_some() { UNKNOWN_OTHER } else { 1.0 };
            let rows = joined(&left, &right, &pairs, kept, join.join_type);
            let lefts = left.columns.len();
            let mut columns: Vec<ColumnFacts> = left.columns.into_iter().chain(right.columns).collect();
            if join.join_type == JoinType::Inner {
                meeting::meet(&mut columns, lefts, &pairs, places);
            }
            let given = plan.schema().fields().len();
            (columns.len() == given).then(|| Estimate { rows, columns }.with_rows(rows))
        }
        _ => None,
    }
}

/// With conditions applied.
pub(crate) fn kept(input: Estimate, conditions: &[Expr], schema: &DFSchema) -> Estimate {
    let known: Vec<_> = conditions.iter().filter_map(|condition| over(condition, schema)).collect();
    let unknown = (conditions.len() - known.len()).min(8);
    let left = selectivity::filtered(&input, &known);
    let rows = left.rows * UNKNOWN_OTHER.powi(i32::try_from(unknown).unwrap_or(8));
    left.with_rows(rows)
}

/// Rows a table has now.
fn live_rows(relation: &Relation, scope: &StatementScope) -> Option<f64> {
    Some(scope.shard.tree_size(relation.table()?.tree.tree).rows as f64)
}
