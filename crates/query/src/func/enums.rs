//! Functions of enums: `enum_first`, `enum_last`, `enum_range`. The argument's type alone matters, but for the bounds of a range.

use heliosdb_types::{ArrayBuilder, Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

use super::aggregate::undefined;
use super::array::type_key;
use super::udf::Function;
use super::value::physical_of_type;
use super::{CastKind, FuncContext, Typed, cast};

/// `None`: not a function of enums.
pub(super) fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<Typed>> {
    match (name, args) {
        ("enum_first" | "enum_last", [arg]) => Some(edge(name, arg)),
        ("enum_range", [arg]) => Some(enum_of(name, args).map(|sql_type| range(&sql_type, vec![arg.clone()]))),
        ("enum_range", [_, _]) => Some(bounded(args, ctx)),
        _ => None,
    }
}

/// The enum all typed arguments are of.
fn enum_of(name: &str, args: &[Typed]) -> Result<SqlType> {
    let mut found: Option<&SqlType> = None;
    for arg in args {
        match (&arg.sql_type, found) {
            (SqlType::Unknown, _) => {}
            (SqlType::Enum(_), None) => found = Some(&arg.sql_type),
            (SqlType::Enum(_), Some(other)) if *other == arg.sql_type => {}
            _ => return Err(undefined(name, args)),
        }
    }
    found.cloned().ok_or_else(|| undefined(name, args))
}

fn codes(sql_type: &SqlType) -> Vec<i64> {
    match sql_type {
        SqlType::Enum(of) => of.labels.iter().map(|label| label.code).collect(),
        _ => Vec::new(),
    }
}

fn edge(name: &str, arg: &Typed) -> Result<Typed> {
    let sql_type = enum_of(name, std::slice::from_ref(arg))?;
    let codes = codes(&sql_type);
    let code = if name == "enum_first" { codes.first() } else { codes.last() };
    let code = *code.ok_or_else(|| {
        let message = format!("enum {} contains no values", sql_type.name());
        Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
    })?;
    let key = format!("{name} {} {code}", type_key(&sql_type));
    let function =
        Function::values(name, key, vec![arg.physical()], PhysicalType::Int64, move |_| Ok(Datum::Int64(code)));
    Ok(Typed::new(function.call(vec![arg.expr.clone()]), sql_type))
}

/// `enum_range(first, last)`; NULL is no bound.
fn bounded(args: &[Typed], ctx: &FuncContext) -> Result<Typed> {
    let sql_type = enum_of("enum_range", args)?;
    let args = args.iter().map(|arg| cast(arg.clone(), &sql_type, CastKind::Implicit, ctx));
    Ok(range(&sql_type, args.collect::<Result<Vec<_>>>()?))
}

/// The labels between two bounds; of one argument, which is never looked at, all of them.
fn range(sql_type: &SqlType, args: Vec<Typed>) -> Typed {
    let (codes, element, all) = (codes(sql_type), sql_type.clone(), args.len() == 1);
    let key = format!("enum_range {} {codes:?}", type_key(sql_type));
    let types = args.iter().map(Typed::physical).collect();
    let returns = sql_type.array_of();
    let function = Function::values("enum_range", key, types, physical_of_type(&returns), move |values| {
        let bound = |at: usize, none: i64| match values.get(at) {
            Some(DatumRef::Int64(code)) if !all => *code,
            _ => none,
        };
        let (first, last) = (bound(0, i64::MIN), bound(1, i64::MAX));
        let mut builder = ArrayBuilder::new(&element)?;
        for code in codes.iter().filter(|code| (first..=last).contains(code)) {
            builder.push(DatumRef::Int64(*code))?;
        }
        builder.finish().map(Datum::Bytes)
    });
    Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), returns)
}
