//! Text to AST, with PostgreSQL's syntax errors and bounds on what a hostile text can cost.

use heliosdb_types::{Error, ErrorKind, Result, SqlState};
use sqlparser::ast;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::dialect::{Bounded, allow_attempts};
use super::position::Positions;
use super::precedence;

/// Nested parentheses and subqueries; the parser grows its stack on the heap, so this bounds work, not safety.
const NESTING_MAX: usize = 500;
/// Tokens that can deepen a tree (operators and keywords) at one nesting level without a comma or semicolon between: a chain
/// `1 + 1 + ...` becomes a tree as deep as it is long, which is dropped recursively.
const CHAIN_TOKENS_MAX: u32 = 16_000;
/// Stack for passes over trees that such chains make; reserved only where it is needed.
const DEEP_STACK_BYTES: usize = 128 << 20;

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct ParsedStatement {
    pub statement: ast::Statement,
}

/// The tree with PostgreSQL's operator precedence.
fn as_postgres<T: ast::VisitMut>(parsed: T, sql: &str) -> T {
    deep(sql, || precedence::as_postgres(parsed))
}

/// Runs a recursive pass over what a text was parsed to. A short text cannot make a deep tree.
pub(super) fn deep<T>(sql: &str, run: impl FnOnce() -> T) -> T {
    if sql.len() < 250 { run() } else { stacker::grow(DEEP_STACK_BYTES, run) }
}

/// Parses every statement of a text; empty statements are dropped.
pub fn parse(sql: &str) -> Result<Vec<ParsedStatement>> {
    let mut parser = parser(sql)?;
    let statements = deep(sql, || parser.parse_statements()).map_err(|error| syntax_error(error, sql))?;
    let statements = statements.into_iter().map(|statement| as_postgres(statement, sql));
    Ok(statements.map(|statement| ParsedStatement { statement }).collect())
}

/// Parses tokens of `sql`, one statement or several.
pub fn parse_tokens(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Vec<ParsedStatement>> {
    check_chains(&tokens)?;
    let mut parser = parser_of(tokens, sql)?;
    let statements = deep(sql, || parser.parse_statements()).map_err(|error| syntax_error(error, sql))?;
    let statements = statements.into_iter().map(|statement| as_postgres(statement, sql));
    Ok(statements.map(|statement| ParsedStatement { statement }).collect())
}

/// Parses tokens of `sql` that are one expression.
pub fn parse_expression_tokens(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<ast::Expr> {
    check_chains(&tokens)?;
    let mut parser = parser_of(tokens, sql)?;
    let expr = parser.parse_expr().map_err(|error| syntax_error(error, sql))?;
    parser.expect_token(&Token::EOF).map_err(|error| syntax_error(error, sql))?;
    Ok(as_postgres(expr, sql))
}

/// Where a token is in its text, in characters from 1.
pub fn position_of(location: Location, sql: &str) -> Option<u32> {
    Positions::of(sql).position(location)
}

/// Parses an expression and nothing after it: a default, a check.
pub fn parse_expression(sql: &str) -> Result<ast::Expr> {
    let mut parser = parser(sql)?;
    let expr = deep(sql, || parser.parse_expr()).map_err(|error| syntax_error(error, sql))?;
    parser.expect_token(&Token::EOF).map_err(|error| syntax_error(error, sql))?;
    Ok(as_postgres(expr, sql))
}

/// Parses a query and nothing after it: a view's definition.
pub fn parse_query(sql: &str) -> Result<Box<ast::Query>> {
    let mut parser = parser(sql)?;
    let query = deep(sql, || parser.parse_query()).map_err(|error| syntax_error(error, sql))?;
    parser.expect_token(&Token::EOF).map_err(|error| syntax_error(error, sql))?;
    Ok(as_postgres(query, sql))
}

fn parser(sql: &str) -> Result<Parser<'static>> {
    let tokens = Tokenizer::new(&Bounded, sql)
        .tokenize_with_location()
        .map_err(|error| tokenizer_error(&error.message, error.location, sql))?;
    check_chains(&tokens)?;
    parser_of(tokens, sql)
}

/// An operator of several characters ends in a sign only if it has one of `~ ! @ # % ^ & | ?` too: `a->>-1` is `a ->> -1`.
fn signs_apart(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let operator = |token: &Token| match token {
        // The parser takes it for `=`; an operator of this name there is not.
        Token::DoubleEq => Some((Token::CustomBinaryOperator("==".to_owned()), String::new())),
        Token::CustomBinaryOperator(symbol)
            if symbol.ends_with(['+', '-']) && !symbol.contains(['~', '!', '@', '#', '%', '^', '&', '|', '?']) =>
        {
            let head = symbol.trim_end_matches(['+', '-']);
            let token = match head {
                "->" => Token::Arrow,
                "->>" => Token::LongArrow,
                "=" => Token::Eq,
                "<" => Token::Lt,
                ">" => Token::Gt,
                "<=" => Token::LtEq,
                ">=" => Token::GtEq,
                "<>" => Token::Neq,
                "*" => Token::Mul,
                "/" => Token::Div,
                "<<" => Token::ShiftLeft,
                ">>" => Token::ShiftRight,
                _ => return None,
            };
            Some((token, symbol.get(head.len()..).unwrap_or_default().to_owned()))
        }
        _ => None,
    };
    if !tokens.iter().any(|token| operator(&token.token).is_some()) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 2);
    for token in tokens {
        match operator(&token.token) {
            Some((head, signs)) => {
                let span = token.span;
                out.push(TokenWithSpan { token: head, span });
                out.extend(signs.chars().map(|sign| {
                    let token = if sign == '-' { Token::Minus } else { Token::Plus };
                    TokenWithSpan { token, span }
                }));
            }
            None => out.push(token),
        }
    }
    out
}

