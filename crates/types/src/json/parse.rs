//! The grammar of JSON: text to events, and events to a tree.

use std::borrow::Cow;

use super::lex::{Lexer, Token, unescape_json};
use super::tree::JsonTree;
use super::{JSON_DEPTH_MAX, too_deep};
use crate::{Numeric, Result};

/// Takes what the parser meets, in order. Positions are byte offsets in the text.
pub(super) trait Sink<'a> {
    fn open(&mut self, object: bool, start: usize) -> Result<()>;
    fn close(&mut self, end: usize) -> Result<()>;
    /// A member's name, as the string token it was written as.
    fn key(&mut self, token: &'a str) -> Result<()>;
    fn scalar(&mut self, token: Token, text: &'a str, start: usize) -> Result<()>;
}

/// Reads a whole text.
pub(super) fn parse<'a>(text: &'a str, sink: &mut impl Sink<'a>) -> Result<()> {
    let mut lexer = Lexer::new(text)?;
    value(&mut lexer, sink, 0)?;
    match lexer.token {
        Token::End => Ok(()),
        _ => Err(lexer.expected("end of input")),
    }
}

fn value<'a>(lexer: &mut Lexer<'a>, sink: &mut impl Sink<'a>, depth: usize) -> Result<()> {
    if depth > JSON_DEPTH_MAX {
        return Err(too_deep());
    }
    match lexer.token {
        Token::ObjectStart => object(lexer, sink, depth),
        Token::ArrayStart => array(lexer, sink, depth),
        token @ (Token::String | Token::Number | Token::True | Token::False | Token::Null) => {
            sink.scalar(token, lexer.text(), lexer.start)?;
            lexer.advance()
        }
        _ => Err(lexer.expected("JSON value")),
    }
}

fn array<'a>(lexer: &mut Lexer<'a>, sink: &mut impl Sink<'a>, depth: usize) -> Result<()> {
    sink.open(false, lexer.start)?;
    lexer.advance()?;
    if lexer.token != Token::ArrayEnd {
        value(lexer, sink, depth + 1)?;
        while lexer.token == Token::Comma {
            lexer.advance()?;
            value(lexer, sink, depth + 1)?;
        }
    }
    if lexer.token != Token::ArrayEnd {
        return Err(lexer.expected("\",\" or \"]\""));
    }
    sink.close(lexer.end)?;
    lexer.advance()
}

fn object<'a>(lexer: &mut Lexer<'a>, sink: &mut impl Sink<'a>, depth: usize) -> Result<()> {
    sink.open(true, lexer.start)?;
    lexer.advance()?;
    match lexer.token {
        Token::ObjectEnd => {}
        Token::String => loop {
            if lexer.token != Token::String {
                return Err(lexer.expected("string"));
            }
            sink.key(lexer.text())?;
            lexer.advance()?;
            if lexer.token != Token::Colon {
                return Err(lexer.expected("\":\""));
            }
            lexer.advance()?;
            value(lexer, sink, depth + 1)?;
            if lexer.token != Token::Comma {
                break;
            }
            lexer.advance()?;
        },
        _ => return Err(lexer.expected("string or \"}\"")),
    }
    if lexer.token != Token::ObjectEnd {
        return Err(lexer.expected("\",\" or \"}\""));
    }
    sink.close(lexer.end)?;
    lexer.advance()
}

struct Nothing;

impl Sink<'_> for Nothing {
    fn open(&mut self, _: bool, _: usize) -> Result<()> {
        Ok(())
    }

    fn close(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn key(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn scalar(&mut self, _: Token, _: &str, _: usize) -> Result<()> {
        Ok(())
    }
}

/// Whether a text is JSON.
pub fn check_json(text: &str) -> Result<()> {
    parse(text, &mut Nothing)
}

enum Open<'a> {
    Array(Vec<JsonTree<'a>>),
    Object(Vec<(Cow<'a, str>, JsonTree<'a>)>),
}

#[derive(Default)]
struct Trees<'a> {
    open: Vec<Open<'a>>,
    /// Names whose values are still to come, innermost last.
    keys: Vec<Cow<'a, str>>,
    done: Option<JsonTree<'a>>,
}

impl<'a> Trees<'a> {
    fn put(&mut self, tree: JsonTree<'a>) {
        match self.open.last_mut() {
            None => self.done = Some(tree),
            Some(Open::Array(elements)) => elements.push(tree),
            Some(Open::Object(members)) => members.push((self.keys.pop().unwrap_or_default(), tree)),
        }
    }
}

impl<'a> Sink<'a> for Trees<'a> {
    fn open(&mut self, object: bool, _: usize) -> Result<()> {
        self.open.push(if object { Open::Object(Vec::new()) } else { Open::Array(Vec::new()) });
        Ok(())
    }

    fn close(&mut self, _: usize) -> Result<()> {
        match self.open.pop() {
            Some(Open::Array(elements)) => self.put(JsonTree::Array(elements)),
            Some(Open::Object(members)) => self.put(JsonTree::Object(members)),
            None => {}
        }
        Ok(())
    }

    fn key(&mut self, token: &'a str) -> Result<()> {
        self.keys.push(unescape_json(token)?);
        Ok(())
    }

    fn scalar(&mut self, token: Token, text: &'a str, _: usize) -> Result<()> {
        let tree = match token {
            Token::String => JsonTree::String(unescape_json(text)?),
            Token::Number => JsonTree::Number(Numeric::parse(text)?),
            Token::True => JsonTree::Bool(true),
            Token::False => JsonTree::Bool(false),
            _ => JsonTree::Null,
        };
        self.put(tree);
        Ok(())
    }
}

/// Reads a text into a tree.
pub fn parse_json_tree(text: &str) -> Result<JsonTree<'_>> {
    let mut trees = Trees::default();
    parse(text, &mut trees)?;
    Ok(trees.done.unwrap_or(JsonTree::Null))
}
