//! REINDEX.

use heliosdb_types::{Error, Result};
use sqlparser::tokenizer::Token;

use super::OwnStatement;
use super::cursor::Cursor;

/// `DROP INDEX CONCURRENTLY [IF EXISTS] name, ... [CASCADE | RESTRICT]`.
pub(super) fn drop_concurrently(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("DROP INDEX CONCURRENTLY")?;
    let if_exists = cursor.eat("IF EXISTS");
    let names = cursor.names()?;
    let cascade = cursor.eat("CASCADE");
    if !cascade {
        cursor.eat("RESTRICT");
    }
    cursor.expect_end()?;
    Ok(OwnStatement::DropIndexConcurrently { names, if_exists, cascade })
}

/// What REINDEX is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReindexTarget {
    Index,
    Table,
    Schema,
    Database,
}

/// `REINDEX [(CONCURRENTLY)] {INDEX | TABLE | SCHEMA | DATABASE | SYSTEM} [CONCURRENTLY] [name]`.
pub(super) fn reindex(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("REINDEX")?;
    let mut concurrently = false;
    if cursor.eat_token(&Token::LParen) {
        loop {
            if !cursor.eat("CONCURRENTLY") {
                let option = cursor.identifier()?.value;
                return Err(Error::unsupported(format!("REINDEX option {option}")));
            }
            concurrently = true;
            if !cursor.eat_token(&Token::Comma) {
                cursor.expect_token(&Token::RParen)?;
                break;
            }
        }
    }
    let target = match cursor.word().as_str() {
        "INDEX" => ReindexTarget::Index,
        "TABLE" => ReindexTarget::Table,
        "SCHEMA" => ReindexTarget::Schema,
        "DATABASE" => ReindexTarget::Database,
        "SYSTEM" => return Err(Error::unsupported("REINDEX SYSTEM")),
        _ => return Err(cursor.error()),
    };
    cursor.identifier()?;
    concurrently |= cursor.eat("CONCURRENTLY");
    let name = if cursor.is_at_end() { None } else { Some(cursor.name()?) };
    cursor.expect_end()?;
    Ok(OwnStatement::Reindex { target, name, concurrently })
}
