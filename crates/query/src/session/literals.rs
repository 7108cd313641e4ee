//! A statement's text with its literals taken out, so that texts that differ in values alone are one statement.
//!
//! What is left must mean the same with parameters in the literals' places: whatever might not (`ORDER BY 1`, a string after a
//! prefix, a comment, a parameter) is not taken apart. A text that is no SQL with parameters (`date $1`, `numeric($1)`) fails when it is
//! prepared, which its caller notices once.

use heliosdb_types::SqlType;

/// Longer texts carry data; they are worth their parsing.
const TEXT_BYTES_MAX: usize = 4096;
const LITERALS_MAX: usize = 64;

/// A literal as written: digits, or a string's content.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    pub text: String,
    /// `None`: a string, whose type its surroundings decide.
    pub sql_type: Option<SqlType>,
}

/// A text taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Template {
    /// With `$1`, `$2`, ... for the literals.
    pub text: String,
    pub literals: Vec<Literal>,
}

impl Template {
    /// The text and what its literals are: equal for statements that differ in values alone.
    pub fn key(&self) -> String {
        let kind = |literal: &Literal| match literal.sql_type {
            None => 's',
            Some(SqlType::Int4) => 'i',
            Some(SqlType::Int8) => 'l',
            Some(_) => 'n',
        };
        let kinds = self.literals.iter().map(kind);
        let mut key = String::with_capacity(self.text.len() + self.literals.len() + 1);
        key.push_str(&self.text);
        key.push('\0');
        key.extend(kinds);
        key
    }
}

/// `None`: not one SELECT, INSERT, UPDATE or DELETE that can be taken apart.
pub(super) fn take_apart(sql: &str) -> Option<Template> {
    let sql = sql.trim_end_matches(|c: char| c.is_ascii_whitespace());
    let sql = sql.strip_suffix(';').unwrap_or(sql);
    if sql.len() > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = sql.as_bytes();
    let (mut text, mut literals) = (String::with_capacity(sql.len()), Vec::new());
    let (mut at, mut first, mut keep_number, mut ordered) = (0, true, false, false);
    while let Some(&byte) = bytes.get(at) {
        let rest = &sql[at..];
        let length = match byte {
            // `U&'...'`, or so it looks; or what rows are ordered by.
            b'\'' if text.ends_with('&') || ordered => return None,
            b'\'' => {
                let (content, length) = string(rest)?;
                literals.push(Literal { text: content, sql_type: None });
                place(&mut text, literals.len());
                at += length;
                keep_number = false;
                continue;
            }
            b'0'..=b'9' | b'.' => match number(rest)? {
                0 => 1,
                length if keep_number => length,
                // It may be a position, and a constant is none.
                _ if ordered => return None,
                length => {
                    let digits = &rest[..length];
                    literals.push(Literal { text: digits.to_owned(), sql_type: Some(type_of(digits)) });
                    place(&mut text, literals.len());
                    at += length;
                    continue;
                }
            },
            b'"' => quoted(rest)?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => {
                let length = rest.bytes().take_while(|byte| is_word(*byte)).count();
                let word = &rest[..length];
                if first
                    && !["select", "insert", "update", "delete"].iter().any(|known| word.eq_ignore_ascii_case(known))
                {
                    return None;
                }
                // Groups are not about few rows.
                if word.eq_ignore_ascii_case("group") {
                    return None;
                }
                ordered |= word.eq_ignore_ascii_case("order");
                // A string with a prefix has rules of its own.
                if bytes.get(at + length) == Some(&b'\'') {
                    return None;
                }
                first = false;
                keep_number = ["limit", "offset", "first", "next"].iter().any(|known| word.eq_ignore_ascii_case(known));
                length
            }
            b'$' | b';' | b'?' | b'\\' | 0 => return None,
            b'-' if rest.starts_with("--") => return None,
            b'/' if rest.starts_with("/*") => return None,
            byte => {
                keep_number &= byte.is_ascii_whitespace();
                1
            }
        };
        if literals.len() > LITERALS_MAX {
            return None;
        }
        text.push_str(rest.get(..length)?);
        at += length;
    }
    (!literals.is_empty() && literals.len() <= LITERALS_MAX).then_some(Template { text, literals })
}

fn place(text: &mut String, number: usize) {
    text.push('$');
    text.push_str(&number.to_string());
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// A string's content and length; it must be all there, and no other may continue it.
fn string(text: &str) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut rest = text.get(1..)?;
    loop {
        let (before, after) = rest.split_once('\'')?;
        content.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                content.push('\'');
                rest = more;
            }
            None => {
                let continued = after.trim_start().starts_with('\'');
                return (!continued).then_some((content, text.len() - after.len()));
            }
        }
    }
}

