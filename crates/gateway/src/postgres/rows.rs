//! Rows: from Arrow batches to DataRow messages in the output buffer, without a copy in between.
//!
//! The Arrow type of each column is found once per call, not per value. Encoding stops when the buffer is full, so that
//! a result of any size streams through a buffer of one size. A row that fails leaves no trace in the buffer.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray, LargeStringArray,
    PrimitiveArray, RecordBatch, StringArray, StringViewArray,
};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use heliosdb_contracts::binary::{
    self, put_decimal, put_decimal_binary, put_integer_text as put_integer, put_unsigned,
};
use heliosdb_contracts::{ResultColumn, RowsTag, name_and_number};
use heliosdb_types::{DatumRef, Error, Interval, Result, SqlState, SqlType, TextContext, write_text};
use pgwire::messages::data::MESSAGE_TYPE_BYTE_DATA_ROW;

use super::connection::Connection;
use super::counters::add;
use super::failure::Outcome;
use super::reply::Format;

/// A result on its way to the client.
pub(crate) struct RowStream {
    columns: Arc<[ResultColumn]>,
    /// Empty: all text.
    formats: Vec<Format>,
    rows: BoxStream<'static, Result<RecordBatch>>,
    tag: RowsTag,
    /// Batches fetched ahead.
    held: VecDeque<RecordBatch>,
    /// The batch being sent and its next row.
    current: Option<(RecordBatch, usize)>,
}

pub(crate) enum Sent {
    /// The last row is out; how many this call sent.
    All(u64),
    /// Stopped at the limit.
    Suspended,
}

impl RowStream {
    pub(crate) fn new(
        columns: Arc<[ResultColumn]>,
        formats: Vec<Format>,
        rows: BoxStream<'static, Result<RecordBatch>>,
        tag: RowsTag,
    ) -> RowStream {
        RowStream { columns, formats, rows, tag, held: VecDeque::new(), current: None }
    }

    pub(crate) fn tag(&self) -> &RowsTag {
        &self.tag
    }

    /// A statement that changes data must run to its end even if its client fetches but a few of the rows it returns.
    pub(crate) fn may_stop_early(&self) -> bool {
        self.tag == RowsTag::Counted("SELECT")
    }
}

impl Connection<'_> {
    /// Runs the statement to its end, keeping its rows for later.
    pub(crate) async fn gather(&mut self, stream: &mut RowStream) -> Outcome<()> {
        while let Some(batch) = self.alarm.attend(self.wire, &*self.canceller, stream.rows.next()).await? {
            stream.held.push_back(batch?);
        }
        Ok(())
    }

    /// Sends rows, `most` at most, writing whenever the buffer has filled.
    pub(crate) async fn send_rows(&mut self, stream: &mut RowStream, most: Option<u64>) -> Outcome<Sent> {
        let context = self.session.output().text;
        let mut sent = 0;
        loop {
            let room = most.map_or(u64::MAX, |most| most - sent);
            if room == 0 {
                return Ok(Sent::Suspended);
            }
            let (batch, from) = match stream.current.take() {
                Some(current) => current,
                None => match self.next_batch(stream).await? {
                    Some(batch) => (batch, 0),
                    None => return Ok(Sent::All(sent)),
                },
            };
            let to = batch.num_rows().min(from.saturating_add(usize::try_from(room).unwrap_or(usize::MAX)));
            let encoder = Encoder { columns: &stream.columns, formats: &stream.formats, context: &context };
            let next = self.send_some(&encoder, &batch, from, to).await?;
            sent += (next - from) as u64;
            if next < batch.num_rows() {
                stream.current = Some((batch, next));
            }
        }
    }

    /// Sends rows of a portal that the session keeps, `most` at most.
    pub(crate) async fn send_portal(
        &mut self,
        name: &str,
        columns: &[ResultColumn],
        formats: &[Format],
        most: Option<u64>,
    ) -> Outcome<Sent> {
        let context = self.session.output().text;
        let encoder = Encoder { columns, formats, context: &context };
        let mut sent = 0;
        loop {
            let room = most.map_or(u64::MAX, |most| most - sent);
            if room == 0 {
                return Ok(Sent::Suspended);
            }
            let next = self.session.portal_rows(name, room);
            let Some(batch) = self.alarm.attend(self.wire, &*self.canceller, next).await?? else {
                return Ok(Sent::All(sent));
            };
            let rows = batch.num_rows();
            if rows as u64 > room {
                return Err(Error::internal("a portal gave more rows than were asked for").into());
            }
            let mut from = 0;
            while from < rows {
                from = self.send_some(&encoder, &batch, from, rows).await?;
            }
            sent += rows as u64;
        }
    }

    /// Encodes rows `from..to` as far as they fit the buffer, and writes it when it is full; gives the next row to send.
    async fn send_some(
        &mut self,
        encoder: &Encoder<'_>,
        batch: &RecordBatch,
        from: usize,
        to: usize,
    ) -> Outcome<usize> {
        let flush_bytes = self.shared.options.flush_bytes;
        let next = encoder.encode(batch, from, to, &mut self.wire.output, flush_bytes)?;
        add(&self.shared.counters.rows_sent, (next - from) as u64);
        if self.wire.output.len() >= flush_bytes {
            self.alarm.flush(self.wire).await?;
            // The socket may take everything at once for ever; others want to run too.
            tokio::task::consume_budget().await;
        }
        Ok(next)
    }

    async fn next_batch(&mut self, stream: &mut RowStream) -> Outcome<Option<RecordBatch>> {
        if let Some(batch) = stream.held.pop_front() {
            return Ok(Some(batch));
        }
        Ok(self.alarm.attend(self.wire, &*self.canceller, stream.rows.next()).await?.transpose()?)
    }
}

