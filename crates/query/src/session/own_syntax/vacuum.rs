//! VACUUM and ANALYZE.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::Token;

use super::OwnStatement;
use super::cursor::Cursor;

/// What to vacuum or analyze, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vacuum {
    /// As it was called: `VACUUM` or `ANALYZE`.
    pub command: &'static str,
    pub full: bool,
    pub vacuum: bool,
    pub analyze: bool,
    pub verbose: bool,
    /// Tables somebody else has locked are left out.
    pub skip_locked: bool,
    /// With the columns to look at, if not all; no tables: all of them.
    pub tables: Vec<(ast::ObjectName, Vec<ast::Ident>)>,
}

/// `VACUUM [FULL] [FREEZE] [VERBOSE] [ANALYZE] [tables]`, `ANALYZE [VERBOSE] [tables]`, or either with `(option [value], ...)`;
/// tables are `name [(column, ...)], ...`.
pub(super) fn vacuum(command: &'static str, cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.identifier()?;
    let is_vacuum = command == "VACUUM";
    let mut out = Vacuum { command, vacuum: is_vacuum, analyze: !is_vacuum, ..Vacuum::default() };
    if cursor.eat_token(&Token::LParen) {
        loop {
            option(command, cursor, &mut out)?;
            if !cursor.eat_token(&Token::Comma) {
                cursor.expect_token(&Token::RParen)?;
                break;
            }
        }
    } else {
        out.full = is_vacuum && cursor.eat("FULL");
        let _ = is_vacuum && cursor.eat("FREEZE");
        out.verbose = cursor.eat("VERBOSE");
        out.analyze |= is_vacuum && (cursor.eat("ANALYZE") || cursor.eat("ANALYSE"));
    }
    if !cursor.is_at_end() {
        out.tables = cursor.list(|cursor| {
            let name = cursor.name()?;
            let mut columns = Vec::new();
            if cursor.eat_token(&Token::LParen) {
                columns = cursor.list(|cursor| cursor.identifier())?;
                cursor.expect_token(&Token::RParen)?;
            }
            Ok((name, columns))
        })?;
    }
    cursor.expect_end()?;
    if !out.analyze && out.tables.iter().any(|(_, columns)| !columns.is_empty()) {
        let message = "ANALYZE option must be specified when a column list is provided";
        return Err(Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    if out.verbose && !out.analyze {
        return Err(Error::unsupported("VACUUM VERBOSE without ANALYZE"));
    }
    Ok(OwnStatement::Vacuum(out))
}

fn option(command: &'static str, cursor: &mut Cursor<'_>, out: &mut Vacuum) -> Result<()> {
    let option = cursor.word();
    let here = cursor.error();
    if option.is_empty() {
        return Err(here);
    }
    cursor.identifier()?;
    let on = match cursor.word().as_str() {
        "TRUE" | "ON" => Some(true),
        "FALSE" | "OFF" => Some(false),
        _ => None,
    };
    if on.is_some() {
        cursor.identifier()?;
    }
    let on = on.unwrap_or(true);
    match option.as_str() {
        "VERBOSE" => out.verbose = on,
        "SKIP_LOCKED" if !out.vacuum => out.skip_locked = on,
        "FULL" if out.vacuum => out.full = on,
        "ANALYZE" | "ANALYSE" if out.vacuum => out.analyze = on,
        // Rows are frozen by VACUUM in any case.
        "FREEZE" if out.vacuum => {}
        _ if matches!(option.as_str(), "FULL" | "FREEZE" | "ANALYZE" | "ANALYSE") => {
            let option = option.to_ascii_lowercase();
            let error = Error::syntax(format!("unrecognized ANALYZE option \"{option}\""));
            return Err(match here.position() {
                Some(position) => error.with_position(position),
                None => error,
            });
        }
        other => return Err(Error::unsupported(format!("{command} option {other}"))),
    }
    Ok(())
}
