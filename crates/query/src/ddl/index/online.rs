//! CREATE INDEX, REINDEX and DROP INDEX, CONCURRENTLY: in several transactions, while others write the table.
//!
//! 1. Between two steps the catalog changes and commits, and then everybody who still writes by the catalog of before is waited
//!    for: at any time all writers know what the step before said, or more.
//! 2. An index comes as incomplete (kept, not read), is completed, and is then valid. It goes the same way back: incomplete, dead (not
//!    even kept), gone. What a failure or a crash leaves is an index that is not read, and that DROP INDEX or REINDEX take.
//! 3. Each step holds the table's ShareUpdateExclusive lock: it excludes other changes of the definition, and no writer.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_runtime::failpoint;
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use super::create::renumbered;
use super::drop::Named;
use crate::bind;
use crate::catalog::{IndexInfo, IndexState, Relation};
use crate::ddl::{LOOKS_MAX, candidate_names, changed_too_often, duplicate_relation};
use crate::exec::complete_index;
use crate::index_builds::{self, ShownBuild};
use crate::session::{Running, Session};

const WAIT_BEFORE_BUILD: &str = "waiting for writers before build";
const BUILD: &str = "building index";
const WAIT_BEFORE_DEAD: &str = "waiting for readers before marking dead";
const WAIT_BEFORE_DROP: &str = "waiting for readers before dropping";

impl Session {
    /// Completes a new index. It and its tree are defined in the open transaction.
    pub(super) async fn create_online(&mut self, table: Oid, index: Oid) -> Result<()> {
        self.finish_implicit().await?;
        failpoint("index.listed")?;
        let running = self.start_cancellable();
        let Some((relation, found)) = self.lock_step(table, index, &running).await? else { return Err(gone()) };
        let shown = self.show_build(&relation, &found, "CREATE INDEX CONCURRENTLY");
        let running = self.complete_online(&relation, &found, &shown, running).await?;
        drop(running);
        failpoint("index.completed")?;
        self.change_index(&relation, |indexes| {
            if let Some(made) = indexes.iter_mut().find(|other| other.oid == index) {
                made.state = IndexState::Valid;
            }
        })
        .await
    }

    /// REINDEX CONCURRENTLY of one index: a second one is made, takes its place, and the first goes.
    pub(super) async fn reindex_online(&mut self, table: Oid, index: Oid) -> Result<()> {
        let running = self.start_cancellable();
        let Some((relation, old)) = self.lock_step(table, index, &running).await? else { return Err(gone()) };
        let mut writer = self.catalog_writer()?;
        let catalog = self.catalog()?;
        let free = |name: &String| !catalog.names.contains_key(&(relation.schema, name.clone()));
        let name = candidate_names(&old.name, None, "ccnew").find(free).unwrap_or_default();
        let fresh = IndexInfo {
            oid: writer.new_oid()?,
            name,
            tree: writer.shard.allocate_tree_id()?,
            constraint: None,
            state: IndexState::Incomplete,
            ..old.clone()
        };
        if !writer.take_relation_name(relation.schema, &fresh.name, fresh.oid).await? {
            return Err(duplicate_relation(&fresh.name));
        }
        let changed = renumbered(&relation, |indexes| indexes.push(fresh.clone()))?;
        writer.define_relation_tree(&changed).await?;
        self.catalog_written(&writer);
        self.define_entries(&changed, &fresh)?;
        self.finish_implicit().await?;
        failpoint("index.listed")?;

        let running = running.again();
        let Some((relation, fresh)) = self.lock_step(table, fresh.oid, &running).await? else { return Err(gone()) };
        let shown = self.show_build(&relation, &fresh, "REINDEX CONCURRENTLY");
        let running = self.complete_online(&relation, &fresh, &shown, running).await?;
        self.change_index(&relation, |indexes| {
            let Some(before) = indexes.iter().find(|other| other.oid == index).map(|old| old.tree) else { return };
            for other in indexes {
                if other.oid == index {
                    (other.tree, other.state) = (fresh.tree, IndexState::Valid);
                } else if other.oid == fresh.oid {
                    other.tree = before;
                }
            }
        })
        .await?;
        self.finish_implicit().await?;
        failpoint("index.swapped")?;
        self.drop_online(table, fresh.oid, running.again(), &shown).await
    }

    /// DROP INDEX CONCURRENTLY.
    pub(crate) async fn drop_index_concurrently(
        &mut self,
        names: &[ast::ObjectName],
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        self.require_read_write("DROP INDEX")?;
        let [name] = names else {
            return Err(never_supported("DROP INDEX CONCURRENTLY does not support dropping multiple objects"));
        };
        if cascade {
            return Err(never_supported("DROP INDEX CONCURRENTLY does not support CASCADE"));
        }
        self.require_no_block("DROP INDEX CONCURRENTLY")?;
        let (relation, index) = match self.index_named(name, if_exists)? {
            None => return Ok(()),
            Some(Named::Index(relation, index)) => (relation, index),
            Some(Named::PrimaryKey(relation)) => return Err(super::drop::needed_by_constraint(&relation)),
        };
        self.require_owner(&relation)?;
        self.check_droppable(&relation, &index, false)?;
        let running = self.start_cancellable();
        let shown = self.show_build(&relation, &index, index_builds::DROP);
        self.drop_online(relation.oid, index.oid, running, &shown).await
    }

