//! The vocabulary every other crate shares: identifiers, values, their byte codecs and text forms, errors.
//!
//! Does: ids and positions, SQL and physical types, `Datum`, the order-preserving key codec, the row codec, reading and
//! writing values as PostgreSQL's text, error kinds and SQLSTATEs. Does not: Arrow, async, I/O, clocks (the time zone
//! is injected). Invariants: decoding bytes from disk or network never panics; encoded keys sort as their values do.
//! May depend on: std and serde only, because everything rebuilds when this crate changes.
//!
//! ```
//! use heliosdb_types::{CommitTs, SqlState};
//! assert!(CommitTs::from_micros(5).next() > CommitTs::from_micros(5));
//! assert_eq!(SqlState::UNIQUE_VIOLATION.as_str(), "23505");
//! ```

mod array;
mod compare;
pub mod datetime;
mod datum;
mod enum_type;
mod error;
mod ids;
mod json;
mod key;
mod key_set;
mod numeric;
mod physical;
mod row;
mod row_splice;
mod sql_type;
mod sqlstate;
mod text;
mod text_context;
mod timezone;

pub use array::{
    ARRAY_BYTES_MAX, ARRAY_DIMENSIONS_MAX, ARRAY_ELEMENTS_MAX, ArrayBuilder, ArrayView, Dimension, Element,
    array_sort_bytes, element_count, element_key, element_physical, has_residue, parse_array, put_quoted_element,
    text_array, too_many_dimensions, write_array,
};
pub use compare::{compare, compare_floats};
pub use datum::{Datum, DatumRef, Interval};
pub use enum_type::{ENUM_LABEL_BYTES_MAX, ENUM_LABELS_MAX, EnumLabel, EnumType, LabelPlace};
pub use error::{Error, ErrorKind, Result};
pub use ids::{
    BranchId, ColumnId, CommandId, CommitTs, DatabaseId, Lsn, Oid, SchemaVersion, SegmentId, SequenceId, ShardId,
    TreeId, TreeRef, TxnId,
};
pub use json::{
    JSON_DEPTH_MAX, JSONB_BYTES_MAX, JsonPart, JsonTree, Jsonb, JsonbKind, check_json, json_kind, jsonb_contains,
    parse_json_tree, parse_jsonb, split_json, strip_json_nulls, unescape_json, write_json_string, write_jsonb,
};
pub use key::{decode_key, encode_key, key_bound_bytes, key_is_exact, key_value_len};
pub use key_set::KeySet;
pub use numeric::{NUMERIC_SCALE_MAX, NUMERIC_WEIGHT_MAX, Numeric, precision_overflow, rescale};
pub use physical::PhysicalType;
pub use row::{ROW_COLUMNS_MAX, RowLayout, RowView, encode_row};
pub use row_splice::splice_row;
pub use sql_type::{RecordField, RegKind, SqlType};
pub use sqlstate::SqlState;
pub use text::{fit_text, parse_bool, parse_text, text_of, write_float4, write_float8, write_text};
pub use text_context::TextContext;
pub use timezone::{FixedOffset, OnlyUtc, TimeZone, TimeZones};

#[cfg(test)]
mod fuzz_test;
