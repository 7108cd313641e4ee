//! Statements a session has seen before, so that their like need not be parsed and bound again.
//!
//! Of the extended protocol: the same text with the same declared types. Of the simple protocol: the same text, if it comes a third
//! time, and texts that differ in their literals alone; of these only statements about one row (see `exec::direct`), where parsing and binding would be most of the work. Whatever is odd about one - a
//! literal its type does not take, another catalog, other settings - goes the long way, which knows how to complain.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::FutureExt;
use heliosdb_contracts::{Execution, Prepared, ResultColumn};
use heliosdb_types::{Datum, Oid, Result, SqlType, parse_text};

use super::literals::{Template, take_apart};
use super::statement::PreparedStatement;
use super::transaction::State;
use super::{Session, own_syntax};

/// Statements known; beyond it all are forgotten, as a client with so many has no use for them.
const KNOWN_MAX: usize = 500;
/// Texts of the extended protocol that are kept, together: a plan is several times its text.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// A longer one carries data.
const ONE_TEXT_BYTES_MAX: usize = 8 << 10;

/// What has become of the statements a session has seen, under the catalog and the settings of now.
#[derive(Default)]
pub(super) struct Templates {
    known: HashMap<String, Known>,
    /// By text and declared types (0: none).
    prepared: HashMap<(Arc<str>, Vec<u32>), Arc<PreparedStatement>>,
    prepared_bytes: usize,
    /// Hashes of texts of the simple protocol. Two texts of one hash cost a plan that nobody comes back for.
    seen: HashSet<u64>,
    /// Generation of the catalog, version of the settings.
    of: (u64, u64),
}

#[derive(Clone)]
enum Known {
    /// Came once. The second time it is prepared.
    Once,
    Unfit,
    Ready(Arc<PreparedStatement>),
}

/// A statement with its values.
pub(crate) struct Templated {
    pub prepared: Arc<PreparedStatement>,
    pub values: Vec<Datum>,
    /// As the client wrote it.
    pub text: Arc<str>,
}

impl Prepared for Templated {
    fn parameters(&self) -> &[SqlType] {
        &[]
    }

