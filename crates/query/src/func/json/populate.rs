//! `json_to_record(document) AS t (a int, b text)` and `json_to_recordset`: members as typed columns.

use std::borrow::Cow;
use std::sync::Arc;

use heliosdb_types::{
    ArrayBuilder, Datum, DatumRef, JsonTree, Jsonb, JsonbKind, Result, SqlType, TextContext, parse_json_tree,
    parse_text, text_of,
};

use super::super::rows::RowsCall;
use super::super::{FuncContext, Typed};
use super::{document, invalid, unquoted, wrong_arguments};

/// A column of the definition list.
#[derive(Clone, Debug)]
pub struct RecordColumn {
    pub name: String,
    pub sql_type: SqlType,
}

/// Whether a function in FROM takes a column definition list.
pub fn is_record_function(name: &str) -> bool {
    matches!(name, "json_to_record" | "jsonb_to_record" | "json_to_recordset" | "jsonb_to_recordset")
}

/// The rows of such a call.
pub fn record_rows(name: &str, args: &[Typed], columns: Vec<RecordColumn>, ctx: &FuncContext) -> Result<RowsCall> {
    let document = document(name, args, ctx)?;
    let set = name.ends_with("set");
    let text = Arc::clone(&ctx.text);
    let shown = name.to_owned();
    let types = columns.iter().map(|column| format!("{} {}", column.name, super::super::type_key(&column.sql_type)));
    let key = format!("{} {}", types.collect::<Vec<_>>().join(", "), text.time_zone.name());
    let wanted = columns.clone();
    let columns = columns.iter().map(|column| (column.name.as_str(), column.sql_type.clone())).collect();
    Ok(RowsCall::new(name, key, vec![document], columns, move |values, out| {
        let [document] = values else { return Err(wrong_arguments()) };
        let encoded: Cow<'_, [u8]> = match document {
            DatumRef::Null if set => return Ok(()),
            DatumRef::Null => Cow::Owned(JsonTree::Object(Vec::new()).encode()?),
            DatumRef::Text(text) => Cow::Owned(parse_json_tree(text)?.encode()?),
            DatumRef::Bytes(bytes) => Cow::Borrowed(bytes),
            _ => return Err(wrong_arguments()),
        };
        let value = Jsonb::new(&encoded);
        let mut row = |object: Jsonb<'_>| -> Result<()> {
            let mut fields = Vec::with_capacity(wanted.len());
            for column in &wanted {
                let member = object.member(&column.name)?;
                fields.push(member.map_or(Ok(Datum::Null), |member| field(member, &column.sql_type, &text))?);
            }
            out.row(&fields.iter().map(Datum::as_ref).collect::<Vec<_>>())
        };
        match (value.kind()?, set) {
            (JsonbKind::Object, false) => row(value),
            (JsonbKind::Array, true) => {
                for element in value.elements()? {
                    let element = element?;
                    if element.kind()? != JsonbKind::Object {
                        return Err(invalid(format!("argument of {shown} must be an array of objects")));
                    }
                    row(element)?;
                }
                Ok(())
            }
            (JsonbKind::Object, true) => Err(invalid(format!("cannot call {shown} on an object"))),
            (JsonbKind::Array, false) => Err(invalid(format!("cannot call {shown} on an array"))),
            (_, _) => Err(invalid(format!("cannot call {shown} on a scalar"))),
        }
    }))
}

/// A member as a value of a column's type.
fn field(value: Jsonb<'_>, sql_type: &SqlType, text: &TextContext) -> Result<Datum> {
    match (sql_type, value.kind()?) {
        (_, JsonbKind::Null) => Ok(Datum::Null),
        (SqlType::Jsonb, _) => Ok(Datum::Bytes(value.as_bytes().to_vec())),
        (SqlType::Json, _) => Ok(Datum::Text(text_of(DatumRef::Bytes(value.as_bytes()), &SqlType::Jsonb, text))),
        (SqlType::Array(element), JsonbKind::Array) => {
            let mut builder = ArrayBuilder::new(element)?;
            for part in value.elements()? {
                builder.push(field(part?, element, text)?.as_ref())?;
            }
            builder.finish().map(Datum::Bytes)
        }
        (SqlType::Array(_), _) => Err(heliosdb_types::Error::invalid(
            heliosdb_types::SqlState::INVALID_TEXT_REPRESENTATION,
            "expected JSON array",
        )),
        (sql_type, _) => match unquoted(value)? {
            Datum::Text(shown) => parse_text(sql_type, &shown, text),
            other => Ok(other),
        },
    }
}
