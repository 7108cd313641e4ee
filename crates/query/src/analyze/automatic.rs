//! ANALYZE by itself, of tables that have changed enough: PostgreSQL's 50 rows and a tenth of the table.
//!
//! One table at a time, on the analytics pool, which gives way to transactions, with rests between its turns. A table that somebody
//! has locked is left for the next round, and so is what fails. Changes are counted as `pg_stat_user_tables` shows them: rolled
//! back ones too, and from the start of the process.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use heliosdb_contracts::{IsolationLevel, LockPolicy, LockWait, ReadContext, TreeLockMode};
use heliosdb_types::{BranchId, CommandId, DatabaseId, Oid, Result, TextContext};
use parking_lot::Mutex;

use super::{Found, Look, collect};
use crate::catalog::{CatalogWriter, Database, FIRST_USER_OID, POSTGRES_DATABASE, Relation, TEMPLATE1_DATABASE_OID};
use crate::engine::Engine;
use crate::exec::{CancelFlag, StatementScope};
use crate::session::{TEMP_PREFIX, statistics_targets, take_statistics};
use crate::statistics::Usages;

/// Between two looks at what has changed.
const ROUND: Duration = Duration::from_secs(60);
/// After each turn of reading, which takes about as long.
const REST: Duration = Duration::from_millis(20);
const CHANGES_MIN: f64 = 50.0;
const CHANGES_SHARE: f64 = 0.1;
const TARGET: usize = 100;

/// How many changes of each table its statistics know of.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<HashMap<(DatabaseId, Oid), i64>>);

impl Changes {
    pub fn known(&self, database: DatabaseId, table: Oid, changes: i64) {
        self.0.lock().insert((database, table), changes);
    }

    /// Of all `changes` those since the table was last looked at.
    pub fn since(&self, database: DatabaseId, table: Oid, changes: i64) -> i64 {
        (changes - self.0.lock().get(&(database, table)).copied().unwrap_or(0)).max(0)
    }
}

/// Rows of a table inserted, updated and deleted.
pub(crate) fn changes(usages: &Usages, table: Oid) -> i64 {
    usages.get(&table).map_or(0, |usage| usage.inserted + usage.updated + usage.deleted)
}

fn is_due(changes: i64, rows: f64) -> bool {
    changes as f64 > CHANGES_MIN + CHANGES_SHARE * rows
}

impl Engine {
    /// Looks at tables by itself from now on, until the engine is gone.
    pub fn analyze_automatically(self: &Arc<Engine>) {
        let (engine, clock) = (Arc::downgrade(self), Arc::clone(&self.options.clock));
        drop(self.executor.spawner.task(async move {
            loop {
                clock.sleep(ROUND).await;
                let Some(engine) = Weak::upgrade(&engine) else { return };
                if let Err(error) = engine.analyze_changed(Some(REST)).await {
                    tracing::warn!(%error, "could not look for changed tables");
                }
            }
        }));
    }

    /// One round over all databases: how many tables were looked at.
    pub(crate) async fn analyze_changed(self: &Arc<Engine>, rest: Option<Duration>) -> Result<usize> {
        let mut done = 0;
        let databases: Vec<Arc<Database>> =
            self.catalog(POSTGRES_DATABASE, BranchId(0))?.databases.values().cloned().collect();
        for database in databases.iter().filter(|database| !database.facts.closed) {
            if database.facts.is_template && database.oid != TEMPLATE1_DATABASE_OID {
                continue;
            }
            let usages = self.usages(database.id, database.oid);
            if usages.is_empty() {
                continue;
            }
            let catalog = self.catalog(database.id, BranchId(0))?;
            let lasting = |relation: &&Arc<Relation>| {
                let schema = catalog.schemas.get(&relation.schema);
                relation.oid >= FIRST_USER_OID && !schema.is_some_and(|schema| schema.name.starts_with(TEMP_PREFIX))
            };
            let mut due: Vec<Arc<Relation>> = catalog
                .relations
                .values()
                .filter(lasting)
                .filter(|relation| {
                    let changes = self.changes.since(database.id, relation.oid, changes(&usages, relation.oid));
                    let rows = relation.statistics().and_then(|statistics| statistics.rows).unwrap_or(0.0);
                    relation.table().is_some() && is_due(changes, rows)
                })
                .cloned()
                .collect();
            due.sort_unstable_by_key(|relation| relation.oid);
            for relation in due {
                match self.analyze_one(database, &relation, rest).await {
                    Ok(looked) => done += usize::from(looked),
                    Err(error) => tracing::debug!(%error, table = relation.name, "could not analyze a table"),
                }
            }
        }
        Ok(done)
    }

