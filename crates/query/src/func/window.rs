//! Window functions: DataFusion's, with PostgreSQL's argument and result types. Aggregates can be windowed too.

use datafusion::functions_window as df;
use datafusion::logical_expr::expr::{Sort, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Expr, WindowFrame, WindowFunctionDefinition};
use heliosdb_contracts::arrow_type;
use heliosdb_types::{Error, Result, SqlState, SqlType};

use super::aggregate::{is_aggregate, resolve, undefined};
use super::cast::cast;
use super::common::polymorphic_unknown;
use super::value::{null_of, physical_of_type};
use super::{CastKind, FuncContext, Typed, unify, window_shift};
use crate::exec::from_datafusion;

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

/// Pure window functions (row_number, rank, lag, ...); aggregates are windowed too.
pub fn is_window(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "percent_rank"
            | "cume_dist"
            | "ntile"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

/// A window function or a windowed aggregate; `frame` is `None` for the default one.
pub fn window(name: &str, call: WindowCall, ctx: &FuncContext) -> Result<Typed> {
    let WindowCall { args, star, distinct, filter, partition_by, order_by, frame } = call;
    if distinct {
        let message = "DISTINCT is not implemented for window functions";
        return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    // With ORDER BY the default frame ends at the current row's last peer, without at the partition's end.
    let window_frame = frame.unwrap_or_else(|| WindowFrame::new((!order_by.is_empty()).then_some(false)));
    let params = |args: Vec<Expr>, filter: Option<Expr>| WindowFunctionParams {
        args,
        partition_by,
        order_by,
        window_frame,
        filter: filter.map(Box::new),
        null_treatment: None,
        distinct: false,
    };
    if is_aggregate(name) {
        let resolved = resolve(name, args, false, Vec::new(), star, ctx)?.for_frames(name);
        let fun = WindowFunctionDefinition::AggregateUDF(resolved.function.clone());
        let params = params(resolved.args.clone(), filter);
        return resolved.finish(Expr::WindowFunction(Box::new(WindowFunction { fun, params })), ctx);
    }
    if filter.is_some() {
        let message = "FILTER is not implemented for non-aggregate window functions";
        return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    let (fun, args, result) = match pure(name, args, ctx)? {
        Pure::Call(fun, args, result) => (fun, args, result),
        Pure::Always(value) => return Ok(value),
    };
    let expr = Expr::WindowFunction(Box::new(WindowFunction { fun: fun.into(), params: params(args, None) }));
    Ok(match result {
        // DataFusion counts in u64.
        PureResult::Counted(sql_type) => {
            let arrow = arrow_type(physical_of_type(&sql_type));
            Typed { expr: datafusion::logical_expr::cast(expr, arrow.clone()), sql_type, arrow }
        }
        PureResult::Float => Typed::new(expr, SqlType::Float8),
        PureResult::Value(sql_type, arrow) => Typed { expr, sql_type, arrow },
    })
}

enum PureResult {
    Counted(SqlType),
    Float,
    Value(SqlType, arrow_schema::DataType),
}

enum Pure {
    Call(std::sync::Arc<datafusion::logical_expr::WindowUDF>, Vec<Expr>, PureResult),
    /// The same for every row.
    Always(Typed),
}

fn pure(name: &str, args: Vec<Typed>, ctx: &FuncContext) -> Result<Pure> {
    let settle = |arg: Typed| if arg.is_unknown() { Err(polymorphic_unknown()) } else { Ok(arg) };
    let (fun, args, result) = match (name, args.len()) {
        ("row_number", 0) => (df::row_number::row_number_udwf(), vec![], PureResult::Counted(SqlType::Int8)),
        ("rank", 0) => (df::rank::rank_udwf(), vec![], PureResult::Counted(SqlType::Int8)),
        ("dense_rank", 0) => (df::rank::dense_rank_udwf(), vec![], PureResult::Counted(SqlType::Int8)),
        ("percent_rank", 0) => (df::rank::percent_rank_udwf(), vec![], PureResult::Float),
        ("cume_dist", 0) => (df::cume_dist::cume_dist_udwf(), vec![], PureResult::Float),
        ("ntile", 1) => {
            let count = literal_count(&args, 0, ctx)?;
            check_positive(&count, *b"22014", name)?;
            if matches!(&count, Expr::Literal(value, _) if value.is_null()) {
                return Ok(Pure::Always(null_of(&SqlType::Int4)?));
            }
            (df::ntile::ntile_udwf(), vec![count], PureResult::Counted(SqlType::Int4))
        }
        ("first_value" | "last_value" | "nth_value", n) if n == 1 + usize::from(name == "nth_value") => {
            let fun = match name {
                "first_value" => df::nth_value::first_value_udwf(),
                "last_value" => df::nth_value::last_value_udwf(),
                _ => df::nth_value::nth_value_udwf(),
            };
            let position = if n == 2 { Some(literal_count(&args, 1, ctx)?) } else { None };
            if let Some(position) = &position {
                check_positive(position, *b"22016", name)?;
            }
            let value = settle(first(args)?)?;
            if matches!(&position, Some(Expr::Literal(position, _)) if position.is_null()) {
                return Ok(Pure::Always(null_of(&value.sql_type)?));
            }
            let result = PureResult::Value(value.sql_type.clone(), value.arrow.clone());
            (fun, std::iter::once(value.expr).chain(position).collect(), result)
        }
        ("lag" | "lead", 1..=3) => {
            let fun = if name == "lag" { df::lead_lag::lag_udwf() } else { df::lead_lag::lead_udwf() };
            let offset = match args.get(1) {
                Some(offset) => Some(cast(offset.clone(), &SqlType::Int4, CastKind::Implicit, ctx)?),
                None => None,
            };
            let constant = offset.as_ref().is_none_or(Typed::is_literal);
            let to_int8 =
                |offset: Typed| cast(offset, &SqlType::Int8, CastKind::Implicit, ctx).map(|offset| offset.expr);
            let offset = offset.map(to_int8).transpose()?;
            // No offset, no row, and not the default either.
            let nowhere = matches!(&offset, Some(Expr::Literal(value, _)) if value.is_null());
            let mut args = args.into_iter();
            let value = args.next().ok_or_else(|| Error::internal("an argument"))?;
            match args.nth(1) {
                Some(default) => {
                    let mut both = unify(vec![value, default], name, ctx)?.into_iter();
                    let (Some(value), Some(default)) = (both.next(), both.next()) else {
                        return Err(Error::internal("two values"));
                    };
                    let result = PureResult::Value(value.sql_type.clone(), value.arrow.clone());
                    let offset = offset.ok_or_else(|| Error::internal("an offset"))?;
                    if nowhere {
                        return Ok(Pure::Always(null_of(&value.sql_type)?));
                    }
                    // A default of each row's own is no literal either.
                    let constant = constant && default.is_literal();
                    let fun = if constant { fun } else { window_shift::shift(name == "lead") };
                    (fun, vec![value.expr, offset, default.expr], result)
                }
                None => {
                    let value = settle(value)?;
                    let result = PureResult::Value(value.sql_type.clone(), value.arrow.clone());
                    if nowhere {
                        return Ok(Pure::Always(null_of(&value.sql_type)?));
                    }
                    match offset {
                        Some(offset) if !constant => {
                            let null =
                                datafusion::common::ScalarValue::try_from(&value.arrow).map_err(from_datafusion)?;
                            let null = Expr::Literal(null, None);
                            (window_shift::shift(name == "lead"), vec![value.expr, offset, null], result)
                        }
                        offset => (fun, std::iter::once(value.expr).chain(offset).collect(), result),
                    }
                }
            }
        }
        _ => return Err(undefined(name, &args)),
    };
    Ok(Pure::Call(fun, args, result))
}

fn first(args: Vec<Typed>) -> Result<Typed> {
    args.into_iter().next().ok_or_else(|| Error::internal("an argument"))
}

fn check_positive(count: &Expr, state: [u8; 5], name: &str) -> Result<()> {
    match count {
        Expr::Literal(datafusion::common::ScalarValue::Int64(Some(..=0)), _) => {
            Err(Error::invalid(SqlState(state), format!("argument of {name} must be greater than zero")))
        }
        _ => Ok(()),
    }
}

/// An offset or bucket count: DataFusion takes a literal only.
fn literal_count(args: &[Typed], at: usize, ctx: &FuncContext) -> Result<Expr> {
    let arg = args.get(at).cloned().ok_or_else(|| Error::internal("an argument"))?;
    let count = cast(arg, &SqlType::Int8, CastKind::Implicit, ctx)?;
    if count.is_literal() {
        Ok(count.expr)
    } else {
        Err(Error::unsupported("a window function's count that is not a literal"))
    }
}
