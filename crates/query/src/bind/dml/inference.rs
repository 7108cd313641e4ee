//! Which unique indexes ON CONFLICT means: those over exactly the columns and expressions named, whose predicate follows from the
//! one given.

use std::sync::Arc;

use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::bind::bind_index;
use crate::bind::binder::{Binder, unqualified_relation};
use crate::bind::dialect::Bounded;
use crate::bind::names::fold_identifier;
use crate::bind::parse::parse_expression_tokens;
use crate::bind::position::Positions;
use crate::bind::scope::{Clause, Scope};
use crate::catalog::{IndexInfo, Relation, TableInfo};
use crate::exec::Arbiter;
use crate::func::Typed;

/// One element of the target.
enum Element {
    Attribute(i16),
    Expression(Typed),
}

/// 55000: rows of a constraint that is checked later cannot be told to conflict now.
pub(super) fn deferrable_arbiter(index: &IndexInfo) -> Error {
    let message = "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters";
    Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_constraint(index.name.as_str())
}

fn no_match() -> Error {
    let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
    Error::invalid(SqlState::INVALID_COLUMN_REFERENCE, message)
}

impl Binder<'_> {
    /// Arbiters for columns by name.
    pub(super) fn arbiters_of_columns(
        &mut self,
        relation: &Arc<Relation>,
        table: &TableInfo,
        columns: &[ast::Ident],
    ) -> Result<Vec<Arbiter>> {
        let mut elements = Vec::with_capacity(columns.len());
        for column in columns {
            let name = fold_identifier(column);
            let Some((_, column)) = relation.column(&name) else {
                let message = format!("column \"{name}\" does not exist");
                // PostgreSQL points at the bracket before the first of them.
                let first = columns.first().map_or(column.span, |first| first.span);
                let error = self.error_at(first, SqlState::UNDEFINED_COLUMN, message);
                return Err(match error.position() {
                    Some(position) => error.with_position(position.saturating_sub(1).max(1)),
                    None => error,
                });
            };
            elements.push(Element::Attribute(column.attribute));
        }
        self.matching(relation, table, &elements, None)
    }

    /// Arbiters for `(elements) [WHERE predicate]` as text, which begins at character `from` of the statement's.
    pub(super) fn arbiters_of_text(
        &mut self,
        relation: &Arc<Relation>,
        table: &TableInfo,
        from: u32,
        text: &str,
    ) -> Result<Vec<Arbiter>> {
        let (elements, predicate) = split_target(text)?;
        let mut bound = Vec::with_capacity(elements.len());
        let positions = std::mem::replace(&mut self.positions, Positions::of(text));
        let result = self.in_level(Scope::of(unqualified_relation(relation)), Clause::Index, |binder| {
            for tokens in elements {
                let expr = element_expression(tokens, text)?;
                bound.push(match &expr {
                    ast::Expr::Identifier(name) => match relation.column(&fold_identifier(name)) {
                        Some((_, column)) => Element::Attribute(column.attribute),
                        None => Element::Expression(binder.bind_expr(&expr)?),
                    },
                    expr => Element::Expression(binder.bind_expr(expr)?),
                });
            }
            binder.level().clause = Clause::IndexWhere;
            match predicate {
                Some(tokens) => {
                    let expr = parse_expression_tokens(tokens, text)?;
                    Ok(Some(binder.bind_condition(&expr, "WHERE")?.expr))
                }
                None => Ok(None),
            }
        });
        self.positions = positions;
        let predicate = result.map_err(|error| match error.position() {
            Some(position) => error.without_position().with_position(position + from - 1),
            None => error,
        })?;
        self.matching(relation, table, &bound, predicate.as_ref())
    }

    fn matching(
        &mut self,
        relation: &Arc<Relation>,
        table: &TableInfo,
        elements: &[Element],
        predicate: Option<&Expr>,
    ) -> Result<Vec<Arbiter>> {
        let attributes: Vec<i16> = elements
            .iter()
            .filter_map(|element| match element {
                Element::Attribute(attribute) => Some(*attribute),
                Element::Expression(_) => None,
            })
            .collect();
        let expressions: Vec<&Expr> = elements
            .iter()
            .filter_map(|element| match element {
                Element::Expression(value) => Some(&value.expr),
                Element::Attribute(_) => None,
            })
            .collect();
        let same = |key: &[i16]| {
            key.iter().all(|one| attributes.contains(one)) && attributes.iter().all(|one| key.contains(one))
        };
        let mut found = Vec::new();
        let whole = expressions.is_empty();
        if whole && table.primary_key.as_ref().is_some_and(|key| same(&key.attributes)) {
            found.push(Arbiter::PrimaryKey);
        }
        for index in table.indexes.iter().filter(|index| index.unique && index.state.is_valid()) {
            let plain: Vec<i16> = index
                .keys
                .iter()
                .filter_map(|key| match key.column {
                    crate::catalog::IndexColumn::Attribute(attribute) => Some(attribute),
                    crate::catalog::IndexColumn::Expression { .. } => None,
                })
                .collect();
            let simple = plain.len() == index.keys.len() && index.predicate.is_none();
            if !same(&plain) || (simple && !whole) || (!simple && whole && plain.len() != index.keys.len()) {
                continue;
            }
            if simple {
                found.push(Arbiter::Index(index.oid));
                continue;
            }
            let written = bind_index(index, relation, self.context)?;
            let keys = written.keys.iter().zip(&index.keys).filter_map(|((_, _, value, _), key)| match key.column {
                crate::catalog::IndexColumn::Expression { .. } => Some(value),
                crate::catalog::IndexColumn::Attribute(_) => None,
            });
            let keys: Vec<&Expr> = keys.collect();
            let equal = keys.iter().all(|key| expressions.contains(key))
                && expressions.iter().all(|expression| keys.contains(expression));
            let implied = match (&written.predicate, predicate) {
                (None, _) => true,
                (Some(needed), Some(given)) => implies(given, needed),
                (Some(_), None) => false,
            };
            if equal && implied {
                found.push(Arbiter::Index(index.oid));
            }
        }
        let later = |index: &IndexInfo| {
            whole && index.deferrable.is_some() && index.key_attributes().is_some_and(|key| same(&key))
        };
        match table.indexes.iter().find(|index| later(index)) {
            Some(index) => Err(deferrable_arbiter(index)),
            None if found.is_empty() => Err(no_match()),
            None => Ok(found),
        }
    }
}

