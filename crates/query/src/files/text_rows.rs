//! Rows of CSV and JSON files, by COPY's own rules for fields and values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use heliosdb_files::{FileColumn, Form, JsonObject, JsonObjects, TextInput, open_text};
use heliosdb_types::{DatumRef, Error, Result, SqlState, SqlType};
use serde_json::Value as Json;

use super::source::{FileSource, other_columns};
use crate::copy::{CopyOptions, Field, Lines, Reader, split_csv};
use crate::exec::{ColumnBuilder, from_arrow};

/// Bytes read at once.
const CHUNK_BYTES: usize = 128 << 10;
/// What a batch's rows may take as text: fewer rows where they are wide.
const BATCH_BYTES: usize = 4 << 20;
/// A longer row is none: a quote is missing.
const ROW_BYTES_MAX: usize = 64 << 20;
/// Rows between two looks whether the statement is cancelled.
const ROWS_BETWEEN: usize = 512;

/// A file being read.
pub(super) struct TextRows {
    source: Arc<FileSource>,
    path: Arc<str>,
    schema: SchemaRef,
    rows: Rows,
    /// For each column of the file what reads it, if it is wanted, and its place in the output.
    readers: Vec<Option<(usize, Reader)>>,
}

enum Rows {
    Csv(Box<CsvRows>),
    Json { objects: Box<JsonObjects<BufReader<TextInput>>>, at: HashMap<String, usize> },
}

struct CsvRows {
    input: TextInput,
    lines: Lines,
    options: CopyOptions,
    chunk: Vec<u8>,
    ended: bool,
    header_pending: bool,
}

impl TextRows {
    pub fn open(source: &Arc<FileSource>, path: &Arc<str>, schema: &SchemaRef) -> Result<TextRows> {
        let text = source.text.ok_or_else(|| Error::internal("a text nobody looked at"))?;
        let input = open_text(path)?;
        let rows = match source.request.form {
            Form::Json => {
                let at = source.columns.iter().enumerate().map(|(at, column)| (column.key.clone(), at)).collect();
                let input = BufReader::with_capacity(CHUNK_BYTES, input);
                Rows::Json { objects: Box::new(JsonObjects::new(input)), at }
            }
            Form::Csv | Form::Parquet => {
                let options = CopyOptions::csv(text.delimiter, source.request.csv.null.clone());
                Rows::Csv(Box::new(CsvRows {
                    input,
                    lines: Lines::new(&options),
                    options,
                    chunk: vec![0; CHUNK_BYTES],
                    ended: false,
                    header_pending: text.header,
                }))
            }
        };
        let reader = |(at, column): (usize, &FileColumn)| {
            let place = source.projection.iter().position(|wanted| *wanted == at);
            place.map(|place| Ok((place, Reader::plain(&column.sql_type)?))).transpose()
        };
        let readers = source.columns.iter().enumerate().map(reader).collect::<Result<Vec<_>>>()?;
        Ok(TextRows { source: Arc::clone(source), path: Arc::clone(path), schema: Arc::clone(schema), rows, readers })
    }

    /// Bytes of the file read so far.
    pub fn consumed(&self) -> u64 {
        match &self.rows {
            Rows::Csv(rows) => rows.input.consumed(),
            Rows::Json { objects, at: _ } => objects.input().get_ref().consumed(),
        }
    }

    /// The next rows; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders = Vec::with_capacity(self.schema.fields().len());
        for at in &self.source.projection {
            let column = self.source.columns.get(*at).and_then(|column| column.sql_type.physical());
            let physical = column.ok_or_else(|| Error::internal("a column the file does not have"))?;
            builders.push(ColumnBuilder::new(physical, self.source.batch_rows));
        }
        let mut batch = Batch { builders, rows: 0, bytes: 0 };
        while batch.rows < self.source.batch_rows && batch.bytes < BATCH_BYTES {
            if batch.rows.is_multiple_of(ROWS_BETWEEN) {
                self.source.scope.cancel.check()?;
            }
            let more = match &mut self.rows {
                Rows::Csv(rows) => rows.take(&self.source, &self.path, &self.readers, &mut batch)?,
                Rows::Json { objects, at } => {
                    take_object(objects, at, &self.source, &self.path, &self.readers, &mut batch)?
                }
            };
            if !more {
                break;
            }
        }
        if batch.rows == 0 {
            return Ok(None);
        }
        let arrays = batch.builders.into_iter().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        batch.map(Some).map_err(from_arrow)
    }
}

struct Batch {
    builders: Vec<ColumnBuilder>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, place: usize, reader: &Reader, text: Option<&Cow<'_, str>>, source: &FileSource) -> Result<()> {
        let builder = self.builders.get_mut(place).ok_or_else(|| Error::internal("a column without a place"))?;
        match text {
            None => builder.push(DatumRef::Null),
            Some(text) => {
                self.bytes += text.len();
                builder.push(reader.read(text, &source.scope.text)?.as_ref())
            }
        }
    }
}

