//! Reading a statement token by token, for what the parser does not know.

use heliosdb_types::{Error, Result};
use sqlparser::ast;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::bind;

/// Tokens of one statement without blanks, and how far they are read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    sql: &'a str,
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(sql: &'a str, tokens: &'a [TokenWithSpan]) -> Cursor<'a> {
        Cursor { sql, tokens, at: 0 }
    }

    pub fn sql(&self) -> &'a str {
        self.sql
    }

    /// How many tokens are read.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    pub fn next(&mut self) -> Option<&'a TokenWithSpan> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    /// Leaves a token unread.
    pub fn skip(&mut self) {
        self.at += 1;
    }

    /// The unquoted word `ahead` tokens from here, in capitals; empty for anything else.
    pub fn word_at(&self, ahead: usize) -> String {
        match self.tokens.get(self.at + ahead).map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    pub fn word(&self) -> String {
        self.word_at(0)
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Reads these words if they all come next.
    pub fn eat(&mut self, words: &str) -> bool {
        let words: Vec<&str> = words.split(' ').collect();
        let found = words.iter().enumerate().all(|(ahead, word)| self.word_at(ahead) == **word);
        if found {
            self.at += words.len();
        }
        found
    }

    pub fn eat_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.at += 1;
        }
        found
    }

    pub fn advance(&mut self) {
        self.at += 1;
    }

    /// An identifier as names are kept.
    pub fn folded(&mut self) -> Result<String> {
        Ok(bind::fold_identifier(&self.identifier()?))
    }

    /// One or more of something, separated by commas.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat_token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub fn expect(&mut self, words: &str) -> Result<()> {
        for word in words.split(' ') {
            if !self.eat(word) {
                return Err(self.error());
            }
        }
        Ok(())
    }

    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.error()) }
    }

    pub fn expect_end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.error()) }
    }

    pub fn identifier(&mut self) -> Result<ast::Ident> {
        match self.tokens.get(self.at) {
            Some(TokenWithSpan { token: Token::Word(word), span })
                if word.quote_style.is_none_or(|quote| quote == '"') =>
            {
                self.at += 1;
                Ok(ast::Ident { value: word.value.clone(), quote_style: word.quote_style, span: *span })
            }
            _ => Err(self.error()),
        }
    }

    /// `a.b.c`
    pub fn name(&mut self) -> Result<ast::ObjectName> {
        let mut parts = vec![self.identifier()?];
        while self.eat_token(&Token::Period) {
            parts.push(self.identifier()?);
        }
        Ok(ast::ObjectName::from(parts))
    }

    pub fn names(&mut self) -> Result<Vec<ast::ObjectName>> {
        let mut names = vec![self.name()?];
        while self.eat_token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    pub fn string(&mut self) -> Result<String> {
        let text = match self.peek() {
            Some(
                Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text),
            ) => text.clone(),
            Some(Token::DollarQuotedString(quoted)) => quoted.value.clone(),
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(text)
    }

    /// A whole number with its sign.
    pub fn integer(&mut self) -> Result<i64> {
        let before = self.at;
        let sign = if self.eat_token(&Token::Minus) {
            "-"
        } else {
            self.eat_token(&Token::Plus);
            ""
        };
        let Some(Token::Number(digits, _)) = self.peek() else { return Err(self.error()) };
        match format!("{sign}{digits}").parse() {
            Ok(value) => {
                self.at += 1;
                Ok(value)
            }
            Err(_) => {
                self.at = before;
                Err(self.error())
            }
        }
    }

    /// Tokens up to the next comma outside brackets, or the end.
    pub fn until_comma(&mut self) -> &'a [TokenWithSpan] {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        self.tokens.get(start..self.at).unwrap_or(&[])
    }

    /// Everything not read yet.
    pub fn rest(&mut self) -> &'a [TokenWithSpan] {
        let rest = self.tokens.get(self.at..).unwrap_or(&[]);
        self.at = self.tokens.len();
        rest
    }

    /// `syntax error at or near ...` the next token.
    pub fn error(&self) -> Error {
        match self.tokens.get(self.at) {
            Some(token) => {
                let error = Error::syntax(format!("syntax error at or near \"{}\"", token.token));
                match bind::position_of(token.span.start, self.sql) {
                    Some(position) => error.with_position(position),
                    None => error,
                }
            }
            None => self.error_at_end(),
        }
    }

    fn error_at_end(&self) -> Error {
        let after = self.tokens.last().and_then(|token| bind::position_of(token.span.end, self.sql)).unwrap_or(1);
        let mut rest = self.sql.chars().zip(1u32..).skip(after.saturating_sub(1) as usize);
        match rest.find(|(c, _)| !c.is_whitespace()) {
            Some((';', position)) => Error::syntax("syntax error at or near \";\"").with_position(position),
            _ => {
                let end = u32::try_from(self.sql.trim_end().chars().count() + 1).unwrap_or(u32::MAX);
                Error::syntax("syntax error at end of input").with_position(end)
            }
        }
    }
}
