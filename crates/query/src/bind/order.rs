//! ORDER BY: output names, ordinals, expressions.

use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Spanned};

use super::binder::Binder;
use super::from::refuse;
use super::names::fold_identifier;
use super::plan::{self, from_datafusion};
use crate::func::{self, Typed};

/// One key of a sort over a plan's columns.
#[derive(Clone, Debug)]
pub(super) struct OrderKey {
    pub value: Typed,
    pub asc: bool,
    pub nulls_first: bool,
}

impl OrderKey {
    /// NULLs are larger than everything unless said otherwise.
    pub fn new(value: Typed, options: &ast::OrderByOptions) -> OrderKey {
        let ast::OrderByOptions { asc, nulls_first } = options;
        let asc = asc.unwrap_or(true);
        OrderKey { value, asc, nulls_first: nulls_first.unwrap_or(!asc) }
    }

    pub fn sort(&self) -> Sort {
        Sort { expr: func::sort_key(&self.value), asc: self.asc, nulls_first: self.nulls_first }
    }
}

pub(super) fn sort(plan: LogicalPlan, keys: &[OrderKey]) -> Result<LogicalPlan> {
    if keys.is_empty() {
        return Ok(plan);
    }
    let sorted = plan::builder(plan).sort(keys.iter().map(OrderKey::sort));
    sorted.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

pub(super) fn order_items(order_by: &ast::OrderBy) -> Result<&[ast::OrderByExpr]> {
    let ast::OrderBy { kind, interpolate } = order_by;
    refuse(interpolate.is_some(), "INTERPOLATE")?;
    match kind {
        ast::OrderByKind::Expressions(items) => Ok(items),
        ast::OrderByKind::All(_) => Err(Error::unsupported("ORDER BY ALL")),
    }
}

pub(super) fn order_parts(item: &ast::OrderByExpr) -> Result<(&ast::Expr, &ast::OrderByOptions)> {
    let ast::OrderByExpr { expr, options, with_fill } = item;
    refuse(with_fill.is_some(), "WITH FILL")?;
    Ok((expr, options))
}

impl Binder<'_> {
    /// The output column that a bare name or number means in ORDER BY, GROUP BY or DISTINCT ON.
    pub fn output_reference(&self, expr: &ast::Expr, outputs: &[String], clause: &str) -> Result<Option<usize>> {
        match expr {
            ast::Expr::Identifier(ident) => {
                let name = fold_identifier(ident);
                Ok(outputs.iter().position(|output| *output == name))
            }
            ast::Expr::Nested(inner) => match inner.as_ref() {
                // `(1)` is not an ordinal.
                ast::Expr::Value(_) => Ok(None),
                inner => self.output_reference(inner, outputs, clause),
            },
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(digits, _) => self.ordinal(digits, value.span, outputs.len(), clause).map(Some),
                ast::Value::Placeholder(_) => Ok(None),
                _ => Err(self.non_integer(value.span, clause)),
            },
            // A constant as well.
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr: number } => match number.as_ref() {
                ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Number(digits, _), .. }) => {
                    // The parser's span is the number's; nearly always the sign is right before it.
                    let mut span = number.span();
                    span.start.column = span.start.column.saturating_sub(1);
                    self.ordinal(&format!("-{digits}"), span, outputs.len(), clause).map(Some)
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The place that a number names, if there is such a column.
    fn ordinal(&self, digits: &str, span: sqlparser::tokenizer::Span, outputs: usize, clause: &str) -> Result<usize> {
        let Ok(number) = digits.parse::<i32>() else { return Err(self.non_integer(span, clause)) };
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        place.filter(|place| *place < outputs).ok_or_else(|| {
            let message = format!("{clause} position {number} is not in select list");
            self.error_at(span, SqlState::INVALID_COLUMN_REFERENCE, message)
        })
    }

    fn non_integer(&self, span: sqlparser::tokenizer::Span, clause: &str) -> Error {
        self.error_at(span, SqlState::SYNTAX_ERROR, format!("non-integer constant in {clause}"))
    }

    /// Sort keys of a window definition or an aggregate's ORDER BY: expressions only, no ordinals.
    pub fn bind_sort_expressions(&mut self, items: &[ast::OrderByExpr]) -> Result<Vec<Sort>> {
        Ok(self.bind_sort_keys(items)?.iter().map(OrderKey::sort).collect())
    }

    pub fn bind_sort_keys(&mut self, items: &[ast::OrderByExpr]) -> Result<Vec<OrderKey>> {
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            let (expr, options) = order_parts(item)?;
            let value = self.bind_expr(expr)?;
            let value = self.settle(value).and_then(|value| func::check_comparable(&value, true).map(|()| value));
            keys.push(OrderKey::new(self.at(expr.span(), value)?, options));
        }
        Ok(keys)
    }
}
