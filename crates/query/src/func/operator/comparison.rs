//! Comparisons: both sides in one Arrow type whose order is PostgreSQL's, the column side bare wherever the other side is a
//! literal that fits its type (so that storage can evaluate it).

use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, IntervalMonthDayNanoType};
use arrow_array::{Array, ArrayRef, Decimal128Array};
use arrow_schema::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use heliosdb_types::datetime::{MICROS_PER_DAY, is_finite_timestamp};
use heliosdb_types::{
    Datum, DatumRef, Error, Interval, Jsonb, Numeric, PhysicalType, Result, SqlState, SqlType, has_residue,
};

use super::super::array::array_key;
use super::super::cast::{cast, integer_to_decimal, is_integer, is_number, is_text, to_numeric_bytes};
use super::super::common::{category, unify_numerics, without_modifier};
use super::super::literal::numeric_literal;
use super::super::scalar::without_blanks;
use super::super::udf::Function;
use super::super::value::{literal_of, physical_of_type, text_literal, text_of_datum};
use super::super::{CastKind, FuncContext, Typed};
use super::{nearest_decimal, undefined};

/// `left op right` for the six comparisons and the two IS DISTINCT FROM.
pub(crate) fn compare(op: Operator, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let (left, right) = settle(left, right, ctx)?;
    let (left, op, right) = comparable(op, left, right, ctx)?;
    let expr = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    Ok(Typed::new(expr, SqlType::Bool))
}

/// `a IS [NOT] DISTINCT FROM b`; `negated` is the NOT form.
pub fn is_distinct(negated: bool, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    compare(if negated { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom }, left, right, ctx)
}

/// 42883 for a type whose values cannot be told equal (or ordered).
pub fn check_comparable(input: &Typed, ordering: bool) -> Result<()> {
    let of = match &input.sql_type {
        SqlType::Array(element) => element.as_ref(),
        other => other,
    };
    if *of == SqlType::Jsonb && input.sql_type != SqlType::Jsonb {
        return Err(Error::unsupported("comparing arrays of jsonb"));
    }
    if matches!(of, SqlType::Record(_)) {
        return Err(Error::unsupported("comparing rows as values"));
    }
    if *of != SqlType::Json {
        return Ok(());
    }
    let what = if ordering { "an ordering" } else { "an equality" };
    let message = format!("could not identify {what} operator for type {}", input.sql_type.name());
    let error = Error::invalid(SqlState::UNDEFINED_FUNCTION, message);
    Err(if ordering { error.with_hint("Use an explicit ordering operator or modify the query.") } else { error })
}

/// What ORDER BY, GROUP BY and DISTINCT compare: the value itself, or a key for types whose bytes do not decide (numeric with
/// display scale, interval, char without a length).
pub fn sort_key(input: &Typed) -> Expr {
    match (&input.sql_type, input.physical()) {
        (SqlType::Numeric(_), PhysicalType::Numeric) => numeric_key(input.clone()),
        (SqlType::Interval, _) => interval_key(input.clone()),
        (SqlType::Char(None), _) => trimmed(input.clone()),
        (SqlType::Array(_), _) => array_key(input),
        (SqlType::Jsonb, _) => jsonb_key(input.clone()),
        (SqlType::Float4 | SqlType::Float8, _) => float_key(input.clone()),
        _ => input.expr.clone(),
    }
}

/// Whether values of a type are compared as they are stored.
pub fn is_its_own_key(sql_type: &SqlType) -> bool {
    let Some(physical) = sql_type.physical() else { return false };
    if matches!(sql_type, SqlType::Float4 | SqlType::Float8) {
        // Storage's keys know one zero; comparisons with constants are written so that the column stays bare.
        return true;
    }
    let expr = datafusion::logical_expr::col("value");
    let arrow = heliosdb_contracts::arrow_type(physical);
    let value = Typed { expr: expr.clone(), sql_type: sql_type.clone(), arrow };
    sort_key(&value) == expr
}

fn symbol(op: Operator) -> String {
    match op {
        Operator::NotEq => "<>".into(),
        Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => "=".into(),
        other => other.to_string(),
    }
}

/// An untyped side takes the other side's type; two untyped sides are text.
fn settle(left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Typed, Typed)> {
    Ok(match (left.is_unknown(), right.is_unknown()) {
        (false, false) => (left, right),
        (true, true) => {
            let left = cast(left, &SqlType::Text, CastKind::Implicit, ctx)?;
            (left, cast(right, &SqlType::Text, CastKind::Implicit, ctx)?)
        }
        (true, false) => (settle_side(left, &right, ctx)?, right),
        (false, true) => {
            let right = settle_side(right, &left, ctx)?;
            (left, right)
        }
    })
}

