//! Statements in the server's log: slow ones, all of a kind, and those that failed.
//!
//! As PostgreSQL's `log_min_duration_statement`, `log_statement` and `log_min_error_statement`, one event each, of the target
//! `statements`, which the server writes whatever else its log leaves out; failures are of the target `errors` and of level
//! info. Texts and parameters are bounded: nobody fills the disk with one statement.

use std::sync::Arc;
use std::time::Duration;

use heliosdb_types::{Datum, Error, SqlType, TextContext, write_text};

use super::Session;
use super::settings::parse_millis;
use super::statement::PreparedStatement;
use crate::statistics::{Tier, first_word, nth_statement};

/// Longer statements are cut in the log.
const TEXT_BYTES_MAX: usize = 8 << 10;
/// Longer parameters are.
const PARAMETER_BYTES_MAX: usize = 256;
/// As far as parameters are written at all.
const PARAMETERS_BYTES_MAX: usize = 4 << 10;

/// Which statements are logged before they run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Logged {
    #[default]
    None,
    Definitions,
    Changes,
    All,
}

/// The settings about the log, read once a version of the settings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogRules {
    version: u64,
    slow_from: Option<Duration>,
    errors: bool,
    logged: Logged,
}

/// Who runs a statement.
#[derive(Clone, Debug)]
struct Who {
    user: String,
    database: String,
    application_name: String,
    pid: i32,
}

/// A statement that is logged if it takes long.
pub(super) struct Slow {
    from: Duration,
    who: Who,
    text: Arc<str>,
    nth: usize,
    parameters: Vec<Datum>,
    types: Vec<SqlType>,
    context: Arc<TextContext>,
}

impl Slow {
    pub fn ended(self, worked: Duration, rows: u64, tier: Tier) {
        if worked < self.from {
            return;
        }
        let Who { user, database, application_name, pid } = &self.who;
        let parameters = written(&self.parameters, &self.types, &self.context);
        tracing::info!(
            target: "statements",
            duration_ms = (worked.as_secs_f64() * 1e6).round() / 1e3,
            rows,
            tier = tier.name(),
            user,
            database,
            application_name,
            pid,
            statement = cut(nth_statement(&self.text, self.nth), TEXT_BYTES_MAX).as_str(),
            parameters = parameters.as_str(),
            "duration"
        );
    }
}

impl Session {
    fn who(&self) -> Who {
        Who {
            user: self.session_user.name.clone(),
            database: self.database.name.clone(),
            application_name: self.settings.get("application_name").to_owned(),
            pid: self.pid,
        }
    }

    fn log_rules(&mut self) -> LogRules {
        if self.log_rules.version != self.settings.version {
            let slow_from = parse_millis(self.settings.get("log_min_duration_statement")).filter(|millis| *millis >= 0);
            self.log_rules = LogRules {
                version: self.settings.version,
                slow_from: slow_from.map(|millis| Duration::from_millis(millis.unsigned_abs())),
                // Nothing of ours is worse than an error and does not end the server.
                errors: !matches!(self.settings.get("log_min_error_statement"), "log" | "fatal" | "panic"),
                logged: match self.settings.get("log_statement") {
                    "ddl" => Logged::Definitions,
                    "mod" => Logged::Changes,
                    "all" => Logged::All,
                    _ => Logged::None,
                },
            };
        }
        self.log_rules
    }

    pub(super) fn slow_of(
        &mut self,
        prepared: &PreparedStatement,
        text: &Arc<str>,
        parameters: &[Datum],
    ) -> Option<Box<Slow>> {
        let from = self.log_rules().slow_from?;
        Some(Box::new(Slow {
            from,
            who: self.who(),
            text: Arc::clone(text),
            nth: prepared.nth,
            parameters: parameters.to_vec(),
            types: prepared.parameters.clone(),
            context: self.text_context(),
        }))
    }

    /// `log_statement`: before it runs.
    pub(super) fn log_statement(&mut self, prepared: &PreparedStatement, text: &str) {
        let logged = self.log_rules().logged;
        if logged == Logged::None {
            return;
        }
        let text = nth_statement(text, prepared.nth);
        if kind_of(text, prepared) <= logged {
            let Who { user, database, application_name, pid } = &self.who();
            let statement = cut(text, TEXT_BYTES_MAX);
            let statement = statement.as_str();
            tracing::info!(target: "statements", user, database, application_name, pid, statement, "statement");
        }
    }

