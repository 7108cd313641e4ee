//! Arrays as a file has them to the engine's own: the same values under the type `contracts::arrow_type` gives.

use std::sync::Arc;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal64Type, Decimal128Type, Time32MillisecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, BinaryViewArray, PrimitiveArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, TimeUnit};
use heliosdb_types::datetime::is_finite_timestamp;
use heliosdb_types::{Datum, TextContext, parse_text};

use super::kind::Kind;
use super::text;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The values of `array` as `target`, or what is wrong with one of them.
pub(super) fn typed(
    kind: &Kind,
    array: &ArrayRef,
    target: &DataType,
    context: &TextContext,
) -> Result<ArrayRef, String> {
    let found = array.data_type();
    match (kind, found) {
        (_, DataType::Null) => Ok(new_null_array(target, array.len())),
        (Kind::Date, DataType::Date32) => {
            // These numbers mean the infinities here.
            let wrong = |day: &i32| matches!(*day, i32::MIN | i32::MAX);
            match present(array.as_primitive::<Date32Type>()).find(wrong) {
                Some(day) => Err(format!("day {day} is out of range")),
                None => Ok(Arc::clone(array)),
            }
        }
        (Kind::Time, _) => time(array),
        (Kind::Timestamp | Kind::TimestampTz, DataType::Timestamp(unit, _)) => {
            let micros = timestamps(array, *unit)?;
            let zone = match target {
                DataType::Timestamp(_, zone) => zone.clone(),
                _ => None,
            };
            Ok(Arc::new(micros.with_timezone_opt(zone)))
        }
        (Kind::Numeric(precision, _), DataType::Decimal64(..)) if target == found => {
            let values = array.as_primitive::<Decimal64Type>();
            values.validate_decimal_precision(*precision).map_err(|_| overflow(*precision))?;
            Ok(Arc::clone(array))
        }
        (Kind::Numeric(precision, _), DataType::Decimal128(..)) if target == found => {
            let values = array.as_primitive::<Decimal128Type>();
            values.validate_decimal_precision(*precision).map_err(|_| overflow(*precision))?;
            Ok(Arc::clone(array))
        }
        (Kind::Text, DataType::Utf8View) => {
            match array.as_string_view().iter().flatten().any(|text| text.as_bytes().contains(&0)) {
                true => Err("invalid byte sequence for encoding \"UTF8\": 0x00".to_owned()),
                false => Ok(Arc::clone(array)),
            }
        }
        (Kind::Bytea, DataType::FixedSizeBinary(_)) => {
            let values: BinaryViewArray = array.as_fixed_size_binary().iter().collect();
            Ok(Arc::new(values))
        }
        _ if found == target => Ok(Arc::clone(array)),
        _ if matches!(target, DataType::BinaryView) => through_text(kind, array, context),
        _ => cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() })
            .map_err(|error| error.to_string()),
    }
}

fn overflow(precision: u8) -> String {
    format!("a number has more than its {precision} digits")
}

fn present<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> impl Iterator<Item = T::Native> + '_ {
    array.iter().flatten()
}

fn time(array: &ArrayRef) -> Result<ArrayRef, String> {
    let micros: PrimitiveArray<Time64MicrosecondType> = match array.data_type() {
        DataType::Time32(TimeUnit::Millisecond) => {
            array.as_primitive::<Time32MillisecondType>().unary(|v| i64::from(v) * 1000)
        }
        DataType::Time64(TimeUnit::Microsecond) => array.as_primitive::<Time64MicrosecondType>().clone(),
        DataType::Time64(TimeUnit::Nanosecond) => {
            array.as_primitive::<Time64NanosecondType>().unary(|v| v.div_euclid(1000))
        }
        other => return Err(format!("the type {other} is not supported")),
    };
    let wrong = present(&micros).find(|micros| !(0..=MICROS_PER_DAY).contains(micros));
    match wrong {
        Some(micros) => Err(format!("{micros} microseconds are no time of a day")),
        None => Ok(Arc::new(micros)),
    }
}

fn timestamps(array: &ArrayRef, unit: TimeUnit) -> Result<PrimitiveArray<TimestampMicrosecondType>, String> {
    fn of<T: ArrowPrimitiveType<Native = i64>>(
        array: &ArrayRef,
        micros: impl Fn(i64) -> Option<i64>,
    ) -> Result<PrimitiveArray<TimestampMicrosecondType>, String> {
        let checked = |value: i64| {
            let micros = micros(value).filter(|micros| is_finite_timestamp(*micros));
            micros.ok_or_else(|| format!("timestamp {value} is out of range"))
        };
        array.as_primitive::<T>().try_unary(checked)
    }
    match unit {
        TimeUnit::Second => of::<TimestampSecondType>(array, |v| v.checked_mul(1_000_000)),
        TimeUnit::Millisecond => of::<TimestampMillisecondType>(array, |v| v.checked_mul(1000)),
        TimeUnit::Microsecond => of::<TimestampMicrosecondType>(array, Some),
        TimeUnit::Nanosecond => of::<TimestampNanosecondType>(array, |v| Some(v.div_euclid(1000))),
    }
}

/// What has an encoding of our own: arrays, jsonb, numbers of more than 38 digits.
fn through_text(kind: &Kind, array: &ArrayRef, context: &TextContext) -> Result<ArrayRef, String> {
    let (write, nulls, sql_type) = (text::writer(kind, array.as_ref())?, array.logical_nulls(), kind.sql_type());
    let mut out = BinaryViewBuilder::with_capacity(array.len());
    let mut cell = String::new();
    for row in 0..array.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.append_null();
            continue;
        }
        cell.clear();
        write(row, &mut cell)?;
        match parse_text(&sql_type, &cell, context).map_err(|error| error.message().to_owned())? {
            Datum::Bytes(bytes) => out.append_value(bytes),
            Datum::Numeric(number) => out.append_value(number.sort_bytes()),
            _ => return Err(format!("a value is no {}", kind.sql_name())),
        }
    }
    Ok(Arc::new(out.finish()))
}