fn parser_of(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Parser<'static>> {
    let tokens = super::literals::rewritten(tokens, sql)?;
    let tokens = super::tokens::rewritten(signs_apart(tokens), sql)?;
    allow_attempts(tokens.len());
    Ok(Parser::new(&Bounded).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens))
}

fn check_chains(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut lengths = vec![0u32];
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {}
            Token::Period => {}
            Token::Word(word) if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword => {}
            Token::LParen | Token::LBracket => lengths.push(0),
            Token::RParen | Token::RBracket if lengths.len() > 1 => {
                lengths.pop();
            }
            Token::Comma | Token::SemiColon => {
                if let Some(length) = lengths.last_mut() {
                    *length = 0;
                }
            }
            _ => {
                if let Some(length) = lengths.last_mut() {
                    *length += 1;
                    if *length > CHAIN_TOKENS_MAX {
                        return Err(too_deep());
                    }
                }
            }
        }
    }
    Ok(())
}

pub(super) fn too_deep() -> Error {
    Error::new(ErrorKind::Invalid, SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
}

fn tokenizer_error(message: &str, location: Location, sql: &str) -> Error {
    let position = Positions::of(sql).position(location).unwrap_or(1);
    let rest = sql.chars().skip(position as usize - 1).collect::<String>();
    let message = match message {
        m if m.starts_with("Unterminated string literal") => {
            format!("unterminated quoted string at or near \"{rest}\"")
        }
        m if m.starts_with("Expected close delimiter") => {
            format!("unterminated quoted identifier at or near \"{rest}\"")
        }
        m if m.contains("multi-line comment") => "unterminated /* comment".to_owned(),
        _ => format!("syntax error at or near \"{}\"", rest.split_whitespace().next().unwrap_or_default()),
    };
    Error::syntax(message).with_position(position)
}

/// `... found: WORD at Line: 1, Column: 8` becomes PostgreSQL's `syntax error at or near "WORD"`.
fn syntax_error(error: ParserError, sql: &str) -> Error {
    let message = match error {
        ParserError::RecursionLimitExceeded => return too_deep(),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (head, location) = split_location(&message);
    let position = location.and_then(|at| Positions::of(sql).position(at));
    let end = sql.trim_end().chars().count() as u32 + 1;
    let found = head.rsplit_once("found: ").map(|(_, found)| found.trim());
    match found {
        Some("EOF") => Error::syntax("syntax error at end of input").with_position(end),
        Some(found) => {
            let error = Error::syntax(format!("syntax error at or near \"{found}\""));
            match position {
                Some(position) => error.with_position(position),
                None => error,
            }
        }
        // Not "unexpected token" but a construct the parser itself refuses: its words say most.
        None => Error::syntax(format!("syntax error: {head}")),
    }
}

fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((head, tail)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = tail.split_once(", Column: ") else { return (message, None) };
    match (line.trim().parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (head, Some(Location { line, column })),
        _ => (message, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(sql: &str) -> (String, Option<u32>) {
        let error = parse(sql).unwrap_err();
        (error.message().to_owned(), error.position())
    }

    #[test]
    fn syntax_errors_read_as_postgres() {
        assert_eq!(error_of("SELEC 1"), ("syntax error at or near \"SELEC\"".into(), Some(1)));
        assert_eq!(error_of("SELECT 1 +"), ("syntax error at end of input".into(), Some(11)));
        assert_eq!(error_of("SELECT 'abc"), ("unterminated quoted string at or near \"'abc\"".into(), Some(8)));
    }

    #[test]
    fn hostile_depth_is_an_error() {
        let parens = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(parse(&parens).unwrap_err().state(), SqlState::STATEMENT_TOO_COMPLEX);
        let chain = format!("SELECT 1{}", " + 1".repeat(50_000));
        assert_eq!(parse(&chain).unwrap_err().state(), SqlState::STATEMENT_TOO_COMPLEX);
    }

    #[test]
    fn empty_statements_vanish() {
        assert_eq!(parse(" ; ;").unwrap().len(), 0);
        assert_eq!(parse("select 1; select 2;").unwrap().len(), 2);
    }
}
