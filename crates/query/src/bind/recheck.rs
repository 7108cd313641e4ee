//! What of WHERE is evaluated again on a row that somebody else has changed, as PostgreSQL does it.
//!
//! - A subquery somewhere in an expression is: it runs again for the new row, over the statement's snapshot.
//! - EXISTS and IN that PostgreSQL makes joins of are not: their partner stays the row they were joined with. What it must
//!   still equal can be said without knowing it: the new row's value must equal the old one's.
//! - NOT EXISTS made a join had no partner, and still has none.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator};
use heliosdb_types::Result;
use sqlparser::ast;

use super::plan::{self, from_datafusion};
use super::unnest::free_references;
use crate::exec::{Recheck, SlotNode};

/// A test with a subquery at the top of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Exists { negated: bool },
    In { negated: bool },
}

/// One of WHERE's AND parts.
pub(super) struct RowCondition {
    pub expr: Expr,
    /// `None`: evaluated by itself, with its subqueries as columns.
    pub test: Option<Test>,
}

/// EXISTS and IN (subquery), negated or not.
pub(super) fn subquery_test(expr: &ast::Expr) -> Option<Test> {
    match expr {
        ast::Expr::Exists { negated, .. } => Some(Test::Exists { negated: *negated }),
        ast::Expr::InSubquery { negated, .. } => Some(Test::In { negated: *negated }),
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Not, expr } => Some(match subquery_test(expr)? {
            Test::Exists { negated } => Test::Exists { negated: !negated },
            Test::In { negated } => Test::In { negated: !negated },
        }),
        ast::Expr::Nested(inner) => subquery_test(inner),
        _ => None,
    }
}

/// The plan that looks again at rows of `from`; `None` if they need no plan. `conditions` are evaluated by themselves over what
/// `computed` adds, `tests` are not, and `listed` is added after both; all that makes `input`.
pub(super) fn recheck(
    from: &DFSchema,
    computed: &[(Expr, String)],
    conditions: &[Expr],
    tests: &[RowCondition],
    listed: &[(Expr, String)],
    input: &DFSchema,
) -> Result<Option<Recheck>> {
    if computed.is_empty() && tests.is_empty() && listed.is_empty() {
        return Ok(None);
    }
    let mut conditions = conditions.to_vec();
    for RowCondition { expr, test } in tests {
        conditions.extend(again(expr, *test, from)?);
    }
    let mut plan = plan::extend(SlotNode::new(from)?.into_plan(), computed.to_vec())?;
    if let Some(condition) = conditions.into_iter().reduce(Expr::and) {
        plan = plan::filter(plan, condition)?;
    }
    let plan = plan::extend(plan, listed.to_vec())?;
    let columns = input.columns().into_iter().map(Expr::Column).chain([SlotNode::number()]);
    let plan = plan::builder(plan).project(columns.collect::<Vec<_>>());
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    Ok(Some(Recheck { plan: plan.into(), width: from.fields().len() }))
}

/// What the new row must fulfil in place of a test.
fn again(expr: &Expr, test: Option<Test>, from: &DFSchema) -> Result<Vec<Expr>> {
    match (test, expr) {
        (Some(Test::In { negated: false }), Expr::InSubquery(test))
            if free_references(&test.subquery.subquery).is_empty() =>
        {
            let before = SlotNode::before(&test.expr, from)?;
            Ok(vec![test.expr.as_ref().clone().eq(before)])
        }
        (Some(Test::Exists { negated }), Expr::Exists(test)) if is_joined(&test.subquery.subquery) => {
            if negated {
                return Ok(Vec::new());
            }
            let mut conditions = vec![expr.clone()];
            for value in equated(&test.subquery.subquery)? {
                let before = SlotNode::before(&value, from)?;
                conditions.push(value.eq(before));
            }
            Ok(conditions)
        }
        _ => Ok(vec![expr.clone()]),
    }
}

/// Whether PostgreSQL makes a join of EXISTS over this: a plain query about the row.
fn is_joined(plan: &LogicalPlan) -> bool {
    let mut node = plan;
    loop {
        node = match node {
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::TableScan(_) | LogicalPlan::Join(_) | LogicalPlan::SubqueryAlias(_) => {
                return !free_references(plan).is_empty();
            }
            _ => return false,
        };
    }
}

/// Values of the row around it that a query's conditions equate with its own.
fn equated(plan: &LogicalPlan) -> Result<Vec<Expr>> {
    let mut found = Vec::new();
    let mut node = plan;
    loop {
        node = match node {
            LogicalPlan::Filter(filter) => {
                for part in split_conjunction(&filter.predicate) {
                    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part else { continue };
                    for (outer, inner) in [(left, right), (right, left)] {
                        if holds_outer(outer) && outer.column_refs().is_empty() && !holds_outer(inner) {
                            found.push(local(outer.as_ref().clone())?);
                        }
                    }
                }
                &filter.input
            }
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Sort(sort) => &sort.input,
            _ => return Ok(found),
        };
    }
}

fn holds_outer(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..)))).unwrap_or(false)
}

/// An expression of a subquery's over the row around it, as that row's.
fn local(expr: Expr) -> Result<Expr> {
    let changed = expr.transform(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    changed.map(|changed| changed.data).map_err(from_datafusion)
}
