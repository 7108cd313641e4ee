//! SQL type names as the parser has them, to types.

use heliosdb_types::{Error, RegKind, Result, SqlState, SqlType};

use super::NameLookup;
use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo};

/// 42704 for a type that does not exist, 0A000 for one that is not implemented.
pub fn type_from_ast(data_type: &DataType, names: &dyn NameLookup) -> Result<SqlType> {
    Ok(match data_type {
        DataType::Boolean | DataType::Bool => SqlType::Bool,
        DataType::SmallInt(None) | DataType::Int2(None) => SqlType::Int2,
        DataType::Integer(None) | DataType::Int(None) | DataType::Int4(None) => SqlType::Int4,
        DataType::BigInt(None) | DataType::Int8(None) => SqlType::Int8,
        DataType::Real | DataType::Float4 => SqlType::Float4,
        DataType::DoublePrecision | DataType::Float8 => SqlType::Float8,
        DataType::Float(info) => float_type(info)?,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric_type(info)?,
        DataType::Text => SqlType::Text,
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            SqlType::Varchar(length_of(length.as_ref(), "varchar")?)
        }
        DataType::Char(length) | DataType::Character(length) => {
            SqlType::Char(Some(length_of(length.as_ref(), "char")?.unwrap_or(1)))
        }
        DataType::Bytea => SqlType::Bytea,
        DataType::Date => SqlType::Date,
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            SqlType::Time(fraction(*precision, "TIME")?)
        }
        DataType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            SqlType::Timestamp(fraction(*precision, "TIMESTAMP")?)
        }
        DataType::Timestamp(precision, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            SqlType::Timestamptz(fraction(*precision, "TIMESTAMP")?)
        }
        DataType::Interval { fields: None, precision: None } => SqlType::Interval,
        DataType::Uuid => SqlType::Uuid,
        DataType::JSON => SqlType::Json,
        DataType::JSONB => SqlType::Jsonb,
        DataType::Regclass => SqlType::Reg(RegKind::Class),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
            type_from_ast(element, names)?.array_of()
        }
        DataType::Custom(name, modifiers) => custom_type(name, modifiers, names)?,
        DataType::Bit(_)
        | DataType::BitVarying(_)
        | DataType::VarBit(_)
        | DataType::TsVector
        | DataType::TsQuery
        | DataType::GeometricType(_)
        | DataType::Interval { .. }
        | DataType::Time(..) => return Err(Error::unsupported(format!("type {data_type}"))),
        other => return Err(undefined(&other.to_string().to_ascii_lowercase())),
    })
}

fn undefined(name: &str) -> Error {
    Error::invalid(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn invalid(message: String) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn float_type(info: &ExactNumberInfo) -> Result<SqlType> {
    match info {
        ExactNumberInfo::None => Ok(SqlType::Float8),
        ExactNumberInfo::Precision(0) => Err(invalid("precision for type float must be at least 1 bit".into())),
        ExactNumberInfo::Precision(1..=24) => Ok(SqlType::Float4),
        ExactNumberInfo::Precision(25..=53) => Ok(SqlType::Float8),
        ExactNumberInfo::Precision(_) => Err(invalid("precision for type float must be less than 54 bits".into())),
        ExactNumberInfo::PrecisionAndScale(..) => Err(Error::syntax("syntax error at or near \",\"")),
    }
}

fn numeric_type(info: &ExactNumberInfo) -> Result<SqlType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(SqlType::Numeric(None)),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if !(-1000..=1000).contains(&scale) {
        return Err(invalid(format!("NUMERIC scale {scale} must be between -1000 and 1000")));
    }
    Ok(SqlType::Numeric(Some((precision as u16, scale as i16))))
}

fn length_of(length: Option<&CharacterLength>, name: &str) -> Result<Option<u32>> {
    match length {
        None => Ok(None),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(invalid(format!("length for type {name} must be at least 1")))
        }
        Some(CharacterLength::IntegerLength { length: length @ 1..=10_485_760, unit: None }) => {
            Ok(Some(*length as u32))
        }
        Some(CharacterLength::IntegerLength { unit: None, .. }) => {
            Err(invalid(format!("length for type {name} cannot exceed 10485760")))
        }
        Some(other) => Err(Error::unsupported(format!("{name}({other})"))),
    }
}

/// Fractional digits of a time type; more than 6 become 6, as in PostgreSQL.
fn fraction(precision: Option<u64>, _name: &str) -> Result<Option<u8>> {
    Ok(precision.map(|digits| digits.min(6) as u8))
}

/// `None` without a modifier, else the one number in parentheses.
fn modifier(modifiers: &[String], name: &str) -> Result<Option<u64>> {
    match modifiers {
        [] => Ok(None),
        [one] => one.parse().map(Some).map_err(|_| invalid(format!("invalid type modifier for {name}"))),
        _ => Err(invalid(format!("type modifier is not allowed for type \"{name}\""))),
    }
}

