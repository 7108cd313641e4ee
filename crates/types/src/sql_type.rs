//! SQL types as clients see them: PostgreSQL's OIDs, names, lengths and type modifiers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::enum_type::{self, EnumType};
use crate::{Oid, PhysicalType};

/// A SQL type with its modifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// `None`: bare numeric, any precision and scale. `Some((p, s))`: numeric(p, s).
    Numeric(Option<(u16, i16)>),
    Text,
    /// `varchar` or `varchar(n)`, n in characters.
    Varchar(Option<u32>),
    /// `char(n)` (PostgreSQL's bpchar), blank-padded to n; `None` is bpchar without a limit.
    Char(Option<u32>),
    /// 63-byte identifier of the catalog.
    Name,
    /// PostgreSQL's one-byte `"char"`.
    QuotedChar,
    Bytea,
    Date,
    /// Fractional digits kept, 0..=6; `None` is 6.
    Time(Option<u8>),
    Timestamp(Option<u8>),
    Timestamptz(Option<u8>),
    Interval,
    Uuid,
    /// JSON text, kept as it was given.
    Json,
    /// JSON as [`crate::Jsonb`] bytes.
    Jsonb,
    Oid,
    /// A catalog reference stored as an oid and shown as a name.
    Reg(RegKind),
    /// An array of any number of dimensions. The element is never an array itself.
    Array(Box<SqlType>),
    /// A user-defined enum. In the catalog only its OID counts: see [`SqlType::map_enums`].
    Enum(#[serde(with = "enum_type::shared")] Arc<EnumType>),
    /// A row of values; only in expressions. Its values are encoded rows of [`SqlType::carried`] columns.
    Record(Vec<RecordField>),
    /// The catalog's int2vector and oidvector: an array from 0 that prints its elements with blanks between them; and, of
    /// text, aclitem[], which prints as arrays do. Only a
    /// result column has this type; expressions take such values for arrays.
    CatalogVector(Box<SqlType>),
    /// A literal or parameter whose type context has not decided yet.
    Unknown,
    Void,
}

/// A column of a [`SqlType::Record`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordField {
    pub name: String,
    pub sql_type: SqlType,
}

/// Which catalog a `reg*` value points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RegKind {
    Class,
    Type,
    Proc,
    Namespace,
    Role,
}

impl SqlType {
    /// PostgreSQL's fixed OID of the type.
    pub fn oid(&self) -> Oid {
        Oid(match self {
            SqlType::Bool => 16,
            SqlType::Bytea => 17,
            SqlType::QuotedChar => 18,
            SqlType::Name => 19,
            SqlType::Int8 => 20,
            SqlType::Int2 => 21,
            SqlType::Int4 => 23,
            SqlType::Reg(RegKind::Proc) => 24,
            SqlType::Text => 25,
            SqlType::Oid => 26,
            SqlType::Json => 114,
            SqlType::Float4 => 700,
            SqlType::Float8 => 701,
            SqlType::Unknown => 705,
            SqlType::Char(_) => 1042,
            SqlType::Varchar(_) => 1043,
            SqlType::Date => 1082,
            SqlType::Time(_) => 1083,
            SqlType::Timestamp(_) => 1114,
            SqlType::Timestamptz(_) => 1184,
            SqlType::Interval => 1186,
            SqlType::Numeric(_) => 1700,
            SqlType::Reg(RegKind::Class) => 2205,
            SqlType::Reg(RegKind::Type) => 2206,
            SqlType::Record(_) => 2249,
            SqlType::Void => 2278,
            SqlType::Uuid => 2950,
            SqlType::Reg(RegKind::Namespace) => 4089,
            SqlType::Reg(RegKind::Role) => 4096,
            SqlType::Jsonb => 3802,
            SqlType::Enum(of) => of.oid.0,
            SqlType::CatalogVector(element) => match **element {
                SqlType::Int2 => 22,
                SqlType::Text => 1034,
                _ => 30,
            },
            SqlType::Array(element) => match &**element {
                SqlType::Enum(of) => of.array_oid.0,
                SqlType::Json => 199,
                SqlType::Jsonb => 3807,
                SqlType::Bool => 1000,
                SqlType::Bytea => 1001,
                SqlType::QuotedChar => 1002,
                SqlType::Name => 1003,
                SqlType::Int2 => 1005,
                SqlType::Int4 => 1007,
                SqlType::Text => 1009,
                SqlType::Char(_) => 1014,
                SqlType::Varchar(_) => 1015,
                SqlType::Int8 => 1016,
                SqlType::Float4 => 1021,
                SqlType::Float8 => 1022,
                SqlType::Oid => 1028,
                SqlType::Timestamp(_) => 1115,
                SqlType::Date => 1182,
                SqlType::Time(_) => 1183,
                SqlType::Timestamptz(_) => 1185,
                SqlType::Interval => 1187,
                SqlType::Numeric(_) => 1231,
                SqlType::Reg(RegKind::Proc) => 1008,
                SqlType::Reg(RegKind::Class) => 2210,
                SqlType::Reg(RegKind::Type) => 2211,
                SqlType::Reg(RegKind::Namespace) => 4090,
                SqlType::Reg(RegKind::Role) => 4097,
                SqlType::Uuid => 2951,
                SqlType::Record(_) => 2287,
                SqlType::Unknown | SqlType::Void | SqlType::CatalogVector(_) | SqlType::Array(_) => 2277,
            },
        })
    }

