//! What a new row must satisfy before it is written: NOT NULL, then CHECK, with PostgreSQL's errors.

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use heliosdb_contracts::datum_at;
use heliosdb_types::{Error, Result, SqlState, TextContext, write_text};

use super::spec::{WriteSpec, evaluate};

/// Values longer than this are cut in an error's detail, as PostgreSQL does.
const SHOWN_CHARS: usize = 64;

impl WriteSpec {
    /// Checks the new rows, a batch of the table's columns.
    pub(super) fn verify(&self, rows: &RecordBatch, text: &TextContext) -> Result<()> {
        self.verify_not_null(rows, text)?;
        for (name, condition) in &self.checks {
            let passes = evaluate(condition, rows)?;
            let passes = passes.as_any().downcast_ref::<BooleanArray>();
            let passes = passes.ok_or_else(|| Error::internal("a CHECK condition is not boolean"))?;
            // NULL passes.
            if let Some(row) = (0..passes.len()).find(|&row| passes.is_valid(row) && !passes.value(row)) {
                let table = &self.table.name;
                let message = format!("new row for relation \"{table}\" violates check constraint \"{name}\"");
                return Err(Error::conflict(SqlState::CHECK_VIOLATION, message)
                    .with_detail(self.failing_row(rows, row, text)?)
                    .with_table(table.as_str())
                    .with_constraint(name.as_str()));
            }
        }
        Ok(())
    }

    fn verify_not_null(&self, rows: &RecordBatch, text: &TextContext) -> Result<()> {
        let columns = self.table.columns.iter().zip(rows.columns()).enumerate();
        let written = |at: usize| self.patch.as_ref().is_none_or(|patch| patch.changes(at));
        let required = columns.filter(|(at, (column, _))| column.not_null && written(*at)).map(|(_, column)| column);
        let null_row = |array: &ArrayRef| match array.logical_nulls() {
            Some(nulls) if nulls.null_count() > 0 => (0..array.len()).find(|&row| nulls.is_null(row)),
            _ => None,
        };
        // The first row in order, and in it the first column: what a row at a time would have met.
        let first = required.filter_map(|(column, array)| Some((null_row(array)?, column))).min_by_key(|(row, _)| *row);
        let Some((row, column)) = first else { return Ok(()) };
        let (name, table) = (&column.name, &self.table.name);
        let message = format!("null value in column \"{name}\" of relation \"{table}\" violates not-null constraint");
        Err(Error::conflict(SqlState::NOT_NULL_VIOLATION, message)
            .with_detail(self.failing_row(rows, row, text)?)
            .with_table(table.as_str())
            .with_column(name.as_str()))
    }

    fn failing_row(&self, rows: &RecordBatch, row: usize, text: &TextContext) -> Result<String> {
        let shown: Vec<String> = self.shown(rows.columns(), 0..self.types.len(), row, text)?;
        Ok(format!("Failing row contains ({}).", shown.join(", ")))
    }

    /// 23505 for the new row at `row`.
    pub(super) fn duplicate(&self, columns: &[ArrayRef], row: usize, text: &TextContext) -> Result<Error> {
        let Some(key) = &self.key else { return Ok(Error::internal("a hidden row id was given out twice")) };
        let constraint = self.table.table().and_then(|table| table.primary_key.as_ref());
        let constraint = constraint.map_or_else(|| format!("{}_pkey", self.table.name), |key| key.name.clone());
        let names = key.iter().filter_map(|&at| self.table.columns.get(at)).map(|column| quoted(&column.name));
        let names = names.collect::<Vec<_>>().join(", ");
        let values = self.shown(columns, key.iter().copied(), row, text)?.join(", ");
        let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
        Ok(Error::conflict(SqlState::UNIQUE_VIOLATION, message)
            .with_detail(format!("Key ({names})=({values}) already exists."))
            .with_table(self.table.name.as_str())
            .with_constraint(constraint))
    }

    fn shown(
        &self,
        columns: &[ArrayRef],
        positions: impl Iterator<Item = usize>,
        row: usize,
        text: &TextContext,
    ) -> Result<Vec<String>> {
        let show = |at: usize| {
            let (Some(array), Some(physical)) = (columns.get(at), self.types.get(at)) else {
                return Err(Error::internal("a row is narrower than its table"));
            };
            let value = datum_at(array, row, *physical)?;
            let mut out = String::new();
            match self.table.columns.get(at) {
                Some(column) if !value.is_null() => write_text(value, &column.sql_type, text, &mut out),
                _ => out.push_str("null"),
            }
            if let Some((end, _)) = out.char_indices().nth(SHOWN_CHARS) {
                out.truncate(end);
                out.push_str("...");
            }
            Ok(out)
        };
        positions.map(show).collect()
    }
}

/// An identifier as SQL would have to write it.
fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
