//! Statements the parser does not know or reads differently.
//!
//! A script is cut into statements at its top-level semicolons; those that begin with words of ours are read token by token
//! ([`Cursor`]), all others by the parser. Tokens keep their places in the whole script, so positions in errors are right.

mod access;
mod alter;
mod comment;
mod constraints;
mod copy;
mod create;
mod current_of;
mod cursor;
mod deferrable;
mod housekeeping;
mod listen;
mod portals;
mod refused;
mod reindex;
mod sequence;
mod statistics;
mod table_as;
mod vacuum;

use std::sync::LazyLock;

use heliosdb_types::{Error, Result, SqlState};
use regex::Regex;
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::statement::Parsed;
use crate::bind;

pub(crate) use alter::{AlterAction, IdentityChange, RelationChange};
pub(crate) use comment::CommentTarget;
pub(crate) use copy::{CopyOption, CopySource, CopyStatement, CopyTarget, CopyValue};
pub(crate) use create::{Like, LikeOption};
pub(crate) use housekeeping::CheckWhat;
pub(crate) use portals::{DeclareCursor, Direction};
pub(crate) use reindex::ReindexTarget;
pub(crate) use sequence::SequenceOptions;
pub(crate) use statistics::StatisticsStatement;
pub(crate) use table_as::TableAs;
pub(crate) use vacuum::Vacuum;

pub(crate) use access::{
    AccessStatement, DatabaseChange, Grant, GrantRoles, GrantTarget, Kind as GrantKind, RoleOption, RoleSpec,
    SettingEdit,
};
use cursor::Cursor;

/// A statement of our own making.
#[derive(Clone, Debug)]
pub(crate) enum OwnStatement {
    Abort {
        chain: bool,
    },
    Declare(DeclareCursor),
    Fetch {
        name: String,
        direction: Direction,
        moves: bool,
    },
    /// UPDATE or DELETE of the row a cursor stands on.
    CurrentOf {
        statement: Box<ast::Statement>,
        cursor: String,
    },
    /// `None`: all.
    Close {
        name: Option<String>,
    },
    /// BEGIN or SET TRANSACTION with [NOT] DEFERRABLE.
    Deferrable {
        statement: Box<ast::Statement>,
        deferrable: bool,
    },
    Checkpoint,
    /// BACKUP TO STDOUT
    Backup,
    Check(CheckWhat),
    Listen {
        channel: String,
    },
    /// `None`: all.
    Unlisten {
        channel: Option<String>,
    },
    Notify {
        channel: String,
        payload: String,
    },
    /// No names: all of them.
    SetConstraints {
        names: Vec<ast::ObjectName>,
        deferred: bool,
    },
    Copy(Box<CopyStatement>),
    Reindex {
        target: ReindexTarget,
        name: Option<ast::ObjectName>,
        concurrently: bool,
    },
    DropIndexConcurrently {
        names: Vec<ast::ObjectName>,
        if_exists: bool,
        cascade: bool,
    },
    /// GRANT and REVOKE, roles, databases.
    Access(Box<AccessStatement>),
    /// CREATE SEQUENCE
    CreateSequence {
        temporary: bool,
        if_not_exists: bool,
        name: ast::ObjectName,
        options: SequenceOptions,
    },
    AlterSequence {
        name: ast::ObjectName,
        if_exists: bool,
        options: SequenceOptions,
    },
    /// ALTER TABLE, VIEW, SEQUENCE or INDEX with an action all of them have.
    AlterRelation {
        /// `TABLE`, `VIEW`, ...
        kind: &'static str,
        name: ast::ObjectName,
        if_exists: bool,
        change: RelationChange,
    },
    /// ALTER TYPE ... SET SCHEMA or OWNER TO.
    AlterType {
        name: ast::ObjectName,
        change: RelationChange,
    },
    /// ALTER TABLE with an action the parser does not know.
    AlterTable {
        name: ast::ObjectName,
        if_exists: bool,
        actions: Vec<AlterAction>,
    },
    /// `None`: ALTER SCHEMA ... OWNER TO.
    AlterSchema {
        name: ast::Ident,
        new_name: Option<ast::Ident>,
        owner: Option<ast::Ident>,
    },
    /// CREATE TABLE with LIKE clauses.
    CreateTableLike {
        create: Box<ast::CreateTable>,
        likes: Vec<Like>,
    },
    /// CREATE TABLE AS and SELECT INTO.
    TableAs(Box<TableAs>),
    Comment {
        target: CommentTarget,
        text: Option<String>,
    },
    /// CREATE, ALTER and DROP STATISTICS
    Statistics(Box<StatisticsStatement>),
    /// VACUUM and ANALYZE; no tables: all of them.
    Vacuum(Vacuum),
}

/// Words without which a script has nothing for us.
static SPECIAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(current\s+of|copy|vacuum|analyze|analyse|checkpoint|abort|deferrable|declare|fetch|move|close|create|alter|grant|revoke|role|authorization|owned|drop|comment|do|call|cluster|load|security|refresh|import|reindex|backup|check|listen|notify|unlisten|constraints)\b",
    )
    .expect("a valid pattern")
});