/// Types the parser does not know by a keyword, with or without `pg_catalog.`.
fn custom_type(name: &ObjectName, modifiers: &[String], names: &dyn NameLookup) -> Result<SqlType> {
    let parts: Vec<&sqlparser::ast::Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    let fold = |ident: &sqlparser::ast::Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    };
    let (qualified, ident) = match parts.as_slice() {
        [ident] => (false, *ident),
        [schema, ident] if fold(schema) == "pg_catalog" => (true, *ident),
        [schema, ident] => {
            let (schema, ident) = (fold(schema), fold(ident));
            let found = names.type_named(Some(&schema), &ident);
            return user_type(found, modifiers, &ident).unwrap_or_else(|| Err(undefined(&format!("{schema}.{ident}"))));
        }
        _ => return Err(undefined(&name.to_string())),
    };
    let folded = fold(ident);
    if let Some(element) = folded.strip_prefix('_').filter(|_| modifiers.is_empty())
        && let Some(element) = named_type(element, &[])
    {
        return Ok(element?.array_of());
    }
    // `"char"` is a type of its own; unquoted char is a keyword.
    if folded == "char" && (ident.quote_style.is_some() || qualified) {
        return Ok(SqlType::QuotedChar);
    }
    if let Some(found) = named_type(&folded, modifiers) {
        return found;
    }
    user_type(names.type_named(None, &folded), modifiers, &folded).unwrap_or_else(|| Err(undefined(&folded)))
}

/// A user's type; none of them takes a modifier.
fn user_type(found: Option<SqlType>, modifiers: &[String], name: &str) -> Option<Result<SqlType>> {
    let found = found?;
    if modifiers.is_empty() {
        return Some(Ok(found));
    }
    Some(Err(Error::syntax(format!("type modifier is not allowed for type \"{name}\""))))
}

pub(super) fn named_type(name: &str, modifiers: &[String]) -> Option<Result<SqlType>> {
    let plain = |sql_type: SqlType| -> Result<SqlType> {
        if modifiers.is_empty() {
            Ok(sql_type)
        } else {
            Err(invalid(format!("type modifier is not allowed for type \"{name}\"")))
        }
    };
    let length = || -> Result<Option<u32>> { Ok(modifier(modifiers, name)?.map(|n| n.min(10_485_760) as u32)) };
    let digits = || -> Result<Option<u8>> { Ok(modifier(modifiers, name)?.map(|n| n.min(6) as u8)) };
    Some(match name {
        "bool" | "boolean" => plain(SqlType::Bool),
        "int2" | "smallint" | "smallserial" | "serial2" => plain(SqlType::Int2),
        "int4" | "int" | "integer" | "serial" | "serial4" => plain(SqlType::Int4),
        "int8" | "bigint" | "bigserial" | "serial8" => plain(SqlType::Int8),
        "float4" | "real" => plain(SqlType::Float4),
        "float8" => plain(SqlType::Float8),
        "numeric" | "decimal" => match modifiers {
            [] => Ok(SqlType::Numeric(None)),
            [p] => parsed(p).and_then(|p| numeric_type(&ExactNumberInfo::Precision(p as u64))),
            [p, s] => parsed(p)
                .and_then(|p| Ok((p, parsed(s)?)))
                .and_then(|(p, s)| numeric_type(&ExactNumberInfo::PrecisionAndScale(p as u64, s))),
            _ => Err(invalid("invalid NUMERIC type modifier".into())),
        },
        "text" => plain(SqlType::Text),
        "varchar" => length().map(SqlType::Varchar),
        "bpchar" => length().map(SqlType::Char),
        "name" => plain(SqlType::Name),
        "bytea" => plain(SqlType::Bytea),
        "date" => plain(SqlType::Date),
        "time" => digits().map(SqlType::Time),
        "timestamp" => digits().map(SqlType::Timestamp),
        "timestamptz" => digits().map(SqlType::Timestamptz),
        "interval" => plain(SqlType::Interval),
        "uuid" => plain(SqlType::Uuid),
        "json" => plain(SqlType::Json),
        "jsonb" => plain(SqlType::Jsonb),
        "oid" | "xid" | "cid" => plain(SqlType::Oid),
        "regclass" => plain(SqlType::Reg(RegKind::Class)),
        "regtype" => plain(SqlType::Reg(RegKind::Type)),
        "regproc" | "regprocedure" => plain(SqlType::Reg(RegKind::Proc)),
        "regnamespace" => plain(SqlType::Reg(RegKind::Namespace)),
        "regrole" => plain(SqlType::Reg(RegKind::Role)),
        "unknown" => plain(SqlType::Unknown),
        "xml" | "money" | "inet" | "cidr" | "macaddr" | "macaddr8" | "timetz" | "bit" | "varbit" | "tsvector"
        | "tsquery" | "point" | "line" | "lseg" | "box" | "path" | "polygon" | "circle" | "int4range" | "int8range"
        | "numrange" | "tsrange" | "tstzrange" | "daterange" | "jsonpath" | "pg_lsn" | "txid_snapshot" | "tid" => {
            Err(Error::unsupported(format!("type {name}")))
        }
        _ => return None,
    })
}

fn parsed(text: &str) -> Result<i64> {
    text.trim().parse().map_err(|_| invalid("invalid NUMERIC type modifier".into()))
}
