//! Regular expression functions.

use heliosdb_types::{Datum, DatumRef, Result, TextContext};

use super::super::operator::compile_regex;
use super::super::value::{int_of, text_of_datum};
use super::T::{Bool, Int4, Text};
use super::{Overload, invalid_parameter, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("regexp_replace", &[Text, Text, Text], Text, regexp_replace),
    ("regexp_replace", &[Text, Text, Text, Text], Text, regexp_replace),
    ("regexp_like", &[Text, Text], Bool, regexp_like),
    ("regexp_like", &[Text, Text, Text], Bool, regexp_like),
    ("regexp_count", &[Text, Text], Int4, regexp_count),
    ("regexp_count", &[Text, Text, Int4], Int4, regexp_count),
    ("regexp_substr", &[Text, Text], Text, regexp_substr),
    ("substring", &[Text, Text], Text, substring),
];

/// Text arrays come from [`special`](super::special): they need an array type.
pub(super) fn regexp_match(text: &str, pattern: &str, flags: &str) -> Result<Datum> {
    let regex = compile_regex(pattern, case_insensitive(flags, "")?)?;
    let Some(found) = regex.captures(text) else { return Ok(Datum::Null) };
    let groups: Vec<Option<&str>> = if found.len() == 1 {
        vec![found.get(0).map(|m| m.as_str())]
    } else {
        found.iter().skip(1).map(|group| group.map(|m| m.as_str())).collect()
    };
    heliosdb_types::text_array(groups)
}

/// Understands `i` and `c`, and the flags in `also`.
fn case_insensitive(flags: &str, also: &str) -> Result<bool> {
    let mut insensitive = false;
    for flag in flags.chars() {
        match flag {
            'i' => insensitive = true,
            'c' => insensitive = false,
            flag if also.contains(flag) => {}
            'n' | 'm' | 'p' | 'w' | 'x' | 'b' | 'e' | 'q' | 's' | 't' => {
                return Err(heliosdb_types::Error::unsupported(format!("regular expression option \"{flag}\"")));
            }
            flag => return Err(invalid_parameter(format!("invalid regular expression option: \"{flag}\""))),
        }
    }
    Ok(insensitive)
}

fn text_at<'a>(args: &[DatumRef<'a>], at: usize) -> Result<&'a str> {
    args.get(at).copied().ok_or_else(|| wrong_arguments("a regular expression function")).and_then(text_of_datum)
}

fn regexp_replace(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (text, pattern, replacement) = (text_at(args, 0)?, text_at(args, 1)?, text_at(args, 2)?);
    let flags = if args.len() > 3 { text_at(args, 3)? } else { "" };
    let regex = compile_regex(pattern, case_insensitive(flags, "g")?)?;
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for found in regex.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[end..whole.start()]);
        expand(replacement, &found, &mut out);
        end = whole.end();
        if !flags.contains('g') {
            break;
        }
    }
    out.push_str(&text[end..]);
    Ok(Datum::Text(out))
}

/// `\1`..`\9` and `\&` in a replacement; `\\` is a backslash.
fn expand(replacement: &str, found: &regex::Captures<'_>, out: &mut String) {
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('&') => out.push_str(found.get(0).map_or("", |m| m.as_str())),
            Some(digit @ '1'..='9') => {
                let group = digit as usize - '0' as usize;
                out.push_str(found.get(group).map_or("", |m| m.as_str()));
            }
            Some('\\') | None => out.push('\\'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
        }
    }
}

fn regexp_like(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let flags = if args.len() > 2 { text_at(args, 2)? } else { "" };
    let regex = compile_regex(text_at(args, 1)?, case_insensitive(flags, "")?)?;
    Ok(Datum::Bool(regex.is_match(text_at(args, 0)?)))
}

fn regexp_count(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let start = args.get(2).copied().map(int_of).transpose()?.unwrap_or(1);
    if start <= 0 {
        return Err(invalid_parameter(format!("invalid value for parameter \"start\": {start}")));
    }
    let text: String = text_at(args, 0)?.chars().skip(start as usize - 1).collect();
    Ok(Datum::Int32(compile_regex(text_at(args, 1)?, false)?.find_iter(&text).count() as i32))
}

fn regexp_substr(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let found = compile_regex(text_at(args, 1)?, false)?;
    Ok(found.find(text_at(args, 0)?).map_or(Datum::Null, |m| Datum::Text(m.as_str().to_owned())))
}

/// `substring(text from pattern)`: the first group, or the whole match if there is none.
fn substring(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let regex = compile_regex(text_at(args, 1)?, false)?;
    let Some(found) = regex.captures(text_at(args, 0)?) else { return Ok(Datum::Null) };
    let part = if found.len() > 1 { found.get(1) } else { found.get(0) };
    Ok(part.map_or(Datum::Null, |m| Datum::Text(m.as_str().to_owned())))
}
