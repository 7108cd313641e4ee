//! Casts: which are allowed ([`rules`]), how one value is converted ([`convert`]), and how a cast becomes an expression.

mod convert;
mod rules;

use datafusion::logical_expr::Expr;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{
    Datum, DatumRef, Error, PhysicalType, RegKind, Result, SqlState, SqlType, element_physical, parse_text,
};

use super::array::type_key;
use super::common::base_name;
use super::decimal;
use super::literal::decimal_physical;
use super::udf::Function;
use super::value::{literal_of, null_of, physical_of_type};
use super::{CastKind, FuncContext, NameLookup, Typed};

pub(super) use convert::convert;
pub use rules::can_cast;
pub(super) use rules::{is_integer, is_number, is_text};

/// Casts; `Error` 42846 "cannot cast type a to b" (explicit), 42804 otherwise.
pub fn cast(input: Typed, to: &SqlType, kind: CastKind, context: &FuncContext) -> Result<Typed> {
    if input.is_unknown() {
        return cast_unknown(input, to, kind, context);
    }
    if !can_cast(&input.sql_type, to, kind) {
        return Err(refused(&input.sql_type, to, kind));
    }
    if input.sql_type == *to && input.arrow == arrow_type(physical_of_type(to)) {
        return Ok(input);
    }
    if input.is_null_literal() {
        return null_of(to);
    }
    match (&input.sql_type, to) {
        (from, SqlType::Numeric(_)) if is_number(from) => cast_to_numeric(input, to, kind, context),
        (_, SqlType::Reg(_)) | (SqlType::Reg(_), _) => cast_reg(input, to, context),
        (from, to) if only_relabels(from, to) => Ok(Typed { sql_type: to.clone(), ..input }),
        (from, to) if arrow_can_cast(from, to) => {
            let arrow = arrow_type(physical_of_type(to));
            Ok(Typed { expr: arrow_cast(input.expr, physical_of_type(to)), sql_type: to.clone(), arrow })
        }
        _ => Ok(convert_call(input, to, kind, context)),
    }
}

fn refused(from: &SqlType, to: &SqlType, kind: CastKind) -> Error {
    let (from, to) = (base_name(from), base_name(to));
    match kind {
        CastKind::Explicit => Error::invalid(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}")),
        _ => Error::invalid(SqlState::DATATYPE_MISMATCH, format!("expression is of type {from} but {to} is needed"))
            .with_hint("You will need to rewrite or cast the expression."),
    }
}

/// A string literal is read as the type; an open parameter gets it.
fn cast_unknown(input: Typed, to: &SqlType, kind: CastKind, context: &FuncContext) -> Result<Typed> {
    if *to == SqlType::Unknown {
        return Ok(input);
    }
    match &input.expr {
        Expr::Placeholder(found) => {
            let typed = crate::bind::placeholder(&found.id, to);
            // The parameter has no modifier; the cast still applies it.
            if typed.sql_type == *to { Ok(typed) } else { cast(typed, to, kind, context) }
        }
        Expr::Literal(..) => match input.literal_datum() {
            Some(Datum::Text(text)) => read_literal(&text, to, kind, context),
            _ => null_of(to),
        },
        _ => cast(Typed { sql_type: SqlType::Text, ..input }, to, CastKind::Explicit, context),
    }
}

fn read_literal(text: &str, to: &SqlType, kind: CastKind, context: &FuncContext) -> Result<Typed> {
    let value = match to {
        SqlType::Reg(reg) => reg_from_name(*reg, text, context)?,
        _ => {
            let mut text_context = (*context.text).clone();
            text_context.explicit_cast = kind == CastKind::Explicit;
            parse_text(to, text, &text_context)?
        }
    };
    literal_of(&value, to.clone(), physical_of_type(to))
}

/// The bytes are the same, only the type's name changes.
fn only_relabels(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Char, Int8, Name, Oid, Text, Time, Timestamp, Timestamptz, Varchar};
    match (from, to) {
        (Text | Varchar(_) | Name, Text | Varchar(None)) => true,
        (Varchar(Some(have)), Varchar(Some(want))) => have <= want,
        (Char(_), Char(None)) => true,
        (Char(have), Char(want)) => have == want,
        (Time(have), Time(want)) | (Timestamp(have), Timestamp(want)) | (Timestamptz(have), Timestamptz(want)) => {
            want.is_none_or(|want| want >= 6 || have.is_some_and(|have| have <= want))
        }
        (Oid, Int8) => true,
        (SqlType::Array(from), SqlType::Array(to)) => relabels_elements(from, to),
        _ => from == to,
    }
}