    /// The type of an OID, without modifier; `None` for types we do not know.
    pub fn from_oid(oid: Oid) -> Option<SqlType> {
        let array = |element: SqlType| SqlType::Array(Box::new(element));
        Some(match oid.0 {
            16 => SqlType::Bool,
            17 => SqlType::Bytea,
            18 => SqlType::QuotedChar,
            19 => SqlType::Name,
            20 => SqlType::Int8,
            21 => SqlType::Int2,
            23 => SqlType::Int4,
            24 => SqlType::Reg(RegKind::Proc),
            25 => SqlType::Text,
            26 => SqlType::Oid,
            114 => SqlType::Json,
            700 => SqlType::Float4,
            701 => SqlType::Float8,
            705 => SqlType::Unknown,
            1042 => SqlType::Char(None),
            1043 => SqlType::Varchar(None),
            1082 => SqlType::Date,
            1083 => SqlType::Time(None),
            1114 => SqlType::Timestamp(None),
            1184 => SqlType::Timestamptz(None),
            1186 => SqlType::Interval,
            1700 => SqlType::Numeric(None),
            2205 => SqlType::Reg(RegKind::Class),
            2206 => SqlType::Reg(RegKind::Type),
            2278 => SqlType::Void,
            2950 => SqlType::Uuid,
            3802 => SqlType::Jsonb,
            4089 => SqlType::Reg(RegKind::Namespace),
            4096 => SqlType::Reg(RegKind::Role),
            199 => array(SqlType::Json),
            3807 => array(SqlType::Jsonb),
            1000 => array(SqlType::Bool),
            1001 => array(SqlType::Bytea),
            1002 => array(SqlType::QuotedChar),
            1003 => array(SqlType::Name),
            1005 => array(SqlType::Int2),
            1007 => array(SqlType::Int4),
            1009 => array(SqlType::Text),
            1014 => array(SqlType::Char(None)),
            1015 => array(SqlType::Varchar(None)),
            1016 => array(SqlType::Int8),
            1021 => array(SqlType::Float4),
            1022 => array(SqlType::Float8),
            1028 => array(SqlType::Oid),
            1115 => array(SqlType::Timestamp(None)),
            1182 => array(SqlType::Date),
            1183 => array(SqlType::Time(None)),
            1185 => array(SqlType::Timestamptz(None)),
            1187 => array(SqlType::Interval),
            1231 => array(SqlType::Numeric(None)),
            1008 => array(SqlType::Reg(RegKind::Proc)),
            2210 => array(SqlType::Reg(RegKind::Class)),
            2211 => array(SqlType::Reg(RegKind::Type)),
            4090 => array(SqlType::Reg(RegKind::Namespace)),
            4097 => array(SqlType::Reg(RegKind::Role)),
            2951 => array(SqlType::Uuid),
            _ => return None,
        })
    }

