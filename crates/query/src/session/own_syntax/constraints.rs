//! SET CONSTRAINTS.

use heliosdb_types::Result;

use super::OwnStatement;
use super::cursor::Cursor;

/// `SET CONSTRAINTS {ALL | name, ...} {DEFERRED | IMMEDIATE}`.
pub(super) fn set_constraints(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("SET")?;
    cursor.expect("CONSTRAINTS")?;
    let names = if cursor.eat("ALL") { Vec::new() } else { cursor.names()? };
    let deferred = cursor.eat("DEFERRED");
    if !deferred {
        cursor.expect("IMMEDIATE")?;
    }
    cursor.expect_end()?;
    Ok(OwnStatement::SetConstraints { names, deferred })
}