    fn columns(&self) -> Option<&[ResultColumn]> {
        self.prepared.columns.as_deref()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Session {
    /// The statement as a prepared one with values, if it has come before, or its like that is about one row.
    pub(super) fn templated(&mut self, sql: &str) -> Option<Templated> {
        if matches!(self.state, State::Failed(_)) {
            return None;
        }
        let Some(template) = take_apart(sql) else { return self.same_text(sql) };
        self.forget_outdated()?;
        let key = template.key();
        let prepared = match self.templates.known.get(&key).cloned() {
            None => {
                self.templates.known.insert(key, Known::Once);
                return None;
            }
            Some(Known::Unfit) => return self.same_text(sql),
            // Of a table that has grown since: a plan without parameters is kept.
            Some(Known::Ready(prepared)) if !self.is_short(&prepared) => return self.same_text(sql),
            Some(Known::Ready(prepared)) => prepared,
            Some(Known::Once) => {
                let prepared = self.prepare_template(&template);
                let known = prepared.clone().map_or(Known::Unfit, Known::Ready);
                self.templates.known.insert(key, known);
                prepared?
            }
        };
        let context = self.text_context();
        let literals = template.literals.iter().zip(&prepared.parameters);
        let values = literals.map(|(literal, sql_type)| parse_text(sql_type, &literal.text, &context).ok());
        let values = values.collect::<Option<_>>()?;
        Some(Templated { prepared, values, text: Arc::from(sql) })
    }

    /// The statement, if this very text was prepared before.
    fn same_text(&mut self, sql: &str) -> Option<Templated> {
        let prepared = self.prepared_before(sql, &[]).filter(|prepared| prepared.parameters.is_empty())?;
        Some(Templated { values: Vec::new(), text: Arc::clone(&prepared.text), prepared })
    }

    /// Forgets what was prepared for another catalog or other settings, and everything if it is too much.
    fn forget_outdated(&mut self) -> Option<()> {
        let now = (self.catalog().ok()?.generation, self.settings.version);
        let Templates { known, prepared, prepared_bytes, of, .. } = &self.templates;
        let many = known.len() >= KNOWN_MAX || prepared.len() >= KNOWN_MAX || *prepared_bytes > TEXT_BYTES_MAX;
        if *of != now || many {
            self.templates = Templates { of: now, ..Templates::default() };
        }
        Some(())
    }

    /// The statement as it was prepared before.
    pub(super) fn prepared_before(&mut self, sql: &str, types: &[Option<Oid>]) -> Option<Arc<PreparedStatement>> {
        let none = self.templates.prepared.is_empty() || sql.len() > ONE_TEXT_BYTES_MAX;
        if none || matches!(self.state, State::Failed(_)) {
            return None;
        }
        self.forget_outdated()?;
        self.templates.prepared.get(&prepared_key(sql, types)).cloned()
    }

    /// Whether a text of the simple protocol has come before; it is known from now on.
    pub(super) fn comes_again(&mut self, sql: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        sql.hash(&mut hasher);
        let hash = hasher.finish();
        if self.templates.seen.len() >= KNOWN_MAX && !self.templates.seen.contains(&hash) {
            self.templates.seen.clear();
        }
        !self.templates.seen.insert(hash)
    }

    /// Whether the statement means the same whenever it comes again, and was kept.
    pub(super) fn remember_prepared(&mut self, types: &[Option<Oid>], prepared: &Arc<PreparedStatement>) -> bool {
        let planned = prepared.parsed.as_ref().is_some_and(|parsed| parsed.is_planned());
        let files = prepared.plan.lock().as_ref().is_some_and(|plan| plan.bound.reads_files);
        let lasting = !files && prepared.text.len() <= ONE_TEXT_BYTES_MAX && !may_mean_the_time(&prepared.text);
        let keeps = planned && lasting && self.forget_outdated().is_some();
        if keeps {
            self.templates.prepared_bytes += prepared.text.len();
            self.templates.prepared.insert(prepared_key(&prepared.text, types), Arc::clone(prepared));
        }
        keeps
    }

    /// Runs a statement as if its like had never come before.
    pub(super) async fn execute_anew(&mut self, text: &Arc<str>) -> Result<Execution> {
        let parsed = own_syntax::parse_script(text)?.pop().map(Arc::new);
        let prepared = self.prepare_parsed(parsed, Arc::clone(text), 0, Vec::new()).await?;
        self.execute_metered(&prepared, None, Vec::new()).await
    }

    /// Whether a statement is one of the short path, as large as its tables are now.
    fn is_short(&mut self, prepared: &PreparedStatement) -> bool {
        let Ok(plan) = self.bound(prepared) else { return false };
        self.engine.executor.is_short(&plan.compiled, &plan.bound.plan, &*self.engine.shard)
    }

    fn prepare_template(&mut self, template: &Template) -> Option<Arc<PreparedStatement>> {
        let text: Arc<str> = Arc::from(template.text.as_str());
        let declared: Vec<_> = template.literals.iter().map(|literal| literal.sql_type.clone()).collect();
        let types: Vec<u32> =
            declared.iter().map(|declared| declared.as_ref().map_or(0, |known| known.oid().0)).collect();
        let known = self.shared_statement(&text, types.clone());
        let is_new = known.is_none();
        let prepared = match known {
            Some(prepared) => prepared,
            None => {
                let mut statements = own_syntax::parse_script(&text).ok()?;
                let parsed = statements.pop().filter(|parsed| statements.is_empty() && parsed.is_planned())?;
                self.prepare_parsed(Some(Arc::new(parsed)), text, 0, declared).now_or_never()?.ok()?
            }
        };
        let fits = prepared.parameters.len() == template.literals.len() && self.is_short(&prepared);
        if fits && is_new && !may_mean_the_time(&prepared.text) {
            self.share_statement(types, &prepared);
        }
        fits.then(|| Arc::new(prepared))
    }
}

/// `'now'` and its kin are the time at which a statement was prepared.
fn may_mean_the_time(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let now = |(at, word): (usize, &str)| sql[at + word.len()..].trim_start().starts_with('\'');
    ["today", "tomorrow", "yesterday"].iter().any(|word| sql.contains(word)) || sql.match_indices("now").any(now)
}

fn prepared_key(sql: &str, types: &[Option<Oid>]) -> (Arc<str>, Vec<u32>) {
    (Arc::from(sql), type_numbers(types))
}

/// Declared types by number, 0 where there is none.
pub(super) fn type_numbers(types: &[Option<Oid>]) -> Vec<u32> {
    types.iter().map(|oid| oid.map_or(0, |oid| oid.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_mean_the_time_are_known() {
        for sql in ["SELECT 'now'::timestamp", "SELECT ' NOW '::date", "SELECT 'tomorrow'::date", "select date 'Today'"]
        {
            assert!(may_mean_the_time(sql), "{sql}");
        }
        for sql in ["SELECT now(), 'a'", "SELECT known FROM t", "SELECT 1"] {
            assert!(!may_mean_the_time(sql), "{sql}");
        }
    }
}
