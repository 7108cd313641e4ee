//! Functions of JSON that give rows.

use heliosdb_types::{Datum, DatumRef, JsonbKind, Result, SqlType, json_kind, split_json};

use super::super::rows::RowsCall;
use super::super::{FuncContext, Typed};
use super::{document, invalid, jsonb_of, unquoted, unquoted_json, wrong_arguments};

pub(in crate::func) fn gives_rows(name: &str) -> bool {
    let name = name.strip_prefix("jsonb_").or_else(|| name.strip_prefix("json_"));
    matches!(name, Some("array_elements" | "array_elements_text" | "each" | "each_text" | "object_keys"))
}

/// `None`: not a function of JSON that gives rows.
pub(in crate::func) fn rows(name: &str, args: &[Typed], ctx: &FuncContext) -> Option<Result<RowsCall>> {
    gives_rows(name).then(|| call(name, args, ctx))
}

fn call(name: &str, args: &[Typed], ctx: &FuncContext) -> Result<RowsCall> {
    if args.len() != 1 {
        return Err(super::super::aggregate::undefined(name, args));
    }
    let document = document(name, args, ctx)?;
    let binary = document.sql_type == SqlType::Jsonb;
    let as_text = name.ends_with("_text");
    let value = if as_text { SqlType::Text } else { document.sql_type.clone() };
    let shown = name.to_owned();
    let kind = name.strip_prefix("jsonb_").or_else(|| name.strip_prefix("json_")).unwrap_or(name);
    if kind.starts_with("array_elements") {
        return Ok(RowsCall::new(name, "", vec![document], vec![("value", value)], move |values, out| {
            let [document] = values else { return Err(wrong_arguments()) };
            if document.is_null() {
                return Ok(());
            }
            if let DatumRef::Text(text) = document {
                match json_kind(text) {
                    JsonbKind::Array => {}
                    JsonbKind::Object => return Err(invalid(format!("cannot call {shown} on a non-array"))),
                    _ => return Err(invalid(format!("cannot call {shown} on a scalar"))),
                }
                for part in split_json(text)? {
                    out.row(&[json_part(part.text, as_text)?.as_ref()])?;
                }
                return Ok(());
            }
            let array = jsonb_of(*document)?;
            match array.kind()? {
                JsonbKind::Array => {}
                JsonbKind::Object => return Err(invalid("cannot extract elements from an object")),
                _ => return Err(invalid("cannot extract elements from a scalar")),
            }
            for element in array.elements()? {
                let element = element?;
                if as_text {
                    out.row(&[unquoted(element)?.as_ref()])?;
                } else {
                    out.row(&[DatumRef::Bytes(element.as_bytes())])?;
                }
            }
            Ok(())
        }));
    }
    let keys_only = kind == "object_keys";
    let columns = if keys_only { vec![(name, SqlType::Text)] } else { vec![("key", SqlType::Text), ("value", value)] };
    Ok(RowsCall::new(name, "", vec![document], columns, move |values, out| {
        let [document] = values else { return Err(wrong_arguments()) };
        if document.is_null() {
            return Ok(());
        }
        let kind = match document {
            DatumRef::Text(text) => json_kind(text),
            value => jsonb_of(*value)?.kind()?,
        };
        if kind != JsonbKind::Object {
            let of = if kind == JsonbKind::Array { "an array" } else { "a scalar" };
            return Err(invalid(match (keys_only, binary) {
                (true, _) => format!("cannot call {shown} on {of}"),
                (false, true) => format!("cannot call {shown} on a non-object"),
                (false, false) if kind == JsonbKind::Array => "cannot deconstruct an array as an object".to_owned(),
                (false, false) => "cannot deconstruct a scalar".to_owned(),
            }));
        }
        if let DatumRef::Text(text) = document {
            for part in split_json(text)? {
                let key = part.key.as_deref().unwrap_or_default();
                if keys_only {
                    out.row(&[DatumRef::Text(key)])?;
                } else {
                    out.row(&[DatumRef::Text(key), json_part(part.text, as_text)?.as_ref()])?;
                }
            }
            return Ok(());
        }
        for member in jsonb_of(*document)?.members()? {
            let (key, value) = member?;
            if keys_only {
                out.row(&[DatumRef::Text(key)])?;
            } else if as_text {
                out.row(&[DatumRef::Text(key), unquoted(value)?.as_ref()])?;
            } else {
                out.row(&[DatumRef::Text(key), DatumRef::Bytes(value.as_bytes())])?;
            }
        }
        Ok(())
    }))
}

fn json_part(text: &str, as_text: bool) -> Result<Datum> {
    if as_text { unquoted_json(text) } else { Ok(Datum::Text(text.to_owned())) }
}
