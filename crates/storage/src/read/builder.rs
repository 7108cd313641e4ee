//! Arrow columns out of single values.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal64Builder, Decimal128Builder, FixedSizeBinaryBuilder,
    Float32Builder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder,
    StringViewBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::SchemaRef;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{DatumRef, Error, PhysicalType, Result};

pub(crate) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal64(Decimal64Builder),
    Decimal128(Decimal128Builder),
    Bytes(BinaryViewBuilder),
    Text(StringViewBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Uuid(FixedSizeBinaryBuilder),
}

impl ColumnBuilder {
    pub fn new(physical: PhysicalType, rows: usize) -> ColumnBuilder {
        let arrow = arrow_type(physical);
        match physical {
            PhysicalType::Bool => ColumnBuilder::Bool(BooleanBuilder::with_capacity(rows)),
            PhysicalType::Int16 => ColumnBuilder::Int16(Int16Builder::with_capacity(rows)),
            PhysicalType::Int32 => ColumnBuilder::Int32(Int32Builder::with_capacity(rows)),
            PhysicalType::Int64 => ColumnBuilder::Int64(Int64Builder::with_capacity(rows)),
            PhysicalType::Float32 => ColumnBuilder::Float32(Float32Builder::with_capacity(rows)),
            PhysicalType::Float64 => ColumnBuilder::Float64(Float64Builder::with_capacity(rows)),
            PhysicalType::Decimal64 { .. } => {
                ColumnBuilder::Decimal64(Decimal64Builder::with_capacity(rows).with_data_type(arrow))
            }
            PhysicalType::Decimal128 { .. } => {
                ColumnBuilder::Decimal128(Decimal128Builder::with_capacity(rows).with_data_type(arrow))
            }
            PhysicalType::Numeric | PhysicalType::Bytes => ColumnBuilder::Bytes(BinaryViewBuilder::with_capacity(rows)),
            PhysicalType::Text => ColumnBuilder::Text(StringViewBuilder::with_capacity(rows)),
            PhysicalType::Date => ColumnBuilder::Date(Date32Builder::with_capacity(rows)),
            PhysicalType::Time => ColumnBuilder::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            PhysicalType::Timestamp | PhysicalType::TimestampTz => {
                ColumnBuilder::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(arrow))
            }
            PhysicalType::Interval => ColumnBuilder::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            PhysicalType::Uuid => ColumnBuilder::Uuid(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
        }
    }

    pub fn append(&mut self, value: DatumRef<'_>) -> Result<()> {
        match (&mut *self, value) {
            (_, DatumRef::Null) => self.append_null(),
            (ColumnBuilder::Bool(b), DatumRef::Bool(v)) => b.append_value(v),
            (ColumnBuilder::Int16(b), DatumRef::Int16(v)) => b.append_value(v),
            (ColumnBuilder::Int32(b), DatumRef::Int32(v)) => b.append_value(v),
            (ColumnBuilder::Int64(b), DatumRef::Int64(v)) => b.append_value(v),
            (ColumnBuilder::Float32(b), DatumRef::Float32(v)) => b.append_value(v),
            (ColumnBuilder::Float64(b), DatumRef::Float64(v)) => b.append_value(v),
            (ColumnBuilder::Decimal64(b), DatumRef::Decimal { unscaled, .. }) => {
                b.append_value(i64::try_from(unscaled).map_err(|_| Error::corrupt("a decimal exceeds its 64 bits"))?);
            }
            (ColumnBuilder::Decimal128(b), DatumRef::Decimal { unscaled, .. }) => b.append_value(unscaled),
            (ColumnBuilder::Bytes(b), DatumRef::Bytes(v) | DatumRef::Numeric(v)) => b.append_value(v),
            (ColumnBuilder::Text(b), DatumRef::Text(v)) => b.append_value(v),
            (ColumnBuilder::Date(b), DatumRef::Date(v)) => b.append_value(v),
            (ColumnBuilder::Time(b), DatumRef::Time(v)) => b.append_value(v),
            (ColumnBuilder::Timestamp(b), DatumRef::Timestamp(v) | DatumRef::TimestampTz(v)) => b.append_value(v),
            (ColumnBuilder::Interval(b), DatumRef::Interval(v)) => {
                let nanos = v.micros.checked_mul(1000).ok_or_else(|| Error::internal("an interval exceeds Arrow's"))?;
                b.append_value(IntervalMonthDayNano::new(v.months, v.days, nanos));
            }
            (ColumnBuilder::Uuid(b), DatumRef::Uuid(v)) => {
                b.append_value(v).map_err(|e| Error::internal("append a uuid").with_source(e))?;
            }
            (_, other) => return Err(Error::internal(format!("a column of another type cannot hold {other:?}"))),
        }
        Ok(())
    }

    fn append_null(&mut self) {
        match self {
            ColumnBuilder::Bool(b) => b.append_null(),
            ColumnBuilder::Int16(b) => b.append_null(),
            ColumnBuilder::Int32(b) => b.append_null(),
            ColumnBuilder::Int64(b) => b.append_null(),
            ColumnBuilder::Float32(b) => b.append_null(),
            ColumnBuilder::Float64(b) => b.append_null(),
            ColumnBuilder::Decimal64(b) => b.append_null(),
            ColumnBuilder::Decimal128(b) => b.append_null(),
            ColumnBuilder::Bytes(b) => b.append_null(),
            ColumnBuilder::Text(b) => b.append_null(),
            ColumnBuilder::Date(b) => b.append_null(),
            ColumnBuilder::Time(b) => b.append_null(),
            ColumnBuilder::Timestamp(b) => b.append_null(),
            ColumnBuilder::Interval(b) => b.append_null(),
            ColumnBuilder::Uuid(b) => b.append_null(),
        }
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Bool(b) => Arc::new(b.finish()),
            ColumnBuilder::Int16(b) => Arc::new(b.finish()),
            ColumnBuilder::Int32(b) => Arc::new(b.finish()),
            ColumnBuilder::Int64(b) => Arc::new(b.finish()),
            ColumnBuilder::Float32(b) => Arc::new(b.finish()),
            ColumnBuilder::Float64(b) => Arc::new(b.finish()),
            ColumnBuilder::Decimal64(b) => Arc::new(b.finish()),
            ColumnBuilder::Decimal128(b) => Arc::new(b.finish()),
            ColumnBuilder::Bytes(b) => Arc::new(b.finish()),
            ColumnBuilder::Text(b) => Arc::new(b.finish()),
            ColumnBuilder::Date(b) => Arc::new(b.finish()),
            ColumnBuilder::Time(b) => Arc::new(b.finish()),
            ColumnBuilder::Timestamp(b) => Arc::new(b.finish()),
            ColumnBuilder::Interval(b) => Arc::new(b.finish()),
            ColumnBuilder::Uuid(b) => Arc::new(b.finish()),
        }
    }
}

/// A batch that may have no columns (`count(*)`), only rows.
pub(crate) fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::internal(format!("scanned columns do not fit together: {e}")))
}
