//! The expressions of indexes, over their table's own column names.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;

use super::BindContext;
use super::binder::{Binder, unqualified_relation};
use super::parse::parse_expression;
use super::scope::{Clause, Scope, column_value};
use crate::catalog::{IndexColumn, IndexInfo, Relation};
use crate::exec::IndexWrite;
use crate::func::{Typed, is_kept_as_numeric, sort_key, to_numeric_bytes};
use crate::pg_catalog::quote_identifier;

/// Binds an index for whoever keeps it or reads it.
pub fn bind_index(info: &IndexInfo, relation: &Arc<Relation>, context: &BindContext<'_>) -> Result<IndexWrite> {
    let mut keys = Vec::with_capacity(info.keys.len());
    for key in &info.keys {
        let (name, value) = match &key.column {
            IndexColumn::Attribute(attribute) => {
                let column = relation.columns.iter().find(|column| column.attribute == *attribute);
                let column = column.ok_or_else(|| Error::internal("an index on a column that is not there"))?;
                (quote_identifier(&column.name), column_value(None, &column.name, column.sql_type.clone()))
            }
            IndexColumn::Expression { sql, .. } => {
                let expr = parse_expression(sql)?;
                (shown(&expr), Binder::of_stored(context, sql).bind_index_expression(&expr, relation)?)
            }
        };
        let compared = key_of(&value);
        keys.push((name, value.sql_type, value.expr, compared));
    }
    let predicate = match &info.predicate {
        Some(sql) => Some(Binder::of_stored(context, sql).bind_index_predicate(&parse_expression(sql)?, relation)?),
        None => None,
    };
    Ok(IndexWrite { info: Arc::new(info.clone()), keys, predicate })
}

/// What of a value an entry's key is made of: the key codec knows floats, numeric and interval, other types say.
fn key_of(value: &Typed) -> datafusion::logical_expr::Expr {
    use heliosdb_types::PhysicalType::{Float32, Float64, Interval, Numeric};
    if is_kept_as_numeric(value) {
        return to_numeric_bytes(value.clone()).expr;
    }
    match value.sql_type.physical() {
        Some(Float32 | Float64 | Numeric | Interval) => value.expr.clone(),
        _ => sort_key(value),
    }
}

/// An expression in a message: a call as it is, anything else in parentheses.
fn shown(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Function(_) | ast::Expr::Nested(_) => expr.to_string(),
        other => format!("({other})"),
    }
}

impl Binder<'_> {
    /// An expression of CREATE INDEX: over the row alone, and always the same for it.
    pub fn bind_index_expression(mut self, expr: &ast::Expr, relation: &Arc<Relation>) -> Result<Typed> {
        let scope = Scope::of(unqualified_relation(relation));
        let value = self.in_level(scope, Clause::Index, |binder| binder.bind_expr(expr))?;
        must_be_immutable(&value.expr, "functions in index expression must be marked IMMUTABLE")?;
        Ok(value)
    }

    fn bind_index_predicate(
        mut self,
        expr: &ast::Expr,
        relation: &Arc<Relation>,
    ) -> Result<datafusion::logical_expr::Expr> {
        let scope = Scope::of(unqualified_relation(relation));
        let value = self.in_level(scope, Clause::IndexWhere, |binder| binder.bind_condition(expr, "WHERE"))?;
        must_be_immutable(&value.expr, "functions in index predicate must be marked IMMUTABLE")?;
        Ok(value.expr)
    }
}

/// The clock stands in a bound expression as a placeholder; anything volatile says so itself.
fn must_be_immutable(expr: &datafusion::logical_expr::Expr, message: &str) -> Result<()> {
    use datafusion::common::tree_node::TreeNode;
    use datafusion::logical_expr::{Expr, Volatility};
    let changes = |expr: &Expr| match expr {
        Expr::Placeholder(_) => true,
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
        _ => false,
    };
    if expr.exists(|expr| Ok(changes(expr))).unwrap_or(true) {
        return Err(Error::invalid(SqlState::INVALID_OBJECT_DEFINITION, message));
    }
    Ok(())
}