/// Whether each AND part of `needed` follows from a part of `given`. Misses some that PostgreSQL proves, claims none it does not.
fn implies(given: &Expr, needed: &Expr) -> bool {
    let given = split_conjunction(given);
    let follows = |needed: &Expr| {
        given.iter().any(|part| {
            *part == needed
                || match needed {
                    // A comparison that is true had no NULL on either side.
                    Expr::IsNotNull(value) => compares(part, value),
                    _ => false,
                }
        })
    };
    split_conjunction(needed).into_iter().all(follows)
}

fn compares(part: &Expr, value: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return false };
    let strict =
        matches!(op, Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    strict && (left.as_ref() == value || right.as_ref() == value)
}

type Tokens = Vec<TokenWithSpan>;

/// The elements between the brackets, and what follows WHERE.
fn split_target(text: &str) -> Result<(Vec<Tokens>, Option<Tokens>)> {
    let broken = || Error::syntax("syntax error in the target of ON CONFLICT");
    let tokens = Tokenizer::new(&Bounded, text).tokenize_with_location().map_err(|_| broken())?;
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    if tokens.next().is_none_or(|first| first.token != Token::LParen) {
        return Err(broken());
    }
    let (mut elements, mut current, mut depth) = (Vec::new(), Vec::new(), 0usize);
    loop {
        let token = tokens.next().ok_or_else(broken)?;
        match token.token {
            Token::RParen if depth == 0 => break,
            Token::Comma if depth == 0 => {
                elements.push(std::mem::take(&mut current));
                continue;
            }
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        current.push(token);
    }
    elements.push(current);
    let rest: Tokens = tokens.skip(1).collect();
    Ok((elements, (!rest.is_empty()).then_some(rest)))
}

fn element_expression(tokens: Tokens, text: &str) -> Result<ast::Expr> {
    let opclass = match tokens.as_slice() {
        [.., before, TokenWithSpan { token: Token::Word(word), .. }] => {
            let after_value = matches!(before.token, Token::Word(_) | Token::RParen);
            let collation =
                matches!(&before.token, Token::Word(before) if before.value.eq_ignore_ascii_case("collate"));
            (after_value && !collation).then(|| word.value.clone())
        }
        _ => None,
    };
    if let Some(opclass) = opclass {
        return Err(Error::unsupported(format!("operator class \"{opclass}\" in ON CONFLICT")));
    }
    let expr = parse_expression_tokens(tokens, text)?;
    // Brackets say nothing, and text has one collation only.
    Ok(match expr {
        ast::Expr::Nested(inner) => *inner,
        other => other,
    })
}
