//! Functions that take any type or any number of arguments, need the session, or have no fixed result type.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use heliosdb_types::{
    Datum, DatumRef, Error, PhysicalType, RegKind, Result, SqlState, SqlType, TextContext, parse_text, text_array,
};

use super::super::udf::Function;
use super::super::value::{text_literal, text_of_datum};
use super::super::{CastKind, FuncContext, Typed, array, cast, enums, extract, json};
use super::{
    can_cast, conditional, invalid_parameter, overlaps, regexp, string, substring, system, text_columns, to_text,
};

/// `None`: not a function of this module.
pub(super) fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<Typed>> {
    if let Some(error) = open_parameter(name, args) {
        return Some(Err(error));
    }
    let owned = || args.to_vec();
    Some(match (name, args) {
        ("coalesce", [_, ..]) => conditional::coalesce(owned(), ctx),
        ("nullif", [a, b]) => conditional::nullif(a.clone(), b.clone(), ctx),
        ("greatest" | "least", [_, ..]) => conditional::extreme(name == "greatest", owned(), ctx),
        ("num_nulls" | "num_nonnulls", [_, ..]) => Ok(conditional::count_nulls(name == "num_nulls", owned())),
        ("concat", [_, ..]) => texts(owned(), ctx).map(concat),
        // The separator and the pattern are texts; anything goes after them.
        ("concat_ws", [first, _, ..]) | ("format", [first, ..])
            if !first.is_unknown() && !can_cast(&first.sql_type, &SqlType::Text, CastKind::Implicit) =>
        {
            Err(super::undefined(name, args))
        }
        ("concat_ws", [_, _, ..]) => texts_after(owned(), ctx).map(concat_ws),
        ("format", [_, ..]) => texts_after(owned(), ctx).map(format),
        ("quote_nullable", [arg]) => to_text(arg.clone(), ctx).map(quote_nullable),
        ("quote_literal", [arg]) if !arg.is_unknown() && !super::is_text(&arg.sql_type) => {
            to_text(arg.clone(), ctx).map(quote_value)
        }
        // Padding counts here, as it does nowhere else.
        ("octet_length", [arg]) if matches!(arg.sql_type, SqlType::Char(_)) => Ok(octets_padded(arg.clone())),
        ("regexp_match", [_, _] | [_, _, _]) => regexp_match(owned(), ctx),
        ("regexp_split_to_array", [_, _] | [_, _, _]) => regexp_split(owned(), ctx),
        ("date_part" | "extract", [field, value]) => match field.literal_datum() {
            Some(Datum::Text(field)) if name == "date_part" => extract::date_part(&field, value.clone(), ctx),
            Some(Datum::Text(field)) => extract::extract(&field, value.clone(), ctx),
            _ => extract::date_part_of(field.clone(), value.clone(), ctx),
        },
        ("substring" | "substr", [_, _, ..]) => return substring::call(args, ctx),
        ("overlaps", [_, _, _, _]) => overlaps::overlaps(args, ctx),
        ("width_bucket", [_, thresholds]) if thresholds.sql_type.element().is_some() => {
            overlaps::width_bucket(args, ctx)
        }
        ("md5", [arg]) => md5(arg.clone(), ctx),
        ("setseed", [_]) => Err(Error::unsupported("setseed()")),
        ("random", []) => Ok(random()),
        ("pg_typeof", [arg]) => pg_typeof(arg),
        ("age", [arg]) => age_of_today(arg.clone(), ctx),
        _ => {
            let ours = array::call(name, args, ctx).or_else(|| json::call(name, args, ctx));
            let ours = ours.or_else(|| enums::call(name, args, ctx));
            return ours.or_else(|| system::call(name, args, ctx));
        }
    })
}

/// A parameter where any type will do has none.
pub(super) fn open_parameter(name: &str, args: &[Typed]) -> Option<Error> {
    let from = match name {
        "concat" | "num_nulls" | "num_nonnulls" | "json_build_array" | "jsonb_build_array" | "json_build_object"
        | "jsonb_build_object" => 0,
        "concat_ws" | "format" => 1,
        _ => return None,
    };
    let open = args.iter().skip(from).find_map(|arg| match &arg.expr {
        Expr::Placeholder(placeholder) if arg.is_unknown() => Some(placeholder.id.clone()),
        _ => None,
    })?;
    let message = format!("could not determine data type of parameter {open}");
    Some(Error::invalid(SqlState::INDETERMINATE_DATATYPE, message))
}

fn texts(args: Vec<Typed>, ctx: &FuncContext) -> Result<Vec<Typed>> {
    args.into_iter().map(|arg| as_written(arg, ctx)).collect()
}

/// The same for functions whose first argument is a text and no "any".
fn texts_after(mut args: Vec<Typed>, ctx: &FuncContext) -> Result<Vec<Typed>> {
    let rest = args.split_off(1.min(args.len()));
    let first = args.into_iter().map(|arg| to_text(arg, ctx)).collect::<Result<Vec<_>>>()?;
    Ok(first.into_iter().chain(texts(rest, ctx)?).collect())
}

