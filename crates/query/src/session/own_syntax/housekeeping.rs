//! BACKUP and CHECK.

use heliosdb_types::{Error, Result};

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

/// `CHECK DATABASE`, `CHECK TABLE name, ...`.
pub(super) fn check(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("CHECK")?;
    let tables = if cursor.eat("DATABASE") {
        Vec::new()
    } else {
        cursor.expect("TABLE")?;
        cursor.names()?
    };
    cursor.expect_end()?;
    Ok(OwnStatement::Check { tables })
}
