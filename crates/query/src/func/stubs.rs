//! The rest of the typing interface, as the binder calls it. Each function here refuses until its real one takes its place.
//!
//! Rules the binder relies on: an operand of type [`SqlType::Unknown`] is a string literal, a NULL literal or an
//! `Expr::Placeholder`; deciding a placeholder's type is [`crate::bind::placeholder`] with the decided type (the binder reads
//! it back from there); comparing a column with a literal leaves the column bare and casts the literal.

use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{Expr, WindowFrame};
use heliosdb_types::{Error, Result};

use super::{FuncContext, Typed};

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
