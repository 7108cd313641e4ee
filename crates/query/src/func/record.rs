//! Rows as values: `ROW(a, b)` and a table's name where a value is expected.

use heliosdb_types::{Datum, DatumRef, PhysicalType, RecordField, Result, SqlType, encode_row};

use super::cast::to_numeric_bytes;
use super::udf::Function;
use super::value::physical_of_type;
use super::{CastKind, FuncContext, Typed, cast};

/// The most columns of a row, as in PostgreSQL.
const ROW_FIELDS_MAX: usize = 1664;

/// The row of these values. `nullable`: the row of a table an outer join may not have found, NULL if all its columns are.
pub fn row(fields: Vec<(String, Typed)>, nullable: bool, ctx: &FuncContext) -> Result<Typed> {
    if fields.len() > ROW_FIELDS_MAX {
        let message = format!("ROW expressions can have at most {ROW_FIELDS_MAX} entries");
        return Err(heliosdb_types::Error::invalid(heliosdb_types::SqlState::TOO_MANY_COLUMNS, message));
    }
    let mut types = Vec::with_capacity(fields.len());
    let mut exprs = Vec::with_capacity(fields.len());
    let mut record = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let value = if value.is_unknown() { cast(value, &SqlType::Text, CastKind::Implicit, ctx)? } else { value };
        // All numerics have one form here, so that the type alone tells how to read the row.
        let value = match value.sql_type {
            SqlType::Numeric(_) => Typed { sql_type: SqlType::Numeric(None), ..to_numeric_bytes(value) },
            _ => value,
        };
        types.push(physical_of_type(&value.sql_type));
        exprs.push(value.expr);
        record.push(RecordField { name, sql_type: value.sql_type });
    }
    let (arguments, layout) = (types.clone(), types);
    let key = format!("row {nullable}");
    let function = Function::values("row", key, arguments, PhysicalType::Bytes, move |values| {
        if nullable && values.iter().all(DatumRef::is_null) {
            return Ok(Datum::Null);
        }
        let mut out = Vec::new();
        encode_row(&layout, values, &mut out)?;
        Ok(Datum::Bytes(out))
    });
    Ok(Typed::new(function.call(exprs), SqlType::Record(record)))
}
