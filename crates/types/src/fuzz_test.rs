//! Mutated text for every type's input: refused or read, and what is read is written so that it is read as the same again.

use crate::{SqlType, TextContext, parse_text, text_of};

#[path = "../../../fuzz/driver.rs"]
mod driver;

const SEEDS: [&str; 36] = [
    "true",
    "-32768",
    "9223372036854775807",
    "0x1F",
    "1_000",
    "1.5e-10",
    "-123456789012345678901234567890.000100",
    "1e131071",
    "NaN",
    "-Infinity",
    "4.9406564584124654e-324",
    "{1,2,NULL,3}",
    "[2:3][-1:0]={{1,2},{3,4}}",
    "{\"a b\",\"c\\\"d\",NULL,\"null\",\"\"}",
    "{{a,b},{c,d}}",
    "{\"a\": [1, 2.50, -1e5, {\"b\": null}], \"\\u00e9\\ud83d\\ude00\": \"x\\ny\", \"a\": true}",
    "[[[[[[]]]]]]",
    "\"\\u0041\"",
    "1 year 2 mons -3 days 04:05:06.789",
    "P1Y2M-3DT4H5M6.7S",
    "@ 1 minute ago",
    "-178000000 years",
    "1.5 weeks 3 decades",
    "2024-02-29",
    "0044-03-15 BC",
    "2024-02-29 23:59:60.999999+05:30",
    "J2451545",
    "January 8, 99 BC",
    "20240229T235959Z",
    "now",
    "infinity",
    "294246-12-31 23:59:59.999999",
    "24:00:00",
    "04:05:06 PM",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "\\xdeadBEEF00",
];

const WORDS: [&str; 28] = [
    "{",
    "}",
    "\"",
    "\\",
    ",",
    ":",
    "[",
    "]",
    "=",
    "NULL",
    "null",
    "e",
    "E-",
    ".",
    "-",
    "+",
    "0",
    "99999999999",
    "\\u",
    "\\ud800",
    " BC",
    " ago",
    "T",
    "Z",
    " AM",
    " days",
    "infinity",
    " ",
];

fn types() -> Vec<SqlType> {
    let array = |element: SqlType| SqlType::Array(Box::new(element));
    vec![
        SqlType::Bool,
        SqlType::Int2,
        SqlType::Int4,
        SqlType::Int8,
        SqlType::Float4,
        SqlType::Float8,
        SqlType::Numeric(None),
        SqlType::Numeric(Some((10, 2))),
        SqlType::Numeric(Some((38, 10))),
        SqlType::Numeric(Some((1000, -5))),
        SqlType::Varchar(Some(5)),
        SqlType::Char(Some(5)),
        SqlType::Name,
        SqlType::QuotedChar,
        SqlType::Bytea,
        SqlType::Date,
        SqlType::Time(None),
        SqlType::Timestamp(Some(3)),
        SqlType::Timestamptz(None),
        SqlType::Interval,
        SqlType::Uuid,
        SqlType::Json,
        SqlType::Jsonb,
        SqlType::Oid,
        array(SqlType::Int4),
        array(SqlType::Text),
        array(SqlType::Numeric(None)),
        array(SqlType::Timestamp(None)),
        array(SqlType::Interval),
        array(SqlType::Jsonb),
    ]
}

#[test]
fn fuzz_text() {
    let (seeds, context) = (SEEDS.map(|seed| seed.as_bytes().to_vec()), TextContext::default());
    let types = types();
    driver::fuzz("text", &seeds, &WORDS, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        for sql_type in &types {
            let Ok(value) = parse_text(sql_type, text, &context) else { continue };
            let written = text_of(value.as_ref(), sql_type, &context);
            let again = parse_text(sql_type, &written, &context);
            let again = again.unwrap_or_else(|error| panic!("{sql_type:?}: {text:?} became {written:?}: {error}"));
            assert_eq!(text_of(again.as_ref(), sql_type, &context), written, "{sql_type:?}: {text:?}");
        }
    });
}
