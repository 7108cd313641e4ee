//! Values computed by PostgreSQL 15, one `operation, a, b, result` a line; errors are `ERR sqlstate message`.

use heliosdb_types::datetime::*;
use heliosdb_types::{Error, Numeric, Result, SqlType, TextContext, parse_text, text_of};

/// Runs every line of a golden file and prints each that differs.
fn check(golden: &str, run: impl Fn(&str, &str, &str) -> Result<String>) {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for line in golden.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [operation, a, b, expected] = fields.as_slice() else { panic!("not four fields: {line}") };
        lines += 1;
        let got =
            run(operation, a, b).unwrap_or_else(|error: Error| format!("ERR {} {}", error.state(), error.message()));
        if got != *expected {
            wrong.push(format!("{operation} [{a}] [{b}]: {got}, PostgreSQL says {expected}"));
        }
    }
    assert!(lines > 100, "the golden file is nearly empty");
    assert!(wrong.is_empty(), "{} of {lines} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn numeric_agrees_with_postgres() {
    check(include_str!("golden/numeric.tsv"), |operation, a, b| {
        if operation == "f8" {
            return Ok(Numeric::from_f64(a.parse().expect("a float")).to_string());
        }
        let (x, y) = (Numeric::parse(a)?, Numeric::parse(b)?);
        let places = || b.parse().expect("an integer");
        let result = match operation {
            "+" => x.add(&y),
            "-" => x.sub(&y),
            "*" => x.mul(&y),
            "/" => x.div(&y),
            "%" => x.rem(&y),
            "div" => x.div_integer(&y),
            "power" => x.power(&y),
            "log" => y.log(&x),
            "sqrt" => x.sqrt(),
            "exp" => x.exp(),
            "ln" => x.ln(),
            "round" => x.round(places()),
            "trunc" => x.trunc(places()),
            "ceil" => x.ceil(),
            "floor" => x.floor(),
            "in" => Ok(x),
            "cmp" => Ok(Numeric::from_i64(x.compare(&y) as i64)),
            other => panic!("unknown operation {other}"),
        };
        let result = result?;
        let mut wire = Vec::new();
        result.write_wire(&mut wire);
        assert_eq!(Numeric::from_wire(&wire)?, result, "{operation} {a} {b} does not survive the wire");
        assert_eq!(Numeric::from_bytes(result.as_bytes())?, result);
        Ok(result.to_string())
    });
}

fn type_named(name: &str) -> SqlType {
    match name {
        "int2" => SqlType::Int2,
        "int4" => SqlType::Int4,
        "int8" => SqlType::Int8,
        "float4" => SqlType::Float4,
        "float8" => SqlType::Float8,
        "numeric" => SqlType::Numeric(None),
        "numeric(10,2)" => SqlType::Numeric(Some((10, 2))),
        "numeric(30,5)" => SqlType::Numeric(Some((30, 5))),
        "numeric(3,5)" => SqlType::Numeric(Some((3, 5))),
        "text" => SqlType::Text,
        "name" => SqlType::Name,
        "bytea" => SqlType::Bytea,
        "date" => SqlType::Date,
        "time" => SqlType::Time(None),
        "time(2)" => SqlType::Time(Some(2)),
        "timestamp" => SqlType::Timestamp(None),
        "timestamp(0)" => SqlType::Timestamp(Some(0)),
        "timestamp(3)" => SqlType::Timestamp(Some(3)),
        "timestamptz" => SqlType::Timestamptz(None),
        "interval" => SqlType::Interval,
        "uuid" => SqlType::Uuid,
        "oid" => SqlType::Oid,
        other => panic!("unknown type {other}"),
    }
}

#[test]
fn values_and_datetime_arithmetic_agree_with_postgres() {
    let ctx = TextContext::default();
    let timestamp = |text: &str| parse_timestamp(text, None, &ctx);
    let field = |name: &str| DateField::from_name(name).expect("a field");
    let shown = |extracted: Extracted| extracted.to_numeric().map(|number| number.to_string()).unwrap_or_default();
    let write = |write: &dyn Fn(&mut String)| {
        let mut out = String::new();
        write(&mut out);
        Ok(out)
    };
    let interval = |value: heliosdb_types::Interval| write(&|out| write_interval(value, out));
    check(include_str!("golden/values.tsv"), |operation, a, b| match operation {
        "in" => {
            let sql_type = type_named(a);
            let value = parse_text(&sql_type, b, &ctx)?;
            Ok(text_of(value.as_ref(), &sql_type, &ctx))
        }
        "ts+i" => {
            let sum = timestamp_add_interval(timestamp(a)?, parse_interval(b)?)?;
            write(&|out| write_timestamp(sum, out))
        }
        "trunc" => {
            let truncated = trunc_timestamp(field(a), timestamp(b)?)?;
            write(&|out| write_timestamp(truncated, out))
        }
        "ts-ts" => interval(interval_between(timestamp(a)?, timestamp(b)?)?),
        "age" => interval(age(timestamp(a)?, timestamp(b)?)?),
        "itrunc" => interval(trunc_interval(field(a), parse_interval(b)?)?),
        "i*" => interval(parse_interval(a)?.checked_mul(b.parse().expect("a float"))?),
        "i/" => interval(parse_interval(a)?.checked_div(b.parse().expect("a float"))?),
        "just" => interval(parse_interval(a)?.justify()?),
        "justh" => interval(parse_interval(a)?.justify_hours()?),
        "justd" => interval(parse_interval(a)?.justify_days()?),
        "ext" => extract_timestamp(field(a), timestamp(b)?).map(shown),
        "dext" => extract_date(field(a), parse_date(b, &ctx)?).map(shown),
        "iext" => extract_interval(field(a), parse_interval(b)?).map(shown),
        other => panic!("unknown operation {other}"),
    });
}
