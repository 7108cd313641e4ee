//! Rows as values: `ROW(a, b)`, a table's name where a value is expected, and their fields.

use heliosdb_types::{
    Datum, DatumRef, Error, PhysicalType, RecordField, Result, RowLayout, RowView, SqlState, SqlType, encode_row,
};

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
        return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
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

/// `(record).name`
pub fn field(record: Typed, name: &str) -> Result<Typed> {
    let SqlType::Record(fields) = &record.sql_type else {
        let of = record.sql_type.name();
        let message = format!("column notation .{name} applied to type {of}, which is not a composite type");
        return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
    };
    let Some((at, found)) = fields.iter().enumerate().find(|(_, field)| field.name == name) else {
        let message = format!("could not identify column \"{name}\" in record data type");
        return Err(Error::invalid(SqlState::UNDEFINED_COLUMN, message));
    };
    let types: Vec<PhysicalType> = fields.iter().map(|field| physical_of_type(&field.sql_type)).collect();
    let (layout, physical) = (RowLayout::new(&types), physical_of_type(&found.sql_type));
    let key = format!("field {at} of {types:?}");
    let function = Function::strict("field", key, vec![PhysicalType::Bytes], physical, move |values| match values {
        [DatumRef::Bytes(bytes)] => Ok(RowView::new(&layout, bytes)?.get(at)?.to_owned()),
        _ => Err(Error::internal("a row is bytes")),
    });
    Ok(Typed::new(function.call(vec![record.expr]), found.sql_type.clone()))
}

/// `record IS [NOT] NULL`: whether all its fields are (not) NULL. Fields that are rows are not looked into.
pub fn row_is_null(record: Typed, negated: bool) -> Result<Typed> {
    let SqlType::Record(fields) = &record.sql_type else { return Err(Error::internal("IS NULL of a row takes a row")) };
    let types: Vec<PhysicalType> = fields.iter().map(|field| physical_of_type(&field.sql_type)).collect();
    let (layout, count) = (RowLayout::new(&types), types.len());
    let key = format!("row is null {negated} of {types:?}");
    let function = Function::values("row_is_null", key, vec![PhysicalType::Bytes], PhysicalType::Bool, move |values| {
        let [DatumRef::Bytes(bytes)] = values else { return Ok(Datum::Bool(!negated)) };
        let row = RowView::new(&layout, bytes)?;
        for at in 0..count {
            if row.get(at)?.is_null() == negated {
                return Ok(Datum::Bool(false));
            }
        }
        Ok(Datum::Bool(true))
    });
    Ok(Typed::new(function.call(vec![record.expr]), SqlType::Bool))
}
