//! Operators: which one a symbol means for its operands' types, and what it computes.

mod arithmetic;
mod comparison;
mod datetime;
mod integer;
mod nearest_decimal;
mod pattern;
mod resolution;
mod text;

use datafusion::logical_expr::Operator;
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{BinaryOperator, UnaryOperator};

use super::common::base_name;
use super::{CastKind, FuncContext, Typed, cast};

pub(super) use arithmetic::float_value_power;
use arithmetic::{Arithmetic, arithmetic};
pub(super) use comparison::{bytes_decide, compare};
pub use comparison::{check_comparable, is_distinct, is_its_own_key, sort_key};
pub use pattern::{like, similar_to};
use resolution::Found;

/// Any infix operator but AND/OR, comparisons included; 42883 `operator does not exist: integer + boolean`, 42725 where several
/// would do.
pub fn binary(op: &BinaryOperator, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let missing = match known_binary(op, left.clone(), right.clone(), ctx) {
        Err(error) if error.state() == SqlState::UNDEFINED_FUNCTION => error,
        other => return other,
    };
    let symbol = match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::BitwiseXor => "#".to_owned(),
        other => other.to_string(),
    };
    match resolution::resolve(&symbol, Some(&left.sql_type), &right.sql_type) {
        Found::None => Err(missing),
        Found::Several => Err(ambiguous(&symbol, &left, &right)),
        Found::One(to_left, to_right) => {
            let names = (base_name(&left.sql_type), base_name(&right.sql_type));
            let operand = |value: Typed, to: &str| match resolution::type_named(to) {
                Some(to) if value.is_unknown() || value.sql_type != to => cast(value, &to, CastKind::Implicit, ctx),
                _ => Ok(value),
            };
            let found = known_binary(op, operand(left, to_left)?, operand(right, to_right)?, ctx);
            found.map_err(|error| match error.state() {
                SqlState::UNDEFINED_FUNCTION => {
                    Error::unsupported(format!("the operator {} {symbol} {}", names.0, names.1))
                }
                _ => error,
            })
        }
    }
}

fn known_binary(op: &BinaryOperator, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    if let Some(result) = super::json::binary(op, &left, &right, ctx) {
        return result;
    }
    match op {
        BinaryOperator::Plus => arithmetic(Arithmetic::Add, left, right, ctx),
        BinaryOperator::Minus => arithmetic(Arithmetic::Sub, left, right, ctx),
        BinaryOperator::Multiply => arithmetic(Arithmetic::Mul, left, right, ctx),
        BinaryOperator::Divide => arithmetic(Arithmetic::Div, left, right, ctx),
        BinaryOperator::Modulo => arithmetic(Arithmetic::Mod, left, right, ctx),
        BinaryOperator::PGExp => arithmetic(Arithmetic::Power, left, right, ctx),
        BinaryOperator::Eq => compare(Operator::Eq, left, right, ctx),
        BinaryOperator::NotEq => compare(Operator::NotEq, left, right, ctx),
        BinaryOperator::Lt => compare(Operator::Lt, left, right, ctx),
        BinaryOperator::LtEq => compare(Operator::LtEq, left, right, ctx),
        BinaryOperator::Gt => compare(Operator::Gt, left, right, ctx),
        BinaryOperator::GtEq => compare(Operator::GtEq, left, right, ctx),
        BinaryOperator::StringConcat => text::concat(left, right, ctx),
        BinaryOperator::BitwiseAnd => integer::bits("&", left, right, ctx),
        BinaryOperator::BitwiseOr => integer::bits("|", left, right, ctx),
        BinaryOperator::PGBitwiseXor | BinaryOperator::BitwiseXor => integer::bits("#", left, right, ctx),
        BinaryOperator::PGBitwiseShiftLeft => integer::bits("<<", left, right, ctx),
        BinaryOperator::PGBitwiseShiftRight => integer::bits(">>", left, right, ctx),
        BinaryOperator::PGRegexMatch => pattern::regex_match("~", left, right, ctx),
        BinaryOperator::PGRegexIMatch => pattern::regex_match("~*", left, right, ctx),
        BinaryOperator::PGRegexNotMatch => pattern::regex_match("!~", left, right, ctx),
        BinaryOperator::PGRegexNotIMatch => pattern::regex_match("!~*", left, right, ctx),
        BinaryOperator::PGLikeMatch => like(false, false, left, right, None, ctx),
        BinaryOperator::PGILikeMatch => like(false, true, left, right, None, ctx),
        BinaryOperator::PGNotLikeMatch => like(true, false, left, right, None, ctx),
        BinaryOperator::PGNotILikeMatch => like(true, true, left, right, None, ctx),
        BinaryOperator::PGStartsWith => super::call("starts_with", vec![left, right], ctx),
        BinaryOperator::AtArrow => super::array::contains("@>", left, right, ctx),
        BinaryOperator::ArrowAt => super::array::contains("<@", left, right, ctx),
        BinaryOperator::PGOverlap => super::array::overlaps(left, right, ctx),
        BinaryOperator::PGCustomBinaryOperator(parts) => match parts.as_slice() {
            [symbol] => named(symbol, left, right, ctx),
            [schema, symbol] if schema == "pg_catalog" => named(symbol, left, right, ctx),
            other => Err(undefined(&other.join("."), &left, &right)),
        },
        other => Err(undefined(&other.to_string(), &left, &right)),
    }
}