    /// `log_min_error_statement`: what failed, and why.
    pub(super) fn log_failure(&mut self, error: &Error) {
        let wanted = tracing::enabled!(target: "errors", tracing::Level::INFO);
        if !wanted || !self.log_rules().errors {
            return;
        }
        let Who { user, database, application_name, pid } = &self.who();
        // Between statements a mistake is not the last one's: of a parameter, say.
        let text = if self.log_ended { "" } else { self.log_text.trim() };
        let statement = cut(text, TEXT_BYTES_MAX);
        tracing::info!(
            target: "errors",
            sqlstate = error.state().as_str(),
            error = error.message(),
            user,
            database,
            application_name,
            pid,
            statement = statement.as_str(),
            "a statement failed"
        );
    }
}

/// By `log_statement`'s measure: the least value that logs it.
fn kind_of(text: &str, prepared: &PreparedStatement) -> Logged {
    let word = first_word(text).to_ascii_lowercase();
    match word.as_str() {
        "create" | "alter" | "drop" | "comment" | "grant" | "revoke" | "reassign" | "security" | "import" => {
            Logged::Definitions
        }
        "insert" | "update" | "delete" | "merge" | "truncate" => Logged::Changes,
        "copy" if prepared.columns.is_none() && is_copy_from(text) => Logged::Changes,
        "with" if prepared.plan.lock().as_ref().is_some_and(|plan| plan.bound.target.is_some()) => Logged::Changes,
        _ => Logged::All,
    }
}

/// COPY of a table FROM: FROM before TO, outside of parentheses.
fn is_copy_from(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut depth = 0i32;
    for word in lower.split_inclusive(|c: char| c.is_whitespace() || c == '(' || c == ')') {
        match word.trim_end_matches(|c: char| c.is_whitespace() || c == '(' || c == ')') {
            "from" if depth == 0 => return true,
            "to" if depth == 0 => return false,
            _ => {}
        }
        depth += i32::from(word.ends_with('(')) - i32::from(word.ends_with(')'));
    }
    false
}

fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}...", text.get(..text.floor_char_boundary(most)).unwrap_or_default())
}

/// `$1 = '5', $2 = NULL`, as PostgreSQL writes them.
fn written(parameters: &[Datum], types: &[SqlType], context: &TextContext) -> String {
    let mut out = String::new();
    let mut value = String::new();
    for (number, (parameter, sql_type)) in (1..).zip(parameters.iter().zip(types)) {
        if out.len() > PARAMETERS_BYTES_MAX {
            out.push_str(", ...");
            break;
        }
        if number > 1 {
            out.push_str(", ");
        }
        if matches!(parameter, Datum::Null) {
            out.push_str(&format!("${number} = NULL"));
            continue;
        }
        value.clear();
        write_text(parameter.as_ref(), sql_type, context, &mut value);
        out.push_str(&format!("${number} = '{}'", cut(&value, PARAMETER_BYTES_MAX).replace('\'', "''")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_and_bounded() {
        let context = TextContext::default();
        let types = [SqlType::Int4, SqlType::Text, SqlType::Text];
        let values = [Datum::Int32(5), Datum::Null, Datum::Text("it's".to_owned())];
        assert_eq!(written(&values, &types, &context), "$1 = '5', $2 = NULL, $3 = 'it''s'");
        let long = vec![Datum::Text("ü".repeat(100_000)); 1000];
        let shown = written(&long, &vec![SqlType::Text; 1000], &context);
        assert!(shown.len() < PARAMETERS_BYTES_MAX + 2 * PARAMETER_BYTES_MAX && shown.ends_with(", ..."));
    }

    #[test]
    fn copy_from_changes_and_copy_to_does_not() {
        assert!(is_copy_from("copy t (a, b) from stdin"));
        assert!(!is_copy_from("COPY (select 1 from t) TO stdout"));
        assert!(!is_copy_from("copy t to stdout"));
    }
}
