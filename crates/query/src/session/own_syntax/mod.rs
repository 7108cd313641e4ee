//! Statements the parser does not know or reads differently: COPY without a semicolon, VACUUM, CHECKPOINT, ABORT, USER.

mod copy;
mod reindex;
mod sequence;
mod vacuum;

use std::sync::LazyLock;

use heliosdb_types::{Error, Result, SqlState};
use regex::Regex;
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::statement::Parsed;
use crate::bind;

pub(crate) use reindex::ReindexTarget;
pub(crate) use sequence::SequenceChange;

use copy::plain_booleans;
use reindex::reindex;
use sequence::{alter_sequence, ordered_sequence};
use vacuum::vacuum;

/// A statement of our own making.
#[derive(Clone, Debug)]
pub(crate) enum OwnStatement {
    Abort {
        chain: bool,
    },
    Checkpoint,
    Reindex {
        target: ReindexTarget,
        name: Option<ast::ObjectName>,
        concurrently: bool,
    },
    /// VACUUM and ANALYZE; no tables: all of them.
    AlterSequence {
        name: ast::ObjectName,
        if_exists: bool,
        change: SequenceChange,
    },
    Vacuum {
        command: &'static str,
        full: bool,
        vacuum: bool,
        tables: Vec<ast::ObjectName>,
    },
}

static SPECIAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(copy|vacuum|analyze|checkpoint|abort|user|sequence|reindex)\b").expect("a valid pattern")
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
        // Blanks stand for what came before, so that positions count from the script's start.
        let before = sql.get(..piece.start).unwrap_or("");
        let padding: String = before.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        let text = sql.get(piece.start..piece.end).unwrap_or("");
        parse_piece(&padding, text, &piece.tokens, &mut out)?;
    }
    Ok(out)
}

fn plain(sql: &str) -> Result<Vec<Parsed>> {
    Ok(bind::parse(sql)?.into_iter().map(|parsed| Parsed::Ast(Box::new(parsed.statement))).collect())
}

struct Piece {
    start: usize,
    end: usize,
    tokens: Vec<Token>,
}

/// Cuts a text at its top-level semicolons; `None` if it cannot even be cut into tokens.
fn split(sql: &str) -> Option<Vec<Piece>> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().ok()?;
    let lines: Vec<usize> =
        std::iter::once(0).chain(sql.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1)).collect();
    let offset = |location: Location| {
        let line = *lines.get(location.line as usize - 1)?;
        let column = location.column as usize - 1;
        let chars = sql.get(line..)?.char_indices().map(|(at, _)| at).nth(column);
        Some(chars.map_or(sql.len(), |at| line + at))
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut current = Vec::new();
    for token in tokens {
        match token.token {
            Token::SemiColon => {
                let at = offset(token.span.start)?;
                pieces.push(Piece { start, end: at, tokens: std::mem::take(&mut current) });
                start = at + 1;
            }
            Token::Whitespace(_) => {}
            other => current.push(other),
        }
    }
    pieces.push(Piece { start, end: sql.len(), tokens: current });
    Some(pieces)
}

fn word(token: Option<&Token>) -> Option<String> {
    match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    }
}

fn parse_piece(padding: &str, text: &str, tokens: &[Token], out: &mut Vec<Parsed>) -> Result<()> {
    let first = word(tokens.first()).unwrap_or_default();
    let second = word(tokens.get(1)).unwrap_or_default();
    match (first.as_str(), second.as_str()) {
        ("COPY", _) => out.extend(plain(&format!("{padding}{};", plain_booleans(text)))?),
        ("ABORT", _) => out.push(Parsed::Own(abort(tokens)?)),
        ("CHECKPOINT", "") if tokens.len() == 1 => out.push(Parsed::Own(OwnStatement::Checkpoint)),
        ("VACUUM", _) => out.push(Parsed::Own(vacuum("VACUUM", tokens)?)),
        ("ANALYZE" | "ANALYSE", _) => out.push(Parsed::Own(vacuum("ANALYZE", tokens)?)),
        ("REINDEX", _) => out.push(Parsed::Own(reindex(tokens)?)),
        ("ALTER", "SEQUENCE") => out.push(Parsed::Own(alter_sequence(tokens)?)),
        ("CREATE", "SEQUENCE") => match ordered_sequence(tokens) {
            // Positions are lost with the order; an option that is wrong is told by its name.
            Some(ordered) => out.extend(plain(&ordered).map_err(Error::without_position)?),
            None => out.extend(plain(&format!("{padding}{text}"))?),
        },
        ("CREATE" | "ALTER" | "DROP", "USER") => {
            let at = text.to_ascii_uppercase().find("USER").unwrap_or(0);
            let (head, tail) = text.split_at(at);
            let mut parsed = plain(&format!("{padding}{head}ROLE{}", tail.get(4..).unwrap_or("")))?;
            for statement in &mut parsed {
                if let Parsed::Ast(statement) = statement
                    && let ast::Statement::CreateRole(create) = &mut **statement
                {
                    create.login = create.login.or(Some(true));
                }
            }
            out.extend(parsed);
        }
        _ => out.extend(plain(&format!("{padding}{text}"))?),
    }
    Ok(())
}

