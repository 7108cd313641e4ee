//! Functions of the statement and the session: time, sequences.

use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, RegKind, Result, SqlType};

use super::super::aggregate::undefined;
use super::super::udf::Function;
use super::super::{CastKind, FuncContext, Typed, cast};
use super::wrong_arguments;
use crate::exec::NOW_PLACEHOLDER;

/// `None`: not a function of this module.
pub(super) fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<Typed>> {
    Some(match (name, args) {
        ("now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp", []) => Ok(now()),
        ("current_timestamp", [precision]) => with_precision(now(), precision, SqlType::Timestamptz, ctx),
        ("localtimestamp", []) => cast(now(), &SqlType::Timestamp(None), CastKind::Explicit, ctx),
        ("localtimestamp", [precision]) => with_precision(now(), precision, SqlType::Timestamp, ctx),
        ("localtime", []) => cast(now(), &SqlType::Time(None), CastKind::Explicit, ctx),
        ("localtime", [precision]) => with_precision(now(), precision, SqlType::Time, ctx),
        ("current_date", []) => current_date(ctx),
        ("current_time", _) => Err(Error::unsupported("type time with time zone")),
        ("nextval" | "currval", [sequence]) => sequence_call(name, sequence.clone(), ctx),
        ("lastval", []) => Ok(lastval(ctx)),
        ("setval", [_, _] | [_, _, _]) => setval(args.to_vec(), ctx),
        ("nextval" | "currval" | "setval" | "lastval", _) => Err(undefined(name, args)),
        _ => return None,
    })
}

/// The statement's time; its value comes in when the statement runs.
fn now() -> Typed {
    crate::bind::placeholder(NOW_PLACEHOLDER, &SqlType::Timestamptz(None))
}

pub(super) fn current_date(ctx: &FuncContext) -> Result<Typed> {
    cast(now(), &SqlType::Date, CastKind::Explicit, ctx)
}

fn with_precision(value: Typed, precision: &Typed, to: fn(Option<u8>) -> SqlType, ctx: &FuncContext) -> Result<Typed> {
    match precision.literal_datum() {
        Some(Datum::Int32(digits @ 0..=6)) => cast(value, &to(Some(digits as u8)), CastKind::Explicit, ctx),
        Some(Datum::Int32(7..)) => cast(value, &to(None), CastKind::Explicit, ctx),
        _ => Err(Error::syntax("a precision must be a literal integer")),
    }
}

fn sequence_argument(arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    cast(arg, &SqlType::Reg(RegKind::Class), CastKind::Explicit, ctx)
}

fn oid_of(value: DatumRef<'_>) -> Result<heliosdb_types::Oid> {
    match value {
        DatumRef::Int64(oid) => Ok(heliosdb_types::Oid(oid as u32)),
        _ => Err(wrong_arguments("a sequence function")),
    }
}

fn sequence_call(name: &str, sequence: Typed, ctx: &FuncContext) -> Result<Typed> {
    let sequence = sequence_argument(sequence, ctx)?;
    let (sequences, next) = (ctx.sequences(), name == "nextval");
    let function = Function::strict(name, name, vec![PhysicalType::Int64], PhysicalType::Int64, move |args| {
        let [sequence] = args else { return Err(wrong_arguments("nextval")) };
        let oid = oid_of(*sequence)?;
        if next { sequences.nextval(oid) } else { sequences.currval(oid) }.map(Datum::Int64)
    });
    Ok(Typed::new(function.volatile().call(vec![sequence.expr]), SqlType::Int8))
}

fn lastval(ctx: &FuncContext) -> Typed {
    let sequences = ctx.sequences();
    let function = Function::values("lastval", "lastval", Vec::new(), PhysicalType::Int64, move |_| {
        sequences.lastval().map(Datum::Int64)
    });
    Typed::new(function.volatile().call(Vec::new()), SqlType::Int8)
}

fn setval(args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let mut args = args.into_iter();
    let mut next = || args.next().ok_or_else(|| wrong_arguments("setval"));
    let sequence = sequence_argument(next()?, ctx)?;
    let value = cast(next()?, &SqlType::Int8, CastKind::Implicit, ctx)?;
    let mut exprs = vec![sequence.expr, value.expr];
    let mut types = vec![PhysicalType::Int64, PhysicalType::Int64];
    if let Some(is_called) = args.next() {
        exprs.push(cast(is_called, &SqlType::Bool, CastKind::Implicit, ctx)?.expr);
        types.push(PhysicalType::Bool);
    }
    let sequences = ctx.sequences();
    let function = Function::strict("setval", "setval", types, PhysicalType::Int64, move |args| match args {
        [sequence, DatumRef::Int64(value)] => sequences.setval(oid_of(*sequence)?, *value, true).map(Datum::Int64),
        [sequence, DatumRef::Int64(value), DatumRef::Bool(is_called)] => {
            sequences.setval(oid_of(*sequence)?, *value, *is_called).map(Datum::Int64)
        }
        _ => Err(wrong_arguments("setval")),
    });
    Ok(Typed::new(function.volatile().call(exprs), SqlType::Int8))
}
