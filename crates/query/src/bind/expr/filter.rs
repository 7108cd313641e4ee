//! FILTER of aggregates: arguments are computed of the rows that the condition keeps, and of no others.
//!
//! DataFusion computes them of all rows when it groups and in frames, so that `sum(1 / x) FILTER (WHERE x <> 0)` would divide by
//! zero. So arguments say the condition once more.

use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr as PlanExpr, lit, when};
use heliosdb_types::{Result, SqlType};

use crate::bind::plan::from_datafusion;
use crate::bind::subquery::has_subquery;
use crate::func::{self, Typed, WindowCall};

/// What may be computed of rows that nobody wants: it cannot fail.
fn is_plain(expr: &PlanExpr) -> bool {
    matches!(expr, PlanExpr::Column(_) | PlanExpr::Literal(..) | PlanExpr::OuterReferenceColumn(..))
}

/// Whether a condition may be said twice.
fn is_repeatable(condition: &PlanExpr) -> bool {
    !condition.is_volatile() && !has_subquery(condition)
}

fn where_kept(expr: PlanExpr, condition: &PlanExpr) -> Result<PlanExpr> {
    when(condition.clone(), expr).end().map_err(from_datafusion)
}

/// Arguments and keys of an aggregate with FILTER: NULL where the condition does not hold.
pub(super) fn guard(args: &mut [Typed], order_by: &mut [Sort], condition: Option<&PlanExpr>) -> Result<()> {
    let Some(condition) = condition.filter(|condition| is_repeatable(condition)) else { return Ok(()) };
    let exprs = args.iter_mut().map(|arg| &mut arg.expr).chain(order_by.iter_mut().map(|key| &mut key.expr));
    for expr in exprs.filter(|expr| !is_plain(expr) && !has_subquery(expr)) {
        *expr = where_kept(std::mem::take(expr), condition)?;
    }
    Ok(())
}

/// A window's aggregate without its FILTER, if it passes over NULLs: they are what the other rows have. So what the step looks at is
/// known by its arguments.
pub(super) fn without_filter(function: &str, mut call: WindowCall) -> Result<WindowCall> {
    let passes_over_nulls =
        func::is_aggregate(function) && !func::is_order_sensitive(function) || function == "string_agg";
    let condition = call.filter.take_if(|condition| passes_over_nulls && is_repeatable(condition));
    let Some(condition) = condition else {
        guard(&mut call.args, &mut [], call.filter.as_ref())?;
        return Ok(call);
    };
    if call.star {
        let one = Typed { expr: lit(1i32), sql_type: SqlType::Int4, arrow: arrow_schema::DataType::Int32 };
        (call.star, call.args) = (false, vec![one]);
    }
    let Some((first, others)) = call.args.split_first_mut() else {
        return Ok(WindowCall { filter: Some(condition), ..call });
    };
    if first.sql_type == SqlType::Unknown || has_subquery(&first.expr) {
        return Ok(WindowCall { filter: Some(condition), ..call });
    }
    first.expr = where_kept(std::mem::take(&mut first.expr), &condition)?;
    guard(others, &mut [], Some(&condition))?;
    Ok(call)
}