/// `OPERATOR(pg_catalog.~)`.
fn named(symbol: &str, left: Typed, right: Typed, ctx: &FuncContext) -> Result<Typed> {
    let op = match symbol {
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "^" => BinaryOperator::PGExp,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "||" => BinaryOperator::StringConcat,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "&&" => BinaryOperator::PGOverlap,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        other => return Err(undefined(other, &left, &right)),
    };
    known_binary(&op, left, right, ctx)
}

/// Any prefix operator but NOT.
pub fn unary(op: UnaryOperator, input: Typed, ctx: &FuncContext) -> Result<Typed> {
    let sql_type = input.sql_type.clone();
    known_unary(op, input, ctx).map_err(|error| {
        let symbol = op.to_string();
        match error.state() {
            SqlState::UNDEFINED_FUNCTION if resolution::resolve(&symbol, None, &sql_type) == Found::Several => {
                let message = format!("operator is not unique: {symbol} {}", base_name(&sql_type));
                Error::invalid(SqlState::AMBIGUOUS_FUNCTION, message)
                    .with_hint("Could not choose a best candidate operator. You might need to add explicit type casts.")
            }
            _ => error,
        }
    })
}

fn known_unary(op: UnaryOperator, input: Typed, ctx: &FuncContext) -> Result<Typed> {
    match op {
        UnaryOperator::Minus => arithmetic::negate(input, ctx),
        UnaryOperator::Plus => arithmetic::plus(input, ctx),
        UnaryOperator::BitwiseNot => integer::bit_not(input),
        UnaryOperator::PGAbs => super::call("abs", vec![input], ctx),
        // There are no such operators of numeric.
        UnaryOperator::PGSquareRoot | UnaryOperator::PGCubeRoot => {
            let name = if op == UnaryOperator::PGSquareRoot { "sqrt" } else { "cbrt" };
            let input = match super::cast::is_number(&input.sql_type) {
                true => super::cast(input, &SqlType::Float8, CastKind::Implicit, ctx)?,
                false => input,
            };
            super::call(name, vec![input], ctx)
        }
        other => Err(undefined_prefix(&other.to_string(), &input)),
    }
}

const HINT: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";

pub(super) fn undefined(symbol: &str, left: &Typed, right: &Typed) -> Error {
    let message =
        format!("operator does not exist: {} {symbol} {}", base_name(&left.sql_type), base_name(&right.sql_type));
    Error::invalid(SqlState::UNDEFINED_FUNCTION, message).with_hint(HINT)
}

fn undefined_prefix(symbol: &str, input: &Typed) -> Error {
    let message = format!("operator does not exist: {symbol} {}", base_name(&input.sql_type));
    Error::invalid(SqlState::UNDEFINED_FUNCTION, message)
        .with_hint("No operator matches the given name and argument type. You might need to add an explicit type cast.")
}

fn ambiguous(symbol: &str, left: &Typed, right: &Typed) -> Error {
    let message =
        format!("operator is not unique: {} {symbol} {}", base_name(&left.sql_type), base_name(&right.sql_type));
    Error::invalid(SqlState::AMBIGUOUS_FUNCTION, message)
        .with_hint("Could not choose a best candidate operator. You might need to add explicit type casts.")
}
