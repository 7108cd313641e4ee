//! What can go wrong, by what the process's exit code says (as psql's).

use std::fmt;
use std::io;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// Wrong arguments or an unreadable file: exit code 1.
    Usage(String),
    /// The connection could not be made, or was lost: exit code 2.
    Connection(String),
    /// A statement failed: exit code 3.
    Statement(Box<ServerError>),
    /// As `Statement`, and the user has seen it.
    Shown(Box<ServerError>),
}

impl Failure {
    /// Nothing is left to be said.
    pub fn is_shown(&self) -> bool {
        matches!(self, Failure::Shown(_))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 1,
            Failure::Connection(_) => 2,
            Failure::Statement(_) | Failure::Shown(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Connection(message) => f.write_str(message),
            Failure::Statement(error) | Failure::Shown(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Connection(match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            _ => format!("the connection failed: {error}"),
        })
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Failure {
        Failure::Statement(Box::new(error))
    }
}

/// An error, or a notice, of the server.
#[derive(Clone, Debug, Default)]
pub struct ServerError {
    pub severity: String,
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub context: Option<String>,
    /// In characters from 1.
    pub position: Option<usize>,
}

impl ServerError {
    pub(crate) fn read(mut fields: ErrorFields<'_>) -> io::Result<ServerError> {
        let mut error = ServerError::default();
        while let Some(field) = fields.next()? {
            let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' => error.severity = text(),
                b'C' => error.code = text(),
                b'M' => error.message = text(),
                b'D' => error.detail = Some(text()),
                b'H' => error.hint = Some(text()),
                b'W' => error.context = Some(text()),
                b'P' => error.position = text().parse().ok(),
                _ => {}
            }
        }
        Ok(error)
    }

    /// As psql shows it, with the place in `sql` the position points to.
    pub fn shown(&self, sql: &str) -> String {
        let mut text = format!("{}:  {}\n", self.severity, self.message);
        if let Some(at) = self.position.and_then(|at| at.checked_sub(1)) {
            let before: String = sql.chars().take(at).collect();
            let line = before.matches('\n').count() + 1;
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            if let Some(full) = sql.get(start..).and_then(|rest| rest.lines().next()) {
                let head = format!("LINE {line}: ");
                let column = head.chars().count() + before.get(start..).map_or(0, |part| part.chars().count());
                text.push_str(&format!("{head}{full}\n{}^\n", " ".repeat(column)));
            }
        }
        for (label, part) in [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)] {
            if let Some(part) = part {
                text.push_str(&format!("{label}:  {part}\n"));
            }
        }
        text
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown("").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_points_into_its_line() {
        let error = ServerError {
            severity: "ERROR".into(),
            message: "syntax error".into(),
            position: Some(12),
            ..Default::default()
        };
        assert_eq!(error.shown("select 1\nfrom\n"), "ERROR:  syntax error\nLINE 2: from\n          ^\n");
        assert_eq!(ServerError { position: Some(99), ..error }.shown("x").lines().count(), 3);
    }
}
