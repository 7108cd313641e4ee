//! JSON objects of a file: one after the other, or within one array.

use std::fmt;
use std::io::BufRead;

use heliosdb_types::{Error, Result, SqlState};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// An object larger than this is no row.
const OBJECT_BYTES_MAX: usize = 64 << 20;

/// Names and values in the file's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonObject(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<JsonObject, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = JsonObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<JsonObject, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(JsonObject(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// Reads objects one by one.
pub struct JsonObjects<R> {
    input: R,
    text: Vec<u8>,
    /// Lines seen, and where the last object began, from 1.
    line: u64,
    began: u64,
    /// Within an array; a comma is due before another object.
    array: bool,
    comma: bool,
    ended: bool,
    first: bool,
}

impl<R: BufRead> JsonObjects<R> {
    pub fn new(input: R) -> JsonObjects<R> {
        JsonObjects {
            input,
            text: Vec::new(),
            line: 1,
            began: 1,
            array: false,
            comma: false,
            ended: false,
            first: true,
        }
    }

    /// The line the last object began on.
    pub fn began_on(&self) -> u64 {
        self.began
    }

    pub fn input(&self) -> &R {
        &self.input
    }

    fn wrong(&self, what: impl fmt::Display) -> Error {
        Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, format!("line {}: {what}", self.began))
    }

    /// The next byte that is not blank, not taken yet.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let (skipped, lines, found) = {
                let buffer = self.input.fill_buf().map_err(|error| {
                    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("line {}: {error}", self.line))
                })?;
                if buffer.is_empty() {
                    return Ok(None);
                }
                let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let lines = buffer.iter().take(blank).filter(|byte| **byte == b'\n').count();
                (blank, lines as u64, buffer.get(blank).copied())
            };
            self.input.consume(skipped);
            self.line += lines;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The next object; `None` at the end.
    pub fn next_object(&mut self) -> Result<Option<JsonObject>> {
        loop {
            let next = self.peek()?;
            self.began = self.line;
            let first = std::mem::take(&mut self.first);
            match next {
                None if self.array && !self.ended => return Err(self.wrong("the array does not end")),
                None => return Ok(None),
                Some(_) if self.ended => return Err(self.wrong("something follows the array")),
                Some(b'[') if first => self.array = true,
                Some(b']') if self.array => self.ended = true,
                Some(b',') if self.comma => self.comma = false,
                Some(b'{') if !self.comma => {
                    self.take_object()?;
                    self.comma = self.array;
                    let object = serde_json::from_slice(&self.text);
                    return object.map(Some).map_err(|error| {
                        let text = error.to_string();
                        self.wrong(text.split(" at line ").next().unwrap_or(&text))
                    });
                }
                Some(_) => return Err(self.wrong("not a JSON object")),
            }
            self.input.consume(1);
        }
    }

    /// Takes the bytes from an opening brace to the one that closes it.
    fn take_object(&mut self) -> Result<()> {
        self.text.clear();
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        loop {
            let (taken, done) = {
                let buffer = self.input.fill_buf().map_err(|error| {
                    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("line {}: {error}", self.line))
                })?;
                if buffer.is_empty() {
                    return Err(self.wrong("the object does not end"));
                }
                let mut end = None;
                for (at, &byte) in buffer.iter().enumerate() {
                    match byte {
                        b'\n' => self.line += 1,
                        _ if escaped => {
                            escaped = false;
                            continue;
                        }
                        b'\\' if quoted => {
                            escaped = true;
                            continue;
                        }
                        b'"' => quoted = !quoted,
                        b'{' | b'[' if !quoted => depth += 1,
                        b'}' | b']' if !quoted => {
                            depth = depth.saturating_sub(1);
                            if depth == 0 {
                                end = Some(at + 1);
                                break;
                            }
                        }
                        _ => {}
                    }
                    escaped = false;
                }
                let taken = end.unwrap_or(buffer.len());
                self.text.extend_from_slice(buffer.get(..taken).unwrap_or_default());
                (taken, end.is_some())
            };
            self.input.consume(taken);
            if done {
                return Ok(());
            }
            if self.text.len() > OBJECT_BYTES_MAX {
                return Err(self.wrong("an object is too long; is a brace missing?"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    fn all(text: &str, buffer: usize) -> Result<Vec<String>> {
        let mut objects = JsonObjects::new(BufReader::with_capacity(buffer, Cursor::new(text.to_owned())));
        let mut out = Vec::new();
        while let Some(JsonObject(fields)) = objects.next_object()? {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            out.push(format!("{}:{}", objects.began_on(), fields.join("&")));
        }
        Ok(out)
    }

    #[test]
    fn lines_arrays_and_whatever_lies_between() {
        for buffer in [1, 3, 100] {
            let all = |text| all(text, buffer);
            assert_eq!(all("{\"b\":1,\"a\":\"x}\\\"\"}\n\n{\"b\":[{}]}").unwrap(), ["1:b=1&a=\"x}\\\"\"", "3:b=[{}]"]);
            assert_eq!(all("[ {\"a\": 1},\n{\"a\":\n2} ]\n").unwrap(), ["1:a=1", "2:a=2"]);
            assert_eq!(all("").unwrap(), [""; 0]);
            assert_eq!(all("[]").unwrap(), [""; 0]);
            for (text, what) in [
                ("[{\"a\":1} {\"a\":2}]", "line 1: not a JSON object"),
                ("{\"a\":1}\n5", "line 2: not a JSON object"),
                ("{\"a\":1", "line 1: the object does not end"),
                ("[{\"a\":1}", "line 1: the array does not end"),
                ("[{}] x", "line 1: something follows the array"),
                ("{\"a\":nope}", "line 1: expected ident"),
                ("{\"a\":\"\u{1}\"}", "line 1: control character (\\u0000-\\u001F) found while parsing a string"),
            ] {
                assert_eq!(all(text).unwrap_err().message(), what, "{text}");
            }
        }
    }
}