    /// Drops an index step by step. No transaction is open.
    async fn drop_online(&mut self, table: Oid, index: Oid, mut running: Running, shown: &ShownBuild) -> Result<()> {
        for (state, waits) in [(IndexState::Incomplete, WAIT_BEFORE_DEAD), (IndexState::Dead, WAIT_BEFORE_DROP)] {
            let Some((relation, found)) = self.lock_step(table, index, &running).await? else { return Err(gone()) };
            shown.phase(waits);
            if found.state != state {
                self.change_index(&relation, |indexes| {
                    let Some(at) = indexes.iter().position(|other| other.oid == index) else { return };
                    let mut found = indexes.remove(at);
                    found.state = state;
                    // Writers count the indexes they keep; what they do not keep comes after those.
                    indexes.insert(if state == IndexState::Dead { indexes.len() } else { at }, found);
                })
                .await?;
            }
            self.finish_implicit().await?;
            failpoint("index.dropping")?;
            running = running.again();
            let Some((relation, _)) = self.lock_step(table, index, &running).await? else { return Err(gone()) };
            self.await_writers(&relation, shown, &running).await?;
        }
        let Some((relation, found)) = self.lock_step(table, index, &running).await? else { return Err(gone()) };
        self.remove_index(&relation, &found).await
    }

    /// Locks the table and gives it with its index; `None` if the index is gone.
    async fn lock_step(
        &mut self,
        table: Oid,
        index: Oid,
        running: &Running,
    ) -> Result<Option<(Arc<Relation>, IndexInfo)>> {
        for _ in 0..LOOKS_MAX {
            let Some(relation) = self.catalog()?.relations.get(&table).cloned() else { return Ok(None) };
            if self.lock_unchanged(&relation, TreeLockMode::ShareUpdateExclusive, running).await? {
                let found = relation.table().and_then(|table| table.index(index)).cloned();
                return Ok(found.map(|index| (relation, index)));
            }
        }
        Err(changed_too_often("the table"))
    }

    /// Waits for everybody who may write by an older catalog.
    async fn await_writers(&mut self, relation: &Relation, shown: &ShownBuild, running: &Running) -> Result<()> {
        let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
        let shard = Arc::clone(&self.engine.shard);
        let told = |lockers| shown.lockers(lockers);
        let waiting = shard.await_writers(table.tree.tree, self.locks.owner, self.lock_wait(), &told);
        tokio::select! {
            biased;
            () = running.flag.cancelled() => return Err(running.flag.error()),
            waited = waiting => waited?,
        }
        // What they have written is what we are going to read.
        shard.settle_all().await
    }

    /// Waits for writers that do not know the index, then puts in what they have left out.
    async fn complete_online(
        &mut self,
        relation: &Arc<Relation>,
        index: &IndexInfo,
        shown: &ShownBuild,
        running: Running,
    ) -> Result<Running> {
        shown.phase(WAIT_BEFORE_BUILD);
        self.await_writers(relation, shown, &running).await?;
        shown.phase(BUILD);
        let binding = self.binding()?;
        let bound = bind::bind_index(index, relation, &binding.context(&[])).map_err(Error::without_position)?;
        let scope = self.newest_scope(&running)?;
        self.next_command();
        let engine = Arc::clone(&self.engine);
        let clock = Arc::clone(&engine.options.clock);
        let completing = complete_index(&engine.executor, relation, &bound, scope, clock, Arc::clone(&shown.rows));
        tokio::select! {
            biased;
            () = running.flag.cancelled() => return Err(running.flag.error()),
            completed = completing => completed?,
        }
        Ok(running)
    }

    /// Changes the indexes of a table that is locked, as it is defined now.
    async fn change_index(&mut self, relation: &Relation, change: impl FnOnce(&mut Vec<IndexInfo>)) -> Result<()> {
        let newest = self.catalog()?.relations.get(&relation.oid).cloned();
        let newest = newest.ok_or_else(|| Error::internal("a locked table is not in the catalog"))?;
        let mut writer = self.catalog_writer()?;
        writer.define_relation_tree(&renumbered(&newest, change)?).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

fn gone() -> Error {
    Error::invalid(SqlState::UNDEFINED_OBJECT, "the index was dropped meanwhile")
}

fn never_supported(message: &str) -> Error {
    Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, message)
}
