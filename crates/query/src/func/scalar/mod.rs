//! Scalar functions: tables of overloads, PostgreSQL's choice among them, and the few that need more than a table.

mod bytes;
mod conditional;
mod datetime;
mod degrees;
mod encoding;
mod math;
mod math_columns;
mod number_template;
mod overlaps;
mod regexp;
mod size;
mod special;
mod string;
mod substring;
mod system;
mod text_columns;
mod to_char;
mod to_char_number;
mod to_date;
mod to_number;
mod variadic;

pub(super) use regexp::{regexp_matches, regexp_split};
pub(super) use text_columns::{concat as concat_columns, without_blanks};
pub use to_char::time_of_day;
pub use variadic::call_variadic;

use heliosdb_types::{Datum, DatumRef, Error, Result, SqlState, SqlType, TextContext, TimeZone};

use super::aggregate::undefined;
use super::cast::{can_cast, cast, is_text};
use super::common::not_unique;
use super::types::named_type;
use super::udf::Function;
use super::value::physical_of_type;
use super::{CastKind, FuncContext, Typed, binary};
use sqlparser::ast::BinaryOperator;

/// A type in an overload table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum T {
    Bool,
    Int2,
    Int4,
    Int8,
    Num,
    F4,
    F8,
    Text,
    Bytea,
    Date,
    Time,
    Ts,
    Tstz,
    Interval,
}

impl T {
    fn sql(self) -> SqlType {
        match self {
            T::Bool => SqlType::Bool,
            T::Int2 => SqlType::Int2,
            T::Int4 => SqlType::Int4,
            T::Int8 => SqlType::Int8,
            T::Num => SqlType::Numeric(None),
            T::F4 => SqlType::Float4,
            T::F8 => SqlType::Float8,
            T::Text => SqlType::Text,
            T::Bytea => SqlType::Bytea,
            T::Date => SqlType::Date,
            T::Time => SqlType::Time(None),
            T::Ts => SqlType::Timestamp(None),
            T::Tstz => SqlType::Timestamptz(None),
            T::Interval => SqlType::Interval,
        }
    }

    /// Preferred in its category: wins where several overloads would need a cast.
    fn is_preferred(self) -> bool {
        matches!(self, T::Bool | T::F8 | T::Text | T::Tstz | T::Interval)
    }
}

