#![allow(clippy::disallowed_methods)] // files to be damaged
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, NullArray, RecordBatch, StringArray, StructArray,
    Time32MillisecondArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

fn written(dir: &tempfile::TempDir, batch: &RecordBatch, compression: Compression) -> PathBuf {
    let path = dir.path().join("t.parquet");
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    path
}

fn read(path: &Path) -> Result<(Vec<(String, String)>, String)> {
    let mut file = ParquetFile::open(path.to_str().unwrap())?;
    let mut out = Vec::new();
    while file.next(&mut out)? > 0 {}
    let columns = file.columns().into_iter().map(|column| (column.name, column.sql_name)).collect();
    Ok((columns, String::from_utf8(out).unwrap()))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[test]
fn every_type_has_a_place() {
    let dir = tempfile::tempdir().unwrap();
    let micros = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values);
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None, Some("x \"y\"\\"), Some("")]);
    tags.append_null();
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("k");
    map.values().append_value("v\n");
    map.append(true).unwrap();
    map.append(true).unwrap();
    let inner = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Int32, true)), Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
        (Arc::new(Field::new("y", DataType::Float64, true)), Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
        (Arc::new(Field::new("s", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["q\"", "é"]))),
    ]);
    let numbers =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None, Some(-3)]), Some(vec![])]);
    let cases: Vec<(&str, ArrayRef, &str, &str)> = vec![
        ("Bool", Arc::new(BooleanArray::from(vec![Some(true), None])), "boolean", "true\n"),
        ("i8", Arc::new(Int8Array::from(vec![-128, 127])), "smallint", "-128\n127"),
        ("i16", Arc::new(Int16Array::from(vec![-1, 1])), "smallint", "-1\n1"),
        ("i32", Arc::new(Int32Array::from(vec![i32::MIN, 0])), "integer", "-2147483648\n0"),
        ("i64", Arc::new(Int64Array::from(vec![i64::MAX, 0])), "bigint", "9223372036854775807\n0"),
        ("u32", Arc::new(UInt32Array::from(vec![u32::MAX, 0])), "bigint", "4294967295\n0"),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX, 0])), "numeric(20,0)", "18446744073709551615\n0"),
        ("f32", Arc::new(Float32Array::from(vec![0.1, f32::INFINITY])), "real", "0.1\nInfinity"),
        ("f64", Arc::new(Float64Array::from(vec![1e300, -0.5])), "double precision", "1e+300\n-0.5"),
        (
            "dec",
            Arc::new(Decimal128Array::from(vec![-5, 12345]).with_precision_and_scale(10, 2).unwrap()),
            "numeric(10,2)",
            "-0.05\n123.45",
        ),
        ("text", Arc::new(StringArray::from(vec![Some("a,\"b\""), Some("")])), "text", "\"a,\"\"b\"\"\"\n\"\""),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""])), "bytea", "\\x00ff\n\\x"),
        ("day", Arc::new(Date32Array::from(vec![0, -719_529])), "date", "1970-01-01\n0002-12-31 BC"),
        ("t_ms", Arc::new(Time32MillisecondArray::from(vec![0, 86_399_999])), "time", "00:00:00\n23:59:59.999"),
        ("t_ns", Arc::new(Time64NanosecondArray::from(vec![1_999, 0])), "time", "00:00:00.000001\n00:00:00"),
        ("ts", Arc::new(micros(vec![Some(1), None])), "timestamp", "1970-01-01 00:00:00.000001\n"),
        (
            "tz",
            Arc::new(
                TimestampMillisecondArray::from(vec![1_715_949_000_000, -62_200_000_000_000]).with_timezone("+02:00"),
            ),
            "timestamp with time zone",
            "2024-05-17 12:30:00+00\n0003-12-17 14:13:20+00 BC",
        ),
        (
            "ns",
            Arc::new(TimestampNanosecondArray::from(vec![-1, 1_500])),
            "timestamp",
            "1969-12-31 23:59:59.999999\n1970-01-01 00:00:00.000001",
        ),
        ("nothing", Arc::new(NullArray::new(2)), "text", "\n"),
        ("numbers", Arc::new(numbers), "integer[]", "\"{1,NULL,-3}\"\n{}"),
        ("tags", Arc::new(tags.finish()), "text[]", "\"{\"\"a\"\",NULL,\"\"x \\\"\"y\\\"\"\\\\\"\",\"\"\"\"}\"\n"),
        (
            "inner",
            Arc::new(inner),
            "jsonb",
            "\"{\"\"x\"\":1,\"\"y\"\":0.5,\"\"s\"\":\"\"q\\\"\"\"\"}\"\n\"{\"\"x\"\":null,\"\"y\"\":\"\"NaN\"\",\"\"s\"\":\"\"é\"\"}\"",
        ),
        ("map", Arc::new(map.finish()), "jsonb", "\"{\"\"k\"\":\"\"v\\n\"\"}\"\n{}"),
    ];
    for (name, array, sql_type, csv) in cases {
        let path = written(&dir, &batch(vec![(name, Arc::clone(&array))]), Compression::SNAPPY);
        let (columns, text) = read(&path).unwrap();
        assert_eq!(columns, [(name.to_lowercase(), sql_type.to_owned())]);
        assert_eq!(text, format!("{csv}\n"), "{name}");
    }
}

