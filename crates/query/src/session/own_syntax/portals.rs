//! DECLARE, FETCH, MOVE and CLOSE.

use heliosdb_types::Result;
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::Cursor;
use super::{OwnStatement, plain_tokens};
use crate::session::statement::Parsed;

/// A cursor to be made.
#[derive(Clone, Debug)]
pub(crate) struct DeclareCursor {
    pub name: String,
    /// SCROLL, NO SCROLL, or neither said.
    pub scroll: Option<bool>,
    pub hold: bool,
    pub binary: bool,
    pub query: Box<ast::Statement>,
}

/// Which rows FETCH gives and MOVE passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// So many rows on; 0: the same row again; negative: back.
    Forward(i64),
    /// The row with this number, from the end if negative.
    Absolute(i64),
    /// The row so far from here.
    Relative(i64),
    AllForward,
    AllBackward,
}

/// `DECLARE name [options] CURSOR [WITH | WITHOUT HOLD] FOR query`.
pub(super) fn declare(cursor: &mut Cursor<'_>, tokens: &[TokenWithSpan]) -> Result<OwnStatement> {
    cursor.expect("DECLARE")?;
    let name = cursor.folded()?;
    let (mut scroll, mut binary) = (None, false);
    while !cursor.eat("CURSOR") {
        if cursor.eat("BINARY") {
            binary = true;
        } else if cursor.eat("NO SCROLL") {
            scroll = Some(false);
        } else if cursor.eat("SCROLL") {
            scroll = Some(true);
        } else if !(cursor.eat("INSENSITIVE") || cursor.eat("ASENSITIVE")) {
            return Err(cursor.error());
        }
    }
    let hold = cursor.eat("WITH HOLD");
    if !hold {
        cursor.eat("WITHOUT HOLD");
    }
    cursor.expect("FOR")?;
    let rest = tokens.get(cursor.position()..).unwrap_or(&[]);
    let mut parsed = plain_tokens(rest, cursor.sql())?;
    match (parsed.pop(), parsed.is_empty()) {
        (Some(Parsed::Ast(query)), true) if matches!(*query, ast::Statement::Query(_)) => {
            Ok(OwnStatement::Declare(DeclareCursor { name, scroll, hold, binary, query }))
        }
        _ => Err(cursor.error()),
    }
}

/// `FETCH | MOVE [direction] [FROM | IN] name`.
pub(super) fn fetch(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    let moves = cursor.eat("MOVE");
    if !moves {
        cursor.expect("FETCH")?;
    }
    let direction = direction(cursor)?;
    let _ = cursor.eat("FROM") || cursor.eat("IN");
    let name = cursor.folded()?;
    cursor.expect_end()?;
    Ok(OwnStatement::Fetch { name, direction, moves })
}

fn direction(cursor: &mut Cursor<'_>) -> Result<Direction> {
    // A word alone is the cursor's name, whatever it is.
    if cursor.peek_at(1).is_none() {
        return Ok(Direction::Forward(1));
    }
    let many = |cursor: &mut Cursor<'_>, back: bool| {
        if cursor.eat("ALL") {
            return Ok(if back { Direction::AllBackward } else { Direction::AllForward });
        }
        let count = number(cursor)?.unwrap_or(1);
        Ok(Direction::Forward(if back { count.saturating_neg() } else { count }))
    };
    let required = |cursor: &mut Cursor<'_>| number(cursor)?.ok_or_else(|| cursor.error());
    if cursor.eat("NEXT") {
        Ok(Direction::Forward(1))
    } else if cursor.eat("PRIOR") {
        Ok(Direction::Forward(-1))
    } else if cursor.eat("FIRST") {
        Ok(Direction::Absolute(1))
    } else if cursor.eat("LAST") {
        Ok(Direction::Absolute(-1))
    } else if cursor.eat("ABSOLUTE") {
        Ok(Direction::Absolute(required(cursor)?))
    } else if cursor.eat("RELATIVE") {
        Ok(Direction::Relative(required(cursor)?))
    } else if cursor.eat("FORWARD") {
        many(cursor, false)
    } else if cursor.eat("BACKWARD") {
        many(cursor, true)
    } else if cursor.eat("ALL") {
        Ok(Direction::AllForward)
    } else {
        Ok(Direction::Forward(number(cursor)?.unwrap_or(1)))
    }
}

/// A signed integer, if one comes next.
fn number(cursor: &mut Cursor<'_>) -> Result<Option<i64>> {
    let negative = cursor.eat_token(&Token::Minus);
    if !negative {
        cursor.eat_token(&Token::Plus);
    }
    let Some(Token::Number(digits, _)) = cursor.peek() else {
        return if negative { Err(cursor.error()) } else { Ok(None) };
    };
    let value: i64 = digits.parse().map_err(|_| cursor.error())?;
    cursor.advance();
    Ok(Some(if negative { -value } else { value }))
}

/// `CLOSE name | ALL`.
pub(super) fn close(cursor: &mut Cursor<'_>) -> Result<OwnStatement> {
    cursor.expect("CLOSE")?;
    let name = if cursor.word() == "ALL" {
        cursor.skip();
        None
    } else {
        Some(cursor.folded()?)
    };
    cursor.expect_end()?;
    Ok(OwnStatement::Close { name })
}
