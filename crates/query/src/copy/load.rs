//! COPY ... FROM STDIN: rows go from bytes to the shard in batches, without a plan.
//!
//! A table with CHECK constraints, or with defaults that differ from row to row, takes the engine's INSERT instead, a
//! batch at a time; everything else is parsed, encoded and handed to the shard here.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use heliosdb_contracts::{CopyFormat, CopyIn, InsertOutcome, KeyedRow, LockWait, TreeKey, binary, row_id_key};
use heliosdb_types::{
    CommandId, Datum, DatumRef, Error, Oid, PhysicalType, Result, SqlState, SqlType, TextContext, TxnId, encode_key,
    encode_row, text_of,
};

use super::binary::BinaryRows;
use super::fields::{Field, split_csv, split_text};
use super::lines::Lines;
use super::options::{CopyOptions, Format, Header};
use super::progress::ShownCopy;
use super::source::BatchTable;
use super::value::{Reader, Value};
use crate::bind::BoundStatement;
use crate::catalog::{Column, Relation, TableInfo};
use crate::engine::Engine;
use crate::exec::{CancelFlag, ColumnBuilder, StatementScope, TierMark};
use crate::func::{FuncContext, SequenceSource};
use crate::session::{Running, SessionSequences};

/// Rows handed to the shard at once: enough to spread the cost of a call, few enough to keep memory small.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;

/// What a column that is not in the data gets.
pub(super) enum Missing {
    Value(Datum),
    Next(Oid),
}

/// How batches are written.
pub(super) enum Path {
    /// Straight to the shard: what each table column gets, from the field at a position or else.
    Direct { columns: Vec<Result<usize, Missing>> },
    /// Through an INSERT bound over `source`.
    Planned { bound: Arc<BoundStatement>, source: Arc<BatchTable>, scope: Arc<StatementScope> },
}

pub(super) struct Loader {
    pub shown: ShownCopy,
    pub engine: Arc<Engine>,
    pub txn: TxnId,
    pub command: CommandId,
    pub wait: LockWait,
    pub relation: Arc<Relation>,
    pub schema: String,
    /// The columns of the data, in their order.
    pub columns: Vec<Column>,
    pub options: CopyOptions,
    pub context: Arc<TextContext>,
    /// The catalog, for columns that refer to it.
    pub names: FuncContext,
    pub sequences: Arc<SessionSequences>,
    pub path: Path,
    pub running: Running,
    pub tier: TierMark,
}

/// A COPY in progress.
pub(super) struct Load {
    loader: Loader,
    readers: Vec<Reader>,
    /// Physical types of the table's row.
    types: Vec<PhysicalType>,
    force_not_null: Vec<bool>,
    force_null: Vec<bool>,
    lines: Lines,
    /// Instead of `lines`, for the binary format.
    binary: Option<BinaryRows>,
    header_pending: bool,
    batch: Batch,
    rows: u64,
}

#[derive(Default)]
struct Batch {
    keys: Vec<u8>,
    rows: Vec<u8>,
    /// Where each row's key and row end.
    ends: Vec<(usize, usize)>,
    lines: Vec<u64>,
    builders: Vec<ColumnBuilder>,
}

impl Batch {
    /// An empty one that will become about as large.
    fn another(&self) -> Batch {
        let (keys, rows) = (self.keys.len(), self.rows.len());
        Batch {
            keys: Vec::with_capacity(keys + keys / 8),
            rows: Vec::with_capacity(rows + rows / 8),
            ends: Vec::with_capacity(self.ends.len()),
            lines: Vec::with_capacity(self.lines.len()),
            builders: Vec::new(),
        }
    }
}

