//! COMMENT ON.

use heliosdb_types::{Error, Result};
use sqlparser::ast;

use super::OwnStatement;
use super::cursor::Cursor;

/// What a comment is about, as written.
#[derive(Clone, Debug)]
pub(crate) enum CommentTarget {
    /// `table`, `view`, `index`, ... and its name.
    Relation(&'static str, ast::ObjectName),
    /// `table.column`
    Column(ast::ObjectName),
    Constraint {
        name: ast::Ident,
        table: ast::ObjectName,
    },
    Schema(ast::Ident),
    Database(ast::Ident),
    Role(ast::Ident),
    Type(ast::ObjectName),
    Statistics(ast::ObjectName),
}

pub(super) fn comment(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("COMMENT")?;
    cursor.expect("ON")?;
    let target = target(cursor)?;
    cursor.expect("IS")?;
    let text = if cursor.eat("NULL") { None } else { Some(cursor.string()?) };
    cursor.expect_end()?;
    // An empty comment is none.
    Ok(OwnStatement::Comment { target, text: text.filter(|text| !text.is_empty()) })
}

fn target(cursor: &mut Cursor<'_>) -> Result<CommentTarget> {
    for (words, kind) in [
        ("TABLE", "table"),
        ("VIEW", "view"),
        ("SEQUENCE", "sequence"),
        ("INDEX", "index"),
        ("MATERIALIZED VIEW", "materialized view"),
        ("FOREIGN TABLE", "foreign table"),
    ] {
        if cursor.eat(words) {
            return Ok(CommentTarget::Relation(kind, cursor.name()?));
        }
    }
    if cursor.eat("COLUMN") {
        return Ok(CommentTarget::Column(cursor.name()?));
    }
    if cursor.eat("CONSTRAINT") {
        let name = cursor.identifier()?;
        cursor.expect("ON")?;
        if cursor.word() == "DOMAIN" && cursor.word_at(1) != "IS" {
            return Err(Error::unsupported("COMMENT ON CONSTRAINT ... ON DOMAIN"));
        }
        return Ok(CommentTarget::Constraint { name, table: cursor.name()? });
    }
    if cursor.eat("SCHEMA") {
        return Ok(CommentTarget::Schema(cursor.identifier()?));
    }
    if cursor.eat("DATABASE") {
        return Ok(CommentTarget::Database(cursor.identifier()?));
    }
    if cursor.eat("ROLE") {
        return Ok(CommentTarget::Role(cursor.identifier()?));
    }
    if cursor.eat("TYPE") {
        return Ok(CommentTarget::Type(cursor.name()?));
    }
    if cursor.eat("STATISTICS") {
        return Ok(CommentTarget::Statistics(cursor.name()?));
    }
    const OTHERS: [&str; 23] = [
        "ACCESS",
        "AGGREGATE",
        "CAST",
        "COLLATION",
        "CONVERSION",
        "DOMAIN",
        "EVENT",
        "EXTENSION",
        "FOREIGN",
        "FUNCTION",
        "LANGUAGE",
        "LARGE",
        "OPERATOR",
        "POLICY",
        "PROCEDURAL",
        "PROCEDURE",
        "PUBLICATION",
        "ROUTINE",
        "RULE",
        "SERVER",
        "SUBSCRIPTION",
        "TABLESPACE",
        "TRIGGER",
    ];
    let kind = cursor.word();
    if OTHERS.contains(&kind.as_str()) || kind == "TEXT" || kind == "TRANSFORM" {
        return Err(Error::unsupported(format!("COMMENT ON {kind}")));
    }
    Err(cursor.error())
}