/// Functions of "any" use output functions: a boolean is `t` or `f` there, not `true`, and char(n) keeps its blanks.
fn as_written(arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    if matches!(arg.sql_type, SqlType::Char(_)) {
        return Ok(Typed::new(arg.expr, SqlType::Text));
    }
    if arg.sql_type != SqlType::Bool {
        return to_text(arg, ctx);
    }
    let function =
        Function::strict("boolout", "boolout", vec![PhysicalType::Bool], PhysicalType::Text, |args| match args {
            [DatumRef::Bool(v)] => Ok(Datum::Text((if *v { "t" } else { "f" }).into())),
            _ => Err(super::wrong_arguments("boolout")),
        });
    Ok(Typed::new(function.call(vec![arg.expr]), SqlType::Text))
}

/// A function of texts that sees NULLs.
fn text_function(
    name: &str,
    args: Vec<Typed>,
    returns: SqlType,
    physical: PhysicalType,
    run: impl Fn(&[Option<&str>]) -> Result<Datum> + Send + Sync + 'static,
) -> Typed {
    let types = vec![PhysicalType::Text; args.len()];
    let function = Function::values(name, name, types, physical, move |values| {
        let texts: Vec<Option<&str>> = values
            .iter()
            .map(|value| if value.is_null() { Ok(None) } else { text_of_datum(*value).map(Some) })
            .collect::<Result<_>>()?;
        run(&texts)
    });
    let arrow = heliosdb_contracts::arrow_type(physical);
    Typed { expr: function.call(args.into_iter().map(|arg| arg.expr).collect()), sql_type: returns, arrow }
}

fn concat(args: Vec<Typed>) -> Typed {
    if args.is_empty() {
        return text_literal("", SqlType::Text);
    }
    let types = vec![PhysicalType::Text; args.len()];
    let function = Function::values("concat", "concat", types, PhysicalType::Text, |values| {
        let present = values.iter().filter(|value| !value.is_null());
        Ok(Datum::Text(present.map(|value| text_of_datum(*value)).collect::<Result<String>>()?))
    });
    let function = function.by_column(text_columns::concat_all);
    Typed::new(function.call(args.into_iter().map(|arg| arg.expr).collect()), SqlType::Text)
}

fn concat_ws(args: Vec<Typed>) -> Typed {
    text_function("concat_ws", args, SqlType::Text, PhysicalType::Text, |texts| {
        let Some((Some(separator), rest)) = texts.split_first() else { return Ok(Datum::Null) };
        Ok(Datum::Text(rest.iter().flatten().copied().collect::<Vec<_>>().join(separator)))
    })
}

fn quote_nullable(arg: Typed) -> Typed {
    text_function("quote_nullable", vec![arg], SqlType::Text, PhysicalType::Text, |texts| {
        Ok(Datum::Text(texts.first().copied().flatten().map_or_else(|| "NULL".into(), string::quote_literal)))
    })
}

/// `quote_literal` of other types than text.
fn quote_value(arg: Typed) -> Typed {
    text_function("quote_value", vec![arg], SqlType::Text, PhysicalType::Text, |texts| {
        let quoted = texts.first().copied().flatten().map(string::quote_literal);
        Ok(quoted.map_or(Datum::Null, Datum::Text))
    })
}

fn octets_padded(arg: Typed) -> Typed {
    text_function("octets_padded", vec![arg], SqlType::Int4, PhysicalType::Int32, |texts| {
        Ok(texts.first().copied().flatten().map_or(Datum::Null, |text| Datum::Int32(text.len() as i32)))
    })
}

fn format(args: Vec<Typed>) -> Typed {
    text_function("format", args, SqlType::Text, PhysicalType::Text, |texts| {
        let Some((Some(pattern), rest)) = texts.split_first() else { return Ok(Datum::Null) };
        format_text(pattern, rest).map(Datum::Text)
    })
}

