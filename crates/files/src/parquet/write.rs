//! Rows to a Parquet file: each SQL type as what other programs take for it, so that reading gives equal values.
//!
//! What Parquet has no type for is refused by name before a file is begun; values it cannot say (an infinite date) when they come.
//! A row group is written when it is large enough, so memory does not grow with the file; the file appears under its name when it is
//! whole.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::extension::{Json, Uuid};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use heliosdb_contracts::{arrow_type, datum_at, name_and_number};
use heliosdb_runtime::{HostFiles, NewFile};
use heliosdb_types::datetime::is_finite_timestamp;
use heliosdb_types::{
    ArrayView, Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType, TextContext, write_text,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

const GROUP_ROWS: usize = 1 << 20;
/// What a row group may take in memory until it is written.
const GROUP_BYTES: usize = 64 << 20;

/// How pages are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParquetCompression {
    #[default]
    Zstd,
    Snappy,
    None,
}

/// A file being written.
pub struct ParquetSink {
    writer: ArrowWriter<NewFile>,
    columns: Vec<SqlType>,
    schema: SchemaRef,
    context: Arc<TextContext>,
}

fn unsupported(name: &str, sql_type: &str, hint: &str) -> Error {
    Error::unsupported(format!("column \"{name}\" of type {sql_type} in a Parquet file")).with_hint(hint.to_owned())
}

/// The field a column becomes.
fn field(name: &str, sql_type: &SqlType) -> Result<Field> {
    let plain = |data_type| Field::new(name, data_type, true);
    Ok(match sql_type {
        SqlType::Json | SqlType::Jsonb => plain(DataType::Utf8).with_extension_type(Json::default()),
        SqlType::Uuid => plain(DataType::FixedSizeBinary(16)).with_extension_type(Uuid),
        SqlType::Bytea => plain(DataType::Binary),
        SqlType::Reg(_) | SqlType::Enum(_) | SqlType::Unknown => plain(DataType::Utf8),
        SqlType::Numeric(_) if sql_type.physical() == Some(PhysicalType::Numeric) => {
            let hint = format!("Say its digits: {name}::numeric(20,4), or make it text or double precision.");
            return Err(unsupported(name, "numeric without at most 38 digits", &hint));
        }
        SqlType::Interval => return Err(unsupported(name, "interval", "Cast it to text.")),
        SqlType::Record(_) | SqlType::Void | SqlType::CatalogVector(_) => {
            return Err(unsupported(name, "record or of the catalog", "Cast it to text."));
        }
        SqlType::Array(element) => {
            if matches!(**element, SqlType::Numeric(_)) {
                return Err(unsupported(name, "numeric[]", "Cast it to double precision[] or text[]."));
            }
            let element = field("element", element)?;
            plain(DataType::List(Arc::new(element)))
        }
        other => match other.physical() {
            Some(PhysicalType::Text) => plain(DataType::Utf8),
            Some(physical) => plain(arrow_type(physical)),
            None => return Err(unsupported(name, "this kind", "Cast it to text.")),
        },
    })
}

