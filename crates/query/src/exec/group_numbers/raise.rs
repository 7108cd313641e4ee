//! A number of each row of a table, brought up to an aggregate above it.

use std::sync::Arc;

use datafusion::common::{Column, Result as DfResult};
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan, Projection, SubqueryAlias};

use super::keys::Keys;
use super::nodes::{NumberNode, Numbering};
use crate::exec::row_source::has_sets;

/// An aggregate that groups by the number, and what the number is called above it.
pub(super) struct Raised {
    pub plan: Aggregate,
    pub number: Column,
}

/// The aggregate by the number in place of the keys; `None` if something between them and their table wants them as they are.
pub(super) fn raise(aggregate: &Aggregate, keys: &Keys<'_>, numbering: &Numbering) -> DfResult<Option<Raised>> {
    if has_sets(aggregate) {
        return Ok(None);
    }
    let Some((input, number)) = below(&aggregate.input, keys, numbering)? else { return Ok(None) };
    let others = aggregate.group_expr.iter().filter(|key| !keys.have(key, &aggregate.input));
    let groups: Vec<Expr> = others.cloned().chain([Expr::Column(number.clone())]).collect();
    if !knows(&input, groups.iter().chain(&aggregate.aggr_expr)) {
        return Ok(None);
    }
    let plan = Aggregate::try_new(Arc::new(input), groups, aggregate.aggr_expr.clone())?;
    Ok(Some(Raised { plan, number }))
}

/// A plan with the number among its columns; columns that are computed of keys an aggregate below no longer gives are gone.
fn below(plan: &LogicalPlan, keys: &Keys<'_>, numbering: &Numbering) -> DfResult<Option<(LogicalPlan, Column)>> {
    if std::ptr::eq(plan, keys.table) {
        let node = NumberNode::over(Arc::new(plan.clone()), numbering.clone())?;
        return Ok(Some((LogicalPlan::Extension(Extension { node: Arc::new(node) }), numbering.column())));
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some((input, number)) = below(&projection.input, keys, numbering)? else { return Ok(None) };
            let left = projection.expr.iter().filter(|expr| knows(&input, [*expr]));
            let exprs = left.cloned().chain([Expr::Column(number.clone())]).collect();
            let projection = Projection::try_new(exprs, Arc::new(input))?;
            Ok(Some((LogicalPlan::Projection(projection), number)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, number)) = below(&alias.input, keys, numbering)? else { return Ok(None) };
            let number = Column::new(Some(alias.alias.clone()), number.name);
            let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok(Some((LogicalPlan::SubqueryAlias(alias), number)))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let raised = raise(aggregate, keys, numbering)?;
            Ok(raised.map(|raised| (LogicalPlan::Aggregate(raised.plan), raised.number)))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Join(_) => {
            let (mut inputs, mut number) = (Vec::new(), None);
            for input in plan.inputs() {
                match below(input, keys, numbering)? {
                    Some((input, column)) => {
                        inputs.push(input);
                        number = Some(column);
                    }
                    None => inputs.push(input.clone()),
                }
            }
            let Some(number) = number else { return Ok(None) };
            let exprs = plan.expressions();
            let known =
                |expr: &Expr| expr.column_refs().iter().all(|column| inputs.iter().any(|input| has(input, column)));
            if !exprs.iter().all(known) {
                return Ok(None);
            }
            Ok(Some((plan.with_new_exprs(exprs, inputs)?, number)))
        }
        _ => Ok(None),
    }
}

fn has(plan: &LogicalPlan, column: &Column) -> bool {
    plan.schema().maybe_index_of_column(column).is_some()
}

/// Whether a plan gives all columns of some expressions.
fn knows<'a>(plan: &LogicalPlan, exprs: impl IntoIterator<Item = &'a Expr>) -> bool {
    exprs.into_iter().all(|expr| expr.column_refs().iter().all(|column| has(plan, column)))
}
