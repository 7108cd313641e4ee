//! Regular expression functions.

use std::ops::Range;
use std::sync::Arc;

use heliosdb_types::{Datum, DatumRef, Error, Result, TextContext, text_array};

use super::super::regex::{self, Captures, Regex, RegexOptions};
use super::super::value::{int_of, text_of_datum};
use super::T::{Bool, Int4, Text};
use super::{Overload, invalid_parameter, wrong_arguments};

pub(super) const FUNCTIONS: &[Overload] = &[
    ("regexp_replace", &[Text, Text, Text], Text, regexp_replace),
    ("regexp_replace", &[Text, Text, Text, Text], Text, regexp_replace),
    ("regexp_replace", &[Text, Text, Text, Int4], Text, regexp_replace),
    ("regexp_replace", &[Text, Text, Text, Int4, Int4], Text, regexp_replace),
    ("regexp_replace", &[Text, Text, Text, Int4, Int4, Text], Text, regexp_replace),
    ("regexp_like", &[Text, Text], Bool, regexp_like),
    ("regexp_like", &[Text, Text, Text], Bool, regexp_like),
    ("regexp_count", &[Text, Text], Int4, regexp_count),
    ("regexp_count", &[Text, Text, Int4], Int4, regexp_count),
    ("regexp_count", &[Text, Text, Int4, Text], Int4, regexp_count),
    ("regexp_instr", &[Text, Text], Int4, regexp_instr),
    ("regexp_instr", &[Text, Text, Int4], Int4, regexp_instr),
    ("regexp_instr", &[Text, Text, Int4, Int4], Int4, regexp_instr),
    ("regexp_instr", &[Text, Text, Int4, Int4, Int4], Int4, regexp_instr),
    ("regexp_instr", &[Text, Text, Int4, Int4, Int4, Text], Int4, regexp_instr),
    ("regexp_instr", &[Text, Text, Int4, Int4, Int4, Text, Int4], Int4, regexp_instr),
    ("regexp_substr", &[Text, Text], Text, regexp_substr),
    ("regexp_substr", &[Text, Text, Int4], Text, regexp_substr),
    ("regexp_substr", &[Text, Text, Int4, Int4], Text, regexp_substr),
    ("regexp_substr", &[Text, Text, Int4, Int4, Text], Text, regexp_substr),
    ("regexp_substr", &[Text, Text, Int4, Int4, Text, Int4], Text, regexp_substr),
    ("substring", &[Text, Text], Text, substring),
    ("substring", &[Text, Text, Text], Text, |_, _| {
        Err(Error::unsupported("substring(text SIMILAR pattern ESCAPE escape)")
            .with_hint("For a part of the text by position, cast the position and length to integer."))
    }),
];

/// The groups of a match, or the whole of it if there are none.
fn groups<'t>(found: &Captures<'t>) -> Vec<Option<&'t str>> {
    if found.len() == 1 {
        return vec![found.get(0)];
    }
    (1..found.len()).map(|group| found.get(group)).collect()
}

/// Text arrays come from [`special`](super::special): they need an array type.
pub(super) fn regexp_match(text: &str, pattern: &str, flags: &str) -> Result<Datum> {
    let flags = Flags::parse(flags)?;
    flags.refuse_global("regexp_match", Some("Use the regexp_matches function instead."))?;
    match flags.compile(pattern)?.captures(text)? {
        Some(found) => text_array(groups(&found)),
        None => Ok(Datum::Null),
    }
}

/// What `regexp_matches` gives: the groups of the first match, of all with `g`.
pub(in crate::func) fn regexp_matches(text: &str, pattern: &str, flags: &str) -> Result<Vec<Datum>> {
    let flags = Flags::parse(flags)?;
    let regex = flags.compile(pattern)?;
    let found = regex.matches(text, 0).take(if flags.global { usize::MAX } else { 1 });
    found.map(|whole| text_array(groups(&regex.groups(text, whole?)?))).collect()
}