/// Parses a script into statements.
pub(crate) fn parse_script(sql: &str) -> Result<Vec<Parsed>> {
    if sql.contains('\0') {
        return Err(Error::invalid(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    if !SPECIAL.is_match(sql) {
        return plain(sql);
    }
    let Some(pieces) = split(sql) else { return plain(sql) };
    let mut out = Vec::new();
    for piece in pieces {
        if !piece.is_empty() {
            parse_piece(sql, &piece, &mut out)?;
        }
    }
    Ok(out)
}

fn plain(sql: &str) -> Result<Vec<Parsed>> {
    parsed(bind::parse(sql)?.into_iter().map(|parsed| parsed.statement))
}

/// Tokens of `sql` through the parser.
fn plain_tokens(tokens: &[TokenWithSpan], sql: &str) -> Result<Vec<Parsed>> {
    parsed(bind::parse_tokens(tokens.to_vec(), sql)?.into_iter().map(|parsed| parsed.statement))
}

fn parsed(statements: impl Iterator<Item = ast::Statement>) -> Result<Vec<Parsed>> {
    statements.map(table_as::select_into).collect()
}

/// Cuts a text at its top-level semicolons into tokens without blanks and comments; `None` if it cannot even be cut into tokens.
fn split(sql: &str) -> Option<Vec<Vec<TokenWithSpan>>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().ok()?;
    let mut pieces = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        match token.token {
            Token::SemiColon => pieces.push(std::mem::take(&mut current)),
            Token::Whitespace(_) | Token::EOF => {}
            _ => current.push(token),
        }
    }
    pieces.push(current);
    Some(pieces)
}

fn parse_piece(sql: &str, piece: &[TokenWithSpan], out: &mut Vec<Parsed>) -> Result<()> {
    let mut cursor = Cursor::new(sql, piece);
    if let Some(statement) = access::access_statement(&mut cursor)? {
        out.push(Parsed::Own(OwnStatement::Access(Box::new(statement))));
        return Ok(());
    }
    let own = match cursor.word().as_str() {
        "COPY" => Some(copy::copy(&mut cursor)?),
        "ABORT" => Some(abort(&mut cursor)?),
        "DECLARE" => Some(portals::declare(&mut cursor, piece)?),
        "FETCH" | "MOVE" => Some(portals::fetch(&mut cursor)?),
        "CLOSE" => Some(portals::close(&mut cursor)?),
        "BEGIN" | "START" | "SET" if deferrable::is_said(piece) => {
            let (rest, deferrable) = deferrable::taken_out(piece);
            match plain_tokens(&rest, sql)?.pop() {
                Some(Parsed::Ast(statement)) => Some(OwnStatement::Deferrable { statement, deferrable }),
                _ => return Err(Error::unsupported("DEFERRABLE here")),
            }
        }
        "CHECKPOINT" if piece.len() == 1 => Some(OwnStatement::Checkpoint),
        "BACKUP" => Some(housekeeping::backup(&mut cursor)?),
        "CHECK" => Some(housekeeping::check(&mut cursor)?),
        "LISTEN" => Some(listen::listen(&mut cursor)?),
        "UNLISTEN" => Some(listen::unlisten(&mut cursor)?),
        "NOTIFY" => Some(listen::notify(&mut cursor)?),
        "VACUUM" => Some(vacuum::vacuum("VACUUM", &mut cursor)?),
        "ANALYZE" | "ANALYSE" => Some(vacuum::vacuum("ANALYZE", &mut cursor)?),
        "SET" if cursor.word_at(1) == "CONSTRAINTS" => Some(constraints::set_constraints(&mut cursor)?),
        "UPDATE" | "DELETE" if current_of::is_said(piece) => Some(current_of::current_of(piece, sql)?),
        "DROP" if cursor.word_at(1) == "INDEX" && cursor.word_at(2) == "CONCURRENTLY" => {
            Some(reindex::drop_concurrently(&mut cursor)?)
        }
        "DROP" if cursor.word_at(1) == "STATISTICS" => Some(statistics::drop(&mut cursor)?),
        "REINDEX" => Some(reindex::reindex(&mut cursor)?),
        "COMMENT" => Some(comment::comment(&mut cursor)?),
        "ALTER" => alter::alter(&mut cursor)?,
        "CREATE" => create::create(&mut cursor)?,
        _ => {
            refused::refuse(&cursor)?;
            None
        }
    };
    match own {
        Some(own) => out.push(Parsed::Own(own)),
        None => out.extend(plain_tokens(piece, sql)?),
    }
    Ok(())
}

fn abort(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("ABORT")?;
    let _ = cursor.eat("WORK") || cursor.eat("TRANSACTION");
    let chain = if cursor.eat("AND NO CHAIN") { false } else { cursor.eat("AND CHAIN") };
    cursor.expect_end()?;
    Ok(OwnStatement::Abort { chain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_at_semicolons() {
        let script = "select ';copy'; COPY t FROM STDIN; vacuum analyze a.b, c; abort and chain; checkpoint";
        let parsed = parse_script(script).unwrap();
        assert_eq!(parsed.len(), 5);
        assert!(matches!(&parsed[1], Parsed::Own(OwnStatement::Copy(_))));
        assert!(
            matches!(&parsed[2], Parsed::Own(OwnStatement::Vacuum(found)) if found.analyze && found.tables.len() == 2)
        );
        assert!(matches!(&parsed[3], Parsed::Own(OwnStatement::Abort { chain: true })));
        assert!(parse_script("vacuum (parallel 3) t").is_err());
    }

    #[test]
    fn positions_count_from_the_start_of_the_script() {
        let error = parse_script("vacuum;\nselec 1").unwrap_err();
        assert_eq!(error.position(), Some(9));
        let error = parse_script("vacuum;\nalter table t foo").unwrap_err();
        assert_eq!(error.position(), Some(23));
    }
}
