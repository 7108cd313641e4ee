//! Functions of text. Positions count characters from 1.

use heliosdb_types::{Datum, DatumRef, Error, Result, SqlState, TextContext};

use super::super::value::{int_of, text_of_datum};
use super::T::{Bool, Bytea, Int4, Int8, Text};
use super::{Overload, Run, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("length", &[Text], Int4, LENGTH),
    ("length", &[Bytea], Int4, OCTETS),
    ("char_length", &[Text], Int4, LENGTH),
    ("character_length", &[Text], Int4, LENGTH),
    ("octet_length", &[Text], Int4, OCTETS),
    ("octet_length", &[Bytea], Int4, OCTETS),
    ("bit_length", &[Text], Int4, |a, _| Ok(Datum::Int32(octets(a)? * 8))),
    ("bit_length", &[Bytea], Int4, |a, _| Ok(Datum::Int32(octets(a)? * 8))),
    ("lower", &[Text], Text, |a, _| text(a, |s| s.chars().map(lower).collect())),
    ("upper", &[Text], Text, |a, _| text(a, |s| s.chars().map(upper).collect())),
    ("initcap", &[Text], Text, |a, _| text(a, initcap)),
    ("reverse", &[Text], Text, |a, _| text(a, |s| s.chars().rev().collect())),
    ("btrim", &[Text], Text, |a, _| text(a, |s| s.trim_matches(' ').to_owned())),
    ("ltrim", &[Text], Text, |a, _| text(a, |s| s.trim_start_matches(' ').to_owned())),
    ("rtrim", &[Text], Text, |a, _| text(a, |s| s.trim_end_matches(' ').to_owned())),
    ("btrim", &[Text, Text], Text, |a, _| texts(a, |s, set| s.trim_matches(|c| set.contains(c)).to_owned())),
    ("ltrim", &[Text, Text], Text, |a, _| texts(a, |s, set| s.trim_start_matches(|c| set.contains(c)).to_owned())),
    ("rtrim", &[Text, Text], Text, |a, _| texts(a, |s, set| s.trim_end_matches(|c| set.contains(c)).to_owned())),
    ("substring", &[Text, Int4], Text, SUBSTRING),
    ("substr", &[Text, Int4], Text, SUBSTRING),
    ("substring", &[Text, Int4, Int4], Text, SUBSTRING),
    ("substr", &[Text, Int4, Int4], Text, SUBSTRING),
    ("substring", &[Bytea, Int4], Bytea, SUBSTRING_BYTES),
    ("substring", &[Bytea, Int4, Int4], Bytea, SUBSTRING_BYTES),
    ("position", &[Text, Text], Int4, POSITION),
    ("strpos", &[Text, Text], Int4, POSITION),
    ("left", &[Text, Int4], Text, left),
    ("right", &[Text, Int4], Text, right),
    ("lpad", &[Text, Int4], Text, |a, _| pad(a, true)),
    ("lpad", &[Text, Int4, Text], Text, |a, _| pad(a, true)),
    ("rpad", &[Text, Int4], Text, |a, _| pad(a, false)),
    ("rpad", &[Text, Int4, Text], Text, |a, _| pad(a, false)),
    ("repeat", &[Text, Int4], Text, repeat),
    ("replace", &[Text, Text, Text], Text, replace),
    ("translate", &[Text, Text, Text], Text, translate),
    ("overlay", &[Text, Text, Int4], Text, overlay),
    ("overlay", &[Text, Text, Int4, Int4], Text, overlay),
    ("split_part", &[Text, Text, Int4], Text, split_part),
    ("starts_with", &[Text, Text], Bool, |a, _| {
        let (s, prefix) = two(a)?;
        Ok(Datum::Bool(s.starts_with(prefix)))
    }),
    ("ascii", &[Text], Int4, |a, _| Ok(Datum::Int32(one(a)?.chars().next().map_or(0, |c| c as i32)))),
    ("chr", &[Int4], Text, chr),
    ("to_hex", &[Int4], Text, |a, _| Ok(Datum::Text(format!("{:x}", first_int(a)? as u32)))),
    ("to_hex", &[Int8], Text, |a, _| Ok(Datum::Text(format!("{:x}", first_int(a)? as u64)))),
    ("unistr", &[Text], Text, unistr),
    ("quote_ident", &[Text], Text, |a, _| text(a, quote_ident)),
    ("quote_literal", &[Text], Text, |a, _| text(a, quote_literal)),
];

