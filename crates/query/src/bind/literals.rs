//! Literals as PostgreSQL 16 reads them.
//!
//! Numbers: `0x1F`, `0o17`, `0b11`, `1_000`; letters right behind a number are refused. The tokenizer ends a number where its
//! decimal digits end: `0b11` would be `0 AS b11`, and `10__0` would be 10. Texts: one that begins on another line goes on with
//! the one before; on the same line it is refused. The parser would take it for a name, as in `'a' AS b`.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Whitespace};

use super::position::Positions;

/// Digits of a literal that is not decimal; what turns them into decimal ones takes time by their square.
const DIGITS_MAX: usize = 4_000;

/// Any literal of a text.
macro_rules! text {
    ($text:pat) => {
        Token::SingleQuotedString($text)
            | Token::EscapedStringLiteral($text)
            | Token::UnicodeStringLiteral($text)
            | Token::NationalStringLiteral($text)
    };
}

/// Puts plain decimal numbers where others are written, and one text where several make one.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Vec<TokenWithSpan>> {
    joined_texts(plain_numbers(tokens, sql)?, sql)
}

fn joined_texts(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Vec<TokenWithSpan>> {
    let blank = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let behind = |at: usize| {
        tokens.get(at).filter(|token| matches!(token.token, text!(_)))?;
        let blanks = tokens.get(at + 1..).unwrap_or_default().iter().take_while(blank).count();
        let next = tokens.get(at + 1 + blanks)?;
        matches!(next.token, Token::SingleQuotedString(_)).then_some((blanks, next))
    };
    if !(0..tokens.len()).any(|at| behind(at).is_some()) {
        return Ok(tokens);
    }
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut whole = token.clone();
        while let Some((blanks, next)) = behind(at) {
            let between = tokens.get(at + 1..at + 1 + blanks).unwrap_or_default();
            let comment =
                |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(Whitespace::MultiLineComment(_)));
            let Token::SingleQuotedString(more) = &next.token else { break };
            let escaped = !matches!(token.token, Token::SingleQuotedString(_)) && more.contains('\\');
            let error = if next.span.start.line <= whole.span.end.line || between.iter().any(comment) {
                Some(Error::syntax(format!("syntax error at or near \"{}\"", next.token)))
            } else if escaped {
                Some(Error::unsupported("a text with escapes that goes on with a backslash on another line"))
            } else {
                None
            };
            if let Some(error) = error {
                return Err(match Positions::of(sql).position(next.span.start) {
                    Some(position) => error.with_position(position),
                    None => error,
                });
            }
            if let text!(text) = &mut whole.token {
                text.push_str(more);
            }
            whole.span.end = next.span.end;
            at += 1 + blanks;
        }
        out.push(whole);
        at += 1;
    }
    Ok(out)
}

fn plain_numbers(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Vec<TokenWithSpan>> {
    let odd = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Number(digits, long)) => *long || digits.contains('_') || word_behind(&tokens, at).is_some(),
        Some(Token::HexStringLiteral(_)) => written(&tokens, at).is_some(),
        _ => false,
    };
    if !(0..tokens.len()).any(odd) {
        return Ok(tokens);
    }
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match written(&tokens, at).filter(|_| odd(at)) {
            None => out.push(token.clone()),
            Some(mut text) => {
                let start = token.span.start;
                let mut end = token.span.end;
                if let Some((word, span)) = word_behind(&tokens, at) {
                    text.push_str(word);
                    end = span.end;
                    at += 1;
                }
                let digits = decimal(&text).map_err(|error| match Positions::of(sql).position(start) {
                    Some(position) => error.with_position(position),
                    None => error,
                })?;
                out.push(TokenWithSpan { token: Token::Number(digits, false), span: Span::new(start, end) });
            }
        }
        at += 1;
    }
    Ok(out)
}

/// A number as it is written; `X'1F'` is none.
fn written(tokens: &[TokenWithSpan], at: usize) -> Option<String> {
    let TokenWithSpan { token, span } = tokens.get(at)?;
    match token {
        Token::Number(digits, long) => Some(format!("{digits}{}", if *long { "L" } else { "" })),
        Token::HexStringLiteral(digits) => {
            let width = usize::try_from(span.end.column.saturating_sub(span.start.column)).ok()?;
            (span.start.line == span.end.line && width == digits.chars().count() + 2).then(|| format!("0x{digits}"))
        }
        _ => None,
    }
}

