//! How a column's values are stored: the types storage knows.

use serde::{Deserialize, Serialize};

/// The physical type of a column. SQL types map onto these; storage never sees a SQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PhysicalType {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Unscaled 64-bit integer: `numeric(p, s)` with p <= 18.
    Decimal64 {
        precision: u8,
        scale: i8,
    },
    /// Unscaled 128-bit integer: `numeric(p, s)` with 18 < p <= 38.
    Decimal128 {
        precision: u8,
        scale: i8,
    },
    /// Lossless, order-preserving bytes of a [`crate::Numeric`]: bare `numeric`, or p > 38.
    Numeric,
    /// UTF-8, ordered bytewise.
    Text,
    Bytes,
    /// Days since 1970-01-01 (Arrow's epoch, not the wire's 2000-01-01). i32::MIN/MAX: -/+infinity.
    Date,
    /// Microseconds since midnight, 0..=86_400_000_000.
    Time,
    /// Microseconds since 1970-01-01 00:00 (no zone). i64::MIN/MAX: -/+infinity.
    Timestamp,
    /// Microseconds since 1970-01-01 00:00 UTC. i64::MIN/MAX: -/+infinity.
    TimestampTz,
    Interval,
    Uuid,
}
