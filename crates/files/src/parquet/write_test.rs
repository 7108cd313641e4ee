#![allow(clippy::disallowed_methods)]
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryViewArray, Decimal64Array, FixedSizeBinaryArray, Int32Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray,
};
use heliosdb_contracts::{ColumnPredicate, CompareOp, PredicateOp};
use heliosdb_runtime::HostFiles;
use heliosdb_types::{ColumnId, Datum, SqlState, SqlType, TextContext, parse_text};

use crate::{ParquetCompression, ParquetSink, ParquetTable};

fn bytes_of(sql_type: &SqlType, texts: &[&str]) -> ArrayRef {
    let values = texts.iter().map(|text| match parse_text(sql_type, text, &TextContext::default()).unwrap() {
        Datum::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    });
    Arc::new(BinaryViewArray::from_iter_values(values))
}

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, array)| (*name, Arc::clone(array), true)))
        .unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet").to_str().unwrap().to_owned();
    let numbers = SqlType::Array(Box::new(SqlType::Int4));
    let columns: Vec<(&str, SqlType, ArrayRef)> = vec![
        ("n", SqlType::Int4, Arc::new(Int32Array::from(vec![Some(1), None]))),
        ("s", SqlType::Text, Arc::new(StringViewArray::from(vec![Some("a"), None]))),
        ("j", SqlType::Jsonb, bytes_of(&SqlType::Jsonb, &["{\"a\": [1, null]}", "\"x\""])),
        ("l", numbers.clone(), bytes_of(&numbers, &["{1,NULL,3}", "{}"])),
        (
            "d",
            SqlType::Numeric(Some((10, 2))),
            Arc::new(Decimal64Array::from(vec![Some(-125), None]).with_precision_and_scale(10, 2).unwrap()),
        ),
        ("u", SqlType::Uuid, Arc::new(FixedSizeBinaryArray::try_from_iter([[7u8; 16], [8u8; 16]].iter()).unwrap())),
        (
            "z",
            SqlType::Timestamptz(None),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(5), None]).with_timezone("UTC")),
        ),
    ];
    let said: Vec<(String, SqlType)> = columns.iter().map(|(name, sql, _)| ((*name).to_owned(), sql.clone())).collect();
    let rows = batch(&columns.iter().map(|(name, _, array)| (*name, Arc::clone(array))).collect::<Vec<_>>());
    for compression in [ParquetCompression::Zstd, ParquetCompression::Snappy, ParquetCompression::None] {
        let mut sink = ParquetSink::create(&path, &said, compression, Arc::default()).unwrap();
        sink.write(&rows).unwrap();
        sink.write(&rows).unwrap();
        assert!(HostFiles.kind(&path).is_err() || compression != ParquetCompression::Zstd);
        sink.finish().unwrap();
        let table = ParquetTable::open(&path).unwrap();
        let found: Vec<(String, SqlType)> =
            table.columns().iter().map(|column| (column.name.clone(), column.sql_type.clone())).collect();
        assert_eq!(found, said);
        // In another order, and some of them.
        let mut read = table.read(0, &[3, 0, 2, 1, 4, 5, 6], 100, Arc::default()).unwrap();
        let batch = read.next_batch().unwrap().unwrap();
        assert_eq!(batch.num_rows(), 4);
        for (place, at) in [3, 0, 2, 1, 4, 5, 6].into_iter().enumerate() {
            assert_eq!(&batch.column(place).slice(0, 2), &columns[at].2, "{}", columns[at].0);
        }
        assert!(read.next_batch().unwrap().is_none());
        let mut none = table.read(0, &[], 100, Arc::default()).unwrap();
        assert_eq!(none.next_batch().unwrap().unwrap().num_rows(), 4);
    }
    assert_eq!(HostFiles.names(dir.path().to_str().unwrap()).unwrap(), ["x.parquet"]);
}

#[test]
fn row_groups_are_chosen_by_their_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet").to_str().unwrap().to_owned();
    let said = [("n".to_owned(), SqlType::Int4), ("s".to_owned(), SqlType::Text)];
    let mut sink = ParquetSink::create(&path, &said, ParquetCompression::None, Arc::default()).unwrap();
    let text: ArrayRef = Arc::new(StringViewArray::from(vec!["bb", "dd"]));
    let rows = batch(&[("n", Arc::new(Int32Array::from(vec![Some(10), Some(20)]))), ("s", text)]);
    sink.write(&rows).unwrap();
    sink.finish().unwrap();
    let table = ParquetTable::open(&path).unwrap();
    let may = |column: u32, op: PredicateOp| table.may_match(0, &[ColumnPredicate { column: ColumnId(column), op }]);
    let n = |op, value| may(0, PredicateOp::Compare(op, Datum::Int32(value)));
    use CompareOp::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    for (op, value, expected) in [
        (Eq, 9, false),
        (Eq, 10, true),
        (Eq, 15, true),
        (Eq, 21, false),
        (Lt, 10, false),
        (Lt, 11, true),
        (LtEq, 10, true),
        (Gt, 20, false),
        (Gt, 19, true),
        (GtEq, 20, true),
        (GtEq, 21, false),
        (NotEq, 10, true),
    ] {
        assert_eq!(n(op, value), expected, "{op:?} {value}");
    }
    assert!(!may(0, PredicateOp::In(vec![Datum::Int32(1), Datum::Int32(30)])));
    assert!(may(0, PredicateOp::In(vec![Datum::Int32(1), Datum::Int32(12)])));
    assert!(!may(0, PredicateOp::IsNull) && may(0, PredicateOp::IsNotNull));
    let s = |prefix: &str| may(1, PredicateOp::StartsWith(prefix.to_owned()));
    assert!(s("b") && s("c") && s("dd") && !s("a") && !s("e") && !s("ba") && !s("ddd"));
    // Another type than the column's says nothing.
    assert!(may(0, PredicateOp::Compare(Eq, Datum::Text("x".to_owned()))));
}

#[test]
fn what_parquet_cannot_say_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet").to_str().unwrap().to_owned();
    let create = |columns: &[(&str, SqlType)]| {
        let columns: Vec<(String, SqlType)> = columns.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
        ParquetSink::create(&path, &columns, ParquetCompression::Zstd, Arc::default())
    };
    for (columns, state) in [
        (&[("a", SqlType::Numeric(None))][..], SqlState::FEATURE_NOT_SUPPORTED),
        (&[("a", SqlType::Interval)], SqlState::FEATURE_NOT_SUPPORTED),
        (&[("a", SqlType::Array(Box::new(SqlType::Numeric(None))))], SqlState::FEATURE_NOT_SUPPORTED),
        (&[("a", SqlType::Int4), ("a", SqlType::Int4)], SqlState::DUPLICATE_COLUMN),
    ] {
        assert_eq!(create(columns).err().unwrap().state(), state);
    }
    let grid = SqlType::Array(Box::new(SqlType::Int4));
    let mut sink = create(&[("a", grid.clone())]).unwrap();
    let error = sink.write(&batch(&[("a", bytes_of(&grid, &["{{1},{2}}"]))])).unwrap_err();
    assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED);
    drop(sink);
    let mut sink = create(&[("a", SqlType::Timestamp(None))]).unwrap();
    let infinite: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX]));
    assert_eq!(sink.write(&batch(&[("a", infinite)])).unwrap_err().state(), SqlState::DATETIME_FIELD_OVERFLOW);
    drop(sink);
    assert!(HostFiles.names(dir.path().to_str().unwrap()).unwrap().is_empty(), "nothing is left");
}