fn abort(tokens: &[Token]) -> Result<OwnStatement> {
    let words: Vec<String> = tokens.iter().map(|token| word(Some(token)).unwrap_or_default()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = match words.as_slice() {
        ["ABORT", "WORK" | "TRANSACTION", rest @ ..] => rest,
        ["ABORT", rest @ ..] => rest,
        _ => &[],
    };
    match rest {
        [] | ["AND", "NO", "CHAIN"] => Ok(OwnStatement::Abort { chain: false }),
        ["AND", "CHAIN"] => Ok(OwnStatement::Abort { chain: true }),
        _ => Err(near(tokens.get(1))),
    }
}

fn near(token: Option<&Token>) -> Error {
    match token {
        Some(token) => Error::syntax(format!("syntax error at or near \"{token}\"")),
        None => Error::syntax("syntax error at end of input"),
    }
}

fn table_list(command: &str, tokens: &[Token]) -> Result<Vec<ast::ObjectName>> {
    let mut tables = Vec::new();
    let mut parts: Vec<ast::Ident> = Vec::new();
    let mut expect_word = true;
    for token in tokens {
        match token {
            Token::Word(word) if expect_word => {
                parts.push(ast::Ident {
                    value: word.value.clone(),
                    quote_style: word.quote_style,
                    span: sqlparser::tokenizer::Span::empty(),
                });
                expect_word = false;
            }
            Token::Period if !expect_word => expect_word = true,
            Token::Comma if !expect_word => {
                tables.push(ast::ObjectName::from(std::mem::take(&mut parts)));
                expect_word = true;
            }
            Token::LParen => return Err(Error::unsupported(format!("{command} of columns"))),
            other => return Err(near(Some(other))),
        }
    }
    if !parts.is_empty() {
        tables.push(ast::ObjectName::from(parts));
    } else if expect_word && !tokens.is_empty() {
        return Err(near(None));
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_options_take_every_spelling_of_a_boolean() {
        let options = plain_booleans("copy t from stdin with (freeze on, header OFF, header 1)");
        assert_eq!(options, "copy t from stdin with (freeze true, header false, header true)");
        let query = "copy (select 1 from a join header on a.x = header.x) to stdout";
        assert_eq!(plain_booleans(query), query);
    }

    #[test]
    fn scripts_are_cut_at_semicolons() {
        let script = "select ';copy'; COPY t FROM STDIN; vacuum analyze a.b, c; abort and chain; checkpoint";
        let parsed = parse_script(script).unwrap();
        assert_eq!(parsed.len(), 5);
        assert!(matches!(&parsed[1], Parsed::Ast(s) if matches!(**s, ast::Statement::Copy { .. })));
        assert!(matches!(&parsed[2], Parsed::Own(OwnStatement::Vacuum { tables, .. }) if tables.len() == 2));
        assert!(matches!(&parsed[3], Parsed::Own(OwnStatement::Abort { chain: true })));
        assert!(parse_script("vacuum (parallel 3) t").is_err());
    }

    #[test]
    fn sequence_options_come_in_any_order() {
        let sql = "create sequence if not exists s.q start with 5 no maxvalue cache 1 increment by -2 as integer";
        let parsed = parse_script(sql).unwrap();
        let Parsed::Ast(statement) = &parsed[0] else { panic!("parsed") };
        let ast::Statement::CreateSequence { if_not_exists: true, sequence_options, data_type: Some(_), .. } =
            &**statement
        else {
            panic!("{statement}")
        };
        assert_eq!(sequence_options.len(), 4);
    }

    #[test]
    fn positions_count_from_the_start_of_the_script() {
        let error = parse_script("vacuum;\nselec 1").unwrap_err();
        assert_eq!(error.position(), Some(9));
    }

    #[test]
    fn users_are_roles_that_log_in() {
        let parsed = parse_script("create user bob").unwrap();
        let Parsed::Ast(statement) = &parsed[0] else { panic!("parsed") };
        assert!(matches!(&**statement, ast::Statement::CreateRole(create) if create.login == Some(true)));
    }
}