impl ParquetSink {
    /// Begins a file at an absolute path.
    pub fn create(
        path: &str,
        columns: &[(String, SqlType)],
        compression: ParquetCompression,
        context: Arc<TextContext>,
    ) -> Result<ParquetSink> {
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        for (name, sql_type) in columns {
            if fields.iter().any(|field| field.name() == name) {
                let message = format!("column \"{name}\" specified more than once");
                let hint = "The columns of a Parquet file have names of their own: use AS.";
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message).with_hint(hint));
            }
            fields.push(field(name, sql_type)?);
        }
        if fields.is_empty() {
            return Err(Error::unsupported("a Parquet file without columns"));
        }
        let compression = match compression {
            ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?),
            ParquetCompression::Snappy => Compression::SNAPPY,
            ParquetCompression::None => Compression::UNCOMPRESSED,
        };
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(concat!("heliosdb ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let schema = Arc::new(Schema::new(fields));
        let file = HostFiles.create(path)?;
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties)).map_err(failed)?;
        let columns = columns.iter().map(|(_, sql_type)| sql_type.clone()).collect();
        Ok(ParquetSink { writer, columns, schema, context })
    }

    /// Bytes written so far, without the row group in the making.
    pub fn bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for ((sql_type, array), field) in self.columns.iter().zip(batch.columns()).zip(self.schema.fields()) {
            let array = column(array, sql_type, field.data_type(), &self.context);
            arrays.push(array.map_err(|error| at_column(error, field.name()))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| Error::internal(format!("a batch for a Parquet file: {error}")))?;
        self.writer.write(&batch).map_err(failed)?;
        if self.writer.memory_size() > GROUP_BYTES {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    /// Ends the file, makes it durable and lets it be seen; its bytes.
    pub fn finish(self) -> Result<u64> {
        let file = self.writer.into_inner().map_err(failed)?;
        let bytes = file.bytes();
        file.keep()?;
        Ok(bytes)
    }
}

fn at_column(error: Error, name: &str) -> Error {
    error.with_traceback(format!("COPY TO, column {name}"))
}

/// Errors of writing are those of the file, nearly always.
fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => of_io(*error),
            Err(inner) => Error::internal(format!("writing a Parquet file: {inner}")),
        },
        other => Error::internal(format!("writing a Parquet file: {other}")),
    }
}

fn of_io(error: std::io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(ours) => Error::new(ours.kind(), ours.state(), ours.message().to_owned()),
        None => Error::io("write a Parquet file", error),
    }
}

/// A column's values under the type the file has for them.
fn column(array: &ArrayRef, sql_type: &SqlType, target: &DataType, context: &TextContext) -> Result<ArrayRef> {
    let physical = sql_type.physical().ok_or_else(|| Error::internal("a column without storage"))?;
    match sql_type {
        SqlType::Jsonb | SqlType::Enum(_) | SqlType::Reg(_) => texts(array, sql_type, physical, context),
        SqlType::Array(element) => lists(array, element, target, context),
        _ => {
            let array = match array.data_type() == target {
                true => Arc::clone(array),
                false => cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() })
                    .map_err(|error| Error::internal(format!("a column for a Parquet file: {error}")))?,
            };
            check_finite(&array)?;
            Ok(array)
        }
    }
}

/// Parquet has no infinite dates.
fn check_finite(array: &ArrayRef) -> Result<()> {
    let infinite = match array.data_type() {
        DataType::Date32 => {
            array.as_primitive::<Date32Type>().iter().flatten().any(|day| matches!(day, i32::MIN | i32::MAX))
        }
        DataType::Timestamp(..) => {
            let mut values = array.as_primitive::<TimestampMicrosecondType>().iter().flatten();
            values.any(|micros| !is_finite_timestamp(micros))
        }
        _ => false,
    };
    match infinite {
        true => Err(Error::invalid(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "an infinite date or timestamp cannot be written to a Parquet file",
        )
        .with_hint("Leave it out: NULLIF(x, 'infinity').")),
        false => Ok(()),
    }
}

fn text_of(value: DatumRef<'_>, sql_type: &SqlType, context: &TextContext, out: &mut String) {
    out.clear();
    match (value, sql_type) {
        (DatumRef::Text(text), SqlType::Reg(_)) => out.push_str(name_and_number(text).0),
        (value, sql_type) => write_text(value, sql_type, context, out),
    }
}

