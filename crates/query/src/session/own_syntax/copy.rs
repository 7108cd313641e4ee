//! COPY, with its options in both spellings.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::OwnStatement;
use super::cursor::Cursor;
use crate::bind;

/// A COPY as written.
#[derive(Clone, Debug)]
pub(crate) struct CopyStatement {
    pub source: CopySource,
    pub to: bool,
    pub target: CopyTarget,
    pub options: Vec<CopyOption>,
    pub filter: Option<ast::Expr>,
}

#[derive(Clone, Debug)]
pub(crate) enum CopySource {
    Table { name: ast::ObjectName, columns: Vec<ast::Ident> },
    Query(Box<ast::Statement>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyTarget {
    Client,
    /// Of the server.
    File(String),
    Program,
}

/// `name value`; the name in lower case.
#[derive(Clone, Debug)]
pub(crate) struct CopyOption {
    pub name: String,
    pub value: CopyValue,
    pub position: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyValue {
    None,
    Text(String),
    Star,
    Columns(Vec<String>),
}

pub(super) fn copy(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("COPY")?;
    let mut options = Vec::new();
    if cursor.word() == "BINARY" && !matches!(cursor.word_at(1).as_str(), "FROM" | "TO") {
        options.push(option(cursor, "format", CopyValue::Text("binary".to_owned())));
        cursor.expect("BINARY")?;
    }
    let source = if cursor.peek() == Some(&Token::LParen) {
        CopySource::Query(Box::new(query(cursor)?))
    } else {
        let name = cursor.name()?;
        let columns = if cursor.peek() == Some(&Token::LParen) { identifiers(cursor)? } else { Vec::new() };
        CopySource::Table { name, columns }
    };
    let to = if cursor.eat("TO") {
        true
    } else {
        if matches!(source, CopySource::Query(_)) {
            return Err(cursor.error());
        }
        cursor.expect("FROM")?;
        false
    };
    let target = if cursor.eat("STDIN") || cursor.eat("STDOUT") {
        CopyTarget::Client
    } else if cursor.eat("PROGRAM") {
        cursor.string()?;
        CopyTarget::Program
    } else {
        CopyTarget::File(cursor.string()?)
    };
    let with = cursor.eat("WITH");
    if cursor.peek() == Some(&Token::LParen) {
        listed(cursor, &mut options)?;
    } else {
        let before = options.len();
        while plain(cursor, &mut options)? {}
        if with && options.len() == before {
            return Err(cursor.error());
        }
    }
    let at = *cursor;
    let filter = if cursor.eat("WHERE") {
        if to {
            let error = Error::syntax("WHERE clause not allowed with COPY TO");
            return Err(match at.error().position() {
                Some(position) => error.with_position(position),
                None => error,
            });
        }
        let sql = cursor.sql();
        let tokens = cursor.rest();
        Some(bind::parse_expression_tokens(tokens.to_vec(), sql)?)
    } else {
        None
    };
    cursor.expect_end()?;
    Ok(OwnStatement::Copy(Box::new(CopyStatement { source, to, target, options, filter })))
}

fn option(cursor: &Cursor<'_>, name: &str, value: CopyValue) -> CopyOption {
    CopyOption { name: name.to_owned(), value, position: cursor.error().position() }
}

/// What stands between brackets, as a statement.
fn query(cursor: &mut Cursor<'_>) -> Result<ast::Statement> {
    let sql = cursor.sql();
    let at = *cursor;
    cursor.expect_token(&Token::LParen)?;
    let mut depth = 1usize;
    let mut tokens: Vec<TokenWithSpan> = Vec::new();
    loop {
        match cursor.peek() {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth -= 1,
            None => return Err(cursor.error()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        tokens.extend(cursor.next().cloned());
    }
    cursor.expect_token(&Token::RParen)?;
    match bind::parse_tokens(tokens, sql)?.pop() {
        Some(parsed) => Ok(parsed.statement),
        None => Err(at.error()),
    }
}

fn identifiers(cursor: &mut Cursor<'_>) -> Result<Vec<ast::Ident>> {
    cursor.expect_token(&Token::LParen)?;
    let mut names = vec![cursor.identifier()?];
    while cursor.eat_token(&Token::Comma) {
        names.push(cursor.identifier()?);
    }
    cursor.expect_token(&Token::RParen)?;
    Ok(names)
}

/// `(name [value], ...)`
fn listed(cursor: &mut Cursor<'_>, options: &mut Vec<CopyOption>) -> Result<()> {
    cursor.expect_token(&Token::LParen)?;
    loop {
        let at = *cursor;
        let name = cursor.identifier()?.value.to_ascii_lowercase();
        let value = match cursor.peek() {
            Some(Token::Comma | Token::RParen) => CopyValue::None,
            Some(Token::Mul) => {
                cursor.skip();
                CopyValue::Star
            }
            Some(Token::LParen) => CopyValue::Columns(identifiers(cursor)?.iter().map(bind::fold_identifier).collect()),
            Some(Token::Number(number, _)) => {
                cursor.skip();
                CopyValue::Text(number.clone())
            }
            Some(Token::Word(_)) => CopyValue::Text(cursor.identifier()?.value),
            _ => CopyValue::Text(cursor.string()?),
        };
        options.push(option(&at, &name, value));
        if !cursor.eat_token(&Token::Comma) {
            return cursor.expect_token(&Token::RParen);
        }
    }
}

/// One option of the old spelling; false if there is none.
fn plain(cursor: &mut Cursor<'_>, options: &mut Vec<CopyOption>) -> Result<bool> {
    let at = *cursor;
    let text = |cursor: &mut Cursor<'_>| {
        cursor.eat("AS");
        Ok::<_, Error>(CopyValue::Text(cursor.string()?))
    };
    let columns = |cursor: &mut Cursor<'_>| {
        if cursor.eat_token(&Token::Mul) {
            return Ok(CopyValue::Star);
        }
        let mut names = vec![bind::fold_identifier(&cursor.identifier()?)];
        while cursor.eat_token(&Token::Comma) {
            names.push(bind::fold_identifier(&cursor.identifier()?));
        }
        Ok::<_, Error>(CopyValue::Columns(names))
    };
    let (name, value) = match cursor.word().as_str() {
        word @ ("BINARY" | "CSV") => {
            let format = word.to_ascii_lowercase();
            cursor.skip();
            ("format", CopyValue::Text(format))
        }
        "FREEZE" => {
            cursor.skip();
            ("freeze", CopyValue::None)
        }
        "HEADER" => {
            cursor.skip();
            ("header", CopyValue::None)
        }
        "DELIMITER" | "DELIMITERS" => {
            cursor.skip();
            ("delimiter", text(cursor)?)
        }
        "NULL" => {
            cursor.skip();
            ("null", text(cursor)?)
        }
        "QUOTE" => {
            cursor.skip();
            ("quote", text(cursor)?)
        }
        "ESCAPE" => {
            cursor.skip();
            ("escape", text(cursor)?)
        }
        "ENCODING" => {
            cursor.skip();
            ("encoding", CopyValue::Text(cursor.string()?))
        }
        "FORCE" => {
            cursor.skip();
            if cursor.eat("QUOTE") {
                ("force_quote", columns(cursor)?)
            } else if cursor.eat("NOT NULL") {
                ("force_not_null", columns(cursor)?)
            } else {
                cursor.expect("NULL")?;
                ("force_null", columns(cursor)?)
            }
        }
        _ => return Ok(false),
    };
    options.push(option(&at, name, value));
    Ok(true)
}
