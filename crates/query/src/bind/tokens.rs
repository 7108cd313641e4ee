//! What PostgreSQL allows and the parser does not know, said to it in words it knows, before it parses.
//!
//! Tokens keep their spans, so error positions stay right. `OVERRIDING SYSTEM VALUE` becomes a PARTITION nobody can write
//! ([`OVERRIDING_SYSTEM`]); options of sequences, which come in any order, are put into the parser's.

use heliosdb_contracts::RowLockMode;
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::position::Positions;

const OVERRIDING_SYSTEM: &str = "\u{1}system";
/// `VARIADIC x` among arguments becomes `marker => x`.
pub(super) const VARIADIC: &str = "\u{1}variadic";
const OVERRIDING_USER: &str = "\u{1}user";
/// The columns of WHEN ... THEN DO NOTHING and INSERT DEFAULT VALUES.
const NOTHING: &str = "\u{1}nothing";
const DEFAULTS: &str = "\u{1}defaults";
/// Around the columns of ON DELETE SET NULL (...).
const SET_COLUMNS: &str = "\u{1}set";
/// How the name begins that stands for the target of an ON CONFLICT.
const INFERENCE: &str = "\u{1}infer:";

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
        matches!(
            keyword(token).as_deref(),
            Some(
                "OVERRIDING"
                    | "IDENTITY"
                    | "SEQUENCE"
                    | "FOR"
                    | "TABLE"
                    | "TRIM"
                    | "MATCHED"
                    | "CONFLICT"
                    | "REFERENCES"
                    | "EXCLUDE"
                    | "ISNULL"
                    | "NOTNULL"
                    | "VARIADIC"
                    | "IN"
                    | "ROLLUP"
                    | "CUBE"
                    | "SETS"
                    | "VALUES"
            )
        )
    };
    if !tokens.iter().any(about) {
        return Ok(tokens);
    }
    let mut tokens = without_blanks(tokens);
    let mut at = 0;
    while at < tokens.len() {
        match tokens.get(at).and_then(keyword).as_deref() {
            Some("OVERRIDING") => overriding(&mut tokens, at),
            Some("THEN") => merge_action(&mut tokens, at),
            Some("EXCLUDE") if is_exclusion(&tokens, at) => {
                let error = Error::unsupported("an EXCLUDE constraint").with_hint(
                    "UNIQUE excludes equal values; look for overlapping ones in a SERIALIZABLE transaction that adds them.",
                );
                let position = tokens.get(at).and_then(|token| Positions::of(sql).position(token.span.start));
                return Err(match position {
                    Some(position) => error.with_position(position),
                    None => error,
                });
            }
            Some("EXCLUDE") => frame_exclusion(&mut tokens, at, sql)?,
            Some("INTO") if at > 0 && tokens.get(at - 1).and_then(keyword).as_deref() == Some("INSERT") => {
                bracketed_source(&mut tokens, at + 1);
            }
            Some("REFERENCES") => set_columns(&mut tokens, at, sql)?,
            Some("CONFLICT") if at > 0 && tokens.get(at - 1).and_then(keyword).as_deref() == Some("ON") => {
                inference(&mut tokens, at + 1, sql);
            }
            Some("FOR") => row_lock(&mut tokens, at),
            Some("TABLE") if is_table_command(&tokens, at) => table_command(&mut tokens, at),
            Some("TRIM") if is(&tokens, at + 1, &Token::LParen) => trim(&mut tokens, at + 2),
            Some("ROLLUP" | "CUBE" | "SETS") if is(&tokens, at + 1, &Token::LParen) => {
                grouping_elements(&mut tokens, at + 2);
            }
            Some("IN") => listed_subquery(&mut tokens, at + 1),
            // `x ISNULL` is `x IS NULL`; both are reserved.
            Some(word @ ("ISNULL" | "NOTNULL")) if at > 0 && !is(&tokens, at - 1, &Token::Period) => {
                let words: &[&str] = if word == "ISNULL" { &["IS", "NULL"] } else { &["IS", "NOT", "NULL"] };
                let span = tokens.get(at).map(|token| token.span).unwrap_or_else(Span::empty);
                let words = words.iter().map(|word| TokenWithSpan { token: Token::make_keyword(word), span });
                tokens.splice(at..=at, words);
            }
            Some("VARIADIC")
                if at > 0 && (is(&tokens, at - 1, &Token::LParen) || is(&tokens, at - 1, &Token::Comma)) =>
            {
                let span = tokens.get(at).map(|token| token.span).unwrap_or_else(Span::empty);
                let marker = Token::make_word(VARIADIC, Some('"'));
                let words = [marker, Token::RArrow].map(|token| TokenWithSpan { token, span });
                tokens.splice(at..=at, words);
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

/// Brackets around the elements of ROLLUP, CUBE and GROUPING SETS that begin with a bracket but are no list, such as `(a)::text`
/// or a subquery: the parser takes the bracket for a list's. In GROUPING SETS it wants brackets around single expressions too.
fn grouping_elements(tokens: &mut Vec<TokenWithSpan>, first: usize) {
    let sets = first.checked_sub(2).and_then(|at| tokens.get(at)).and_then(keyword).as_deref() == Some("SETS");
    let mut at = first;
    while at < tokens.len() {
        let start = at;
        // GROUPING SETS among the elements of GROUPING SETS are elements, too.
        while sets && words(tokens, start) == ["GROUPING", "SETS"] && is(tokens, start + 2, &Token::LParen) {
            let close = closing(tokens, start + 2);
            if close >= tokens.len() {
                return;
            }
            tokens.remove(close);
            tokens.drain(start..start + 3);
        }
        // Where the bracket at the start closes, and where the element ends.
        let (mut depth, mut closed) = (0usize, None);
        loop {
            match tokens.get(at).map(|token| &token.token) {
                None | Some(Token::SemiColon) => return,
                Some(Token::LParen | Token::LBracket) => depth += 1,
                Some(Token::RParen | Token::RBracket) if depth > 0 => {
                    depth -= 1;
                    if depth == 0 && closed.is_none() {
                        closed = Some(at);
                    }
                }
                Some(Token::RParen) => break,
                Some(Token::Comma) if depth == 0 => break,
                Some(_) => {}
            }
            at += 1;
        }
        let bracketed = is(tokens, start, &Token::LParen);
        let nested = matches!(tokens.get(start).and_then(keyword).as_deref(), Some("ROLLUP" | "CUBE" | "GROUPING"));
        let subquery = matches!(tokens.get(start + 1).and_then(keyword).as_deref(), Some("SELECT" | "WITH" | "VALUES"));
        let list = bracketed && !subquery && closed.is_some_and(|closed| closed + 1 == at);
        if start < at && !list && !nested && (bracketed || sets) {
            let span = |at: usize| tokens.get(at).map_or(Span::empty(), |token| token.span);
            let (open, close) = (span(start), span(at - 1));
            tokens.insert(at, TokenWithSpan { token: Token::RParen, span: close });
            tokens.insert(start, TokenWithSpan { token: Token::LParen, span: open });
            at += 2;
        }
        if !is(tokens, at, &Token::Comma) {
            return;
        }
        at += 1;
    }
}

/// `INSERT INTO t (VALUES ...)`: the parser takes the bracket for that of a list of columns. Brackets around all of a source go.
fn bracketed_source(tokens: &mut Vec<TokenWithSpan>, name: usize) {
    let word = |at: usize| tokens.get(at).is_some_and(|token| matches!(token.token, Token::Word(_)));
    let mut open = name + 1;
    while is(tokens, open, &Token::Period) && word(open + 1) {
        open += 2;
    }
    if tokens.get(open).and_then(keyword).as_deref() == Some("AS") && word(open + 1) {
        open += 2;
    }
    while is(tokens, open, &Token::LParen)
        && (is(tokens, open + 1, &Token::LParen) || tokens.get(open + 1).and_then(keyword).as_deref() == Some("VALUES"))
    {
        let close = closing(tokens, open);
        let ends = match tokens.get(close + 1) {
            None => true,
            Some(next) => {
                matches!(next.token, Token::EOF | Token::SemiColon | Token::RParen)
                    || matches!(keyword(next).as_deref(), Some("ON" | "RETURNING"))
            }
        };
        if close >= tokens.len() || !ends {
            return;
        }
        tokens.remove(close);
        tokens.remove(open);
    }
}

/// EXCLUDE at the end of a window's frame: NO OTHERS says what holds without it, and the others are not to be had.
fn frame_exclusion(tokens: &mut Vec<TokenWithSpan>, at: usize, sql: &str) -> Result<()> {
    let before = at.checked_sub(1).and_then(|at| tokens.get(at)).and_then(keyword);
    if !matches!(before.as_deref(), Some("ROW" | "PRECEDING" | "FOLLOWING")) {
        return Ok(());
    }
    let ends = |end: usize| is(tokens, end, &Token::RParen);
    let said = words(tokens, at + 1);
    let what = match [said[0].as_str(), said[1].as_str()] {
        ["NO", "OTHERS"] if ends(at + 3) => {
            tokens.drain(at..at + 3);
            return Ok(());
        }
        ["CURRENT", "ROW"] if ends(at + 3) => "CURRENT ROW",
        ["GROUP", _] if ends(at + 2) => "GROUP",
        ["TIES", _] if ends(at + 2) => "TIES",
        _ => return Ok(()),
    };
    let error = Error::unsupported(format!("EXCLUDE {what} in a window's frame"));
    let position = tokens.get(at).and_then(|token| Positions::of(sql).position(token.span.start));
    Err(match position {
        Some(position) => error.with_position(position),
        None => error,
    })
}

/// The two keywords from `at` on; empty where there is none.
fn words(tokens: &[TokenWithSpan], at: usize) -> [String; 2] {
    [at, at + 1].map(|at| tokens.get(at).and_then(keyword).unwrap_or_default())
}

/// A subquery that is the first of several elements of `IN (...)`, where the parser would take it for all of them: it becomes the
/// one argument of `coalesce`, which gives it as it is.
fn listed_subquery(tokens: &mut Vec<TokenWithSpan>, open: usize) {
    let first = open + 1;
    if !is(tokens, open, &Token::LParen) || !is(tokens, first, &Token::LParen) {
        return;
    }
    let mut at = first;
    while is(tokens, at, &Token::LParen) {
        at += 1;
    }
    if !matches!(tokens.get(at).and_then(keyword).as_deref(), Some("SELECT" | "WITH" | "VALUES")) {
        return;
    }
    let mut depth = 0usize;
    let closed = (first..tokens.len()).find(|at| {
        match tokens.get(*at).map(|token| &token.token) {
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let Some(closed) = closed.filter(|closed| is(tokens, closed + 1, &Token::Comma)) else { return };
    let span = |at: usize| tokens.get(at).map_or(Span::empty(), |token| token.span);
    let (start, end) = (span(first), span(closed));
    tokens.insert(closed + 1, TokenWithSpan { token: Token::RParen, span: end });
    let call = [Token::make_keyword("coalesce"), Token::LParen];
    tokens.splice(first..first, call.map(|token| TokenWithSpan { token, span: start }));
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

/// `trim(leading FROM x)` and `trim(FROM x)` say no characters: blanks.
fn trim(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let Some(span) = tokens.get(at).map(|token| token.span) else { return };
    let here = |token: Token| TokenWithSpan { token, span };
    let blank = here(Token::SingleQuotedString(" ".to_owned()));
    match (word(at).as_deref(), word(at + 1).as_deref()) {
        (Some("FROM"), _) => drop(tokens.splice(at..at, [here(Token::make_keyword("BOTH")), blank])),
        (Some("LEADING" | "TRAILING" | "BOTH"), Some("FROM")) => tokens.insert(at + 1, blank),
        _ => {}
    }
}

/// Whether TABLE at `at` is the command, `SELECT * FROM` in short, and not part of another's name.
fn is_table_command(tokens: &[TokenWithSpan], at: usize) -> bool {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    // A name follows; after a label called `table` a clause or an end does.
    let Some(TokenWithSpan { token: Token::Word(next), .. }) = tokens.get(at + 1) else { return false };
    if next.quote_style.is_none() && CLAUSES.contains(&next.value.to_ascii_uppercase().as_str()) {
        return false;
    }
    let start = (0..at).rev().find(|at| is(tokens, *at, &Token::SemiColon)).map_or(0, |end| end + 1);
    if at == start || is(tokens, at - 1, &Token::LParen) || is(tokens, at - 1, &Token::RParen) {
        return true;
    }
    let command = word(start);
    match (command.as_deref(), word(at - 1).as_deref()) {
        (_, Some("UNION" | "INTERSECT" | "EXCEPT")) => true,
        (_, Some("ALL" | "DISTINCT")) => {
            at >= 2 && matches!(word(at - 2).as_deref(), Some("UNION" | "INTERSECT" | "EXCEPT"))
        }
        (Some("CREATE" | "PREPARE"), Some("AS")) | (Some("EXPLAIN"), Some("EXPLAIN" | "ANALYZE" | "VERBOSE")) => true,
        // INSERT INTO name TABLE other
        (Some("INSERT"), _) => {
            let mut before = at - 1;
            while before > start + 2 && is(tokens, before - 1, &Token::Period) {
                before -= 2;
            }
            before.checked_sub(1).and_then(word).as_deref() == Some("INTO")
        }
        _ => false,
    }
}

/// Words that begin a clause, so that TABLE before them was a column's label.
const CLAUSES: [&str; 16] = [
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FETCH",
    "FOR",
    "INTO",
    "ON",
    "RETURNING",
];

fn table_command(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let span = tokens.get(at).map(|token| token.span).unwrap_or_else(Span::empty);
    let here = |token: Token| TokenWithSpan { token, span };
    tokens.splice(at..=at, [here(Token::make_keyword("SELECT")), here(Token::Mul), here(Token::make_keyword("FROM"))]);
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

/// Whether EXCLUDE at `at` begins a constraint of CREATE or ALTER TABLE.
fn is_exclusion(tokens: &[TokenWithSpan], at: usize) -> bool {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let using = word(at + 1).as_deref() == Some("USING");
    if !using && !is(tokens, at + 1, &Token::LParen) {
        return false;
    }
    let start = (0..at).rev().find(|at| is(tokens, *at, &Token::SemiColon)).map_or(0, |end| end + 1);
    if !matches!(word(start).as_deref(), Some("CREATE" | "ALTER")) {
        return false;
    }
    let begins = |at: usize| is(tokens, at, &Token::Comma) || is(tokens, at, &Token::LParen);
    let named = at >= 2 && word(at - 2).as_deref() == Some("CONSTRAINT");
    named || (at >= 1 && (begins(at - 1) || word(at - 1).as_deref() == Some("ADD")))
}

/// ON DELETE SET NULL (columns) of a foreign key: the columns go before the parent's name, between two marks.
fn set_columns(tokens: &mut Vec<TokenWithSpan>, references: usize, sql: &str) -> Result<()> {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let mut at = references + 1;
    // The constraint ends where its element of the list does.
    while let Some(token) = tokens.get(at) {
        match &token.token {
            Token::LParen => at = closing(tokens, at),
            Token::RParen | Token::Comma | Token::SemiColon | Token::EOF => return Ok(()),
            _ if word(at).as_deref() == Some("REFERENCES") => return Ok(()),
            _ => {}
        }
        let words = [word(at), word(at + 1), word(at + 2), word(at + 3)];
        let sets = match words.each_ref().map(Option::as_deref) {
            [Some("ON"), Some(event @ ("DELETE" | "UPDATE")), Some("SET"), Some("NULL" | "DEFAULT")] => Some(event),
            _ => None,
        };
        let open = at + 4;
        if let (Some(event), true) = (sets, is(tokens, open, &Token::LParen)) {
            if event == "UPDATE" {
                let message = format!(
                    "a column list with SET {} is only supported for ON DELETE actions",
                    word(at + 3).unwrap_or_default()
                );
                let error = Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message);
                let position = tokens.get(at).and_then(|token| Positions::of(sql).position(token.span.start));
                return Err(match position {
                    Some(position) => error.with_position(position),
                    None => error,
                });
            }
            let close = closing(tokens, open);
            let span = token.span;
            let here = |token: Token| TokenWithSpan { token, span };
            let mark = || [here(Token::make_word(SET_COLUMNS, Some('"'))), here(Token::Period)];
            let mut said: Vec<TokenWithSpan> = mark().into();
            for token in tokens.get(open + 1..close).unwrap_or(&[]) {
                match &token.token {
                    Token::Word(_) => said.extend([token.clone(), here(Token::Period)]),
                    Token::Comma => {}
                    _ => return Ok(()), // no list of columns: the parser says so
                }
            }
            said.extend(mark());
            tokens.drain(open..=close.min(tokens.len().saturating_sub(1)));
            tokens.splice(references + 1..references + 1, said);
            return Ok(());
        }
        at += 1;
    }
    Ok(())
}

/// A referenced table's name without the columns of ON DELETE SET, and these.
pub(crate) fn take_set_columns(name: &ast::ObjectName) -> (ast::ObjectName, Vec<ast::Ident>) {
    let marked = |part: &ast::ObjectNamePart| part.as_ident().is_some_and(|ident| ident.value == SET_COLUMNS);
    if !name.0.first().is_some_and(marked) {
        return (name.clone(), Vec::new());
    }
    let end = name.0.iter().skip(1).position(marked).map_or(name.0.len(), |end| end + 1);
    let columns = name.0.get(1..end).unwrap_or(&[]).iter().filter_map(|part| part.as_ident().cloned()).collect();
    (ast::ObjectName(name.0.get(end + 1..).unwrap_or(&[]).to_vec()), columns)
}

/// ON CONFLICT (expressions) [WHERE ...] becomes ON CONSTRAINT with a name that carries its text; columns alone stay.
fn inference(tokens: &mut Vec<TokenWithSpan>, open: usize, sql: &str) {
    if !is(tokens, open, &Token::LParen) {
        return;
    }
    let close = closing(tokens, open);
    let inside = tokens.get(open + 1..close).unwrap_or(&[]);
    let name = |(at, token): (usize, &TokenWithSpan)| match &token.token {
        Token::Word(_) => at % 2 == 0,
        Token::Comma => at % 2 == 1,
        _ => false,
    };
    let columns = inside.iter().enumerate().all(name);
    let filtered = tokens.get(close + 1).and_then(keyword).as_deref() == Some("WHERE");
    if columns && !filtered {
        return;
    }
    let mut end = close;
    if filtered {
        let (mut depth, mut at) = (0usize, close + 1);
        while let Some(token) = tokens.get(at) {
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::SemiColon | Token::EOF => return,
                _ if depth == 0 && keyword(token).as_deref() == Some("DO") => break,
                _ => {}
            }
            end = at;
            at += 1;
        }
    }
    let (Some(first), Some(last)) = (tokens.get(open), tokens.get(end)) else { return };
    let span = first.span;
    let positions = Positions::of(sql);
    let (Some(from), Some(to)) = (positions.position(first.span.start), positions.position(last.span.end)) else {
        return;
    };
    let text: String = sql.chars().skip(from as usize - 1).take(to.saturating_sub(from) as usize).collect();
    let said = [
        Token::make_keyword("ON"),
        Token::make_keyword("CONSTRAINT"),
        Token::make_word(&format!("{INFERENCE}{from}:{text}"), Some('"')),
    ];
    tokens.splice(open..=end, said.into_iter().map(|token| TokenWithSpan { token, span }));
}

/// The text of an ON CONFLICT target over expressions or with a predicate, and where it begins, if a constraint's name stands
/// for one.
pub(super) fn inference_text(name: &ast::ObjectName) -> Option<(u32, &str)> {
    let [part] = name.0.as_slice() else { return None };
    let (from, text) = part.as_ident()?.value.strip_prefix(INFERENCE)?.split_once(':')?;
    Some((from.parse().ok()?, text))
}

/// What MERGE does after THEN, where the parser knows no word for it.
fn merge_action(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let words = [word(at + 1), word(at + 2), word(at + 3)];
    let Some(span) = tokens.get(at).map(|token| token.span) else { return };
    let marked = |name: &str| {
        let insert = [Token::make_keyword("INSERT"), Token::LParen, Token::make_word(name, Some('"')), Token::RParen];
        let values = [Token::make_keyword("VALUES"), Token::LParen, Token::Number("0".into(), false), Token::RParen];
        insert.into_iter().chain(values).collect::<Vec<_>>()
    };
    let said = match words.each_ref().map(Option::as_deref) {
        [Some("DO"), Some("NOTHING"), _] => {
            let when = (0..at).rev().find(|at| word(*at).as_deref() == Some("WHEN"));
            let not = when.is_some_and(|when| word(when + 1).as_deref() == Some("NOT"));
            let update = [Token::make_keyword("UPDATE"), Token::make_keyword("SET")];
            let value = [Token::make_word(NOTHING, Some('"')), Token::Eq, Token::Number("0".into(), false)];
            (2, if not { marked(NOTHING) } else { update.into_iter().chain(value).collect() })
        }
        [Some("INSERT"), Some("DEFAULT"), Some("VALUES")] => (3, marked(DEFAULTS)),
        [Some("INSERT"), ..] => return merge_overriding(tokens, at + 2),
        _ => return,
    };
    let (length, said) = said;
    tokens.splice(at + 1..=at + length, said.into_iter().map(|token| TokenWithSpan { token, span }));
}

/// OVERRIDING in a MERGE's INSERT, whose column list may begin at `from`: a WHERE after the values.
fn merge_overriding(tokens: &mut Vec<TokenWithSpan>, from: usize) {
    let at = if is(tokens, from, &Token::LParen) { closing(tokens, from) + 1 } else { from };
    let word = |at: usize| tokens.get(at).and_then(keyword);
    let words = [word(at), word(at + 1), word(at + 2), word(at + 3)];
    let marker = match words.each_ref().map(Option::as_deref) {
        [Some("OVERRIDING"), Some("SYSTEM"), Some("VALUE"), Some("VALUES")] => OVERRIDING_SYSTEM,
        [Some("OVERRIDING"), Some("USER"), Some("VALUE"), Some("VALUES")] => OVERRIDING_USER,
        _ => return,
    };
    let Some(span) = tokens.get(at).map(|token| token.span) else { return };
    tokens.drain(at..at + 3);
    let end = closing(tokens, at + 1) + 1;
    if end > tokens.len() {
        return;
    }
    let said = [Token::make_keyword("WHERE"), Token::make_word(marker, Some('"'))];
    tokens.splice(end..end, said.into_iter().map(|token| TokenWithSpan { token, span }));
}

/// The bracket that closes the one at `open`, or the end.
fn closing(tokens: &[TokenWithSpan], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
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

/// A MERGE's INSERT.
pub(super) enum MergeInsert<'q> {
    Nothing,
    Defaults,
    Values { columns: &'q [ast::ObjectName], values: &'q [ast::Expr], overriding: Option<Overriding> },
}

fn is_marked(name: &ast::ObjectName, marker: &str) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| ident.value == marker))
}

/// Reads back what [`rewritten`] made of it; `None` if there is a WHERE the client wrote.
pub(super) fn merge_insert(insert: &ast::MergeInsertExpr) -> Option<MergeInsert<'_>> {
    let ast::MergeInsertExpr { insert_token: _, columns, kind_token: _, kind, insert_predicate } = insert;
    match columns.as_slice() {
        [name] if is_marked(name, NOTHING) => return Some(MergeInsert::Nothing),
        [name] if is_marked(name, DEFAULTS) => return Some(MergeInsert::Defaults),
        _ => {}
    }
    let overriding = match insert_predicate {
        None => None,
        Some(ast::Expr::Identifier(ident)) if ident.value == OVERRIDING_SYSTEM => Some(Overriding::System),
        Some(ast::Expr::Identifier(ident)) if ident.value == OVERRIDING_USER => Some(Overriding::User),
        Some(_) => return None,
    };
    match kind {
        ast::MergeInsertKind::Values(ast::Values { explicit_row: false, value_keyword: false, rows }) => {
            match rows.as_slice() {
                [row] => Some(MergeInsert::Values { columns, values: &row.content, overriding }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether an UPDATE stands for DO NOTHING.
pub(super) fn is_nothing(assignments: &[ast::Assignment]) -> bool {
    matches!(assignments, [ast::Assignment { target: ast::AssignmentTarget::ColumnName(name), value: _ }] if is_marked(name, NOTHING))
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
    fn exclusion_constraints_are_refused_by_name() {
        for sql in [
            "CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))",
            "CREATE TABLE t (a int, CONSTRAINT x EXCLUDE (a WITH =) WHERE (a > 0))",
            "SELECT 1; ALTER TABLE t ADD EXCLUDE USING gist (a WITH &&)",
        ] {
            let error = parse(sql).unwrap_err();
            assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
            assert!(error.hint().is_some() && error.position().is_some(), "{sql}");
        }
        parse("CREATE TABLE t (exclude int); SELECT exclude (a) FROM t").unwrap();
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
