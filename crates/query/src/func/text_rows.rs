//! Functions of text that give rows: `regexp_matches`, `regexp_split_to_table`, `string_to_table`.

use heliosdb_types::{Datum, DatumRef, Error, Result, SqlType};

use super::aggregate::undefined;
use super::rows::RowsCall;
use super::scalar::{regexp_matches, regexp_split};
use super::value::text_of_datum;
use super::{CastKind, FuncContext, Typed, cast};

pub(super) fn gives_rows(name: &str) -> bool {
    matches!(name, "regexp_matches" | "regexp_split_to_table" | "string_to_table")
}

/// `None`: not one of these.
pub(super) fn rows(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<RowsCall>> {
    gives_rows(name).then(|| call(name, args, ctx))
}

fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<RowsCall> {
    if !(2..=3).contains(&args.len()) {
        return Err(undefined(name, args));
    }
    let texts = args.iter().map(|arg| {
        let fits = arg.is_unknown() || super::cast::is_text(&arg.sql_type);
        if fits { cast(arg.clone(), &SqlType::Text, CastKind::Implicit, ctx) } else { Err(undefined(name, args)) }
    });
    let texts = texts.collect::<Result<Vec<_>>>()?;
    let text = SqlType::Text;
    let returns = if name == "regexp_matches" { text.array_of() } else { text };
    let owned = name.to_owned();
    Ok(RowsCall::new(name, "", texts, vec![(name, returns)], move |values, out| {
        if owned == "string_to_table" {
            return string_to_table(values, |part| out.row(&[part.map_or(DatumRef::Null, DatumRef::Text)]));
        }
        if values.iter().any(DatumRef::is_null) {
            return Ok(());
        }
        let [text, pattern, flags @ ..] = values else { return Err(Error::internal("two texts")) };
        let flags = flags.first().map_or(Ok(""), |flags| text_of_datum(*flags))?;
        let (text, pattern) = (text_of_datum(*text)?, text_of_datum(*pattern)?);
        if owned == "regexp_matches" {
            return regexp_matches(text, pattern, flags)?.iter().map(Datum::as_ref).try_for_each(|row| out.row(&[row]));
        }
        regexp_split(&owned, text, pattern, flags)?.into_iter().try_for_each(|part| out.row(&[DatumRef::Text(part)]))
    }))
}

/// The parts between separators: NULL separates characters, '' nothing. A part that is the null text is NULL.
fn string_to_table(values: &[DatumRef<'_>], mut row: impl FnMut(Option<&str>) -> Result<()>) -> Result<()> {
    let [DatumRef::Text(text), separator, null @ ..] = values else { return Ok(()) };
    let null = match null.first() {
        Some(DatumRef::Text(null)) => Some(*null),
        _ => None,
    };
    let mut part = |part: &str| row((Some(part) != null).then_some(part));
    match separator {
        _ if text.is_empty() => Ok(()),
        DatumRef::Text("") => part(text),
        DatumRef::Text(separator) => text.split(separator).try_for_each(part),
        _ => text.chars().try_for_each(|c| part(c.encode_utf8(&mut [0; 4]))),
    }
}
