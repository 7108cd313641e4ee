//! The characters of an expression, as PostgreSQL's lexer groups them.

use heliosdb_types::{Error, Result};

use super::node::Preference;
use super::{RegexOptions, invalid};

/// The most repetitions a bound may ask for.
const MOST_REPEATED: u32 = 255;

/// One thing an expression is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Char(char),
    Any,
    /// `^` and `$`, which may stand at lines.
    LineStart,
    LineEnd,
    /// `\A` and `\Z`.
    TextStart,
    TextEnd,
    WordStart,
    WordEnd,
    WordEdge,
    NoWordEdge,
    /// A class by its name, and whether all but it is meant.
    Class(&'static str, bool),
    Bar,
    /// An opening parenthesis; whether it makes a group.
    Open(bool),
    Close,
    Bracket,
    /// A quantifier: at least, at most, and what it prefers.
    Repeat(u32, Option<u32>, Option<Preference>),
}

/// What reads tokens.
pub(super) struct Lexer<'p> {
    rest: &'p str,
    expanded: bool,
}

/// Reads what stands at the very start of an expression: a director, then options.
pub(super) fn begin<'p>(pattern: &'p str, options: &mut RegexOptions) -> Result<Lexer<'p>> {
    let mut rest = pattern;
    if !options.literal
        && let Some(directed) = rest.strip_prefix("***")
    {
        rest = match directed.split_at_checked(1) {
            Some((":", rest)) => rest,
            Some(("=", rest)) => {
                options.literal = true;
                rest
            }
            _ => return Err(invalid("quantifier operand invalid")),
        };
    }
    if !options.literal
        && let Some(embedded) = rest.strip_prefix("(?")
        && embedded.starts_with(char::is_alphabetic)
    {
        let letters = embedded.find(|c: char| !c.is_alphabetic()).unwrap_or(embedded.len());
        let (letters, after) = embedded.split_at(letters);
        for letter in letters.chars() {
            if !options.set(letter)? {
                return Err(invalid("invalid embedded option"));
            }
        }
        rest = after.strip_prefix(')').ok_or_else(|| invalid("invalid embedded option"))?;
    }
    let expanded = options.expanded && !options.literal;
    Ok(Lexer { rest, expanded })
}

