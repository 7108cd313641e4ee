//! A statement's text without its constants, and a number for it.
//!
//! As PostgreSQL's extension shows it: constants become `$n`, counted on from the statement's own parameters; blanks and comments
//! stay, but do not count for the number. Positions in ORDER BY and GROUP BY and the lengths of types are not constants.
//! A parameter counts as a constant does: the session turns a client's literals into parameters where that saves work.
//! PostgreSQL compares trees; we compare tokens, so `a+1` and `(a+1)` are two statements here and one there.

use super::scan::{Kind, Token, Tokens};

/// Longer texts are cut.
const TEXT_BYTES_MAX: usize = 4096;

/// Types that take a length or a precision in parentheses.
const TYPES_WITH_LENGTH: [&str; 16] = [
    "bit",
    "bpchar",
    "char",
    "character",
    "dec",
    "decimal",
    "float",
    "interval",
    "nchar",
    "numeric",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "varchar",
    "varying",
];

/// Words behind which a minus belongs to its number.
const BEFORE_A_SIGN: [&str; 16] = [
    "and",
    "between",
    "by",
    "case",
    "else",
    "from",
    "in",
    "like",
    "limit",
    "not",
    "offset",
    "or",
    "returning",
    "select",
    "then",
    "when",
];

/// Words that end ORDER BY and GROUP BY.
const AFTER_BY: [&str; 12] =
    ["except", "fetch", "for", "groups", "having", "intersect", "limit", "offset", "range", "rows", "union", "window"];

/// Tokens, each with whether it is a constant.
struct Classified<'a> {
    tokens: std::iter::Peekable<Tokens<'a>>,
    /// The two tokens before.
    last: Option<Token<'a>>,
    before_last: Option<Token<'a>>,
    depth: usize,
    /// The depth at which a type's length is being said.
    length: Option<usize>,
    /// The depth of the ORDER BY or GROUP BY we are in.
    by: Option<usize>,
}

impl<'a> Classified<'a> {
    fn of(text: &'a str) -> Classified<'a> {
        let tokens = Tokens::of(text).peekable();
        Classified { tokens, last: None, before_last: None, depth: 0, length: None, by: None }
    }

    fn last_is(&self, symbol: &str) -> bool {
        self.last.is_some_and(|last| last.is(symbol))
    }

    fn last_is_one_of(&self, words: &[&str]) -> bool {
        self.last.is_some_and(|last| words.iter().any(|word| last.is_word(word)))
    }

    /// Whether a minus here is a number's sign.
    fn sign(&mut self, token: &Token<'_>) -> bool {
        let number = |next: &Token<'_>| next.kind == Kind::Number && next.start == token.end();
        if !token.is("-") || !self.tokens.peek().is_some_and(number) {
            return false;
        }
        match self.last {
            None => true,
            Some(last) => match last.kind {
                Kind::Symbol => !matches!(last.text, ")" | "]"),
                Kind::Word => self.last_is_one_of(&BEFORE_A_SIGN),
                _ => false,
            },
        }
    }

    fn is_constant(&mut self, token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Text => true,
            Kind::Number => {
                let place = self.by == Some(self.depth)
                    && (self.last_is(",") || self.last.is_some_and(|last| last.is_word("by")))
                    && self
                        .tokens
                        .peek()
                        .is_none_or(|next| !matches!(next.text, "+" | "-" | "*" | "/" | "%" | "|" | "^"));
                self.length.is_none() && !place
            }
            Kind::Word => {
                let said_of = self.last.is_some_and(|last| last.is_word("is"))
                    || self.last.is_some_and(|last| last.is_word("not"))
                        && self.before_last.is_some_and(|word| word.is_word("is"));
                let word = |word: &str| token.text.eq_ignore_ascii_case(word);
                !said_of && (word("true") || word("false") || word("null"))
            }
            Kind::QuotedName | Kind::Parameter | Kind::Symbol => false,
        }
    }

    fn follow(&mut self, token: Token<'a>) {
        if token.is("(") {
            self.depth += 1;
            let type_name = self.last_is_one_of(&TYPES_WITH_LENGTH);
            if type_name && self.length.is_none() {
                self.length = Some(self.depth);
            }
        } else if token.is(")") {
            if self.length == Some(self.depth) {
                self.length = None;
            }
            self.depth = self.depth.saturating_sub(1);
            self.by = self.by.filter(|by| *by <= self.depth);
        } else if token.is_word("by") {
            self.by = Some(self.depth);
        } else if self.by == Some(self.depth) && AFTER_BY.iter().any(|word| token.is_word(word)) {
            self.by = None;
        }
        self.before_last = self.last.replace(token);
    }
}

