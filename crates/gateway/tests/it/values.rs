//! Values of every type, text and binary, in both directions.

use heliosdb_types::{Interval, Numeric};

use crate::mock::start;
use crate::raw::{Raw, bind, execute, parse, states, sync, values};

/// Sends `value` as a parameter and reads it back. Errors are SQLSTATEs.
async fn echo(
    raw: &mut Raw,
    type_name: &str,
    format: u8,
    value: Option<&[u8]>,
    result_format: u8,
) -> Result<Option<Vec<u8>>, String> {
    let batch = [
        parse("", &format!("echo {type_name}")),
        bind("", "", format, &[value], result_format),
        execute("", 0),
        sync(),
    ];
    let messages = raw.ask(&batch.concat()).await;
    match states(&messages).pop() {
        Some(state) => Err(state),
        None => Ok(values(&messages.iter().find(|(kind, _)| *kind == 'D').unwrap().1).remove(0)),
    }
}

fn numeric(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    Numeric::parse(text).unwrap().write_wire(&mut bytes);
    bytes
}

fn interval(value: Interval) -> Vec<u8> {
    [&value.micros.to_be_bytes()[..], &value.days.to_be_bytes(), &value.months.to_be_bytes()].concat()
}

/// Type, text as PostgreSQL prints it, binary as PostgreSQL sends it.
fn cases() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let day = 86_400_000_000_i64;
    vec![
        ("bool", "t", vec![1]),
        ("bool", "f", vec![0]),
        ("int2", "-32768", i16::MIN.to_be_bytes().to_vec()),
        ("int2", "32767", i16::MAX.to_be_bytes().to_vec()),
        ("int4", "-2147483648", i32::MIN.to_be_bytes().to_vec()),
        ("int4", "2147483647", i32::MAX.to_be_bytes().to_vec()),
        ("int8", "-9223372036854775808", i64::MIN.to_be_bytes().to_vec()),
        ("int8", "9223372036854775807", i64::MAX.to_be_bytes().to_vec()),
        ("float4", "1e-45", f32::from_bits(1).to_be_bytes().to_vec()),
        ("float4", "3.4028235e+38", f32::MAX.to_be_bytes().to_vec()),
        ("float8", "-0", (-0.0_f64).to_be_bytes().to_vec()),
        ("float8", "1.7976931348623157e+308", f64::MAX.to_be_bytes().to_vec()),
        ("float8", "Infinity", f64::INFINITY.to_be_bytes().to_vec()),
        ("float8", "0.1", 0.1_f64.to_be_bytes().to_vec()),
        ("numeric", "0", numeric("0")),
        ("numeric", "-123456789012345678901234567890.000100", numeric("-123456789012345678901234567890.000100")),
        ("numeric", "NaN", numeric("NaN")),
        ("numeric", "Infinity", numeric("Infinity")),
        ("numeric(18,4)", "99999999999999.9999", numeric("99999999999999.9999")),
        ("numeric(18,4)", "-0.0001", numeric("-0.0001")),
        ("numeric(18,4)", "0.0000", numeric("0.0000")),
        (
            "numeric(38,10)",
            "-9999999999999999999999999999.9999999999",
            numeric("-9999999999999999999999999999.9999999999"),
        ),
        ("numeric(38,10)", "10000.0000000000", numeric("10000.0000000000")),
        ("text", "grüße \u{1f600}", "grüße \u{1f600}".into()),
        ("text", "", vec![]),
        ("varchar", "abc", b"abc".to_vec()),
        ("varchar(3)", "äöü", "äöü".into()),
        ("bpchar", "ab  ", b"ab  ".to_vec()),
        ("name", "pg_class", b"pg_class".to_vec()),
        ("char", "r", b"r".to_vec()),
        ("bytea", "\\x00ff10", vec![0, 255, 16]),
        ("bytea", "\\x", vec![]),
        ("date", "2000-01-01", 0_i32.to_be_bytes().to_vec()),
        ("date", "1969-12-31", (-10_958_i32).to_be_bytes().to_vec()),
        ("date", "4713-01-01 BC", (-2_451_507_i32).to_be_bytes().to_vec()),
        ("date", "5874897-12-31", 2_145_031_948_i32.to_be_bytes().to_vec()),
        ("date", "infinity", i32::MAX.to_be_bytes().to_vec()),
        ("date", "-infinity", i32::MIN.to_be_bytes().to_vec()),
        ("time", "00:00:00", 0_i64.to_be_bytes().to_vec()),
        ("time", "24:00:00", day.to_be_bytes().to_vec()),
        ("time", "23:59:59.999999", (day - 1).to_be_bytes().to_vec()),
        ("timestamp", "2000-01-01 00:00:00", 0_i64.to_be_bytes().to_vec()),
        ("timestamp", "1999-12-31 23:59:59.5", (-500_000_i64).to_be_bytes().to_vec()),
        ("timestamp", "4713-01-01 00:00:00 BC", (-2_451_507 * day).to_be_bytes().to_vec()),
        ("timestamp", "infinity", i64::MAX.to_be_bytes().to_vec()),
        ("timestamptz", "2000-01-01 00:00:00+00", 0_i64.to_be_bytes().to_vec()),
        ("timestamptz", "-infinity", i64::MIN.to_be_bytes().to_vec()),
        (
            "interval",
            "1 year 2 mons -3 days +04:05:06.789",
            interval(Interval { months: 14, days: -3, micros: 14_706_789_000 }),
        ),
        ("interval", "00:00:00", interval(Interval { months: 0, days: 0, micros: 0 })),
        (
            "uuid",
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            vec![0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11],
        ),
        ("oid", "4294967295", u32::MAX.to_be_bytes().to_vec()),
        ("int4[]", "{}", [0_i32, 0, 23].iter().flat_map(|n| n.to_be_bytes()).collect()),
        ("int4[]", "{1,NULL}", [1_i32, 1, 23, 2, 1, 4, 1, -1].iter().flat_map(|n| n.to_be_bytes()).collect()),
        (
            "text[]",
            "{a}",
            [&[1_i32, 0, 25, 1, 1, 1].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>()[..], b"a"].concat(),
        ),
    ]
}

