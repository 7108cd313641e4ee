//! sqlparser's PostgreSQL, with a bound on how often it may try again.
//!
//! Where sqlparser fails in the middle of an expression it goes back and tries another reading, at every level: a syntax
//! error inside n nested calls costs 2^n. Every attempt asks the dialect for a prefix first, so the dialect counts them, and
//! ends the parse as a nesting that is too deep does. Everything else is forwarded.

use std::any::TypeId;
use std::cell::Cell;
use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, visit_expressions};
use sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Expressions begun, for each token: sound statements need a handful.
const ATTEMPTS_PER_TOKEN: u64 = 20;
/// Short statements may try a little more.
const ATTEMPTS_MIN: u64 = 4_000;

/// Expressions among the operands of a BETWEEN SYMMETRIC.
const SYMMETRIC_NODES_MAX: usize = 1_000;

/// What `pg_get_keywords()` says of words that are no bare labels, except for those that the parser never asks about.
const NO_BARE_LABELS: &[Keyword] = &[
    Keyword::ARRAY,
    Keyword::AS,
    Keyword::CHAR,
    Keyword::CHARACTER,
    Keyword::CREATE,
    Keyword::DAY,
    Keyword::FILTER,
    Keyword::FOR,
    Keyword::GRANT,
    Keyword::HOUR,
    Keyword::MINUTE,
    Keyword::MONTH,
    Keyword::ON,
    Keyword::OVER,
    Keyword::OVERLAPS,
    Keyword::PRECISION,
    Keyword::SECOND,
    Keyword::TO,
    Keyword::VARYING,
    Keyword::WINDOW,
    Keyword::WITHIN,
    Keyword::WITHOUT,
    Keyword::YEAR,
];

static POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

thread_local! {
    /// What is left to the parse that runs on this thread. A parse never changes threads.
    static ATTEMPTS_LEFT: Cell<u64> = const { Cell::new(0) };
}

/// Allows a text of so many tokens what it needs. To be called before its parse.
pub fn allow_attempts(tokens: usize) {
    ATTEMPTS_LEFT.set(ATTEMPTS_MIN + ATTEMPTS_PER_TOKEN.saturating_mul(tokens as u64));
}

#[derive(Debug)]
pub struct Bounded;

/// Overridden by sqlparser's PostgreSQL as constants.
macro_rules! forward {
    ($($name:ident)*) => {
        $(fn $name(&self) -> bool {
            POSTGRES.$name()
        })*
    };
}

impl Dialect for Bounded {
    /// The parser asks for the type in many places.
    fn dialect(&self) -> TypeId {
        POSTGRES.dialect()
    }

    fn parse_prefix(&self, _: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        match ATTEMPTS_LEFT.get().checked_sub(1) {
            Some(left) => {
                ATTEMPTS_LEFT.set(left);
                None
            }
            None => Some(Err(ParserError::RecursionLimitExceeded)),
        }
    }

    /// BETWEEN SYMMETRIC, which is what PostgreSQL makes of it: between the bounds, or between them swapped.
    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Expr, _: u8) -> Option<Result<Expr, ParserError>> {
        let negated = is_word(parser, 0, "NOT");
        let between = usize::from(negated);
        let symmetric = is_word(parser, between + 1, "SYMMETRIC");
        // ASYMMETRIC is the default.
        if !is_word(parser, between, "BETWEEN") || !(symmetric || is_word(parser, between + 1, "ASYMMETRIC")) {
            return None;
        }
        (0..between + 2).for_each(|_| parser.advance_token());
        Some(parser.parse_between(expr.clone(), negated).and_then(|found| match found {
            Expr::Between { expr, negated, low, high } if symmetric => swapped_too(*expr, negated, *low, *high),
            other => Ok(other),
        }))
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        POSTGRES.is_reserved_for_identifier(kw)
    }

    /// A label without AS: PostgreSQL wants AS before the words with which a clause or a type goes on.
    fn is_column_alias(&self, kw: &Keyword, _: &mut Parser<'_>) -> bool {
        !NO_BARE_LABELS.contains(kw) && (*kw == Keyword::TOP || !RESERVED_FOR_COLUMN_ALIAS.contains(kw))
    }

    fn is_custom_operator_part(&self, ch: char) -> bool {
        POSTGRES.is_custom_operator_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }

    /// Not as sqlparser's: to look for `f(expression : value)`, which is of later versions, it would read each argument of
    /// each call twice, and the arguments inside it four times, and so on.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    forward! {
        supports_unicode_string_literal
        supports_filter_during_aggregation
        supports_group_by_expr
        allow_extract_custom
        allow_extract_single_quotes
        supports_create_index_with_clause
        supports_explain_with_utility_options
        supports_listen_notify
        supports_factorial_operator
        supports_bitwise_shift_operators
        supports_comment_on
        supports_load_extension
        supports_named_fn_args_with_colon_operator

        supports_empty_projections
        supports_nested_comments
        supports_string_escape_constant
        supports_numeric_literal_underscores
        supports_array_typedef_with_brackets
        supports_geometric_types
        supports_set_names
        supports_alter_column_type_using
        supports_notnull_operator
        supports_interval_options
        supports_insert_table_alias
        supports_create_table_like_parenthesized
        supports_select_wildcard_with_alias
        supports_comma_separated_trim
        supports_xml_expressions
        supports_comment_optimizer_hint
    }
}

