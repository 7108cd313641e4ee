//! `+ - * /` where a date, time or interval takes part.

use heliosdb_types::datetime::{
    self, MICROS_PER_DAY, date_add_days, date_to_timestamp, time_add_interval, timestamp_add_interval,
    timestamptz_add_interval,
};
use heliosdb_types::{Datum, DatumRef, Error, Interval, PhysicalType, Result, SqlState, SqlType};

use super::super::cast::{cast, is_number};
use super::super::udf::Function;
use super::super::value::{float_of, physical_of_type, wrong_shape};
use super::super::{CastKind, FuncContext, Typed};
use super::arithmetic::Arithmetic;
use super::undefined;

pub(super) fn arithmetic(op: Arithmetic, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    use Arithmetic::{Add, Div, Mul, Sub};
    use SqlType::{Date, Float8, Int2, Int4, Interval, Time, Timestamp, Timestamptz};
    let swap = |left: Typed, right: Typed| (right, left);
    // Commutative operators: the date or interval to the left.
    let (left, right) = match (op, &left.sql_type, &right.sql_type) {
        (Add, Int2 | Int4, Date)
        | (Add, Interval, Date | Time(_) | Timestamp(_) | Timestamptz(_))
        | (Add, Time(_), Date) => swap(left, right),
        (Mul, number, Interval) if is_number(number) => swap(left, right),
        _ => (left, right),
    };
    let result = match (op, &left.sql_type, &right.sql_type) {
        (Add | Sub, Date, Int2 | Int4) => Date,
        (Sub, Date, Date) => Int4,
        (Add | Sub, Date, Interval) | (Add, Date, Time(_)) => Timestamp(None),
        (Add | Sub, Timestamp(_), Interval) => Timestamp(None),
        (Add | Sub, Timestamptz(_), Interval) => Timestamptz(None),
        (Sub, Timestamp(_) | Timestamptz(_) | Date, Timestamp(_) | Timestamptz(_) | Date) => {
            return subtract_moments(left, right, ctx);
        }
        (Add | Sub, Interval, Interval) => Interval,
        (Add | Sub, Time(_), Interval) => Time(None),
        (Sub, Time(_), Time(_)) => Interval,
        (Mul | Div, Interval, number) if is_number(number) => {
            let factor = cast(right, &Float8, CastKind::Implicit, ctx)?;
            return Ok(call(op, left, factor, Interval, ctx));
        }
        _ => return Err(undefined(op.symbol(), &left, &right)),
    };
    Ok(call(op, left, right, result, ctx))
}

/// Timestamps of different kinds become the wider kind first.
fn subtract_moments(left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let zoned = [&left, &right].iter().any(|side| matches!(side.sql_type, SqlType::Timestamptz(_)));
    let to = if zoned { SqlType::Timestamptz(None) } else { SqlType::Timestamp(None) };
    let left = cast(left, &to, CastKind::Implicit, ctx)?;
    let right = cast(right, &to, CastKind::Implicit, ctx)?;
    Ok(call(Arithmetic::Sub, left, right, SqlType::Interval, ctx))
}

fn call(op: Arithmetic, left: Typed, right: Typed, result: SqlType, ctx: &FuncContext) -> Typed {
    let name = format!("{}_{}", left.sql_type.name().split([' ', '(']).next().unwrap_or("datetime"), op.name());
    let zone = ctx.text.time_zone.clone();
    let key = format!("{name} {}", zone.name());
    let types: Vec<PhysicalType> = vec![left.physical(), right.physical()];
    let function = Function::strict(&name, key, types, physical_of_type(&result), move |args| {
        let [a, b] = args else { return Err(Error::internal("two operands")) };
        compute(op, *a, *b, zone.as_ref())
    });
    Typed::new(function.call(vec![left.expr, right.expr]), result)
}

fn compute(op: Arithmetic, a: DatumRef<'_>, b: DatumRef<'_>, zone: &dyn heliosdb_types::TimeZone) -> Result<Datum> {
    let subtract = op == Arithmetic::Sub;
    let signed = |interval: Interval| if subtract { interval.checked_neg() } else { Ok(interval) };
    Ok(match (a, b) {
        (DatumRef::Date(a), DatumRef::Date(b)) => Datum::Int32(subtract_dates(a, b)?),
        (DatumRef::Date(a), DatumRef::Int16(b)) => date_plus_days(a, i64::from(b), subtract)?,
        (DatumRef::Date(a), DatumRef::Int32(b)) => date_plus_days(a, i64::from(b), subtract)?,
        (DatumRef::Date(a), DatumRef::Interval(b)) => {
            Datum::Timestamp(timestamp_add_interval(date_to_timestamp(a)?, signed(b)?)?)
        }
        (DatumRef::Date(a), DatumRef::Time(b)) => {
            Datum::Timestamp(timestamp_add_interval(date_to_timestamp(a)?, Interval::new(0, 0, b))?)
        }
        (DatumRef::Timestamp(a), DatumRef::Interval(b)) => Datum::Timestamp(timestamp_add_interval(a, signed(b)?)?),
        (DatumRef::TimestampTz(a), DatumRef::Interval(b)) => {
            Datum::TimestampTz(timestamptz_add_interval(a, signed(b)?, zone)?)
        }
        (DatumRef::Timestamp(a), DatumRef::Timestamp(b)) | (DatumRef::TimestampTz(a), DatumRef::TimestampTz(b)) => {
            Datum::Interval(datetime::interval_between(a, b)?)
        }
        (DatumRef::Interval(a), DatumRef::Interval(b)) => Datum::Interval(a.checked_add(signed(b)?)?),
        (DatumRef::Time(a), DatumRef::Interval(b)) => {
            let time_part = b.micros % MICROS_PER_DAY;
            Datum::Time(time_add_interval(a, Interval::new(0, 0, if subtract { -time_part } else { time_part })))
        }
        (DatumRef::Time(a), DatumRef::Time(b)) => Datum::Interval(Interval::new(0, 0, a - b)),
        (DatumRef::Interval(a), b) if op == Arithmetic::Mul => Datum::Interval(a.checked_mul(float_of(b)?)?),
        (DatumRef::Interval(a), b) if op == Arithmetic::Div => Datum::Interval(a.checked_div(float_of(b)?)?),
        (a, _) => return Err(wrong_shape("a date, time or interval", a)),
    })
}

fn date_plus_days(date: i32, days: i64, subtract: bool) -> Result<Datum> {
    let days = if subtract { -days } else { days };
    let out_of_range = |_| Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range");
    date_add_days(date, i32::try_from(days).map_err(out_of_range)?).map(Datum::Date)
}

fn subtract_dates(a: i32, b: i32) -> Result<i32> {
    let infinite = |date: i32| date == datetime::DATE_INFINITY || date == datetime::DATE_NEGATIVE_INFINITY;
    if infinite(a) || infinite(b) {
        return Err(Error::invalid(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates"));
    }
    Ok(a.wrapping_sub(b))
}
