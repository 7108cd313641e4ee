//! Expressions: one function a kind, all giving [`Typed`] values.

mod case;
mod column;
mod filter;
mod function;
mod operator;
mod special;

use datafusion::logical_expr::Expr as PlanExpr;
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, Expr, Spanned};

use super::binder::Binder;
use super::known_subqueries::is_over_query;
use super::names::fold_identifier;
use super::parse::too_deep;
use super::subquery::{Quantifier, boolean};
use crate::func::{self, CastKind, Subscript, Typed};

pub(super) use function::function_arguments;
pub(super) use operator::{balanced, chain_operands};

/// Nesting the binder follows. The parser bounds parentheses; this bounds chains of operators, whose trees are as deep as they are
/// long, to what DataFusion names in reasonable time (cubic in the depth of nested calls). AND, OR and text chains become balanced
/// trees and are bounded by the parser only.
const DEPTH_MAX: usize = 250;

impl Binder<'_> {
    pub fn bind_expr(&mut self, expr: &Expr) -> Result<Typed> {
        if self.depth >= DEPTH_MAX {
            return Err(too_deep());
        }
        self.depth += 1;
        let mut bound = grow_stack(|| self.bind_expr_kind(expr));
        self.depth -= 1;
        if is_over_query(expr) {
            bound = bound.and_then(|value| self.known_subquery(expr, value));
        }
        // The span of a deep tree is work in itself, so it is asked for only when there is something to point at.
        bound.map_err(|error| self.positions.mark(error, expr.span()))
    }

    fn bind_expr_kind(&mut self, expr: &Expr) -> Result<Typed> {
        match expr {
            Expr::Identifier(ident) => self.bind_identifier(ident),
            Expr::CompoundIdentifier(parts) => self.bind_compound_identifier(parts),
            Expr::Nested(inner) => self.bind_expr(inner),
            Expr::Value(value) => self.bind_value(value),
            Expr::BinaryOp { left, op, right } => self.bind_binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.bind_unary(*op, expr),
            Expr::Function(call) => self.bind_function(call),
            Expr::Cast { kind, expr, data_type, array, format } => {
                self.bind_cast(kind, expr, data_type, *array, format.is_some())
            }
            Expr::TypedString(typed) => self.bind_typed_string(typed),
            Expr::Interval(interval) => self.bind_interval(interval),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Subquery(query) => self.bind_scalar_subquery(query),
            Expr::Exists { subquery, negated } => self.bind_exists(subquery, *negated),
            Expr::InSubquery { expr, subquery, negated } => self.bind_in_subquery(expr, subquery, *negated),
            Expr::AnyOp { left, compare_op, right, is_some: _ } => {
                self.bind_any_all(Quantifier::Any, left, compare_op, right)
            }
            Expr::AllOp { left, compare_op, right } => self.bind_any_all(Quantifier::All, left, compare_op, right),
            Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::SimilarTo { .. }
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_) => self.bind_predicate(expr),
            Expr::Extract { .. }
            | Expr::Ceil { .. }
            | Expr::Floor { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. }
            | Expr::AtTimeZone { .. }
            | Expr::Collate { .. } => self.bind_special_syntax(expr),
            Expr::Array(array) => self.bind_array(array, None),
            Expr::CompoundFieldAccess { root, access_chain } => self.bind_subscript(root, access_chain),
            Expr::Tuple(parts) => self.bind_row(&parts.iter().collect::<Vec<_>>()),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                Err(Error::syntax("grouping sets are only allowed in GROUP BY"))
            }
            other => Err(Error::unsupported(format!("the expression {other}"))),
        }
    }

    /// `ROW(a, b)`: columns f1, f2, ...
    pub fn bind_row(&mut self, parts: &[&Expr]) -> Result<Typed> {
        let mut fields = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            fields.push((format!("f{}", at + 1), self.bind_expr(part)?));
        }
        func::row(fields, false, self.func())
    }

    fn bind_value(&mut self, value: &ast::ValueWithSpan) -> Result<Typed> {
        match &value.value {
            ast::Value::Placeholder(id) => self.params.reference(id),
            other => func::literal(other),
        }
    }

    fn bind_cast(
        &mut self,
        kind: &ast::CastKind,
        expr: &Expr,
        data_type: &ast::DataType,
        array: bool,
        format: bool,
    ) -> Result<Typed> {
        if !matches!(kind, ast::CastKind::Cast | ast::CastKind::DoubleColon) {
            return Err(Error::unsupported("TRY_CAST"));
        }
        super::from::refuse(array, "CAST ... AS ... ARRAY")?;
        super::from::refuse(format, "CAST ... FORMAT")?;
        // PostgreSQL points at the `::` or at the type after it.
        let end = match kind {
            ast::CastKind::DoubleColon => {
                self.positions.position(expr.span().end).map(|end| end + operator::closing_brackets(expr))
            }
            _ => None,
        };
        let point = |error: Error, offset: u32| match (error.position(), end) {
            (None, Some(end)) => error.with_position(end + offset),
            _ => error,
        };
        let to = self.type_written(data_type).map_err(|error| point(error, 2))?;
        // The elements of ARRAY[...]::type[] are cast one by one, so it may be empty.
        let value = match (strip_nesting(expr), to.element()) {
            (Expr::Array(array), Some(element)) => self.bind_array(array, Some(element))?,
            _ => self.bind_expr(expr)?,
        };
        let cast = func::cast(value, &to, CastKind::Explicit, self.func()).map_err(|error| match error.state() {
            SqlState::CANNOT_COERCE => point(error, 0),
            _ => error,
        });
        self.at(expr.span(), cast)
    }

    fn bind_typed_string(&mut self, typed: &ast::TypedString) -> Result<Typed> {
        let ast::TypedString { data_type, value, uses_odbc_syntax } = typed;
        super::from::refuse(*uses_odbc_syntax, "{d '...'}")?;
        let to = self.type_written(data_type)?;
        let cast = func::literal(&value.value).and_then(|v| func::cast(v, &to, CastKind::Explicit, self.func()));
        self.at(value.span, cast)
    }

    /// `x op ANY (...)`: a subquery, or an array whose elements are compared one by one.
    pub fn bind_any_all(
        &mut self,
        quantifier: Quantifier,
        left: &Expr,
        op: &ast::BinaryOperator,
        right: &Expr,
    ) -> Result<Typed> {
        let right = strip_nesting(right);
        match right {
            Expr::Subquery(query) => self.bind_quantified(quantifier, op, left, query),
            Expr::Array(ast::Array { elem, named: _ }) if !elem.iter().any(|one| matches!(one, Expr::Array(_))) => {
                let elements = elem.iter().map(|expr| self.bind_expr(expr)).collect::<Result<Vec<_>>>()?;
                if elements.iter().any(|element| element.sql_type.element().is_some()) {
                    // Arrays in an array are its dimensions: it is their elements that are compared.
                    let value = self.bind_expr(left)?;
                    let array = func::array_of(elements, self.func())?;
                    return func::quantified(op, value, array, quantifier == Quantifier::Any, self.func());
                }
                self.compare_with_each(quantifier, left, op, elements)
            }
            _ => {
                let value = self.bind_expr(left)?;
                let array = self.bind_expr(right)?;
                let any = quantifier == Quantifier::Any;
                let tested = func::quantified(op, value, array, any, self.func());
                tested.map_err(|error| self.mark_operator(self.positions.blame(error, [left, right]), left, right))
            }
        }
    }

    /// `ARRAY[...]`, its elements cast to `element` if that is known. Elements that are lists again make more dimensions.
    fn bind_array(&mut self, array: &ast::Array, element: Option<&SqlType>) -> Result<Typed> {
        let ast::Array { elem, named: _ } = array;
        let mut elements = Vec::with_capacity(elem.len());
        for expr in elem {
            elements.push(match strip_nesting(expr) {
                Expr::Array(inner) => self.bind_array(inner, element)?,
                _ => self.bind_expr(expr)?,
            });
        }
        if let Some(element) = element {
            // With one array among them, all are.
            let nested = elements.iter().any(|value| matches!(value.sql_type, SqlType::Array(_)));
            let to = if nested { element.array_of() } else { element.clone() };
            for (value, expr) in elements.iter_mut().zip(elem) {
                let cast = func::cast(value.clone(), &to, CastKind::Explicit, self.func());
                *value = self.at(expr.span(), cast)?;
            }
        }
        match element {
            Some(element) if elements.is_empty() => {
                let empty = func::literal(&ast::Value::SingleQuotedString("{}".to_owned()))?;
                func::cast(empty, &element.array_of(), CastKind::Explicit, self.func())
            }
            _ => func::array_of(elements, self.func()).map_err(|error| self.array_error(error, elem)),
        }
    }

    /// Points at the element that does not fit the others.
    fn array_error(&self, error: Error, elements: &[Expr]) -> Error {
        let error = self.positions.blame(error, elements);
        match (error.state(), elements) {
            (SqlState::DATATYPE_MISMATCH | SqlState::CANNOT_COERCE, [_, second, ..]) => {
                self.positions.mark(error, second.span())
            }
            _ => error,
        }
    }

    /// `array[i]`, `array[l:u]`, `(row).field`.
    fn bind_subscript(&mut self, root: &Expr, chain: &[ast::AccessExpr]) -> Result<Typed> {
        // `t.column[1]`: the parser takes the column for a field of `t`.
        let mut name = match root {
            Expr::Identifier(first) => vec![first.clone()],
            Expr::CompoundIdentifier(parts) => parts.clone(),
            _ => Vec::new(),
        };
        let mut chain = chain;
        if !name.is_empty() {
            while let [ast::AccessExpr::Dot(Expr::Identifier(part)), rest @ ..] = chain {
                name.push(part.clone());
                chain = rest;
            }
        }
        let mut value = match name.as_slice() {
            [] | [_] => self.bind_expr(root)?,
            parts => self.bind_compound_identifier(parts)?,
        };
        let mut subscripts = Vec::with_capacity(chain.len());
        for access in chain {
            match access {
                ast::AccessExpr::Subscript(subscript) => subscripts.push(self.bind_one_subscript(subscript)?),
                ast::AccessExpr::Dot(Expr::Identifier(field)) => {
                    let whole = self.bind_subscripted(value, std::mem::take(&mut subscripts), root)?;
                    let field = fold_identifier(field);
                    let found = func::field(whole, &field).map_err(|error| self.of_table(error, root, &field));
                    value = self.at(root.span(), found)?;
                }
                ast::AccessExpr::Dot(_) => return Err(Error::unsupported("this field of a value")),
            }
        }
        self.bind_subscripted(value, subscripts, root)
    }

    /// `(table).field` fails as `table.field` does.
    fn of_table(&mut self, error: Error, root: &Expr, field: &str) -> Error {
        let Expr::Nested(inner) = root else { return error };
        let Expr::Identifier(name) = inner.as_ref() else { return error };
        let name = fold_identifier(name);
        match self.level().scope.relation(None, &name) {
            Ok(Some(_)) if error.state() == SqlState::UNDEFINED_COLUMN => {
                Error::invalid(SqlState::UNDEFINED_COLUMN, format!("column {name}.{field} does not exist"))
            }
            _ => error,
        }
    }

    fn bind_subscripted(&mut self, array: Typed, subscripts: Vec<Subscript>, root: &Expr) -> Result<Typed> {
        if subscripts.is_empty() {
            return Ok(array);
        }
        let accessed = match array.sql_type {
            SqlType::Json | SqlType::Jsonb => {
                let index = |subscript| match subscript {
                    Subscript::Index(index) => Ok(index),
                    Subscript::Slice(..) => {
                        let message = "jsonb subscript does not support slices";
                        Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message))
                    }
                };
                let keys = subscripts.into_iter().map(index).collect::<Result<Vec<_>>>()?;
                func::subscript_json(array, keys, self.func())
            }
            _ => func::subscript(array, subscripts, self.func()),
        };
        self.at(root.span(), accessed)
    }

    pub fn bind_one_subscript(&mut self, subscript: &ast::Subscript) -> Result<Subscript> {
        Ok(match subscript {
            ast::Subscript::Index { index } => Subscript::Index(self.bind_expr(index)?),
            ast::Subscript::Slice { lower_bound, upper_bound, stride } => {
                super::from::refuse(stride.is_some(), "a slice with a stride")?;
                let mut bound = |expr: &Option<Expr>| expr.as_ref().map(|expr| self.bind_expr(expr)).transpose();
                Subscript::Slice(bound(lower_bound)?, bound(upper_bound)?)
            }
        })
    }

    fn compare_with_each(
        &mut self,
        quantifier: Quantifier,
        left: &Expr,
        op: &ast::BinaryOperator,
        elements: Vec<Typed>,
    ) -> Result<Typed> {
        let value = self.bind_expr(left)?;
        let mut parts = Vec::with_capacity(elements.len());
        for element in elements {
            let part = func::binary(op, value.clone(), element, self.func())?;
            if part.sql_type != SqlType::Bool {
                let message = "op ANY/ALL (array) requires operator to yield boolean";
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            parts.push(part.expr);
        }
        if parts.is_empty() {
            return Ok(boolean(datafusion::logical_expr::lit(quantifier == Quantifier::All)));
        }
        Ok(boolean(balanced(parts, if quantifier == Quantifier::Any { PlanExpr::or } else { PlanExpr::and })?))
    }
}

fn strip_nesting(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => strip_nesting(inner),
        other => other,
    }
}

/// Deep expressions grow the stack on the heap instead of overflowing a worker thread's.
fn grow_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(256 * 1024, 2 * 1024 * 1024, run)
}
