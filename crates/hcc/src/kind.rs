//! Which encodings there are, and how physical types group: the group decides the layout, not the SQL meaning.

use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use heliosdb_types::{Error, PhysicalType, Result};

/// How a block's values are written. The number is the tag on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// Every row is NULL; nothing is stored.
    AllNull = 0,
    /// Every non-null row has one value.
    Constant = 1,
    /// Frame of reference: the smallest value, and bit-packed distances from it, with exceptions.
    Frame = 2,
    /// Sorted distinct values of the block and bit-packed codes.
    Dictionary = 3,
    /// Strings compressed one by one with a shared symbol table.
    Fsst = 4,
    /// Values as they are.
    Plain = 5,
    /// Differences from the row before.
    Delta = 6,
    /// Runs of equal values: where each ends, and a block of one value a run.
    Runs = 7,
    /// One value, and a block of the few that differ.
    Sparse = 8,
    /// Floats that are short decimals, as whole numbers.
    Alp = 9,
    /// Other floats: their left bits as codes, their right bits as they are.
    AlpRd = 10,
    /// Codes into words that all blocks of the column share.
    Words = 11,
    /// Strings as codes of phrases that all blocks of the column share.
    Phrases = 12,
    /// Strings in frames of zstd, for long or cold ones.
    Zstd = 13,
    /// Numbers as planes of bytes under zstd, for cold ones.
    Planes = 14,
    /// Differences from the row before, but for a few that are far from the others.
    Jumps = 15,
    /// Floats that are short decimals and wander, as differences of whole numbers.
    AlpDelta = 16,
    /// Strings of one length: what all of them share once, the other bytes row by row.
    Stencil = 17,
}

impl Encoding {
    /// All of them, for tests and tables.
    pub const ALL: [Encoding; 18] = [
        Encoding::AllNull,
        Encoding::Constant,
        Encoding::Frame,
        Encoding::Dictionary,
        Encoding::Fsst,
        Encoding::Plain,
        Encoding::Delta,
        Encoding::Runs,
        Encoding::Sparse,
        Encoding::Alp,
        Encoding::AlpRd,
        Encoding::Words,
        Encoding::Phrases,
        Encoding::Zstd,
        Encoding::Planes,
        Encoding::Jumps,
        Encoding::AlpDelta,
        Encoding::Stencil,
    ];

    /// As views and tools show it.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::AllNull => "all null",
            Encoding::Constant => "constant",
            Encoding::Frame => "frame",
            Encoding::Dictionary => "dictionary",
            Encoding::Fsst => "fsst",
            Encoding::Plain => "plain",
            Encoding::Delta => "delta",
            Encoding::Runs => "runs",
            Encoding::Sparse => "sparse",
            Encoding::Alp => "alp",
            Encoding::AlpRd => "alp-rd",
            Encoding::Words => "words",
            Encoding::Phrases => "phrases",
            Encoding::Zstd => "zstd",
            Encoding::Planes => "planes",
            Encoding::Jumps => "jumps",
            Encoding::AlpDelta => "alp-delta",
            Encoding::Stencil => "stencil",
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Result<Encoding> {
        let known = Encoding::ALL.into_iter().find(|encoding| *encoding as u8 == tag);
        known.ok_or_else(|| Error::corrupt(format!("column block has unknown encoding {tag}")))
    }
}

/// The layout group of a physical type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// Whole numbers of `width` bytes up to 8.
    Int {
        width: usize,
    },
    /// Decimal128: frame of reference when the range fits 64 bits, 16 plain bytes otherwise.
    Wide,
    /// Floats, uuid, interval: `width` opaque bytes.
    Fixed {
        width: usize,
    },
    /// Text, bytes, numeric.
    Var,
}

impl Kind {
    pub(crate) fn of(physical: PhysicalType) -> Kind {
        match physical {
            PhysicalType::Bool => Kind::Bool,
            PhysicalType::Int16 => Kind::Int { width: 2 },
            PhysicalType::Int32 | PhysicalType::Date => Kind::Int { width: 4 },
            PhysicalType::Int64
            | PhysicalType::Decimal64 { .. }
            | PhysicalType::Time
            | PhysicalType::Timestamp
            | PhysicalType::TimestampTz => Kind::Int { width: 8 },
            PhysicalType::Decimal128 { .. } => Kind::Wide,
            PhysicalType::Float32 => Kind::Fixed { width: 4 },
            PhysicalType::Float64 => Kind::Fixed { width: 8 },
            PhysicalType::Uuid | PhysicalType::Interval => Kind::Fixed { width: 16 },
            PhysicalType::Numeric | PhysicalType::Text | PhysicalType::Bytes => Kind::Var,
        }
    }

    /// A byte kept in every block, so that reading a block as the wrong type is noticed.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Kind::Bool => 1,
            Kind::Int { width } => 16 + width as u8,
            Kind::Wide => 2,
            Kind::Fixed { width } => 64 + width as u8,
            Kind::Var => 3,
        }
    }

    /// Bytes of a plain value; 0 for bits and strings.
    pub(crate) fn width(self) -> usize {
        match self {
            Kind::Int { width } | Kind::Fixed { width } => width,
            Kind::Wide => 16,
            Kind::Bool | Kind::Var => 0,
        }
    }
}

/// The Arrow type arrays of this physical type have, in and out. The same mapping as `contracts::arrow_type`, which this
/// crate may not see; a test in `storage` holds the two together.
pub fn arrow_type(physical: PhysicalType) -> DataType {
    match physical {
        PhysicalType::Bool => DataType::Boolean,
        PhysicalType::Int16 => DataType::Int16,
        PhysicalType::Int32 => DataType::Int32,
        PhysicalType::Int64 => DataType::Int64,
        PhysicalType::Float32 => DataType::Float32,
        PhysicalType::Float64 => DataType::Float64,
        PhysicalType::Decimal64 { precision, scale } => DataType::Decimal64(precision, scale),
        PhysicalType::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale),
        PhysicalType::Numeric | PhysicalType::Bytes => DataType::BinaryView,
        PhysicalType::Text => DataType::Utf8View,
        PhysicalType::Date => DataType::Date32,
        PhysicalType::Time => DataType::Time64(TimeUnit::Microsecond),
        PhysicalType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PhysicalType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PhysicalType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        PhysicalType::Uuid => DataType::FixedSizeBinary(16),
    }
}