/// The length of a quoted name.
fn quoted(text: &str) -> Option<usize> {
    let mut rest = text.get(1..)?;
    loop {
        let (_, after) = rest.split_once('"')?;
        match after.strip_prefix('"') {
            Some(more) => rest = more,
            None => return Some(text.len() - after.len()),
        }
    }
}

/// The length of a number; 0 for a dot that is not part of one, `None` if letters run into it.
fn number(text: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(text);
    if text.as_bytes().get(length) == Some(&b'.') {
        let fraction = digits(&text[length + 1..]);
        if length == 0 && fraction == 0 {
            return Some(0);
        }
        length += 1 + fraction;
    }
    if text.as_bytes().get(length).is_some_and(|byte| matches!(byte, b'e' | b'E')) {
        let sign = usize::from(text.as_bytes().get(length + 1).is_some_and(|byte| matches!(byte, b'+' | b'-')));
        let exponent = digits(text.get(length + 1 + sign..)?);
        if exponent == 0 {
            return None;
        }
        length += 1 + sign + exponent;
    }
    let runs_on = text.as_bytes().get(length).is_some_and(|byte| is_word(*byte) || *byte == b'.');
    (!runs_on).then_some(length)
}

/// What PostgreSQL takes a number for.
fn type_of(digits: &str) -> SqlType {
    if digits.parse::<i32>().is_ok() {
        SqlType::Int4
    } else if digits.parse::<i64>().is_ok() {
        SqlType::Int8
    } else {
        SqlType::Numeric(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(sql: &str) -> Option<(String, Vec<String>)> {
        let template = take_apart(sql)?;
        Some((template.text, template.literals.into_iter().map(|literal| literal.text).collect()))
    }

    #[test]
    fn literals_become_parameters() {
        let (text, literals) = apart("SELECT a, 'it''s' FROM t1 WHERE b = 42 AND c>-1.5e3 LIMIT 10;  ").unwrap();
        assert_eq!(text, "SELECT a, $1 FROM t1 WHERE b = $2 AND c>-$3 LIMIT 10");
        assert_eq!(literals, ["it's", "42", "1.5e3"]);
        let (text, literals) = apart("insert into \"T\"\"1\".t(x2) values ('', 2147483648, .5, t.x)").unwrap();
        assert_eq!(text, "insert into \"T\"\"1\".t(x2) values ($1, $2, $3, t.x)");
        assert_eq!(literals, ["", "2147483648", ".5"]);
        let (text, literals) = apart("select 1, a from t where b > 5 order by a desc limit 10 offset 20").unwrap();
        assert_eq!(text, "select $1, a from t where b > $2 order by a desc limit 10 offset 20");
        assert_eq!(literals, ["1", "5"]);
    }

    #[test]
    fn kinds_of_literals_are_told_apart() {
        let key = |sql: &str| take_apart(sql).unwrap().key();
        assert_eq!(key("SELECT 1"), key("SELECT 7"));
        let all = ["SELECT 1", "SELECT 2147483648", "SELECT 1.0", "SELECT '1'", "SELECT 9223372036854775808"];
        let keys: std::collections::BTreeSet<String> = all.into_iter().map(key).collect();
        assert_eq!(keys.len(), 4, "the last is numeric like 1.0");
    }

    #[test]
    fn what_might_mean_something_else_stays_whole() {
        for sql in [
            "SELECT a FROM t ORDER BY 1",
            "SELECT a FROM t WHERE b = 1 ORDER BY 1",
            "SELECT a FROM t WHERE b = 1 ORDER BY c, 1 LIMIT 5",
            "SELECT a FROM t WHERE b = 1 ORDER BY c = 'x'",
            "SELECT a, count(*) FROM t WHERE b = 1 GROUP BY 1",
            "SELECT E'a\\n'",
            "SELECT U&'x'",
            "SELECT 'a' 'b'",
            "SELECT 'a'\n  'b'",
            "SELECT $1, 2",
            "SELECT $$a$$, 2",
            "SELECT 1; SELECT 2",
            "SELECT 1 -- one",
            "SELECT /* one */ 1",
            "SELECT 'unfinished",
            "SELECT \"unfinished, 1",
            "SELECT 12abc",
            "SELECT 0x1f",
            "SELECT 1e",
            "SELECT 1..2",
            "SET x = 1",
            "WITH a AS (SELECT 1) SELECT 2",
            "SELECT a FROM t",
            "",
        ] {
            assert_eq!(take_apart(sql), None, "{sql}");
        }
    }

    #[test]
    fn hostile_texts_do_no_harm() {
        for sql in
            ["select '", "select \"", "select 1.", "select .", "select é1", "select 'é' || 'ß'", "select 1.e", "."]
        {
            let _ = take_apart(sql);
        }
        assert!(take_apart(&format!("select {}", "1,".repeat(1000))).is_none());
    }
}
