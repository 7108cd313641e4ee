//! Typed expressions and single values: constructors and what every other module here asks of them.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use heliosdb_contracts::{arrow_type, datum_at};
use heliosdb_types::{Datum, DatumRef, Error, Numeric, PhysicalType, Result, SqlType};

use arrow_schema::DataType;

use super::Typed;
use crate::exec::scalar_of;

impl Typed {
    /// An expression whose Arrow type follows its SQL type.
    pub(crate) fn new(expr: Expr, sql_type: SqlType) -> Typed {
        let arrow = arrow_type(physical_of_type(&sql_type));
        Typed { expr, sql_type, arrow }
    }

    /// A numeric expression in one of its three forms.
    pub(super) fn numeric(expr: Expr, physical: PhysicalType) -> Typed {
        Typed { expr, sql_type: SqlType::Numeric(None), arrow: arrow_type(physical) }
    }

    /// How the values travel.
    pub(crate) fn physical(&self) -> PhysicalType {
        match (&self.sql_type, &self.arrow) {
            (SqlType::Numeric(_), DataType::Decimal64(precision, scale)) => {
                PhysicalType::Decimal64 { precision: *precision, scale: *scale }
            }
            (SqlType::Numeric(_), DataType::Decimal128(precision, scale)) => {
                PhysicalType::Decimal128 { precision: *precision, scale: *scale }
            }
            (SqlType::Numeric(_), _) => PhysicalType::Numeric,
            (other, _) => physical_of_type(other),
        }
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.sql_type == SqlType::Unknown
    }

    pub(super) fn is_literal(&self) -> bool {
        matches!(self.expr, Expr::Literal(..))
    }

    pub(super) fn is_null_literal(&self) -> bool {
        matches!(&self.expr, Expr::Literal(value, _) if value.is_null())
    }

    /// The value of a literal.
    pub(super) fn literal_datum(&self) -> Option<Datum> {
        let Expr::Literal(value, _) = &self.expr else { return None };
        let array = value.to_array().ok()?;
        datum_at(&array, 0, self.physical()).ok().map(|datum| datum.to_owned())
    }
}

/// The physical type of values of a type in plans; what cannot be stored travels as text.
pub(crate) fn physical_of_type(sql_type: &SqlType) -> PhysicalType {
    sql_type.carried()
}

/// A literal of a type whose values have `physical`'s shape.
pub(super) fn literal_of(value: &Datum, sql_type: SqlType, physical: PhysicalType) -> Result<Typed> {
    let expr = Expr::Literal(scalar_of(physical, value.as_ref())?, None);
    Ok(Typed { expr, sql_type, arrow: arrow_type(physical) })
}

/// NULL of a type.
pub(super) fn null_of(sql_type: &SqlType) -> Result<Typed> {
    literal_of(&Datum::Null, sql_type.clone(), physical_of_type(sql_type))
}

pub(super) fn text_literal(text: &str, sql_type: SqlType) -> Typed {
    Typed::new(Expr::Literal(ScalarValue::Utf8View(Some(text.to_owned())), None), sql_type)
}

/// Any number that travels exactly, as a numeric.
pub(super) fn numeric_of(value: DatumRef<'_>) -> Result<Numeric> {
    Ok(match value {
        DatumRef::Numeric(bytes) => Numeric::from_bytes_unchecked(bytes),
        DatumRef::Decimal { unscaled, scale } => Numeric::from_unscaled(unscaled, scale),
        DatumRef::Int16(v) => Numeric::from_i64(i64::from(v)),
        DatumRef::Int32(v) => Numeric::from_i64(i64::from(v)),
        DatumRef::Int64(v) => Numeric::from_i64(v),
        DatumRef::Float32(v) => Numeric::from_f32(v),
        DatumRef::Float64(v) => Numeric::from_f64(v),
        other => return Err(wrong_shape("a number", other)),
    })
}

pub(super) fn text_of_datum(value: DatumRef<'_>) -> Result<&str> {
    match value {
        DatumRef::Text(text) => Ok(text),
        other => Err(wrong_shape("text", other)),
    }
}

pub(super) fn int_of(value: DatumRef<'_>) -> Result<i64> {
    match value {
        DatumRef::Int16(v) => Ok(i64::from(v)),
        DatumRef::Int32(v) => Ok(i64::from(v)),
        DatumRef::Int64(v) => Ok(v),
        other => Err(wrong_shape("an integer", other)),
    }
}

pub(super) fn float_of(value: DatumRef<'_>) -> Result<f64> {
    match value {
        DatumRef::Float32(v) => Ok(f64::from(v)),
        DatumRef::Float64(v) => Ok(v),
        other => Err(wrong_shape("a float", other)),
    }
}

pub(super) fn wrong_shape(expected: &str, value: DatumRef<'_>) -> Error {
    Error::internal(format!("expected {expected}, got {value:?}"))
}
