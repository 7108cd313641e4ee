//! SQL values as JSON.

use std::borrow::Cow;
use std::sync::Arc;

use heliosdb_types::{
    ArrayView, Datum, DatumRef, JsonTree, Jsonb, Result, RowLayout, RowView, SqlType, TextContext, check_json,
    parse_json_tree, text_of, write_json_string, write_jsonb,
};

use super::super::value::{numeric_of, physical_of_type};
use super::{invalid, wrong_arguments};

/// How values of one SQL type become JSON.
#[derive(Clone, Debug)]
pub(in crate::func) struct Converter {
    pub sql_type: SqlType,
    text: Arc<TextContext>,
}

impl Converter {
    pub fn new(sql_type: &SqlType, text: &Arc<TextContext>) -> Converter {
        Converter { sql_type: sql_type.clone(), text: Arc::clone(text) }
    }

    /// What a function's key says of the conversion.
    pub fn key(&self) -> String {
        format!("{} {}", super::super::type_key(&self.sql_type), self.text.time_zone.name())
    }

    /// Arrays and rows, which `json_agg` puts on lines of their own.
    pub fn is_container(&self) -> bool {
        matches!(self.sql_type, SqlType::Array(_) | SqlType::Record(_))
    }

    /// Appends a value's JSON text. `pretty`: parts of the outermost array or row are on lines of their own.
    pub fn write(&self, value: DatumRef<'_>, pretty: bool, out: &mut String) -> Result<()> {
        write(value, &self.sql_type, &self.text, pretty, out)
    }

    /// A value as a tree.
    pub fn tree<'a>(&self, value: DatumRef<'a>) -> Result<JsonTree<'a>> {
        tree(value, &self.sql_type, &self.text)
    }

    /// A value as an object's key.
    pub fn member_name(&self, value: DatumRef<'_>) -> Result<String> {
        match &self.sql_type {
            SqlType::Json | SqlType::Jsonb | SqlType::Array(_) | SqlType::Record(_) => {
                Err(invalid("key value must be scalar, not array, composite, or json"))
            }
            SqlType::Bool => Ok((if value == DatumRef::Bool(true) { "true" } else { "false" }).to_owned()),
            sql_type => Ok(scalar_text(value, sql_type, &self.text)),
        }
    }
}

/// What stands inside the quotes: dates and times as ISO 8601 has them, everything else as PostgreSQL prints it.
fn scalar_text(value: DatumRef<'_>, sql_type: &SqlType, context: &TextContext) -> String {
    let text = text_of(value, sql_type, context);
    if !matches!(value, DatumRef::Timestamp(_) | DatumRef::TimestampTz(_)) {
        return text;
    }
    let (body, era) = text.strip_suffix(" BC").map_or((text.as_str(), ""), |body| (body, " BC"));
    let Some((date, time)) = body.split_once(' ') else { return text };
    // A zone is written with minutes.
    let short = time.rfind(['+', '-']).is_some_and(|at| time.len() - at == 3);
    let minutes = if short { ":00" } else { "" };
    format!("{date}T{time}{minutes}{era}")
}

fn is_number(sql_type: &SqlType) -> bool {
    super::super::cast::is_number(sql_type)
}

fn write(value: DatumRef<'_>, sql_type: &SqlType, context: &TextContext, pretty: bool, out: &mut String) -> Result<()> {
    match (value, sql_type) {
        (DatumRef::Null, _) => out.push_str("null"),
        (DatumRef::Bool(value), _) => out.push_str(if value { "true" } else { "false" }),
        (DatumRef::Text(text), SqlType::Json) => out.push_str(text),
        (DatumRef::Bytes(bytes), SqlType::Jsonb) => write_jsonb(Jsonb::new(bytes), false, out)?,
        (DatumRef::Bytes(bytes), SqlType::Array(element)) => {
            let array = ArrayView::new(element, bytes)?;
            let lengths: Vec<usize> = array.dimensions().iter().map(|dimension| dimension.length as usize).collect();
            let values = array.to_datums()?;
            write_array(&values, &lengths, element, context, pretty, out)?;
        }
        (DatumRef::Bytes(bytes), SqlType::Record(fields)) => {
            let types: Vec<_> = fields.iter().map(|field| physical_of_type(&field.sql_type)).collect();
            let layout = RowLayout::new(&types);
            let row = RowView::new(&layout, bytes)?;
            out.push('{');
            for (at, field) in fields.iter().enumerate() {
                if at > 0 {
                    out.push_str(if pretty { ",\n " } else { "," });
                }
                write_json_string(&field.name, out);
                out.push(':');
                write(row.get(at)?, &field.sql_type, context, false, out)?;
            }
            out.push('}');
        }
        (value, number) if is_number(number) => {
            let text = text_of(value, number, context);
            // NaN and infinities are no JSON numbers.
            if check_json(&text).is_ok() {
                out.push_str(&text);
            } else {
                write_json_string(&text, out);
            }
        }
        (value, sql_type) => write_json_string(&scalar_text(value, sql_type, context), out),
    }
    Ok(())
}

