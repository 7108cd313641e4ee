//! Statements the parser does not know or reads differently: COPY without a semicolon, VACUUM, CHECKPOINT, ABORT, USER.

use std::sync::LazyLock;

use heliosdb_types::{Error, Result, SqlState};
use regex::Regex;
use sqlparser::ast;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::statement::Parsed;
use crate::bind;

/// A statement of our own making.
#[derive(Clone, Debug)]
pub(crate) enum OwnStatement {
    Abort {
        chain: bool,
    },
    Checkpoint,
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

/// What ALTER SEQUENCE changes.
#[derive(Clone, Debug)]
pub(crate) enum SequenceChange {
    /// RESTART, perhaps WITH a value.
    Restart(Option<i64>),
    /// OWNED BY a column, or (`None`) NONE.
    OwnedBy(Option<ast::ObjectName>),
    OwnerTo(ast::Ident),
}

static SPECIAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(copy|vacuum|analyze|checkpoint|abort|user|sequence)\b").expect("a valid pattern")
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

/// The parser knows options that are TRUE or FALSE; PostgreSQL, and pgbench's `freeze on`, know ON, OFF, 1 and 0 too.
fn plain_booleans(copy: &str) -> std::borrow::Cow<'_, str> {
    static OPTION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)\b(freeze|header)\s+(on|off|1|0)\b").expect("a valid pattern"));
    // Options follow STDIN or STDOUT; what precedes may be a query that joins a table named header ON something.
    let Some(options) = copy.to_ascii_uppercase().rfind(" STD") else { return copy.into() };
    let (before, options) = copy.split_at(options);
    let options = OPTION.replace_all(options, |found: &regex::Captures<'_>| {
        let value = matches!(&found[2], "1") || found[2].eq_ignore_ascii_case("on");
        format!("{} {value}", &found[1])
    });
    format!("{before}{options}").into()
}

/// `ALTER SEQUENCE [IF EXISTS] name RESTART [WITH n] | OWNED BY column | OWNER TO role`.
fn alter_sequence(tokens: &[Token]) -> Result<OwnStatement> {
    let words: Vec<String> = tokens.iter().map(|token| word(Some(token)).unwrap_or_default()).collect();
    let if_exists = words.get(2).is_some_and(|w| w == "IF") && words.get(3).is_some_and(|w| w == "EXISTS");
    let start = if if_exists { 4 } else { 2 };
    let is_change =
        |w: &String| matches!(w.as_str(), "RESTART" | "OWNED" | "OWNER") || KNOWN_CHANGES.contains(&w.as_str());
    let at = words.iter().skip(start + 1).position(is_change).map(|at| at + start + 1);
    let at = at.ok_or_else(|| near(tokens.get(start + 1)))?;
    let names = |range: std::ops::Range<usize>| table_list("ALTER SEQUENCE", tokens.get(range).unwrap_or(&[]));
    let name = names(start..at)?.into_iter().next().ok_or_else(|| near(tokens.get(start)))?;
    let rest: Vec<&str> = words.iter().skip(at).map(String::as_str).collect();
    let number = |from: usize| {
        let text: String = tokens.iter().skip(from).map(ToString::to_string).collect();
        text.parse::<i64>().map_err(|_| near(tokens.get(from)))
    };
    let change = match rest.as_slice() {
        ["RESTART"] => SequenceChange::Restart(None),
        ["RESTART", "WITH", ..] => SequenceChange::Restart(Some(number(at + 2)?)),
        ["RESTART", ..] => SequenceChange::Restart(Some(number(at + 1)?)),
        ["OWNED", "BY", "NONE"] => SequenceChange::OwnedBy(None),
        ["OWNED", "BY", ..] => SequenceChange::OwnedBy(names(at + 2..tokens.len())?.into_iter().next()),
        ["OWNER", "TO", _] => match names(at + 2..tokens.len())?.pop().and_then(|mut name| name.0.pop()) {
            Some(ast::ObjectNamePart::Identifier(ident)) => SequenceChange::OwnerTo(ident),
            _ => return Err(near(tokens.get(at + 2))),
        },
        _ => return Err(Error::unsupported(format!("ALTER SEQUENCE ... {}", rest.first().unwrap_or(&"")))),
    };
    Ok(OwnStatement::AlterSequence { name, if_exists, change })
}

/// Changes PostgreSQL knows and we refuse.
const KNOWN_CHANGES: &[&str] =
    &["AS", "INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "NO", "CYCLE", "SET", "RENAME"];

/// CREATE SEQUENCE with its options in the one order the parser takes them; `None` if they are not plain options.
fn ordered_sequence(tokens: &[Token]) -> Option<String> {
    const ORDER: [&str; 8] = ["AS", "INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE", "OWNED"];
    let starts = |token: &Token| word(Some(token)).is_some_and(|w| w == "NO" || ORDER.contains(&w.as_str()));
    let first = tokens.iter().skip(2).position(starts)? + 2;
    let (head, options) = tokens.split_at_checked(first)?;
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    let mut after_no = false;
    for token in options {
        let option = word(Some(token)).and_then(|w| ORDER.iter().position(|known| *known == w));
        match option {
            Some(at) if after_no => groups.last_mut()?.0 = at,
            Some(at) => groups.push((at, Vec::new())),
            None if word(Some(token)).as_deref() == Some("NO") => groups.push((0, Vec::new())),
            None => {}
        }
        after_no = word(Some(token)).as_deref() == Some("NO");
        groups.last_mut()?.1.push(token.to_string());
    }
    groups.sort_by_key(|(at, _)| *at);
    let head = head.iter().map(ToString::to_string);
    let words: Vec<String> = head.chain(groups.into_iter().flat_map(|(_, words)| words)).collect();
    Some(words.join(" ").replace(" . ", ".").replace("- ", "-"))
}

fn near(token: Option<&Token>) -> Error {
    match token {
        Some(token) => Error::syntax(format!("syntax error at or near \"{token}\"")),
        None => Error::syntax("syntax error at end of input"),
    }
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

/// `VACUUM [FULL] [FREEZE] [VERBOSE] [ANALYZE] [table, ...]`, `VACUUM (option, ...) [table, ...]`, `ANALYZE [VERBOSE] [table]`.
fn vacuum(command: &'static str, tokens: &[Token]) -> Result<OwnStatement> {
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
