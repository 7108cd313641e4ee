//! Which table's row a value of a plan's rows comes from.

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use crate::func::Function;

/// Whether a step is at one place of a plan, so that being of that step's rows is being of the same row.
pub(super) fn is_once(step: &LogicalPlan, plan: &LogicalPlan) -> bool {
    fn places(step: &LogicalPlan, plan: &LogicalPlan) -> usize {
        match std::ptr::eq(plan, step) {
            true => 1,
            false => plan.inputs().into_iter().map(|input| places(step, input)).sum(),
        }
    }
    places(step, plan) == 1
}

pub(super) fn has_sets(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)))
}

/// The scan of the table whose rows an expression over a plan's rows is computed of, and how; `None` if there is none, or it might
/// fail for a row that a join above the table leaves out.
pub(super) fn source<'a>(expr: &Expr, plan: &'a LogicalPlan) -> Option<(&'a LogicalPlan, Expr)> {
    match expr {
        Expr::Alias(Alias { expr, .. }) => source(expr, plan),
        Expr::Column(column) => source_of(plan.schema().maybe_index_of_column(column)?, plan),
        Expr::ScalarFunction(call) if Function::of(&call.func).is_some_and(Function::never_fails) => {
            let (mut table, mut one): (Option<&LogicalPlan>, bool) = (None, true);
            let below = expr.clone().transform_down(|node| {
                let Expr::Column(column) = &node else {
                    one &= matches!(&node, Expr::ScalarFunction(call) if Function::of(&call.func).is_some_and(Function::never_fails));
                    return Ok(Transformed::no(node));
                };
                let found = plan.schema().maybe_index_of_column(column).and_then(|at| source_of(at, plan));
                let Some((own, expr)) = found else {
                    one = false;
                    return Ok(Transformed::no(node));
                };
                one &= matches!(expr, Expr::Column(_)) && table.is_none_or(|table| std::ptr::eq(table, own));
                table = Some(own);
                Ok(Transformed::yes(expr))
            });
            let below = below.ok()?.data;
            table.filter(|_| one).map(|table| (table, below))
        }
        _ => None,
    }
}

fn source_of(at: usize, plan: &LogicalPlan) -> Option<(&LogicalPlan, Expr)> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let (qualifier, field) = scan.projected_schema.qualified_field(at);
            Some((plan, Expr::from((qualifier, field))))
        }
        LogicalPlan::Projection(projection) => source(projection.expr.get(at)?, &projection.input),
        LogicalPlan::Filter(filter) => source_of(at, &filter.input),
        LogicalPlan::SubqueryAlias(alias) => source_of(at, &alias.input),
        LogicalPlan::Aggregate(aggregate) if !has_sets(aggregate) => {
            source(aggregate.group_expr.get(at)?, &aggregate.input)
        }
        LogicalPlan::Join(join) => {
            let lefts = join.left.schema().fields().len();
            // Rows without a partner have NULLs, which are no row's.
            match join.join_type {
                JoinType::Inner | JoinType::Right if at >= lefts => source_of(at - lefts, &join.right),
                JoinType::Inner | JoinType::Left | JoinType::LeftMark if at < lefts => source_of(at, &join.left),
                JoinType::LeftSemi | JoinType::LeftAnti => source_of(at, &join.left),
                JoinType::RightSemi | JoinType::RightAnti => source_of(at, &join.right),
                _ => None,
            }
        }
        _ => None,
    }
}
