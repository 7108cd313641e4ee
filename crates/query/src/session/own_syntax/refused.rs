//! Statements PostgreSQL has and we do not: refused by name rather than as syntax errors.

use heliosdb_types::{Error, Result};

use super::cursor::Cursor;

/// First words of statements the parser does not know either.
const STATEMENTS: [&str; 7] =
    ["DO", "CALL", "CLUSTER", "LOAD", "SECURITY LABEL", "REFRESH MATERIALIZED VIEW", "IMPORT FOREIGN SCHEMA"];

/// What CREATE, ALTER and DROP refuse.
const OBJECTS: [&str; 27] = [
    "ACCESS METHOD",
    "AGGREGATE",
    "CAST",
    "COLLATION",
    "CONSTRAINT TRIGGER",
    "CONVERSION",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "FOREIGN TABLE",
    "FUNCTION",
    "LANGUAGE",
    "MATERIALIZED VIEW",
    "OPERATOR",
    "POLICY",
    "PROCEDURE",
    "PUBLICATION",
    "RECURSIVE VIEW",
    "ROUTINE",
    "RULE",
    "SERVER",
    "SUBSCRIPTION",
    "SYSTEM",
    "TABLESPACE",
    "TEXT SEARCH",
    "TRANSFORM",
    "TRIGGER",
    "UNLOGGED",
];

fn next_is(cursor: &Cursor<'_>, words: &str) -> bool {
    let mut ahead = *cursor;
    ahead.eat(words)
}

pub(super) fn refuse(cursor: &Cursor<'_>) -> Result<()> {
    match STATEMENTS.iter().find(|words| next_is(cursor, words)) {
        Some(words) => Err(Error::unsupported(words)),
        None => Ok(()),
    }
}

/// After CREATE, ALTER or DROP.
pub(super) fn refuse_object(command: &str, cursor: &Cursor<'_>) -> Result<()> {
    let mut cursor = *cursor;
    cursor.eat("OR REPLACE");
    if let Some(words) = OBJECTS.iter().find(|words| next_is(&cursor, words)) {
        let what = if *words == "UNLOGGED" { "UNLOGGED TABLE" } else { words };
        return Err(Error::unsupported(format!("{command} {what}")));
    }
    if command == "CREATE" && cursor.eat("EXTENSION") {
        cursor.eat("IF NOT EXISTS");
        let name = cursor.identifier()?.value;
        return Err(Error::unsupported("CREATE EXTENSION")
            .with_detail(format!("Extension \"{name}\" is not available."))
            .with_hint("There are no extensions; what common ones bring is built in where it is supported."));
    }
    Ok(())
}
