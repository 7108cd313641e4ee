//! json and jsonb.
//!
//! A `json` value is its text as it was given, checked ([`check_json`]) and otherwise left alone. A `jsonb` value is bytes
//! of our own (see `binary`), in which a member is found without decoding the rest: members are sorted by length and then
//! bytes, as in PostgreSQL, and of several members of one name the last one counts. Numbers are exact numerics. The bytes do not
//! compare as values do (1.0 equals 1.00): [`Jsonb::sort_key`] does. Reading hostile bytes fails, it never panics.

mod binary;
mod compare;
mod lex;
mod parse;
mod print;
mod split;
mod tree;

use crate::{Error, SqlState};

pub use binary::{Jsonb, JsonbKind};
pub use compare::jsonb_contains;
pub use lex::unescape_json;
pub use parse::{check_json, parse_json_tree};
pub use print::{write_json_string, write_jsonb};
pub use split::{JsonPart, json_kind, split_json, strip_json_nulls};
pub use tree::JsonTree;

/// The deepest nesting read or built.
pub const JSON_DEPTH_MAX: usize = 500;
/// The most bytes of a jsonb value, as in PostgreSQL.
pub const JSONB_BYTES_MAX: usize = 0x0FFF_FFFF;

/// Reads jsonb from its text.
pub fn parse_jsonb(text: &str) -> crate::Result<Vec<u8>> {
    parse_json_tree(text)?.encode()
}

fn too_deep() -> Error {
    Error::invalid(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
        .with_detail(format!("JSON may be nested {JSON_DEPTH_MAX} levels deep."))
}

fn damaged(what: &str) -> Error {
    Error::corrupt(format!("damaged jsonb: {what}"))
}

#[cfg(test)]
#[path = "json_test.rs"]
mod tests;