/// Whether an array's bytes stay: as for single values, but that numeric elements have one form whatever their modifier.
fn relabels_elements(from: &SqlType, to: &SqlType) -> bool {
    match (from, to) {
        (SqlType::Numeric(_), SqlType::Numeric(None)) => true,
        (SqlType::Numeric(_), SqlType::Numeric(_)) => from == to,
        (SqlType::Char(_), SqlType::Char(None)) => true,
        _ => from == to || (only_relabels(from, to) && element_physical(from) == element_physical(to)),
    }
}

/// Widenings that Arrow does exactly and DataFusion's optimiser understands.
fn arrow_can_cast(from: &SqlType, to: &SqlType) -> bool {
    use SqlType::{Float4, Float8, Int2, Int4, Int8};
    matches!(
        (from, to),
        (Int2, Int4 | Int8 | Float4 | Float8) | (Int4, Int8 | Float8) | (Int8, Float8) | (Float4, Float8)
    )
}

/// DataFusion's cast, folded for literals.
pub(super) fn arrow_cast(expr: Expr, to: PhysicalType) -> Expr {
    let to = arrow_type(to);
    if let Expr::Literal(value, _) = &expr
        && let Ok(value) = value.cast_to(&to)
    {
        return Expr::Literal(value, None);
    }
    datafusion::logical_expr::cast(expr, to)
}

fn convert_call(input: Typed, to: &SqlType, kind: CastKind, context: &FuncContext) -> Typed {
    let mut text = (*context.text).clone();
    text.explicit_cast = kind == CastKind::Explicit;
    let (from, from_physical, target) = (input.sql_type.clone(), input.physical(), to.clone());
    let key = format!("cast {} to {} {:?} {}", type_key(&from), type_key(to), kind, text.time_zone.name());
    let function = Function::strict(&cast_name(to), key, vec![from_physical], physical_of_type(to), move |args| {
        let [value] = args else { return Err(Error::internal("cast of one value")) };
        convert(*value, &from, &target, &text)
    });
    Typed::new(function.call(vec![input.expr]), to.clone())
}

/// What EXPLAIN prints: `to_integer(x)`.
fn cast_name(to: &SqlType) -> String {
    format!("to_{}", to.name().replace(' ', "_"))
}

fn cast_to_numeric(input: Typed, to: &SqlType, kind: CastKind, context: &FuncContext) -> Result<Typed> {
    let SqlType::Numeric(modifier) = to else { return Err(Error::internal("not numeric")) };
    let from = input.physical();
    if modifier.is_none() && kind != CastKind::Assignment {
        return match from {
            PhysicalType::Decimal64 { .. } | PhysicalType::Decimal128 { .. } | PhysicalType::Numeric => {
                Ok(Typed { sql_type: to.clone(), ..input })
            }
            PhysicalType::Float32 | PhysicalType::Float64 => Ok(convert_call(input, to, kind, context)),
            _ => integer_to_decimal(input),
        };
    }
    let target = physical_of_type(to);
    if from == target && modifier.is_none() {
        return Ok(Typed { sql_type: to.clone(), ..input });
    }
    match (from, target) {
        (
            PhysicalType::Decimal64 { .. } | PhysicalType::Decimal128 { .. },
            PhysicalType::Decimal64 { .. } | PhysicalType::Decimal128 { .. },
        ) => Ok(Typed {
            expr: decimal::rescale_checked(input.expr, from, target),
            sql_type: to.clone(),
            arrow: arrow_type(target),
        }),
        _ => Ok(convert_call(input, to, kind, context)),
    }
}

/// An integer as a decimal of scale 0; a literal with no more digits than it has.
pub(super) fn integer_to_decimal(input: Typed) -> Result<Typed> {
    if let Some(value) = input.literal_datum().filter(|value| !value.as_ref().is_null()) {
        let number = super::value::numeric_of(value.as_ref())?;
        return super::literal::numeric_literal(&number);
    }
    let digits = match input.physical() {
        PhysicalType::Int16 => 5,
        PhysicalType::Int32 => 10,
        _ => 19,
    };
    let physical = decimal_physical(digits, 0).ok_or_else(|| Error::internal("19 digits fit"))?;
    Ok(Typed::numeric(arrow_cast(input.expr, physical), physical))
}

/// Any exact number as numeric bytes.
pub fn to_numeric_bytes(input: Typed) -> Typed {
    let from = input.physical();
    if from == PhysicalType::Numeric {
        return input;
    }
    let function = Function::strict("to_numeric", "to_numeric", vec![from], PhysicalType::Numeric, |args| {
        let [value] = args else { return Err(Error::internal("one value")) };
        super::value::numeric_of(*value).map(Datum::Numeric)
    });
    Typed::numeric(function.call(vec![input.expr]), PhysicalType::Numeric)
}

