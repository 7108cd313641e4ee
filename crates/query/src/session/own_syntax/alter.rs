//! ALTER: what the parser does not know of TABLE, VIEW, SEQUENCE, INDEX and SCHEMA.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::sequence::SequenceOptions;
use super::{OwnStatement, refused, statistics};
use crate::bind;

/// What may be done to any relation.
#[derive(Clone, Debug)]
pub(crate) enum RelationChange {
    Rename(ast::Ident),
    SetSchema(ast::Ident),
    Owner(ast::Ident),
    RenameColumn {
        from: ast::Ident,
        to: ast::Ident,
    },
    /// ALTER VIEW: a column's default for INSERT.
    ColumnDefault,
    /// ALTER VIEW SET (...) and RESET (...).
    ViewOptions,
}

/// An action of ALTER TABLE.
#[derive(Clone, Debug)]
pub(crate) enum AlterAction {
    Parser(Box<ast::AlterTableOperation>),
    Identity {
        column: ast::Ident,
        change: IdentityChange,
    },
    DropExpression {
        column: ast::Ident,
        if_exists: bool,
    },
    /// SET STATISTICS.
    Statistics {
        column: ast::Ident,
        target: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum IdentityChange {
    Add {
        always: bool,
        options: SequenceOptions,
    },
    /// SET GENERATED, SET options, RESTART.
    Set {
        always: Option<bool>,
        options: SequenceOptions,
    },
    Drop {
        if_exists: bool,
    },
}

/// `None`: the parser's.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Option<OwnStatement>> {
    let mut ahead = *cursor;
    ahead.expect("ALTER")?;
    refused::refuse_object("ALTER", &ahead)?;
    let own = match ahead.word().as_str() {
        "SEQUENCE" => Some(sequence(&mut ahead)?),
        "VIEW" => Some(view(&mut ahead)?),
        "INDEX" => index(&mut ahead)?,
        "SCHEMA" => Some(schema(&mut ahead)?),
        "TABLE" => table(&mut ahead)?,
        "TYPE" => type_of(&mut ahead)?,
        "STATISTICS" => Some(statistics::alter(&mut ahead)?),
        _ => None,
    };
    if own.is_some() {
        cursor.rest();
    }
    Ok(own)
}

fn schema(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("SCHEMA")?;
    let name = cursor.identifier()?;
    let (mut new_name, mut owner) = (None, None);
    if cursor.eat("RENAME TO") {
        new_name = Some(cursor.identifier()?);
    } else {
        cursor.expect("OWNER")?;
        cursor.expect("TO")?;
        owner = Some(cursor.identifier()?);
    }
    cursor.expect_end()?;
    Ok(OwnStatement::AlterSchema { name, new_name, owner })
}

/// SET SCHEMA and OWNER TO; the parser knows the rest.
fn type_of(cursor: &mut Cursor<'_>) -> Result<Option<OwnStatement>> {
    cursor.expect("TYPE")?;
    let name = cursor.name()?;
    if cursor.word() == "RENAME" || cursor.word() == "ADD" {
        return Ok(None);
    }
    match common(cursor)? {
        Some(change @ (RelationChange::SetSchema(_) | RelationChange::Owner(_))) => {
            Ok(Some(OwnStatement::AlterType { name, change }))
        }
        _ => Ok(None),
    }
}

/// RENAME TO, SET SCHEMA, OWNER TO; `None` if none of them comes next.
fn common(cursor: &mut Cursor<'_>) -> Result<Option<RelationChange>> {
    let change = if cursor.eat("RENAME TO") {
        RelationChange::Rename(cursor.identifier()?)
    } else if cursor.eat("SET SCHEMA") {
        RelationChange::SetSchema(cursor.identifier()?)
    } else if cursor.eat("OWNER TO") {
        RelationChange::Owner(cursor.identifier()?)
    } else {
        return Ok(None);
    };
    cursor.expect_end()?;
    Ok(Some(change))
}

fn sequence(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("SEQUENCE")?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    if let Some(change) = common(cursor)? {
        return Ok(OwnStatement::AlterRelation { kind: "SEQUENCE", name, if_exists, change });
    }
    if cursor.eat("SET LOGGED") || cursor.eat("SET UNLOGGED") {
        return Err(Error::unsupported("ALTER SEQUENCE ... SET LOGGED"));
    }
    if cursor.is_at_end() {
        return Err(cursor.error());
    }
    let options = SequenceOptions::read(cursor)?;
    cursor.expect_end()?;
    Ok(OwnStatement::AlterSequence { name, if_exists, options })
}

fn view(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("VIEW")?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    let change = match common(cursor)? {
        Some(change) => change,
        None => match rename_column(cursor)? {
            Some(change) => change,
            None if cursor.eat("ALTER") => RelationChange::ColumnDefault,
            None if cursor.eat("SET") || cursor.eat("RESET") => RelationChange::ViewOptions,
            None => return Err(cursor.error()),
        },
    };
    Ok(OwnStatement::AlterRelation { kind: "VIEW", name, if_exists, change })
}

fn rename_column(cursor: &mut Cursor<'_>) -> Result<Option<RelationChange>> {
    if cursor.word() != "RENAME" || cursor.word_at(1) == "CONSTRAINT" {
        return Ok(None);
    }
    cursor.expect("RENAME")?;
    // COLUMN may itself be a column's name.
    if cursor.word_at(1) != "TO" {
        cursor.eat("COLUMN");
    }
    let from = cursor.identifier()?;
    cursor.expect("TO")?;
    let to = cursor.identifier()?;
    cursor.expect_end()?;
    Ok(Some(RelationChange::RenameColumn { from, to }))
}

fn index(cursor: &mut Cursor<'_>) -> Result<Option<OwnStatement>> {
    cursor.expect("INDEX")?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    if let Some(change) = common(cursor)? {
        return Ok(Some(OwnStatement::AlterRelation { kind: "INDEX", name, if_exists, change }));
    }
    Err(Error::unsupported(format!("ALTER INDEX ... {}", cursor.word())))
}

fn table(cursor: &mut Cursor<'_>) -> Result<Option<OwnStatement>> {
    let sql = cursor.sql();
    cursor.expect("TABLE")?;
    let if_exists = cursor.eat("IF EXISTS");
    cursor.eat("ONLY");
    let name = cursor.name()?;
    cursor.eat_token(&Token::Mul);
    if let Some(change) = common(cursor)? {
        return Ok(Some(OwnStatement::AlterRelation { kind: "TABLE", name, if_exists, change }));
    }
    if let Some(change) = rename_column(cursor)? {
        return Ok(Some(OwnStatement::AlterRelation { kind: "TABLE", name, if_exists, change }));
    }
    let mut pieces = Vec::new();
    loop {
        pieces.push(cursor.until_comma());
        if !cursor.eat_token(&Token::Comma) {
            break;
        }
    }
    let mut own = Vec::with_capacity(pieces.len());
    for piece in &pieces {
        own.push(action(Cursor::new(sql, piece))?);
    }
    if own.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut actions = Vec::with_capacity(pieces.len());
    for (piece, own) in pieces.into_iter().zip(own) {
        match own {
            Some(action) => actions.push(action),
            None => actions.extend(parser_actions(piece, sql)?),
        }
    }
    Ok(Some(OwnStatement::AlterTable { name, if_exists, actions }))
}

/// An action as the parser reads it: a statement of its own about some table.
fn parser_actions(piece: &[TokenWithSpan], sql: &str) -> Result<Vec<AlterAction>> {
    let Some(span) = piece.first().map(|token| token.span) else { return Err(Cursor::new(sql, piece).error()) };
    let head = [Token::make_keyword("ALTER"), Token::make_keyword("TABLE"), Token::make_word("t", Some('"'))];
    let mut tokens: Vec<TokenWithSpan> = head.into_iter().map(|token| TokenWithSpan { token, span }).collect();
    tokens.extend_from_slice(piece);
    match bind::parse_tokens(tokens, sql)?.pop().map(|parsed| parsed.statement) {
        Some(ast::Statement::AlterTable(alter)) => {
            Ok(alter.operations.into_iter().map(|operation| AlterAction::Parser(Box::new(operation))).collect())
        }
        _ => Err(Cursor::new(sql, piece).error()),
    }
}

/// `None`: the parser's.
fn action(mut cursor: Cursor<'_>) -> Result<Option<AlterAction>> {
    for (words, what) in [
        ("SET LOGGED", "SET LOGGED"),
        ("SET UNLOGGED", "SET UNLOGGED"),
        ("SET TABLESPACE", "SET TABLESPACE"),
        ("SET ACCESS METHOD", "SET ACCESS METHOD"),
        ("SET WITHOUT", "SET WITHOUT"),
        ("CLUSTER ON", "CLUSTER ON"),
        ("INHERIT", "INHERIT"),
        ("NO INHERIT", "NO INHERIT"),
        ("OF", "OF"),
        ("NOT OF", "NOT OF"),
        ("ALTER CONSTRAINT", "ALTER CONSTRAINT"),
        ("ATTACH PARTITION", "ATTACH PARTITION"),
        ("DETACH PARTITION", "DETACH PARTITION"),
    ] {
        if cursor.eat(words) {
            return Err(Error::unsupported(format!("ALTER TABLE ... {what}")));
        }
    }
    if matches!(cursor.word().as_str(), "SET" | "RESET") && matches!(cursor.peek_at(1), Some(Token::LParen)) {
        return Err(Error::unsupported("storage parameters of a table"));
    }
    if !cursor.eat("ALTER") {
        return Ok(None);
    }
    if !matches!(cursor.word_at(1).as_str(), "SET" | "DROP" | "TYPE" | "ADD" | "RESTART" | "RESET") {
        cursor.eat("COLUMN");
    }
    let column = cursor.identifier()?;
    let change = match (cursor.word().as_str(), cursor.word_at(1).as_str()) {
        ("DROP", "IDENTITY") => {
            cursor.expect("DROP IDENTITY")?;
            IdentityChange::Drop { if_exists: cursor.eat("IF EXISTS") }
        }
        ("DROP", "EXPRESSION") => {
            cursor.expect("DROP EXPRESSION")?;
            let if_exists = cursor.eat("IF EXISTS");
            cursor.expect_end()?;
            return Ok(Some(AlterAction::DropExpression { column, if_exists }));
        }
        ("ADD", "GENERATED") => {
            cursor.expect("ADD GENERATED")?;
            let always = generated(&mut cursor)?;
            cursor.expect("AS")?;
            cursor.expect("IDENTITY")?;
            let mut options = SequenceOptions::default();
            if cursor.eat_token(&Token::LParen) {
                options = SequenceOptions::read(&mut cursor)?;
                cursor.expect_token(&Token::RParen)?;
            }
            IdentityChange::Add { always, options }
        }
        ("SET", "STATISTICS") => {
            cursor.expect("SET")?;
            cursor.expect("STATISTICS")?;
            let target = cursor.integer()?;
            cursor.expect_end()?;
            return Ok(Some(AlterAction::Statistics { column, target }));
        }
        ("SET", "STORAGE" | "COMPRESSION") => {
            return Err(Error::unsupported(format!("ALTER COLUMN ... SET {}", cursor.word_at(1))));
        }
        ("SET" | "RESET", "") => return Err(Error::unsupported("options of a column")),
        ("RESTART", _) => set_identity(&mut cursor)?,
        ("SET", "NOT" | "DEFAULT" | "DATA") => return Ok(None),
        ("SET", _) => set_identity(&mut cursor)?,
        _ => return Ok(None),
    };
    cursor.expect_end()?;
    Ok(Some(AlterAction::Identity { column, change }))
}

/// `SET GENERATED ALWAYS`, `SET increment 2`, `RESTART [WITH n]`, several in a row.
fn set_identity(cursor: &mut Cursor<'_>) -> Result<IdentityChange> {
    let (mut always, mut options) = (None, SequenceOptions::default());
    while !cursor.is_at_end() {
        if cursor.eat("SET GENERATED") {
            always = Some(generated(cursor)?);
            continue;
        }
        if cursor.word() != "RESTART" {
            cursor.expect("SET")?;
        }
        if !options.read_one(cursor)? {
            return Err(cursor.error());
        }
    }
    Ok(IdentityChange::Set { always, options })
}

fn generated(cursor: &mut Cursor<'_>) -> Result<bool> {
    if cursor.eat("ALWAYS") {
        return Ok(true);
    }
    cursor.expect("BY")?;
    cursor.expect("DEFAULT")?;
    Ok(false)
}
