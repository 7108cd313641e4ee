//! `extract(field from x)` and `date_part`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal64Type, Time64MicrosecondType, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::DataType;
use datafusion::arrow::compute::kernels::arity::unary;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::Expr;
use heliosdb_contracts::arrow_type;
use heliosdb_types::datetime::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, DateField, Extracted, MICROS_PER_DAY, civil_from_days, extract_date,
    extract_interval, extract_time, extract_timestamp, extract_timestamptz, is_finite_timestamp,
};
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType, TimeZone};

use super::common::base_name;
use super::udf::Function;
use super::value::wrong_shape;
use super::{CastKind, FuncContext, Typed, cast};

fn field_of(field: &str, sql_type: &SqlType) -> Result<DateField> {
    DateField::from_name(field).ok_or_else(|| {
        let message = format!("unit \"{field}\" not recognized for type {}", base_name(sql_type));
        Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
    })
}

fn settle(input: Typed, name: &str, ctx: &FuncContext) -> Result<Typed> {
    match &input.sql_type {
        SqlType::Unknown => Err(Error::invalid(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("function pg_catalog.{name}(unknown, unknown) is not unique"),
        )
        .with_hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
        SqlType::Date | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::Timestamptz(_) | SqlType::Interval => {
            Ok(input)
        }
        other => {
            let message = format!("function pg_catalog.{name}(unknown, {}) does not exist", base_name(other));
            let _ = ctx;
            Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, message).with_hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ))
        }
    }
}

fn compute(field: DateField, value: DatumRef<'_>, zone: &dyn TimeZone) -> Result<Extracted> {
    match value {
        DatumRef::Date(v) => extract_date(field, v),
        DatumRef::Time(v) => extract_time(field, v),
        DatumRef::Timestamp(v) => extract_timestamp(field, v),
        DatumRef::TimestampTz(v) => extract_timestamptz(field, v, zone),
        DatumRef::Interval(v) => extract_interval(field, v),
        other => Err(wrong_shape("a date or time", other)),
    }
}

/// `extract(field from x)`: numeric.
pub fn extract(field: &str, input: Typed, ctx: &FuncContext) -> Result<Typed> {
    let input = settle(input, "extract", ctx)?;
    let field = field_of(field, &input.sql_type)?;
    let zone = ctx.text.time_zone.clone();
    if let Some(physical) = column_field(field, &input.sql_type) {
        return Ok(Typed::numeric(column_call(field, input, physical, zone), physical));
    }
    let key = format!("extract {} {}", field.name(), zone.name());
    let function = Function::strict("extract", key, vec![input.physical()], PhysicalType::Numeric, move |args| {
        let [value] = args else { return Err(Error::internal("one value")) };
        Ok(compute(field, *value, zone.as_ref())?.to_numeric().map_or(Datum::Null, Datum::Numeric))
    });
    Ok(Typed::numeric(function.call(vec![input.expr]), PhysicalType::Numeric))
}

/// `date_part(field, x)`: double precision.
pub(super) fn date_part(field: &str, input: Typed, ctx: &FuncContext) -> Result<Typed> {
    let input = settle(input, "date_part", ctx)?;
    // PostgreSQL's date_part has no date of its own: midnight.
    let input = match input.sql_type {
        SqlType::Date => cast(input, &SqlType::Timestamp(None), CastKind::Implicit, ctx)?,
        _ => input,
    };
    let field = field_of(field, &input.sql_type)?;
    let zone = ctx.text.time_zone.clone();
    let key = format!("date_part {} {}", field.name(), zone.name());
    let function = Function::strict("date_part", key, vec![input.physical()], PhysicalType::Float64, move |args| {
        let [value] = args else { return Err(Error::internal("one value")) };
        Ok(compute(field, *value, zone.as_ref())?.to_f64().map_or(Datum::Null, Datum::Float64))
    });
    Ok(Typed::new(function.call(vec![input.expr]), SqlType::Float8))
}

/// `date_part` of a field known only when the query runs.
pub(super) fn date_part_of(field: Typed, input: Typed, ctx: &FuncContext) -> Result<Typed> {
    let input = settle(input, "date_part", ctx)?;
    let input = match input.sql_type {
        SqlType::Date => cast(input, &SqlType::Timestamp(None), CastKind::Implicit, ctx)?,
        _ => input,
    };
    let field = cast(field, &SqlType::Text, CastKind::Implicit, ctx)?;
    let (zone, sql_type) = (ctx.text.time_zone.clone(), input.sql_type.clone());
    let key = format!("date_part {} {}", sql_type.name(), zone.name());
    let types = vec![field.physical(), input.physical()];
    let function = Function::strict("date_part", key, types, PhysicalType::Float64, move |args| {
        let [DatumRef::Text(field), value] = args else { return Err(Error::internal("a field and a value")) };
        let field = field_of(&field.to_ascii_lowercase(), &sql_type)?;
        Ok(compute(field, *value, zone.as_ref())?.to_f64().map_or(Datum::Null, Datum::Float64))
    });
    Ok(Typed::new(function.call(vec![field.expr, input.expr]), SqlType::Float8))
}

