//! What a column of a Parquet file becomes: its SQL type, and how its values are written.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use heliosdb_types::SqlType;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

/// How deep lists and structures may nest.
const NESTING_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    /// Precision and scale.
    Numeric(u8, i8),
    Real,
    Double,
    Text,
    Json,
    Uuid,
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    List(Box<Kind>),
    /// Names and kinds of a structure's fields.
    Structure(Vec<(String, Kind)>),
    /// Keys and values.
    Map(Box<Kind>, Box<Kind>),
}

impl Kind {
    /// One value, without others inside.
    fn is_scalar(&self) -> bool {
        !matches!(self, Kind::List(_) | Kind::Structure(_) | Kind::Map(..))
    }

    pub fn sql_name(&self) -> String {
        match self {
            Kind::Boolean => "boolean".to_owned(),
            Kind::SmallInt => "smallint".to_owned(),
            Kind::Integer => "integer".to_owned(),
            Kind::BigInt => "bigint".to_owned(),
            Kind::Numeric(precision, scale) => format!("numeric({precision},{scale})"),
            Kind::Real => "real".to_owned(),
            Kind::Double => "double precision".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Uuid => "uuid".to_owned(),
            Kind::Bytea => "bytea".to_owned(),
            Kind::Date => "date".to_owned(),
            Kind::Time => "time".to_owned(),
            Kind::Timestamp => "timestamp".to_owned(),
            Kind::TimestampTz => "timestamp with time zone".to_owned(),
            list if list.is_array() => match list {
                Kind::List(element) => format!("{}[]", element.sql_name()),
                _ => "jsonb".to_owned(),
            },
            Kind::Json | Kind::List(_) | Kind::Structure(_) | Kind::Map(..) => "jsonb".to_owned(),
        }
    }

    pub fn sql_type(&self) -> SqlType {
        match self {
            Kind::Boolean => SqlType::Bool,
            Kind::SmallInt => SqlType::Int2,
            Kind::Integer => SqlType::Int4,
            Kind::BigInt => SqlType::Int8,
            Kind::Numeric(precision, scale) => SqlType::Numeric(Some((u16::from(*precision), i16::from(*scale)))),
            Kind::Real => SqlType::Float4,
            Kind::Double => SqlType::Float8,
            Kind::Text => SqlType::Text,
            Kind::Uuid => SqlType::Uuid,
            Kind::Bytea => SqlType::Bytea,
            Kind::Date => SqlType::Date,
            Kind::Time => SqlType::Time(None),
            Kind::Timestamp => SqlType::Timestamp(None),
            Kind::TimestampTz => SqlType::Timestamptz(None),
            Kind::List(element) if self.is_array() => SqlType::Array(Box::new(element.sql_type())),
            Kind::Json | Kind::List(_) | Kind::Structure(_) | Kind::Map(..) => SqlType::Jsonb,
        }
    }

    /// A list of plain values is an array; lists of anything else are JSON.
    pub fn is_array(&self) -> bool {
        matches!(self, Kind::List(element) if element.is_scalar() && **element != Kind::Json)
    }
}

/// The columns' names and kinds, and the types to read them as: with `views`, those nearest to the engine's own.
pub(super) fn columns(schema: &Schema, file: &SchemaDescriptor, views: bool) -> Result<(Schema, Vec<(String, Kind)>)> {
    let names = crate::column::unique_names(schema.fields().iter().map(|field| field.name().as_str()), false);
    // The leaves of the file's types come in the order of Arrow's.
    let mut leaves = file.columns().iter().map(Arc::as_ref);
    let mut fields = Vec::with_capacity(schema.fields().len());
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (field, name) in schema.fields().iter().zip(names) {
        let found = read_as(field.data_type(), &mut leaves, 0);
        let (data_type, kind) =
            found.map_err(|what| ParquetError::NYI(format!("column \"{}\": {what}", field.name())))?;
        let data_type = if views { view_of(data_type, &kind) } else { data_type };
        fields.push(Arc::new(field.as_ref().clone().with_data_type(data_type)));
        columns.push((name, kind));
    }
    Ok((Schema::new(fields), columns))
}

/// The engine's own type where the reading crate can give it at once.
fn view_of(found: DataType, kind: &Kind) -> DataType {
    match (found, kind) {
        (DataType::Utf8, _) => DataType::Utf8View,
        (DataType::Binary, _) => DataType::BinaryView,
        (DataType::Decimal128(precision, scale), Kind::Numeric(..)) if precision <= 18 => {
            DataType::Decimal64(precision, scale)
        }
        (found, _) => found,
    }
}