fn is_word(parser: &Parser<'_>, at: usize, word: &str) -> bool {
    match &parser.peek_nth_token_ref(at).token {
        Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
        _ => false,
    }
}

/// Each operand stands there twice, so that BETWEEN SYMMETRIC inside BETWEEN SYMMETRIC grows with every level.
fn swapped_too(expr: Expr, negated: bool, low: Expr, high: Expr) -> Result<Expr, ParserError> {
    let mut nodes = 0usize;
    for operand in [&expr, &low, &high] {
        let counted = visit_expressions(operand, |_| {
            nodes += 1;
            if nodes > SYMMETRIC_NODES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if counted.is_break() {
            return Err(ParserError::RecursionLimitExceeded);
        }
    }
    let compare = |op, bound: &Expr| Expr::BinaryOp {
        left: Box::new(expr.clone()),
        op,
        right: Box::new(Expr::Nested(Box::new(bound.clone()))),
    };
    let join = |left, op, right| Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) };
    let within = |low: &Expr, high: &Expr| {
        let both = join(compare(BinaryOperator::GtEq, low), BinaryOperator::And, compare(BinaryOperator::LtEq, high));
        Expr::Nested(Box::new(both))
    };
    let either = Expr::Nested(Box::new(join(within(&low, &high), BinaryOperator::Or, within(&high, &low))));
    Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(either) } } else { either })
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use heliosdb_types::SqlState;

    #[test]
    fn a_mistake_deep_inside_costs_no_more_than_the_text_is_long() {
        let nest = |open: &str, close: &str| format!("select {}1 +{}", open.repeat(60), close.repeat(60));
        for (open, close) in [
            ("f(", ")"),
            ("cast(", " as int)"),
            ("array[", "]"),
            ("substring(", ")"),
            ("position(", " in 2)"),
            ("not (", ")"),
            ("row(", ")"),
            ("interval (", ")"),
            ("ceil(", ")"),
            ("overlay(", ")"),
            ("trim(", ")"),
            ("extract(year from ", ")"),
            ("case when ", " then 1 end"),
            ("exists (select ", ")"),
        ] {
            // Without the bound none of these would end within a lifetime.
            let error = parse(&nest(open, close)).unwrap_err();
            assert!(
                [SqlState::SYNTAX_ERROR, SqlState::STATEMENT_TOO_COMPLEX].contains(&error.state()),
                "{open}: {error}"
            );
        }
    }

    #[test]
    fn deep_and_sound_expressions_are_read() {
        for (open, close) in [
            ("f(", ")"),
            ("coalesce(", ", 2)"),
            ("cast(", " as int)"),
            ("substring(", " from 1 for 2)"),
            ("position('a' in ", ")"),
            ("trim(both ' ' from ", ")"),
            ("extract(year from ", ")"),
            ("case when true then ", " else 2 end"),
            ("(", ")"),
            ("not (", ")"),
            ("array[", "]"),
            ("(select ", ")"),
            ("exists (select ", ")"),
            ("1 in (select ", ")"),
            ("row(", ", 2)"),
            ("overlay(", " placing 'x' from 1 for 2)"),
            ("ceil(", ")"),
        ] {
            let sql = format!("select {}1{}", open.repeat(60), close.repeat(60));
            assert_eq!(parse(&sql).unwrap_or_else(|error| panic!("{open}: {error}")).len(), 1);
        }
    }

    #[test]
    fn statements_within_statements_do_not_exhaust_the_stack() {
        for sql in [format!("{} select 1", "explain ".repeat(60)), format!("{} select 1", "explain ".repeat(5000))] {
            let _ = parse(&sql);
        }
    }
}
