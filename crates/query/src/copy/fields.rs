//! A row's bytes to fields, and fields back to bytes.

use std::borrow::Cow;

use heliosdb_types::{Error, Result, SqlState};

use super::options::CopyOptions;

/// One field: `None` is NULL.
pub(crate) type Field<'a> = Option<Cow<'a, str>>;

fn malformed(message: impl Into<String>) -> Error {
    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message)
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    if memchr::memchr(0, bytes).is_some() {
        return Err(Error::invalid(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let bad = bytes.get(at..).unwrap_or(&[]).iter().take(error.error_len().unwrap_or(1).max(1));
        let bad: Vec<String> = bad.map(|byte| format!("0x{byte:02x}")).collect();
        Error::invalid(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!("invalid byte sequence for encoding \"UTF8\": {}", bad.join(" ")),
        )
    })
}

/// Splits a row of the text format.
pub(crate) fn split_text<'a>(row: &'a [u8], options: &CopyOptions, out: &mut Vec<Field<'a>>) -> Result<()> {
    out.clear();
    let row = utf8(row)?;
    let bytes = row.as_bytes();
    if !bytes.contains(&b'\\') && !options.null.is_empty() {
        // Nothing is escaped: fields are slices, and only a null string without a backslash can match.
        for field in row.split(char::from(options.delimiter)) {
            out.push(if field == options.null { None } else { Some(Cow::Borrowed(field)) });
        }
        return Ok(());
    }
    let (mut start, mut at, mut escaped) = (0, 0, false);
    loop {
        match bytes.get(at) {
            Some(b'\\') => {
                escaped = true;
                at += 2;
            }
            Some(byte) if *byte != options.delimiter => at += 1,
            end => {
                let raw = row.get(start..at.min(row.len())).unwrap_or("");
                out.push(if raw == options.null {
                    None
                } else if escaped {
                    Some(Cow::Owned(unescape(raw)?))
                } else {
                    Some(Cow::Borrowed(raw))
                });
                if end.is_none() {
                    return Ok(());
                }
                at += 1;
                start = at;
                escaped = false;
            }
        }
    }
}

fn unescape(raw: &str) -> Result<String> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(next) = bytes.next() else {
            out.push(b'\\');
            break;
        };
        match next {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let mut value = u32::from(next - b'0');
                for _ in 0..2 {
                    match bytes.peek() {
                        Some(digit @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(digit - b'0');
                            bytes.next();
                        }
                        _ => break,
                    }
                }
                out.push((value & 0xff) as u8);
            }
            b'x' if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut value = 0u32;
                for _ in 0..2 {
                    match bytes.peek().and_then(|digit| char::from(*digit).to_digit(16)) {
                        Some(digit) => {
                            value = value * 16 + digit;
                            bytes.next();
                        }
                        None => break,
                    }
                }
                out.push((value & 0xff) as u8);
            }
            other => out.push(other),
        }
    }
    utf8(&out)?;
    String::from_utf8(out).map_err(|_| Error::internal("checked to be UTF-8"))
}

/// Splits a row of the csv format.
pub(crate) fn split_csv<'a>(row: &'a [u8], options: &CopyOptions, out: &mut Vec<Field<'a>>) -> Result<()> {
    out.clear();
    let row = utf8(row)?;
    let bytes = row.as_bytes();
    let mut at = 0;
    loop {
        let start = at;
        if let Some((field, end)) = wholly_quoted(row, start, options) {
            out.push(Some(Cow::Borrowed(field)));
            if end >= bytes.len() {
                return Ok(());
            }
            at = end + 1;
            continue;
        }
        while bytes.get(at).is_some_and(|byte| *byte != options.delimiter && *byte != options.quote) {
            at += 1;
        }
        if bytes.get(at) == Some(&options.quote) {
            let (field, end) = quoted_field(row, start, options)?;
            out.push(Some(Cow::Owned(field)));
            at = end;
        } else {
            let raw = row.get(start..at).unwrap_or("");
            out.push(if raw == options.null { None } else { Some(Cow::Borrowed(raw)) });
        }
        if at >= bytes.len() {
            return Ok(());
        }
        at += 1;
    }
}

/// A field in quotes from its first to its last byte with none inside and nothing escaped, as most quoted ones are, and where it ends.
fn wholly_quoted<'a>(row: &'a str, start: usize, options: &CopyOptions) -> Option<(&'a str, usize)> {
    let inside = row.as_bytes().get(start..)?.strip_prefix(&[options.quote])?;
    let len = memchr::memchr2(options.quote, options.escape, inside)?;
    let is_end = inside.get(len) == Some(&options.quote)
        && inside.get(len + 1).is_none_or(|next| *next == options.delimiter && *next != options.quote);
    let field = row.get(start + 1..start + 1 + len).filter(|_| is_end)?;
    Some((field, start + len + 2))
}

