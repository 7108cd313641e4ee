//! Aggregates: PostgreSQL's result types, over DataFusion's accumulators where they agree and ours where they do not.

mod exact;
mod float_extreme;
mod float_spread;
mod fold;
mod folds;
mod json;
mod moments;
mod ordered;
mod ordered_set;
mod shifted;

use std::sync::Arc;

use datafusion::functions_aggregate as df;
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::{AggregateUDF, Expr};
use heliosdb_types::{Error, PhysicalType, Result, SqlState, SqlType};

use super::cast::{cast, is_integer, is_number, is_text, to_numeric_bytes};
use super::common::{as_decimal, base_name, not_unique, polymorphic_unknown};
use super::operator::sort_key;
use super::value::physical_of_type;
use super::{CastKind, FuncContext, Typed, decimal};
pub(crate) use exact::is_exact_sum;
use exact::{ExactSum, Output};
use float_extreme::FloatExtreme;
use fold::FoldAggregate;
pub(crate) use shifted::ShiftedSum;

const NAMES: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

pub fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

/// What a call of an aggregate resolves to: DataFusion's function, its arguments, and what its result becomes.
pub(super) struct Resolved {
    pub function: Arc<AggregateUDF>,
    pub args: Vec<Expr>,
    /// Type of the function's own result.
    pub result: Typed0,
    /// The SQL type of the call, if the result must still be cast to it.
    pub cast_to: Option<SqlType>,
    pub order_by: Vec<Sort>,
}

impl Resolved {
    /// The same call where frames move: DataFusion's accumulators of these cannot let rows go.
    pub fn for_frames(mut self, name: &str) -> Resolved {
        let fold = match (name, self.result.physical) {
            ("bool_and" | "every" | "bool_or", _) => folds::truth(name == "bool_or"),
            ("bit_and" | "bit_or" | "bit_xor", physical) => folds::bits(name, physical),
            // What leaves a frame cannot be subtracted: infinity would stay as NaN, and 1e20 would take 1 with it.
            ("sum" | "avg", PhysicalType::Float64) => moments::float_sum(name == "avg"),
            _ => return self,
        };
        self.function = Arc::new(AggregateUDF::new_from_impl(fold));
        self
    }
}

/// A type without an expression.
pub(super) struct Typed0 {
    pub sql_type: SqlType,
    pub physical: PhysicalType,
}

impl Resolved {
    /// The finished call around the aggregate (or window) expression.
    pub fn finish(self, expr: Expr, ctx: &FuncContext) -> Result<Typed> {
        let typed =
            Typed { expr, sql_type: self.result.sql_type, arrow: heliosdb_contracts::arrow_type(self.result.physical) };
        match self.cast_to {
            Some(to) => cast(typed, &to, CastKind::Explicit, ctx),
            None => Ok(typed),
        }
    }
}

/// An aggregate call; the result holds one `Expr::AggregateFunction` (perhaps inside a cast). `star`: `count(*)`.
pub fn aggregate(
    name: &str,
    args: Vec<Typed>,
    distinct: bool,
    filter: Option<Expr>,
    order_by: Vec<Sort>,
    star: bool,
    ctx: &FuncContext,
) -> Result<Typed> {
    // DISTINCT sorts its arguments, and nothing else says how.
    let order_by = match order_by {
        none if distinct && none.is_empty() => {
            let sorted = args.iter().map(|arg| settle_text(arg.clone(), ctx));
            let sorted = sorted.map(|arg| Ok(Sort { expr: sort_key(&arg?), asc: true, nulls_first: false }));
            sorted.collect::<Result<_>>()?
        }
        given => given,
    };
    let mut resolved = resolve(name, args, distinct, order_by, star, ctx)?;
    let mut distinct = distinct;
    if distinct && resolved.order_by.is_empty() {
        // A lone DISTINCT aggregate would become a GROUP BY of its argument's bytes, and 1 is 1.0.
        let function: &dyn std::any::Any = resolved.function.inner().as_ref();
        if let Some(fold) = function.downcast_ref::<FoldAggregate>() {
            resolved.function = Arc::new(AggregateUDF::new_from_impl(fold.clone().distinct()));
            distinct = false;
        }
    }
    let call = AggregateFunction::new_udf(
        resolved.function.clone(),
        resolved.args.clone(),
        distinct,
        filter.map(Box::new),
        resolved.order_by.clone(),
        None,
    );
    resolved.finish(Expr::AggregateFunction(call), ctx)
}

