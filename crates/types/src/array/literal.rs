//! Arrays as text: `{1,NULL,"a b"}`, `{{1,2},{3,4}}`, `[0:1]={a,b}`.

use std::fmt::Write;

use super::{ARRAY_DIMENSIONS_MAX, ArrayBuilder, ArrayView, Dimension, too_many_dimensions};
use crate::text::is_space;
use crate::{DatumRef, Error, Result, SqlState, SqlType, TextContext, parse_text, write_text};

/// Reads an array literal, with PostgreSQL's messages.
pub fn parse_array(element: &SqlType, text: &str, ctx: &TextContext) -> Result<Vec<u8>> {
    let mut cursor = Cursor { text, at: 0 };
    let declared = declared_dimensions(&mut cursor)?;
    cursor.skip_space();
    if declared.is_empty() {
        if cursor.peek() != Some('{') {
            return Err(cursor.malformed("Array value must start with \"{\" or dimension information."));
        }
    } else {
        if !cursor.take('=') {
            return Err(cursor.malformed("Missing \"=\" after array dimensions."));
        }
        cursor.skip_space();
        if cursor.peek() != Some('{') {
            return Err(cursor.malformed("Array contents must start with \"{\"."));
        }
    }
    let mut builder = ArrayBuilder::new(element)?;
    let lengths = contents(&mut cursor, |value| match value {
        Some(value) => builder.push(parse_text(element, &value, ctx)?.as_ref()),
        None => builder.push(DatumRef::Null),
    })?;
    if declared.is_empty() {
        let dimensions = lengths.into_iter().map(Dimension::of).collect::<Result<Vec<_>>>()?;
        return builder.finish_as(&dimensions);
    }
    if declared.len() != lengths.len() || declared.iter().zip(&lengths).any(|(d, length)| d.length as usize != *length)
    {
        return Err(cursor.malformed("Specified array dimensions do not match array contents."));
    }
    builder.finish_as(&declared)
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.next();
        }
    }

    fn malformed(&self, detail: impl Into<String>) -> Error {
        let message = format!("malformed array literal: \"{}\"", self.text);
        Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message).with_detail(detail)
    }

    fn unexpected(&self, c: char) -> Error {
        self.malformed(format!("Unexpected \"{c}\" character."))
    }

    /// Digits and signs, read as C's atoi does; `None` if there are none.
    fn integer(&mut self) -> Option<i32> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit() || matches!(c, '-' | '+')) {
            self.next();
        }
        let text = self.text.get(start..self.at).filter(|text| !text.is_empty())?;
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let digits = digits.split(['-', '+']).next().unwrap_or("");
        let value = digits.bytes().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1 << 40));
        Some((sign * value).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }
}

