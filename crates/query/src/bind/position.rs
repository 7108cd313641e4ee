//! Where in the statement an error is: spans of the parser to PostgreSQL's character positions.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{Expr, Value, ValueWithSpan};
use sqlparser::tokenizer::{Location, Span};

/// Start of each line of a text, in characters. Empty for text the client did not send (a view's definition).
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    line_starts: Vec<u32>,
}

impl Positions {
    pub fn of(text: &str) -> Positions {
        let mut line_starts = vec![0];
        let breaks = text.chars().enumerate().filter(|(_, c)| *c == '\n');
        line_starts.extend(breaks.map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)));
        Positions { line_starts }
    }

    /// The character position from 1; `None` for an empty span.
    pub fn position(&self, at: Location) -> Option<u32> {
        let line = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let column = u32::try_from(at.column).ok()?;
        self.line_starts.get(line)?.checked_add(column)
    }

    pub fn mark(&self, error: Error, span: Span) -> Error {
        if error.state() == SqlState::STRING_DATA_RIGHT_TRUNCATION {
            return error; // raised by the assignment of a value, wherever it came from
        }
        match (error.position(), self.position(span.start)) {
            (None, Some(position)) => error.with_position(position),
            _ => error,
        }
    }

    /// Points an error about a value's text at the literal that has the text, wherever it was given a type.
    pub fn blame<'q>(&self, error: Error, operands: impl IntoIterator<Item = &'q Expr>) -> Error {
        let about_text = error.state().class() == *b"22" || error.state() == SqlState::UNDEFINED_TABLE;
        if error.position().is_some() || !about_text {
            return error;
        }
        let guilty = operands.into_iter().find_map(|operand| match operand {
            Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => {
                error.message().contains(text.as_str()).then_some(*span)
            }
            _ => None,
        });
        match guilty {
            Some(span) => self.mark(error, span),
            None => error,
        }
    }

    /// Adds the position to an error that has none yet: the innermost expression wins.
    pub fn at<T>(&self, span: Span, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.mark(error, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_not_bytes_and_lines_add_up() {
        let positions = Positions::of("é\nab");
        assert_eq!(positions.position(Location { line: 1, column: 1 }), Some(1));
        assert_eq!(positions.position(Location { line: 2, column: 2 }), Some(4));
        assert_eq!(positions.position(Location { line: 0, column: 0 }), None);
    }
}
