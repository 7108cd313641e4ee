//! ANALYZE, VACUUM ANALYZE, and ALTER COLUMN ... SET STATISTICS.

use std::sync::Arc;

use heliosdb_contracts::{LockPolicy, LockWait, TreeLockMode};
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use super::Session;
use super::own_syntax::Vacuum;
use crate::access::Rights;
use crate::analyze::{Found, Look, collect};
use crate::bind;
use crate::catalog::{FIRST_USER_OID, Relation, TableStatistics};
use crate::ddl::{LOOKS_MAX, changed_too_often};

/// The largest statistics target.
const TARGET_MAX: i64 = 10_000;

/// Whether a table is still to be looked at once it is locked.
enum Locked {
    Yes(Arc<Relation>),
    /// Not ours, no table, gone, or in use: the client has been told.
    Skipped,
}

impl Session {
    /// Looks at the tables of a statement; each in a transaction of its own unless a block is open.
    pub(crate) async fn analyze(&mut self, statement: &Vacuum) -> Result<()> {
        if statement.tables.is_empty() {
            let catalog = self.catalog()?;
            let mut tables: Vec<Oid> = catalog
                .relations
                .values()
                .filter(|relation| relation.oid >= FIRST_USER_OID && relation.table().is_some())
                .filter(|relation| !self.is_anothers_temp(&catalog, relation))
                .map(|relation| relation.oid)
                .collect();
            tables.sort_unstable();
            for table in tables {
                self.analyze_table(table, &[], statement).await?;
                self.finish_implicit().await?;
            }
            return Ok(());
        }
        // All names are looked up before the first table is read.
        let mut tables = Vec::with_capacity(statement.tables.len());
        for (name, columns) in &statement.tables {
            tables.push((self.relation_named(name)?.oid, columns));
        }
        let several = tables.len() > 1;
        for (table, columns) in tables {
            self.analyze_table(table, columns, statement).await?;
            if several {
                self.finish_implicit().await?;
            }
        }
        Ok(())
    }

    fn is_anothers_temp(&self, catalog: &crate::catalog::CatalogSnapshot, relation: &Relation) -> bool {
        let schema = catalog.schemas.get(&relation.schema);
        schema
            .is_some_and(|schema| schema.name.starts_with(super::TEMP_PREFIX) && schema.name != self.temp_schema_name())
    }

