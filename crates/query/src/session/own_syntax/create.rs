//! CREATE: sequences, CREATE TABLE with LIKE, CREATE TABLE AS.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::sequence::SequenceOptions;
use super::{OwnStatement, refused, statistics, table_as};
use crate::bind;

/// `LIKE table INCLUDING ...` in a table's column list.
#[derive(Clone, Debug)]
pub(crate) struct Like {
    pub table: ast::ObjectName,
    /// How many columns stand before it.
    pub after: usize,
    /// In the order written; the last word about an option counts.
    pub options: Vec<(LikeOption, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LikeOption {
    Comments,
    Compression,
    Constraints,
    Defaults,
    Generated,
    Identity,
    Indexes,
    Statistics,
    Storage,
    All,
}

impl Like {
    pub fn includes(&self, option: LikeOption) -> bool {
        let about = |(named, _): &&(LikeOption, bool)| *named == option || *named == LikeOption::All;
        self.options.iter().rfind(about).is_some_and(|(_, including)| *including)
    }
}

/// `None`: the parser's.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Option<OwnStatement>> {
    let mut ahead = *cursor;
    ahead.expect("CREATE")?;
    refused::refuse_object("CREATE", &ahead)?;
    if ahead.word() == "STATISTICS" {
        let own = statistics::create(&mut ahead)?;
        cursor.rest();
        return Ok(Some(own));
    }
    let _ = ahead.eat("GLOBAL") || ahead.eat("LOCAL");
    let temporary = ahead.eat("TEMP") || ahead.eat("TEMPORARY");
    if ahead.eat("SEQUENCE") {
        let if_not_exists = ahead.eat("IF NOT EXISTS");
        let name = ahead.name()?;
        let options = SequenceOptions::read(&mut ahead)?;
        ahead.expect_end()?;
        return Ok(Some(OwnStatement::CreateSequence { temporary, if_not_exists, name, options }));
    }
    if !ahead.eat("TABLE") {
        return Ok(None);
    }
    if let Some(table) = table_as::table_as(ahead, temporary)? {
        return Ok(Some(table));
    }
    with_likes(cursor)
}

/// CREATE TABLE whose column list has LIKE in it: the parser gets it without.
fn with_likes(cursor: &mut Cursor<'_>) -> Result<Option<OwnStatement>> {
    let sql = cursor.sql();
    let mut ahead = *cursor;
    let tokens = ahead.rest();
    let Some(open) = tokens.iter().position(|token| token.token == Token::LParen) else { return Ok(None) };
    let is_word = |token: &TokenWithSpan, words: &[&str]| {
        matches!(&token.token, Token::Word(word) if word.quote_style.is_none()
            && words.iter().any(|known| word.value.eq_ignore_ascii_case(known)))
    };
    let (mut depth, mut start) = (0usize, open + 1);
    let mut items = Vec::new();
    let mut close = None;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => {
                items.push(start..at);
                close = Some(at);
                break;
            }
            Token::RParen => depth -= 1,
            Token::Comma if depth == 1 => {
                items.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    let Some(close) = close else { return Ok(None) };
    let first = |item: &std::ops::Range<usize>| tokens.get(item.start).filter(|_| !item.is_empty());
    if !items.iter().any(|item| first(item).is_some_and(|token| is_word(token, &["like"]))) {
        return Ok(None);
    }
    let mut kept: Vec<TokenWithSpan> = tokens.get(..=open).unwrap_or(&[]).to_vec();
    let (mut likes, mut columns, mut any) = (Vec::new(), 0, false);
    for item in items {
        let part = tokens.get(item.clone()).unwrap_or(&[]);
        if first(&item).is_some_and(|token| is_word(token, &["like"])) {
            likes.push(like(Cursor::new(sql, part), columns)?);
            continue;
        }
        let constraint = ["constraint", "primary", "unique", "check", "foreign", "exclude"];
        columns += usize::from(first(&item).is_some_and(|token| !is_word(token, &constraint)));
        if let (true, Some(place)) = (any, part.first()) {
            kept.push(TokenWithSpan { token: Token::Comma, span: place.span });
        }
        kept.extend_from_slice(part);
        any = true;
    }
    kept.extend_from_slice(tokens.get(close..).unwrap_or(&[]));
    let statement = bind::parse_tokens(kept, sql)?.pop().map(|parsed| parsed.statement);
    match statement {
        Some(ast::Statement::CreateTable(create)) => {
            cursor.rest();
            Ok(Some(OwnStatement::CreateTableLike { create: Box::new(create), likes }))
        }
        _ => Err(Error::unsupported("LIKE in this statement")),
    }
}

fn like(mut cursor: Cursor<'_>, after: usize) -> Result<Like> {
    cursor.expect("LIKE")?;
    let table = cursor.name()?;
    let mut options = Vec::new();
    loop {
        let including = if cursor.eat("INCLUDING") {
            true
        } else if cursor.eat("EXCLUDING") {
            false
        } else {
            break;
        };
        let option = match cursor.word().as_str() {
            "COMMENTS" => LikeOption::Comments,
            "COMPRESSION" => LikeOption::Compression,
            "CONSTRAINTS" => LikeOption::Constraints,
            "DEFAULTS" => LikeOption::Defaults,
            "GENERATED" => LikeOption::Generated,
            "IDENTITY" => LikeOption::Identity,
            "INDEXES" => LikeOption::Indexes,
            "STATISTICS" => LikeOption::Statistics,
            "STORAGE" => LikeOption::Storage,
            "ALL" => LikeOption::All,
            _ => return Err(cursor.error()),
        };
        cursor.identifier()?;
        options.push((option, including));
    }
    cursor.expect_end()?;
    Ok(Like { table, after, options })
}

#[cfg(test)]
mod tests {
    use super::super::parse_script;
    use super::*;
    use crate::session::statement::Parsed;

    #[test]
    fn like_keeps_its_place() {
        let parsed =
            parse_script("create table t (a int, like s including all excluding indexes, check (a > 0), b text)");
        let parsed = parsed.unwrap();
        let Parsed::Own(OwnStatement::CreateTableLike { create, likes }) = &parsed[0] else { panic!("{parsed:?}") };
        assert_eq!((create.columns.len(), create.constraints.len(), likes.len()), (2, 1, 1));
        assert_eq!(likes[0].after, 1);
        assert!(likes[0].includes(LikeOption::Defaults) && !likes[0].includes(LikeOption::Indexes));
        assert!(parse_script("create table t (like s)").is_ok());
    }

    #[test]
    fn a_table_from_a_query() {
        for (sql, with_data) in [
            ("create temp table if not exists t (a, b) on commit drop as select 1, 2 with no data", false),
            ("create table t as (values (1)) with data", true),
            ("select 1 as a into temp t from x", true),
        ] {
            let parsed = parse_script(sql).unwrap();
            let Parsed::Own(OwnStatement::TableAs(table)) = &parsed[0] else { panic!("{parsed:?}") };
            assert_eq!(table.with_data, with_data, "{sql}");
        }
        assert!(matches!(
            &parse_script("create table t (a int generated always as (1) stored)").unwrap()[0],
            Parsed::Ast(_)
        ));
    }
}