impl RegexOptions {
    /// Sets what a letter stands for; whether there is such a letter.
    pub(crate) fn set(&mut self, letter: char) -> Result<bool> {
        match letter {
            'i' => self.case_insensitive = true,
            'c' => self.case_insensitive = false,
            'n' | 'm' => (self.dot_stops, self.lines) = (true, true),
            's' => (self.dot_stops, self.lines) = (false, false),
            'p' => (self.dot_stops, self.lines) = (true, false),
            'w' => (self.dot_stops, self.lines) = (false, true),
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'q' => self.literal = true,
            // Advanced expressions are what there is.
            'e' => {}
            'b' => return Err(Error::unsupported("regular expression option \"b\"")),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Lexer<'_> {
    /// The next character as it stands, as brackets read theirs.
    pub fn raw(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.rest = chars.as_str();
        c
    }

    /// The character after that.
    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Whether the next characters are these.
    pub fn starts_with(&self, wanted: &str) -> bool {
        self.rest.starts_with(wanted)
    }

    /// Takes the next characters if they are these.
    pub fn take(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_comments(&mut self) {
        loop {
            if self.take("(?#") {
                self.rest = self.rest.split_once(')').map_or("", |(_, after)| after);
            } else if self.expanded && self.peek().is_some_and(char::is_whitespace) {
                self.raw();
            } else if self.expanded && self.peek() == Some('#') {
                self.rest = self.rest.find('\n').and_then(|end| self.rest.get(end..)).unwrap_or("");
            } else {
                return;
            }
        }
    }

    /// The next token; `None` at the end.
    pub fn token(&mut self) -> Result<Option<Token>> {
        self.skip_comments();
        let Some(c) = self.raw() else { return Ok(None) };
        Ok(Some(match c {
            '.' => Token::Any,
            '^' => Token::LineStart,
            '$' => Token::LineEnd,
            '|' => Token::Bar,
            ')' => Token::Close,
            '[' if self.take("[:<:]]") => Token::WordStart,
            '[' if self.take("[:>:]]") => Token::WordEnd,
            '[' => Token::Bracket,
            '*' => Token::Repeat(0, None, self.preference()),
            '+' => Token::Repeat(1, None, self.preference()),
            '?' => Token::Repeat(0, Some(1), self.preference()),
            '{' if self.peek().is_some_and(|c| c.is_ascii_digit()) => self.bound()?,
            '(' if self.take("?") => self.special()?,
            '(' => Token::Open(true),
            '\\' => self.escape()?,
            plain => Token::Char(plain),
        }))
    }

    fn preference(&mut self) -> Option<Preference> {
        Some(if self.take("?") { Preference::Shortest } else { Preference::Longest })
    }

    /// What follows `(?`.
    fn special(&mut self) -> Result<Token> {
        match (self.raw(), self.peek()) {
            (Some(':'), _) => Ok(Token::Open(false)),
            (Some('=' | '!'), _) | (Some('<'), Some('=' | '!')) => {
                Err(Error::unsupported("look-around in a regular expression"))
            }
            _ => Err(invalid("quantifier operand invalid")),
        }
    }

    /// What follows an opening brace.
    fn bound(&mut self) -> Result<Token> {
        let min = self.count()?.unwrap_or(0);
        let (max, chosen) = match self.take(",") {
            true => (self.count()?, true),
            false => (Some(min), false),
        };
        match self.raw() {
            Some('}') if max.is_some_and(|max| max < min) => Err(invalid("invalid repetition count(s)")),
            // A fixed number leaves the choice to what is repeated.
            Some('}') => {
                let preference = self.preference();
                Ok(Token::Repeat(min, max, preference.filter(|_| chosen)))
            }
            Some(_) => Err(invalid("invalid repetition count(s)")),
            None => Err(invalid("braces {} not balanced")),
        }
    }

    fn count(&mut self) -> Result<Option<u32>> {
        let mut count = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.raw();
            let next = count.unwrap_or(0) * 10 + digit;
            if next > MOST_REPEATED {
                return Err(invalid("invalid repetition count(s)"));
            }
            count = Some(next);
        }
        Ok(count)
    }

    /// What follows a backslash, in brackets too.
    pub fn escape(&mut self) -> Result<Token> {
        let wrong = || invalid("invalid escape \\ sequence");
        let c = self.raw().ok_or_else(wrong)?;
        Ok(match c {
            'a' => Token::Char('\x07'),
            'b' => Token::Char('\x08'),
            'B' => Token::Char('\\'),
            'c' => Token::Char(char::from(self.raw().ok_or_else(wrong)? as u8 & 0x1f)),
            'e' => Token::Char('\x1b'),
            'f' => Token::Char('\x0c'),
            'n' => Token::Char('\n'),
            'r' => Token::Char('\r'),
            't' => Token::Char('\t'),
            'v' => Token::Char('\x0b'),
            'u' => self.code(16, 4, 4)?,
            'U' => self.code(16, 8, 8)?,
            'x' => self.code(16, 1, 255)?,
            '0' => match self.peek().is_some_and(|c| c.is_digit(8)) {
                true => self.code(8, 1, 2)?,
                false => Token::Char('\0'),
            },
            '1'..='9' => return Err(Error::unsupported("a back-reference in a regular expression")),
            'd' | 'D' => Token::Class("digit", c == 'D'),
            's' | 'S' => Token::Class("space", c == 'S'),
            'w' | 'W' => Token::Class("word", c == 'W'),
            'A' => Token::TextStart,
            'Z' => Token::TextEnd,
            'm' => Token::WordStart,
            'M' => Token::WordEnd,
            'y' => Token::WordEdge,
            'Y' => Token::NoWordEdge,
            other if other.is_ascii_alphanumeric() => return Err(wrong()),
            other => Token::Char(other),
        })
    }

    /// A character by its number.
    fn code(&mut self, radix: u32, least: usize, most: usize) -> Result<Token> {
        let wrong = || invalid("invalid escape \\ sequence");
        let (mut code, mut digits) = (0u32, 0);
        while digits < most
            && let Some(digit) = self.peek().and_then(|c| c.to_digit(radix))
        {
            self.raw();
            code = code.checked_mul(radix).and_then(|code| code.checked_add(digit)).ok_or_else(wrong)?;
            digits += 1;
        }
        if digits < least {
            return Err(wrong());
        }
        char::from_u32(code).map(Token::Char).ok_or_else(wrong)
    }
}