/// The word that begins where the number at `at` ends.
fn word_behind(tokens: &[TokenWithSpan], at: usize) -> Option<(&str, Span)> {
    let (number, next) = (tokens.get(at)?, tokens.get(at + 1)?);
    match &next.token {
        Token::Word(word) if word.quote_style.is_none() && number.span.end == next.span.start => {
            Some((&word.value, next.span))
        }
        _ => None,
    }
}

/// A literal's value in plain decimal digits.
fn decimal(text: &str) -> Result<String> {
    let junk = || Error::syntax(format!("trailing junk after numeric literal at or near \"{text}\""));
    let radix = match text.get(..2) {
        Some("0x" | "0X") => Some((16, "hexadecimal")),
        Some("0o" | "0O") => Some((8, "octal")),
        Some("0b" | "0B") => Some((2, "binary")),
        _ => None,
    };
    let Some((radix, name)) = radix else {
        return plain(text).ok_or_else(junk);
    };
    let digits = text.get(2..).unwrap_or_default();
    if matches!(digits, "" | "_") {
        return Err(Error::syntax(format!("invalid {name} integer at or near \"{text}\"")));
    }
    let digits = ungrouped(digits.strip_prefix('_').unwrap_or(digits), radix).ok_or_else(junk)?;
    if digits.len() > DIGITS_MAX {
        let message = format!("a {name} integer has more than {DIGITS_MAX} digits");
        return Err(Error::invalid(SqlState::STATEMENT_TOO_COMPLEX, message));
    }
    Ok(in_decimal(&digits, radix))
}

/// A decimal literal without its underscores.
fn plain(text: &str) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let part = |part: &str| if part.is_empty() { Some(String::new()) } else { ungrouped(part, 10) };
    let mut plain = part(whole)?;
    if let Some(fraction) = fraction {
        plain = format!("{plain}.{}", part(fraction)?);
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let sign = if exponent.starts_with('-') { "-" } else { "" };
        plain = format!("{plain}e{sign}{}", ungrouped(digits, 10)?);
    }
    Some(plain)
}

/// Digits whose groups are divided by single underscores.
fn ungrouped(text: &str, radix: u32) -> Option<String> {
    let groups = || text.split('_');
    let valid = groups().all(|group| !group.is_empty() && group.chars().all(|c| c.is_digit(radix)));
    valid.then(|| groups().collect())
}

fn in_decimal(digits: &str, radix: u32) -> String {
    if let Ok(value) = u128::from_str_radix(digits, radix) {
        return value.to_string();
    }
    // Nine decimal digits each, the lowest first.
    const LIMB: u64 = 1_000_000_000;
    let mut limbs: Vec<u64> = vec![0];
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        let mut carry = u64::from(digit);
        for limb in &mut limbs {
            let value = *limb * u64::from(radix) + carry;
            (*limb, carry) = (value % LIMB, value / LIMB);
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut rest = limbs.iter().rev();
    let first = rest.next().map(u64::to_string).unwrap_or_default();
    rest.fold(first, |text, limb| format!("{text}{limb:09}"))
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn literals_in_decimal() {
        for (text, value) in [
            ("0x1F", "31"),
            ("0X_1f_F", "511"),
            ("0o17", "15"),
            ("0b1_1", "3"),
            ("1_000", "1000"),
            ("1_0.5_0", "10.50"),
            ("1_0e+5_0", "10e50"),
            ("1.e-3_0", "1.e-30"),
            // 2 to the 128th.
            ("0x100000000000000000000000000000000", "340282366920938463463374607431768211456"),
        ] {
            assert_eq!(decimal(text).unwrap(), value, "{text}");
        }
        for text in ["123abc", "1.5x", "10__0", "1_", "0o18", "0b12", "0x", "0b_", "1e", "1.e", "1L", "1_.5", "1._5"] {
            assert!(decimal(text).is_err(), "{text}");
        }
    }
}
