//! The byte form of jsonb, read in place.
//!
//! A value is a tag byte, then its body up to the end of its bytes: nothing for null, false and true, a [`Numeric`]'s bytes, or a
//! string's UTF-8. An array is `count | end of each element | elements`, an object `count | end of each key | end of each value |
//! keys | values`; ends count from the start of the keys, values or elements. Count and ends are 1, 2 or 4 bytes wide,
//! little-endian, as the two high bits of the tag say (0, 1, 2). An object's keys are sorted by length, then bytewise, and
//! differ.

use std::cmp::Ordering;

use super::damaged;
use crate::{Numeric, Result};

pub(super) const NULL: u8 = 0;
pub(super) const FALSE: u8 = 1;
pub(super) const TRUE: u8 = 2;
pub(super) const NUMBER: u8 = 3;
pub(super) const STRING: u8 = 4;
pub(super) const ARRAY: u8 = 5;
pub(super) const OBJECT: u8 = 6;

const WIDTHS: [usize; 3] = [1, 2, 4];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonbKind {
    Null,
    String,
    Number,
    Bool,
    Array,
    Object,
}

impl JsonbKind {
    /// As `jsonb_typeof` has it.
    pub fn name(self) -> &'static str {
        match self {
            JsonbKind::Null => "null",
            JsonbKind::String => "string",
            JsonbKind::Number => "number",
            JsonbKind::Bool => "boolean",
            JsonbKind::Array => "array",
            JsonbKind::Object => "object",
        }
    }

    pub fn is_scalar(self) -> bool {
        !matches!(self, JsonbKind::Array | JsonbKind::Object)
    }
}

/// A jsonb value's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Jsonb<'a>(&'a [u8]);

/// An array's or object's count and offsets.
#[derive(Clone, Copy)]
struct Container<'a> {
    count: usize,
    width: usize,
    /// `count` ends; twice as many in an object.
    ends: &'a [u8],
    body: &'a [u8],
}

impl<'a> Container<'a> {
    fn end(&self, at: usize) -> Result<usize> {
        let start = at.checked_mul(self.width).ok_or_else(|| damaged("offset"))?;
        let bytes = self.ends.get(start..start + self.width).ok_or_else(|| damaged("offset"))?;
        Ok(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// The part between the ends at `at - 1` (or 0, where `at` is `first`) and `at`.
    fn slice(&self, body: &'a [u8], at: usize, first: usize) -> Result<&'a [u8]> {
        let start = if at == first { 0 } else { self.end(at - 1)? };
        body.get(start..self.end(at)?).ok_or_else(|| damaged("offset"))
    }
}

impl<'a> Jsonb<'a> {
    /// Bytes that claim to be jsonb; every access checks what it reads.
    pub fn new(bytes: &'a [u8]) -> Jsonb<'a> {
        Jsonb(bytes)
    }

    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    fn tag(self) -> Result<u8> {
        self.0.first().map(|tag| tag & 0x3F).ok_or_else(|| damaged("no tag"))
    }

    pub fn kind(self) -> Result<JsonbKind> {
        Ok(match self.tag()? {
            NULL => JsonbKind::Null,
            FALSE | TRUE => JsonbKind::Bool,
            NUMBER => JsonbKind::Number,
            STRING => JsonbKind::String,
            ARRAY => JsonbKind::Array,
            OBJECT => JsonbKind::Object,
            _ => return Err(damaged("unknown tag")),
        })
    }

    fn body(self) -> &'a [u8] {
        self.0.get(1..).unwrap_or(&[])
    }

    pub fn is_null(self) -> bool {
        self.0.first() == Some(&NULL)
    }

    pub fn is_true(self) -> bool {
        self.0.first() == Some(&TRUE)
    }

    /// A string's characters.
    pub fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.body()).map_err(|_| damaged("a string is not UTF-8"))
    }

    /// A number.
    pub fn number(self) -> Result<Numeric> {
        Numeric::from_bytes(self.body())
    }

    pub(super) fn number_bytes(self) -> &'a [u8] {
        self.body()
    }

