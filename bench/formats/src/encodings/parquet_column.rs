//! A column as Parquet writes it, uncompressed: a reader finds a row by decoding the values before it on its page.

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use heliosdb_types::Datum;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowFilter, RowSelection, RowSelector,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Encoding;
use parquet::file::properties::WriterProperties;

use super::Contestant;
use super::columns::{Column, ROWS};

/// Blocks in the file, so that opening it does not count.
const BLOCKS: usize = 16;

pub struct ParquetColumn {
    batch: RecordBatch,
    encoding: Encoding,
    literal: Datum,
    file: Bytes,
    metadata: ArrowReaderMetadata,
}

fn write(batch: &RecordBatch, encoding: Encoding) -> Vec<u8> {
    let properties = WriterProperties::builder();
    let properties = match encoding {
        Encoding::RLE_DICTIONARY => properties.set_dictionary_enabled(true),
        plain => properties.set_dictionary_enabled(false).set_encoding(plain),
    };
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).expect("writer");
    (0..BLOCKS).for_each(|_| writer.write(batch).expect("write"));
    writer.into_inner().expect("finish")
}

impl ParquetColumn {
    pub fn new(column: &Column, encoding: Encoding) -> ParquetColumn {
        let schema = Arc::new(Schema::new(vec![Field::new("c", column.array.data_type().clone(), false)]));
        let batch = RecordBatch::try_new(schema, vec![column.array.clone()]).expect("one column");
        let file = Bytes::from(write(&batch, encoding));
        let metadata = ArrowReaderMetadata::load(&file, Default::default()).expect("metadata");
        ParquetColumn { batch, encoding, literal: column.literal.clone(), file, metadata }
    }

    fn reader(&self) -> ParquetRecordBatchReaderBuilder<Bytes> {
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        reader.with_batch_size(ROWS)
    }
}

impl Contestant for ParquetColumn {
    fn name(&self) -> String {
        format!("Parquet {}", self.encoding)
    }

    fn blocks(&self) -> usize {
        BLOCKS
    }

    fn bits(&self) -> f64 {
        let bytes: i64 = self.metadata.metadata().row_groups().iter().map(|group| group.compressed_size()).sum();
        bytes as f64 * 8.0 / (ROWS * BLOCKS) as f64
    }

    fn encode(&mut self) {
        black_box(write(&self.batch, self.encoding));
    }

    fn decode(&self) {
        self.reader().build().expect("reader").for_each(|batch| {
            black_box(batch.expect("batch"));
        });
    }

    fn row(&self, row: usize) {
        let one = RowSelection::from(vec![RowSelector::skip(row), RowSelector::select(1)]);
        self.reader().with_row_selection(one).build().expect("reader").for_each(|batch| {
            black_box(batch.expect("batch"));
        });
    }

    fn filter(&self) -> usize {
        let literal = self.literal.clone();
        let test = move |batch: RecordBatch| {
            let (rows, column) = (batch.num_rows(), batch.column(0));
            let bits = match &literal {
                Datum::Int64(literal) => {
                    let values = column.as_primitive::<Int64Type>().values();
                    BooleanBuffer::collect_bool(rows, |row| values[row] > *literal)
                }
                Datum::Float64(literal) => {
                    let values = column.as_primitive::<Float64Type>().values();
                    BooleanBuffer::collect_bool(rows, |row| values[row] > *literal)
                }
                Datum::Text(literal) => {
                    let values = column.as_string_view();
                    BooleanBuffer::collect_bool(rows, |row| values.value(row) > literal.as_str())
                }
                other => panic!("no column holds {other:?}"),
            };
            Ok(BooleanArray::from(bits))
        };
        let reader = self.reader();
        let mask = ProjectionMask::all();
        let none = ProjectionMask::none(1);
        let filter = RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, test))]);
        let reader = reader.with_projection(none).with_row_filter(filter).build().expect("reader");
        reader.map(|batch| batch.expect("batch").num_rows()).sum::<usize>() / BLOCKS
    }
}
