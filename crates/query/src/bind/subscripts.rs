//! `UPDATE t SET a[1] = value`: the parser knows no subscripts there.
//!
//! The tokens `a[1] = value` become `a = "\u{1}assign"[1] = value`, an expression whose leftmost leaf is a marker with the
//! subscripts; binding takes it off again. Tokens keep their spans, so error positions stay right.

use heliosdb_types::{Error, Result, SqlType};
use sqlparser::ast::{self, BinaryOperator, Expr};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::binder::Binder;
use crate::catalog::Column;
use crate::func::{self, Typed};

const MARKER: &str = "\u{1}assign";

/// Puts the marker into assignments with subscripts.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let has = |wanted: &str| tokens.iter().any(|token| is_word(token, wanted));
    if !(has("SET") && has("UPDATE") && tokens.iter().any(|token| token.token == Token::LBracket)) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 8);
    let mut depth = 0usize;
    // Inside SET, at its parentheses' depth; whether a target may start here.
    let (mut set_depth, mut starts, mut update) = (None, false, false);
    // The token before was a target's name.
    let mut target = false;
    for token in tokens {
        if matches!(token.token, Token::Whitespace(_)) {
            out.push(token);
            continue;
        }
        if std::mem::take(&mut target) && token.token == Token::LBracket {
            let span = token.span;
            let marker = Token::make_word(MARKER, Some('"'));
            out.push(TokenWithSpan { token: Token::Eq, span });
            out.push(TokenWithSpan { token: marker, span });
        }
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::SemiColon => (set_depth, update) = (None, false),
            _ => {}
        }
        let in_set = set_depth == Some(depth);
        match &token.token {
            Token::Word(_) if starts && in_set => target = true,
            _ if is_word(&token, "UPDATE") => update = true,
            _ if is_word(&token, "SET") && update => set_depth = Some(depth),
            _ if in_set && ["FROM", "WHERE", "RETURNING"].iter().any(|word| is_word(&token, word)) => set_depth = None,
            _ => {}
        }
        starts = set_depth == Some(depth) && (token.token == Token::Comma || is_word(&token, "SET"));
        out.push(token);
    }
    out
}

fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

/// The subscripts of an assignment and its value; `None` if it has no subscripts.
pub(super) fn assignment(value: &Expr) -> Option<(Vec<ast::Subscript>, Expr)> {
    let mut value = value.clone();
    let subscripts = take_marker(&mut value)?;
    Some((subscripts, value))
}

/// Replaces `marker[...] = x` at the leftmost place of an expression with x.
fn take_marker(expr: &mut Expr) -> Option<Vec<ast::Subscript>> {
    if let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = expr
        && let Expr::CompoundFieldAccess { root, access_chain } = left.as_ref()
        && matches!(root.as_ref(), Expr::Identifier(ident) if ident.value == MARKER)
    {
        let subscripts = access_chain.iter().map(|access| match access {
            ast::AccessExpr::Subscript(subscript) => Some(subscript.clone()),
            ast::AccessExpr::Dot(_) => None,
        });
        let subscripts = subscripts.collect::<Option<Vec<_>>>()?;
        *expr = right.as_ref().clone();
        return Some(subscripts);
    }
    match expr {
        Expr::BinaryOp { left: inner, .. }
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::IsDistinctFrom(inner, _)
        | Expr::IsNotDistinctFrom(inner, _)
        | Expr::InList { expr: inner, .. }
        | Expr::InSubquery { expr: inner, .. }
        | Expr::Between { expr: inner, .. }
        | Expr::Like { expr: inner, .. }
        | Expr::ILike { expr: inner, .. }
        | Expr::AnyOp { left: inner, .. }
        | Expr::AllOp { left: inner, .. } => take_marker(inner),
        _ => None,
    }
}

impl Binder<'_> {
    /// The new value of a column some of whose elements are assigned, out of its value so far.
    pub fn bind_subscript_assignment(
        &mut self,
        column: &Column,
        current: Typed,
        subscripts: &[ast::Subscript],
        value: &Expr,
    ) -> Result<Typed> {
        if matches!(value, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
        {
            return Err(Error::syntax("cannot set an array element to DEFAULT"));
        }
        if !matches!(column.sql_type, SqlType::Array(_)) {
            return Err(Error::unsupported(format!("assigning to a part of {}", column.sql_type.name())));
        }
        let mut bound = Vec::with_capacity(subscripts.len());
        for subscript in subscripts {
            bound.push(self.bind_one_subscript(subscript)?);
        }
        let value = self.bind_expr(value)?;
        func::assign(current, bound, value, self.func())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(sql: &str) -> Vec<(String, String)> {
        let parsed = crate::bind::parse(sql).unwrap().pop().unwrap().statement;
        let ast::Statement::Update(update) = parsed else { panic!("an update") };
        let shown = |assignment: &ast::Assignment| match super::assignment(&assignment.value) {
            Some((subscripts, value)) => (format!("{}", subscripts.len()), value.to_string()),
            None => ("0".to_owned(), assignment.value.to_string()),
        };
        update.assignments.iter().map(shown).collect()
    }

    #[test]
    fn subscripts_are_taken_off_again() {
        let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect::<Vec<_>>();
        assert_eq!(
            values("UPDATE t SET a[1] = 2, b = c[1], d [2:3] [4] = e OR f WHERE a[1] = 3"),
            own(&[("1", "2"), ("0", "c[1]"), ("2", "e OR f")])
        );
        assert_eq!(values("UPDATE t SET a[f(1, 2)] = 5 < 6, b = (1)"), own(&[("1", "5 < 6"), ("0", "(1)")]));
    }
}
