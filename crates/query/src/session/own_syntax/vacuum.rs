//! VACUUM and ANALYZE.

use heliosdb_types::{Error, Result};
use sqlparser::tokenizer::Token;

use super::{OwnStatement, near, table_list, word};

/// `VACUUM [FULL] [FREEZE] [VERBOSE] [ANALYZE] [table, ...]`, `VACUUM (option, ...) [table, ...]`, `ANALYZE [VERBOSE] [table]`.
pub(super) fn vacuum(command: &'static str, tokens: &[Token]) -> Result<OwnStatement> {
    let mut at = 1;
    let mut full = false;
    if matches!(tokens.get(at), Some(Token::LParen)) {
        at += 1;
        loop {
            match word(tokens.get(at)).unwrap_or_default().as_str() {
                "FULL" => full = true,
                "FREEZE" | "ANALYZE" => {}
                "" => return Err(near(tokens.get(at))),
                other => return Err(Error::unsupported(format!("{command} option {other}"))),
            }
            at += 1;
            match tokens.get(at) {
                Some(Token::Comma) => at += 1,
                Some(Token::RParen) => break at += 1,
                other => return Err(near(other)),
            }
        }
    } else {
        loop {
            match word(tokens.get(at)).unwrap_or_default().as_str() {
                "FULL" => full = true,
                "FREEZE" | "ANALYZE" => {}
                "VERBOSE" => return Err(Error::unsupported(format!("{command} VERBOSE"))),
                _ => break,
            }
            at += 1;
        }
    }
    let tables = table_list(command, tokens.get(at..).unwrap_or(&[]))?;
    Ok(OwnStatement::Vacuum { command, full, vacuum: command == "VACUUM", tables })
}