    /// PostgreSQL's type modifier (`atttypmod`); -1 is none.
    pub fn typmod(&self) -> i32 {
        match self {
            SqlType::Numeric(Some((precision, scale))) => {
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
            }
            SqlType::Varchar(Some(n)) | SqlType::Char(Some(n)) => i32::try_from(*n).unwrap_or(i32::MAX - 4) + 4,
            SqlType::Time(Some(p)) | SqlType::Timestamp(Some(p)) | SqlType::Timestamptz(Some(p)) => i32::from(*p),
            SqlType::Array(element) => element.typmod(),
            _ => -1,
        }
    }

    /// `typlen`: bytes of a fixed-length type, -1 for variable, -2 for C strings.
    pub fn wire_len(&self) -> i16 {
        match self {
            SqlType::Bool | SqlType::QuotedChar => 1,
            SqlType::Int2 => 2,
            SqlType::Int4
            | SqlType::Float4
            | SqlType::Date
            | SqlType::Oid
            | SqlType::Reg(_)
            | SqlType::Void
            | SqlType::Enum(_) => 4,
            SqlType::Int8 | SqlType::Float8 | SqlType::Time(_) | SqlType::Timestamp(_) | SqlType::Timestamptz(_) => 8,
            SqlType::Interval | SqlType::Uuid => 16,
            SqlType::Name => 64,
            SqlType::Unknown => -2,
            SqlType::Numeric(_)
            | SqlType::Text
            | SqlType::Varchar(_)
            | SqlType::Char(_)
            | SqlType::Bytea
            | SqlType::Json
            | SqlType::Record(_)
            | SqlType::Jsonb
            | SqlType::CatalogVector(_)
            | SqlType::Array(_) => -1,
        }
    }

    /// How a *stored column* of this type is kept; `None` for types that cannot be stored.
    pub fn physical(&self) -> Option<PhysicalType> {
        Some(match self {
            SqlType::Bool => PhysicalType::Bool,
            SqlType::Int2 => PhysicalType::Int16,
            SqlType::Int4 => PhysicalType::Int32,
            SqlType::Int8 | SqlType::Oid | SqlType::Reg(_) | SqlType::Enum(_) => PhysicalType::Int64,
            SqlType::Float4 => PhysicalType::Float32,
            SqlType::Float8 => PhysicalType::Float64,
            SqlType::Numeric(Some((p, s))) if *p <= 18 && (0..=18).contains(s) && *s <= *p as i16 => {
                PhysicalType::Decimal64 { precision: *p as u8, scale: *s as i8 }
            }
            SqlType::Numeric(Some((p, s))) if *p <= 38 && (0..=38).contains(s) && *s <= *p as i16 => {
                PhysicalType::Decimal128 { precision: *p as u8, scale: *s as i8 }
            }
            SqlType::Numeric(_) => PhysicalType::Numeric,
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::QuotedChar => {
                PhysicalType::Text
            }
            SqlType::Unknown | SqlType::Json => PhysicalType::Text,
            SqlType::Bytea | SqlType::Jsonb => PhysicalType::Bytes,
            SqlType::Date => PhysicalType::Date,
            SqlType::Time(_) => PhysicalType::Time,
            SqlType::Timestamp(_) => PhysicalType::Timestamp,
            SqlType::Timestamptz(_) => PhysicalType::TimestampTz,
            SqlType::Interval => PhysicalType::Interval,
            SqlType::Uuid => PhysicalType::Uuid,
            SqlType::Array(element) | SqlType::CatalogVector(element) => {
                crate::array::element_physical(element)?;
                PhysicalType::Bytes
            }
            SqlType::Record(_) | SqlType::Void => return None,
        })
    }

    /// How values of the type travel in plans, stored or not.
    pub fn carried(&self) -> PhysicalType {
        match self {
            SqlType::Record(_) => PhysicalType::Bytes,
            other => other.physical().unwrap_or(PhysicalType::Text),
        }
    }

