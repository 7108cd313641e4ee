//! How jsonb values compare, and whether one contains another.

use super::binary::{Jsonb, JsonbKind};
use super::{JSON_DEPTH_MAX, too_deep};
use crate::numeric::sort_bytes;
use crate::{DatumRef, Result, encode_key};

impl<'a> Jsonb<'a> {
    /// Bytes that order values as PostgreSQL does: null, string, number, boolean, array, object; containers by their number of
    /// parts first. An empty array at the top is smallest, a peculiarity that PostgreSQL keeps.
    pub fn sort_key(self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if self.kind()? == JsonbKind::Array && self.len()? == 0 {
            out.push(0);
        } else {
            self.put_key(&mut out, 0)?;
        }
        Ok(out)
    }

    fn put_key(self, out: &mut Vec<u8>, depth: usize) -> Result<()> {
        if depth > JSON_DEPTH_MAX {
            return Err(too_deep());
        }
        match self.kind()? {
            JsonbKind::Null => out.push(1),
            JsonbKind::String => {
                out.push(2);
                encode_key(out, DatumRef::Text(self.text()?), false);
            }
            JsonbKind::Number => {
                out.push(3);
                out.extend_from_slice(sort_bytes(self.number_bytes()));
            }
            JsonbKind::Bool => out.extend_from_slice(&[4, u8::from(self.is_true())]),
            JsonbKind::Array => {
                out.push(5);
                out.extend_from_slice(&(self.len()? as u32).to_be_bytes());
                for element in self.elements()? {
                    element?.put_key(out, depth + 1)?;
                }
            }
            JsonbKind::Object => {
                out.push(6);
                out.extend_from_slice(&(self.len()? as u32).to_be_bytes());
                for member in self.members()? {
                    let (key, value) = member?;
                    encode_key(out, DatumRef::Text(key), false);
                    value.put_key(out, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Whether two scalars are the same value.
    fn same_scalar(self, other: Jsonb<'_>) -> Result<bool> {
        Ok(match (self.kind()?, other.kind()?) {
            (JsonbKind::Number, JsonbKind::Number) => {
                sort_bytes(self.number_bytes()) == sort_bytes(other.number_bytes())
            }
            _ => self.as_bytes() == other.as_bytes(),
        })
    }
}

/// `whole @> part`: every member and element of `part` is in `whole`, whatever their order and number. An array contains a
/// scalar it has as an element, at the top only.
pub fn jsonb_contains(whole: Jsonb<'_>, part: Jsonb<'_>) -> Result<bool> {
    if whole.kind()? == JsonbKind::Array && part.kind()?.is_scalar() {
        return has_scalar(whole, part);
    }
    contains(whole, part, 0)
}

fn has_scalar(array: Jsonb<'_>, scalar: Jsonb<'_>) -> Result<bool> {
    for element in array.elements()? {
        let element = element?;
        if element.kind()?.is_scalar() && element.same_scalar(scalar)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn contains(whole: Jsonb<'_>, part: Jsonb<'_>, depth: usize) -> Result<bool> {
    if depth > JSON_DEPTH_MAX {
        return Err(too_deep());
    }
    match (whole.kind()?, part.kind()?) {
        (JsonbKind::Object, JsonbKind::Object) => {
            if part.len()? > whole.len()? {
                return Ok(false);
            }
            for member in part.members()? {
                let (key, value) = member?;
                match whole.member(key)? {
                    Some(found) if contains(found, value, depth + 1)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (JsonbKind::Array, JsonbKind::Array) => {
            for wanted in part.elements()? {
                let wanted = wanted?;
                let found = if wanted.kind()?.is_scalar() {
                    has_scalar(whole, wanted)?
                } else {
                    any_contains(whole, wanted, depth)?
                };
                if !found {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (a, b) if a.is_scalar() && b.is_scalar() => whole.same_scalar(part),
        _ => Ok(false),
    }
}

fn any_contains(array: Jsonb<'_>, wanted: Jsonb<'_>, depth: usize) -> Result<bool> {
    for element in array.elements()? {
        if contains(element?, wanted, depth + 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}