#[test]
fn compressions_and_many_batches() {
    let dir = tempfile::tempdir().unwrap();
    let numbers: Vec<i32> = (0..5000).collect();
    let batch = batch(vec![("n", Arc::new(Int32Array::from(numbers.clone())))]);
    let expected: String = numbers.iter().map(|n| format!("{n}\n")).collect();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::LZ4,
    ] {
        let (_, text) = read(&written(&dir, &batch, compression)).unwrap();
        assert!(text == expected, "{compression}");
    }
}

/// What Arrow does not write itself: JSON, UUID, ENUM, the old timestamps and intervals.
fn by_schema(dir: &tempfile::TempDir, schema: &str) -> PathBuf {
    let path = dir.path().join("s.parquet");
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        match column.untyped() {
            parquet::column::writer::ColumnWriter::ByteArrayColumnWriter(_) => {
                column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("{\"a\": [1]}")], None, None).unwrap();
            }
            parquet::column::writer::ColumnWriter::Int96ColumnWriter(_) => {
                let mut value = Int96::new();
                // Noon of the first day of the year 1, in Julian days: nanoseconds cannot count to there.
                value.set_data(1_218_936_832, 10_058, 1_721_426);
                column.typed::<Int96Type>().write_batch(&[value], None, None).unwrap();
            }
            parquet::column::writer::ColumnWriter::FixedLenByteArrayColumnWriter(_) => {
                let value = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
                column.typed::<FixedLenByteArrayType>().write_batch(&[value], None, None).unwrap();
            }
            _ => panic!("not in the schemas of these tests"),
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    path
}

#[test]
fn types_that_other_programs_write() {
    let dir = tempfile::tempdir().unwrap();
    for (column, sql_type, text) in [
        ("REQUIRED BINARY c (JSON)", "jsonb", "\"{\"\"a\"\": [1]}\""),
        ("REQUIRED BINARY c (ENUM)", "text", "\"{\"\"a\"\": [1]}\""),
        ("REQUIRED BINARY c (UTF8)", "text", "\"{\"\"a\"\": [1]}\""),
        ("REQUIRED BINARY c", "bytea", "\\x7b2261223a205b315d7d"),
        ("REQUIRED FIXED_LEN_BYTE_ARRAY(16) c (UUID)", "uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        ("REQUIRED FIXED_LEN_BYTE_ARRAY(16) c", "bytea", "\\x000102030405060708090a0b0c0d0e0f"),
        ("REQUIRED INT96 c", "timestamp", "0001-01-01 12:00:00"),
        (
            "REQUIRED group c { REQUIRED BINARY j (JSON); REQUIRED INT96 t; }",
            "jsonb",
            "\"{\"\"j\"\":{\"\"a\"\": [1]},\"\"t\"\":\"\"0001-01-01 12:00:00\"\"}\"",
        ),
    ] {
        let (columns, csv) = read(&by_schema(
            &dir,
            &format!("message m {{ {column}{} }}", if column.ends_with('}') { "" } else { ";" }),
        ))
        .unwrap();
        assert_eq!(columns, [("c".to_owned(), sql_type.to_owned())], "{column}");
        assert!(csv == format!("{text}\n"), "{column}: {csv}");
    }
    let path = dir.path().join("i.parquet");
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type("message m { REQUIRED FIXED_LEN_BYTE_ARRAY(12) c (INTERVAL); }").unwrap());
    SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap().close().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let said = read(&path).unwrap_err().to_string();
    assert!(said.contains("column \"c\"") && said.contains("INTERVAL is not supported"), "{said}");
}

