//! What PostgreSQL allows and the parser does not know, said to it in words it knows, before it parses.
//!
//! Tokens keep their spans, so error positions stay right. `OVERRIDING SYSTEM VALUE` becomes a PARTITION nobody can write
//! ([`OVERRIDING_SYSTEM`]); options of sequences, which come in any order, are put into the parser's.

use heliosdb_contracts::RowLockMode;
use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::position::Positions;

const OVERRIDING_SYSTEM: &str = "\u{1}system";
const OVERRIDING_USER: &str = "\u{1}user";

/// The parser's order of sequence options; `NO` belongs to the word after it.
const SEQUENCE_OPTIONS: [&str; 8] = ["AS", "INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE", "OWNED"];

/// Row lock modes as the first part of the name after OF, where nobody can write them.
pub(super) const LOCK_MODES: [(&str, RowLockMode); 4] = [
    ("\u{1}key share", RowLockMode::KeyShare),
    ("\u{1}share", RowLockMode::Share),
    ("\u{1}no key update", RowLockMode::NoKeyUpdate),
    ("\u{1}update", RowLockMode::Update),
];

/// What OVERRIDING says about values given to identity columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overriding {
    /// They count, even in GENERATED ALWAYS columns.
    System,
    /// They do not count.
    User,
}

/// Rewrites the tokens of a text.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Vec<TokenWithSpan>> {
    let tokens = super::subscripts::rewritten(tokens);
    let about = |token: &TokenWithSpan| {
        matches!(keyword(token).as_deref(), Some("OVERRIDING" | "IDENTITY" | "SEQUENCE" | "FOR" | "SYMMETRIC"))
    };
    if !tokens.iter().any(about) {
        return Ok(tokens);
    }
    let mut tokens = without_blanks(tokens);
    let mut at = 0;
    while at < tokens.len() {
        match tokens.get(at).and_then(keyword).as_deref() {
            Some("OVERRIDING") => overriding(&mut tokens, at),
            Some("FOR") => row_lock(&mut tokens, at),
            Some("SYMMETRIC")
                if at.checked_sub(1).and_then(|at| tokens.get(at)).and_then(keyword).as_deref() == Some("BETWEEN") =>
            {
                return Err(
                    Error::unsupported("BETWEEN SYMMETRIC").with_hint("Write least() and greatest() of the bounds.")
                );
            }
            Some("IDENTITY") if is(&tokens, at + 1, &Token::LParen) => {
                let end = (at + 2..tokens.len()).find(|end| is(&tokens, *end, &Token::RParen)).unwrap_or(tokens.len());
                sort_options(&mut tokens, at + 2, end, sql)?;
            }
            Some("SEQUENCE") if creates(&tokens, at) => {
                let end = (at..tokens.len()).find(|end| is(&tokens, *end, &Token::SemiColon)).unwrap_or(tokens.len());
                let option = |at: &usize| tokens.get(*at).and_then(keyword).is_some_and(|word| starts_option(&word));
                // The name comes first, and may be such a word; a dot may follow it.
                if let Some(first) = (at + 2..end).find(option) {
                    sort_options(&mut tokens, first, end, sql)?;
                }
            }
            _ => {}
        }
        at += 1;
    }
    Ok(tokens)
}

fn without_blanks(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect()
}

fn keyword(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    }
}

fn is(tokens: &[TokenWithSpan], at: usize, token: &Token) -> bool {
    tokens.get(at).is_some_and(|found| found.token == *token)
}

fn starts_option(word: &str) -> bool {
    word == "NO" || SEQUENCE_OPTIONS.contains(&word)
}

/// Whether SEQUENCE at `at` follows CREATE.
fn creates(tokens: &[TokenWithSpan], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at)).and_then(keyword);
    match before(1).as_deref() {
        Some("CREATE") => true,
        Some("TEMP" | "TEMPORARY") => before(2).as_deref() == Some("CREATE"),
        _ => false,
    }
}