struct Encoder<'a> {
    columns: &'a [ResultColumn],
    formats: &'a [Format],
    context: &'a TextContext,
}

impl Encoder<'_> {
    /// Encodes rows `from..to`, stopping early once `out` holds `enough` bytes. Returns the next row to encode.
    fn encode(&self, batch: &RecordBatch, from: usize, to: usize, out: &mut BytesMut, enough: usize) -> Result<usize> {
        if batch.num_columns() != self.columns.len() {
            let (got, expected) = (batch.num_columns(), self.columns.len());
            return Err(Error::internal(format!("a batch of {got} columns where {expected} were described")));
        }
        let count = i16::try_from(self.columns.len())
            .map_err(|_| Error::invalid(SqlState::TOO_MANY_COLUMNS, "a result can have at most 32767 columns"))?;
        let format = |at: usize| self.formats.get(at).copied().unwrap_or(Format::Text);
        let columns = batch.columns().iter().zip(self.columns).enumerate();
        let columns: Vec<Column<'_>> = columns
            .map(|(at, (array, column))| Column::new(array.as_ref(), &column.sql_type, format(at), self.context))
            .collect::<Result<_>>()?;
        let mut scratch = String::new();
        for row in from..to {
            if out.len() >= enough {
                return Ok(row);
            }
            let start = out.len();
            out.put_u8(MESSAGE_TYPE_BYTE_DATA_ROW);
            out.put_i32(0);
            out.put_i16(count);
            for column in &columns {
                if let Err(error) = column.put(row, out, &mut scratch) {
                    out.truncate(start);
                    return Err(error);
                }
            }
            if let Err(error) = set_length(out, start + 1, 0) {
                out.truncate(start);
                return Err(error);
            }
        }
        Ok(to)
    }
}

