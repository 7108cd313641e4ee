//! Values of Arrow arrays as PostgreSQL's input functions read them.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, OffsetSizeTrait, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use heliosdb_types::datetime::{is_finite_timestamp, write_date, write_time, write_timestamp};
use heliosdb_types::{put_quoted_element, write_float4, write_float8};
use serde_json::Value;

use super::kind::Kind;

/// Writes the value of a row that is not NULL, or says why it cannot be.
pub(super) type Write<'a> = Box<dyn Fn(usize, &mut String) -> Result<(), String> + 'a>;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// How a column's values are written.
pub(super) fn writer<'a>(kind: &Kind, array: &'a dyn Array) -> Result<Write<'a>, String> {
    match kind {
        list @ Kind::List(element) if list.is_array() => array_writer(element, array),
        Kind::List(_) | Kind::Structure(_) | Kind::Map(..) => json_writer(kind, array),
        scalar => scalar_writer(scalar, array),
    }
}

fn scalar_writer<'a>(kind: &Kind, array: &'a dyn Array) -> Result<Write<'a>, String> {
    let data_type = array.data_type();
    Ok(match data_type {
        DataType::Null => Box::new(|_, _| Ok(())),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(|row, out| put(out, if values.value(row) { "true" } else { "false" }))
        }
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => integer::<UInt64Type>(array),
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>();
            Box::new(|row, out| {
                write_float4(values.value(row).to_f32(), out);
                Ok(())
            })
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(|row, out| {
                write_float4(values.value(row), out);
                Ok(())
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(|row, out| {
                write_float8(values.value(row), out);
                Ok(())
            })
        }
        DataType::Decimal64(..) => {
            let values = array.as_primitive::<Decimal64Type>();
            Box::new(|row, out| put(out, &values.value_as_string(row)))
        }
        DataType::Decimal128(..) => {
            let values = array.as_primitive::<Decimal128Type>();
            Box::new(|row, out| put(out, &values.value_as_string(row)))
        }
        DataType::Decimal256(..) => {
            let values = array.as_primitive::<Decimal256Type>();
            Box::new(|row, out| put(out, &values.value_as_string(row)))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(|row, out| put(out, values.value(row)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(|row, out| put(out, values.value(row)))
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(|row, out| {
                hex(values.value(row), out);
                Ok(())
            })
        }
        DataType::FixedSizeBinary(_) if *kind == Kind::Uuid => {
            let values = array.as_fixed_size_binary();
            Box::new(|row, out| {
                uuid(values.value(row), out);
                Ok(())
            })
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(|row, out| {
                hex(values.value(row), out);
                Ok(())
            })
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(|row, out| match values.value(row) {
                // These numbers mean the infinities elsewhere.
                day @ (i32::MIN | i32::MAX) => Err(format!("day {day} is out of range")),
                day => {
                    write_date(day, out);
                    Ok(())
                }
            })
        }
        DataType::Time32(TimeUnit::Millisecond) => time::<Time32MillisecondType>(array, |v| i64::from(v) * 1000),
        DataType::Time64(TimeUnit::Microsecond) => time::<Time64MicrosecondType>(array, |v| v),
        DataType::Time64(TimeUnit::Nanosecond) => time::<Time64NanosecondType>(array, |v| v.div_euclid(1000)),
        DataType::Timestamp(unit, zone) => {
            let zone = if zone.is_some() { "+00" } else { "" };
            match unit {
                TimeUnit::Second => timestamp::<TimestampSecondType>(array, zone, |v| v.checked_mul(1_000_000)),
                TimeUnit::Millisecond => timestamp::<TimestampMillisecondType>(array, zone, |v| v.checked_mul(1000)),
                TimeUnit::Microsecond => timestamp::<TimestampMicrosecondType>(array, zone, Some),
                TimeUnit::Nanosecond => timestamp::<TimestampNanosecondType>(array, zone, |v| Some(v.div_euclid(1000))),
            }
        }
        other => return Err(format!("the type {other} is not supported")),
    })
}

fn put(out: &mut String, text: &str) -> Result<(), String> {
    out.push_str(text);
    Ok(())
}

fn integer<'a, T: ArrowPrimitiveType>(array: &'a dyn Array) -> Write<'a>
where
    T::Native: std::fmt::Display,
{
    let values = array.as_primitive::<T>();
    Box::new(|row, out| put(out, &values.value(row).to_string()))
}

fn time<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, micros: fn(T::Native) -> i64) -> Write<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, out| match micros(values.value(row)) {
        micros if (0..=MICROS_PER_DAY).contains(&micros) => {
            write_time(micros, out);
            Ok(())
        }
        micros => Err(format!("{micros} microseconds are no time of a day")),
    })
}

fn timestamp<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    zone: &'static str,
    micros: fn(T::Native) -> Option<i64>,
) -> Write<'a> {
    let values: &PrimitiveArray<T> = array.as_primitive();
    Box::new(move |row, out| {
        let value = values.value(row);
        let micros = micros(value).filter(|&micros| is_finite_timestamp(micros));
        let micros = micros.ok_or_else(|| format!("timestamp {value:?} is out of range"))?;
        let from = out.len();
        write_timestamp(micros, out);
        // The zone stands before the era.
        let at = out.get(from..).and_then(|text| text.strip_suffix(" BC")).map_or(out.len(), |text| from + text.len());
        out.insert_str(at, zone);
        Ok(())
    })
}

