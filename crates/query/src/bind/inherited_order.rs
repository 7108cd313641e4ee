//! Aggregates that see the order of their input, over a subquery with ORDER BY: `SELECT json_agg(x) FROM (SELECT ... ORDER BY ...) x`.
//!
//! PostgreSQL's aggregates take rows as they come, and its users rely on it. Ours come from several threads, so the subquery's keys
//! are carried up to the aggregate and become its ORDER BY.

use std::sync::Arc;

use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, SubqueryAlias};
use heliosdb_types::Result;

use super::plan::from_datafusion;
use crate::func::is_order_sensitive;

/// The input with its sort keys as further columns, and the calls that say no order of their own sorted by them.
pub(super) fn carry(input: LogicalPlan, calls: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
    if !calls.iter().any(|call| unsorted(call).is_some()) {
        return Ok((input, calls));
    }
    let Some((input, keys)) = with_keys(&input)? else { return Ok((input, calls)) };
    let columns = last_columns(&input, keys.len());
    let keys: Vec<Sort> = columns.zip(keys).map(|(column, key)| Sort { expr: column, ..key }).collect();
    let sorted = |call: Expr| match unsorted(&call) {
        Some(plain) => {
            let mut sorted = plain.clone();
            sorted.params.order_by.clone_from(&keys);
            let name = call.schema_name().to_string();
            Expr::AggregateFunction(sorted).alias(name)
        }
        None => call,
    };
    Ok((input, calls.into_iter().map(sorted).collect()))
}

/// A call that sees an order and asks for none.
fn unsorted(call: &Expr) -> Option<&AggregateFunction> {
    match call {
        Expr::Alias(alias) => unsorted(&alias.expr),
        Expr::AggregateFunction(call) => {
            let params = &call.params;
            let plain = params.order_by.is_empty() && !params.distinct && is_order_sensitive(call.func.name());
            plain.then_some(call)
        }
        _ => None,
    }
}

/// So many columns from the end: the keys.
fn last_columns(plan: &LogicalPlan, count: usize) -> impl Iterator<Item = Expr> {
    let columns = plan.schema().columns();
    let before = columns.len() - count;
    columns.into_iter().skip(before).map(Expr::Column)
}

/// A plan whose rows come in the order of an ORDER BY, with its keys behind all other columns; `None` where they come in no order.
fn with_keys(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Vec<Sort>)>> {
    let input = match plan {
        LogicalPlan::Sort(sort) => {
            let columns = plan.schema().columns().into_iter().map(Expr::Column);
            let keys = sort.expr.iter().enumerate().map(|(n, key)| key.expr.clone().alias(format!("__order:{n}")));
            let exprs = columns.chain(keys).collect();
            let project = Projection::try_new(exprs, Arc::new(plan.clone())).map_err(from_datafusion)?;
            return Ok(Some((LogicalPlan::Projection(project), sort.expr.clone())));
        }
        LogicalPlan::Projection(project) => &project.input,
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        LogicalPlan::Filter(filter) => &filter.input,
        LogicalPlan::Limit(limit) => &limit.input,
        _ => return Ok(None),
    };
    let Some((input, keys)) = with_keys(input)? else { return Ok(None) };
    let plan = match plan {
        LogicalPlan::Projection(project) => {
            let exprs = project.expr.iter().cloned().chain(last_columns(&input, keys.len())).collect();
            Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            SubqueryAlias::try_new(Arc::new(input), alias.alias.clone()).map(LogicalPlan::SubqueryAlias)
        }
        other => other.with_new_exprs(other.expressions(), vec![input]),
    };
    Ok(Some((plan.map_err(from_datafusion)?, keys)))
}