/// Fields that are small numbers of few digits: a decimal, computed a column at a time.
fn column_field(field: DateField, sql_type: &SqlType) -> Option<PhysicalType> {
    use DateField::{
        Day, Dow, Doy, Hour, IsoDow, Microseconds, Milliseconds, Minute, Month, Quarter, Second, Week, Year,
    };
    let dated = matches!(sql_type, SqlType::Date | SqlType::Timestamp(_) | SqlType::Timestamptz(_));
    let timed = matches!(sql_type, SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::Timestamptz(_));
    let scale = match field {
        Year | Quarter | Month | Day if dated && !matches!(sql_type, SqlType::Timestamptz(_)) => {
            return Some(PhysicalType::Decimal64 { precision: 10, scale: 0 });
        }
        Quarter | Month | Week | Day | Dow | IsoDow | Doy if dated => 0,
        Hour | Minute | Microseconds if timed => 0,
        Milliseconds if timed => 3,
        Second if timed => 6,
        _ => return None,
    };
    Some(PhysicalType::Decimal64 { precision: LATER_DIGITS, scale })
}

/// Digits of the fields that became decimals after indexes on them had been built of numeric: by these they are known.
const LATER_DIGITS: u8 = 9;

/// Whether indexes keep a value as numeric because a part of it once was.
pub fn is_kept_as_numeric(value: &Typed) -> bool {
    let later = |expr: &Expr| {
        let Expr::ScalarFunction(call) = expr else { return Ok(false) };
        Ok(call.func.name() == "extract" && matches!(call.func.return_type(&[])?, DataType::Decimal64(LATER_DIGITS, _)))
    };
    matches!(value.arrow, DataType::Decimal64(..) | DataType::Decimal128(..))
        && value.expr.exists(later).unwrap_or(false)
}

fn column_call(field: DateField, input: Typed, physical: PhysicalType, zone: Arc<dyn TimeZone>) -> Expr {
    let from = input.physical();
    let key = match from {
        PhysicalType::TimestampTz => format!("extract {} {from:?} {}", field.name(), zone.name()),
        _ => format!("extract {} {from:?}", field.name()),
    };
    let arrow = arrow_type(physical);
    let function = Function::arrays("extract", key, arrow.clone(), move |args, _| {
        let [array] = args else { return Err(Error::internal("one value")) };
        let of = |value: DatumRef<'_>| match compute(field, value, zone.as_ref())? {
            Extracted::Value { unscaled, .. } => Ok(Some(unscaled)),
            Extracted::Null => Ok(None),
            // A decimal has no infinity to answer `extract(year from 'infinity')` with.
            _ => Err(Error::unsupported("extract of a calendar field from infinity")),
        };
        let out: PrimitiveArray<Decimal64Type> = match (from, calendar(field)) {
            (PhysicalType::Date, Some(of_day)) if all_finite_days(array) => {
                unary(array.as_primitive::<Date32Type>(), |days| of_day(i64::from(days)))
            }
            (PhysicalType::Timestamp, Some(of_day)) if all_finite(array) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>();
                unary(micros, |micros| of_day(micros.div_euclid(MICROS_PER_DAY)))
            }
            (PhysicalType::Date, _) => each(array.as_primitive::<Date32Type>(), |v| of(DatumRef::Date(v)))?,
            (PhysicalType::Time, _) => each(array.as_primitive::<Time64MicrosecondType>(), |v| of(DatumRef::Time(v)))?,
            (PhysicalType::Timestamp, _) => {
                each(array.as_primitive::<TimestampMicrosecondType>(), |v| of(DatumRef::Timestamp(v)))?
            }
            _ => each(array.as_primitive::<TimestampMicrosecondType>(), |v| of(DatumRef::TimestampTz(v)))?,
        };
        debug_assert_eq!(out.len(), array.len());
        Ok(Arc::new(out.with_data_type(arrow.clone())) as ArrayRef)
    });
    function.strict_columns().call(vec![input.expr])
}

fn each<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    of: impl Fn(T::Native) -> Result<Option<i64>>,
) -> Result<PrimitiveArray<Decimal64Type>> {
    values.iter().map(|value| value.map_or(Ok(None), &of)).collect()
}

/// The field of a day in which the calendar is all there is to it.
fn calendar(field: DateField) -> Option<impl Fn(i64) -> i64> {
    let known = matches!(field, DateField::Year | DateField::Month | DateField::Day | DateField::Quarter);
    known.then_some(move |days: i64| {
        let (year, month, day) = civil_from_days(days);
        match field {
            DateField::Year if year <= 0 => year - 1,
            DateField::Year => year,
            DateField::Month => i64::from(month),
            DateField::Quarter => i64::from((month - 1) / 3 + 1),
            _ => i64::from(day),
        }
    })
}

fn all_finite_days(array: &ArrayRef) -> bool {
    array.as_primitive::<Date32Type>().iter().flatten().all(|d| d != DATE_INFINITY && d != DATE_NEGATIVE_INFINITY)
}

fn all_finite(array: &ArrayRef) -> bool {
    array.as_primitive::<TimestampMicrosecondType>().iter().flatten().all(is_finite_timestamp)
}
