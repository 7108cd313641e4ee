//! Subqueries that GROUP BY, DISTINCT and ORDER BY know again.
//!
//! Each binding of a subquery names its tables anew, so that no two are equal. One that is written as another of its level and
//! takes the same columns from around it is that one, unless each time gives something else (`random()`).

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::Expr;
use heliosdb_types::Result;
use sqlparser::ast;

use super::binder::Binder;
use super::plan::from_datafusion;
use super::unnest::is_volatile;
use crate::exec::to_datafusion;
use crate::func::Typed;

/// An expression over subqueries that a level has had.
#[derive(Debug)]
pub(super) struct Known {
    written: ast::Expr,
    /// What its subqueries take from around them.
    outer: Vec<Expr>,
    value: Typed,
}

impl Binder<'_> {
    /// What was bound of an expression, or what was bound before of the same.
    pub fn known_subquery(&mut self, written: &ast::Expr, value: Typed) -> Result<Typed> {
        let Some(outer) = taken(&value.expr).map_err(from_datafusion)? else { return Ok(value) };
        let known = &mut self.level().subqueries;
        if let Some(same) = known.iter().find(|known| known.outer == outer && known.written == *written) {
            return Ok(same.value.clone());
        }
        known.push(Known { written: written.clone(), outer, value: value.clone() });
        Ok(value)
    }
}

/// Whether the expression has a query in it, rather than other expressions.
pub(super) fn is_over_query(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => true,
        ast::Expr::AnyOp { right, .. } | ast::Expr::AllOp { right, .. } => matches!(**right, ast::Expr::Subquery(_)),
        ast::Expr::Function(call) => matches!(call.args, ast::FunctionArguments::Subquery(_)),
        _ => false,
    }
}

/// What the scalar subqueries of an expression take from around them; `None` if each time may give something else, and of those that
/// become joins of their own.
fn taken(expr: &Expr) -> DfResult<Option<Vec<Expr>>> {
    let mut taken = Some(Vec::new());
    expr.apply(|node| {
        match node {
            Expr::ScalarSubquery(subquery) if !is_volatile(&subquery.subquery).map_err(to_datafusion)? => {
                if let Some(taken) = &mut taken {
                    taken.extend(subquery.outer_ref_columns.iter().cloned());
                }
            }
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => taken = None,
            node if node.is_volatile_node() => taken = None,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(taken)
}