/// Fills in the length field at `at`. A message's length counts the field itself (`less` 0), a value's does not (4).
fn set_length(out: &mut BytesMut, at: usize, less: usize) -> Result<()> {
    let len = i32::try_from(out.len() - at - less)
        .map_err(|_| Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row of the result is larger than 2 GB"))?;
    out.get_mut(at..at + 4).expect("written before").copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// A column of one batch, ready to be written value by value.
struct Column<'a> {
    array: &'a dyn Array,
    nullable: bool,
    values: Values<'a>,
    sql_type: &'a SqlType,
    format: Format,
    context: &'a TextContext,
}

enum Values<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal64(&'a PrimitiveArray<Decimal64Type>, i8),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    TextView(&'a StringViewArray),
    /// Catalog references: the name, a zero byte, the number.
    Reference(&'a StringViewArray),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    BytesView(&'a BinaryViewArray),
    Bytes(&'a BinaryArray),
    LargeBytes(&'a LargeBinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>, bool),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    Uuid(&'a FixedSizeBinaryArray),
}

impl<'a> Column<'a> {
    fn new(
        array: &'a dyn Array,
        sql_type: &'a SqlType,
        format: Format,
        context: &'a TextContext,
    ) -> Result<Column<'a>> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Bool(array.as_boolean()),
            DataType::Int8 => Values::Int8(array.as_primitive()),
            DataType::Int16 => Values::Int16(array.as_primitive()),
            DataType::Int32 => Values::Int32(array.as_primitive()),
            DataType::Int64 => Values::Int64(array.as_primitive()),
            DataType::UInt32 => Values::UInt32(array.as_primitive()),
            DataType::UInt64 => Values::UInt64(array.as_primitive()),
            DataType::Float32 => Values::Float32(array.as_primitive()),
            DataType::Float64 => Values::Float64(array.as_primitive()),
            DataType::Decimal64(_, scale) => Values::Decimal64(array.as_primitive(), *scale),
            DataType::Decimal128(_, scale) => Values::Decimal128(array.as_primitive(), *scale),
            DataType::Utf8View if matches!(sql_type, SqlType::Reg(_)) => Values::Reference(array.as_string_view()),
            DataType::Utf8View => Values::TextView(array.as_string_view()),
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::LargeUtf8 => Values::LargeText(array.as_string()),
            DataType::BinaryView => Values::BytesView(array.as_binary_view()),
            DataType::Binary => Values::Bytes(array.as_binary()),
            DataType::LargeBinary => Values::LargeBytes(array.as_binary()),
            DataType::Date32 => Values::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Values::Timestamp(array.as_primitive(), zone.is_some()),
            DataType::Interval(IntervalUnit::MonthDayNano) => Values::Interval(array.as_primitive()),
            DataType::FixedSizeBinary(16) => Values::Uuid(array.as_fixed_size_binary()),
            other => return Err(binary::mismatch(&other.to_string(), sql_type)),
        };
        Ok(Column { array, nullable: array.null_count() > 0, values, sql_type, format, context })
    }

    /// Length and value of one row.
    fn put(&self, row: usize, out: &mut BytesMut, scratch: &mut String) -> Result<()> {
        if matches!(self.values, Values::Null) || (self.nullable && self.array.is_null(row)) {
            out.put_i32(-1);
            return Ok(());
        }
        let at = out.len();
        out.put_i32(0);
        match self.format {
            Format::Text => self.put_text(row, out, scratch),
            Format::Binary => self.put_binary(row, out)?,
        }
        set_length(out, at, 4)
    }

    fn put_text(&self, row: usize, out: &mut BytesMut, scratch: &mut String) {
        match self.values {
            Values::Null => {}
            Values::Bool(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
            Values::Int8(array) => put_integer(i64::from(array.value(row)), out),
            Values::Int16(array) => put_integer(i64::from(array.value(row)), out),
            Values::Int32(array) => put_integer(i64::from(array.value(row)), out),
            Values::Int64(array) if matches!(self.sql_type, SqlType::Enum(_)) => {
                self.put_written(DatumRef::Int64(array.value(row)), out, scratch);
            }
            Values::Int64(array) => put_integer(array.value(row), out),
            Values::UInt32(array) => put_unsigned(u64::from(array.value(row)), out),
            Values::UInt64(array) => put_unsigned(array.value(row), out),
            Values::Decimal64(array, scale) => put_decimal(i128::from(array.value(row)), scale, out),
            Values::Decimal128(array, scale) => put_decimal(array.value(row), scale, out),
            Values::TextView(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::Reference(array) => out.extend_from_slice(reference(array, row).0.as_bytes()),
            Values::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::LargeText(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Values::BytesView(array) => self.put_bytes_text(array.value(row), out, scratch),
            Values::Bytes(array) => self.put_bytes_text(array.value(row), out, scratch),
            Values::LargeBytes(array) => self.put_bytes_text(array.value(row), out, scratch),
            Values::Float32(array) => self.put_written(DatumRef::Float32(array.value(row)), out, scratch),
            Values::Float64(array) => self.put_written(DatumRef::Float64(array.value(row)), out, scratch),
            Values::Date(array) => self.put_written(DatumRef::Date(array.value(row)), out, scratch),
            Values::Time(array) => self.put_written(DatumRef::Time(array.value(row)), out, scratch),
            Values::Timestamp(array, false) => self.put_written(DatumRef::Timestamp(array.value(row)), out, scratch),
            Values::Timestamp(array, true) => self.put_written(DatumRef::TimestampTz(array.value(row)), out, scratch),
            Values::Interval(array) => self.put_written(DatumRef::Interval(interval(array, row)), out, scratch),
            Values::Uuid(array) => self.put_written(DatumRef::Uuid(uuid(array, row)), out, scratch),
        }
    }

    fn put_written(&self, value: DatumRef<'_>, out: &mut BytesMut, scratch: &mut String) {
        scratch.clear();
        write_text(value, self.sql_type, self.context, scratch);
        out.extend_from_slice(scratch.as_bytes());
    }

    /// Bare numeric and bytea share an Arrow type.
    fn put_bytes_text(&self, bytes: &[u8], out: &mut BytesMut, scratch: &mut String) {
        match self.sql_type {
            SqlType::Numeric(_) => self.put_written(DatumRef::Numeric(bytes), out, scratch),
            _ => self.put_written(DatumRef::Bytes(bytes), out, scratch),
        }
    }

    fn put_binary(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        let integer = |value: i64, out: &mut BytesMut| binary::put_integer(value, self.sql_type, out);
        let text = |value: &str, out: &mut BytesMut| binary::put_text(value, self.sql_type, out);
        match self.values {
            Values::Null => {}
            Values::Bool(array) => out.put_u8(u8::from(array.value(row))),
            Values::Int8(array) => integer(i64::from(array.value(row)), out)?,
            Values::Int16(array) => integer(i64::from(array.value(row)), out)?,
            Values::Int32(array) => integer(i64::from(array.value(row)), out)?,
            Values::Int64(array) => {
                binary::put_datum(DatumRef::Int64(array.value(row)), self.sql_type, self.context, out)?;
            }
            Values::UInt32(array) => integer(i64::from(array.value(row)), out)?,
            Values::UInt64(array) => {
                let value = i64::try_from(array.value(row));
                integer(value.map_err(|_| binary::mismatch("UInt64", self.sql_type))?, out)?;
            }
            Values::Float32(array) if *self.sql_type == SqlType::Float8 => out.put_f64(f64::from(array.value(row))),
            Values::Float32(array) => out.put_f32(array.value(row)),
            Values::Float64(array) if *self.sql_type == SqlType::Float4 => out.put_f32(array.value(row) as f32),
            Values::Float64(array) => out.put_f64(array.value(row)),
            Values::Decimal64(array, scale) => put_decimal_binary(i128::from(array.value(row)), scale, out),
            Values::Decimal128(array, scale) => put_decimal_binary(array.value(row), scale, out),
            Values::TextView(array) => text(array.value(row), out)?,
            Values::Reference(array) => text(reference(array, row).1, out)?,
            Values::Text(array) => text(array.value(row), out)?,
            Values::LargeText(array) => text(array.value(row), out)?,
            Values::BytesView(array) => self.put_bytes_binary(array.value(row), out)?,
            Values::Bytes(array) => self.put_bytes_binary(array.value(row), out)?,
            Values::LargeBytes(array) => self.put_bytes_binary(array.value(row), out)?,
            Values::Date(array) => binary::put_date(array.value(row), out),
            Values::Time(array) => out.put_i64(array.value(row)),
            Values::Timestamp(array, _) => binary::put_timestamp(array.value(row), out),
            Values::Interval(array) => binary::put_interval(&interval(array, row), out),
            Values::Uuid(array) => out.extend_from_slice(array.value(row)),
        }
        Ok(())
    }

    fn put_bytes_binary(&self, bytes: &[u8], out: &mut BytesMut) -> Result<()> {
        match self.sql_type {
            SqlType::Numeric(_) => binary::put_numeric(bytes, out),
            _ => binary::put_bytes(bytes, self.sql_type, self.context, out)?,
        }
        Ok(())
    }
}

fn interval(array: &PrimitiveArray<IntervalMonthDayNanoType>, row: usize) -> Interval {
    let value = array.value(row);
    Interval { months: value.months, days: value.days, micros: value.nanoseconds / 1000 }
}

fn reference(array: &StringViewArray, row: usize) -> (&str, &str) {
    name_and_number(array.value(row))
}

fn uuid(array: &FixedSizeBinaryArray, row: usize) -> [u8; 16] {
    array.value(row).try_into().expect("the array's width is 16")
}