fn settle_side(open: Typed, known: &Typed, ctx: &FuncContext) -> Result<Typed> {
    let to = match &known.sql_type {
        SqlType::Varchar(_) | SqlType::QuotedChar => SqlType::Text,
        other => without_modifier(other),
    };
    let typed = cast(open, &to, CastKind::Implicit, ctx)?;
    // A literal numeric in its decimal form can be compared with a bare column.
    match typed.literal_datum() {
        Some(Datum::Numeric(number)) => numeric_literal(&number),
        _ => Ok(typed),
    }
}

fn comparable(op: Operator, left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Expr, Operator, Expr)> {
    use SqlType::{Date, Timestamp, Timestamptz};
    let (a, b) = (left.sql_type.clone(), right.sql_type.clone());
    match (&a, &b) {
        (a, b) if is_float(a) && is_number(b) || is_number(a) && is_float(b) => floats(op, left, right, ctx),
        (a, b) if is_number(a) && is_number(b) => {
            if let Some(ordering) = nearest_decimal::ordering(op, &left, &right)? {
                return Ok(ordering);
            }
            let (left, right) = numbers(left, right, ctx)?;
            Ok((left, op, right))
        }
        (a, b) if is_text(a) && is_text(b) => {
            let (left, right) = texts(left, right, ctx)?;
            Ok((left, op, right))
        }
        (Date, Timestamp(_) | Timestamptz(_)) => match date_literal_for(op, &right, ctx) {
            Some((op, date)) => Ok((left.expr, op, date)),
            None => both_cast(op, left, right, &without_modifier(&b), ctx),
        },
        (Timestamp(_) | Timestamptz(_), Date) => match date_literal_for(mirrored(op), &left, ctx) {
            Some((op, date)) => Ok((date, mirrored(op), right.expr)),
            None => both_cast(op, left, right, &without_modifier(&a), ctx),
        },
        (Timestamp(_), Timestamptz(_)) | (Timestamptz(_), Timestamp(_)) => moments(op, left, right, ctx),
        (SqlType::Interval, SqlType::Interval) => Ok((interval_key(left), op, interval_key(right))),
        (SqlType::Time(_), SqlType::Interval) | (SqlType::Interval, SqlType::Time(_)) => {
            let left = cast(left, &SqlType::Interval, CastKind::Implicit, ctx)?;
            let right = cast(right, &SqlType::Interval, CastKind::Implicit, ctx)?;
            Ok((interval_key(left), op, interval_key(right)))
        }
        (SqlType::Jsonb, SqlType::Jsonb) => Ok((jsonb_key(left), op, jsonb_key(right))),
        (SqlType::Record(_), SqlType::Record(_)) => Err(Error::unsupported("comparing rows as values")),
        (SqlType::Json, SqlType::Json) => Err(undefined(&symbol(op), &left, &right)),
        (a, b) if category(a) == 'N' && category(b) == 'N' => {
            if matches!(a, SqlType::Numeric(_) | SqlType::Float4 | SqlType::Float8)
                || matches!(b, SqlType::Numeric(_) | SqlType::Float4 | SqlType::Float8)
            {
                return Err(undefined(&symbol(op), &left, &right));
            }
            let left = as_int8(left, ctx)?;
            Ok((left, op, as_int8(right, ctx)?))
        }
        (SqlType::Array(x), SqlType::Array(y)) if without_modifier(x) == without_modifier(y) => {
            if !has_residue(x) && !bytes_decide(x) {
                return Err(Error::invalid(
                    heliosdb_types::SqlState::UNDEFINED_FUNCTION,
                    format!("could not identify a comparison function for type {}", x.name()),
                ));
            }
            Ok((array_key(&left), op, array_key(&right)))
        }
        (a, b) if without_modifier(a) == without_modifier(b) && *a != SqlType::Void => Ok((left.expr, op, right.expr)),
        _ => Err(undefined(&symbol(op), &left, &right)),
    }
}

