//! Parquet files: what columns they have, and their rows as lines of CSV for COPY.
//!
//! The file is somebody else's and may be cut off, damaged or malicious. Lengths are checked before memory is taken
//! ([`footer`], [`source`]); the reading crate returns errors for nearly everything else, and where it panics instead
//! that is caught here and told as damage. What cannot be carried over without loss is refused by name ([`kind`]).

mod footer;
mod kind;
mod source;
mod text;

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use crate::error::Failure;
use kind::Kind;
use source::Source;

/// Rows read at once.
const BATCH_ROWS: usize = 1024;

/// A file being read, front to back.
pub(crate) struct ParquetFile {
    path: PathBuf,
    columns: Vec<(String, Kind)>,
    reader: ParquetRecordBatchReader,
    pub rows: u64,
    pub bytes: u64,
}

impl ParquetFile {
    pub fn open(path: &Path) -> Result<ParquetFile, Failure> {
        let source = Source::open(path)?;
        footer::check(&source).map_err(|what| damaged(path, &what))?;
        let bytes = source.len;
        let (metadata, columns, reader) = guarded(path, || {
            // What Arrow wrote about its own types is left aside: the file's types say what its values are.
            let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            let found = ArrowReaderMetadata::load(&source, options())?;
            let (schema, columns) = kind::columns(found.schema(), found.parquet_schema())?;
            let metadata = Arc::clone(found.metadata());
            let chosen = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options().with_schema(Arc::new(schema)))?;
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, chosen);
            Ok((metadata, columns, reader.with_batch_size(BATCH_ROWS).build()?))
        })?;
        let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
        Ok(ParquetFile { path: path.to_owned(), columns, reader, rows, bytes })
    }

    /// Names and SQL types.
    pub fn columns(&self) -> Vec<(String, String)> {
        self.columns.iter().map(|(name, kind)| (name.clone(), kind.sql_name())).collect()
    }

    /// Appends the next rows as CSV; how many, 0 at the end.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<usize, Failure> {
        let reader = &mut self.reader;
        let batch = guarded(&self.path, || reader.next().transpose().map_err(ParquetError::from))?;
        let Some(batch) = batch else { return Ok(0) };
        let columns = &self.columns;
        guarded(&self.path, || write_rows(columns, &batch, out))?;
        Ok(batch.num_rows())
    }
}

fn write_rows(columns: &[(String, Kind)], batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ParquetError> {
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
            crate::format::push_csv_field(&cell, out);
        }
        out.push(b'\n');
    }
    Ok(())
}

fn wrong(column: &str, what: &str) -> ParquetError {
    ParquetError::General(format!("column \"{column}\": {what}"))
}

fn damaged(path: &Path, what: &str) -> Failure {
    Failure::Usage(format!("{}: {what}", path.display()))
}

/// Runs what may meet bytes nobody vouches for. A panic in it means that the reading crate was surprised by them.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Failure> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let done = catch_unwind(AssertUnwindSafe(work));
    set_hook(hook);
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let text = error.to_string();
            let text = ["Parquet error: ", "EOF: ", "NYI: ", "Arrow: ", "External: "]
                .iter()
                .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
            Err(damaged(path, text))
        }
        Err(_) => Err(damaged(path, "damaged, or not as a Parquet file should be")),
    }
}

#[cfg(test)]
#[path = "parquet_test.rs"]
mod tests;
