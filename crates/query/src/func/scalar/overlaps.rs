//! `(start, end) OVERLAPS (start, end)` and `width_bucket` of thresholds: comparisons of values of one type.

use std::cmp::Ordering;

use heliosdb_types::{ArrayView, Datum, DatumRef, Error, Result, SqlState, SqlType, TextContext, compare};
use sqlparser::ast::BinaryOperator;

use super::super::aggregate::undefined;
use super::super::common::{common_type, without_modifier};
use super::super::udf::Function;
use super::super::value::physical_of_type;
use super::super::{CastKind, FuncContext, Typed, binary, cast};
use super::T::{Bool, Interval, Time, Ts, Tstz};
use super::{Overload, choose, wrong_arguments};

/// PostgreSQL's name of the function behind the word, for its messages.
const OVERLAPS: &str = "pg_catalog.overlaps";

/// What PostgreSQL chooses among: the second of a pair may be how long it lasts.
const OVERLOADS: &[Overload] = &[
    (OVERLAPS, &[Tstz, Tstz, Tstz, Tstz], Bool, undecided),
    (OVERLAPS, &[Tstz, Interval, Tstz, Interval], Bool, undecided),
    (OVERLAPS, &[Tstz, Tstz, Tstz, Interval], Bool, undecided),
    (OVERLAPS, &[Tstz, Interval, Tstz, Tstz], Bool, undecided),
    (OVERLAPS, &[Ts, Ts, Ts, Ts], Bool, undecided),
    (OVERLAPS, &[Ts, Interval, Ts, Interval], Bool, undecided),
    (OVERLAPS, &[Ts, Ts, Ts, Interval], Bool, undecided),
    (OVERLAPS, &[Ts, Interval, Ts, Ts], Bool, undecided),
    (OVERLAPS, &[Time, Time, Time, Time], Bool, undecided),
    (OVERLAPS, &[Time, Interval, Time, Interval], Bool, undecided),
    (OVERLAPS, &[Time, Time, Time, Interval], Bool, undecided),
    (OVERLAPS, &[Time, Interval, Time, Time], Bool, undecided),
];

/// The overloads only say which types are meant; NULLs matter to what is computed.
fn undecided(_: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    Err(wrong_arguments(OVERLAPS))
}

/// The moment something ends that begins then and lasts so long.
fn ended(start: &Typed, end: Typed, ctx: &FuncContext) -> Result<Typed> {
    match end.sql_type {
        SqlType::Interval => binary(&BinaryOperator::Plus, start.clone(), end, ctx),
        _ => Ok(end),
    }
}

pub(super) fn overlaps(args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let (_, types, _, _) = choose(OVERLAPS, &OVERLOADS.iter().collect::<Vec<_>>(), args)?;
    let cast_all = args.iter().zip(*types).map(|(arg, to)| cast(arg.clone(), &to.sql(), CastKind::Implicit, ctx));
    let [a, b, c, d] =
        <[Typed; 4]>::try_from(cast_all.collect::<Result<Vec<_>>>()?).map_err(|_| wrong_arguments(OVERLAPS))?;
    let (b, d) = (ended(&a, b, ctx)?, ended(&c, d, ctx)?);
    let all = [a, b, c, d];
    let types = all.iter().map(Typed::physical).collect();
    let boolean = physical_of_type(&SqlType::Bool);
    let function = Function::values("overlaps", "overlaps", types, boolean, |values| match values {
        [a, b, c, d] => Ok(overlap((*a, *b), (*c, *d)).map_or(Datum::Null, Datum::Bool)),
        _ => Err(wrong_arguments("overlaps")),
    });
    Ok(Typed::new(function.call(all.into_iter().map(|arg| arg.expr).collect()), SqlType::Bool))
}

/// The earlier moment first; `None` if both are NULL.
fn ordered<'a>((start, end): (DatumRef<'a>, DatumRef<'a>)) -> Option<(DatumRef<'a>, DatumRef<'a>)> {
    match (start.is_null(), end.is_null()) {
        (true, true) => None,
        (true, false) => Some((end, start)),
        (false, false) if compare(start, end).is_gt() => Some((end, start)),
        _ => Some((start, end)),
    }
}

/// As the standard defines it: a period holds its start but not its end, unless it is a single moment.
fn overlap<'a>(a: (DatumRef<'a>, DatumRef<'a>), b: (DatumRef<'a>, DatumRef<'a>)) -> Option<bool> {
    let ((a_start, a_end), (b_start, b_end)) = (ordered(a)?, ordered(b)?);
    let within = |start: DatumRef<'_>, end: DatumRef<'_>, other_end: DatumRef<'_>| {
        // `start` is the later start; `end` that of the earlier period.
        if end.is_null() {
            return None;
        }
        match (compare(start, end).is_lt(), other_end.is_null()) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        }
    };
    match compare(a_start, b_start) {
        Ordering::Greater => within(a_start, b_end, a_end),
        Ordering::Less => within(b_start, a_end, b_end),
        Ordering::Equal => (!a_end.is_null() && !b_end.is_null()).then_some(true),
    }
}

/// `width_bucket(value, thresholds)`: how many of the sorted thresholds are at most the value.
pub(super) fn width_bucket(args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let missing = || undefined("width_bucket", args);
    let [value, thresholds] = args else { return Err(missing()) };
    let element = thresholds.sql_type.element().cloned().ok_or_else(missing)?;
    // Both as their common type: width_bucket(1.5, ARRAY[1, 2]).
    let of_element = Typed { sql_type: element.clone(), ..value.clone() };
    let common = match value.is_unknown() {
        true => element,
        false => common_type(&[value, &of_element], "width_bucket").map_err(|_| missing())?,
    };
    let element = without_modifier(&common);
    let thresholds = cast(thresholds.clone(), &element.array_of(), CastKind::Implicit, ctx).map_err(|_| missing())?;
    let value = cast(value.clone(), &element, CastKind::Implicit, ctx)?;
    let types = vec![value.physical(), thresholds.physical()];
    let key = format!("width_bucket {}", super::super::type_key(&element));
    let integer = physical_of_type(&SqlType::Int4);
    let function = Function::strict("width_bucket", key, types, integer, move |values| {
        let [value, DatumRef::Bytes(bytes)] = values else { return Err(wrong_arguments("width_bucket")) };
        let mut bucket = 0;
        for threshold in ArrayView::new(&element, bytes)?.iter() {
            let threshold = threshold?;
            if threshold.is_null() {
                let message = "thresholds array must not contain NULLs";
                return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message));
            }
            bucket += i32::from(compare(threshold.as_ref(), *value).is_le());
        }
        Ok(Datum::Int32(bucket))
    });
    Ok(Typed::new(function.call(vec![value.expr, thresholds.expr]), SqlType::Int4))
}