/// Where in which file an error is, and what to do about types that were guessed from some rows.
fn placed(error: Error, source: &FileSource, path: &str, line: u64, column: Option<usize>) -> Error {
    let name = column.and_then(|at| source.columns.get(at)).map(|column| format!(", column {}", column.name));
    let error = error.with_traceback(format!("file \"{path}\", line {line}{}", name.unwrap_or_default()));
    if column.is_none() || error.hint().is_some() || source.text.is_some_and(|text| text.complete) {
        return error;
    }
    let function = if source.request.form == Form::Json { "read_json" } else { "read_csv" };
    error.with_hint(format!(
        "The types are those of the first rows. {function}('{}', sample_size => -1) looks at all rows, all_varchar => true \
         takes everything for text.",
        source.request.pattern.replace('\'', "''")
    ))
}

impl CsvRows {
    /// Takes a row into the batch; false at the end of the file.
    fn take(
        &mut self,
        source: &FileSource,
        path: &str,
        readers: &[Option<(usize, Reader)>],
        batch: &mut Batch,
    ) -> Result<bool> {
        loop {
            let mut pending = 0;
            let row = loop {
                let row = self.lines.next(self.ended);
                match row.map_err(|error| placed(error, source, path, self.lines.line, None))? {
                    Some(row) => break row,
                    None if self.ended => return Ok(false),
                    None => {}
                }
                let got = self
                    .input
                    .read(&mut self.chunk)
                    .map_err(|error| Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("{path}: {error}")))?;
                pending += got;
                if pending > ROW_BYTES_MAX {
                    let error =
                        Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row is too long; is a quote missing?");
                    return Err(placed(error, source, path, self.lines.line + 1, None));
                }
                self.ended = got == 0;
                self.lines.push(self.chunk.get(..got).unwrap_or_default())?;
                source.scope.cancel.check()?;
            };
            let line = self.lines.line;
            let mut fields: Vec<Field<'_>> = Vec::with_capacity(readers.len());
            split_csv(self.lines.bytes(row), &self.options, &mut fields)
                .map_err(|error| placed(error, source, path, line, None))?;
            if std::mem::take(&mut self.header_pending) {
                check_header(&fields, source, path)?;
                continue;
            }
            if fields.len() != readers.len() {
                let (found, expected) = (fields.len(), readers.len());
                let message = format!("{found} fields where {expected} columns were expected");
                return Err(placed(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message), source, path, line, None));
            }
            for (at, (field, reader)) in fields.iter().zip(readers).enumerate() {
                let Some((place, reader)) = reader else { continue };
                batch
                    .push(*place, reader, field.as_ref(), source)
                    .map_err(|error| placed(error, source, path, line, Some(at)))?;
            }
            batch.rows += 1;
            return Ok(true);
        }
    }
}

/// Every file's own first line names the same columns.
fn check_header(fields: &[Field<'_>], source: &FileSource, path: &str) -> Result<()> {
    let names: Vec<&str> = fields.iter().map(|field| field.as_deref().unwrap_or_default()).collect();
    let expected: Vec<&str> = source.columns.iter().map(|column| column.key.trim_start_matches('\u{feff}')).collect();
    match names == expected {
        true => Ok(()),
        false => {
            let detail = format!("Its first line is {}, but {} was expected.", names.join(", "), expected.join(", "));
            Err(other_columns(path, detail))
        }
    }
}

/// Takes an object into the batch; false at the end of the file.
fn take_object(
    objects: &mut JsonObjects<BufReader<TextInput>>,
    at: &HashMap<String, usize>,
    source: &FileSource,
    path: &str,
    readers: &[Option<(usize, Reader)>],
    batch: &mut Batch,
) -> Result<bool> {
    let object = objects
        .next_object()
        .map_err(|error| Error::new(error.kind(), error.state(), format!("{path}, {}", error.message())))?;
    let Some(JsonObject(fields)) = object else { return Ok(false) };
    let line = objects.began_on();
    let mut values: Vec<Option<&Json>> = vec![None; readers.len()];
    for (name, value) in &fields {
        let slot = at.get(name).and_then(|at| values.get_mut(*at));
        match slot {
            Some(slot) => *slot = Some(value),
            None => {
                let message = format!("key \"{name}\" is not among the columns");
                let error = Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message);
                return Err(placed(error, source, path, line, Some(usize::MAX)));
            }
        }
    }
    for (at, (value, reader)) in values.iter().zip(readers).enumerate() {
        let Some((place, reader)) = reader else { continue };
        let json = source.columns.get(at).is_some_and(|column| column.sql_type == SqlType::Jsonb);
        let text: Option<Cow<'_, str>> = match value {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) if !json => Some(Cow::Borrowed(text)),
            Some(other) => Some(Cow::Owned(other.to_string())),
        };
        batch
            .push(*place, reader, text.as_ref(), source)
            .map_err(|error| placed(error, source, path, line, Some(at)))?;
    }
    batch.rows += 1;
    Ok(true)
}
