//! CREATE TABLE AS, and SELECT INTO, which is the same.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::OwnStatement;
use super::cursor::Cursor;
use crate::bind;
use crate::catalog::OnCommit;
use crate::session::statement::Parsed;

/// A table made from a query.
#[derive(Clone, Debug)]
pub(crate) struct TableAs {
    pub name: ast::ObjectName,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub columns: Vec<ast::Ident>,
    pub on_commit: Option<OnCommit>,
    pub query: Box<ast::Query>,
    pub with_data: bool,
    /// SELECT INTO has another tag.
    pub into: bool,
}

/// After CREATE ... TABLE; `None`: there is no AS.
pub(super) fn table_as(mut cursor: Cursor<'_>, temporary: bool) -> Result<Option<OwnStatement>> {
    let if_not_exists = cursor.eat("IF NOT EXISTS");
    let Ok(name) = cursor.name() else { return Ok(None) };
    let mut ahead = cursor;
    // AS outside brackets: inside them it belongs to a generated column or an expression.
    let mut depth = 0usize;
    let found = loop {
        match ahead.peek() {
            None => break false,
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth = depth.saturating_sub(1),
            Some(_) if depth == 0 && ahead.word() == "AS" => break true,
            Some(_) => {}
        }
        ahead.skip();
    };
    if !found {
        return Ok(None);
    }
    let mut columns = Vec::new();
    if cursor.eat_token(&Token::LParen) {
        columns.push(cursor.identifier()?);
        while cursor.eat_token(&Token::Comma) {
            columns.push(cursor.identifier()?);
        }
        cursor.expect_token(&Token::RParen)?;
    }
    if cursor.eat("USING") {
        let method = cursor.identifier()?;
        if bind::fold_identifier(&method) != "heap" {
            return Err(Error::unsupported(format!("table access method \"{}\"", method.value)));
        }
    }
    if cursor.word() == "WITH" && matches!(cursor.peek_at(1), Some(Token::LParen)) {
        return Err(Error::unsupported("storage parameters of CREATE TABLE AS"));
    }
    let _ = cursor.eat("WITHOUT OIDS");
    let on_commit = on_commit(&mut cursor)?;
    if cursor.eat("TABLESPACE") {
        return Err(Error::unsupported("TABLESPACE"));
    }
    cursor.expect("AS")?;
    if cursor.word() == "EXECUTE" {
        return Err(Error::unsupported("CREATE TABLE AS EXECUTE"));
    }
    let sql = cursor.sql();
    let mut tokens = cursor.rest();
    let ends = |words: &[&str]| {
        let tail = tokens.get(tokens.len().saturating_sub(words.len())..).unwrap_or(&[]);
        tail.len() == words.len()
            && tail.iter().zip(words).all(|(token, known)| {
                matches!(&token.token, Token::Word(word) if word.quote_style.is_none()
                    && word.value.eq_ignore_ascii_case(known))
            })
    };
    let mut with_data = true;
    if ends(&["with", "no", "data"]) {
        with_data = false;
        tokens = tokens.get(..tokens.len() - 3).unwrap_or(&[]);
    } else if ends(&["with", "data"]) {
        tokens = tokens.get(..tokens.len() - 2).unwrap_or(&[]);
    }
    let mut parsed = bind::parse_tokens(tokens.to_vec(), sql)?;
    let (Some(statement), true) = (parsed.pop(), parsed.is_empty()) else { return Err(cursor.error()) };
    let ast::Statement::Query(query) = statement.statement else {
        return Err(Cursor::new(sql, tokens).error());
    };
    let table = TableAs { name, temporary, if_not_exists, columns, on_commit, query, with_data, into: false };
    Ok(Some(OwnStatement::TableAs(Box::new(table))))
}

fn on_commit(cursor: &mut Cursor<'_>) -> Result<Option<OnCommit>> {
    if !cursor.eat("ON COMMIT") {
        return Ok(None);
    }
    if cursor.eat("PRESERVE ROWS") {
        Ok(Some(OnCommit::Preserve))
    } else if cursor.eat("DELETE ROWS") {
        Ok(Some(OnCommit::Delete))
    } else if cursor.eat("DROP") {
        Ok(Some(OnCommit::Drop))
    } else {
        Err(cursor.error())
    }
}

impl From<ast::Statement> for Parsed {
    fn from(statement: ast::Statement) -> Parsed {
        Parsed::Ast(Box::new(statement))
    }
}

/// Turns a SELECT ... INTO into the table it makes.
pub(super) fn select_into(statement: ast::Statement) -> Result<Parsed> {
    let ast::Statement::Query(mut query) = statement else { return Ok(statement.into()) };
    let Some(into) = take_into(&mut query.body) else { return Ok(ast::Statement::Query(query).into()) };
    let ast::SelectInto { temporary, unlogged, table: _, name } = into;
    if unlogged {
        return Err(Error::unsupported("SELECT INTO UNLOGGED"));
    }
    Ok(Parsed::Own(OwnStatement::TableAs(Box::new(TableAs {
        name,
        temporary,
        if_not_exists: false,
        columns: Vec::new(),
        on_commit: None,
        query,
        with_data: true,
        into: true,
    }))))
}

/// INTO of the first SELECT, the only one that may have it.
fn take_into(body: &mut ast::SetExpr) -> Option<ast::SelectInto> {
    match body {
        ast::SetExpr::Select(select) => select.into.take(),
        ast::SetExpr::SetOperation { left, .. } => take_into(left),
        _ => None,
    }
}