/// `[1:2][3]`, if it is there.
fn declared_dimensions(cursor: &mut Cursor<'_>) -> Result<Vec<Dimension>> {
    let mut dimensions = Vec::new();
    loop {
        cursor.skip_space();
        if !cursor.take('[') {
            return Ok(dimensions);
        }
        if dimensions.len() >= ARRAY_DIMENSIONS_MAX {
            return Err(too_many_dimensions(dimensions.len() + 1));
        }
        let first = cursor
            .integer()
            .ok_or_else(|| cursor.malformed("\"[\" must introduce explicitly-specified array dimensions."))?;
        let (lower, upper) = if cursor.take(':') {
            (first, cursor.integer().ok_or_else(|| cursor.malformed("Missing array dimension value."))?)
        } else {
            (1, first)
        };
        if !cursor.take(']') {
            return Err(cursor.malformed("Missing \"]\" after array dimensions."));
        }
        let Ok(length) = usize::try_from(i64::from(upper) - i64::from(lower) + 1) else {
            let message = "upper bound cannot be less than lower bound";
            return Err(Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        };
        if length == 0 {
            let message = "upper bound cannot be less than lower bound";
            return Err(Error::invalid(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        }
        dimensions.push(Dimension::new(length, lower)?);
    }
}

/// What came last. Names as in PostgreSQL's `ArrayCount`, whose rules these are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    NoLevel,
    LevelStarted,
    ElementCompleted,
    QuotedElementCompleted,
    ElementDelimited,
    LevelCompleted,
    LevelDelimited,
}

/// Reads `{...}`, gives each element to `found` (`None` is NULL), and returns the lengths of the dimensions (none: no elements).
fn contents(cursor: &mut Cursor<'_>, mut found: impl FnMut(Option<String>) -> Result<()>) -> Result<Vec<usize>> {
    let mut lengths: Vec<usize> = Vec::new();
    // Items of the levels that are open now.
    let mut open: Vec<usize> = Vec::new();
    let mut state = State::NoLevel;
    // Levels around the elements; zero before the first.
    let mut depth_of_elements = 0;
    loop {
        let Some(c) = cursor.peek() else { return Err(cursor.malformed("Unexpected end of input.")) };
        match c {
            '{' => {
                if !matches!(state, State::NoLevel | State::LevelStarted | State::LevelDelimited) {
                    return Err(cursor.unexpected('{'));
                }
                state = State::LevelStarted;
                if open.len() >= ARRAY_DIMENSIONS_MAX {
                    return Err(too_many_dimensions(open.len() + 1));
                }
                open.push(1);
                cursor.next();
            }
            '}' => {
                let complete =
                    matches!(state, State::ElementCompleted | State::QuotedElementCompleted | State::LevelCompleted)
                        || (open.len() == 1 && state == State::LevelStarted);
                if !complete {
                    return Err(cursor.unexpected('}'));
                }
                let Some(items) = open.pop() else { return Err(cursor.malformed("Unmatched \"}\" character.")) };
                let items = if state == State::LevelStarted { 0 } else { items };
                state = State::LevelCompleted;
                // The innermost level is the first to end.
                let depth = open.len();
                if lengths.len() <= depth {
                    let missing = depth + 1 - lengths.len();
                    lengths.extend(std::iter::repeat_n(usize::MAX, missing));
                }
                match lengths.get_mut(depth) {
                    Some(length) if *length == usize::MAX => *length = items,
                    Some(length) if *length == items => {}
                    _ => {
                        let detail = "Multidimensional arrays must have sub-arrays with matching dimensions.";
                        return Err(cursor.malformed(detail));
                    }
                }
                cursor.next();
                if open.is_empty() {
                    break;
                }
            }
            ',' => {
                let complete =
                    matches!(state, State::ElementCompleted | State::QuotedElementCompleted | State::LevelCompleted);
                if !complete {
                    return Err(cursor.unexpected(','));
                }
                state = if state == State::LevelCompleted { State::LevelDelimited } else { State::ElementDelimited };
                if let Some(items) = open.last_mut() {
                    *items += 1;
                }
                cursor.next();
            }
            c if is_space(c) => {
                cursor.next();
            }
            _ => {
                if !matches!(state, State::LevelStarted | State::ElementDelimited) {
                    return Err(if c == '\\' && state != State::QuotedElementCompleted {
                        cursor.unexpected('\\')
                    } else {
                        cursor.malformed("Unexpected array element.")
                    });
                }
                let depth = open.len();
                if depth_of_elements != 0 && depth_of_elements != depth {
                    let detail = "Multidimensional arrays must have sub-arrays with matching dimensions.";
                    return Err(cursor.malformed(detail));
                }
                depth_of_elements = depth;
                let (value, quoted) = element(cursor)?;
                let null = !quoted && value.eq_ignore_ascii_case("null");
                found((!null).then_some(value))?;
                state = if quoted { State::QuotedElementCompleted } else { State::ElementCompleted };
            }
        }
    }
    while let Some(c) = cursor.next() {
        if !is_space(c) {
            return Err(cursor.malformed("Junk after closing right brace."));
        }
    }
    Ok(if depth_of_elements > 0 { lengths } else { Vec::new() })
}

/// An element's text, and whether it was quoted (or escaped), so that it cannot be NULL.
fn element(cursor: &mut Cursor<'_>) -> Result<(String, bool)> {
    let mut value = String::new();
    if cursor.take('"') {
        loop {
            match cursor.next() {
                Some('"') => return Ok((value, true)),
                Some('\\') => value.push(cursor.next().ok_or_else(|| cursor.malformed("Unexpected end of input."))?),
                Some(c) => value.push(c),
                None => return Err(cursor.malformed("Unexpected end of input.")),
            }
        }
    }
    let (mut escaped, mut significant) = (false, 0);
    while let Some(c) = cursor.peek() {
        match c {
            ',' | '}' => break,
            '{' => return Err(cursor.unexpected('{')),
            '"' => return Err(cursor.malformed("Unexpected array element.")),
            '\\' => {
                cursor.next();
                value.push(cursor.next().ok_or_else(|| cursor.malformed("Unexpected end of input."))?);
                escaped = true;
                significant = value.len();
            }
            c => {
                cursor.next();
                value.push(c);
                if !is_space(c) {
                    significant = value.len();
                }
            }
        }
    }
    // White space at the end does not count.
    value.truncate(significant);
    Ok((value, escaped))
}

/// Appends an array's text; damaged bytes show as far as they can be read.
pub fn write_array(element: &SqlType, bytes: &[u8], ctx: &TextContext, out: &mut String) {
    let Ok(array) = ArrayView::new(element, bytes) else {
        out.push_str("{}");
        return;
    };
    let dimensions = array.dimensions();
    if dimensions.iter().any(|dimension| dimension.lower != 1) {
        for dimension in dimensions {
            let _ = write!(out, "[{}:{}]", dimension.lower, dimension.upper());
        }
        out.push('=');
    }
    if dimensions.is_empty() {
        out.push_str("{}");
        return;
    }
    let mut shown = String::new();
    let lengths: Vec<usize> = dimensions.iter().map(|dimension| dimension.length as usize).collect();
    for (at, value) in array.iter().enumerate() {
        let Ok(value) = value else { break };
        // Braces that open, or close, before this element: those of every level it is the first of.
        let mut opening = 0;
        let mut size = 1;
        for length in lengths.iter().rev() {
            size *= length;
            if at % size == 0 {
                opening += 1;
            }
        }
        if at > 0 {
            out.extend(std::iter::repeat_n('}', opening));
            out.push(',');
        }
        out.extend(std::iter::repeat_n('{', opening));
        if value.is_null() {
            out.push_str("NULL");
            continue;
        }
        shown.clear();
        write_text(value.as_ref(), element, ctx, &mut shown);
        put_element(&shown, out);
    }
    out.extend(std::iter::repeat_n('}', lengths.len()));
}

/// Appends an element's text, quoted where it must be.
fn put_element(text: &str, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || is_space(c);
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        out.push_str(text);
        return;
    }
    put_quoted_element(text, out);
}

/// Appends an element's text in quotes.
pub fn put_quoted_element(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}