impl Load {
    pub fn new(loader: Loader) -> Result<Load> {
        let readers = loader
            .columns
            .iter()
            .map(|column| Reader::new(&column.sql_type, &loader.names))
            .collect::<Result<Vec<_>>>()?;
        let named =
            |names: &[String]| loader.columns.iter().map(|column| names.contains(&column.name)).collect::<Vec<bool>>();
        Ok(Load {
            readers,
            types: table(&loader.relation)?.tree.physical_types(),
            force_not_null: named(&loader.options.force_not_null),
            force_null: named(&loader.options.force_null),
            lines: Lines::new(&loader.options),
            binary: (loader.options.format == Format::Binary).then(BinaryRows::default),
            header_pending: loader.options.header != Header::No,
            batch: Batch::default(),
            rows: 0,
            loader,
        })
    }

    /// Says that the data is a file's; what cancels the COPY.
    pub fn of_file(&mut self, bytes: u64) -> CancelFlag {
        self.loader.shown.set_file(bytes);
        self.loader.running.flag.clone()
    }

    /// Takes complete rows into the batch until it is full (true) or the data is used up.
    fn fill(&mut self, end: bool) -> Result<bool> {
        while self.batch.lines.len() < BATCH_ROWS && self.batch.rows.len() < BATCH_BYTES {
            if self.binary.is_some() {
                if !self.take_binary(end)? {
                    return Ok(false);
                }
                continue;
            }
            let Some(row) = self.lines.next(end).map_err(|error| self.at_line(error, None))? else { return Ok(false) };
            if std::mem::take(&mut self.header_pending) {
                if self.loader.options.header == Header::Match {
                    self.match_header(&row).map_err(|error| self.at_line(error, Some(row.clone())))?;
                }
                continue;
            }
            self.take_row(row)?;
        }
        Ok(true)
    }

    /// Takes a row of the binary format; false if there is none yet.
    fn take_binary(&mut self, end: bool) -> Result<bool> {
        let Some(rows) = &mut self.binary else { return Ok(false) };
        let place = |line: u64| format!("COPY {}, line {line}", self.loader.relation.name);
        let fields = match rows.next(self.readers.len(), end) {
            Ok(Some(fields)) => fields,
            Ok(None) => return Ok(false),
            Err(error) => return Err(error.with_traceback(place(rows.line.max(1)))),
        };
        let mut values = Vec::with_capacity(fields.len());
        for (field, column) in fields.into_iter().zip(&self.loader.columns) {
            let Some(range) = field else {
                values.push(Value::Ref(DatumRef::Null));
                continue;
            };
            let what = format!("column \"{}\"", column.name);
            let value = binary::read(rows.bytes(range), &column.sql_type, &self.loader.context, &what);
            values.push(Value::Owned(
                value.map_err(|error| error.with_traceback(format!("{}, column {}", place(rows.line), column.name)))?,
            ));
        }
        let line = rows.line;
        let stored = match &self.loader.path {
            Path::Planned { .. } => push_columns(&self.readers, &values, &mut self.batch),
            Path::Direct { columns } => push_row(&self.loader, columns, &self.types, &values, &mut self.batch),
        };
        stored.map_err(|error| error.with_traceback(place(line)))?;
        self.batch.lines.push(line);
        Ok(true)
    }

