//! A file as a table: some of its columns, some of its row groups, in the engine's own Arrow types.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use heliosdb_contracts::{ColumnPredicate, arrow_type};
use heliosdb_types::{Error, Result, TextContext};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::guard::{damaged, guarded};
use super::kind::Kind;
use super::source::Source;
use super::{file_columns, footer, load, prune, typed, wrong};
use crate::column::FileColumn;

/// What a batch may take in memory, by what the file says of its columns.
const BATCH_BYTES: u64 = 16 << 20;

/// An open file.
pub struct ParquetTable {
    path: Arc<str>,
    source: Source,
    metadata: ArrowReaderMetadata,
    kinds: Arc<[(String, Kind)]>,
    columns: Vec<FileColumn>,
}

impl ParquetTable {
    pub fn open(path: &str) -> Result<ParquetTable> {
        let source = Source::open(path)?;
        footer::check(&source).map_err(|what| damaged(path, &what))?;
        let (metadata, kinds) = guarded(path, || load(&source, true))?;
        let columns = file_columns(&kinds, &metadata);
        Ok(ParquetTable { path: path.into(), source, metadata, kinds: kinds.into(), columns })
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn columns(&self) -> &[FileColumn] {
        &self.columns
    }

    pub fn rows(&self) -> u64 {
        (0..self.groups()).map(|group| self.group_rows(group)).fold(0, u64::saturating_add)
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.source.len
    }

    /// Row groups: what can be read on its own.
    pub fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    pub fn group_rows(&self, group: usize) -> u64 {
        let found = self.metadata.metadata().row_groups().get(group);
        found.and_then(|group| u64::try_from(group.num_rows()).ok()).unwrap_or_default()
    }

    /// Bytes of some columns of a group, as they lie in the file.
    pub fn group_bytes(&self, group: usize, projection: &[usize]) -> u64 {
        self.sum(group, projection, |column| column.compressed_size())
    }

    fn sum(
        &self,
        group: usize,
        projection: &[usize],
        of: impl Fn(&parquet::file::metadata::ColumnChunkMetaData) -> i64,
    ) -> u64 {
        let metadata = self.metadata.metadata();
        let Some(found) = metadata.row_groups().get(group) else { return 0 };
        let descriptor = self.metadata.parquet_schema();
        let wanted = |(leaf, _): &(usize, _)| {
            *leaf < descriptor.num_columns() && projection.contains(&descriptor.get_column_root_idx(*leaf))
        };
        let sizes = found.columns().iter().enumerate().filter(wanted).map(|(_, column)| of(column));
        sizes.map(|size| u64::try_from(size).unwrap_or_default()).fold(0, u64::saturating_add)
    }

    /// Whether rows of a group may pass all tests, by the group's statistics. The tests' columns are positions from 0.
    pub fn may_match(&self, group: usize, tests: &[ColumnPredicate]) -> bool {
        // Statistics are advice: damage in them is met again where the rows are read, if it matters there.
        let looked = guarded(&self.path, || Ok(prune::may_match(&self.metadata, &self.kinds, group, tests)));
        looked.unwrap_or(true)
    }

    /// Reads columns, in the order given, of one row group.
    pub fn read(
        &self,
        group: usize,
        projection: &[usize],
        batch_rows: usize,
        context: Arc<TextContext>,
    ) -> Result<ParquetRows> {
        let uncompressed = self.sum(group, projection, |column| column.uncompressed_size());
        let row_bytes = (uncompressed / self.group_rows(group).max(1)).max(1);
        let rows = usize::try_from(BATCH_BYTES / row_bytes).unwrap_or(usize::MAX).clamp(1, batch_rows.max(1));
        let mut fields = Vec::with_capacity(projection.len());
        for &at in projection {
            let (name, kind) = self.kinds.get(at).ok_or_else(|| Error::internal("a column the file does not have"))?;
            let physical = kind.sql_type().physical().ok_or_else(|| Error::internal("a type without storage"))?;
            fields.push(Field::new(name, arrow_type(physical), true));
        }
        let mut order = projection.to_vec();
        order.sort_unstable();
        order.dedup();
        let reader = guarded(&self.path, || {
            let mask = ProjectionMask::roots(self.metadata.parquet_schema(), order.iter().copied());
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(vec![group])
                .with_batch_size(rows)
                .build()
        })?;
        let places = projection.iter().map(|at| order.binary_search(at).unwrap_or_default()).collect();
        Ok(ParquetRows {
            path: Arc::clone(&self.path),
            source: self.source.clone(),
            kinds: Arc::clone(&self.kinds),
            projection: projection.to_vec(),
            places,
            schema: Arc::new(Schema::new(fields)),
            reader,
            context,
        })
    }
}

/// Rows being read.
pub struct ParquetRows {
    path: Arc<str>,
    source: Source,
    kinds: Arc<[(String, Kind)]>,
    projection: Vec<usize>,
    /// For each output column its position in the reader's batches.
    places: Vec<usize>,
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    context: Arc<TextContext>,
}

impl ParquetRows {
    /// Bytes of the file read so far, by all who read it.
    pub fn consumed(&self) -> u64 {
        self.source.read.load(Ordering::Relaxed)
    }

    /// The next rows, as `contracts::arrow_type`s; `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let ParquetRows { path, kinds, projection, places, schema, reader, context, .. } = self;
        guarded(path, || {
            let Some(batch) = reader.next().transpose().map_err(ParquetError::from)? else { return Ok(None) };
            let mut arrays: Vec<ArrayRef> = Vec::with_capacity(projection.len());
            for ((at, place), field) in projection.iter().zip(places.iter()).zip(schema.fields()) {
                let (Some((name, kind)), Some(array)) = (kinds.get(*at), batch.columns().get(*place)) else {
                    return Err(ParquetError::General("a column is missing".to_owned()));
                };
                let array = typed::typed(kind, array, field.data_type(), context);
                arrays.push(array.map_err(|what| wrong(name, &what))?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options);
            Ok(Some(batch.map_err(ParquetError::from)?))
        })
    }
}
