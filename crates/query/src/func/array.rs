//! One-dimensional arrays in their text form, the only form they have here: `{1,2,NULL,"a b"}`.

use heliosdb_types::{Error, Result, SqlState};

/// Joins elements, quoting where PostgreSQL does.
pub(crate) fn format<'a>(elements: impl Iterator<Item = Option<&'a str>>) -> String {
    let mut out = String::from("{");
    for (i, element) in elements.enumerate() {
        if i > 0 {
            out.push(',');
        }
        match element {
            None => out.push_str("NULL"),
            Some(text) if needs_quotes(text) => {
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
            Some(text) => out.push_str(text),
        }
    }
    out.push('}');
    out
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| matches!(c, '"' | '\\' | '{' | '}' | ',') || c.is_ascii_whitespace() || c == '\x0b')
}

/// Splits an array's text into elements; `None` is NULL. Nested arrays are refused.
pub(crate) fn parse(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = || {
        let message = format!("malformed array literal: \"{text}\"");
        Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message)
    };
    let body = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    if body.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut elements = Vec::new();
    let mut chars = body.chars().peekable();
    loop {
        while chars.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            chars.next();
        }
        let (mut element, mut quoted) = (String::new(), false);
        if chars.peek() == Some(&'"') {
            chars.next();
            quoted = true;
            loop {
                match chars.next().ok_or_else(malformed)? {
                    '"' => break,
                    '\\' => element.push(chars.next().ok_or_else(malformed)?),
                    c => element.push(c),
                }
            }
        } else {
            while let Some(&c) = chars.peek() {
                match c {
                    ',' => break,
                    '{' | '}' => return Err(Error::unsupported("a multidimensional array")),
                    '"' => return Err(malformed()),
                    '\\' => {
                        chars.next();
                        element.push(chars.next().ok_or_else(malformed)?);
                    }
                    c => {
                        chars.next();
                        element.push(c);
                    }
                }
            }
            element.truncate(element.trim_end().len());
            if element.is_empty() {
                return Err(malformed());
            }
        }
        while chars.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            chars.next();
        }
        let null = !quoted && element.eq_ignore_ascii_case("null");
        elements.push((!null).then_some(element));
        match chars.next() {
            None => return Ok(elements),
            Some(',') => {}
            Some(_) => return Err(malformed()),
        }
    }
}