#[test]
fn what_is_no_parquet_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    for (bytes, word) in [
        (&b""[..], "not a Parquet file"),
        (b"PAR1", "not a Parquet file"),
        (b"id,name\n1,Ann\n2,Bob\n", "not a Parquet file"),
        (b"PAR1\x00\x00\x00\x00PARE", "encrypted"),
        (b"PAR1\xff\xff\xff\x7fPAR1", "damaged"),
        (b"PAR1\x00\x00\x00\x00PAR1", "damaged"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.contains(word) && said.contains("x.parquet"), "{said}");
    }
}

/// An error or other values, but never the end of the process: cut off at many lengths, a bit of every byte turned.
#[test]
fn damaged_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None]);
    tags.append_value([Some("b")]);
    let batch = batch(vec![
        ("n", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
        ("s", Arc::new(StringArray::from(vec!["one", "two"]))),
        ("t", Arc::new(tags.finish())),
    ]);
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        let sound = std::fs::read(written(&dir, &batch, compression)).unwrap();
        let path = dir.path().join("damaged.parquet");
        let (mut errors, mut values) = (0, 0);
        let mut try_it = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            match read(&path) {
                Ok(_) => values += 1,
                Err(_) => errors += 1,
            }
        };
        for length in (0..sound.len()).step_by(5) {
            try_it(&sound[..length]);
        }
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 8);
            try_it(&damaged);
        }
        assert!(errors > sound.len() / 4, "cut off files are errors, and many others: {errors}, {values}");
    }
}

/// Written by DuckDB 2.0 (`COPY ... (FORMAT parquet, COMPRESSION zstd)`), five rows of whatever it has.
#[test]
fn a_file_of_another_program() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let (columns, csv) = read(&fixtures.join("types.parquet")).unwrap();
    let columns: Vec<String> = columns.iter().map(|(name, sql_type)| format!("{name} {sql_type}")).collect();
    assert_eq!(
        columns.join(", "),
        "tiny smallint, small smallint, big_id integer, wide bigint, ubig numeric(20,0), f4 real, f8 double precision, \
         money numeric(9,2), huge numeric(38,10), even boolean, text text, raw bytea, day date, at timestamp, \
         moment timestamp with time zone, clock time, id uuid, doc jsonb, numbers bigint[], tags text[], \
         inner_part jsonb, props jsonb, list_of_structs jsonb, grid jsonb, colour text"
    );
    assert_eq!(
        csv.lines().next().unwrap(),
        "1,1000,1,3000000000,18446744073709551611,0.25,0.125,1.25,1.5000000000,false,\"row \"\"1\"\", é\",\\xaa31,2024-02-28,\
         2024-05-18 12:30:00.123456,2024-05-17 11:30:00+00,23:59:58.5,6ba7b810-9dad-11d1-80b4-00c04fd430c1,\
         \"{\"\"n\"\": 1, \"\"a\"\": [1, null]}\",\"{1,NULL,2}\",\"{\"\"a\\\"\"b\"\",\"\"c,d\"\"}\",\
         \"{\"\"x\"\":1,\"\"y\"\":{\"\"z\"\":[\"\"p\"\",\"\"q\"\"],\"\"w\"\":\"\"2024-01-01\"\"}}\",\"{\"\"k1\"\":1.5}\",\
         \"[{\"\"a\"\":1}]\",\"[[1],[1,1]]\",green"
    );
}
