//! BEGIN, COMMIT and their like as a session's client writes them: parsed once, for every transaction has two.

use std::sync::Arc;

use sqlparser::ast;

use super::statement::{Parsed, ScriptStatement};

/// Spellings kept; a client has two or three.
const KEPT_MAX: usize = 8;
const TEXT_BYTES_MAX: usize = 64;

/// What they mean depends on nothing.
#[derive(Default)]
pub(super) struct Controls(Vec<(Arc<str>, Arc<Parsed>)>);

impl Controls {
    /// The statement, if its text has come before.
    pub fn get(&self, sql: &str) -> Option<ScriptStatement> {
        let (text, parsed) = self.0.iter().find(|(text, _)| **text == *sql)?;
        Some(ScriptStatement::Parsed { parsed: Arc::clone(parsed), text: Arc::clone(text), nth: 0, again: false })
    }

    /// Keeps the only statement of a text, if it begins or ends a transaction.
    pub fn keep(&mut self, text: &Arc<str>, parsed: &Arc<Parsed>) {
        let is_control = matches!(
            &**parsed,
            Parsed::Ast(statement) if matches!(
                **statement,
                ast::Statement::StartTransaction { .. } | ast::Statement::Commit { .. } | ast::Statement::Rollback { .. }
            )
        );
        if is_control && text.len() <= TEXT_BYTES_MAX && self.0.len() < KEPT_MAX {
            self.0.push((Arc::clone(text), Arc::clone(parsed)));
        }
    }
}