    fn container(self) -> Result<Container<'a>> {
        let (tag, rest) = self.0.split_first().ok_or_else(|| damaged("no tag"))?;
        let width = *WIDTHS.get(usize::from(tag >> 6)).ok_or_else(|| damaged("width"))?;
        let (count, rest) = rest.split_at_checked(width).ok_or_else(|| damaged("no count"))?;
        let count = count.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        let columns = if tag & 0x3F == OBJECT { 2 } else { 1 };
        let len = count.checked_mul(width * columns).ok_or_else(|| damaged("count"))?;
        let (ends, body) = rest.split_at_checked(len).ok_or_else(|| damaged("count"))?;
        Ok(Container { count, width, ends, body })
    }

    /// How many elements or members; 0 for a scalar.
    pub fn len(self) -> Result<usize> {
        Ok(match self.kind()? {
            JsonbKind::Array | JsonbKind::Object => self.container()?.count,
            _ => 0,
        })
    }

    pub fn is_empty(self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// An array's element; from its end if negative.
    pub fn element(self, at: i64) -> Result<Option<Jsonb<'a>>> {
        let container = self.container()?;
        let at = if at < 0 { container.count as i64 + at } else { at };
        match usize::try_from(at) {
            Ok(at) if at < container.count => Ok(Some(Jsonb(container.slice(container.body, at, 0)?))),
            _ => Ok(None),
        }
    }

    pub fn elements(self) -> Result<impl Iterator<Item = Result<Jsonb<'a>>>> {
        let container = self.container()?;
        Ok((0..container.count).map(move |at| container.slice(container.body, at, 0).map(Jsonb)))
    }

    /// Keys and values apart.
    fn object(self) -> Result<(Container<'a>, &'a [u8], &'a [u8])> {
        let container = self.container()?;
        let keys = if container.count == 0 { 0 } else { container.end(container.count - 1)? };
        let (keys, values) = container.body.split_at_checked(keys).ok_or_else(|| damaged("keys"))?;
        Ok((container, keys, values))
    }

    /// An object's member by name.
    pub fn member(self, name: &str) -> Result<Option<Jsonb<'a>>> {
        let (container, keys, values) = self.object()?;
        let (mut low, mut high) = (0, container.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let key = container.slice(keys, middle, 0)?;
            match (key.len(), key).cmp(&(name.len(), name.as_bytes())) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    let value = container.slice(values, container.count + middle, container.count)?;
                    return Ok(Some(Jsonb(value)));
                }
            }
        }
        Ok(None)
    }

    /// An object's members in the order of their keys.
    pub fn members(self) -> Result<impl Iterator<Item = Result<(&'a str, Jsonb<'a>)>>> {
        let (container, keys, values) = self.object()?;
        Ok((0..container.count).map(move |at| {
            let key = std::str::from_utf8(container.slice(keys, at, 0)?).map_err(|_| damaged("a key is not UTF-8"))?;
            Ok((key, Jsonb(container.slice(values, container.count + at, container.count)?)))
        }))
    }
}

/// Appends a container of `count` parts.
pub(super) fn put_container(out: &mut Vec<u8>, tag: u8, count: usize, ends: &[&[usize]], bodies: &[&[u8]]) {
    let largest = ends.iter().filter_map(|ends| ends.last()).copied().max().unwrap_or(0).max(count);
    let code = match largest {
        0..=0xFF => 0,
        0x100..=0xFFFF => 1,
        _ => 2,
    };
    let width = WIDTHS[code];
    out.push(tag | (code as u8) << 6);
    for number in std::iter::once(&count).chain(ends.iter().copied().flatten()) {
        out.extend_from_slice(&(*number as u32).to_le_bytes()[..width]);
    }
    bodies.iter().for_each(|body| out.extend_from_slice(body));
}
