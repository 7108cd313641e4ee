//! Single values into Arrow arrays and scalars: the opposite of `contracts::datum_at`.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryViewBuilder, BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder, StringViewBuilder,
};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, Decimal64Array, Int32Array, Int64Array, TimestampMicrosecondArray};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{DatumRef, Error, PhysicalType, Result};

/// Collects values of one physical type into an array of `contracts::arrow_type`.
pub(crate) struct ColumnBuilder {
    physical: PhysicalType,
    inner: Inner,
}

enum Inner {
    Bool(BooleanBuilder),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal64(PrimitiveBuilder<Decimal64Type>, i8),
    Decimal128(PrimitiveBuilder<Decimal128Type>, i8),
    Bytes(BinaryViewBuilder),
    Text(StringViewBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    Interval(PrimitiveBuilder<IntervalMonthDayNanoType>),
    Uuid(FixedSizeBinaryBuilder),
}

/// So few values get small blocks: the first of a growing one has 16 kB.
const FEW: usize = 16;
const FEW_BYTES: u32 = 512;

fn primitive<T: ArrowPrimitiveType>(physical: PhysicalType, capacity: usize) -> PrimitiveBuilder<T> {
    PrimitiveBuilder::with_capacity(capacity).with_data_type(arrow_type(physical))
}

impl ColumnBuilder {
    pub(crate) fn new(physical: PhysicalType, capacity: usize) -> ColumnBuilder {
        let inner = match physical {
            PhysicalType::Bool => Inner::Bool(BooleanBuilder::with_capacity(capacity)),
            PhysicalType::Int16 => Inner::Int16(primitive(physical, capacity)),
            PhysicalType::Int32 => Inner::Int32(primitive(physical, capacity)),
            PhysicalType::Int64 => Inner::Int64(primitive(physical, capacity)),
            PhysicalType::Float32 => Inner::Float32(primitive(physical, capacity)),
            PhysicalType::Float64 => Inner::Float64(primitive(physical, capacity)),
            PhysicalType::Decimal64 { scale, .. } => Inner::Decimal64(primitive(physical, capacity), scale),
            PhysicalType::Decimal128 { scale, .. } => Inner::Decimal128(primitive(physical, capacity), scale),
            PhysicalType::Numeric | PhysicalType::Bytes if capacity <= FEW => {
                Inner::Bytes(BinaryViewBuilder::with_capacity(capacity).with_fixed_block_size(FEW_BYTES))
            }
            PhysicalType::Text if capacity <= FEW => {
                Inner::Text(StringViewBuilder::with_capacity(capacity).with_fixed_block_size(FEW_BYTES))
            }
            PhysicalType::Numeric | PhysicalType::Bytes => Inner::Bytes(BinaryViewBuilder::with_capacity(capacity)),
            PhysicalType::Text => Inner::Text(StringViewBuilder::with_capacity(capacity)),
            PhysicalType::Date => Inner::Date(primitive(physical, capacity)),
            PhysicalType::Time => Inner::Time(primitive(physical, capacity)),
            PhysicalType::Timestamp | PhysicalType::TimestampTz => Inner::Timestamp(primitive(physical, capacity)),
            PhysicalType::Interval => Inner::Interval(primitive(physical, capacity)),
            PhysicalType::Uuid => Inner::Uuid(FixedSizeBinaryBuilder::with_capacity(capacity, 16)),
        };
        ColumnBuilder { physical, inner }
    }