#[tokio::test]
async fn every_type_travels_in_both_formats() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    for (name, text, binary) in cases() {
        for (format, value) in [(0, text.as_bytes()), (1, &binary[..])] {
            for (result_format, expected) in [(0, text.as_bytes()), (1, &binary[..])] {
                let got = echo(&mut raw, name, format, Some(value), result_format).await;
                assert_eq!(got, Ok(Some(expected.to_vec())), "{name} {text}: in format {format}, out {result_format}");
            }
        }
        for result_format in [0, 1] {
            assert_eq!(echo(&mut raw, name, 1, None, result_format).await, Ok(None), "NULL {name}");
        }
    }
}

#[tokio::test]
async fn wrong_binary_values_are_refused() {
    let fixture = start().await;
    let mut raw = Raw::login(fixture.address).await;
    let names = [
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "numeric",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "interval",
        "uuid",
        "oid",
        "char",
        "int4[]",
    ];
    for name in names {
        for value in [&b""[..], &[1; 3], &[0xff; 40]] {
            let state = echo(&mut raw, name, 1, Some(value), 0).await.unwrap_err();
            assert!(["22P03", "42804", "0A000"].contains(&state.as_str()), "{name} {value:?}: {state}");
        }
    }
    let cases: [(&str, &[u8], &str); 8] = [
        ("text", b"\xff", "22021"),
        ("text", b"a\0b", "22021"),
        ("time", &(-1_i64).to_be_bytes(), "22008"),
        ("date", &(i32::MIN + 1).to_be_bytes(), "22008"),
        ("timestamp", &(i64::MAX - 1).to_be_bytes(), "22008"),
        ("timestamp", &(i64::MIN + 1).to_be_bytes(), "22008"),
        ("int4[]", &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 1], "42804"),
        ("varchar(3)", b"abcd", "22001"),
    ];
    for (name, value, state) in cases {
        assert_eq!(echo(&mut raw, name, 1, Some(value), 0).await, Err(state.to_owned()), "{name} {value:?}");
    }
    assert_eq!(echo(&mut raw, "int4", 0, Some(b"x"), 0).await, Err("22P02".to_owned()));
    assert_eq!(echo(&mut raw, "text", 0, Some(b"a\0b"), 0).await, Err("22021".to_owned()));
}
