//! JSON text cut into tokens, with PostgreSQL's complaints about what is none.

use std::borrow::Cow;

use crate::{Error, Result, SqlState};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    String,
    Number,
    True,
    False,
    Null,
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Comma,
    Colon,
    End,
}

/// The token last read and where the next one starts.
pub(super) struct Lexer<'a> {
    text: &'a str,
    pub token: Token,
    pub start: usize,
    pub end: usize,
    line: usize,
    line_start: usize,
}

/// What counts as part of a word in a complaint.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Lexer<'a> {
    /// At the first token.
    pub fn new(text: &'a str) -> Result<Lexer<'a>> {
        let mut lexer = Lexer { text, token: Token::End, start: 0, end: 0, line: 1, line_start: 0 };
        lexer.advance()?;
        Ok(lexer)
    }

    /// The current token's text.
    pub fn text(&self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or("")
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    pub fn advance(&mut self) -> Result<()> {
        let mut at = self.end;
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.byte(at) {
            at += 1;
            if byte == b'\n' {
                self.line += 1;
                self.line_start = at;
            }
        }
        self.start = at;
        let Some(byte) = self.byte(at) else {
            (self.token, self.end) = (Token::End, at);
            return Ok(());
        };
        let single = match byte {
            b'{' => Token::ObjectStart,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayStart,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return self.word(),
        };
        (self.token, self.end) = (single, at + 1);
        Ok(())
    }

    fn word(&mut self) -> Result<()> {
        let mut end = self.start;
        while self.byte(end).is_some_and(is_word) {
            end += 1;
        }
        self.end = end.max(self.start + 1);
        self.token = match self.text() {
            "true" => Token::True,
            "false" => Token::False,
            "null" => Token::Null,
            _ => return Err(self.invalid_token()),
        };
        Ok(())
    }

    fn digits(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(|byte| byte.is_ascii_digit()) {
            at += 1;
        }
        at
    }

    fn number(&mut self) -> Result<()> {
        let mut at = self.start + usize::from(self.byte(self.start) == Some(b'-'));
        let mut wrong = false;
        match self.byte(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => at = self.digits(at),
            _ => wrong = true,
        }
        if !wrong && self.byte(at) == Some(b'.') {
            let end = self.digits(at + 1);
            wrong = end == at + 1;
            at = end;
        }
        if !wrong && matches!(self.byte(at), Some(b'e' | b'E')) {
            at += 1;
            if matches!(self.byte(at), Some(b'+' | b'-')) {
                at += 1;
            }
            let end = self.digits(at);
            wrong = end == at;
            at = end;
        }
        while self.byte(at).is_some_and(is_word) {
            wrong = true;
            at += 1;
        }
        (self.token, self.end) = (Token::Number, at);
        if wrong { Err(self.invalid_token()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<()> {
        let mut at = self.start + 1;
        loop {
            let Some(byte) = self.byte(at) else {
                self.end = at;
                return Err(self.invalid_token());
            };
            match byte {
                b'"' => {
                    (self.token, self.end) = (Token::String, at + 1);
                    return Ok(());
                }
                b'\\' => at = self.escape(at + 1)?,
                0..32 => {
                    self.end = at;
                    return Err(self.error(format!("Character with value 0x{byte:02x} must be escaped.")));
                }
                _ => at += 1,
            }
        }
    }

    /// Past the escape whose letter is at `at`.
    fn escape(&mut self, at: usize) -> Result<usize> {
        let char_end = |at: usize| self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        match self.byte(at) {
            None => {
                self.end = at;
                Err(self.invalid_token())
            }
            Some(b'u') => {
                for digit in at + 1..at + 5 {
                    if !self.byte(digit).is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        if self.byte(digit).is_none() {
                            self.end = digit.min(self.text.len());
                            return Err(self.invalid_token());
                        }
                        self.end = digit + char_end(digit);
                        return Err(self.error("\"\\u\" must be followed by four hexadecimal digits.".into()));
                    }
                }
                Ok(at + 5)
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
            Some(_) => {
                self.end = at + char_end(at);
                self.start = at;
                Err(self.error(format!("Escape sequence \"\\{}\" is invalid.", self.text())))
            }
        }
    }

    fn invalid_token(&self) -> Error {
        self.error(format!("Token \"{}\" is invalid.", self.text()))
    }

    /// What the grammar wanted instead of the current token.
    pub fn expected(&self, what: &str) -> Error {
        if self.token == Token::End {
            return self.error("The input string ended unexpectedly.".into());
        }
        self.error(format!("Expected {what}, but found \"{}\".", self.text()))
    }

    /// 22P02 with PostgreSQL's detail and the line up to the offending token.
    fn error(&self, detail: String) -> Error {
        let line = self.text.get(self.line_start..self.end).unwrap_or("");
        let mut shown = line;
        while shown.len() >= 50 {
            let mut chars = shown.chars();
            chars.next();
            shown = chars.as_str();
        }
        if line.len() - shown.len() <= 3 {
            shown = line;
        }
        let prefix = if shown.len() < line.len() { "..." } else { "" };
        let next = self.byte(self.end);
        let more = self.token != Token::End || self.start < self.text.len();
        let suffix = if more && next.is_some_and(|byte| !matches!(byte, b'\n' | b'\r')) { "..." } else { "" };
        Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json")
            .with_detail(detail)
            .with_traceback(format!("JSON data, line {}: {prefix}{shown}{suffix}", self.line))
    }
}

/// The characters a string token (with its quotes) stands for.
pub fn unescape_json(token: &str) -> Result<Cow<'_, str>> {
    let body = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(token);
    if !body.contains('\\') {
        return Ok(Cow::Borrowed(body));
    }
    let invalid = |detail: &str| {
        Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").with_detail(detail)
    };
    const LOW: &str = "Unicode low surrogate must follow a high surrogate.";
    let mut out = String::with_capacity(body.len());
    let mut high: Option<u32> = None;
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        if escaped != Some('u') {
            if high.is_some() {
                return Err(invalid(LOW));
            }
            out.push(match escaped {
                None => c,
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(other) => other,
            });
            continue;
        }
        let digits = chars.as_str().get(..4).unwrap_or("");
        let format = || invalid("\"\\u\" must be followed by four hexadecimal digits.");
        let code = u32::from_str_radix(digits, 16).map_err(|_| format())?;
        chars = chars.as_str().get(4..).unwrap_or("").chars();
        match (high.take(), code) {
            (Some(_), 0xD800..=0xDBFF) => {
                return Err(invalid("Unicode high surrogate must not follow a high surrogate."));
            }
            (Some(high), 0xDC00..=0xDFFF) => {
                let code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00);
                out.extend(char::from_u32(code));
            }
            (Some(_), _) | (None, 0xDC00..=0xDFFF) => return Err(invalid(LOW)),
            (None, 0xD800..=0xDBFF) => high = Some(code),
            (None, 0) => {
                let message = "unsupported Unicode escape sequence";
                return Err(Error::invalid(SqlState::UNTRANSLATABLE_CHARACTER, message)
                    .with_detail("\\u0000 cannot be converted to text."));
            }
            (None, code) => out.extend(char::from_u32(code)),
        }
    }
    if high.is_some() { Err(invalid(LOW)) } else { Ok(Cow::Owned(out)) }
}
