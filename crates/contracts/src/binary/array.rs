//! Arrays in PostgreSQL's binary format, both ways.

use bytes::{Buf, BufMut, BytesMut};
use heliosdb_types::{
    ARRAY_DIMENSIONS_MAX, ArrayBuilder, ArrayView, DatumRef, Dimension, Error, Result, SqlState, SqlType, TextContext,
    element_count, too_many_dimensions,
};

/// From our form to the wire's.
pub fn put_binary(bytes: &[u8], element: &SqlType, context: &TextContext, out: &mut BytesMut) -> Result<()> {
    let array = ArrayView::new(element, bytes)?;
    out.put_i32(array.dimensions().len() as i32);
    let flag = out.len();
    out.put_i32(0);
    out.put_u32(element.oid().0);
    for dimension in array.dimensions() {
        out.put_i32(dimension.length as i32);
        out.put_i32(dimension.lower);
    }
    let mut nulls = false;
    for value in array.iter() {
        let value = value?;
        if value.is_null() {
            nulls = true;
            out.put_i32(-1);
            continue;
        }
        let at = out.len();
        out.put_i32(0);
        super::put_datum(value.as_ref(), element, context, out)?;
        let len = (out.len() - at - 4) as i32;
        put_at(out, at, len);
    }
    put_at(out, flag, i32::from(nulls));
    Ok(())
}

fn put_at(out: &mut BytesMut, at: usize, value: i32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// From the wire's form to ours; `what` names the value in errors.
pub fn read_binary(mut bytes: &[u8], element: &SqlType, context: &TextContext, what: &str) -> Result<Vec<u8>> {
    let wrong =
        || Error::invalid(SqlState::INVALID_BINARY_REPRESENTATION, format!("incorrect binary data format in {what}"));
    let count = bytes.try_get_i32().map_err(|_| wrong())?;
    let flags = bytes.try_get_i32().map_err(|_| wrong())?;
    let oid = bytes.try_get_u32().map_err(|_| wrong())?;
    let invalid = |message: String| Error::invalid(SqlState::INVALID_BINARY_REPRESENTATION, message);
    let dimensions = usize::try_from(count).map_err(|_| invalid(format!("invalid number of dimensions: {count}")))?;
    if dimensions > ARRAY_DIMENSIONS_MAX {
        return Err(too_many_dimensions(dimensions));
    }
    if !matches!(flags, 0 | 1) {
        return Err(invalid("invalid array flags".to_owned()));
    }
    if oid != element.oid().0 {
        return Err(Error::invalid(
            SqlState::DATATYPE_MISMATCH,
            format!("binary data has array element type {oid} instead of expected {}", element.oid()),
        ));
    }
    let mut shape = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let length = bytes.try_get_i32().map_err(|_| wrong())?;
        let lower = bytes.try_get_i32().map_err(|_| wrong())?;
        shape.push(Dimension::new(usize::try_from(length).map_err(|_| wrong())?, lower)?);
    }
    let count = element_count(&shape)?;
    let mut builder = ArrayBuilder::new(element)?;
    for _ in 0..count {
        let len = bytes.try_get_i32().map_err(|_| wrong())?;
        if len == -1 {
            builder.push(DatumRef::Null)?;
            continue;
        }
        let len = usize::try_from(len).map_err(|_| wrong())?;
        let (value, rest) = bytes.split_at_checked(len).ok_or_else(wrong)?;
        bytes = rest;
        builder.push(super::read(value, element, context, what)?.as_ref())?;
    }
    if !bytes.is_empty() {
        return Err(wrong());
    }
    builder.finish_as(&shape)
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{parse_array, write_array};

    use super::*;

    #[test]
    fn binary_and_text_agree() {
        let context = TextContext::default();
        for (element, text) in [
            (SqlType::Text, r#"{}"#),
            (SqlType::Text, r#"{a,"b c",NULL,"null","","q\"\\"}"#),
            (SqlType::Int4, "{{1,2},{3,NULL}}"),
            (SqlType::Int8, "[0:1]={5,6}"),
            (SqlType::Numeric(None), "{1.50,-2}"),
            (SqlType::Timestamptz(None), r#"{"2024-01-02 03:04:05+00"}"#),
        ] {
            let ours = parse_array(&element, text, &context).unwrap();
            let mut bytes = BytesMut::new();
            put_binary(&ours, &element, &context, &mut bytes).unwrap();
            let read = read_binary(&bytes, &element, &context, "here").unwrap();
            let mut shown = String::new();
            write_array(&element, &read, &context, &mut shown);
            assert_eq!(shown, text);
            for len in 0..bytes.len() {
                assert!(read_binary(&bytes[..len], &element, &context, "here").is_err());
            }
        }
    }

    #[test]
    fn hostile_sizes_are_refused() {
        let context = TextContext::default();
        let mut bytes = BytesMut::new();
        for value in [2, 0, 23, i32::MAX, 1, i32::MAX, 1] {
            bytes.put_i32(value);
        }
        assert!(read_binary(&bytes, &SqlType::Int4, &context, "here").is_err());
    }
}
