//! Cuts date/time text into fields, before anything is known of their meaning.

/// A field of date/time input.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    /// Digits, perhaps with a fraction: `19990108`, `6.5`.
    Number(String),
    /// Parts joined by `-`, `/` or `.`: `1999-01-08`, `8-Jan-1999`.
    Date(Vec<String>),
    /// `04:05:06.789`.
    Time(String),
    /// `+02:30`, `-0800`.
    Zone(String),
    /// A word in lower case: month, era, special value, zone name.
    Word(String),
    /// `+infinity`, `-infinity`.
    SignedWord(bool, String),
}

/// Splits the text; `None` if a character has no place in a date.
pub(super) fn scan(text: &str) -> Option<Vec<Field>> {
    let bytes = text.as_bytes();
    let mut scanner = Scanner { bytes, at: 0 };
    let mut fields = Vec::new();
    while let Some(byte) = scanner.peek() {
        match byte {
            b'0'..=b'9' => {
                fields.push(scanner.digits_first());
                // What has divided a date's first two parts divides them all: `1992-10/10` is none.
                let two_parts = matches!(fields.last(), Some(Field::Date(parts)) if parts.len() == 2);
                if two_parts && matches!(scanner.peek(), Some(b'-' | b'/' | b'.')) {
                    return None;
                }
            }
            b'.' if scanner.next_is(|b| b.is_ascii_digit()) => {
                fields.push(Field::Number(scanner.take(|b| b.is_ascii_digit() || b == b'.')));
            }
            b'a'..=b'z' | b'A'..=b'Z' => fields.push(scanner.word_first()),
            b'+' | b'-' => fields.push(scanner.signed()?),
            byte if byte.is_ascii_whitespace() || byte == 0x0B || byte.is_ascii_punctuation() => scanner.at += 1,
            _ => return None,
        }
    }
    Some(fields)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next_is(&self, test: impl Fn(u8) -> bool) -> bool {
        self.bytes.get(self.at + 1).is_some_and(|&byte| test(byte))
    }

    fn take(&mut self, test: impl Fn(u8) -> bool) -> String {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().take_while(|&&byte| test(byte)).count();
        self.at += len;
        rest[..len].iter().map(|&byte| char::from(byte.to_ascii_lowercase())).collect()
    }

    fn digits_first(&mut self) -> Field {
        let start = self.at;
        let digits = self.take(|b| b.is_ascii_digit());
        match self.peek() {
            Some(b':') => {
                self.at = start;
                Field::Time(self.take(|b| b.is_ascii_digit() || b == b':' || b == b'.'))
            }
            Some(delimiter @ (b'-' | b'/' | b'.')) => self.date(digits, delimiter),
            _ => Field::Number(digits),
        }
    }

    /// `first` and a delimiter have been seen.
    fn date(&mut self, first: String, delimiter: u8) -> Field {
        self.at += 1;
        let mut parts = vec![first];
        if self.peek().is_some_and(|b| b.is_ascii_digit()) {
            parts.push(self.take(|b| b.is_ascii_digit()));
            if self.peek() == Some(delimiter) {
                self.at += 1;
                parts.push(self.take(|b| b.is_ascii_digit()));
                return Field::Date(parts);
            }
            if delimiter == b'.' {
                return Field::Number(parts.join("."));
            }
            return Field::Date(parts);
        }
        // A month's name in the middle.
        while self.peek().is_some_and(|b| b.is_ascii_alphanumeric()) {
            parts.push(self.take(|b| b.is_ascii_alphanumeric()));
            if self.peek() == Some(delimiter) {
                self.at += 1;
            }
        }
        Field::Date(parts)
    }

    fn word_first(&mut self) -> Field {
        let start = self.at;
        let word = self.take(|b| b.is_ascii_alphabetic());
        let month = super::parse::month_of(&word).is_some();
        match self.peek() {
            Some(delimiter @ (b'-' | b'/' | b'.')) if month => {
                self.at += 1;
                let mut parts = vec![word, self.take(|b| b.is_ascii_digit())];
                if self.peek() == Some(delimiter) {
                    self.at += 1;
                    parts.push(self.take(|b| b.is_ascii_digit()));
                }
                Field::Date(parts)
            }
            Some(b'/' | b'_') => {
                self.at = start;
                Field::Word(self.take(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+')))
            }
            _ => Field::Word(word),
        }
    }

    fn signed(&mut self) -> Option<Field> {
        let negative = self.peek() == Some(b'-');
        self.at += 1;
        self.take(|b| b.is_ascii_whitespace());
        match self.peek()? {
            b'0'..=b'9' => {
                let digits = self.take(|b| b.is_ascii_digit() || b == b':' || b == b'.');
                Some(Field::Zone(format!("{}{digits}", if negative { '-' } else { '+' })))
            }
            b'a'..=b'z' | b'A'..=b'Z' => Some(Field::SignedWord(negative, self.take(|b| b.is_ascii_alphabetic()))),
            _ => None,
        }
    }
}