fn texts(array: &ArrayRef, sql_type: &SqlType, physical: PhysicalType, context: &TextContext) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    // A reference into the catalog comes as its name.
    let physical = if matches!(sql_type, SqlType::Reg(_)) { PhysicalType::Text } else { physical };
    for row in 0..array.len() {
        match datum_at(array, row, physical)? {
            DatumRef::Null => out.append_null(),
            value => {
                text_of(value, sql_type, context, &mut text);
                out.append_value(&text);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Arrays of one dimension from 1, which is what a list is.
fn lists(array: &ArrayRef, element: &SqlType, target: &DataType, context: &TextContext) -> Result<ArrayRef> {
    let DataType::List(field) = target else { return Err(Error::internal("an array that is no list")) };
    let (mut values, mut lengths) = (Vec::new(), Vec::with_capacity(array.len()));
    let mut nulls = NullBufferBuilder::new(array.len());
    for row in 0..array.len() {
        let bytes = match datum_at(array, row, PhysicalType::Bytes)? {
            DatumRef::Bytes(bytes) => bytes,
            _ => {
                nulls.append_null();
                lengths.push(0);
                continue;
            }
        };
        let view = ArrayView::new(element, bytes)?;
        if view.dimensions().len() > 1 || view.dimensions().first().is_some_and(|dimension| dimension.lower != 1) {
            return Err(Error::unsupported("an array of several dimensions, or not from 1, in a Parquet file")
                .with_hint("Make it JSON: to_jsonb(x)."));
        }
        nulls.append_non_null();
        lengths.push(view.len());
        values.extend(view.to_datums()?);
    }
    let elements = elements(&values, element, context)?;
    check_finite(&elements)?;
    let list = ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), elements, nulls.finish());
    Ok(Arc::new(list.map_err(|error| Error::internal(format!("a list for a Parquet file: {error}")))?))
}

/// Values one by one, as an array of the element's type in the file.
fn elements(values: &[Datum], element: &SqlType, context: &TextContext) -> Result<ArrayRef> {
    macro_rules! of {
        ($array:ty, $datum:ident) => {{
            let values = values.iter().map(|value| match value {
                Datum::$datum(value) => Some(value.clone()),
                _ => None,
            });
            Arc::new(values.collect::<$array>()) as ArrayRef
        }};
    }
    let text = |value: &Datum| {
        (!value.is_null()).then(|| {
            let mut text = String::new();
            text_of(value.as_ref(), element, context, &mut text);
            text
        })
    };
    Ok(match (element, element.physical()) {
        (SqlType::Json | SqlType::Jsonb | SqlType::Enum(_) | SqlType::Reg(_), _) | (_, Some(PhysicalType::Text)) => {
            Arc::new(values.iter().map(text).collect::<StringArray>())
        }
        (_, Some(PhysicalType::Bool)) => of!(BooleanArray, Bool),
        (_, Some(PhysicalType::Int16)) => of!(Int16Array, Int16),
        (_, Some(PhysicalType::Int32)) => of!(Int32Array, Int32),
        (_, Some(PhysicalType::Int64)) => of!(Int64Array, Int64),
        (_, Some(PhysicalType::Float32)) => of!(Float32Array, Float32),
        (_, Some(PhysicalType::Float64)) => of!(Float64Array, Float64),
        (_, Some(PhysicalType::Date)) => of!(Date32Array, Date),
        (_, Some(PhysicalType::Time)) => of!(Time64MicrosecondArray, Time),
        (_, Some(PhysicalType::Timestamp)) => of!(TimestampMicrosecondArray, Timestamp),
        (_, Some(PhysicalType::TimestampTz)) => {
            let utc = values.iter().map(|value| match value {
                Datum::TimestampTz(micros) => Some(*micros),
                _ => None,
            });
            Arc::new(utc.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        (_, Some(PhysicalType::Bytes)) => of!(BinaryArray, Bytes),
        (_, Some(PhysicalType::Uuid)) => {
            let bytes = values.iter().map(|value| match value {
                Datum::Uuid(bytes) => Some(bytes.to_vec()),
                _ => None,
            });
            let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(bytes, 16);
            Arc::new(array.map_err(|error| Error::internal(error.to_string()))?)
        }
        _ => return Err(Error::internal("an element without a type in Parquet")),
    })
}

#[cfg(test)]
#[path = "write_test.rs"]
mod tests;
