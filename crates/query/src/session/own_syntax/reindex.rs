//! REINDEX.

use heliosdb_types::{Error, Result};
use sqlparser::tokenizer::Token;

use super::{OwnStatement, near, table_list, word};

/// What REINDEX is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReindexTarget {
    Index,
    Table,
    Schema,
    Database,
}

/// `REINDEX [(CONCURRENTLY)] {INDEX | TABLE | SCHEMA | DATABASE | SYSTEM} [CONCURRENTLY] [name]`.
pub(super) fn reindex(tokens: &[Token]) -> Result<OwnStatement> {
    let mut at = 1;
    let mut concurrently = false;
    if matches!(tokens.get(at), Some(Token::LParen)) {
        at += 1;
        while let Some(option) = word(tokens.get(at)) {
            match option.as_str() {
                "CONCURRENTLY" => concurrently = true,
                other => return Err(Error::unsupported(format!("REINDEX option {other}"))),
            }
            at += 1;
            if matches!(tokens.get(at), Some(Token::Comma)) {
                at += 1;
            }
        }
        if !matches!(tokens.get(at), Some(Token::RParen)) {
            return Err(near(tokens.get(at)));
        }
        at += 1;
    }
    let target = match word(tokens.get(at)).unwrap_or_default().as_str() {
        "INDEX" => ReindexTarget::Index,
        "TABLE" => ReindexTarget::Table,
        "SCHEMA" => ReindexTarget::Schema,
        "DATABASE" => ReindexTarget::Database,
        "SYSTEM" => return Err(Error::unsupported("REINDEX SYSTEM")),
        _ => return Err(near(tokens.get(at))),
    };
    at += 1;
    if word(tokens.get(at)).as_deref() == Some("CONCURRENTLY") {
        concurrently = true;
        at += 1;
    }
    let mut names = table_list("REINDEX", tokens.get(at..).unwrap_or(&[]))?;
    let name = names.pop();
    if !names.is_empty() {
        return Err(near(Some(&Token::Comma)));
    }
    Ok(OwnStatement::Reindex { target, name, concurrently })
}
