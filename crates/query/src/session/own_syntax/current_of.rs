//! `WHERE CURRENT OF cursor` of UPDATE and DELETE: the statement is parsed with a condition in its place.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::{OwnStatement, plain_tokens};
use crate::bind;
use crate::session::statement::Parsed;

fn is_word(token: Option<&TokenWithSpan>, word: &str) -> bool {
    let Some(TokenWithSpan { token: Token::Word(found), .. }) = token else { return false };
    found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word)
}

/// Where the condition begins: `CURRENT OF name`, and then nothing but RETURNING.
fn place(tokens: &[TokenWithSpan]) -> Option<usize> {
    let is_here = |at: &usize| {
        let end = tokens.get(at + 3);
        ["CURRENT", "OF"].iter().zip(*at..).all(|(word, at)| is_word(tokens.get(at), word))
            && at.checked_sub(1).is_some_and(|before| is_word(tokens.get(before), "WHERE"))
            && matches!(tokens.get(at + 2), Some(TokenWithSpan { token: Token::Word(_), .. }))
            && (end.is_none() || is_word(end, "RETURNING"))
    };
    (0..tokens.len()).find(is_here)
}

pub(super) fn is_said(tokens: &[TokenWithSpan]) -> bool {
    place(tokens).is_some()
}

pub(super) fn current_of(tokens: &[TokenWithSpan], sql: &str) -> Result<OwnStatement> {
    let unexpected = || Error::internal("WHERE CURRENT OF went elsewhere");
    let at = place(tokens).ok_or_else(unexpected)?;
    let Some(TokenWithSpan { token: Token::Word(name), span }) = tokens.get(at + 2) else { return Err(unexpected()) };
    let name = ast::Ident { value: name.value.clone(), quote_style: name.quote_style, span: *span };
    let condition = TokenWithSpan { token: Token::make_keyword("TRUE"), span: *span };
    let rest = tokens.iter().skip(at + 3).cloned();
    let tokens: Vec<_> = tokens.iter().take(at).cloned().chain([condition]).chain(rest).collect();
    match plain_tokens(&tokens, sql)?.pop() {
        Some(Parsed::Ast(statement)) => Ok(OwnStatement::CurrentOf { statement, cursor: bind::fold_identifier(&name) }),
        _ => Err(unexpected()),
    }
}