/// A field with quotes somewhere in it; quoted and bare parts may alternate. Gives the field and where it ends.
fn quoted_field(row: &str, start: usize, options: &CopyOptions) -> Result<(String, usize)> {
    let bytes = row.as_bytes();
    let mut out = Vec::new();
    let mut at = start;
    let mut quoted = false;
    while let Some(&byte) = bytes.get(at) {
        if quoted {
            let next = bytes.get(at + 1);
            if byte == options.escape && next.is_some_and(|next| *next == options.quote || *next == options.escape) {
                out.extend(next);
                at += 2;
                continue;
            }
            if byte == options.quote {
                quoted = false;
            } else {
                out.push(byte);
            }
        } else if byte == options.delimiter {
            break;
        } else if byte == options.quote {
            quoted = true;
        } else {
            out.push(byte);
        }
        at += 1;
    }
    if quoted {
        return Err(malformed("unterminated CSV quoted field"));
    }
    Ok((String::from_utf8(out).map_err(|_| Error::internal("pieces of UTF-8"))?, at))
}

/// Appends a field in the text format.
pub(crate) fn write_text_field(value: &str, options: &CopyOptions, out: &mut Vec<u8>) {
    for &byte in value.as_bytes() {
        let escaped = match byte {
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            11 => b'v',
            b'\\' => b'\\',
            byte if byte == options.delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escaped]);
    }
}

/// Appends a field in the csv format; `single` if it is the row's only column.
pub(crate) fn write_csv_field(value: &str, force: bool, single: bool, options: &CopyOptions, out: &mut Vec<u8>) {
    let special = |byte: u8| byte == options.delimiter || byte == options.quote || byte == b'\n' || byte == b'\r';
    let quote = force || value == options.null || value.bytes().any(special) || (single && value == "\\.");
    if !quote {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    out.push(options.quote);
    for &byte in value.as_bytes() {
        if byte == options.quote || byte == options.escape {
            out.push(options.escape);
        }
        out.push(byte);
    }
    out.push(options.quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::options::options_of;

    fn options(csv: bool) -> CopyOptions {
        let format = if csv { "csv" } else { "text" };
        options_of(format)
    }

    fn split(csv: bool, row: &str) -> Vec<Option<String>> {
        let mut out = Vec::new();
        let split = if csv { split_csv } else { split_text };
        split(row.as_bytes(), &options(csv), &mut out).unwrap();
        out.into_iter().map(|field| field.map(Cow::into_owned)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn text_fields_are_unescaped_after_null_is_seen() {
        assert_eq!(split(false, "a\t\\N\t\t\\\\N"), [some("a"), None, some(""), some("\\N")]);
        assert_eq!(split(false, "x\\ty\\\\\t\\101\\x41\\q"), [some("x\ty\\"), some("AAq")]);
        assert_eq!(split(false, "a\\"), [some("a\\")]);
        assert_eq!(split(false, ""), [some("")]);
    }

    #[test]
    fn csv_fields() {
        assert_eq!(split(true, "1,,\"\",\"a,\"\"b\""), [some("1"), None, some(""), some("a,\"b")]);
        assert_eq!(split(true, "a\"b,c\"d,"), [some("ab,cd"), None]);
        assert!(split_csv(b"\"a", &options(true), &mut Vec::new()).is_err());
        let quoted =
            ["\"a\"", "\"a\"b", "\"a\"\"b\"", "\"\"", "\"a,b\",", "\"é\",\"\"\"\"", "\"a\"\"", "x,\"a\"\"b\"\"\",y"];
        for row in quoted {
            // Field by field as they are found byte by byte.
            let mut slow = Vec::new();
            let mut at = 0;
            let whole = loop {
                match quoted_field(row, at, &options(true)) {
                    Ok((field, end)) => {
                        slow.push(field);
                        if end >= row.len() {
                            break true;
                        }
                        at = end + 1;
                    }
                    Err(_) => break false,
                }
            };
            let mut fields = Vec::new();
            let split = split_csv(row.as_bytes(), &options(true), &mut fields);
            assert_eq!(split.is_ok(), whole, "{row}");
            let fields: Vec<String> = fields.into_iter().map(|field| field.unwrap_or_default().into_owned()).collect();
            assert!(!whole || fields == slow, "{row}: {fields:?}, {slow:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for csv in [false, true] {
            for value in ["", "plain", "a,b\t\"q\" \\N \\ é", "\\N", "\\."] {
                let (mut out, options) = (Vec::new(), options(csv));
                if csv {
                    write_csv_field(value, false, true, &options, &mut out);
                } else {
                    write_text_field(value, &options, &mut out);
                }
                let text = String::from_utf8(out).unwrap();
                assert_eq!(split(csv, &text), [some(value)], "{value:?} as {text:?}");
            }
        }
    }

    #[test]
    fn bad_bytes_are_refused() {
        assert!(split_text(&[0xff, b'a'], &options(false), &mut Vec::new()).is_err());
        assert!(split_text(b"a\\000", &options(false), &mut Vec::new()).is_err());
        assert!(split_text(b"a\0", &options(false), &mut Vec::new()).is_err());
        assert!(split_csv(b"a\0", &options(true), &mut Vec::new()).is_err());
        assert!(split_text(b"\\377", &options(false), &mut Vec::new()).is_err());
    }
}