    /// The element type of an array.
    pub fn element(&self) -> Option<&SqlType> {
        match self {
            SqlType::Array(element) => Some(element),
            _ => None,
        }
    }

    /// An array of this type. An array of arrays is the same as an array.
    pub fn array_of(&self) -> SqlType {
        match self {
            SqlType::Array(_) => self.clone(),
            other => SqlType::Array(Box::new(other.clone())),
        }
    }

    /// The enum this type is, or is an array of.
    pub fn enum_type(&self) -> Option<&Arc<EnumType>> {
        match self {
            SqlType::Enum(of) => Some(of),
            SqlType::Array(element) => element.enum_type(),
            _ => None,
        }
    }

    /// The same type with its enum replaced.
    pub fn map_enums<E>(&self, map: &impl Fn(&Arc<EnumType>) -> Result<Arc<EnumType>, E>) -> Result<SqlType, E> {
        Ok(match self {
            SqlType::Enum(of) => SqlType::Enum(map(of)?),
            SqlType::Array(element) => SqlType::Array(Box::new(element.map_enums(map)?)),
            other => other.clone(),
        })
    }

    /// The type as the catalog keeps it: an enum by its OID alone.
    pub fn without_labels(&self) -> SqlType {
        match self {
            SqlType::Enum(of) => SqlType::Enum(enum_type::reference(of.oid)),
            SqlType::Array(element) => SqlType::Array(Box::new(element.without_labels())),
            other => other.clone(),
        }
    }

    /// The name PostgreSQL's `format_type` prints, modifier included.
    pub fn name(&self) -> String {
        let precision = |base: &str, p: &Option<u8>, tail: &str| match p {
            Some(p) => format!("{base}({p}) {tail}"),
            None => format!("{base} {tail}"),
        };
        match self {
            SqlType::Bool => "boolean".into(),
            SqlType::Int2 => "smallint".into(),
            SqlType::Int4 => "integer".into(),
            SqlType::Int8 => "bigint".into(),
            SqlType::Float4 => "real".into(),
            SqlType::Float8 => "double precision".into(),
            SqlType::Numeric(None) => "numeric".into(),
            SqlType::Numeric(Some((p, s))) => format!("numeric({p},{s})"),
            SqlType::Text => "text".into(),
            SqlType::Varchar(None) => "character varying".into(),
            SqlType::Varchar(Some(n)) => format!("character varying({n})"),
            SqlType::Char(None) => "bpchar".into(),
            SqlType::Char(Some(n)) => format!("character({n})"),
            SqlType::Name => "name".into(),
            SqlType::QuotedChar => "\"char\"".into(),
            SqlType::Bytea => "bytea".into(),
            SqlType::Date => "date".into(),
            SqlType::Time(p) => precision("time", p, "without time zone"),
            SqlType::Timestamp(p) => precision("timestamp", p, "without time zone"),
            SqlType::Timestamptz(p) => precision("timestamp", p, "with time zone"),
            SqlType::Interval => "interval".into(),
            SqlType::Uuid => "uuid".into(),
            SqlType::Json => "json".into(),
            SqlType::Jsonb => "jsonb".into(),
            SqlType::Oid => "oid".into(),
            SqlType::Reg(RegKind::Class) => "regclass".into(),
            SqlType::Reg(RegKind::Type) => "regtype".into(),
            SqlType::Reg(RegKind::Proc) => "regproc".into(),
            SqlType::Reg(RegKind::Namespace) => "regnamespace".into(),
            SqlType::Reg(RegKind::Role) => "regrole".into(),
            SqlType::Array(element) => format!("{}[]", element.name()),
            SqlType::Enum(of) => of.shown_name(),
            SqlType::Record(_) => "record".into(),
            SqlType::CatalogVector(element) if **element == SqlType::Int2 => "int2vector".into(),
            SqlType::CatalogVector(element) if **element == SqlType::Text => "aclitem[]".into(),
            SqlType::CatalogVector(_) => "oidvector".into(),
            SqlType::Unknown => "unknown".into(),
            SqlType::Void => "void".into(),
        }
    }
}
