//! Where a statement ends: at a semicolon that is in no string, name, comment or parenthesis.

/// Splits `text` into whole statements, without their semicolons, and what is not finished yet.
pub(crate) fn split(text: &str) -> (Vec<&str>, &str) {
    let bytes = text.as_bytes();
    let (mut statements, mut start, mut at, mut depth) = (Vec::new(), 0, 0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let skipped = match byte {
            b'\'' => {
                let escapes = matches!(at.checked_sub(1).and_then(|before| bytes.get(before)), Some(b'e' | b'E'));
                quoted(rest, b'\'', escapes)
            }
            b'"' => quoted(rest, b'"', false),
            b'-' if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
            b'/' if rest.starts_with("/*") => comment(rest),
            b'$' => match dollar_tag(rest) {
                Some(tag) => rest.get(tag.len()..).and_then(|body| body.find(tag)).map(|end| end + 2 * tag.len()),
                None => Some(1),
            },
            b';' if depth == 0 => {
                let statement = text.get(start..at).unwrap_or_default();
                if !statement.trim().is_empty() {
                    statements.push(statement.trim());
                }
                start = at + 1;
                Some(1)
            }
            b'(' => {
                depth += 1;
                Some(1)
            }
            b')' => {
                depth = depth.saturating_sub(1);
                Some(1)
            }
            _ => Some(1),
        };
        match skipped {
            Some(len) => at += len.max(1),
            // A string or comment that goes on.
            None => break,
        }
    }
    (statements, text.get(start..).unwrap_or_default())
}

/// Length of a quoted piece; `None` if it does not end.
fn quoted(text: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if escapes => at += 2,
            byte if byte == quote => {
                // A doubled quote starts the next piece at once, which is as good.
                return Some(at + 1);
            }
            _ => at += 1,
        }
    }
}

/// Comments nest.
fn comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = text.as_bytes().get(at..)?;
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else if rest.is_empty() {
            return None;
        } else {
            at += 1;
        }
    }
}

/// `$tag$` at the start of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text.get(1..)?.find('$')? + 1;
    let name = text.get(1..end)?;
    let sound =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    sound.then(|| text.get(..=end)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_inside_things_end_nothing() {
        let text = "select 'a;''b'; select \"x;\" -- c;\n, $$;$$, $t$ ; $$ $t$ /* ; /* ; */ */; ; insert into t values (1;2) ; x";
        let (statements, rest) = split(text);
        assert_eq!(statements.len(), 3, "{statements:?}");
        assert_eq!((statements[0], rest), ("select 'a;''b'", " x"));
        assert_eq!(split(r"select E'\';'; y"), (vec![r"select E'\';'"], " y"));
        for open in ["select 'a;", "select $$;", "/* ; ", "select \"a;", "select (1;", "$1;é'"] {
            assert_eq!(split(open).0.len(), usize::from(open.starts_with("$1")), "{open}");
        }
    }
}