    /// Appends a value; one of another type is an internal error.
    pub(crate) fn push(&mut self, value: DatumRef<'_>) -> Result<()> {
        match (&mut self.inner, value) {
            (_, DatumRef::Null) => self.push_null(),
            (Inner::Bool(b), DatumRef::Bool(v)) => b.append_value(v),
            (Inner::Int16(b), DatumRef::Int16(v)) => b.append_value(v),
            (Inner::Int32(b), DatumRef::Int32(v)) => b.append_value(v),
            (Inner::Int64(b), DatumRef::Int64(v)) => b.append_value(v),
            (Inner::Float32(b), DatumRef::Float32(v)) => b.append_value(v),
            (Inner::Float64(b), DatumRef::Float64(v)) => b.append_value(v),
            (Inner::Decimal64(b, scale), DatumRef::Decimal { unscaled, scale: given }) if *scale == given => {
                b.append_value(i64::try_from(unscaled).map_err(|_| mismatch(self.physical, value))?);
            }
            (Inner::Decimal128(b, scale), DatumRef::Decimal { unscaled, scale: given }) if *scale == given => {
                b.append_value(unscaled);
            }
            (Inner::Bytes(b), DatumRef::Bytes(v) | DatumRef::Numeric(v)) => b.append_value(v),
            (Inner::Text(b), DatumRef::Text(v)) => b.append_value(v),
            (Inner::Date(b), DatumRef::Date(v)) => b.append_value(v),
            (Inner::Time(b), DatumRef::Time(v)) => b.append_value(v),
            (Inner::Timestamp(b), DatumRef::Timestamp(v) | DatumRef::TimestampTz(v)) => b.append_value(v),
            (Inner::Interval(b), DatumRef::Interval(v)) => {
                let nanos = v.micros.checked_mul(1000).ok_or_else(interval_out_of_range)?;
                b.append_value(IntervalMonthDayNano::new(v.months, v.days, nanos));
            }
            (Inner::Uuid(b), DatumRef::Uuid(v)) => b.append_value(v).map_err(|e| Error::internal(e.to_string()))?,
            _ => return Err(mismatch(self.physical, value)),
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match &mut self.inner {
            Inner::Bool(b) => b.append_null(),
            Inner::Int16(b) => b.append_null(),
            Inner::Int32(b) => b.append_null(),
            Inner::Int64(b) => b.append_null(),
            Inner::Float32(b) => b.append_null(),
            Inner::Float64(b) => b.append_null(),
            Inner::Decimal64(b, _) => b.append_null(),
            Inner::Decimal128(b, _) => b.append_null(),
            Inner::Bytes(b) => b.append_null(),
            Inner::Text(b) => b.append_null(),
            Inner::Date(b) => b.append_null(),
            Inner::Time(b) => b.append_null(),
            Inner::Timestamp(b) => b.append_null(),
            Inner::Interval(b) => b.append_null(),
            Inner::Uuid(b) => b.append_null(),
        }
    }

    pub(crate) fn finish(mut self) -> ArrayRef {
        match &mut self.inner {
            Inner::Bool(b) => Arc::new(b.finish()),
            Inner::Int16(b) => Arc::new(b.finish()),
            Inner::Int32(b) => Arc::new(b.finish()),
            Inner::Int64(b) => Arc::new(b.finish()),
            Inner::Float32(b) => Arc::new(b.finish()),
            Inner::Float64(b) => Arc::new(b.finish()),
            Inner::Decimal64(b, _) => Arc::new(b.finish()),
            Inner::Decimal128(b, _) => Arc::new(b.finish()),
            Inner::Bytes(b) => Arc::new(b.finish()),
            Inner::Text(b) => Arc::new(b.finish()),
            Inner::Date(b) => Arc::new(b.finish()),
            Inner::Time(b) => Arc::new(b.finish()),
            Inner::Timestamp(b) => Arc::new(b.finish()),
            Inner::Interval(b) => Arc::new(b.finish()),
            Inner::Uuid(b) => Arc::new(b.finish()),
        }
    }
}

fn mismatch(physical: PhysicalType, value: DatumRef<'_>) -> Error {
    Error::internal(format!("{value:?} in a {physical:?} column"))
}

fn interval_out_of_range() -> Error {
    Error::invalid(heliosdb_types::SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// An array of `values`.
pub(crate) fn array_of<'a>(physical: PhysicalType, values: impl IntoIterator<Item = DatumRef<'a>>) -> Result<ArrayRef> {
    let values = values.into_iter();
    let mut builder = ColumnBuilder::new(physical, values.size_hint().0);
    for value in values {
        builder.push(value)?;
    }
    Ok(builder.finish())
}

/// What an expression gave for `rows` rows. One value is made an array by itself: a builder would take 16 kB for a text.
pub(crate) fn into_array(value: ColumnarValue, rows: usize) -> DfResult<ArrayRef> {
    let scalar = match value {
        ColumnarValue::Array(array) => return Ok(array),
        ColumnarValue::Scalar(scalar) => scalar,
    };
    Ok(match scalar {
        ScalarValue::Utf8View(Some(text)) if rows <= FEW => {
            let mut builder =
                StringViewBuilder::with_capacity(rows).with_fixed_block_size(block_bytes(text.len(), rows));
            (0..rows).for_each(|_| builder.append_value(&text));
            Arc::new(builder.finish())
        }
        ScalarValue::BinaryView(Some(bytes)) if rows <= FEW => {
            let mut builder =
                BinaryViewBuilder::with_capacity(rows).with_fixed_block_size(block_bytes(bytes.len(), rows));
            (0..rows).for_each(|_| builder.append_value(&bytes));
            Arc::new(builder.finish())
        }
        ScalarValue::Int32(Some(value)) if rows <= FEW => Arc::new(Int32Array::from_value(value, rows)),
        ScalarValue::Int64(Some(value)) if rows <= FEW => Arc::new(Int64Array::from_value(value, rows)),
        ScalarValue::Decimal64(Some(value), precision, scale) if rows <= FEW => {
            Arc::new(Decimal64Array::from_value(value, rows).with_precision_and_scale(precision, scale)?)
        }
        ScalarValue::TimestampMicrosecond(Some(value), zone) if rows <= FEW => {
            Arc::new(TimestampMicrosecondArray::from_value(value, rows).with_timezone_opt(zone))
        }
        ScalarValue::Int32(None) if rows <= FEW => Arc::new(Int32Array::new_null(rows)),
        ScalarValue::Int64(None) if rows <= FEW => Arc::new(Int64Array::new_null(rows)),
        ScalarValue::TimestampMicrosecond(None, None) if rows <= FEW => {
            Arc::new(TimestampMicrosecondArray::new_null(rows))
        }
        scalar => scalar.to_array_of_size(rows)?,
    })
}

fn block_bytes(value: usize, rows: usize) -> u32 {
    u32::try_from(value.saturating_mul(rows)).unwrap_or(FEW_BYTES).max(1)
}

/// A literal of `contracts::arrow_type(physical)`, for a parameter or a constant.
pub(crate) fn scalar_of(physical: PhysicalType, value: DatumRef<'_>) -> Result<ScalarValue> {
    // The usual ones without an array between.
    match (physical, value) {
        (PhysicalType::Bool, DatumRef::Bool(v)) => return Ok(ScalarValue::Boolean(Some(v))),
        (PhysicalType::Int16, DatumRef::Int16(v)) => return Ok(ScalarValue::Int16(Some(v))),
        (PhysicalType::Int32, DatumRef::Int32(v)) => return Ok(ScalarValue::Int32(Some(v))),
        (PhysicalType::Int64, DatumRef::Int64(v)) => return Ok(ScalarValue::Int64(Some(v))),
        (PhysicalType::Float64, DatumRef::Float64(v)) => return Ok(ScalarValue::Float64(Some(v))),
        (PhysicalType::Text, DatumRef::Text(v)) => return Ok(ScalarValue::Utf8View(Some(v.to_owned()))),
        (PhysicalType::Numeric, DatumRef::Numeric(v)) => return Ok(ScalarValue::BinaryView(Some(v.to_owned()))),
        (PhysicalType::Date, DatumRef::Date(v)) => return Ok(ScalarValue::Date32(Some(v))),
        (PhysicalType::Timestamp, DatumRef::Timestamp(v)) => {
            return Ok(ScalarValue::TimestampMicrosecond(Some(v), None));
        }
        _ => {}
    }
    let array = array_of(physical, [value])?;
    debug_assert_eq!(array.data_type(), &arrow_type(physical));
    ScalarValue::try_from_array(&array, 0).map_err(super::error::from_datafusion)
}

#[cfg(test)]
mod tests {
    use heliosdb_contracts::datum_at;
    use heliosdb_types::{Datum, Interval};

    use super::*;

    #[test]
    fn values_survive_the_way_into_an_array_and_back() {
        let cases = [
            (PhysicalType::Bool, Datum::Bool(true)),
            (PhysicalType::Int16, Datum::Int16(-3)),
            (PhysicalType::Int32, Datum::Int32(7)),
            (PhysicalType::Int64, Datum::Int64(i64::MIN)),
            (PhysicalType::Float32, Datum::Float32(1.5)),
            (PhysicalType::Float64, Datum::Float64(-0.25)),
            (PhysicalType::Decimal64 { precision: 15, scale: 2 }, Datum::Decimal { unscaled: 1234, scale: 2 }),
            (PhysicalType::Decimal128 { precision: 38, scale: 4 }, Datum::Decimal { unscaled: -1 << 90, scale: 4 }),
            (PhysicalType::Text, Datum::Text("a longer text than an inline view".into())),
            (PhysicalType::Bytes, Datum::Bytes(vec![0, 255])),
            (PhysicalType::Date, Datum::Date(-1)),
            (PhysicalType::Time, Datum::Time(86_399_999_999)),
            (PhysicalType::Timestamp, Datum::Timestamp(5)),
            (PhysicalType::TimestampTz, Datum::TimestampTz(6)),
            (PhysicalType::Interval, Datum::Interval(Interval { months: 1, days: -2, micros: 3 })),
            (PhysicalType::Uuid, Datum::Uuid([9; 16])),
        ];
        for (physical, value) in cases {
            let array = array_of(physical, [value.as_ref(), DatumRef::Null]).unwrap();
            assert_eq!(array.data_type(), &arrow_type(physical));
            assert_eq!(datum_at(&array, 0, physical).unwrap(), value.as_ref());
            assert!(datum_at(&array, 1, physical).unwrap().is_null());
            assert_eq!(scalar_of(physical, value.as_ref()).unwrap().data_type(), arrow_type(physical));
        }
    }

    #[test]
    fn a_scalar_becomes_the_array_it_would() {
        let scalars = [
            ScalarValue::Utf8View(Some("a longer text than an inline view".into())),
            ScalarValue::Utf8View(Some(String::new())),
            ScalarValue::Utf8View(None),
            ScalarValue::BinaryView(Some(vec![7; 100])),
            ScalarValue::Int32(None),
            ScalarValue::Int64(None),
            ScalarValue::Int64(Some(3)),
            ScalarValue::TimestampMicrosecond(None, None),
            ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into())),
        ];
        for scalar in scalars {
            for rows in [0, 1, 3, FEW, FEW + 1] {
                let array = into_array(ColumnarValue::Scalar(scalar.clone()), rows).unwrap();
                assert_eq!(array.as_ref(), scalar.to_array_of_size(rows).unwrap().as_ref());
                assert_eq!(array.data_type(), &scalar.data_type());
            }
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        assert!(array_of(PhysicalType::Int32, [DatumRef::Int64(1)]).is_err());
        let wrong_scale = DatumRef::Decimal { unscaled: 1, scale: 3 };
        assert!(array_of(PhysicalType::Decimal64 { precision: 15, scale: 2 }, [wrong_scale]).is_err());
    }
}
