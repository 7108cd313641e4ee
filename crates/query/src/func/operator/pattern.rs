//! LIKE, ILIKE, SIMILAR TO and regular expressions.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, Like};
use heliosdb_types::{Datum, Error, PhysicalType, Result, SqlState, SqlType};
use parking_lot::Mutex;

use super::super::cast::{cast, is_text};
use super::super::regex::{Regex, RegexOptions};
use super::super::udf::Function;
use super::super::value::{text_literal, text_of_datum};
use super::super::{CastKind, FuncContext, Typed};
use super::undefined;

/// `x [NOT] LIKE|ILIKE pattern [ESCAPE c]`; `escape` `None` is a backslash, `Some(None)` no escape at all.
pub fn like(
    negated: bool,
    case_insensitive: bool,
    input: Typed,
    pattern: Typed,
    escape: Option<Option<char>>,
    ctx: &FuncContext,
) -> Result<Typed> {
    let symbol = match (negated, case_insensitive) {
        (false, false) => "~~",
        (true, false) => "!~~",
        (false, true) => "~~*",
        (true, true) => "!~~*",
    };
    let (input, pattern) = text_operands(symbol, input, pattern, ctx)?;
    let pattern = match pattern.literal_datum() {
        Some(Datum::Text(text)) if is_whole(&with_backslash(&text, escape)) => {
            text_literal(&with_backslash(&text, escape), SqlType::Text)
        }
        Some(Datum::Null) => pattern,
        _ => {
            let key = format!("like_pattern {escape:?} {case_insensitive}");
            let text = PhysicalType::Text;
            let function = Function::strict("like_pattern", key, vec![text; 2], text, move |args| match args {
                [input, pattern] => {
                    let pattern = with_backslash(text_of_datum(*pattern)?, escape);
                    check_whole(text_of_datum(*input)?, &pattern, case_insensitive)?;
                    Ok(Datum::Text(pattern))
                }
                _ => Err(Error::internal("an input and a pattern")),
            });
            Typed::new(function.call(vec![input.expr.clone(), pattern.expr]), SqlType::Text)
        }
    };
    let like = Like::new(negated, Box::new(input.expr), Box::new(pattern.expr), None, case_insensitive);
    Ok(Typed::new(Expr::Like(like), SqlType::Bool))
}

/// Both sides as text. As in PostgreSQL the input keeps the padding of char(n), and the pattern, which is cast, loses it.
fn text_operands(symbol: &str, input: Typed, pattern: Typed, ctx: &FuncContext) -> Result<(Typed, Typed)> {
    let texty = |side: &Typed| is_text(&side.sql_type) || side.is_unknown();
    if !texty(&input) || !texty(&pattern) {
        return Err(undefined(symbol, &input, &pattern));
    }
    let as_text = |side: Typed| cast(side, &SqlType::Text, CastKind::Implicit, ctx);
    Ok((if input.is_unknown() { as_text(input)? } else { input }, as_text(pattern)?))
}

/// Whether a pattern that escapes with backslashes does not end in one that escapes nothing.
fn is_whole(pattern: &str) -> bool {
    pattern.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
}

/// A pattern that ends in an escape character is an error once a text goes on where the pattern ends.
fn check_whole(input: &str, pattern: &str, case_insensitive: bool) -> Result<()> {
    if is_whole(pattern) {
        return Ok(());
    }
    // The rest of the text is what the escape character would be compared with.
    let longer = format!("{}_%", pattern.strip_suffix('\\').unwrap_or(pattern));
    let (input, longer) = match case_insensitive {
        true => (input.to_lowercase(), longer.to_lowercase()),
        false => (input.to_owned(), longer),
    };
    match is_like(&input.chars().collect::<Vec<_>>(), &longer.chars().collect::<Vec<_>>()) {
        false => Ok(()),
        true => {
            Err(Error::invalid(SqlState::INVALID_ESCAPE_SEQUENCE, "LIKE pattern must not end with escape character"))
        }
    }
}

/// LIKE for the few texts compared with such a pattern. Going back to the last `%` is enough, so the time is bounded by the product of
/// the lengths.
fn is_like(input: &[char], pattern: &[char]) -> bool {
    let (mut at, mut wanted) = (0, 0);
    // Where to go on after a `%`: with one character more under it.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let matched = match pattern.get(wanted) {
            Some('%') => {
                retry = Some((at, wanted + 1));
                wanted += 1;
                continue;
            }
            None if at == input.len() => return true,
            None => None,
            Some('_') => input.get(at).map(|_| 1),
            Some('\\') => (pattern.get(wanted + 1).is_some() && input.get(at) == pattern.get(wanted + 1)).then_some(2),
            Some(plain) => (input.get(at) == Some(plain)).then_some(1),
        };
        match (matched, retry) {
            (Some(step), _) => (at, wanted) = (at + 1, wanted + step),
            (None, Some((from, after))) if from < input.len() => {
                retry = Some((from + 1, after));
                (at, wanted) = (from + 1, after);
            }
            (None, _) => return false,
        }
    }
}

