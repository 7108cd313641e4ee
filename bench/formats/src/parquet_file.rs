//! Parquet with zstd level 3, in memory.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal64Type};
use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ParquetRecordBatchReaderBuilder, RowFilter};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::answer::{Answer, SCAN_FROM, column, q6};
use crate::tables::Table;

pub struct Parquet {
    pub file: Bytes,
}

pub fn write(table: &Table) -> Parquet {
    let level = ZstdLevel::try_new(3).expect("3 is a level");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), table.batches[0].schema(), Some(properties)).expect("writer");
    table.batches.iter().for_each(|batch| writer.write(batch).expect("write"));
    Parquet { file: Bytes::from(writer.into_inner().expect("finish")) }
}

impl Parquet {
    fn scan(
        &self,
        columns: &[usize],
        filter: &[usize],
        test: fn(&RecordBatch) -> BooleanArray,
        mut visit: impl FnMut(&RecordBatch),
    ) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(self.file.clone()).expect("open").with_batch_size(8192);
        let mask = |columns: &[usize]| ProjectionMask::leaves(builder.parquet_schema(), columns.iter().copied());
        let predicate = ArrowPredicateFn::new(mask(filter), move |batch| Ok(test(&batch)));
        let projection = mask(columns);
        let reader = builder
            .with_projection(projection)
            .with_row_filter(RowFilter::new(vec![Box::new(predicate)]))
            .build()
            .expect("scan");
        reader.for_each(|batch| visit(&batch.expect("batch")));
    }

    pub fn q6(&self) -> Answer {
        let test = |batch: &RecordBatch| {
            let quantity = batch.column(0).as_primitive::<Decimal64Type>().values();
            let discount = batch.column(1).as_primitive::<Decimal64Type>().values();
            let date = batch.column(2).as_primitive::<Date32Type>().values();
            let (low, high) = q6::DISCOUNT;
            let passes = |i: usize| {
                (q6::FROM..q6::TO).contains(&date[i])
                    && (low..=high).contains(&discount[i])
                    && quantity[i] < q6::QUANTITY
            };
            BooleanBuffer::collect_bool(batch.num_rows(), passes).into()
        };
        let mut answer = Answer::default();
        let filter = [column::QUANTITY, column::DISCOUNT, column::SHIPDATE];
        self.scan(&[column::PRICE, column::DISCOUNT], &filter, test, |batch| {
            answer.revenue(batch.column(0), batch.column(1))
        });
        answer
    }

    pub fn scan3(&self) -> Answer {
        let test = |batch: &RecordBatch| {
            let date = batch.column(0).as_primitive::<Date32Type>().values();
            BooleanBuffer::collect_bool(batch.num_rows(), |i| date[i] >= SCAN_FROM).into()
        };
        let mut answer = Answer::default();
        let columns = [column::ORDERKEY, column::PRICE, column::DISCOUNT];
        self.scan(&columns, &[column::SHIPDATE], test, |batch| {
            answer.scanned(batch.column(0), batch.column(1), batch.column(2));
        });
        answer
    }
}
