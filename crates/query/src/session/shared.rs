//! Statements that all sessions know: what one has parsed, bound and compiled, the others take over.
//!
//! A statement is found by everything its plan depends on: its text and the types declared with it, the database and the
//! catalog of it, the role, the schemas that names are looked up in, and the settings. No snapshot is in a plan, and no value of
//! a parameter. Left out is what has something of its session in it (`Facts::are_personal`: its sequences, `current_setting`,
//! its process id), what depends on a transaction's own definitions, on temporary tables or on files, and catalog tables.

use std::collections::HashMap;
use std::sync::Arc;

use heliosdb_types::{BranchId, DatabaseId, Oid, SqlType};
use parking_lot::Mutex;

use super::Session;
use super::settings::PARAMETERS;
use super::statement::{CachedPlan, Parsed, PreparedStatement};
use super::transaction::State;
use crate::catalog::FIRST_USER_OID;
use crate::statistics::Entry;

/// Statements of a database that are kept, and their texts together; beyond it all are forgotten.
const KEPT_MAX: usize = 2_000;
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The statements of all databases.
#[derive(Default)]
pub(crate) struct SharedStatements(Mutex<HashMap<DatabaseId, OfDatabase>>);

/// Those bound with one catalog, the newest.
#[derive(Default)]
struct OfDatabase {
    generation: u64,
    statements: HashMap<SharedKey, Shared>,
    text_bytes: usize,
}

/// What a plan depends on, but for the catalog.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SharedKey {
    text: Arc<str>,
    /// As declared; 0: not at all.
    types: Vec<u32>,
    branch: BranchId,
    role: Oid,
    path: Vec<String>,
    /// The values of all settings but those that only name the session.
    settings: String,
}

#[derive(Clone)]
struct Shared {
    parsed: Arc<Parsed>,
    declared: Vec<Option<SqlType>>,
    plan: Arc<CachedPlan>,
    entry: Option<Arc<Entry>>,
}

impl SharedStatements {
    fn get(&self, database: DatabaseId, generation: u64, key: &SharedKey) -> Option<Shared> {
        let databases = self.0.lock();
        let known = databases.get(&database).filter(|known| known.generation == generation)?;
        known.statements.get(key).cloned()
    }

    fn put(&self, database: DatabaseId, key: SharedKey, shared: Shared) {
        let generation = shared.plan.generation;
        let mut databases = self.0.lock();
        let known = databases.entry(database).or_default();
        if known.generation > generation {
            return;
        }
        let full = known.statements.len() >= KEPT_MAX || known.text_bytes > TEXT_BYTES_MAX;
        let before = (known.generation < generation || full)
            .then(|| std::mem::replace(known, OfDatabase { generation, ..OfDatabase::default() }));
        let bytes = key.text.len();
        if known.statements.insert(key, shared).is_none() {
            known.text_bytes += bytes;
        }
        drop(databases);
        // Thousands of plans, maybe: nobody waits meanwhile.
        drop(before);
    }
}

impl Session {
    /// What a statement is found by; `None`: what it means here it means nowhere else.
    fn shared_key(&self, text: &Arc<str>, types: Vec<u32>) -> Option<SharedKey> {
        let redefined = self.state.open().is_some_and(|transaction| transaction.catalog_changed.is_some());
        if redefined || self.has_temp || matches!(self.state, State::Failed(_)) {
            return None;
        }
        let mut settings = String::with_capacity(1024);
        for (position, _) in PARAMETERS.iter().enumerate().filter(|(_, parameter)| parameter.name != "application_name")
        {
            settings.push_str(self.settings.value(position));
            settings.push('\0');
        }
        Some(SharedKey {
            text: Arc::clone(text),
            types,
            branch: self.branch,
            role: self.user.oid,
            path: self.search_path(),
            settings,
        })
    }

    /// The statement as some session has prepared it.
    pub(super) fn shared_statement(&mut self, text: &Arc<str>, types: Vec<u32>) -> Option<PreparedStatement> {
        let generation = self.catalog().ok()?.generation;
        let key = self.shared_key(text, types)?;
        let Shared { parsed, declared, plan, entry } =
            self.engine.shared_statements.get(self.database.id, generation, &key)?;
        let plan = CachedPlan { settings_version: self.settings.version, ..CachedPlan::clone(&plan) };
        Some(PreparedStatement {
            parsed: Some(parsed),
            text: Arc::clone(text),
            nth: 0,
            declared,
            parameters: plan.bound.parameters.clone(),
            columns: plan.columns.clone(),
            plan: Mutex::new(Some(Arc::new(plan))),
            entry: Mutex::new(entry),
        })
    }

    /// Lets other sessions have a statement that was just prepared.
    pub(super) fn share_statement(&mut self, types: Vec<u32>, prepared: &PreparedStatement) {
        let (Some(parsed), Some(plan)) = (prepared.parsed.clone(), prepared.plan.lock().clone()) else { return };
        let of_users = plan.bound.relations.iter().all(|relation| *relation >= FIRST_USER_OID);
        if plan.personal || plan.bound.reads_files || !of_users || plan.settings_version != self.settings.version {
            return;
        }
        let entry = self.entry_of(prepared);
        if let Some(key) = self.shared_key(&prepared.text, types) {
            let shared = Shared { parsed, declared: prepared.declared.clone(), plan, entry };
            self.engine.shared_statements.put(self.database.id, key, shared);
        }
    }
}