/// Rewrites a LIKE pattern to escape with a backslash.
fn with_backslash(pattern: &str, escape: Option<Option<char>>) -> String {
    let escape = escape.unwrap_or(Some('\\'));
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let escaped = chars.next();
            if matches!(escaped, None | Some('%' | '_' | '\\')) {
                out.push('\\');
            }
            out.extend(escaped);
        } else {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out
}

pub fn similar_to(
    negated: bool,
    input: Typed,
    pattern: Typed,
    escape: Option<Option<char>>,
    ctx: &FuncContext,
) -> Result<Typed> {
    let (input, pattern) = text_operands(if negated { "!~" } else { "~" }, input, pattern, ctx)?;
    let Some(value) = pattern.literal_datum() else {
        return Err(Error::unsupported("SIMILAR TO with a pattern that is not a literal"));
    };
    let Datum::Text(text) = value else { return super::super::value::null_of(&SqlType::Bool) };
    let regex = similar_to_regex(&text, escape.unwrap_or(Some('\\')))?;
    let regex = text_literal(&regex, SqlType::Text);
    Ok(regex_call("similar_to", input.expr, regex, false, negated))
}

/// SQL's regular expressions: `%` and `_` as in LIKE, `| * + ? { } ( ) [ ]` as in POSIX, the whole string must match.
fn similar_to_regex(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            let escaped = chars.next().ok_or_else(|| {
                Error::invalid(
                    SqlState::INVALID_ESCAPE_SEQUENCE,
                    "SIMILAR TO pattern must not end with escape character",
                )
            })?;
            if !escaped.is_alphanumeric() {
                out.push('\\');
            }
            out.push(escaped);
            continue;
        }
        match c {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        match c {
            '%' if !in_class => out.push_str(".*"),
            '_' if !in_class => out.push('.'),
            '(' if !in_class => out.push_str("(?:"),
            '.' | '^' | '$' | '\\' if !in_class => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out.push_str(")$");
    Ok(out)
}

/// `~ ~* !~ !~*`.
pub(super) fn regex_match(symbol: &'static str, input: Typed, pattern: Typed, ctx: &FuncContext) -> Result<Typed> {
    let (input, pattern) = text_operands(symbol, input, pattern, ctx)?;
    // A cast would take char(n)'s padding, which PostgreSQL's operators of it see.
    let input = match input.sql_type {
        SqlType::Char(_) => input,
        _ => cast(input, &SqlType::Text, CastKind::Implicit, ctx)?,
    };
    let pattern = cast(pattern, &SqlType::Text, CastKind::Implicit, ctx)?;
    Ok(regex_call(symbol, input.expr, pattern, symbol.ends_with('*'), symbol.starts_with('!')))
}

/// A match of `input` against `pattern` as a boolean.
fn regex_call(name: &str, input: Expr, pattern: Typed, case_insensitive: bool, negated: bool) -> Typed {
    let cache = RegexCache::default();
    let types = vec![PhysicalType::Text; 2];
    let key = format!("{name} {case_insensitive} {negated}");
    let function = Function::strict(name, key, types, PhysicalType::Bool, move |args| {
        let [text, pattern] = args else { return Err(Error::internal("two operands")) };
        let regex = cache.get(text_of_datum(*pattern)?, case_insensitive)?;
        Ok(Datum::Bool(regex.is_match(text_of_datum(*text)?) != negated))
    });
    Typed::new(function.call(vec![input, pattern.expr]), SqlType::Bool)
}

/// The regular expression last used: patterns are nearly always one literal.
#[derive(Default)]
struct RegexCache(Mutex<Option<(String, Arc<Regex>)>>);

impl RegexCache {
    fn get(&self, pattern: &str, case_insensitive: bool) -> Result<Arc<Regex>> {
        let mut slot = self.0.lock();
        if let Some((known, regex)) = slot.as_ref()
            && known == pattern
        {
            return Ok(regex.clone());
        }
        let regex = Arc::new(Regex::new(pattern, RegexOptions { case_insensitive, ..RegexOptions::default() })?);
        *slot = Some((pattern.to_owned(), regex.clone()));
        Ok(regex)
    }
}
