//! jsonb as text.

use std::fmt::Write;

use super::binary::{Jsonb, JsonbKind};
use super::{JSON_DEPTH_MAX, too_deep};
use crate::Result;

/// Appends a quoted JSON string.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 32 || byte == b'"' || byte == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c @ ('"' | '\\')) => out.extend(['\\', c]),
            Some(c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends a value's text; `indent`: as `jsonb_pretty` has it.
pub fn write_jsonb(value: Jsonb<'_>, indent: bool, out: &mut String) -> Result<()> {
    write(value, indent.then_some(0), 0, out)
}

fn new_line(indent: Option<usize>, out: &mut String) {
    if let Some(level) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", level));
    }
}

fn write(value: Jsonb<'_>, indent: Option<usize>, depth: usize, out: &mut String) -> Result<()> {
    if depth > JSON_DEPTH_MAX {
        return Err(too_deep());
    }
    let inner = indent.map(|level| level + 1);
    let separator = if indent.is_some() { "," } else { ", " };
    match value.kind()? {
        JsonbKind::Null => out.push_str("null"),
        JsonbKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        JsonbKind::Number => {
            let _ = write!(out, "{}", value.number()?);
        }
        JsonbKind::String => write_json_string(value.text()?, out),
        JsonbKind::Array => {
            out.push('[');
            for (at, element) in value.elements()?.enumerate() {
                if at > 0 {
                    out.push_str(separator);
                }
                new_line(inner, out);
                write(element?, inner, depth + 1, out)?;
            }
            new_line(indent, out);
            out.push(']');
        }
        JsonbKind::Object => {
            out.push('{');
            for (at, member) in value.members()?.enumerate() {
                let (key, value) = member?;
                if at > 0 {
                    out.push_str(separator);
                }
                new_line(inner, out);
                write_json_string(key, out);
                out.push_str(": ");
                write(value, inner, depth + 1, out)?;
            }
            new_line(indent, out);
            out.push('}');
        }
    }
    Ok(())
}
