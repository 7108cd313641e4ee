//! COPY ... TO STDOUT: a query's rows as text, csv or binary.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use heliosdb_contracts::{CopyChunk, ResultColumn, binary, datum_at, name_and_number};
use heliosdb_types::{DatumRef, Error, PhysicalType, Result, SqlType, TextContext, write_text};

use super::fields::{write_csv_field, write_text_field};
use super::options::{CopyOptions, Format, Header};
use super::progress::ShownCopy;

/// Turns batches into chunks.
pub(super) fn chunks(
    rows: BoxStream<'static, Result<RecordBatch>>,
    columns: Arc<[ResultColumn]>,
    options: CopyOptions,
    context: Arc<TextContext>,
    shown: ShownCopy,
) -> BoxStream<'static, Result<CopyChunk>> {
    let message = |data: Vec<u8>| Ok(CopyChunk { ends: vec![data.len()], data: data.into(), rows: 0 });
    let format = options.format;
    let head = match format {
        // The first row's message begins with it.
        Format::Binary => Some(Ok(CopyChunk { data: super::binary::header().into(), ends: Vec::new(), rows: 0 })),
        _ => (options.header != Header::No).then(|| message(header(&columns, &options))),
    };
    let tail = (format == Format::Binary).then(|| message((-1i16).to_be_bytes().to_vec()));
    let writer = Writer::new(columns, options, context);
    let body = rows.map(move |batch| {
        let batch = batch?;
        let chunk = if format == Format::Binary { writer.write_binary(&batch) } else { writer.write(&batch) }?;
        shown.bytes(chunk.data.len());
        shown.rows(chunk.rows);
        Ok(chunk)
    });
    stream::iter(head).chain(body).chain(stream::iter(tail)).boxed()
}

fn header(columns: &[ResultColumn], options: &CopyOptions) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            out.push(options.delimiter);
        }
        if options.csv {
            write_csv_field(&column.name, false, columns.len() == 1, options, &mut out);
        } else {
            write_text_field(&column.name, options, &mut out);
        }
    }
    out.push(b'\n');
    out
}

struct Writer {
    columns: Arc<[ResultColumn]>,
    physical: Vec<PhysicalType>,
    forced: Vec<bool>,
    options: CopyOptions,
    context: Arc<TextContext>,
}

impl Writer {
    fn new(columns: Arc<[ResultColumn]>, options: CopyOptions, context: Arc<TextContext>) -> Writer {
        let all = options.force_quote.iter().any(|name| name == "*");
        let forced = columns.iter().map(|column| all || options.force_quote.contains(&column.name)).collect();
        let physical = columns.iter().map(|column| column.sql_type.physical().unwrap_or(PhysicalType::Text)).collect();
        Writer { columns, physical, forced, options, context }
    }

    fn write(&self, batch: &RecordBatch) -> Result<CopyChunk> {
        let mut out = Vec::with_capacity(batch.num_rows() * 32);
        let mut text = String::new();
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let columns = batch.columns().iter().zip(&self.physical).zip(self.columns.iter().zip(&self.forced));
            for (at, ((array, physical), (column, forced))) in columns.enumerate() {
                if at > 0 {
                    out.push(self.options.delimiter);
                }
                let value = datum_at(array, row, *physical)?;
                let shown = match value {
                    DatumRef::Null => {
                        out.extend_from_slice(self.options.null.as_bytes());
                        continue;
                    }
                    DatumRef::Text(text) if matches!(column.sql_type, SqlType::Reg(_)) => name_and_number(text).0,
                    DatumRef::Text(text) => text,
                    value => {
                        text.clear();
                        write_text(value, &column.sql_type, &self.context, &mut text);
                        text.as_str()
                    }
                };
                if self.options.csv {
                    write_csv_field(shown, *forced, self.columns.len() == 1, &self.options, &mut out);
                } else {
                    write_text_field(shown, &self.options, &mut out);
                }
            }
            out.push(b'\n');
            ends.push(out.len());
        }
        Ok(CopyChunk { data: out.into(), ends, rows: batch.num_rows() as u64 })
    }

    fn write_binary(&self, batch: &RecordBatch) -> Result<CopyChunk> {
        let mut out = BytesMut::with_capacity(batch.num_rows() * 32);
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            out.put_u16(self.columns.len() as u16);
            for ((array, physical), column) in batch.columns().iter().zip(&self.physical).zip(self.columns.iter()) {
                let value = datum_at(array, row, *physical)?;
                if value.is_null() {
                    out.put_i32(-1);
                    continue;
                }
                if let (DatumRef::Text(shown), SqlType::Reg(_)) = (value, &column.sql_type) {
                    let number: u32 =
                        name_and_number(shown).1.parse().map_err(|_| Error::internal("no number of an object"))?;
                    out.put_i32(4);
                    out.put_u32(number);
                    continue;
                }
                let at = out.len();
                out.put_i32(0);
                binary::put_datum(value, &column.sql_type, &self.context, &mut out)?;
                let length = (out.len() - at - 4) as i32;
                if let Some(place) = out.get_mut(at..at + 4) {
                    place.copy_from_slice(&length.to_be_bytes());
                }
            }
            ends.push(out.len());
        }
        Ok(CopyChunk { data: Bytes::from(out), ends, rows: batch.num_rows() as u64 })
    }
}
