//! One-dimensional arrays: inside they are carried as text (`{a,"b c",NULL}`), on the wire also in binary.

use bytes::{Buf, BufMut, BytesMut};
use heliosdb_types::{Error, Result, SqlState, SqlType, TextContext, parse_text, write_text};

use super::binary;

/// Elements of an array's text; `None` is NULL.
fn elements(text: &str) -> Result<Vec<Option<String>>> {
    let malformed =
        || Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\""));
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    let mut elements = Vec::new();
    let mut rest = inner.chars().peekable();
    if inner.trim().is_empty() {
        return Ok(elements);
    }
    loop {
        while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let (mut value, mut quoted) = (String::new(), false);
        // Unquoted white space at an element's end does not count.
        let mut significant = 0;
        loop {
            match rest.peek().copied() {
                None | Some(',') => break,
                Some('{') => return Err(Error::unsupported("an array of more than one dimension")),
                Some('}') => return Err(malformed()),
                Some('"') => {
                    rest.next();
                    quoted = true;
                    loop {
                        match rest.next().ok_or_else(malformed)? {
                            '"' => break,
                            '\\' => value.push(rest.next().ok_or_else(malformed)?),
                            c => value.push(c),
                        }
                    }
                    significant = value.len();
                }
                Some('\\') => {
                    rest.next();
                    value.push(rest.next().ok_or_else(malformed)?);
                    quoted = true;
                    significant = value.len();
                }
                Some(c) => {
                    rest.next();
                    value.push(c);
                    if !c.is_ascii_whitespace() {
                        significant = value.len();
                    }
                }
            }
        }
        value.truncate(significant);
        if value.is_empty() && !quoted {
            return Err(malformed());
        }
        elements.push(Some(value).filter(|value| quoted || !value.eq_ignore_ascii_case("null")));
        if rest.next().is_none() {
            return Ok(elements);
        }
    }
}

/// Appends an element's text, quoted where it must be.
fn put_element(text: &str, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// From text to binary.
pub(crate) fn put_binary(text: &str, element: &SqlType, context: &TextContext, out: &mut BytesMut) -> Result<()> {
    let elements = elements(text)?;
    out.put_i32(i32::from(!elements.is_empty()));
    out.put_i32(i32::from(elements.iter().any(Option::is_none)));
    out.put_u32(element.oid().0);
    if elements.is_empty() {
        return Ok(());
    }
    out.put_i32(i32::try_from(elements.len()).map_err(|_| Error::internal("an array too large"))?);
    out.put_i32(1);
    for value in elements {
        let Some(value) = value else {
            out.put_i32(-1);
            continue;
        };
        let at = out.len();
        out.put_i32(0);
        let datum = parse_text(element, &value, context)?;
        binary::put_datum(datum.as_ref(), element, context, out)?;
        let len = (out.len() - at - 4) as i32;
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&len.to_be_bytes());
        }
    }
    Ok(())
}

/// From binary to text.
pub(crate) fn read_binary(mut bytes: &[u8], element: &SqlType, context: &TextContext, what: &str) -> Result<String> {
    let wrong =
        || Error::invalid(SqlState::INVALID_BINARY_REPRESENTATION, format!("incorrect binary data format in {what}"));
    let dimensions = bytes.try_get_i32().map_err(|_| wrong())?;
    let _has_nulls = bytes.try_get_i32().map_err(|_| wrong())?;
    let oid = bytes.try_get_u32().map_err(|_| wrong())?;
    if oid != element.oid().0 {
        return Err(Error::invalid(
            SqlState::DATATYPE_MISMATCH,
            format!("binary data has array element type {oid} instead of expected {}", element.oid()),
        ));
    }
    match dimensions {
        0 => return if bytes.is_empty() { Ok("{}".to_owned()) } else { Err(wrong()) },
        1 => {}
        _ => return Err(Error::unsupported("an array of more than one dimension")),
    }
    let count = bytes.try_get_i32().map_err(|_| wrong())?;
    let _lower_bound = bytes.try_get_i32().map_err(|_| wrong())?;
    let mut text = String::from("{");
    for at in 0..count {
        if at > 0 {
            text.push(',');
        }
        let len = bytes.try_get_i32().map_err(|_| wrong())?;
        if len == -1 {
            text.push_str("NULL");
            continue;
        }
        let len = usize::try_from(len).map_err(|_| wrong())?;
        let (value, rest) = bytes.split_at_checked(len).ok_or_else(wrong)?;
        bytes = rest;
        let mut shown = String::new();
        write_text(binary::read(value, element, context, what)?.as_ref(), element, context, &mut shown);
        put_element(&shown, &mut text);
    }
    if !bytes.is_empty() {
        return Err(wrong());
    }
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_taken_apart() {
        let parsed = elements(r#"{1, two words ,"a,\"b\\",NULL,"null",""}"#).unwrap();
        let expected = [Some("1"), Some("two words"), Some("a,\"b\\"), None, Some("null"), Some("")];
        assert_eq!(parsed, expected.map(|e| e.map(str::to_owned)));
        assert_eq!(elements("{}").unwrap(), []);
        for wrong in ["", "{", "1", "{1,}", "{,}", "{\"a}", "{a\\"] {
            assert!(elements(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn binary_and_text_agree() {
        let context = TextContext::default();
        for text in [r#"{}"#, r#"{a,"b c",NULL,"null","","q\"\\"}"#] {
            let mut bytes = BytesMut::new();
            put_binary(text, &SqlType::Text, &context, &mut bytes).unwrap();
            assert_eq!(read_binary(&bytes, &SqlType::Text, &context, "here").unwrap(), text);
            for len in 0..bytes.len() {
                assert!(read_binary(&bytes[..len], &SqlType::Text, &context, "here").is_err());
            }
        }
    }
}