/// Types whose values are equal if, and ordered as, their keys' bytes are.
pub(crate) fn bytes_decide(sql_type: &SqlType) -> bool {
    is_number(sql_type)
        || is_text(sql_type)
        || matches!(
            sql_type,
            SqlType::Bool
                | SqlType::Bytea
                | SqlType::Date
                | SqlType::Time(_)
                | SqlType::Timestamp(_)
                | SqlType::Timestamptz(_)
                | SqlType::Interval
                | SqlType::Uuid
                | SqlType::Oid
                | SqlType::Reg(_)
                | SqlType::Enum(_)
        )
}

/// oid, reg* and integers compare as 64-bit integers.
fn as_int8(input: Typed, ctx: &FuncContext) -> Result<Expr> {
    if is_integer(&input.sql_type) {
        return cast(input, &SqlType::Int8, CastKind::Implicit, ctx).map(|typed| typed.expr);
    }
    Ok(input.expr)
}

fn both_cast(
    op: Operator,
    left: Typed,
    right: Typed,
    to: &SqlType,
    ctx: &FuncContext,
) -> Result<(Expr, Operator, Expr)> {
    let left = cast(left, to, CastKind::Implicit, ctx)?;
    Ok((left.expr, op, cast(right, to, CastKind::Implicit, ctx)?.expr))
}

/// Timestamp with timestamptz: a literal goes over to the column's type, else both become timestamptz.
fn moments(op: Operator, left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Expr, Operator, Expr)> {
    both_cast(op, left, right, &SqlType::Timestamptz(None), ctx)
}

pub(super) fn mirrored(op: Operator) -> Operator {
    match op {
        Operator::Lt => Operator::Gt,
        Operator::LtEq => Operator::GtEq,
        Operator::Gt => Operator::Lt,
        Operator::GtEq => Operator::LtEq,
        other => other,
    }
}

/// Turns `date op timestamp literal` into `date op date literal`, so that a date column stays bare.
fn date_literal_for(op: Operator, literal: &Typed, ctx: &FuncContext) -> Option<(Operator, Expr)> {
    let local = match literal.literal_datum()? {
        Datum::Timestamp(micros) => micros,
        // Midnight in a zone with clock changes is not one instant per date; UTC and fixed offsets are.
        Datum::TimestampTz(micros) if ctx.text.time_zone.name() == "UTC" => micros,
        _ => return None,
    };
    if !is_finite_timestamp(local) {
        return None;
    }
    let day = i32::try_from(local.div_euclid(MICROS_PER_DAY)).ok()?;
    let op = match (local.rem_euclid(MICROS_PER_DAY) == 0, op) {
        (true, op) => op,
        (false, Operator::Lt | Operator::LtEq) => Operator::LtEq,
        (false, Operator::Gt | Operator::GtEq) => Operator::Gt,
        _ => return None,
    };
    Some((op, Expr::Literal(ScalarValue::Date32(Some(day)), None)))
}

/// A literal moved into another number type if it has exactly the same value there.
fn exact_literal(literal: &Typed, to: &Typed) -> Option<Expr> {
    let value = match literal.literal_datum()? {
        Datum::Float32(_) | Datum::Float64(_) | Datum::Null => return None,
        value => super::super::value::numeric_of(value.as_ref()).ok()?,
    };
    let physical = to.physical();
    let datum = match physical {
        PhysicalType::Int16 | PhysicalType::Int32 | PhysicalType::Int64 => {
            let integer = value.to_i64().filter(|v| Numeric::from_i64(*v).compare(&value).is_eq())?;
            match physical {
                PhysicalType::Int16 => Datum::Int16(i16::try_from(integer).ok()?),
                PhysicalType::Int32 => Datum::Int32(i32::try_from(integer).ok()?),
                _ => Datum::Int64(integer),
            }
        }
        PhysicalType::Decimal64 { precision, scale } | PhysicalType::Decimal128 { precision, scale } => {
            let unscaled = value.to_unscaled(scale)?;
            let exact = Numeric::from_unscaled(unscaled, scale).compare(&value).is_eq();
            let fits = unscaled.unsigned_abs() < 10u128.checked_pow(u32::from(precision))?;
            if !exact || !fits {
                return None;
            }
            Datum::Decimal { unscaled, scale }
        }
        _ => return None,
    };
    literal_of(&datum, to.sql_type.clone(), physical).ok().map(|typed| typed.expr)
}

fn is_float(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Float4 | SqlType::Float8)
}

/// A float with one zero and one NaN: what is compared where bytes decide, which know two of each.
fn float_key(input: Typed) -> Expr {
    float_mapped(input, "float_key", 0.0)
}

