//! Parquet files: what columns they have, their rows as the engine's own arrays, and as lines of CSV for COPY.
//!
//! The file is somebody else's and may be cut off, damaged or malicious. Lengths are checked before memory is taken
//! ([`footer`], [`source`]); the reading crate returns errors for nearly everything else, and where it panics instead
//! that is caught here and told as damage ([`guard`]). What cannot be carried over without loss is refused by name ([`kind`]).

mod footer;
mod guard;
mod kind;
mod prune;
mod read;
mod source;
mod text;
mod typed;
mod write;

use std::sync::Arc;

use arrow_array::RecordBatch;
use heliosdb_types::Result;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use crate::column::FileColumn;
use guard::{damaged, guarded};
use kind::Kind;
use source::Source;

pub use read::{ParquetRows, ParquetTable};
pub use write::{ParquetCompression, ParquetSink};

/// Rows read at once.
const BATCH_ROWS: usize = 1024;

/// A file being read as CSV, front to back.
pub struct ParquetFile {
    path: String,
    columns: Vec<(String, Kind)>,
    reader: ParquetRecordBatchReader,
    pub rows: u64,
    pub bytes: u64,
}

/// What Arrow wrote about its own types is left aside: the file's types say what its values are.
fn reading() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// A file's columns, and what reads them as the types they are to be read as.
fn load(source: &Source, views: bool) -> std::result::Result<(ArrowReaderMetadata, Vec<(String, Kind)>), ParquetError> {
    let found = ArrowReaderMetadata::load(source, reading())?;
    let (schema, columns) = kind::columns(found.schema(), found.parquet_schema(), views)?;
    let chosen = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), reading().with_schema(Arc::new(schema)))?;
    Ok((chosen, columns))
}

fn file_columns(columns: &[(String, Kind)], keys: &ArrowReaderMetadata) -> Vec<FileColumn> {
    let keys = keys.schema().fields().iter().map(|field| field.name().clone());
    let column = |((name, kind), key): (&(String, Kind), String)| FileColumn {
        name: name.clone(),
        key,
        sql_type: kind.sql_type(),
        sql_name: kind.sql_name(),
    };
    columns.iter().zip(keys).map(column).collect()
}

impl ParquetFile {
    pub fn open(path: &str) -> Result<ParquetFile> {
        let source = Source::open(path)?;
        footer::check(&source).map_err(|what| damaged(path, &what))?;
        let bytes = source.len;
        let (metadata, columns, reader) = guarded(path, || {
            let (metadata, columns) = load(&source, false)?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata.clone());
            Ok((metadata, columns, reader.with_batch_size(BATCH_ROWS).build()?))
        })?;
        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or_default();
        Ok(ParquetFile { path: path.to_owned(), columns, reader, rows, bytes })
    }

    pub fn columns(&self) -> Vec<FileColumn> {
        let column = |(name, kind): &(String, Kind)| FileColumn {
            name: name.clone(),
            key: name.clone(),
            sql_type: kind.sql_type(),
            sql_name: kind.sql_name(),
        };
        self.columns.iter().map(column).collect()
    }

    /// Appends the next rows as CSV; how many, 0 at the end.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<usize> {
        let reader = &mut self.reader;
        let batch = guarded(&self.path, || reader.next().transpose().map_err(ParquetError::from))?;
        let Some(batch) = batch else { return Ok(0) };
        let columns = &self.columns;
        guarded(&self.path, || write_rows(columns, &batch, out))?;
        Ok(batch.num_rows())
    }
}

fn write_rows(
    columns: &[(String, Kind)],
    batch: &RecordBatch,
    out: &mut Vec<u8>,
) -> std::result::Result<(), ParquetError> {
    let mut cells = Vec::with_capacity(columns.len());
    for ((name, kind), array) in columns.iter().zip(batch.columns()) {
        let write = text::writer(kind, array.as_ref()).map_err(|what| wrong(name, &what))?;
        // Also of a column that has nothing but NULLs, and no bits for them.
        cells.push((name, array.logical_nulls(), write));
    }
    let mut cell = String::new();
    for row in 0..batch.num_rows() {
        for (at, (name, nulls, write)) in cells.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            cell.clear();
            write(row, &mut cell).map_err(|what| wrong(name, &what))?;
            crate::csv::push_csv_field(&cell, out);
        }
        out.push(b'\n');
    }
    Ok(())
}

fn wrong(column: &str, what: &str) -> ParquetError {
    ParquetError::General(format!("column \"{column}\": {what}"))
}

#[cfg(test)]
#[path = "parquet_test.rs"]
mod tests;
