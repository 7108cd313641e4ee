//! What a statement says of files, and what was found of them while the statement is bound.

use std::collections::HashMap;
use std::sync::Arc;

use heliosdb_files::{CsvOptions, Form, ParquetTable, Shape, csv_shape, find_files, json_shape};
use heliosdb_runtime::{HostFiles, HostKind};
use heliosdb_types::{Error, Result, SqlState};
use parking_lot::Mutex;

use super::rights::FileRights;
use super::table::{FileTable, Text};

/// Rows of a text that are looked at to learn its types, if nothing else is said.
const SAMPLE_ROWS: u64 = 100_000;

/// Files as a statement names them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileRequest {
    /// A path or a pattern.
    pub pattern: String,
    pub form: Form,
    pub csv: CsvOptions,
    /// All columns as text.
    pub all_text: bool,
    /// `None`: all rows.
    pub sample: Option<u64>,
}

impl FileRequest {
    pub fn new(pattern: String, form: Form) -> FileRequest {
        let csv = CsvOptions::default();
        FileRequest { pattern, form, csv, all_text: false, sample: Some(SAMPLE_ROWS) }
    }

    /// The files of now, all of which may be read.
    pub fn files(&self, rights: &FileRights, stop: &dyn Fn() -> Result<()>) -> Result<Vec<String>> {
        rights.check_written(&self.pattern)?;
        let files = find_files(&self.pattern, stop)?;
        files.iter().try_for_each(|file| rights.check_found(file, &self.pattern))?;
        Ok(files)
    }

    /// Looks at the files: columns and types of the first of them that has any.
    pub fn look(self, rights: FileRights, stop: &dyn Fn() -> Result<()>) -> Result<FileTable> {
        let files = self.files(&rights, stop)?;
        let mut nothing = None;
        for file in &files {
            stop()?;
            let rows: u64;
            let found = match self.form {
                Form::Parquet => {
                    let table = ParquetTable::open(file)?;
                    rows = table.rows();
                    (table.columns().to_vec(), None)
                }
                Form::Csv => {
                    let shape = csv_shape(file, &self.csv, self.sample, &mut |_| stop())?;
                    rows = rows_of(file, &shape);
                    let text = Text { delimiter: shape.delimiter, header: shape.header, complete: shape.complete };
                    (if self.all_text { shape.as_text() } else { shape }.columns, Some(text))
                }
                Form::Json => {
                    let shape = json_shape(file, self.sample, &mut |_| stop())?;
                    rows = rows_of(file, &shape);
                    let text = Text { delimiter: b',', header: false, complete: shape.complete };
                    (if self.all_text { shape.as_text() } else { shape }.columns, Some(text))
                }
            };
            match found {
                (columns, _) if columns.is_empty() => nothing = nothing.or(Some(file.clone())),
                (columns, text) => {
                    // The others may be as large.
                    let rows = rows.saturating_mul(files.len() as u64);
                    return FileTable::new(self, rights, columns, text, rows);
                }
            }
        }
        let file = nothing.unwrap_or_default();
        Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("{file} has no columns")))
    }
}

/// How many rows a text has: those that were counted, or a guess from its length.
fn rows_of(file: &str, shape: &Shape) -> u64 {
    match HostFiles.kind(file) {
        Ok(HostKind::File { bytes }) if !shape.complete => shape.records.max(bytes / 64),
        _ => shape.records,
    }
}

/// The files of the statement that is being bound.
#[derive(Debug, Default)]
pub(crate) struct FileLooks(Mutex<Looks>);

#[derive(Debug, Default)]
struct Looks {
    found: HashMap<FileRequest, Arc<FileTable>>,
    wanted: Option<FileRequest>,
}

const NOT_HERE: &str = "a file in FROM here";

impl FileLooks {
    /// What was found, or the error that says it is wanted: [`FileLooks::wanted`] knows it. Where nobody looks for files, it is what
    /// the client gets.
    pub fn get(&self, request: &FileRequest) -> Result<Arc<FileTable>> {
        let mut looks = self.0.lock();
        if let Some(found) = looks.found.get(request) {
            return Ok(Arc::clone(found));
        }
        looks.wanted = Some(request.clone());
        Err(Error::unsupported(NOT_HERE)
            .with_hint("Load the file into a table: CREATE TABLE t AS SELECT * FROM 'file'."))
    }

    /// What has to be looked at before the statement can be bound, if that is what the error says.
    pub fn wanted(&self, error: &Error) -> Option<FileRequest> {
        let ours = Error::unsupported(NOT_HERE);
        (error.state() == ours.state() && error.message() == ours.message()).then(|| self.0.lock().wanted.take())?
    }

    pub fn put(&self, request: FileRequest, table: Arc<FileTable>) {
        self.0.lock().found.insert(request, table);
    }

    /// Forgets everything: the statement is bound, or failed.
    pub fn clear(&self) {
        let mut looks = self.0.lock();
        looks.found.clear();
        looks.wanted = None;
    }
}
