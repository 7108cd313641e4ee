//! CSV as RFC 4180 and COPY understand it, read record by record, to look at it before it is loaded.

use std::io::{BufRead, Read};

use heliosdb_types::{Error, Result, SqlState};

/// One record: its fields, and whether each was quoted (then it is text, and never NULL).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub fields: Vec<(String, bool)>,
    /// Where it begins, from 1.
    pub line: u64,
}

/// A field longer than this is no CSV.
const FIELD_BYTES_MAX: usize = 64 << 20;
/// Bytes of a line that are read at once.
const LINE_BYTES_MAX: u64 = 128 << 20;

pub(crate) struct Reader<R> {
    input: R,
    delimiter: u8,
    line: u64,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, delimiter: u8) -> Reader<R> {
        Reader { input, delimiter, line: 1 }
    }

    pub fn input(&self) -> &R {
        &self.input
    }

    /// The next record; `None` at the end. Errors name the line.
    pub fn next(&mut self) -> Result<Option<Record>> {
        let mut record = Record { fields: Vec::new(), line: self.line };
        let (mut field, mut quoted, mut inside) = (Vec::new(), false, false);
        let mut any = false;
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = self.input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            if read.map_err(|error| self.wrong(record.line, &error.to_string()))? == 0 {
                if inside {
                    return Err(self.wrong(record.line, "a quoted field does not end"));
                }
                if !any {
                    return Ok(None);
                }
                break;
            }
            any = true;
            if text.len() as u64 >= LINE_BYTES_MAX && text.last() != Some(&b'\n') {
                return Err(self.wrong(record.line, "a line is too long"));
            }
            self.line += 1;
            let mut bytes = text.iter().copied().peekable();
            let mut ended = false;
            while let Some(byte) = bytes.next() {
                match byte {
                    b'"' if inside && bytes.peek() == Some(&b'"') => {
                        bytes.next();
                        field.push(b'"');
                    }
                    b'"' if inside => inside = false,
                    _ if inside => field.push(byte),
                    b'"' => (inside, quoted) = (true, true),
                    b'\r' if bytes.peek() == Some(&b'\n') => {}
                    b'\n' => ended = true,
                    byte if byte == self.delimiter => {
                        self.finish(&mut record, &mut field, &mut quoted)?;
                    }
                    byte => field.push(byte),
                }
            }
            if field.len() > FIELD_BYTES_MAX {
                return Err(self.wrong(record.line, "a field is too long; is a quote missing?"));
            }
            if ended && !inside {
                break;
            }
        }
        self.finish(&mut record, &mut field, &mut quoted)?;
        Ok(Some(record))
    }

    fn finish(&self, record: &mut Record, field: &mut Vec<u8>, quoted: &mut bool) -> Result<()> {
        let text = String::from_utf8(std::mem::take(field)).map_err(|_| {
            let what = "not UTF-8; if it is Latin-1, convert it first: iconv -f LATIN1 -t UTF-8";
            Error::invalid(SqlState::CHARACTER_NOT_IN_REPERTOIRE, format!("line {}: {what}", record.line))
        })?;
        record.fields.push((text, std::mem::take(quoted)));
        Ok(())
    }

    fn wrong(&self, line: u64, what: &str) -> Error {
        Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("line {line}: {what}"))
    }
}

/// The delimiter that splits a first line into most fields.
pub(crate) fn sniff(head: &str) -> u8 {
    let line = head.lines().next().unwrap_or_default();
    let count = |delimiter: u8| line.bytes().filter(|&byte| byte == delimiter).count();
    // The comma first: on a tie the last would win, so they are looked at from the least likely.
    [b'|', b';', b'\t', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// Appends a text as a field.
pub fn push_csv_field(text: &str, out: &mut Vec<u8>) {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) || text == "\\." {
        out.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// NULL is nothing, an empty text is `""`.
pub fn csv_field(cell: Option<&str>) -> String {
    match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) || text == "\\." => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Vec<String>> {
        let mut reader = Reader::new(text.as_bytes(), b',');
        let mut records = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            records.push(record.fields.into_iter().map(|(field, _)| field).collect());
        }
        records
    }

    #[test]
    fn quotes_line_ends_and_empty_fields() {
        assert_eq!(all("a,b\r\n1,\"x,\"\"y\"\"\nz\"\n,\n"), [vec!["a", "b"], vec!["1", "x,\"y\"\nz"], vec!["", ""]]);
        assert_eq!(all("a"), [["a"]]);
        assert_eq!(all(""), Vec::<Vec<String>>::new());
        let error = Reader::new(&b"a\n\"b\nc\n"[..], b',');
        let mut reader = error;
        reader.next().unwrap();
        assert!(reader.next().unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn the_delimiter_is_found() {
        for (head, delimiter) in
            [("a,b,c\n", b','), ("a;b;c,d\n", b';'), ("a\tb\n", b'\t'), ("a|b|c\n", b'|'), ("a\n", b',')]
        {
            assert_eq!(sniff(head), delimiter, "{head}");
        }
    }
}