impl<'a> Iterator for Classified<'a> {
    /// A token, and where the constant begins if it is one.
    type Item = (Token<'a>, Option<usize>);

    fn next(&mut self) -> Option<(Token<'a>, Option<usize>)> {
        let token = self.tokens.next()?;
        let found = if self.sign(&token) {
            let number = self.tokens.next()?;
            (number, Some(token.start))
        } else {
            let constant = self.is_constant(&token);
            (token, constant.then_some(token.start))
        };
        self.follow(found.0);
        Some(found)
    }
}

/// A number for the statement without its constants; never 0.
pub(crate) fn fingerprint(text: &str) -> i64 {
    let mut hash = Hash::new();
    for (token, constant) in Classified::of(text) {
        match token.kind {
            _ if constant.is_some() || token.kind == Kind::Parameter => hash.byte(1),
            Kind::Word => token.text.bytes().for_each(|byte| hash.byte(byte.to_ascii_lowercase())),
            _ => token.text.bytes().for_each(|byte| hash.byte(byte)),
        }
        // No byte of UTF-8.
        hash.byte(0xff);
    }
    hash.finish()
}

/// The text with `$n` for its constants.
pub(crate) fn normalised(text: &str) -> String {
    let own = Tokens::of(text).filter(|token| token.kind == Kind::Parameter);
    let mut number = own.filter_map(|token| token.text.get(1..)?.parse::<u64>().ok()).max().unwrap_or(0);
    let mut out = String::with_capacity(text.len().min(TEXT_BYTES_MAX));
    let mut copied = 0;
    for (token, constant) in Classified::of(text) {
        let Some(start) = constant else { continue };
        number += 1;
        out.push_str(text.get(copied..start).unwrap_or_default());
        out.push_str(&format!("${number}"));
        copied = token.end();
        if out.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    if out.len() > TEXT_BYTES_MAX {
        out.truncate(out.floor_char_boundary(TEXT_BYTES_MAX));
        out.push_str("...");
    }
    out
}

/// FNV-1a, 64 bits, its bits mixed at the end: the same on every machine and in every version.
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn finish(self) -> i64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = mixed ^ (mixed >> 33);
        if mixed == 0 { 1 } else { mixed.cast_signed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right-hand sides are what PostgreSQL 15's extension shows.
    #[test]
    fn constants_become_parameters() {
        for (text, shown) in [
            ("SELECT 1", "SELECT $1"),
            ("select  a,'x' from t where b = -1.5 and c - 1 > 2", "select  a,$1 from t where b = $2 and c - $3 > $4"),
            (
                "SELECT * FROM t WHERE a = $2 AND b = 'it''s' LIMIT 10",
                "SELECT * FROM t WHERE a = $2 AND b = $3 LIMIT $4",
            ),
            (
                "select a, count(*) from t group by 1 order by 2 desc, 1",
                "select a, count(*) from t group by 1 order by 2 desc, 1",
            ),
            (
                "select cast(a as numeric(10,2)), b::varchar(5) from t",
                "select cast(a as numeric(10,2)), b::varchar(5) from t",
            ),
            ("select a is null, b is not true, null, true from t", "select a is null, b is not true, $1, $2 from t"),
            ("insert into t values (1, 'a'), (2, e'b\\'')", "insert into t values ($1, $2), ($3, $4)"),
            ("select a in (1,2) /* 5 */ from t", "select a in ($1,$2) /* 5 */ from t"),
        ] {
            assert_eq!(normalised(text), shown);
        }
    }

    #[test]
    fn constants_blanks_and_case_do_not_count() {
        let same = [
            "select a from t where b = 1",
            "SELECT a\nFROM t WHERE b=  -22 -- x",
            "select a from t where b = 'x'",
            "select a from t where b = $1",
        ];
        assert!(same.iter().all(|text| fingerprint(text) == fingerprint(same[0])));
        let others = [
            "select a from t where b < 1",
            "select \"A\" from t where b = 1",
            "select a from u where b = 1",
            "select a from t where b = 1 order by 1",
            "select a from t where b = 1 order by 2",
        ];
        let mut numbers: Vec<i64> = others.iter().map(|text| fingerprint(text)).collect();
        numbers.push(fingerprint(same[0]));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), others.len() + 1);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = format!("select '{}', {}", "x".repeat(9000), "ü, ".repeat(9000));
        let shown = normalised(&long);
        assert!(shown.len() <= TEXT_BYTES_MAX + 3 && shown.starts_with("select $1, ü") && shown.ends_with("..."));
    }
}
