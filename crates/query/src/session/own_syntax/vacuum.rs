//! VACUUM and ANALYZE.

use heliosdb_types::{Error, Result};
use sqlparser::tokenizer::Token;

use super::OwnStatement;
use super::cursor::Cursor;

/// `VACUUM [FULL] [FREEZE] [VERBOSE] [ANALYZE] [table, ...]`, `VACUUM (option, ...) [table, ...]`, `ANALYZE [VERBOSE] [table]`.
pub(super) fn vacuum(command: &'static str, cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.identifier()?;
    let mut full = false;
    if cursor.eat_token(&Token::LParen) {
        loop {
            let option = cursor.word();
            match option.as_str() {
                "FULL" => full = true,
                "FREEZE" | "ANALYZE" => {}
                "" => return Err(cursor.error()),
                other => return Err(Error::unsupported(format!("{command} option {other}"))),
            }
            cursor.identifier()?;
            if !cursor.eat_token(&Token::Comma) {
                cursor.expect_token(&Token::RParen)?;
                break;
            }
        }
    } else {
        loop {
            if cursor.eat("FULL") {
                full = true;
            } else if cursor.word() == "VERBOSE" {
                return Err(Error::unsupported(format!("{command} VERBOSE")));
            } else if !(cursor.eat("FREEZE") || cursor.eat("ANALYZE")) {
                break;
            }
        }
    }
    let tables = if cursor.is_at_end() { Vec::new() } else { cursor.names()? };
    if cursor.peek() == Some(&Token::LParen) {
        return Err(Error::unsupported(format!("{command} of columns")));
    }
    cursor.expect_end()?;
    Ok(OwnStatement::Vacuum { command, full, vacuum: command == "VACUUM", tables })
}