    /// HEADER MATCH: the first line names the columns of the data.
    fn match_header(&self, row: &std::ops::Range<usize>) -> Result<()> {
        let mut fields: Vec<Field<'_>> = Vec::new();
        let split = if self.loader.options.csv { split_csv } else { split_text };
        split(self.lines.bytes(row.clone()), &self.loader.options, &mut fields)?;
        let bad = |message: String| Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message));
        let columns = &self.loader.columns;
        if fields.len() != columns.len() {
            return bad(format!(
                "wrong number of fields in header line: field count is {}, expected {}",
                fields.len(),
                columns.len()
            ));
        }
        for (at, (field, column)) in fields.iter().zip(columns).enumerate() {
            let (number, expected) = (at + 1, &column.name);
            match field {
                None => {
                    let null = &self.loader.options.null;
                    return bad(format!(
                        "column name mismatch in header line field {number}: got null value (\"{null}\"), expected \"{expected}\""
                    ));
                }
                Some(name) if name != expected => {
                    return bad(format!(
                        "column name mismatch in header line field {number}: got \"{name}\", expected \"{expected}\""
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn take_row(&mut self, row: std::ops::Range<usize>) -> Result<()> {
        let bytes = self.lines.bytes(row.clone());
        let mut fields: Vec<Field<'_>> = Vec::with_capacity(self.readers.len());
        let split = if self.loader.options.csv { split_csv } else { split_text };
        let taken = split(bytes, &self.loader.options, &mut fields)
            .and_then(|()| self.check_count(&fields))
            .map_err(|error| self.at_line(error, Some(row.clone())))
            .and_then(|()| self.read_values(fields));
        let values = taken?;
        let batch = &mut self.batch;
        let stored = match &self.loader.path {
            Path::Planned { .. } => push_columns(&self.readers, &values, batch),
            Path::Direct { columns } => push_row(&self.loader, columns, &self.types, &values, batch),
        };
        drop(values);
        stored.map_err(|error| self.at_line(error, Some(row)))?;
        self.batch.lines.push(self.lines.line);
        Ok(())
    }

    fn check_count(&self, fields: &[Field<'_>]) -> Result<()> {
        // An empty line is one empty field; a table without columns in the data has none.
        if self.readers.is_empty() && matches!(fields, [Some(only)] if only.is_empty()) {
            return Ok(());
        }
        let bad = |message: String| Err(Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, message));
        match self.loader.columns.get(fields.len()) {
            Some(missing) => bad(format!("missing data for column \"{}\"", missing.name)),
            None if fields.len() > self.readers.len() => bad("extra data after last expected column".to_owned()),
            None => Ok(()),
        }
    }

    fn read_values<'a>(&self, fields: Vec<Field<'a>>) -> Result<Vec<Value<'a>>> {
        let mut values = Vec::with_capacity(fields.len());
        for (at, (field, reader)) in fields.into_iter().zip(&self.readers).enumerate() {
            let field = match field {
                None if self.force_not_null.get(at) == Some(&true) => Some(self.loader.options.null.clone().into()),
                Some(text) if self.force_null.get(at) == Some(&true) && text == self.loader.options.null => None,
                field => field,
            };
            let Some(text) = field else {
                values.push(Value::Ref(DatumRef::Null));
                continue;
            };
            values.push(reader.read(&text, &self.loader.context).map_err(|error| {
                let column = self.loader.columns.get(at).map_or("", |column| column.name.as_str());
                error.with_traceback(format!(
                    "COPY {}, line {}, column {column}: \"{}\"",
                    self.loader.relation.name,
                    self.lines.line,
                    shortened(&text)
                ))
            })?);
        }
        Ok(values)
    }

    /// Adds PostgreSQL's CONTEXT: which line, and what it says.
    fn at_line(&self, error: Error, row: Option<std::ops::Range<usize>>) -> Error {
        if error.traceback().is_some() {
            return error;
        }
        let place = format!("COPY {}, line {}", self.loader.relation.name, self.lines.line);
        match row.map(|row| String::from_utf8_lossy(self.lines.bytes(row)).into_owned()) {
            Some(text) => error.with_traceback(format!("{place}: \"{}\"", shortened(&text))),
            None => error.with_traceback(place),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let count = self.batch.lines.len();
        if count == 0 {
            return Ok(());
        }
        let next = self.batch.another();
        let batch = std::mem::replace(&mut self.batch, next);
        self.loader.running.flag.check()?;
        match &self.loader.path {
            Path::Direct { .. } => self.insert(batch).await?,
            Path::Planned { bound, source, scope } => {
                let arrays = batch.builders.into_iter().map(ColumnBuilder::finish).collect();
                let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(count));
                let rows = RecordBatch::try_new_with_options(source.schema_ref(), arrays, &options)
                    .map_err(crate::exec::from_arrow)?;
                source.put(rows);
                let executor = &self.loader.engine.executor;
                let written = executor.run_write(&bound.plan, Vec::new(), &[], Arc::clone(scope)).await?;
                self.rows += written;
                self.loader.shown.rows(written);
                self.loader.shown.excluded((count as u64).saturating_sub(written));
                return Ok(());
            }
        }
        self.rows += count as u64;
        self.loader.shown.rows(count as u64);
        Ok(())
    }

    async fn insert(&mut self, batch: Batch) -> Result<()> {
        let loader = &self.loader;
        let tree = &table(&loader.relation)?.tree;
        let (rows, lines) = (Bytes::from(batch.rows), batch.lines);
        let keys = match tree.key {
            TreeKey::RowId => {
                let first = loader.engine.shard.allocate_row_ids(tree.tree, lines.len() as u64)?;
                let ids = (first..).take(lines.len()).flat_map(row_id_key);
                Bytes::from(ids.collect::<Vec<u8>>())
            }
            TreeKey::Columns(_) => Bytes::from(batch.keys),
        };
        let (mut key_start, mut row_start) = (0, 0);
        let keyed = batch.ends.iter().enumerate().map(|(at, &(key_end, row_end))| {
            let key_end = if matches!(tree.key, TreeKey::RowId) { (at + 1) * 8 } else { key_end };
            let row = KeyedRow { key: keys.slice(key_start..key_end), row: rows.slice(row_start..row_end) };
            (key_start, row_start) = (key_end, row_end);
            row
        });
        let keyed: Vec<KeyedRow> = keyed.collect();
        let count = keyed.len();
        let inserted = tokio::select! {
            biased;
            () = loader.running.flag.cancelled() => return Err(loader.running.flag.error()),
            inserted = loader.engine.shard.insert(loader.txn, loader.command, Arc::clone(tree), keyed, loader.wait) => inserted?,
        };
        match inserted {
            InsertOutcome::Inserted => {
                loader.tier.tally().inserted(loader.relation.oid, count);
                Ok(())
            }
            InsertOutcome::Duplicate { index } => {
                let line = lines.get(index).copied().unwrap_or(0);
                let start = index.checked_sub(1).and_then(|before| batch.ends.get(before)).map_or(0, |end| end.1);
                let end = batch.ends.get(index).map_or(start, |end| end.1);
                let row = rows.slice(start..end);
                let error = duplicate(&loader.relation, &self.types, &row, &loader.context)?;
                Err(error.with_traceback(format!("COPY {}, line {line}", loader.relation.name)))
            }
        }
    }
}

fn table(relation: &Relation) -> Result<&TableInfo> {
    relation.table().ok_or_else(|| Error::internal("COPY writes tables"))
}

/// A line as a message shows it.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 100 { text.to_owned() } else { text.chars().take(100).chain("...".chars()).collect() }
}

fn push_columns(readers: &[Reader], values: &[Value<'_>], batch: &mut Batch) -> Result<()> {
    if batch.builders.is_empty() {
        batch.builders = readers.iter().map(|reader| ColumnBuilder::new(reader.physical(), BATCH_ROWS)).collect();
    }
    for (builder, value) in batch.builders.iter_mut().zip(values) {
        builder.push(value.as_ref())?;
    }
    Ok(())
}

/// Encodes one row and its key.
fn push_row(
    loader: &Loader,
    columns: &[Result<usize, Missing>],
    types: &[PhysicalType],
    values: &[Value<'_>],
    batch: &mut Batch,
) -> Result<()> {
    let mut row = Vec::with_capacity(columns.len());
    for (column, source) in loader.relation.columns.iter().zip(columns) {
        let value = match source {
            Ok(at) => values.get(*at).map_or(DatumRef::Null, Value::as_ref),
            Err(Missing::Value(value)) => value.as_ref(),
            Err(Missing::Next(sequence)) => match loader.sequences.nextval(*sequence)? {
                value if column.sql_type == SqlType::Int8 => DatumRef::Int64(value),
                value if column.sql_type == SqlType::Int4 => DatumRef::Int32(in_range(value, "integer")?),
                value => DatumRef::Int16(in_range(value, "smallint")?),
            },
        };
        row.push(value);
    }
    for (column, value) in loader.relation.columns.iter().zip(&row) {
        if column.not_null && value.is_null() {
            return Err(not_null(&loader.relation, column, &row, &loader.context));
        }
    }
    encode_row(types, &row, &mut batch.rows)?;
    let tree = &table(&loader.relation)?.tree;
    if let TreeKey::Columns(ids) = &tree.key {
        for id in ids {
            let value = tree.position(*id).and_then(|at| row.get(at));
            encode_key(&mut batch.keys, *value.unwrap_or(&DatumRef::Null), false);
        }
    }
    batch.ends.push((batch.keys.len(), batch.rows.len()));
    Ok(())
}

fn in_range<T: TryFrom<i64>>(value: i64, type_name: &str) -> Result<T> {
    T::try_from(value)
        .map_err(|_| Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{type_name} out of range")))
}

fn not_null(relation: &Relation, column: &Column, row: &[DatumRef<'_>], context: &TextContext) -> Error {
    let shown = relation.columns.iter().zip(row).map(|(column, value)| match value {
        DatumRef::Null => "null".to_owned(),
        value => text_of(*value, &column.sql_type, context),
    });
    let shown: Vec<String> = shown.collect();
    let message = format!(
        "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
        column.name, relation.name
    );
    Error::conflict(SqlState::NOT_NULL_VIOLATION, message)
        .with_detail(format!("Failing row contains ({}).", shown.join(", ")))
        .with_table(relation.name.clone())
        .with_column(column.name.clone())
}

fn duplicate(relation: &Relation, types: &[PhysicalType], row: &[u8], context: &TextContext) -> Result<Error> {
    let info = table(relation)?;
    let key = info.primary_key.as_ref().ok_or_else(|| Error::internal("a duplicate without a key"))?;
    let layout = heliosdb_types::RowLayout::new(types);
    let view = heliosdb_types::RowView::new(&layout, row)?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for attribute in &key.attributes {
        let found = relation.columns.iter().enumerate().find(|(_, column)| column.attribute == *attribute);
        let (at, column) = found.ok_or_else(|| Error::internal("a key column is missing"))?;
        names.push(column.name.clone());
        values.push(text_of(view.get(at)?, &column.sql_type, context));
    }
    let message = format!("duplicate key value violates unique constraint \"{}\"", key.name);
    Ok(Error::conflict(SqlState::UNIQUE_VIOLATION, message)
        .with_detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
        .with_table(relation.name.clone())
        .with_constraint(key.name.clone()))
}

impl CopyIn for Load {
    fn format(&self) -> CopyFormat {
        CopyFormat { binary: self.binary.is_some(), columns: self.readers.len() }
    }

    fn data<'a>(&'a mut self, chunk: Bytes) -> BoxFuture<'a, Result<()>> {
        async move {
            let schema = self.loader.schema.clone();
            self.take(chunk).await.map_err(|error| named_schema(error, &schema))
        }
        .boxed()
    }

    fn done(mut self: Box<Self>) -> BoxFuture<'static, Result<u64>> {
        async move {
            let schema = self.loader.schema.clone();
            self.end().await.map_err(|error| named_schema(error, &schema))
        }
        .boxed()
    }

    fn abandon(self: Box<Self>, _reason: String) {}
}

/// Constraint errors name their table's schema.
fn named_schema(error: Error, schema: &str) -> Error {
    if error.table().is_some() && error.schema().is_none() { error.with_schema(schema) } else { error }
}

impl Load {
    async fn take(&mut self, chunk: Bytes) -> Result<()> {
        self.loader.running.flag.check()?;
        self.loader.shown.bytes(chunk.len());
        match &mut self.binary {
            Some(rows) => rows.push(&chunk)?,
            None => self.lines.push(&chunk)?,
        }
        while self.fill(false)? {
            self.flush().await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<u64> {
        while self.fill(true)? {
            self.flush().await?;
        }
        self.flush().await?;
        Ok(self.rows)
    }
}