type Run = fn(&[DatumRef<'_>], &TextContext) -> Result<Datum>;

/// One overload of a strict function: name, argument types, result type, what it computes.
pub(super) type Overload = (&'static str, &'static [T], T, Run);

/// Functions that PostgreSQL has for more types than there are here, so that an untyped first argument decides for none.
const OVERLOADED: &[(&str, usize)] =
    &[("age", 1), ("bit_count", 1), ("get_bit", 2), ("pg_size_pretty", 1), ("set_bit", 3), ("trunc", 1)];

/// A scalar function; then `names.call`; then 42883.
pub fn call(name: &str, args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    if args.first().is_some_and(Typed::is_unknown) && OVERLOADED.contains(&(name, args.len())) {
        return Err(not_unique(name, &args));
    }
    if let ("pg_size_pretty", [Typed { sql_type: SqlType::Int2 | SqlType::Int4, .. }]) = (name, args.as_slice()) {
        // As near to bigint as to numeric.
        return Err(not_unique(name, &args));
    }
    if let ("timezone", [_, Typed { sql_type: SqlType::Time(_), .. }]) = (name, args.as_slice()) {
        return Err(Error::unsupported("time with time zone"));
    }
    if let Some(result) = special::call(name, &args, ctx) {
        // An argument of a type the function does not take: there is no such function.
        return result.map_err(|error| match error.state() {
            SqlState::DATATYPE_MISMATCH if error.message().starts_with("expression is of type ") => {
                undefined(name, &args)
            }
            _ => error,
        });
    }
    let candidates: Vec<&Overload> = tables().filter(|overload| overload.0 == name).collect();
    if !candidates.is_empty() {
        let overload = choose(name, &candidates, &args)?;
        return invoke(overload, args, ctx);
    }
    if let Some(result) = ctx.names.call(name, &args) {
        return result;
    }
    type_call(name, &args, ctx).unwrap_or_else(|| Err(undefined(name, &args)))
}

fn tables() -> impl Iterator<Item = &'static Overload> {
    [
        bytes::FUNCTIONS,
        degrees::FUNCTIONS,
        size::FUNCTIONS,
        math::FUNCTIONS,
        string::FUNCTIONS,
        encoding::FUNCTIONS,
        regexp::FUNCTIONS,
        datetime::FUNCTIONS,
        to_number::FUNCTIONS,
        to_char_number::NUMBERS,
    ]
    .into_iter()
    .flatten()
}

/// The overloads of the tables, as `name(types) → type`, for the published list.
#[cfg(test)]
pub fn overloads() -> Vec<String> {
    let shown = |types: &[T]| types.iter().map(|t| super::common::base_name(&t.sql())).collect::<Vec<_>>().join(", ");
    tables()
        .map(|(name, params, result, _)| {
            format!("{name}({}) → {}", shown(params), super::common::base_name(&result.sql()))
        })
        .collect()
}

/// PostgreSQL's rules: most exact matches, then most preferred types among the casts, then text for untyped literals.
fn choose<'a>(name: &str, candidates: &[&'a Overload], args: &[Typed]) -> Result<&'a Overload> {
    let viable = candidates.iter().filter_map(|overload| {
        if overload.1.len() != args.len() {
            return None;
        }
        let (mut exact, mut preferred, mut texts) = (0, 0, 0);
        for (param, arg) in overload.1.iter().zip(args) {
            let to = param.sql();
            if arg.is_unknown() {
                texts += usize::from(*param == T::Text);
                preferred += usize::from(param.is_preferred());
            } else if std::mem::discriminant(&arg.sql_type) == std::mem::discriminant(&to)
                || (*param == T::Text && is_text(&arg.sql_type) && !matches!(arg.sql_type, SqlType::Char(_)))
            {
                exact += 1;
            } else if can_cast(&arg.sql_type, &to, CastKind::Implicit) {
                preferred += usize::from(param.is_preferred());
            } else {
                return None;
            }
        }
        Some(((exact, texts, preferred), *overload))
    });
    let viable: Vec<_> = viable.collect();
    if let Some(most) = viable.iter().map(|((exact, ..), _)| *exact).max() {
        let equals = viable.iter().filter(|((exact, ..), _)| *exact == most).map(|(_, overload)| *overload);
        let equals = equals.collect::<Vec<_>>();
        if is_ambiguous(&equals, args) {
            return of_known_type(&equals, args).ok_or_else(|| not_unique(name, args));
        }
    }
    // Arguments of known types that several overloads would take equally well choose none.
    if !args.iter().any(Typed::is_unknown)
        && let Some(most) = viable.iter().map(|(score, _)| *score).max()
        && viable.iter().filter(|(score, _)| *score == most).count() > 1
    {
        return Err(not_unique(name, args));
    }
    // The first of equals wins: tables list the likelier overload first.
    let mut best: Option<((usize, usize, usize), &Overload)> = None;
    for (score, overload) in viable {
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, overload));
        }
    }
    best.map(|(_, overload)| overload).ok_or_else(|| undefined(name, args))
}

/// PostgreSQL's last resort: if the typed arguments are of one type, the untyped are taken for it too, and the only candidate that
/// would do is meant.
fn of_known_type<'a>(candidates: &[&'a Overload], args: &[Typed]) -> Option<&'a Overload> {
    let mut known = args.iter().filter(|arg| !arg.is_unknown());
    let first = &known.next()?.sql_type;
    if !known.all(|arg| arg.sql_type == *first) {
        return None;
    }
    let preferred = |overload: &Overload| {
        overload.1.iter().zip(args).filter(|(param, arg)| !arg.is_unknown() && param.is_preferred()).count()
    };
    let most = candidates.iter().map(|overload| preferred(overload)).max()?;
    let takes = |param: &T| {
        let to = param.sql();
        std::mem::discriminant(first) == std::mem::discriminant(&to) || can_cast(first, &to, CastKind::Implicit)
    };
    let mut fitting = candidates.iter().filter(|overload| {
        preferred(overload) == most
            && overload.1.iter().zip(args).filter(|(_, arg)| arg.is_unknown()).all(|(param, _)| takes(param))
    });
    let only = fitting.next()?;
    fitting.next().is_none().then_some(*only)
}

