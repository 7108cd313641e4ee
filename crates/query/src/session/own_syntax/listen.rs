//! LISTEN, NOTIFY and UNLISTEN.

use heliosdb_types::Result;
use sqlparser::tokenizer::Token;

use super::OwnStatement;
use super::cursor::Cursor;

/// `LISTEN channel`.
pub(super) fn listen(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("LISTEN")?;
    let channel = cursor.folded()?;
    cursor.expect_end()?;
    Ok(OwnStatement::Listen { channel })
}

/// `UNLISTEN channel | *`.
pub(super) fn unlisten(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("UNLISTEN")?;
    let channel = if cursor.eat_token(&Token::Mul) { None } else { Some(cursor.folded()?) };
    cursor.expect_end()?;
    Ok(OwnStatement::Unlisten { channel })
}

/// `NOTIFY channel [, payload]`.
pub(super) fn notify(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("NOTIFY")?;
    let channel = cursor.folded()?;
    let payload = if cursor.eat_token(&Token::Comma) { cursor.string()? } else { String::new() };
    cursor.expect_end()?;
    Ok(OwnStatement::Notify { channel, payload })
}