const LENGTH: Run = |a, _| Ok(Datum::Int32(one(a)?.chars().count() as i32));
const OCTETS: Run = |a, _| octets(a).map(Datum::Int32);
const POSITION: Run = |a, _| {
    let (s, part) = two(a)?;
    Ok(Datum::Int32(s.find(part).map_or(0, |at| s[..at].chars().count() as i32 + 1)))
};
const SUBSTRING: Run = |a, _| substring(a);
const SUBSTRING_BYTES: Run = |a, _| substring_bytes(a);

fn one<'a>(args: &[DatumRef<'a>]) -> Result<&'a str> {
    args.first().copied().ok_or_else(|| wrong_arguments("a string function")).and_then(text_of_datum)
}

fn two<'a>(args: &[DatumRef<'a>]) -> Result<(&'a str, &'a str)> {
    match args {
        [a, b, ..] => Ok((text_of_datum(*a)?, text_of_datum(*b)?)),
        _ => Err(wrong_arguments("a string function")),
    }
}

fn first_int(args: &[DatumRef<'_>]) -> Result<i64> {
    args.first().copied().ok_or_else(|| wrong_arguments("a string function")).and_then(int_of)
}

/// Text, then an integer.
fn text_and_int<'a>(args: &[DatumRef<'a>]) -> Result<(&'a str, i64)> {
    match args {
        [s, n, ..] => Ok((text_of_datum(*s)?, int_of(*n)?)),
        _ => Err(wrong_arguments("a string function")),
    }
}

fn text(args: &[DatumRef<'_>], op: impl Fn(&str) -> String) -> Result<Datum> {
    Ok(Datum::Text(op(one(args)?)))
}

fn texts(args: &[DatumRef<'_>], op: impl Fn(&str, &str) -> String) -> Result<Datum> {
    let (a, b) = two(args)?;
    Ok(Datum::Text(op(a, b)))
}

fn octets(args: &[DatumRef<'_>]) -> Result<i32> {
    match args {
        [DatumRef::Text(s)] => Ok(s.len() as i32),
        [DatumRef::Bytes(b)] => Ok(b.len() as i32),
        _ => Err(wrong_arguments("octet_length")),
    }
}

/// A letter for a letter, as C's `towupper`: what would become several stays.
pub(super) fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

/// The same the other way; only the dotted I would become two.
pub(super) fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn initcap(s: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if inside {
            out.push(lower(c));
        } else {
            out.push(upper(c));
        }
        inside = c.is_alphanumeric();
    }
    out
}

/// The half-open range of positions (from 0) that `substring(.. from start for length)` keeps.
pub(super) fn window(start: i64, length: Option<i64>) -> Result<(usize, usize)> {
    let end = match length {
        Some(length) if length < 0 => {
            return Err(Error::invalid(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(length) => start.saturating_add(length),
        None => i64::MAX,
    };
    let from = start.max(1) - 1;
    Ok((from as usize, (end.max(1) - 1).max(from) as usize))
}

fn substring_args<'a>(args: &[DatumRef<'a>]) -> Result<(DatumRef<'a>, usize, usize)> {
    let (value, start, length) = match args {
        [value, start] => (*value, int_of(*start)?, None),
        [value, start, length] => (*value, int_of(*start)?, Some(int_of(*length)?)),
        _ => return Err(wrong_arguments("substring")),
    };
    let (from, to) = window(start, length)?;
    Ok((value, from, to))
}

fn substring(args: &[DatumRef<'_>]) -> Result<Datum> {
    let (value, from, to) = substring_args(args)?;
    let s = text_of_datum(value)?;
    if s.is_ascii() {
        return Ok(Datum::Text(s[from.min(s.len())..to.min(s.len())].to_owned()));
    }
    Ok(Datum::Text(s.chars().skip(from).take(to - from).collect()))
}

fn substring_bytes(args: &[DatumRef<'_>]) -> Result<Datum> {
    let (DatumRef::Bytes(bytes), from, to) = substring_args(args)? else { return Err(wrong_arguments("substring")) };
    Ok(Datum::Bytes(bytes[from.min(bytes.len())..to.min(bytes.len())].to_vec()))
}

fn left(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, n) = text_and_int(args)?;
    // A negative count drops from the other end.
    let keep = if n >= 0 { n } else { (s.chars().count() as i64 + n).max(0) };
    Ok(Datum::Text(s.chars().take(keep as usize).collect()))
}

fn right(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, n) = text_and_int(args)?;
    let count = s.chars().count() as i64;
    let skip = if n >= 0 { (count - n).max(0) } else { n.saturating_neg().min(count) };
    Ok(Datum::Text(s.chars().skip(skip as usize).collect()))
}

/// The longest string a function may build.
const TEXT_BYTES_MAX: usize = 1 << 30;

fn too_long() -> Error {
    Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "requested length too large")
}

fn pad(args: &[DatumRef<'_>], at_front: bool) -> Result<Datum> {
    let (s, length) = text_and_int(args)?;
    let fill = match args.get(2) {
        Some(fill) => text_of_datum(*fill)?,
        None => " ",
    };
    let length = length.max(0) as usize;
    if length.saturating_mul(4) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    let count = s.chars().count();
    if count >= length || fill.is_empty() {
        return Ok(Datum::Text(s.chars().take(length).collect()));
    }
    let padding: String = fill.chars().cycle().take(length - count).collect();
    Ok(Datum::Text(if at_front { padding + s } else { s.to_owned() + &padding }))
}

fn repeat(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, n) = text_and_int(args)?;
    let n = n.max(0) as usize;
    if s.len().saturating_mul(n) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(Datum::Text(s.repeat(n)))
}

fn three<'a>(args: &[DatumRef<'a>]) -> Result<(&'a str, &'a str, &'a str)> {
    match args {
        [a, b, c] => Ok((text_of_datum(*a)?, text_of_datum(*b)?, text_of_datum(*c)?)),
        _ => Err(wrong_arguments("a string function")),
    }
}