/// Whether an untyped argument leaves open which of several categories of types is meant.
fn is_ambiguous(candidates: &[&Overload], args: &[Typed]) -> bool {
    let open = args.iter().enumerate().filter(|(_, arg)| arg.is_unknown());
    let mut categories = open.map(|(at, _)| {
        let types = candidates.iter().filter_map(|overload| overload.1.get(at));
        types.map(|t| super::common::category(&t.sql())).collect::<std::collections::BTreeSet<_>>()
    });
    let categories = categories.any(|categories| categories.len() > 1 && !categories.contains(&'S'));
    // Of one category, the preferred type would win.
    let undecided = args.iter().enumerate().filter(|(_, arg)| arg.is_unknown()).any(|(at, _)| {
        let types: Vec<T> = candidates.iter().filter_map(|overload| overload.1.get(at)).copied().collect();
        let several = types.iter().any(|t| Some(t) != types.first());
        several && !types.iter().any(|t| t.is_preferred() || *t == T::Text)
    });
    categories || undecided
}

fn invoke(overload: &Overload, args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let (name, params, result, run) = *overload;
    let args = args
        .into_iter()
        .zip(params)
        .map(|(arg, param)| cast(arg, &param.sql(), CastKind::Implicit, ctx))
        .collect::<Result<Vec<_>>>()?;
    if let ("mod", [T::Int2 | T::Int4 | T::Int8, _], [a, b]) = (name, params, args.as_slice()) {
        return binary(&BinaryOperator::Modulo, a.clone(), b.clone(), ctx);
    }
    let types = args.iter().map(Typed::physical).collect();
    let text = ctx.text.clone();
    let key = format!("{name} {params:?} {}", text.time_zone.name());
    let returns = result.sql();
    let function = Function::strict(name, key, types, physical_of_type(&returns), move |values| run(values, &text));
    let function = match text_columns::kernel(name, params).or_else(|| math_columns::kernel(name, params)) {
        Some(columns) => function.by_column(columns).strict_columns(),
        None => function,
    };
    let function = match (name, params) {
        ("date_trunc", [T::Text, T::Ts]) => function.specialised_by(datetime::trunc_column),
        _ => function,
    };
    Ok(Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), returns))
}

/// Types whose names can be called.
const TYPE_CALLS: [&str; 19] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "text",
    "varchar",
    "bpchar",
    "name",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "oid",
    "regclass",
    "regtype",
];

/// A type's name used as a function: `date(x)`, `int4(x)`, `text(x)`.
fn type_call(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<Typed>> {
    let [arg] = args else { return None };
    if !TYPE_CALLS.contains(&name) {
        return None;
    }
    let to = named_type(name, &[])?.ok()?;
    can_cast(&arg.sql_type, &to, CastKind::Explicit).then(|| cast(arg.clone(), &to, CastKind::Explicit, ctx))
}

fn invalid_parameter(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn wrong_arguments(name: &str) -> Error {
    Error::internal(format!("{name} got arguments of other types than planned"))
}

/// Casts every argument to text (implicitly, or as output of any type).
fn to_text(arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    cast(arg, &SqlType::Text, CastKind::Assignment, ctx)
}

/// The zone of a name, for AT TIME ZONE and date_trunc.
fn zone_named(name: &str, context: &TextContext) -> Result<std::sync::Arc<dyn TimeZone>> {
    heliosdb_types::datetime::parse_zone(name, context)
}