pub(crate) fn undefined(name: &str, args: &[Typed]) -> Error {
    let types: Vec<String> = args.iter().map(|arg| base_name(&arg.sql_type)).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    Error::invalid(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

pub(super) fn resolve(
    name: &str,
    args: Vec<Typed>,
    distinct: bool,
    order_by: Vec<Sort>,
    star: bool,
    ctx: &FuncContext,
) -> Result<Resolved> {
    if star && name != "count" {
        return Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, format!("function {name}() does not exist")));
    }
    if let [only] = args.as_slice()
        && only.is_unknown()
    {
        match name {
            "sum" | "avg" | "bit_and" | "bit_or" | "bit_xor" | "array_agg" => return Err(not_unique(name, &args)),
            "json_agg" | "jsonb_agg" => return Err(polymorphic_unknown()),
            _ => {}
        }
    }
    let mut resolved = match (name, args.as_slice()) {
        ("count", []) if star => {
            let one = Expr::Literal(datafusion::common::ScalarValue::Int64(Some(1)), None);
            built_in(df::count::count_udaf(), vec![one], SqlType::Int8)
        }
        ("count", []) => {
            let message = "count(*) must be used to call a parameterless aggregate function";
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
        }
        ("count", [_]) => {
            let input = settle_text(one(args)?, ctx)?;
            if distinct {
                super::check_comparable(&input, false)?;
            }
            let counted = if distinct { sort_key(&input) } else { input.expr };
            built_in(df::count::count_udaf(), vec![counted], SqlType::Int8)
        }
        ("sum", [_]) => sum(one(args)?, distinct, ctx)?,
        ("avg", [_]) => avg(one(args)?, distinct, ctx)?,
        ("min" | "max", [_]) => extreme(name, one(args)?, ctx)?,
        ("bool_and" | "every", [_]) => boolean(df::bool_and_or::bool_and_udaf(), name, one(args)?, ctx)?,
        ("bool_or", [_]) => boolean(df::bool_and_or::bool_or_udaf(), name, one(args)?, ctx)?,
        ("bit_and" | "bit_or" | "bit_xor", [_]) => bits(name, one(args)?)?,
        ("string_agg", [_, _]) => string_agg(args, distinct, ctx)?,
        ("json_agg" | "jsonb_agg", [_]) | ("json_object_agg" | "jsonb_object_agg", [_, _]) => {
            json_call(name, args, distinct, ctx)?
        }
        ("array_agg", [_]) => array_agg(one(args)?, distinct, ctx)?,
        ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", [_]) => {
            spread(name, one(args)?, ctx)?
        }
        (_, [_, _]) => two_floats(name, args, ctx)?,
        _ => return Err(undefined(name, &args)),
    };
    resolved.order_by = if is_order_sensitive(name) { order_by } else { Vec::new() };
    Ok(resolved)
}

/// Only these see the order of their input; sorting for the others would be wasted.
pub fn is_order_sensitive(name: &str) -> bool {
    matches!(name, "string_agg" | "array_agg" | "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg")
}

fn one(args: Vec<Typed>) -> Result<Typed> {
    args.into_iter().next().ok_or_else(|| Error::internal("one argument"))
}

fn built_in(function: Arc<AggregateUDF>, args: Vec<Expr>, sql_type: SqlType) -> Resolved {
    let physical = physical_of_type(&sql_type);
    Resolved { function, args, result: Typed0 { sql_type, physical }, cast_to: None, order_by: Vec::new() }
}

fn ours(function: AggregateUDF, args: Vec<Expr>, sql_type: SqlType, physical: PhysicalType) -> Resolved {
    Resolved {
        function: Arc::new(function),
        args,
        result: Typed0 { sql_type, physical },
        cast_to: None,
        order_by: Vec::new(),
    }
}

fn settle_text(input: Typed, ctx: &FuncContext) -> Result<Typed> {
    if input.is_unknown() { cast(input, &SqlType::Text, CastKind::Implicit, ctx) } else { Ok(input) }
}

fn fold_call(fold: FoldAggregate, args: Vec<Typed>, sql_type: SqlType) -> Resolved {
    let physical = fold.returns();
    ours(AggregateUDF::new_from_impl(fold), args.into_iter().map(|arg| arg.expr).collect(), sql_type, physical)
}