    /// Looks at a table in a transaction of its own; false if it is in use or no longer what it was.
    async fn analyze_one(
        self: &Arc<Engine>,
        database: &Database,
        relation: &Arc<Relation>,
        rest: Option<Duration>,
    ) -> Result<bool> {
        let Some(table) = relation.table() else { return Ok(false) };
        let txn = self.shard.begin(BranchId(0))?;
        let wait = LockWait { policy: LockPolicy::NoWait, ..LockWait::default() };
        let looked = async {
            let mode = TreeLockMode::ShareUpdateExclusive;
            if self.shard.lock_tree(txn, table.tree.tree, mode, wait).await.is_err() {
                return Ok(false);
            }
            let newest = self.shard.descriptor(Some(txn), table.tree.tree);
            if newest.is_none_or(|newest| newest.version != table.tree.version) {
                return Ok(false);
            }
            let now = self.options.clock.now_micros();
            let look = Look {
                columns: statistics_targets(relation, &[], TARGET),
                seed: self.options.entropy.next_u64(),
                pace: rest.map(|rest| (Arc::clone(&self.options.clock), rest)),
            };
            // Before reading: what changes meanwhile counts for the next time.
            let known = changes(&self.usages(database.id, database.oid), relation.oid);
            let found: Found = collect(&self.executor, relation, look, self.own_scope(wait, now)).await?;
            let mut writer = CatalogWriter {
                shard: Arc::clone(&self.shard),
                branch: BranchId(0),
                database: database.id,
                txn,
                command: CommandId(1),
                wait: LockWait::default(),
                defaults: Vec::new(),
            };
            let now = self.options.clock.now_micros();
            let taken = |statistics: &mut _| take_statistics(statistics, relation, found, now, true);
            writer.change_statistics(relation.oid, now, taken).await?;
            self.changes.known(database.id, relation.oid, known);
            Ok(true)
        };
        match looked.await {
            Ok(true) => self.shard.commit(txn).await.map(|_| true),
            other => {
                self.shard.rollback(txn);
                other
            }
        }
    }

    /// A statement of nobody's.
    fn own_scope(&self, lock_wait: LockWait, now_micros: i64) -> Arc<StatementScope> {
        Arc::new(StatementScope {
            shard: Arc::clone(&self.shard),
            read: ReadContext {
                txn: None,
                command: CommandId(0),
                snapshot: self.shard.snapshot(BranchId(0)),
                isolation: IsolationLevel::ReadCommitted,
            },
            lock_wait,
            cancel: CancelFlag::default(),
            short_path: false,
            join_order_seed: None,
            memory_bytes: None,
            admission_timeout: None,
            in_order: false,
            now_micros,
            text: Arc::new(TextContext::default()),
            references: Arc::default(),
            parts: Arc::default(),
            facts: None,
            tier: Default::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_and_fifty_rows_are_enough() {
        assert!(!is_due(50, 0.0) && is_due(51, 0.0));
        assert!(!is_due(150, 1000.0) && is_due(151, 1000.0));
        let (changes, database, table) = (Changes::default(), DatabaseId(5), Oid(20_000));
        assert_eq!(changes.since(database, table, 70), 70);
        changes.known(database, table, 70);
        assert_eq!(changes.since(database, table, 75), 5);
        assert_eq!(changes.since(database, table, 3), 0, "counts began anew");
    }
}
