//! Physical types as Arrow types, and single values out of Arrow arrays.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use heliosdb_types::{DatumRef, Error, Interval, PhysicalType, Result};

/// The Arrow type that carries a physical type in every batch between storage, query and protocols.
pub fn arrow_type(physical: PhysicalType) -> DataType {
    match physical {
        PhysicalType::Bool => DataType::Boolean,
        PhysicalType::Int16 => DataType::Int16,
        PhysicalType::Int32 => DataType::Int32,
        PhysicalType::Int64 => DataType::Int64,
        PhysicalType::Float32 => DataType::Float32,
        PhysicalType::Float64 => DataType::Float64,
        PhysicalType::Decimal64 { precision, scale } => DataType::Decimal64(precision, scale),
        PhysicalType::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale),
        PhysicalType::Numeric | PhysicalType::Bytes => DataType::BinaryView,
        PhysicalType::Text => DataType::Utf8View,
        PhysicalType::Date => DataType::Date32,
        PhysicalType::Time => DataType::Time64(TimeUnit::Microsecond),
        PhysicalType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PhysicalType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PhysicalType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        PhysicalType::Uuid => DataType::FixedSizeBinary(16),
    }
}

/// The value at `row` of an array whose physical type is known (it decides between numeric and bytes).
///
/// Accepts [`arrow_type`]'s types and, because operators may widen, Utf8/LargeUtf8, Binary/LargeBinary and UInt/Int8
/// where they mean the same. Panics never; another type is an internal error.
pub fn datum_at<'a>(array: &'a ArrayRef, row: usize, physical: PhysicalType) -> Result<DatumRef<'a>> {
    if row >= array.len() {
        return Err(Error::internal(format!("row {row} of an array of {}", array.len())));
    }
    if array.is_null(row) {
        return Ok(DatumRef::Null);
    }
    let bytes = |value: &'a [u8]| match physical {
        PhysicalType::Numeric => DatumRef::Numeric(value),
        _ => DatumRef::Bytes(value),
    };
    Ok(match array.data_type() {
        DataType::Null => DatumRef::Null,
        DataType::Boolean => DatumRef::Bool(array.as_boolean().value(row)),
        DataType::Int16 => DatumRef::Int16(array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => DatumRef::Int32(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => DatumRef::Int64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => DatumRef::Float32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => DatumRef::Float64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal64(_, scale) => {
            DatumRef::Decimal { unscaled: i128::from(array.as_primitive::<Decimal64Type>().value(row)), scale: *scale }
        }
        DataType::Decimal128(_, scale) => {
            DatumRef::Decimal { unscaled: array.as_primitive::<Decimal128Type>().value(row), scale: *scale }
        }
        DataType::Utf8View => DatumRef::Text(array.as_string_view().value(row)),
        DataType::Utf8 => DatumRef::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => DatumRef::Text(array.as_string::<i64>().value(row)),
        DataType::BinaryView => bytes(array.as_binary_view().value(row)),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::Date32 => DatumRef::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(TimeUnit::Microsecond) => {
            DatumRef::Time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if zone.is_some() { DatumRef::TimestampTz(value) } else { DatumRef::Timestamp(value) }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            DatumRef::Interval(Interval { months: value.months, days: value.days, micros: value.nanoseconds / 1000 })
        }
        DataType::FixedSizeBinary(16) => {
            let value = array.as_fixed_size_binary().value(row);
            DatumRef::Uuid(value.try_into().map_err(|_| Error::internal("uuid is not 16 bytes"))?)
        }
        other => return Err(Error::internal(format!("no value of Arrow type {other} here"))),
    })
}