/// `%[position$][-][width]type` with types s, I, L; `%%` is a percent sign.
pub(super) fn format_text(pattern: &str, args: &[Option<&str>]) -> Result<String> {
    let mut out = String::new();
    let mut next = 0;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        let kind = loop {
            match chars.next() {
                None => {
                    return Err(invalid_parameter("unterminated format() type specifier")
                        .with_hint("For a single \"%\" use \"%%\"."));
                }
                Some(c) if c.is_ascii_digit() || matches!(c, '$' | '-') => spec.push(c),
                Some('*') => {
                    // The width is an argument: `*` the next one, `*n$` the n-th.
                    let digits: String = chars.clone().take_while(char::is_ascii_digit).collect();
                    let given = chars.clone().nth(digits.len()) == Some('$');
                    let at = match digits.parse::<usize>() {
                        Ok(0) if given => {
                            let message = "format specifies argument 0, but arguments are numbered from 1";
                            return Err(invalid_parameter(message));
                        }
                        Ok(number) if given => {
                            chars.by_ref().take(digits.len() + 1).for_each(drop);
                            number - 1
                        }
                        _ => next,
                    };
                    next = at + 1;
                    let width = *args.get(at).ok_or_else(|| invalid_parameter("too few arguments for format()"))?;
                    let width = parse_text(&SqlType::Int4, width.unwrap_or("0"), &TextContext::default())?;
                    if let Datum::Int32(width) = width {
                        spec.push_str(&width.to_string());
                    }
                }
                Some(c) => break c,
            }
        };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let (position, rest) = match spec.split_once('$') {
            Some((position, rest)) => (position.parse::<usize>().ok(), rest),
            None => (None, spec.as_str()),
        };
        if position == Some(0) {
            return Err(invalid_parameter("format specifies argument 0, but arguments are numbered from 1"));
        }
        let at = position.map_or(next, |position| position - 1);
        next = at + 1;
        let value = *args.get(at).ok_or_else(|| invalid_parameter("too few arguments for format()"))?;
        let text = match (kind, value) {
            ('s', value) => value.unwrap_or_default().to_owned(),
            ('L', value) => value.map_or_else(|| "NULL".into(), string::quote_literal),
            ('I', Some(value)) => string::quote_ident(value),
            ('I', None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(Error::invalid(SqlState::NULL_VALUE_NOT_ALLOWED, message));
            }
            (other, _) => {
                return Err(invalid_parameter(format!("unrecognized format() type specifier \"{other}\""))
                    .with_hint("For a single \"%\" use \"%%\"."));
            }
        };
        let (left, width) = (rest.starts_with('-'), rest.trim_start_matches('-').parse::<usize>().unwrap_or(0));
        let padding: String =
            std::iter::repeat_n(' ', width.saturating_sub(text.chars().count()).min(1 << 20)).collect();
        out.push_str(&if left { text + &padding } else { padding + &text });
    }
    Ok(out)
}

fn regexp_match(args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let args =
        args.into_iter().map(|arg| cast(arg, &SqlType::Text, CastKind::Implicit, ctx)).collect::<Result<Vec<_>>>()?;
    let returns = SqlType::Array(Box::new(SqlType::Text));
    Ok(text_function("regexp_match", args, returns, PhysicalType::Bytes, |texts| match texts {
        [Some(text), Some(pattern)] => regexp::regexp_match(text, pattern, ""),
        [Some(text), Some(pattern), Some(flags)] => regexp::regexp_match(text, pattern, flags),
        _ => Ok(Datum::Null),
    }))
}

fn regexp_split(args: Vec<Typed>, ctx: &FuncContext) -> Result<Typed> {
    let args =
        args.into_iter().map(|arg| cast(arg, &SqlType::Text, CastKind::Implicit, ctx)).collect::<Result<Vec<_>>>()?;
    let returns = SqlType::Array(Box::new(SqlType::Text));
    Ok(text_function("regexp_split_to_array", args, returns, PhysicalType::Bytes, |texts| {
        let [Some(text), Some(pattern), flags @ ..] = texts else { return Ok(Datum::Null) };
        let flags = match flags.first() {
            None => "",
            Some(Some(flags)) => flags,
            Some(None) => return Ok(Datum::Null),
        };
        text_array(regexp::regexp_split("regexp_split_to_array", text, pattern, flags)?.into_iter().map(Some))
    }))
}

fn md5(arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    let arg = if arg.sql_type == SqlType::Bytea { arg } else { cast(arg, &SqlType::Text, CastKind::Implicit, ctx)? };
    let call = Expr::ScalarFunction(ScalarFunction::new_udf(datafusion::functions::crypto::md5(), vec![arg.expr]));
    Ok(Typed::new(datafusion::logical_expr::cast(call, arrow_schema::DataType::Utf8View), SqlType::Text))
}

fn random() -> Typed {
    let function = Arc::clone(&datafusion::functions::math::random());
    Typed::new(Expr::ScalarFunction(ScalarFunction::new_udf(function, Vec::new())), SqlType::Float8)
}

/// The type known when the statement is bound. The argument stays: it may be an aggregate.
fn pg_typeof(arg: &Typed) -> Result<Typed> {
    let oid = i64::from(arg.sql_type.oid().0);
    let key = format!("pg_typeof {oid}");
    let function =
        Function::values("pg_typeof", key, vec![arg.physical()], PhysicalType::Int64, move |_| Ok(Datum::Int64(oid)));
    Ok(Typed::new(function.call(vec![arg.expr.clone()]), SqlType::Reg(RegKind::Type)))
}

/// `age(timestamp)`: from midnight today.
fn age_of_today(arg: Typed, ctx: &FuncContext) -> Result<Typed> {
    let zoned = matches!(arg.sql_type, SqlType::Timestamptz(_));
    let to = if zoned { SqlType::Timestamptz(None) } else { SqlType::Timestamp(None) };
    let arg = cast(arg, &to, CastKind::Implicit, ctx)?;
    let today = cast(system::current_date(ctx)?, &to, CastKind::Implicit, ctx)?;
    super::call("age", vec![today, arg], ctx)
}