type Leaves<'a> = dyn Iterator<Item = &'a ColumnDescriptor> + 'a;

/// The type to read a column as, and its kind; or why it cannot be.
fn read_as(found: &DataType, leaves: &mut Leaves<'_>, depth: usize) -> std::result::Result<(DataType, Kind), String> {
    if depth > NESTING_MAX {
        return Err(format!("nested deeper than {NESTING_MAX} levels, which is not supported"));
    }
    let mut inner = |field: &Field| {
        let (data_type, kind) = read_as(field.data_type(), leaves, depth + 1)?;
        Ok::<_, String>((Arc::new(field.clone().with_data_type(data_type)), kind))
    };
    match found {
        DataType::List(element) => {
            let (element, kind) = inner(element)?;
            Ok((DataType::List(element), Kind::List(Box::new(kind))))
        }
        DataType::LargeList(element) => {
            let (element, kind) = inner(element)?;
            Ok((DataType::LargeList(element), Kind::List(Box::new(kind))))
        }
        DataType::Struct(fields) => {
            let read = fields.iter().map(|field| inner(field)).collect::<std::result::Result<Vec<_>, _>>()?;
            let kinds = fields.iter().zip(&read).map(|(field, (_, kind))| (field.name().clone(), kind.clone()));
            let kind = Kind::Structure(kinds.collect());
            Ok((DataType::Struct(read.into_iter().map(|(field, _)| field).collect::<Fields>()), kind))
        }
        DataType::Map(entries, sorted) => {
            let (entries, kind) = inner(entries)?;
            match kind {
                Kind::Structure(fields) => match <[(String, Kind); 2]>::try_from(fields) {
                    Ok([(_, key), (_, value)]) if key.is_scalar() => {
                        Ok((DataType::Map(entries, *sorted), Kind::Map(Box::new(key), Box::new(value))))
                    }
                    _ => Err("a map whose keys are not single values is not supported".to_owned()),
                },
                _ => Err("a map without keys and values".to_owned()),
            }
        }
        leaf => scalar(leaf, leaves.next().ok_or("the file has fewer columns than its schema says")?),
    }
}

fn scalar(found: &DataType, leaf: &ColumnDescriptor) -> std::result::Result<(DataType, Kind), String> {
    let logical = leaf.logical_type_ref();
    let is = |wanted: LogicalType, older: ConvertedType| logical == Some(&wanted) || leaf.converted_type() == older;
    let kind = match found {
        DataType::Boolean => Kind::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Kind::SmallInt,
        DataType::Int32 | DataType::UInt16 => Kind::Integer,
        DataType::Int64 | DataType::UInt32 => Kind::BigInt,
        DataType::UInt64 => Kind::Numeric(20, 0),
        DataType::Float16 | DataType::Float32 => Kind::Real,
        DataType::Float64 => Kind::Double,
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)
            if *precision > 0 && *scale >= 0 && *scale <= *precision as i8 =>
        {
            Kind::Numeric(*precision, *scale)
        }
        DataType::Utf8 if is(LogicalType::Json, ConvertedType::JSON) => Kind::Json,
        DataType::Utf8 | DataType::Null => Kind::Text,
        // One of few texts.
        DataType::Binary if is(LogicalType::Enum, ConvertedType::ENUM) => return Ok((DataType::Utf8, Kind::Text)),
        DataType::FixedSizeBinary(16) if logical == Some(&LogicalType::Uuid) => Kind::Uuid,
        DataType::Binary | DataType::FixedSizeBinary(_) => Kind::Bytea,
        DataType::Date32 => Kind::Date,
        DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
        // The old twelve-byte timestamps reach far beyond what nanoseconds in 64 bits hold.
        DataType::Timestamp(_, None) if leaf.physical_type() == Physical::INT96 => {
            return Ok((DataType::Timestamp(TimeUnit::Microsecond, None), Kind::Timestamp));
        }
        DataType::Timestamp(_, None) => Kind::Timestamp,
        DataType::Timestamp(_, Some(_)) => Kind::TimestampTz,
        DataType::Interval(_) => {
            return Err("the type INTERVAL is not supported; write it as text".to_owned());
        }
        other => return Err(format!("the type {other} is not supported")),
    };
    Ok((found.clone(), kind))
}
