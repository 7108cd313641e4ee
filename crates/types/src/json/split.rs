//! A json text's parts as the texts they were written as.

use std::borrow::Cow;

use super::JsonbKind;
use super::lex::{Token, unescape_json};
use super::parse::{Sink, parse};
use crate::Result;

/// A member of an object or an element of an array.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPart<'a> {
    /// `None` in an array.
    pub key: Option<Cow<'a, str>>,
    pub text: &'a str,
}

/// What a json text is, by its first token. The text is JSON.
pub fn json_kind(text: &str) -> JsonbKind {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => JsonbKind::Object,
        Some(b'[') => JsonbKind::Array,
        Some(b'"') => JsonbKind::String,
        Some(b't' | b'f') => JsonbKind::Bool,
        Some(b'n') => JsonbKind::Null,
        _ => JsonbKind::Number,
    }
}

struct Parts<'a> {
    text: &'a str,
    depth: usize,
    start: usize,
    key: Option<Cow<'a, str>>,
    parts: Vec<JsonPart<'a>>,
}

impl Parts<'_> {
    fn part(&mut self, end: usize) {
        let text = self.text.get(self.start..end).unwrap_or("");
        self.parts.push(JsonPart { key: self.key.take(), text });
    }
}

impl<'a> Sink<'a> for Parts<'a> {
    fn open(&mut self, _: bool, start: usize) -> Result<()> {
        if self.depth == 1 {
            self.start = start;
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<()> {
        self.depth -= 1;
        if self.depth == 1 {
            self.part(end);
        }
        Ok(())
    }

    fn key(&mut self, token: &'a str) -> Result<()> {
        if self.depth == 1 {
            self.key = Some(unescape_json(token)?);
        }
        Ok(())
    }

    fn scalar(&mut self, _: Token, text: &'a str, start: usize) -> Result<()> {
        if self.depth == 1 {
            self.start = start;
            self.part(start + text.len());
        }
        Ok(())
    }
}

/// Members of an object (all of them, in their order), elements of an array; nothing for a scalar.
pub fn split_json(text: &str) -> Result<Vec<JsonPart<'_>>> {
    let mut parts = Parts { text, depth: 0, start: 0, key: None, parts: Vec::new() };
    parse(text, &mut parts)?;
    Ok(parts.parts)
}

/// Writes a json text again without blanks and without members that are null.
pub fn strip_json_nulls(text: &str, out: &mut String) -> Result<()> {
    let kind = json_kind(text);
    if kind == JsonbKind::String {
        // Written anew, as keys are: without the escapes it need not have.
        super::write_json_string(&unescape_json(text.trim())?, out);
        return Ok(());
    }
    if !matches!(kind, JsonbKind::Object | JsonbKind::Array) {
        out.push_str(text.trim());
        return Ok(());
    }
    let (open, close) = if kind == JsonbKind::Object { ('{', '}') } else { ('[', ']') };
    out.push(open);
    let mut first = true;
    for part in split_json(text)? {
        if part.key.is_some() && part.text == "null" {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        if let Some(key) = &part.key {
            super::write_json_string(key, out);
            out.push(':');
        }
        strip_json_nulls(part.text, out)?;
    }
    out.push(close);
    Ok(())
}
