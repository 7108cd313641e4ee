//! The rest of the typing interface, as the binder calls it. Each function here refuses until its real one takes its place.
//!
//! Rules the binder relies on: an operand of type [`SqlType::Unknown`] is a string literal, a NULL literal or an
//! `Expr::Placeholder`; deciding a placeholder's type is [`crate::bind::placeholder`] with the decided type (the binder reads
//! it back from there); comparing a column with a literal leaves the column bare and casts the literal.

use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, WindowFrame};
use heliosdb_types::{Error, Result, SqlType};
use sqlparser::ast;

use super::{CastKind, FuncContext, Typed};

/// A literal: int4/int8/numeric by size, `Unknown` for strings and NULL, boolean.
pub fn literal(value: &ast::Value) -> Result<Typed> {
    Err(Error::unsupported(format!("literal {value}")))
}

/// 42704 for a type that does not exist, 0A000 for one that is not implemented.
pub fn type_from_ast(data_type: &ast::DataType) -> Result<SqlType> {
    Err(Error::unsupported(format!("type {data_type}")))
}

pub fn can_cast(_from: &SqlType, _to: &SqlType, _kind: CastKind) -> bool {
    false
}

/// The common type of CASE arms, UNION columns, VALUES (42804 `CASE types integer and text cannot be matched`).
pub fn common_type(_inputs: &[&Typed], context: &str) -> Result<SqlType> {
    Err(Error::unsupported(context))
}

/// Casts all to [`common_type`]; all results have the same Arrow type too (decimals: the widest scale that fits).
pub fn unify(_inputs: Vec<Typed>, context: &str, _ctx: &FuncContext) -> Result<Vec<Typed>> {
    Err(Error::unsupported(context))
}

/// Any infix operator but AND/OR, comparisons included; 42883 `operator does not exist: integer + boolean`.
pub fn binary(op: &ast::BinaryOperator, _left: Typed, _right: Typed, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported(format!("operator {op}")))
}

/// Any prefix operator but NOT.
pub fn unary(op: ast::UnaryOperator, _input: Typed, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported(format!("operator {op}")))
}

/// `x [NOT] LIKE|ILIKE pattern [ESCAPE c]`; `escape` `None` is a backslash, `Some(None)` no escape at all.
pub fn like(
    _negated: bool,
    _case_insensitive: bool,
    _input: Typed,
    _pattern: Typed,
    _escape: Option<Option<char>>,
    _ctx: &FuncContext,
) -> Result<Typed> {
    Err(Error::unsupported("LIKE"))
}

pub fn similar_to(
    _negated: bool,
    _input: Typed,
    _pattern: Typed,
    _escape: Option<Option<char>>,
    _ctx: &FuncContext,
) -> Result<Typed> {
    Err(Error::unsupported("SIMILAR TO"))
}

/// `a IS [NOT] DISTINCT FROM b`; `negated` is the NOT form.
pub fn is_distinct(_negated: bool, _left: Typed, _right: Typed, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported("IS DISTINCT FROM"))
}

/// A scalar function; then `names.call`; then 42883.
pub fn call(name: &str, _args: Vec<Typed>, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported(format!("function {name}")))
}

pub fn is_aggregate(_name: &str) -> bool {
    false
}

/// An aggregate call; the result holds one `Expr::AggregateFunction` (perhaps inside a cast). `star`: `count(*)`.
pub fn aggregate(
    name: &str,
    _args: Vec<Typed>,
    _distinct: bool,
    _filter: Option<Expr>,
    _order_by: Vec<Sort>,
    _star: bool,
    _ctx: &FuncContext,
) -> Result<Typed> {
    Err(Error::unsupported(format!("aggregate {name}")))
}

/// Pure window functions (row_number, rank, lag, ...); aggregates are windowed too.
pub fn is_window(_name: &str) -> bool {
    false
}

/// A window function or a windowed aggregate; `frame` is `None` for the default one.
pub fn window(name: &str, _call: WindowCall, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported(format!("window function {name}")))
}

/// What stands around a window function's name.
pub struct WindowCall {
    pub args: Vec<Typed>,
    pub star: bool,
    pub distinct: bool,
    pub filter: Option<Expr>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<Sort>,
    pub frame: Option<WindowFrame>,
}

/// `extract(field from x)`: numeric.
pub fn extract(field: &str, _input: Typed, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported(format!("extract({field})")))
}

/// Our aggregate: NULL of no rows, the value of one, 21000 of more.
pub fn single_value(_input: Typed) -> Result<Typed> {
    Err(Error::unsupported("scalar subquery"))
}

/// What ORDER BY, GROUP BY and DISTINCT compare: the value itself, or a key for types whose bytes do not decide (numeric
/// with display scale, interval).
pub fn sort_key(input: &Typed) -> Expr {
    input.expr.clone()
}
