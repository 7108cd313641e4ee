//! SQL cut into tokens, quickly and without copies: enough to tell constants from the rest.
//!
//! What is malformed is cut somehow: a statement that does not parse is never counted. Every position is a byte offset at a
//! character's boundary.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key word or a name without quotes.
    Word,
    QuotedName,
    Number,
    /// `'...'` in all its forms, `$$...$$`.
    Text,
    /// `$1`
    Parameter,
    /// One character of anything else.
    Symbol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub start: usize,
    pub text: &'a str,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }
}

/// The tokens of a text, without blanks and comments.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub fn of(text: &'a str) -> Tokens<'a> {
        Tokens { text, at: 0 }
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                (b'-', b'-') => self.at = self.next_byte(self.at, b'\n'),
                (b'/', b'*') => self.at = self.comment_end(),
                _ => return,
            }
        }
    }

    /// Where a byte is next, or the end.
    fn next_byte(&self, from: usize, byte: u8) -> usize {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        rest.iter().position(|b| *b == byte).map_or(self.text.len(), |at| from + at)
    }

    /// Comments nest.
    fn comment_end(&self) -> usize {
        let (mut at, mut depth) = (self.at + 2, 1);
        while at < self.text.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
                (b'*', b'/') if depth == 1 => return at + 2,
                (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        self.text.len()
    }

    /// Behind the quote that ends what begins at `from`, itself a quote.
    fn quoted_end(&self, from: usize, quote: u8, backslashes: bool) -> usize {
        let mut at = from + 1;
        while at < self.text.len() {
            let byte = self.byte(at);
            if byte == b'\\' && backslashes {
                at += 2;
            } else if byte != quote {
                at += 1;
            } else if self.byte(at + 1) == quote {
                at += 2;
            } else {
                return at + 1;
            }
        }
        self.text.len()
    }

    /// `$1`, or a text in dollars, or a lone dollar.
    fn dollar(&self) -> (Kind, usize) {
        let mut end = self.at + 1;
        if self.byte(end).is_ascii_digit() {
            while self.byte(end).is_ascii_digit() {
                end += 1;
            }
            return (Kind::Parameter, end);
        }
        while is_name(self.byte(end)) {
            end += 1;
        }
        if self.byte(end) != b'$' {
            return (Kind::Symbol, self.at + 1);
        }
        let tag = self.text.get(self.at..=end).unwrap_or("$$");
        let rest = self.text.get(end + 1..).unwrap_or_default();
        (Kind::Text, rest.find(tag).map_or(self.text.len(), |at| end + 1 + at + tag.len()))
    }

    fn number_end(&self) -> usize {
        let mut end = self.at;
        loop {
            match self.byte(end) {
                byte if byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' => end += 1,
                b'+' | b'-'
                    if end > self.at && matches!(self.byte(end - 1), b'e' | b'E') && self.byte(self.at) != b'x' =>
                {
                    end += 1;
                }
                _ => return end,
            }
        }
    }

    fn word(&self) -> (Kind, usize) {
        let mut end = self.at;
        while is_name(self.byte(end)) || self.byte(end) == b'$' {
            end += 1;
        }
        let prefix = self.text.get(self.at..end).unwrap_or_default();
        match (prefix, self.byte(end), self.byte(end + 1)) {
            ("e" | "E", b'\'', _) => (Kind::Text, self.quoted_end(end, b'\'', true)),
            ("b" | "B" | "x" | "X" | "n" | "N", b'\'', _) => (Kind::Text, self.quoted_end(end, b'\'', false)),
            ("u" | "U", b'&', b'\'') => (Kind::Text, self.quoted_end(end + 1, b'\'', false)),
            ("u" | "U", b'&', b'"') => (Kind::QuotedName, self.quoted_end(end + 1, b'"', false)),
            _ => (Kind::Word, end),
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let (kind, end) = match self.byte(start) {
            b'\'' => (Kind::Text, self.quoted_end(start, b'\'', false)),
            b'"' => (Kind::QuotedName, self.quoted_end(start, b'"', false)),
            b'$' => self.dollar(),
            b'.' if self.byte(start + 1).is_ascii_digit() => (Kind::Number, self.number_end()),
            byte if byte.is_ascii_digit() => (Kind::Number, self.number_end()),
            byte if is_name(byte) => self.word(),
            _ => (Kind::Symbol, start + 1),
        };
        // An escape may have stepped over the end.
        let end = end.min(self.text.len());
        self.at = end;
        let text = self.text.get(start..end);
        // A backslash before a character of several bytes.
        let text = text.unwrap_or_else(|| {
            self.at = self.text.len();
            self.text.get(start..).unwrap_or_default()
        });
        Some(Token { kind, start, text })
    }
}

/// The text of a script's `nth` statement, from 0, without the semicolon and blanks around it.
pub(crate) fn nth_statement(script: &str, nth: usize) -> &str {
    let (mut from, mut seen, mut empty) = (0, 0, true);
    for token in Tokens::of(script) {
        if !token.is(";") {
            empty = false;
            continue;
        }
        if !empty && seen == nth {
            return script.get(from..token.start).unwrap_or_default().trim();
        }
        seen += usize::from(!empty);
        (from, empty) = (token.end(), true);
    }
    script.get(from..).unwrap_or_default().trim()
}

/// The first word of a statement.
pub(crate) fn first_word(statement: &str) -> &str {
    Tokens::of(statement).find(|token| token.kind == Kind::Word).map_or("", |token| token.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(Kind, &str)> {
        Tokens::of(text).map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn every_kind_of_token_is_known() {
        use Kind::{Number, Parameter, QuotedName, Symbol, Text, Word};
        let text =
            "sel -- x\n /* a /* b */ c */ 'it''s' e'\\'' $$a'$$ $t$b$$c$t$ \"a\"\"b\" 1.5e-3 .5 $12 U&'x' größe>=1";
        let found = cut(text);
        let expected = [
            (Word, "sel"),
            (Text, "'it''s'"),
            (Text, "e'\\''"),
            (Text, "$$a'$$"),
            (Text, "$t$b$$c$t$"),
            (QuotedName, "\"a\"\"b\""),
            (Number, "1.5e-3"),
            (Number, ".5"),
            (Parameter, "$12"),
            (Text, "U&'x'"),
            (Word, "größe"),
            (Symbol, ">"),
            (Symbol, "="),
            (Number, "1"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn whatever_comes_is_cut_without_a_panic() {
        for text in
            ["'", "e'\\", "e'\\ü", "$", "$a", "$a$", "/*", "/* /* */", "--", "\"", "ü", "1e", "u&", "€€'€", "\\"]
        {
            let end = Tokens::of(text).last().map_or(0, |token| token.end());
            assert!(end <= text.len(), "{text}");
        }
    }

    #[test]
    fn statements_of_a_script() {
        let script = " ; select ';' ;; /* a */ update t set a = 1 -- ;\n ; commit";
        assert_eq!(nth_statement(script, 0), "select ';'");
        assert_eq!(nth_statement(script, 1), "/* a */ update t set a = 1 -- ;");
        assert_eq!(nth_statement(script, 2), "commit");
        assert_eq!(nth_statement("select 1", 0), "select 1");
        assert_eq!(first_word("/* a */ (select 1)"), "select");
    }
}
