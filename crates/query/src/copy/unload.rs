//! COPY ... TO STDOUT: a query's rows as text or csv.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use heliosdb_contracts::{CopyChunk, ResultColumn, datum_at};
use heliosdb_types::{DatumRef, PhysicalType, Result, TextContext, write_text};

use super::fields::{write_csv_field, write_text_field};
use super::options::CopyOptions;
use crate::session::Running;

/// Turns batches into chunks; `running` lives as long as the rows do.
pub(super) fn chunks(
    rows: BoxStream<'static, Result<RecordBatch>>,
    columns: Arc<[ResultColumn]>,
    options: CopyOptions,
    context: Arc<TextContext>,
    running: Running,
) -> BoxStream<'static, Result<CopyChunk>> {
    let header = options.header.then(|| Ok(CopyChunk { data: header(&columns, &options), rows: 0 }));
    let writer = Writer::new(columns, options, context);
    let body = rows.map(move |batch| {
        let _alive = &running;
        writer.write(&batch?)
    });
    stream::iter(header).chain(body).boxed()
}

fn header(columns: &[ResultColumn], options: &CopyOptions) -> Bytes {
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
    out.into()
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
        }
        Ok(CopyChunk { data: out.into(), rows: batch.num_rows() as u64 })
    }
}