/// The parts between matches. Empty matches at either end and right after another match separate nothing.
pub(in crate::func) fn regexp_split<'t>(name: &str, text: &'t str, pattern: &str, flags: &str) -> Result<Vec<&'t str>> {
    let flags = Flags::parse(flags)?;
    flags.refuse_global(name, None)?;
    let regex = flags.compile(pattern)?;
    let (mut parts, mut from) = (Vec::new(), 0);
    for found in regex.matches(text, 0) {
        let found = found?;
        if found.is_empty() && (found.start == from || found.start == text.len()) {
            continue;
        }
        parts.push(text.get(from..found.start).unwrap_or(""));
        from = found.end;
    }
    parts.push(text.get(from..).unwrap_or(""));
    Ok(parts)
}

/// The flags of a call.
struct Flags {
    global: bool,
    options: RegexOptions,
}

impl Flags {
    fn parse(flags: &str) -> Result<Flags> {
        let mut parsed = Flags { global: false, options: RegexOptions::default() };
        for flag in flags.chars() {
            if flag == 'g' {
                parsed.global = true;
            } else if !parsed.options.set(flag)? {
                return Err(invalid_parameter(format!("invalid regular expression option: \"{flag}\"")));
            }
        }
        Ok(parsed)
    }

    fn refuse_global(&self, name: &str, hint: Option<&str>) -> Result<()> {
        if !self.global {
            return Ok(());
        }
        let error = invalid_parameter(format!("{name}() does not support the \"global\" option"));
        Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    fn compile(&self, pattern: &str) -> Result<Arc<Regex>> {
        regex::compile(pattern, self.options)
    }
}

fn text_at<'a>(args: &[DatumRef<'a>], at: usize) -> Result<&'a str> {
    args.get(at).copied().ok_or_else(|| wrong_arguments("a regular expression function")).and_then(text_of_datum)
}