/// The object of a `reg*` type that a text names.
pub fn reg_from_name(reg: RegKind, name: &str, context: &FuncContext) -> Result<Datum> {
    if name == "-" || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())) {
        return parse_text(&SqlType::Reg(reg), name, &context.text);
    }
    let oid = match reg {
        RegKind::Class => context.names.relation_oid(name)?,
        RegKind::Namespace => context.names.schema_oid(name)?,
        RegKind::Role => context.names.role_oid(name)?,
        RegKind::Type => {
            let parsed = sqlparser::parser::Parser::new(&sqlparser::dialect::PostgreSqlDialect {})
                .try_with_sql(name)
                .and_then(|mut parser| parser.parse_data_type())
                .map_err(|_| Error::invalid(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")))?;
            super::type_from_ast(&parsed, &*context.names)?.oid()
        }
        RegKind::Proc => context.names.function_oid(name)?,
    };
    Ok(Datum::Int64(i64::from(oid.0)))
}

/// Casts to and from `reg*`: names are looked up in the catalog.
fn cast_reg(input: Typed, to: &SqlType, context: &FuncContext) -> Result<Typed> {
    let from = input.sql_type.clone();
    match (&from, to) {
        (SqlType::Reg(reg), text) if is_text(text) => Ok(reg_to_text(input.expr, *reg, text, context)),
        (text, SqlType::Reg(reg)) if is_text(text) => {
            if let Some(Datum::Text(name)) = input.literal_datum() {
                return literal_of(&reg_from_name(*reg, &name, context)?, to.clone(), PhysicalType::Int64);
            }
            let (reg, names) = (*reg, context.clone());
            let key = format!("{} by name", to.name());
            let function =
                Function::strict(&cast_name(to), key, vec![PhysicalType::Text], PhysicalType::Int64, move |args| {
                    match args {
                        [DatumRef::Text(name)] => reg_from_name(reg, name, &names),
                        _ => Err(Error::internal("a name is text")),
                    }
                });
            Ok(Typed::new(function.volatile().call(vec![input.expr]), to.clone()))
        }
        (SqlType::Oid | SqlType::Int8 | SqlType::Reg(_), SqlType::Oid | SqlType::Int8 | SqlType::Reg(_)) => {
            Ok(Typed { sql_type: to.clone(), ..input })
        }
        (SqlType::Int2 | SqlType::Int4, SqlType::Reg(_)) => {
            Ok(Typed::new(arrow_cast(input.expr, PhysicalType::Int64), to.clone()))
        }
        _ => Ok(convert_call(input, to, CastKind::Explicit, context)),
    }
}

/// A catalog reference as clients get it: the name for the text format, the number for the binary one, between them a zero
/// byte, which no name has.
pub fn reference_for_client(input: Typed, context: &FuncContext) -> Typed {
    let SqlType::Reg(reg) = input.sql_type else { return input };
    let names = context.names.clone();
    let key = format!("{} for the client", SqlType::Reg(reg).name());
    let function = Function::strict("shown", key, vec![PhysicalType::Int64], PhysicalType::Text, move |args| {
        let [DatumRef::Int64(oid)] = args else { return Err(Error::internal("an oid is an integer")) };
        Ok(Datum::Text(format!("{}\0{oid}", shown_name(*oid, reg, &*names))))
    });
    let arrow = arrow_type(PhysicalType::Text);
    Typed { expr: function.volatile().call(vec![input.expr]), sql_type: SqlType::Reg(reg), arrow }
}

/// The name PostgreSQL prints for an object: `-` for 0, the number if there is no such object.
fn shown_name(oid: i64, reg: RegKind, names: &dyn NameLookup) -> String {
    if oid == 0 {
        return "-".into();
    }
    let number = heliosdb_types::Oid(oid as u32);
    let name = match reg {
        RegKind::Class => names.relation_name(number),
        RegKind::Namespace => names.schema_name(number),
        RegKind::Role => names.role_name(number),
        RegKind::Type => {
            let known = SqlType::from_oid(number).or_else(|| names.user_type(number));
            known.map(|sql_type| base_name(&sql_type)).or_else(|| names.type_name(number))
        }
        RegKind::Proc => names.function_name(number),
    };
    name.unwrap_or_else(|| oid.to_string())
}

fn reg_to_text(input: Expr, reg: RegKind, to: &SqlType, context: &FuncContext) -> Typed {
    let names = context.names.clone();
    let key = format!("{} of oid", SqlType::Reg(reg).name());
    let function = Function::strict("name_of", key, vec![PhysicalType::Int64], PhysicalType::Text, move |args| {
        let [DatumRef::Int64(oid)] = args else { return Err(Error::internal("an oid is an integer")) };
        Ok(Datum::Text(shown_name(*oid, reg, &*names)))
    });
    Typed::new(function.volatile().call(vec![input]), to.clone())
}
