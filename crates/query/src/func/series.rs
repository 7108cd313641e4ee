//! `generate_series` of numerics and moments, as rows.

use heliosdb_types::datetime::{is_finite_timestamp, timestamp_add_interval, timestamptz_add_interval};
use heliosdb_types::{Datum, DatumRef, Error, Interval, Numeric, Result, SqlState, SqlType, compare};

use super::cast::{is_number, to_numeric_bytes};
use super::rows::RowsCall;
use super::value::numeric_of;
use super::{CastKind, FuncContext, Typed, cast};

const NAME: &str = "generate_series";

fn zero_step() -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero")
}

/// A series of other than integers; `None` if there is none of these types.
pub(super) fn series(args: &[Typed], ctx: &FuncContext) -> Result<Option<RowsCall>> {
    let [start, end, rest @ ..] = args else { return Ok(None) };
    let is = |test: fn(&SqlType) -> bool| test(&start.sql_type) || test(&end.sql_type);
    let zoned = is(|t| matches!(t, SqlType::Timestamptz(_)));
    let local = is(|t| matches!(t, SqlType::Timestamp(_)));
    if zoned || local || is(|t| *t == SqlType::Date) {
        let [step] = rest else { return Ok(None) };
        // A date becomes either; with nothing else to decide, PostgreSQL prefers the zone.
        let to = if local && !zoned { SqlType::Timestamp(None) } else { SqlType::Timestamptz(None) };
        return moments(start, end, step, to, ctx).map(Some);
    }
    if args.iter().all(|arg| is_number(&arg.sql_type) || arg.is_unknown())
        && !args.iter().any(|arg| matches!(arg.sql_type, SqlType::Float4 | SqlType::Float8))
    {
        return numerics(args, ctx).map(Some);
    }
    Ok(None)
}

fn moments(start: &Typed, end: &Typed, step: &Typed, to: SqlType, ctx: &FuncContext) -> Result<RowsCall> {
    let implicit = |arg: &Typed, to: &SqlType| cast(arg.clone(), to, CastKind::Implicit, ctx);
    let args = vec![implicit(start, &to)?, implicit(end, &to)?, implicit(step, &SqlType::Interval)?];
    let zone = ctx.text.time_zone.clone();
    let key = format!("{NAME} {} {}", to.name(), zone.name());
    Ok(RowsCall::new(NAME, key, args, vec![(NAME, to)], move |values, out| {
        let (mut now, end, step, zoned) = match values {
            [DatumRef::Timestamp(start), DatumRef::Timestamp(end), DatumRef::Interval(step)] => {
                (*start, *end, *step, false)
            }
            [DatumRef::TimestampTz(start), DatumRef::TimestampTz(end), DatumRef::Interval(step)] => {
                (*start, *end, *step, true)
            }
            _ => return Ok(()),
        };
        let direction = compare(DatumRef::Interval(step), DatumRef::Interval(Interval::default()));
        if direction.is_eq() {
            return Err(zero_step());
        }
        while if direction.is_gt() { now <= end } else { now >= end } {
            out.row(&[if zoned { DatumRef::TimestampTz(now) } else { DatumRef::Timestamp(now) }])?;
            if !is_finite_timestamp(now) {
                break;
            }
            now = if zoned {
                timestamptz_add_interval(now, step, zone.as_ref())?
            } else {
                timestamp_add_interval(now, step)?
            };
        }
        Ok(())
    }))
}

fn numerics(args: &[Typed], ctx: &FuncContext) -> Result<RowsCall> {
    let numeric =
        |arg: &Typed| cast(arg.clone(), &SqlType::Numeric(None), CastKind::Implicit, ctx).map(to_numeric_bytes);
    let args = args.iter().map(numeric).collect::<Result<Vec<_>>>()?;
    let columns = vec![(NAME, SqlType::Numeric(None))];
    Ok(RowsCall::new(NAME, format!("{NAME} numeric"), args, columns, |values, out| {
        if values.iter().any(DatumRef::is_null) {
            return Ok(());
        }
        let numbers = values.iter().map(|value| numeric_of(*value)).collect::<Result<Vec<_>>>()?;
        for (number, what) in numbers.iter().zip(["start value", "stop value", "step size"]) {
            if !number.is_finite() {
                let which = if number.is_nan() { "NaN" } else { "infinity" };
                let message = format!("{what} cannot be {which}");
                return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        }
        let [start, end, step @ ..] = numbers.as_slice() else { return Ok(()) };
        let step = step.first().cloned().unwrap_or_else(|| Numeric::from_i64(1));
        if step.is_zero() {
            return Err(zero_step());
        }
        let mut now = start.clone();
        let up = step.signum() > 0;
        while if up { now.compare(end).is_le() } else { now.compare(end).is_ge() } {
            out.row(&[Datum::Numeric(now.clone()).as_ref()])?;
            now = now.add(&step)?;
        }
        Ok(())
    }))
}