/// A number at least `least`; `default` where it is not given.
fn number_at(args: &[DatumRef<'_>], at: usize, name: &str, least: i64, default: i64) -> Result<usize> {
    let value = args.get(at).copied().map_or(Ok(default), int_of)?;
    match usize::try_from(value) {
        Ok(number) if value >= least => Ok(number),
        _ => Err(invalid_parameter(format!("invalid value for parameter \"{name}\": {value}"))),
    }
}

fn flags_at(args: &[DatumRef<'_>], at: usize) -> Result<Flags> {
    Flags::parse(if args.len() > at { text_at(args, at)? } else { "" })
}

/// Where the character number `start` (from 1) begins; `None` beyond the end.
fn offset(text: &str, start: usize) -> Option<usize> {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.nth(start - 1)
}

fn regexp_replace(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let (text, pattern, replacement) = (text_at(args, 0)?, text_at(args, 1)?, text_at(args, 2)?);
    // With a start, the match to replace is chosen by number; 0 is all of them.
    let (flags, start, nth) = match args.get(3) {
        Some(DatumRef::Text(flags)) => {
            if let Some(digit) = flags.chars().next().filter(char::is_ascii_digit) {
                return Err(invalid_parameter(format!("invalid regular expression option: \"{digit}\""))
                    .with_hint("If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly."));
            }
            let flags = Flags::parse(flags)?;
            let nth = usize::from(!flags.global);
            (flags, 1, nth)
        }
        Some(_) => {
            let start = number_at(args, 3, "start", 1, 1)?;
            let flags = flags_at(args, 5)?;
            let default = i64::from(!flags.global);
            (flags, start, number_at(args, 4, "n", 0, default)?)
        }
        None => (Flags::parse("")?, 1, 1),
    };
    let regex = flags.compile(pattern)?;
    let Some(from) = offset(text, start) else { return Ok(Datum::Text(text.to_owned())) };
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (at, found) in regex.matches(text, from).enumerate() {
        let whole = found?;
        if nth == 0 || at + 1 == nth {
            out.push_str(text.get(end..whole.start).unwrap_or(""));
            end = whole.end;
            expand(replacement, &regex.groups(text, whole)?, &mut out);
        }
        if at + 1 == nth {
            break;
        }
    }
    out.push_str(text.get(end..).unwrap_or(""));
    Ok(Datum::Text(out))
}

/// `\1`..`\9` and `\&` in a replacement; `\\` is a backslash.
fn expand(replacement: &str, found: &Captures<'_>, out: &mut String) {
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('&') => out.push_str(found.get(0).unwrap_or("")),
            Some(digit @ '1'..='9') => {
                let group = digit as usize - '0' as usize;
                out.push_str(found.get(group).unwrap_or(""));
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
    let flags = flags_at(args, 2)?;
    flags.refuse_global("regexp_like", None)?;
    Ok(Datum::Bool(flags.compile(text_at(args, 1)?)?.is_match(text_at(args, 0)?)))
}

fn regexp_count(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let text = text_at(args, 0)?;
    let start = number_at(args, 2, "start", 1, 1)?;
    let flags = flags_at(args, 3)?;
    flags.refuse_global("regexp_count", None)?;
    let regex = flags.compile(text_at(args, 1)?)?;
    let Some(from) = offset(text, start) else { return Ok(Datum::Int32(0)) };
    // A position inside the text: what stands before it still counts for ^ and \b.
    let count = regex.matches(text, from).try_fold(0i32, |count, found| found.map(|_| count.saturating_add(1)))?;
    Ok(Datum::Int32(count))
}

/// The `n`-th match from `start` on; its group `group`, 0 being the whole.
fn nth_match(regex: &Regex, text: &str, start: usize, n: usize, group: usize) -> Result<Option<Range<usize>>> {
    let Some(from) = offset(text, start) else { return Ok(None) };
    let Some(whole) = regex.matches(text, from).nth(n - 1).transpose()? else { return Ok(None) };
    let found = regex.groups(text, whole)?;
    // A pattern without groups has one: all of it.
    Ok(if group == 1 && found.len() == 1 { found.range(0) } else { found.range(group) })
}

fn regexp_instr(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let text = text_at(args, 0)?;
    let (start, n) = (number_at(args, 2, "start", 1, 1)?, number_at(args, 3, "n", 1, 1)?);
    let end = args.get(4).copied().map_or(Ok(0), int_of)?;
    if !(0..=1).contains(&end) {
        return Err(invalid_parameter(format!("invalid value for parameter \"endoption\": {end}")));
    }
    let flags = flags_at(args, 5)?;
    flags.refuse_global("regexp_instr", None)?;
    let group = number_at(args, 6, "subexpr", 0, 0)?;
    let regex = flags.compile(text_at(args, 1)?)?;
    let found = nth_match(&regex, text, start, n, group)?;
    Ok(Datum::Int32(found.map_or(0, |found| {
        let at = if end == 1 { found.end } else { found.start };
        text.get(..at).map_or(0, |before| before.chars().count() as i32 + 1)
    })))
}

fn regexp_substr(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let text = text_at(args, 0)?;
    let (start, n) = (number_at(args, 2, "start", 1, 1)?, number_at(args, 3, "n", 1, 1)?);
    let flags = flags_at(args, 4)?;
    flags.refuse_global("regexp_substr", None)?;
    let group = number_at(args, 5, "subexpr", 0, 0)?;
    let regex = flags.compile(text_at(args, 1)?)?;
    let found = nth_match(&regex, text, start, n, group)?;
    Ok(found.and_then(|found| text.get(found)).map_or(Datum::Null, |found| Datum::Text(found.to_owned())))
}

/// `substring(text from pattern)`: the first group, or the whole match if there is none.
fn substring(args: &[DatumRef<'_>], _: &TextContext) -> Result<Datum> {
    let regex = Flags::parse("")?.compile(text_at(args, 1)?)?;
    let Some(found) = regex.captures(text_at(args, 0)?)? else { return Ok(Datum::Null) };
    let part = if found.len() > 1 { found.get(1) } else { found.get(0) };
    Ok(part.map_or(Datum::Null, |part| Datum::Text(part.to_owned())))
}