fn write_array(
    values: &[Datum],
    lengths: &[usize],
    element: &SqlType,
    context: &TextContext,
    pretty: bool,
    out: &mut String,
) -> Result<()> {
    out.push('[');
    let parts = lengths.first().copied().unwrap_or(0);
    let size = values.len() / parts.max(1);
    for (at, part) in values.chunks(size.max(1)).enumerate() {
        if at > 0 {
            out.push_str(if pretty { ",\n " } else { "," });
        }
        match (lengths, part) {
            ([_], [value]) => write(value.as_ref(), element, context, false, out)?,
            ([_, rest @ ..], part) => write_array(part, rest, element, context, false, out)?,
            _ => return Err(wrong_arguments()),
        }
    }
    out.push(']');
    Ok(())
}

fn tree<'a>(value: DatumRef<'a>, sql_type: &SqlType, context: &TextContext) -> Result<JsonTree<'a>> {
    Ok(match (value, sql_type) {
        (DatumRef::Null, _) => JsonTree::Null,
        (DatumRef::Bool(value), _) => JsonTree::Bool(value),
        (DatumRef::Text(text), SqlType::Json) => parse_json_tree(text)?,
        (DatumRef::Bytes(bytes), SqlType::Jsonb) => JsonTree::Encoded(Jsonb::new(bytes)),
        (DatumRef::Bytes(bytes), SqlType::Array(element)) => {
            let array = ArrayView::new(element, bytes)?;
            let lengths: Vec<usize> = array.dimensions().iter().map(|dimension| dimension.length as usize).collect();
            array_tree(&array.to_datums()?, &lengths, element, context)?
        }
        (DatumRef::Bytes(bytes), SqlType::Record(fields)) => {
            let types: Vec<_> = fields.iter().map(|field| physical_of_type(&field.sql_type)).collect();
            let layout = RowLayout::new(&types);
            let row = RowView::new(&layout, bytes)?;
            let mut members = Vec::with_capacity(fields.len());
            for (at, field) in fields.iter().enumerate() {
                let value = tree(row.get(at)?, &field.sql_type, context)?.encode()?;
                members.push((Cow::Owned(field.name.clone()), JsonTree::Owned(value)));
            }
            JsonTree::Object(members)
        }
        (value, number) if is_number(number) => {
            let number = numeric_of(value)?;
            if number.is_finite() {
                // A float is read from its shortest text, as PostgreSQL does.
                match value {
                    DatumRef::Float32(_) | DatumRef::Float64(_) => {
                        JsonTree::Number(heliosdb_types::Numeric::parse(&text_of(value, sql_type, context))?)
                    }
                    _ => JsonTree::Number(number),
                }
            } else {
                JsonTree::String(Cow::Owned(text_of(value, sql_type, context)))
            }
        }
        (DatumRef::Text(text), _) => JsonTree::String(Cow::Borrowed(text)),
        (value, sql_type) => JsonTree::String(Cow::Owned(scalar_text(value, sql_type, context))),
    })
}

fn array_tree<'a>(
    values: &[Datum],
    lengths: &[usize],
    element: &SqlType,
    context: &TextContext,
) -> Result<JsonTree<'a>> {
    let parts = lengths.first().copied().unwrap_or(0);
    let size = values.len() / parts.max(1);
    let mut elements = Vec::with_capacity(parts);
    for part in values.chunks(size.max(1)) {
        elements.push(match (lengths, part) {
            ([_], [value]) => JsonTree::Owned(tree(value.as_ref(), element, context)?.encode()?),
            ([_, rest @ ..], part) => array_tree(part, rest, element, context)?,
            _ => return Err(wrong_arguments()),
        });
    }
    Ok(JsonTree::Array(elements))
}