/// A float whose zeros are all `zero`.
fn float_mapped(input: Typed, name: &'static str, zero: f64) -> Expr {
    let physical = input.physical();
    let function = Function::arrays(name, format!("{name} {physical:?}"), input.arrow.clone(), move |args, _| {
        let [array] = args else { return Err(Error::internal("one float")) };
        Ok(match array.as_primitive_opt::<Float32Type>() {
            Some(floats) => {
                Arc::new(floats.unary::<_, Float32Type>(|x| one_of_each(f64::from(x), zero) as f32)) as ArrayRef
            }
            None => {
                let floats = array.as_primitive_opt::<Float64Type>().ok_or_else(|| Error::internal("a float"))?;
                Arc::new(floats.unary::<_, Float64Type>(|x| one_of_each(x, zero)))
            }
        })
    });
    function.strict_columns().call(vec![input.expr])
}

fn one_of_each(value: f64, zero: f64) -> f64 {
    match value {
        value if value.is_nan() => f64::NAN,
        0.0 => zero,
        value => value,
    }
}

/// Floats compare by their bytes, to which `-0` is less than `0`. A column beside a constant stays bare, so that storage can look for
/// it: the constant gets the zero on the right side.
fn floats(op: Operator, left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Expr, Operator, Expr)> {
    let (left, right) = if left.sql_type == right.sql_type {
        (left, right)
    } else {
        let left = cast(left, &SqlType::Float8, CastKind::Implicit, ctx)?;
        (left, cast(right, &SqlType::Float8, CastKind::Implicit, ctx)?)
    };
    let beside = |op: Operator, bound: Typed| match op {
        Operator::Gt | Operator::LtEq => float_mapped(bound, "float_above", 0.0),
        _ => float_mapped(bound, "float_below", -0.0),
    };
    // What is computed may be another NaN.
    let bare = |side: Typed| if matches!(side.expr, Expr::Column(_)) { side.expr } else { float_key(side) };
    let equality = !matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    let constant = |side: &Typed| match &side.expr {
        Expr::Literal(..) => !equality || !is_zero(side),
        Expr::Placeholder(_) => !equality,
        _ => false,
    };
    Ok(match (constant(&left), constant(&right)) {
        (false, true) => (bare(left), op, beside(op, right)),
        (true, false) => (beside(mirrored(op), left), op, bare(right)),
        _ => (float_key(left), op, float_key(right)),
    })
}

fn is_zero(literal: &Typed) -> bool {
    match literal.literal_datum() {
        Some(Datum::Float32(value)) => value == 0.0,
        Some(Datum::Float64(value)) => value == 0.0,
        _ => false,
    }
}

fn numbers(left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Expr, Expr)> {
    if left.sql_type == right.sql_type && left.arrow == right.arrow && left.physical() != PhysicalType::Numeric {
        return Ok((left.expr, right.expr));
    }
    if !left.is_literal()
        && right.is_literal()
        && let Some(moved) = exact_literal(&right, &left)
    {
        return Ok((left.expr, moved));
    }
    if left.is_literal()
        && !right.is_literal()
        && let Some(moved) = exact_literal(&left, &right)
    {
        return Ok((moved, right.expr));
    }
    if is_integer(&left.sql_type) && is_integer(&right.sql_type) {
        let wide = SqlType::Int8;
        let left = cast(left, &wide, CastKind::Implicit, ctx)?;
        return Ok((left.expr, cast(right, &wide, CastKind::Implicit, ctx)?.expr));
    }
    let as_decimal = |input: Typed| if is_integer(&input.sql_type) { integer_to_decimal(input) } else { Ok(input) };
    let sides = unify_numerics(vec![as_decimal(left)?, as_decimal(right)?], &SqlType::Numeric(None));
    let keys = sides
        .into_iter()
        .map(|side| if side.physical() == PhysicalType::Numeric { numeric_key(side) } else { side.expr });
    match <[Expr; 2]>::try_from(keys.collect::<Vec<_>>()) {
        Ok([left, right]) => Ok((left, right)),
        Err(_) => Err(Error::internal("two sides")),
    }
}