/// `FOR NO KEY UPDATE`, `FOR KEY SHARE` and `OF a, b` become `FOR UPDATE OF marker.a.b`; LIMIT, OFFSET and FETCH, which may
/// follow, come first.
fn row_lock(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let words = [word(at + 1), word(at + 2), word(at + 3)];
    let words = words.each_ref().map(Option::as_deref);
    let (mode, length) = match words {
        [Some("NO"), Some("KEY"), Some("UPDATE")] => (RowLockMode::NoKeyUpdate, 4),
        [Some("KEY"), Some("SHARE"), _] => (RowLockMode::KeyShare, 3),
        [Some("UPDATE"), ..] => (RowLockMode::Update, 2),
        [Some("SHARE"), ..] => (RowLockMode::Share, 2),
        _ => return,
    };
    let mut end = at + length;
    let mut names = Vec::new();
    if word(end).as_deref() == Some("OF") {
        end += 1;
        while let Some(TokenWithSpan { token: Token::Word(name), .. }) = tokens.get(end) {
            if name.value.starts_with('\u{1}') {
                return; // said already
            }
            names.extend(tokens.get(end).cloned());
            end += 1;
            if !is(tokens, end, &Token::Comma) {
                break;
            }
            end += 1;
        }
    }
    let plain = names.is_empty() && length == 2;
    let Some(span) = tokens.get(at).map(|token| token.span) else { return };
    let mut said: Vec<TokenWithSpan> = Vec::new();
    let marker = LOCK_MODES.iter().find(|(_, marked)| *marked == mode).map_or("", |(marker, _)| *marker);
    let strong = if mode == RowLockMode::Update { "UPDATE" } else { "SHARE" };
    let here = |token: Token| TokenWithSpan { token, span };
    said.extend([here(Token::make_keyword("FOR")), here(Token::make_keyword(strong))]);
    if !plain {
        said.extend([here(Token::make_keyword("OF")), here(Token::make_word(marker, Some('"')))]);
        for name in names {
            said.extend([here(Token::Period), name]);
        }
    }
    if word(end).as_deref() == Some("NOWAIT") {
        said.extend(tokens.get(end).cloned());
        end += 1;
    } else if word(end).as_deref() == Some("SKIP") && word(end + 1).as_deref() == Some("LOCKED") {
        said.extend(tokens.get(end..end + 2).unwrap_or(&[]).iter().cloned());
        end += 2;
    }
    let limits = limits_after(tokens, end);
    // Without a clause after it nothing moves, and what was plain stays as it was written.
    if plain && limits == end {
        return;
    }
    let after: Vec<TokenWithSpan> = tokens.get(end..limits).unwrap_or(&[]).to_vec();
    tokens.splice(at..limits, after.into_iter().chain(said));
}

/// The end of the LIMIT, OFFSET and FETCH clauses that begin at `from`.
fn limits_after(tokens: &[TokenWithSpan], from: usize) -> usize {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    if !matches!(word(from).as_deref(), Some("LIMIT" | "OFFSET" | "FETCH")) {
        return from;
    }
    let mut depth = 0usize;
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => break,
            Token::RParen => depth -= 1,
            Token::SemiColon | Token::EOF => break,
            _ if depth == 0 && matches!(word(at).as_deref(), Some("FOR" | "ON" | "RETURNING")) => break,
            _ => {}
        }
        at += 1;
    }
    at
}

fn overriding(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let marker = match (word(at + 1).as_deref(), word(at + 2).as_deref()) {
        (Some("SYSTEM"), Some("VALUE")) => OVERRIDING_SYSTEM,
        (Some("USER"), Some("VALUE")) => OVERRIDING_USER,
        _ => return,
    };
    let Some(span) = tokens.get(at).map(|token| token.span) else { return };
    let said = [Token::make_keyword("PARTITION"), Token::LParen, Token::make_word(marker, Some('"')), Token::RParen];
    tokens.splice(at..at + 3, said.into_iter().map(|token| TokenWithSpan { token, span }));
}

