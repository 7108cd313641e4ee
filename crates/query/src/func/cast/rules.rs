//! Which casts PostgreSQL allows implicitly, on assignment, and explicitly (`pg_cast`, plus text input and output).

use heliosdb_types::SqlType;

use super::CastKind;

pub(crate) fn is_text(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::QuotedChar)
}

pub(crate) fn is_integer(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8)
}

pub(crate) fn is_number(sql_type: &SqlType) -> bool {
    number_rank(sql_type).is_some()
}

/// Numbers from narrow to wide: a cast upwards is implicit.
fn number_rank(sql_type: &SqlType) -> Option<u8> {
    Some(match sql_type {
        SqlType::Int2 => 0,
        SqlType::Int4 => 1,
        SqlType::Int8 => 2,
        SqlType::Numeric(_) => 3,
        SqlType::Float4 => 4,
        SqlType::Float8 => 5,
        _ => return None,
    })
}

/// Whether `from` can become `to` under `kind`.
pub fn can_cast(from: &SqlType, to: &SqlType, kind: CastKind) -> bool {
    needed(from, to).is_some_and(|needed| kind >= needed)
}

/// The least explicit kind that allows the cast; `None` if there is none.
fn needed(from: &SqlType, to: &SqlType) -> Option<CastKind> {
    use CastKind::{Assignment, Explicit, Implicit};
    use SqlType::{
        Array, Bool, Bytea, Char, Date, Int2, Int4, Int8, Interval, Json, Jsonb, Oid, QuotedChar, Reg, Time, Timestamp,
        Timestamptz, Unknown, Void,
    };
    if let (Some(from), Some(to)) = (number_rank(from), number_rank(to)) {
        return Some(if from <= to { Implicit } else { Assignment });
    }
    Some(match (from, to) {
        (Void, _) | (_, Void) => return None,
        (Unknown, _) => Implicit,
        (_, Unknown) => return None,
        // Arrays are cast as their elements are.
        (Array(a), Array(b)) => return needed(a, b),
        (SqlType::Enum(a), SqlType::Enum(b)) => return (a == b).then_some(Implicit),
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => Implicit,
        (Json, Jsonb) | (Jsonb, Json) => Assignment,
        (Jsonb, Bool) => Explicit,
        (Jsonb, number) if is_number(number) => Explicit,
        (Bool, Int4) | (Int4, Bool) => Explicit,
        (QuotedChar, Int4) | (Int4, QuotedChar) => Explicit,
        (Date, Timestamp(_) | Timestamptz(_)) | (Timestamp(_), Timestamptz(_)) | (Time(_), Interval) => Implicit,
        (Timestamp(_) | Timestamptz(_), Date | Time(_)) | (Timestamptz(_), Timestamp(_)) | (Interval, Time(_)) => {
            Assignment
        }
        (Int2 | Int4 | Int8, Oid | Reg(_)) | (Oid, Reg(_)) | (Reg(_), Oid) => Implicit,
        (Oid | Reg(_), Int4 | Int8) => Assignment,
        (a, b) if is_text(a) && is_text(b) => match (a, b) {
            (_, QuotedChar) => Assignment,
            (Char(_) | SqlType::Text | SqlType::Varchar(_), _) | (_, SqlType::Text | SqlType::Varchar(_)) => Implicit,
            _ => Assignment,
        },
        (text, Reg(_)) if is_text(text) => Explicit,
        // Output functions to text types; input functions from them.
        (_, text) if is_text(text) => Assignment,
        (text, _) if is_text(text) => Explicit,
        (Bytea, _) | (_, Bytea) => return None,
        _ => return None,
    })
}
