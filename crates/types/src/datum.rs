//! One value. [`DatumRef`] borrows (rows on their way to a client), [`Datum`] owns (keys, literals, parameters).

use serde::{Deserialize, Serialize};

use crate::Numeric;

/// Months, days and microseconds are kept apart, as in PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// A borrowed value. Its shape follows [`crate::PhysicalType`]; decimals carry their scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DatumRef<'a> {
    Null,
    Bool(bool),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    /// `unscaled * 10^-scale`; both Decimal64 and Decimal128 columns.
    Decimal {
        unscaled: i128,
        scale: i8,
    },
    /// A [`Numeric`]'s encoded bytes.
    Numeric(&'a [u8]),
    Text(&'a str),
    Bytes(&'a [u8]),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    TimestampTz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
}

/// An owned value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Datum {
    Null,
    Bool(bool),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    Decimal { unscaled: i128, scale: i8 },
    Numeric(Numeric),
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    TimestampTz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
}

impl Datum {
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub fn as_ref(&self) -> DatumRef<'_> {
        match self {
            Datum::Null => DatumRef::Null,
            Datum::Bool(v) => DatumRef::Bool(*v),
            Datum::Int16(v) => DatumRef::Int16(*v),
            Datum::Int32(v) => DatumRef::Int32(*v),
            Datum::Int64(v) => DatumRef::Int64(*v),
            Datum::Float32(v) => DatumRef::Float32(*v),
            Datum::Float64(v) => DatumRef::Float64(*v),
            Datum::Decimal { unscaled, scale } => DatumRef::Decimal { unscaled: *unscaled, scale: *scale },
            Datum::Numeric(v) => DatumRef::Numeric(v.as_bytes()),
            Datum::Text(v) => DatumRef::Text(v),
            Datum::Bytes(v) => DatumRef::Bytes(v),
            Datum::Date(v) => DatumRef::Date(*v),
            Datum::Time(v) => DatumRef::Time(*v),
            Datum::Timestamp(v) => DatumRef::Timestamp(*v),
            Datum::TimestampTz(v) => DatumRef::TimestampTz(*v),
            Datum::Interval(v) => DatumRef::Interval(*v),
            Datum::Uuid(v) => DatumRef::Uuid(*v),
        }
    }
}

impl DatumRef<'_> {
    pub fn is_null(&self) -> bool {
        matches!(self, DatumRef::Null)
    }

    pub fn to_owned(&self) -> Datum {
        match *self {
            DatumRef::Null => Datum::Null,
            DatumRef::Bool(v) => Datum::Bool(v),
            DatumRef::Int16(v) => Datum::Int16(v),
            DatumRef::Int32(v) => Datum::Int32(v),
            DatumRef::Int64(v) => Datum::Int64(v),
            DatumRef::Float32(v) => Datum::Float32(v),
            DatumRef::Float64(v) => Datum::Float64(v),
            DatumRef::Decimal { unscaled, scale } => Datum::Decimal { unscaled, scale },
            DatumRef::Numeric(v) => Datum::Numeric(Numeric::from_bytes_unchecked(v)),
            DatumRef::Text(v) => Datum::Text(v.to_owned()),
            DatumRef::Bytes(v) => Datum::Bytes(v.to_vec()),
            DatumRef::Date(v) => Datum::Date(v),
            DatumRef::Time(v) => Datum::Time(v),
            DatumRef::Timestamp(v) => Datum::Timestamp(v),
            DatumRef::TimestampTz(v) => Datum::TimestampTz(v),
            DatumRef::Interval(v) => Datum::Interval(v),
            DatumRef::Uuid(v) => Datum::Uuid(v),
        }
    }
}