fn texts(left: Typed, right: Typed, ctx: &FuncContext) -> Result<(Expr, Expr)> {
    let is_char = |input: &Typed| matches!(input.sql_type, SqlType::Char(_));
    match (&left.sql_type, &right.sql_type) {
        // char(n) is stored padded: a literal padded alike compares bare.
        (SqlType::Char(Some(n)), SqlType::Char(_))
            if right.is_literal()
                && let Some(padded) = padded(&right, *n) =>
        {
            Ok((left.expr, padded))
        }
        (SqlType::Char(_), SqlType::Char(Some(n)))
            if left.is_literal()
                && let Some(padded) = padded(&left, *n) =>
        {
            Ok((padded, right.expr))
        }
        (SqlType::Char(Some(n)), SqlType::Char(Some(m))) if n == m => Ok((left.expr, right.expr)),
        // PostgreSQL finds char's operators for varchar too, and text's for text.
        (SqlType::Char(_), SqlType::Char(_) | SqlType::Varchar(_)) | (SqlType::Varchar(_), SqlType::Char(_)) => {
            Ok((trimmed(left), trimmed(right)))
        }
        _ if is_char(&left) || is_char(&right) => {
            let left = cast(left, &SqlType::Text, CastKind::Implicit, ctx)?;
            Ok((left.expr, cast(right, &SqlType::Text, CastKind::Implicit, ctx)?.expr))
        }
        _ => Ok((left.expr, right.expr)),
    }
}

/// The literal padded to `length` characters; `None` if it is longer (then nothing stored can equal it).
fn padded(literal: &Typed, length: u32) -> Option<Expr> {
    let Some(Datum::Text(text)) = literal.literal_datum() else { return None };
    let body = text.trim_end_matches(' ');
    let missing = (length as usize).checked_sub(body.chars().count())?;
    let padded: String = body.chars().chain(std::iter::repeat_n(' ', missing)).collect();
    Some(text_literal(&padded, SqlType::Text).expr)
}

/// Without trailing blanks.
fn trimmed(input: Typed) -> Expr {
    let function = Function::strict("bpchar_key", "bpchar_key", vec![PhysicalType::Text], PhysicalType::Text, |args| {
        let [value] = args else { return Err(Error::internal("one value")) };
        Ok(Datum::Text(text_of_datum(*value)?.trim_end_matches(' ').to_owned()))
    });
    function.by_column(without_blanks).strict_columns().call(vec![input.expr])
}

/// Bytes whose order is the numbers' order, whatever their display scale.
pub(crate) fn numeric_key(input: Typed) -> Expr {
    let input = to_numeric_bytes(input);
    let function = Function::arrays("numeric_key", "numeric_key", DataType::BinaryView, |args, rows| {
        let [array] = args else { return Err(Error::internal("one value")) };
        let values = array.as_binary_view_opt().ok_or_else(|| Error::internal("numeric travels as BinaryView"))?;
        let mut out = BinaryViewBuilder::with_capacity(rows);
        for value in values {
            // The display scale is the last two bytes.
            out.append_option(value.map(|bytes| bytes.split_last_chunk::<2>().map_or(bytes, |(key, _)| key)));
        }
        Ok(Arc::new(out.finish()) as ArrayRef)
    });
    function.strict_columns().call(vec![input.expr])
}

/// Bytes whose order is the values' order.
fn jsonb_key(input: Typed) -> Expr {
    let types = vec![PhysicalType::Bytes];
    let function = Function::strict("jsonb_key", "jsonb_key", types, PhysicalType::Bytes, |args| match args {
        [DatumRef::Bytes(bytes)] => Jsonb::new(bytes).sort_key().map(Datum::Bytes),
        _ => Err(Error::internal("jsonb travels as bytes")),
    });
    function.call(vec![input.expr])
}

/// Total microseconds with 30-day months, as a 38-digit decimal.
pub(crate) fn interval_key(input: Typed) -> Expr {
    let arrow = DataType::Decimal128(38, 0);
    debug_assert_eq!(input.physical(), physical_of_type(&SqlType::Interval));
    let function = Function::arrays("interval_key", "interval_key", arrow.clone(), move |args, _| {
        let [array] = args else { return Err(Error::internal("one value")) };
        let values = array.as_primitive_opt::<IntervalMonthDayNanoType>();
        let values = values.ok_or_else(|| Error::internal("an interval in another form"))?;
        let totals: Decimal128Array = values
            .iter()
            .map(|value| value.map(|v| Interval::new(v.months, v.days, v.nanoseconds / 1000).total_micros()))
            .collect();
        let totals = totals.with_data_type(arrow.clone());
        debug_assert_eq!(totals.len(), array.len());
        Ok(Arc::new(totals) as ArrayRef)
    });
    function.strict_columns().call(vec![input.expr])
}