    async fn analyze_table(&mut self, table: Oid, columns: &[ast::Ident], statement: &Vacuum) -> Result<()> {
        let Locked::Yes(relation) = self.lock_to_analyze(table, statement.skip_locked).await? else { return Ok(()) };
        let mut chosen: Vec<i16> = Vec::with_capacity(columns.len());
        for name in columns {
            let name = bind::fold_identifier(name);
            let (_, column) = relation.column(&name).ok_or_else(|| {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", relation.name);
                Error::invalid(SqlState::UNDEFINED_COLUMN, message)
            })?;
            if chosen.contains(&column.attribute) {
                let message = format!("column \"{name}\" of relation \"{}\" appears more than once", relation.name);
                return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
            }
            chosen.push(column.attribute);
        }
        if statement.verbose {
            let catalog = self.catalog()?;
            let schema = catalog.schemas.get(&relation.schema).map(|schema| schema.name.clone()).unwrap_or_default();
            let message = format!("analyzing \"{schema}.{}\"", relation.name);
            self.notice("INFO", Error::invalid(SqlState::SUCCESSFUL_COMPLETION, message));
        }
        let default = self.settings.get("default_statistics_target").parse().unwrap_or(100);
        let look = Look {
            columns: targets(&relation, &chosen, default),
            seed: self.engine.options.entropy.next_u64(),
            pace: None,
        };
        let running = self.start_cancellable();
        let scope = self.newest_scope(&running)?;
        let engine = Arc::clone(&self.engine);
        let found = collect(&engine.executor, &relation, look, scope).await?;
        if statement.verbose {
            let message = format!(
                "\"{}\": {} rows read, {} rows in sample, {} estimated total rows",
                relation.name, found.rows_read, found.rows_sampled, found.rows
            );
            self.notice("INFO", Error::invalid(SqlState::SUCCESSFUL_COMPLETION, message));
        }
        let now = engine.options.clock.now_micros();
        engine.analyzed(self.database.id, self.database.oid, relation.oid);
        let mut writer = self.catalog_writer()?;
        writer.change_statistics(table, now, |statistics| take(statistics, &relation, found, now, false)).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// Locks a table against definitions and others who analyze it.
    async fn lock_to_analyze(&mut self, table: Oid, skip_locked: bool) -> Result<Locked> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let catalog = self.catalog()?;
            let Some(relation) = catalog.relations.get(&table).cloned() else { return Ok(Locked::Skipped) };
            let rights = Rights::of(&catalog, self.user.oid);
            if !rights.owns(relation.owner) && !rights.owns(self.database.owner) {
                let who = match relation.oid < FIRST_USER_OID {
                    true => "superuser",
                    false => "table or database owner",
                };
                let message = format!("skipping \"{}\" --- only {who} can analyze it", relation.name);
                self.warning(SqlState::WARNING, message);
                return Ok(Locked::Skipped);
            }
            if relation.table().is_none() || relation.oid < FIRST_USER_OID {
                let name = &relation.name;
                let message = format!("skipping \"{name}\" --- cannot analyze non-tables or special system tables");
                self.warning(SqlState::WARNING, message);
                return Ok(Locked::Skipped);
            }
            let policy = if skip_locked { LockPolicy::NoWait } else { LockPolicy::Wait };
            let wait = LockWait { policy, ..self.lock_wait() };
            match self.lock_unchanged_within(&relation, TreeLockMode::ShareUpdateExclusive, wait, &running).await {
                Ok(true) => return Ok(Locked::Yes(relation)),
                Ok(false) => {}
                Err(error) if skip_locked && error.state() == SqlState::LOCK_NOT_AVAILABLE => {
                    let message = format!("skipping analyze of \"{}\" --- lock not available", relation.name);
                    self.warning(SqlState::LOCK_NOT_AVAILABLE, message);
                    return Ok(Locked::Skipped);
                }
                Err(error) => return Err(error),
            }
        }
        Err(changed_too_often("the table"))
    }

    /// What SET STATISTICS asks for, lowered with a warning if it is too much.
    pub(crate) fn statistics_target(&mut self, target: i64) -> Result<i32> {
        if target < -1 {
            let message = format!("statistics target {target} is too low");
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        if target > TARGET_MAX {
            let message = format!("lowering statistics target to {TARGET_MAX}");
            self.warning(SqlState::INVALID_PARAMETER_VALUE, message);
        }
        Ok(target.min(TARGET_MAX) as i32)
    }

    /// ALTER COLUMN ... SET STATISTICS.
    pub(crate) async fn set_statistics_target(&mut self, table: Oid, attribute: i16, target: i64) -> Result<()> {
        let target = self.statistics_target(target)?;
        let now = self.engine.options.clock.now_micros();
        let mut writer = self.catalog_writer()?;
        let set = |statistics: &mut TableStatistics| {
            statistics.targets.remove(&attribute);
            if target >= 0 {
                statistics.targets.insert(attribute, target);
            }
        };
        writer.change_statistics(table, now, set).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

/// The columns to look at with their targets; none chosen: all. A target of 0 says not to look.
pub(crate) fn targets(relation: &Relation, chosen: &[i16], default: usize) -> Vec<(i16, usize)> {
    let set = relation.statistics().map(|statistics| &statistics.targets);
    let columns = relation.columns.iter().map(|column| column.attribute);
    columns
        .filter(|attribute| chosen.is_empty() || chosen.contains(attribute))
        .map(|attribute| {
            let own = set.and_then(|targets| targets.get(&attribute)).and_then(|target| usize::try_from(*target).ok());
            (attribute, own.unwrap_or(default))
        })
        .filter(|(_, target)| *target > 0)
        .collect()
}

/// Notes what was found; of columns that are no longer there nothing is kept.
pub(crate) fn take(statistics: &mut TableStatistics, relation: &Relation, found: Found, now: i64, automatic: bool) {
    let lives = |attribute: &i16| relation.columns.iter().any(|column| column.attribute == *attribute);
    statistics.rows = Some(found.rows);
    statistics.columns.extend(found.columns);
    statistics.columns.retain(|attribute, _| lives(attribute));
    let asked = relation.table().map_or(&[][..], |table| &table.extended);
    statistics.combined.extend(found.combined);
    statistics.combined.retain(|oid, _| asked.iter().any(|extended| extended.oid.0 == *oid));
    statistics.targets.retain(|attribute, _| lives(attribute));
    if automatic {
        statistics.last_autoanalyze = Some(now);
        statistics.autoanalyze_count += 1;
    } else {
        statistics.last_analyze = Some(now);
        statistics.analyze_count += 1;
    }
}
