//! A JSON value taken apart: what is parsed, built and changed before it is encoded.

use std::borrow::Cow;

use super::binary::{self, Jsonb, JsonbKind};
use super::{JSON_DEPTH_MAX, JSONB_BYTES_MAX, too_deep};
use crate::{Error, Numeric, Result, SqlState};

#[derive(Clone, Debug)]
pub enum JsonTree<'a> {
    Null,
    Bool(bool),
    /// Finite.
    Number(Numeric),
    String(Cow<'a, str>),
    Array(Vec<JsonTree<'a>>),
    /// In any order; of several members of one name the last one counts.
    Object(Vec<(Cow<'a, str>, JsonTree<'a>)>),
    /// A part that stays as it is encoded.
    Encoded(Jsonb<'a>),
    /// The same, with bytes of its own.
    Owned(Vec<u8>),
}

impl<'a> JsonTree<'a> {
    /// One level of a value; what is below stays encoded.
    pub fn of(value: Jsonb<'a>) -> Result<JsonTree<'a>> {
        Ok(match value.kind()? {
            JsonbKind::Array => {
                JsonTree::Array(value.elements()?.map(|e| e.map(JsonTree::Encoded)).collect::<Result<_>>()?)
            }
            JsonbKind::Object => {
                let members = value.members()?.map(|member| {
                    let (key, value) = member?;
                    Ok((Cow::Borrowed(key), JsonTree::Encoded(value)))
                });
                JsonTree::Object(members.collect::<Result<_>>()?)
            }
            _ => JsonTree::Encoded(value),
        })
    }

    /// The value's bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(&mut out, 0)?;
        Ok(out)
    }

    fn write(&self, out: &mut Vec<u8>, depth: usize) -> Result<()> {
        if depth > JSON_DEPTH_MAX {
            return Err(too_deep());
        }
        match self {
            JsonTree::Null => out.push(binary::NULL),
            JsonTree::Bool(value) => out.push(if *value { binary::TRUE } else { binary::FALSE }),
            JsonTree::Number(number) => {
                out.push(binary::NUMBER);
                out.extend_from_slice(number.as_bytes());
            }
            JsonTree::String(text) => {
                out.push(binary::STRING);
                out.extend_from_slice(text.as_bytes());
            }
            JsonTree::Encoded(value) => out.extend_from_slice(value.as_bytes()),
            JsonTree::Owned(bytes) => out.extend_from_slice(bytes),
            JsonTree::Array(elements) => {
                let mut ends = Vec::with_capacity(elements.len());
                let mut body = Vec::new();
                for element in elements {
                    element.write(&mut body, depth + 1)?;
                    ends.push(body.len());
                }
                check_size(&body, "array elements")?;
                binary::put_container(out, binary::ARRAY, elements.len(), &[&ends], &[&body]);
            }
            JsonTree::Object(members) => {
                let sorted = sorted(members);
                let (mut keys, mut key_ends) = (Vec::new(), Vec::with_capacity(sorted.len()));
                let (mut values, mut value_ends) = (Vec::new(), Vec::with_capacity(sorted.len()));
                for (key, value) in &sorted {
                    keys.extend_from_slice(key.as_bytes());
                    key_ends.push(keys.len());
                    value.write(&mut values, depth + 1)?;
                    value_ends.push(values.len());
                }
                check_size(&keys, "object elements")?;
                check_size(&values, "object elements")?;
                binary::put_container(out, binary::OBJECT, sorted.len(), &[&key_ends, &value_ends], &[&keys, &values]);
            }
        }
        check_size(out, "array elements")
    }
}

/// By length, then bytes; the last of each name.
fn sorted<'t, 'a>(members: &'t [(Cow<'a, str>, JsonTree<'a>)]) -> Vec<(&'t str, &'t JsonTree<'a>)> {
    let mut sorted: Vec<(&str, &JsonTree<'a>)> =
        members.iter().rev().map(|(key, value)| (key.as_ref(), value)).collect();
    // Stable: of equal names the one written last comes first.
    sorted.sort_by(|a, b| (a.0.len(), a.0.as_bytes()).cmp(&(b.0.len(), b.0.as_bytes())));
    sorted.dedup_by(|next, kept| next.0 == kept.0);
    sorted
}

fn check_size(bytes: &[u8], what: &str) -> Result<()> {
    if bytes.len() <= JSONB_BYTES_MAX {
        return Ok(());
    }
    let message = format!("total size of jsonb {what} exceeds the maximum of {JSONB_BYTES_MAX} bytes");
    Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
}