fn sum(input: Typed, distinct: bool, ctx: &FuncContext) -> Result<Resolved> {
    let input = as_decimal(input);
    let physical = input.physical();
    match &input.sql_type {
        SqlType::Float8 | SqlType::Float4 => {
            let narrow = input.sql_type == SqlType::Float4;
            let input = cast(input, &SqlType::Float8, CastKind::Implicit, ctx)?;
            let mut call = built_in(df::sum::sum_udaf(), vec![input.expr], SqlType::Float8);
            call.cast_to = narrow.then_some(SqlType::Float4);
            Ok(call)
        }
        SqlType::Interval => Ok(fold_call(folds::interval_sum(), vec![input], SqlType::Interval)),
        number if is_number(number) && distinct => {
            let to =
                if is_integer(number) && *number != SqlType::Int8 { SqlType::Int8 } else { SqlType::Numeric(None) };
            let mut call = fold_call(moments::numeric_sum(), vec![exact_numeric(input, ctx)?], SqlType::Numeric(None));
            call.cast_to = (to == SqlType::Int8).then_some(to);
            Ok(call)
        }
        SqlType::Int2 | SqlType::Int4 => {
            let function = ExactSum::new(physical, Output::Int64);
            Ok(ours(AggregateUDF::new_from_impl(function), vec![input.expr], SqlType::Int8, PhysicalType::Int64))
        }
        SqlType::Int8 => Ok(decimal_sum(input, 0)),
        SqlType::Numeric(_) => match decimal::parts(physical) {
            Some((_, scale)) => Ok(decimal_sum(input, scale)),
            None => Ok(fold_call(moments::numeric_sum(), vec![input], SqlType::Numeric(None))),
        },
        _ => Err(undefined("sum", &[input])),
    }
}

fn decimal_sum(input: Typed, scale: i8) -> Resolved {
    let function = ExactSum::new(input.physical(), Output::Decimal(scale));
    let result = PhysicalType::Decimal128 { precision: 38, scale };
    ours(AggregateUDF::new_from_impl(function), vec![input.expr], SqlType::Numeric(None), result)
}

/// Any exact number as numeric bytes.
fn exact_numeric(input: Typed, ctx: &FuncContext) -> Result<Typed> {
    cast(input, &SqlType::Numeric(None), CastKind::Implicit, ctx).map(to_numeric_bytes)
}

fn avg(input: Typed, distinct: bool, ctx: &FuncContext) -> Result<Resolved> {
    let input = as_decimal(input);
    let physical = input.physical();
    let exact = is_integer(&input.sql_type) || decimal::parts(physical).is_some();
    match &input.sql_type {
        SqlType::Float4 | SqlType::Float8 => {
            let input = cast(input, &SqlType::Float8, CastKind::Implicit, ctx)?;
            Ok(built_in(df::average::avg_udaf(), vec![input.expr], SqlType::Float8))
        }
        SqlType::Interval => Ok(fold_call(folds::interval_avg(), vec![input], SqlType::Interval)),
        number if is_number(number) && exact && !distinct => {
            let scale = decimal::parts(physical).map_or(0, |(_, scale)| scale);
            let function = ExactSum::new(physical, Output::Average(scale));
            let numeric = SqlType::Numeric(None);
            Ok(ours(AggregateUDF::new_from_impl(function), vec![input.expr], numeric, PhysicalType::Numeric))
        }
        number if is_number(number) => {
            Ok(fold_call(moments::numeric_avg(), vec![exact_numeric(input, ctx)?], SqlType::Numeric(None)))
        }
        _ => Err(undefined("avg", &[input])),
    }
}

fn extreme(name: &str, input: Typed, ctx: &FuncContext) -> Result<Resolved> {
    let input = settle_text(input, ctx)?;
    let function = if name == "min" { df::min_max::min_udaf() } else { df::min_max::max_udaf() };
    let sql_type = super::common::without_modifier(&input.sql_type);
    let function = match &input.sql_type {
        SqlType::Float4 | SqlType::Float8 => Arc::new(AggregateUDF::new_from_impl(FloatExtreme::new(function))),
        _ => function,
    };
    match &input.sql_type {
        SqlType::Bool
        | SqlType::Uuid
        | SqlType::Bytea
        | SqlType::Json
        | SqlType::Jsonb
        | SqlType::Void
        | SqlType::Unknown => Err(undefined(name, &[input])),
        SqlType::Array(_) => Ok(fold_call(folds::extreme(name == "max", PhysicalType::Bytes), vec![input], sql_type)),
        SqlType::Interval => {
            Ok(fold_call(folds::extreme(name == "max", PhysicalType::Interval), vec![input], SqlType::Interval))
        }
        // varchar and name have no aggregate of their own: text.
        text if is_text(text) && !matches!(text, SqlType::Char(_)) => {
            Ok(built_in(function, vec![input.expr], SqlType::Text))
        }
        _ => {
            let physical = input.physical();
            let result = Typed0 { sql_type, physical };
            Ok(Resolved { function, args: vec![input.expr], result, cast_to: None, order_by: Vec::new() })
        }
    }
}

