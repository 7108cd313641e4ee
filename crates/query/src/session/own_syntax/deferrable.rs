//! `[NOT] DEFERRABLE` among the modes of a transaction.

use sqlparser::tokenizer::{Token, TokenWithSpan};

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

pub(super) fn is_said(tokens: &[TokenWithSpan]) -> bool {
    let transaction = tokens.iter().any(|token| is_word(token, "TRANSACTION") || is_word(token, "BEGIN"));
    transaction && tokens.iter().any(|token| is_word(token, "DEFERRABLE"))
}

/// The statement without it, and what it said last.
pub(super) fn taken_out(tokens: &[TokenWithSpan]) -> (Vec<TokenWithSpan>, bool) {
    let mut deferrable = true;
    let mut rest: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if is_word(token, "DEFERRABLE") {
            deferrable = rest.pop_if(|before| is_word(before, "NOT")).is_none();
            rest.pop_if(|before| before.token == Token::Comma);
        } else {
            rest.push(token.clone());
        }
    }
    (rest, deferrable)
}
