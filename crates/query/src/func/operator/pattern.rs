//! LIKE, ILIKE, SIMILAR TO and regular expressions.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::logical_expr::{Expr, Like};
use heliosdb_types::{Datum, Error, PhysicalType, Result, SqlState, SqlType};
use parking_lot::Mutex;

use super::super::cast::{cast, is_text};
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

/// Both sides as text. char(n) keeps its padding, which LIKE sees in PostgreSQL too.
fn text_operands(symbol: &str, input: Typed, pattern: Typed, ctx: &FuncContext) -> Result<(Typed, Typed)> {
    let texty = |side: &Typed| is_text(&side.sql_type) || side.is_unknown();
    if !texty(&input) || !texty(&pattern) {
        return Err(undefined(symbol, &input, &pattern));
    }
    let settle = |side: Typed| {
        if side.is_unknown() { cast(side, &SqlType::Text, CastKind::Implicit, ctx) } else { Ok(side) }
    };
    Ok((settle(input)?, settle(pattern)?))
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

pub(crate) type Regex = Arc<regex::Regex>;

/// The regular expression last used: patterns are nearly always one literal.
#[derive(Default)]
struct RegexCache(Mutex<Option<(String, Regex)>>);

impl RegexCache {
    fn get(&self, pattern: &str, case_insensitive: bool) -> Result<Regex> {
        let mut slot = self.0.lock();
        if let Some((known, regex)) = slot.as_ref()
            && known == pattern
        {
            return Ok(regex.clone());
        }
        let regex = compile_regex(pattern, case_insensitive)?;
        *slot = Some((pattern.to_owned(), regex.clone()));
        Ok(regex)
    }
}

/// How an expression is read and matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegexOptions {
    pub case_insensitive: bool,
    /// A dot does not match the end of a line.
    pub dot_stops: bool,
    /// `^` and `$` match at every line.
    pub lines: bool,
    /// Blanks and comments in the expression do not count.
    pub expanded: bool,
    /// The expression is the text to find.
    pub literal: bool,
}

/// PostgreSQL's advanced regular expression as Rust's. Look-around and back-references do not exist there: 0A000.
fn compile_regex(pattern: &str, case_insensitive: bool) -> Result<Regex> {
    compile(pattern, RegexOptions { case_insensitive, ..RegexOptions::default() })
}

/// What a class of characters is among those beyond ASCII, to stand inside brackets; `None`: as Rust's, of ASCII alone.
fn letters(class: &str) -> Option<&'static str> {
    Some(match class {
        "alpha" => r"\p{Alphabetic}",
        "alnum" => r"\p{Alphabetic}\p{Nd}",
        "lower" => r"\p{Lowercase}",
        "upper" => r"\p{Uppercase}",
        "punct" => r"\p{P}\p{S}",
        _ => return None,
    })
}

/// The same with every option. Patterns are nearly always one literal, so each thread keeps the last one.
pub(crate) fn compile_regex_with(pattern: &str, options: RegexOptions) -> Result<Regex> {
    thread_local! {
        static LAST: RefCell<Option<(String, RegexOptions, Regex)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((known, with, regex)) = last
            && known == pattern
            && *with == options
        {
            return Ok(regex.clone());
        }
        let regex = compile(pattern, options)?;
        *last = Some((pattern.to_owned(), options, regex.clone()));
        Ok(regex)
    })
}

fn compile(pattern: &str, options: RegexOptions) -> Result<Regex> {
    let translated = if options.literal { regex::escape(pattern) } else { translate(pattern)? };
    let regex = regex::RegexBuilder::new(&translated)
        .case_insensitive(options.case_insensitive)
        .dot_matches_new_line(!options.dot_stops)
        .multi_line(options.lines)
        .ignore_whitespace(options.expanded)
        .size_limit(1 << 24)
        .build();
    regex.map(Arc::new).map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let reason = match reason.as_str() {
            "unclosed group" | "unopened group" => "parentheses () not balanced",
            "unclosed character class" => "brackets [] not balanced",
            "repetition operator missing expression" => "quantifier operand invalid",
            other => other,
        };
        Error::invalid(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: {reason}"))
    })
}

fn translate(pattern: &str) -> Result<String> {
    let unsupported = |what: &str| Error::unsupported(format!("{what} in a regular expression"));
    if pattern.starts_with("***") {
        return Err(unsupported("a director (***)"));
    }
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut class_depth = 0;
    while let Some(c) = chars.next() {
        match c {
            '\\' if class_depth == 0 => match chars.next() {
                Some('m') => out.push_str(r"\b{start}"),
                Some('M') => out.push_str(r"\b{end}"),
                Some('y') => out.push_str(r"\b"),
                Some('Y') => out.push_str(r"\B"),
                Some('Z') => out.push_str(r"\z"),
                Some('1'..='9') => return Err(unsupported("a back-reference")),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => {
                    return Err(Error::invalid(
                        SqlState::INVALID_REGULAR_EXPRESSION,
                        "invalid regular expression: invalid escape \\ sequence",
                    ));
                }
            },
            '(' if class_depth == 0 && chars.peek() == Some(&'?') => {
                let rest: String = chars.clone().take(3).collect();
                if rest.starts_with("?=")
                    || rest.starts_with("?!")
                    || rest.starts_with("?<=")
                    || rest.starts_with("?<!")
                {
                    return Err(unsupported("look-around"));
                }
                out.push('(');
            }
            '[' if class_depth == 0 => {
                class_depth = 1;
                out.push('[');
                // A bracket or a caret and a bracket right at the start are members.
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str(r"\]");
                }
            }
            '[' if matches!(chars.peek(), Some(':')) => {
                // [:alpha:] up to its end.
                chars.next();
                let mut name = String::new();
                while let Some(inner) = chars.next() {
                    if inner == ':' && chars.peek() == Some(&']') {
                        chars.next();
                        break;
                    }
                    name.push(inner);
                }
                match letters(&name) {
                    Some(letters) => out.push_str(letters),
                    None => out.extend(["[:", &name, ":]"]),
                }
            }
            '[' => out.push_str(r"\["),
            ']' if class_depth == 1 => {
                class_depth = 0;
                out.push(']');
            }
            // Set operators of Rust's classes are plain characters in PostgreSQL's.
            '&' | '~' if class_depth == 1 => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    Ok(out)
}