fn replace(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, from, to) = three(args)?;
    Ok(Datum::Text(if from.is_empty() { s.to_owned() } else { s.replace(from, to) }))
}

fn translate(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, from, to) = three(args)?;
    let to: Vec<char> = to.chars().collect();
    let mapped = s.chars().filter_map(|c| match from.chars().position(|f| f == c) {
        None => Some(c),
        Some(at) => to.get(at).copied(),
    });
    Ok(Datum::Text(mapped.collect()))
}

fn overlay(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, with) = two(args)?;
    let start = args.get(2).copied().map(int_of).transpose()?.unwrap_or(1);
    let length = args.get(3).copied().map(int_of).transpose()?.unwrap_or(with.chars().count() as i64);
    if start <= 0 {
        return Err(Error::invalid(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let head: String = s.chars().take(start as usize - 1).collect();
    let tail: String = s.chars().skip((start + length - 1).max(0) as usize).collect();
    Ok(Datum::Text(head + with + &tail))
}

fn split_part(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (s, delimiter) = two(args)?;
    let n = args.get(2).copied().map(int_of).transpose()?.unwrap_or(0);
    if n == 0 {
        return Err(super::invalid_parameter("field position must not be zero"));
    }
    let fields: Vec<&str> = if delimiter.is_empty() { vec![s] } else { s.split(delimiter).collect() };
    let at = if n > 0 { n - 1 } else { fields.len() as i64 + n };
    let field = usize::try_from(at).ok().and_then(|at| fields.get(at)).copied().unwrap_or_default();
    Ok(Datum::Text(field.to_owned()))
}

/// The same without a list of all fields.
pub(super) fn field_at<'a>(s: &'a str, delimiter: &str, n: i64) -> Result<&'a str> {
    let place = |n: i64| usize::try_from(n - 1).unwrap_or(usize::MAX);
    let field = match n {
        0 => return Err(super::invalid_parameter("field position must not be zero")),
        1 | -1 if delimiter.is_empty() => Some(s),
        _ if delimiter.is_empty() => None,
        1.. => s.split(delimiter).nth(place(n)),
        // From the end, but by the same cuts: those of "xyxyx" at "xyx" are found from the start.
        _ => s
            .split(delimiter)
            .count()
            .checked_sub(place(n.saturating_neg()) + 1)
            .and_then(|at| s.split(delimiter).nth(at)),
    };
    Ok(field.unwrap_or_default())
}