/// Puts the options between `start` and `end` into the parser's order.
fn sort_options(tokens: &mut [TokenWithSpan], start: usize, end: usize, sql: &str) -> Result<()> {
    let Some(options) = tokens.get(start..end) else { return Ok(()) };
    let mut groups: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
    let mut after_no = false;
    for token in options {
        let word = keyword(token);
        let option = word.as_ref().and_then(|word| SEQUENCE_OPTIONS.iter().position(|known| known == word));
        let no = word.as_deref() == Some("NO");
        match (option, groups.last_mut()) {
            (Some(option), Some(group)) if after_no => group.0 = option,
            (Some(option), _) => groups.push((option, Vec::new())),
            _ if no => groups.push((SEQUENCE_OPTIONS.len(), Vec::new())),
            _ => {}
        }
        after_no = no;
        match groups.last_mut() {
            Some(group) => group.1.push(token.clone()),
            // Not an option: the parser will say so.
            None => return Ok(()),
        }
    }
    for (at, (option, words)) in groups.iter().enumerate() {
        if groups.iter().take(at).any(|(before, _)| before == option) {
            let error = Error::syntax("conflicting or redundant options");
            let position = words.first().and_then(|token| Positions::of(sql).position(token.span.start));
            return Err(
                position.map_or(Error::syntax("conflicting or redundant options"), |at| error.with_position(at))
            );
        }
    }
    groups.sort_by_key(|(option, _)| *option);
    let sorted = groups.into_iter().flat_map(|(_, words)| words);
    if let Some(options) = tokens.get_mut(start..end) {
        options.iter_mut().zip(sorted).for_each(|(slot, token)| *slot = token);
    }
    Ok(())
}

/// INSERT's OVERRIDING, and its alias and columns without what stands for it.
pub(super) type InsertHead<'q> = (Option<Overriding>, Option<&'q ast::TableAliasWithoutColumns>, &'q [ast::ObjectName]);

/// Reads back what [`rewritten`] made of OVERRIDING; `None` if there is a PARTITION the client wrote.
pub(super) fn insert_head(insert: &ast::Insert) -> Option<InsertHead<'_>> {
    let marker = |name: &str| match name {
        OVERRIDING_SYSTEM => Some(Overriding::System),
        OVERRIDING_USER => Some(Overriding::User),
        _ => None,
    };
    let (alias, columns) = (insert.table_alias.as_ref(), insert.columns.as_slice());
    match insert.partitioned.as_deref() {
        Some([ast::Expr::Identifier(ident)]) => Some((Some(marker(&ident.value)?), alias, columns)),
        Some(_) => None,
        // Without a column list the parser takes PARTITION for an alias and the rest for the list.
        None => match columns {
            [ast::ObjectName(parts)] if alias.is_some_and(|alias| !alias.explicit) => {
                let name = parts.first().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
                match name.and_then(marker) {
                    Some(overriding) => Some((Some(overriding), None, &[])),
                    None => Some((None, alias, columns)),
                }
            }
            _ => Some((None, alias, columns)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind::parse::parse;

    fn insert(sql: &str) -> ast::Insert {
        match parse(sql).unwrap().pop().unwrap().statement {
            ast::Statement::Insert(insert) => insert,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn overriding_is_read_with_and_without_columns() {
        for (sql, columns) in [
            ("INSERT INTO t (a, b) OVERRIDING SYSTEM VALUE VALUES (1, 2)", 2),
            ("INSERT INTO t OVERRIDING SYSTEM VALUE SELECT 1", 0),
            ("INSERT INTO t AS x (a) OVERRIDING SYSTEM VALUE VALUES (1) RETURNING x.a", 1),
        ] {
            let insert = insert(sql);
            let (overriding, _, named) = insert_head(&insert).unwrap();
            assert_eq!((overriding, named.len()), (Some(Overriding::System), columns), "{sql}");
        }
        let plain = insert("INSERT INTO t (a) VALUES (1)");
        assert_eq!(insert_head(&plain).unwrap().0, None);
        assert!(insert_head(&insert("INSERT INTO t PARTITION (p) VALUES (1)")).is_none_or(|head| head.0.is_none()));
    }

    #[test]
    fn sequence_options_come_in_any_order() {
        parse("CREATE SEQUENCE q CACHE 5 START WITH 3 NO MAXVALUE INCREMENT BY -2 AS integer OWNED BY NONE").unwrap();
        parse("CREATE TABLE t (a int GENERATED BY DEFAULT AS IDENTITY (START 5 INCREMENT 2 NO CYCLE MINVALUE 1))")
            .unwrap();
        let error = parse("CREATE SEQUENCE q START 1 START 2").unwrap_err();
        assert_eq!((error.message(), error.position()), ("conflicting or redundant options", Some(27)));
    }
}
