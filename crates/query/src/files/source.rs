//! What is read of files: which parts, which columns.

use std::sync::Arc;

use heliosdb_contracts::ColumnPredicate;
use heliosdb_files::{FileColumn, Form, ParquetTable};
use heliosdb_runtime::{HostFiles, HostKind};
use heliosdb_types::{Error, Result, SqlState};

use super::look::FileRequest;
use super::table::Text;
use crate::exec::StatementScope;

/// What is scanned, and how.
#[derive(Clone)]
pub(super) struct FileSource {
    pub name: String,
    pub request: FileRequest,
    pub columns: Vec<FileColumn>,
    pub text: Option<Text>,
    /// Positions in `columns`.
    pub projection: Vec<usize>,
    /// Conditions on columns by their positions; advice.
    pub tests: Vec<ColumnPredicate>,
    /// The same as SQL, for EXPLAIN.
    pub filters: Vec<String>,
    pub limit: Option<usize>,
    pub batch_rows: usize,
    pub scope: Arc<StatementScope>,
}

/// A part of the files that is read by itself.
#[derive(Clone)]
pub(super) enum Unit {
    Group { table: Arc<ParquetTable>, group: usize },
    Text { path: Arc<str> },
}

/// The parts to read, in order, and what is known of them.
pub(super) struct Units {
    pub units: Vec<(Unit, u64)>,
    /// Row groups the conditions rule out.
    pub skipped: usize,
    pub rows: u64,
}

impl FileSource {
    /// Finds the parts of the files. All files of one table have its columns.
    pub fn units(&self, files: &[String]) -> Result<Units> {
        let mut found = Units { units: Vec::new(), skipped: 0, rows: 0 };
        for file in files {
            self.scope.cancel.check()?;
            if self.request.form != Form::Parquet {
                let HostKind::File { bytes } = HostFiles.kind(file)? else {
                    let message = format!("\"{file}\" is not a regular file");
                    return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
                };
                // A guess: nobody counted them.
                found.rows = found.rows.saturating_add(bytes / 64 + 1);
                found.units.push((Unit::Text { path: file.as_str().into() }, bytes));
                continue;
            }
            let table = Arc::new(ParquetTable::open(file)?);
            self.check_columns(file, table.columns())?;
            for group in 0..table.groups() {
                if !self.tests.is_empty() && !table.may_match(group, &self.tests) {
                    found.skipped += 1;
                    continue;
                }
                found.rows = found.rows.saturating_add(table.group_rows(group));
                let bytes = table.group_bytes(group, &self.projection);
                found.units.push((Unit::Group { table: Arc::clone(&table), group }, bytes));
            }
        }
        Ok(found)
    }

    /// Whether a file has the table's columns.
    pub fn check_columns(&self, file: &str, columns: &[FileColumn]) -> Result<()> {
        let shown = |column: &FileColumn| format!("{} {}", column.name, column.sql_name);
        for (at, expected) in self.columns.iter().enumerate() {
            match columns.get(at) {
                Some(found) if (&found.name, &found.sql_type) == (&expected.name, &expected.sql_type) => {}
                Some(found) => {
                    return Err(other_columns(
                        file,
                        format!("Column {} is {}, but {} was expected.", at + 1, shown(found), shown(expected)),
                    ));
                }
                None => return Err(other_columns(file, format!("Column {} is missing.", shown(expected)))),
            }
        }
        match columns.get(self.columns.len()) {
            Some(more) => Err(other_columns(file, format!("Column {} is one too many.", shown(more)))),
            None => Ok(()),
        }
    }
}

/// The files of one table have the columns of the first.
pub(super) fn other_columns(file: &str, detail: String) -> Error {
    let message = format!("file \"{file}\" has other columns than the files before it");
    Error::invalid(SqlState::DATATYPE_MISMATCH, message)
        .with_detail(detail)
        .with_hint("Read files of different columns one by one, and put them together with UNION ALL.")
}
