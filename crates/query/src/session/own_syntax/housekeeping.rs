//! BACKUP and CHECK.

use heliosdb_types::{Error, Result};
use sqlparser::ast;

use super::OwnStatement;
use super::cursor::Cursor;

/// `BACKUP TO STDOUT`.
pub(super) fn backup(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("BACKUP")?;
    cursor.expect("TO")?;
    if !cursor.eat("STDOUT") {
        return Err(Error::unsupported("BACKUP to a place of the server's")
            .with_hint("heliosdb backup DIR and BACKUP TO STDOUT give the backup to the client."));
    }
    cursor.expect_end()?;
    Ok(OwnStatement::Backup)
}

/// What CHECK is about.
#[derive(Clone, Debug)]
pub(crate) enum CheckWhat {
    /// Every file, and everything in this database.
    Database,
    /// As `Database`, without reading all files.
    Catalog,
    Tables(Vec<ast::ObjectName>),
}

/// `CHECK DATABASE`, `CHECK CATALOG`, `CHECK TABLE name, ...`.
pub(super) fn check(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("CHECK")?;
    let what = if cursor.eat("DATABASE") {
        CheckWhat::Database
    } else if cursor.eat("CATALOG") {
        CheckWhat::Catalog
    } else {
        cursor.expect("TABLE")?;
        CheckWhat::Tables(cursor.names()?)
    };
    cursor.expect_end()?;
    Ok(OwnStatement::Check(what))
}