/// An aggregate that gives one of values that compare equal, for what a group shows.
pub fn one_of_equals(input: Typed, ctx: &FuncContext) -> Result<Typed> {
    if !matches!(input.sql_type, SqlType::Jsonb | SqlType::Array(_) | SqlType::Interval) {
        return aggregate("min", vec![input], false, None, Vec::new(), false, ctx);
    }
    let (sql_type, physical) = (input.sql_type.clone(), input.physical());
    let resolved = fold_call(folds::first_value(physical), vec![input], sql_type);
    let call =
        AggregateFunction::new_udf(resolved.function.clone(), resolved.args.clone(), false, None, Vec::new(), None);
    resolved.finish(Expr::AggregateFunction(call), ctx)
}

fn boolean(function: Arc<AggregateUDF>, name: &str, input: Typed, ctx: &FuncContext) -> Result<Resolved> {
    let input = if input.is_unknown() { cast(input, &SqlType::Bool, CastKind::Implicit, ctx)? } else { input };
    if input.sql_type != SqlType::Bool {
        return Err(undefined(name, &[input]));
    }
    Ok(built_in(function, vec![input.expr], SqlType::Bool))
}

fn bits(name: &str, input: Typed) -> Result<Resolved> {
    if !is_integer(&input.sql_type) {
        return Err(undefined(name, &[input]));
    }
    let function = match name {
        "bit_and" => df::bit_and_or_xor::bit_and_udaf(),
        "bit_or" => df::bit_and_or_xor::bit_or_udaf(),
        _ => df::bit_and_or_xor::bit_xor_udaf(),
    };
    let sql_type = input.sql_type.clone();
    Ok(built_in(function, vec![input.expr], sql_type))
}

fn string_agg(args: Vec<Typed>, distinct: bool, ctx: &FuncContext) -> Result<Resolved> {
    let texty = |arg: &Typed| is_text(&arg.sql_type) || arg.is_unknown();
    if !args.iter().all(texty) {
        return Err(undefined("string_agg", &args));
    }
    let args =
        args.into_iter().map(|arg| cast(arg, &SqlType::Text, CastKind::Implicit, ctx)).collect::<Result<Vec<_>>>()?;
    let _ = distinct;
    Ok(fold_call(folds::string_agg(), args, SqlType::Text))
}

fn array_agg(input: Typed, _distinct: bool, ctx: &FuncContext) -> Result<Resolved> {
    let input = settle_text(input, ctx)?;
    let array = super::common::without_modifier(&input.sql_type).array_of();
    let fold = folds::array_agg(input.physical(), &input.sql_type)?;
    Ok(fold_call(fold, vec![input], array))
}

/// Aggregates of values in an order: `percentile_cont(0.5) WITHIN GROUP (ORDER BY x)`.
pub fn is_ordered_set(name: &str) -> bool {
    matches!(name, "mode" | "percentile_cont" | "percentile_disc")
}

/// A call of one; `direct` stands in its parentheses, `key` is ordered by, downwards if `descending`.
pub fn ordered_set(
    name: &str,
    direct: Vec<Typed>,
    key: Typed,
    descending: bool,
    filter: Option<Expr>,
    ctx: &FuncContext,
) -> Result<Typed> {
    use ordered_set::Kind;
    let missing = || {
        let all: Vec<Typed> = direct.iter().cloned().chain([key.clone()]).collect();
        undefined(name, &all)
    };
    if key.is_unknown() && name != "percentile_cont" {
        return Err(polymorphic_unknown());
    }
    let kind = match (name, direct.len()) {
        ("mode", 0) => Kind::Mode,
        ("percentile_cont", 1) => Kind::Continuous,
        ("percentile_disc", 1) => Kind::Discrete,
        _ => return Err(missing()),
    };
    // Of its overloads the one for the preferred type takes an untyped value.
    let mut value =
        if key.is_unknown() { cast(key.clone(), &SqlType::Float8, CastKind::Implicit, ctx)? } else { key.clone() };
    super::check_comparable(&value, true)?;
    if value.sql_type == SqlType::Jsonb || value.sql_type.element().is_some() {
        return Err(Error::unsupported(format!("{name} of {}", value.sql_type.name())));
    }
    if kind == Kind::Continuous && value.sql_type != SqlType::Interval {
        if !is_number(&value.sql_type) {
            return Err(missing());
        }
        value = cast(value, &SqlType::Float8, CastKind::Explicit, ctx)?;
    }
    let several = direct.first().is_some_and(|fraction| fraction.sql_type.element().is_some());
    let fraction = match direct.first() {
        Some(fraction) => {
            let to = if several { SqlType::Float8.array_of() } else { SqlType::Float8 };
            Some(cast(fraction.clone(), &to, CastKind::Implicit, ctx).map_err(|_| missing())?)
        }
        None => None,
    };
    let element = super::common::without_modifier(&value.sql_type);
    let (returns, physical) = if several {
        let array = element.array_of();
        (array.clone(), physical_of_type(&array))
    } else {
        (element.clone(), value.physical())
    };
    let shape = fraction.as_ref().map(|fraction| (fraction.physical(), several));
    let fold = ordered_set::fold(name, kind, (value.physical(), element), shape, descending, physical);
    let args = std::iter::once(value).chain(fraction).collect();
    let resolved = fold_call(fold, args, returns);
    let call = AggregateFunction::new_udf(
        resolved.function.clone(),
        resolved.args.clone(),
        false,
        filter.map(Box::new),
        Vec::new(),
        None,
    );
    resolved.finish(Expr::AggregateFunction(call), ctx)
}