/// `\\XXXX`, `\\+XXXXXX`, `\\uXXXX` and `\\UXXXXXXXX` as the characters they stand for.
fn unistr(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let invalid = || {
        Error::invalid(SqlState::SYNTAX_ERROR, "invalid Unicode escape")
            .with_hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.")
    };
    let mut rest = one(args)?;
    let mut out = String::with_capacity(rest.len());
    let mut high: Option<u32> = None;
    while let Some(at) = rest.find('\\') {
        let (plain, tail) = rest.split_at(at);
        if !plain.is_empty() && high.is_some() {
            return Err(Error::syntax("invalid Unicode surrogate pair"));
        }
        out.push_str(plain);
        let tail = tail.get(1..).unwrap_or("");
        if let Some(after) = tail.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (body, digits) = match tail.chars().next() {
            Some('+') => (tail.get(1..).unwrap_or(""), 6),
            Some('u') => (tail.get(1..).unwrap_or(""), 4),
            Some('U') => (tail.get(1..).unwrap_or(""), 8),
            _ => (tail, 4),
        };
        let code = body.get(..digits).and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(invalid)?;
        rest = body.get(digits..).unwrap_or("");
        let code = match (high.take(), code) {
            (None, 0xD800..=0xDBFF) => {
                high = Some(code);
                continue;
            }
            (Some(high), 0xDC00..=0xDFFF) => 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00),
            (Some(_), _) => return Err(Error::syntax("invalid Unicode surrogate pair")),
            (None, code) => code,
        };
        let c = char::from_u32(code).filter(|c| *c != '\0');
        out.push(c.ok_or_else(|| super::invalid_parameter(format!("invalid Unicode code point: {code:04X}")))?);
    }
    if high.is_some() {
        return Err(Error::syntax("invalid Unicode surrogate pair"));
    }
    out.push_str(rest);
    Ok(Datum::Text(out))
}

fn chr(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let code = first_int(args)?;
    let limit = |message: String| Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message);
    if code == 0 {
        return Err(limit("null character not permitted".into()));
    }
    if code < 0 {
        return Err(super::invalid_parameter("character number must be positive"));
    }
    let c = u32::try_from(code).ok().and_then(char::from_u32);
    c.map(|c| Datum::Text(c.to_string()))
        .ok_or_else(|| limit(format!("requested character too large for encoding: {code}")))
}

/// Quoted unless it is a plain lower-case name that is no reserved word.
pub(super) fn quote_ident(s: &str) -> String {
    const RESERVED: &[&str] = &[
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "as",
        "asc",
        "asymmetric",
        "authorization",
        "between",
        "binary",
        "both",
        "case",
        "cast",
        "check",
        "collate",
        "column",
        "constraint",
        "create",
        "cross",
        "current_date",
        "current_time",
        "current_timestamp",
        "current_user",
        "default",
        "deferrable",
        "desc",
        "distinct",
        "do",
        "else",
        "end",
        "except",
        "exists",
        "false",
        "fetch",
        "for",
        "foreign",
        "from",
        "full",
        "grant",
        "group",
        "having",
        "in",
        "initially",
        "inner",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "lateral",
        "leading",
        "left",
        "like",
        "limit",
        "localtime",
        "localtimestamp",
        "natural",
        "not",
        "notnull",
        "null",
        "offset",
        "on",
        "only",
        "or",
        "order",
        "outer",
        "overlaps",
        "placing",
        "primary",
        "references",
        "returning",
        "right",
        "select",
        "session_user",
        "similar",
        "some",
        "symmetric",
        "table",
        "then",
        "to",
        "trailing",
        "true",
        "union",
        "unique",
        "user",
        "using",
        "values",
        "variadic",
        "when",
        "where",
        "window",
        "with",
        "interval",
        "numeric",
        "decimal",
        "integer",
        "int",
        "char",
        "character",
        "boolean",
        "float",
        "real",
        "smallint",
        "bigint",
        "time",
        "timestamp",
        "varchar",
        "bit",
        "coalesce",
        "greatest",
        "least",
        "nullif",
        "row",
        "setof",
        "substring",
        "trim",
        "position",
        "overlay",
        "extract",
        "exists",
        "none",
        "values",
    ];
    let plain = s.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && !RESERVED.contains(&s) { s.to_owned() } else { format!("\"{}\"", s.replace('"', "\"\"")) }
}

pub(super) fn quote_literal(s: &str) -> String {
    let quoted = s.replace('\'', "''").replace('\\', "\\\\");
    if s.contains('\\') { format!("E'{quoted}'") } else { format!("'{quoted}'") }
}