fn hex(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
}

fn uuid(bytes: &[u8], out: &mut String) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
}

/// The elements of a row's list: where they begin and end in the array of all elements.
type Span<'a> = Box<dyn Fn(usize) -> (usize, usize) + 'a>;

fn spans<'a>(array: &'a dyn Array) -> Result<(Span<'a>, &'a ArrayRef), String> {
    fn of<'a, O: OffsetSizeTrait>(array: &'a dyn Array) -> (Span<'a>, &'a ArrayRef) {
        let list = array.as_list::<O>();
        let offsets = list.value_offsets();
        let at = move |row: usize| offsets.get(row).map_or(0, |offset| offset.as_usize());
        (Box::new(move |row| (at(row), at(row + 1))), list.values())
    }
    match array.data_type() {
        DataType::List(_) => Ok(of::<i32>(array)),
        DataType::LargeList(_) => Ok(of::<i64>(array)),
        other => Err(format!("the type {other} is not a list")),
    }
}

/// `{1,NULL,"a b"}`
fn array_writer<'a>(element: &Kind, array: &'a dyn Array) -> Result<Write<'a>, String> {
    let (span, values) = spans(array)?;
    let write = scalar_writer(element, values.as_ref())?;
    let nulls = values.logical_nulls();
    let quoted =
        matches!(element, Kind::Text | Kind::Bytea | Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz);
    Ok(Box::new(move |row, out| {
        let (from, to) = span(row);
        let mut text = String::new();
        out.push('{');
        for at in from..to {
            if at > from {
                out.push(',');
            }
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(at)) {
                out.push_str("NULL");
                continue;
            }
            if !quoted {
                write(at, out)?;
                continue;
            }
            text.clear();
            write(at, &mut text)?;
            put_quoted_element(&text, out);
        }
        out.push('}');
        Ok(())
    }))
}

/// Values within a structure or a list of such, as JSON.
fn json_writer<'a>(kind: &Kind, array: &'a dyn Array) -> Result<Write<'a>, String> {
    let nulls = array.logical_nulls();
    let write: Write<'a> = match kind {
        Kind::List(element) => {
            let (span, values) = spans(array)?;
            let write = json_writer(element, values.as_ref())?;
            Box::new(move |row, out| {
                let (from, to) = span(row);
                out.push('[');
                for at in from..to {
                    if at > from {
                        out.push(',');
                    }
                    write(at, out)?;
                }
                out.push(']');
                Ok(())
            })
        }
        Kind::Structure(fields) => {
            let columns = array.as_struct().columns();
            let mut parts = Vec::with_capacity(fields.len());
            for ((name, kind), column) in fields.iter().zip(columns) {
                parts.push((Value::String(name.clone()).to_string(), json_writer(kind, column.as_ref())?));
            }
            Box::new(move |row, out| {
                out.push('{');
                for (at, (name, write)) in parts.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(name);
                    out.push(':');
                    write(row, out)?;
                }
                out.push('}');
                Ok(())
            })
        }
        Kind::Map(key, value) => {
            let map = array.as_map();
            let keys = scalar_writer(key, map.keys().as_ref())?;
            let values = json_writer(value, map.values().as_ref())?;
            Box::new(move |row, out| {
                let offset = |row: usize| map.value_offsets().get(row).map_or(0, |&offset| offset as usize);
                let (from, to) = (offset(row), offset(row + 1));
                out.push('{');
                for at in from..to {
                    if at > from {
                        out.push(',');
                    }
                    let mut key = String::new();
                    keys(at, &mut key)?;
                    out.push_str(&Value::String(key).to_string());
                    out.push(':');
                    values(at, out)?;
                }
                out.push('}');
                Ok(())
            })
        }
        Kind::Json => {
            let write = scalar_writer(kind, array)?;
            Box::new(move |row, out| {
                let from = out.len();
                write(row, out)?;
                let text = out.get(from..).unwrap_or_default();
                serde_json::from_str::<Value>(text).map(drop).map_err(|error| format!("invalid JSON: {error}"))
            })
        }
        scalar => {
            let write = scalar_writer(scalar, array)?;
            let bare =
                matches!(scalar, Kind::Boolean | Kind::SmallInt | Kind::Integer | Kind::BigInt | Kind::Numeric(..));
            let float = matches!(scalar, Kind::Real | Kind::Double);
            Box::new(move |row, out| {
                let mut text = String::new();
                write(row, &mut text)?;
                // JSON has no NaN and no infinity: texts then, as PostgreSQL's to_jsonb has them.
                let number = bare || (float && !text.ends_with(|c: char| c.is_ascii_alphabetic()));
                out.push_str(&if number { text } else { Value::String(text).to_string() });
                Ok(())
            })
        }
    };
    Ok(Box::new(move |row, out| match &nulls {
        Some(nulls) if nulls.is_null(row) => put(out, "null"),
        _ => write(row, out),
    }))
}