fn json_call(name: &str, args: Vec<Typed>, distinct: bool, ctx: &FuncContext) -> Result<Resolved> {
    let args = args.into_iter().map(|arg| settle_text(arg, ctx)).collect::<Result<Vec<_>>>()?;
    if distinct {
        args.iter().try_for_each(|arg| super::check_comparable(arg, false))?;
    }
    let mut converters: Vec<_> = args.iter().map(|arg| super::json::Converter::new(&arg.sql_type, &ctx.text)).collect();
    let value = converters.pop().ok_or_else(|| Error::internal("an argument"))?;
    let types = args.iter().map(Typed::physical).collect();
    let (fold, returns) = json::aggregate(name, converters.pop(), value, types);
    Ok(fold_call(fold, args, returns))
}

fn spread(name: &str, input: Typed, ctx: &FuncContext) -> Result<Resolved> {
    let input = if input.is_unknown() { cast(input, &SqlType::Float8, CastKind::Implicit, ctx)? } else { input };
    match &input.sql_type {
        SqlType::Float4 | SqlType::Float8 => {
            let input = cast(input, &SqlType::Float8, CastKind::Implicit, ctx)?;
            let spread = float_spread::spread(name.ends_with("_pop"), name.starts_with("stddev"));
            Ok(fold_call(spread, vec![input], SqlType::Float8))
        }
        number if is_number(number) => {
            let fold = moments::variance(name.ends_with("_pop"), name.starts_with("stddev"));
            Ok(fold_call(fold, vec![exact_numeric(input, ctx)?], SqlType::Numeric(None)))
        }
        _ => Err(undefined(name, &[input])),
    }
}

fn two_floats(name: &str, args: Vec<Typed>, ctx: &FuncContext) -> Result<Resolved> {
    if !args.iter().all(|arg| is_number(&arg.sql_type) || arg.is_unknown()) {
        return Err(undefined(name, &args));
    }
    let args = args.into_iter().map(|arg| cast(arg, &SqlType::Float8, CastKind::Explicit, ctx));
    let args = args.collect::<Result<Vec<_>>>()?;
    if name == "regr_count" {
        // DataFusion counts in u64: count rows where neither is NULL instead.
        let both = args.into_iter().map(|arg| Expr::IsNotNull(Box::new(arg.expr))).reduce(Expr::and);
        let both = both.ok_or_else(|| Error::internal("two arguments"))?;
        let one = Expr::Literal(datafusion::common::ScalarValue::Int64(Some(1)), None);
        let counted = datafusion::logical_expr::expr::Case::new(None, vec![(Box::new(both), Box::new(one))], None);
        return Ok(built_in(df::count::count_udaf(), vec![Expr::Case(counted)], SqlType::Int8));
    }
    let fold = float_spread::pairs(name).ok_or_else(|| undefined(name, &args))?;
    Ok(fold_call(fold, args, SqlType::Float8))
}

/// Our aggregate: NULL of no rows, the value of one, 21000 of more.
pub fn single_value(input: Typed) -> Result<Typed> {
    let physical = input.physical();
    let (sql_type, arrow) = (input.sql_type.clone(), input.arrow.clone());
    let function = AggregateUDF::new_from_impl(folds::single_value(physical));
    let call = AggregateFunction::new_udf(Arc::new(function), vec![input.expr], false, None, Vec::new(), None);
    Ok(Typed { expr: Expr::AggregateFunction(call), sql_type, arrow })
}
