//! LOCK TABLE; a view is locked with all it reads.

use std::sync::Arc;

use heliosdb_contracts::{LockPolicy, LockWait, TreeLockMode};
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use super::{Running, Session};
use crate::access::{Rights, denied, noun};
use crate::catalog::{CatalogSnapshot, FIRST_USER_OID, Privileges, Relation, RelationKind};
use crate::ddl::{LOOKS_MAX, changed_too_often};

impl Session {
    pub(super) async fn lock_tables(&mut self, lock: &ast::Lock) -> Result<()> {
        let ast::Lock { tables, lock_mode, nowait } = lock;
        self.require_block("LOCK TABLE")?;
        let mode = lock_mode.as_ref().map_or(TreeLockMode::AccessExclusive, tree_mode);
        let policy = if *nowait { LockPolicy::NoWait } else { LockPolicy::Wait };
        for ast::LockTableTarget { name, only: _, has_asterisk: _ } in tables {
            self.lock_one_table(name, mode, policy).await?;
        }
        Ok(())
    }

    async fn lock_one_table(&mut self, name: &ast::ObjectName, mode: TreeLockMode, policy: LockPolicy) -> Result<()> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let relation = self.lockable(name, mode)?;
            if self.lock_as_asked(&relation, mode, policy, &running).await?
                && self.lock_what_is_read(&relation, mode, policy, &running).await?
            {
                return Ok(());
            }
        }
        Err(changed_too_often("the table"))
    }

    async fn lock_as_asked(
        &mut self,
        relation: &Relation,
        mode: TreeLockMode,
        policy: LockPolicy,
        running: &Running,
    ) -> Result<bool> {
        let wait = LockWait { policy, ..self.lock_wait() };
        let locked = self.lock_unchanged_within(relation, mode, wait, running).await;
        locked.map_err(|error| match (policy, error.state()) {
            (LockPolicy::NoWait, SqlState::LOCK_NOT_AVAILABLE) => {
                let message = format!("could not obtain lock on relation \"{}\"", relation.name);
                Error::retry(SqlState::LOCK_NOT_AVAILABLE, message)
            }
            _ => error,
        })
    }

    /// What a view reads, and the views among it; each view's owner must be allowed to lock what it reads.
    async fn lock_what_is_read(
        &mut self,
        relation: &Arc<Relation>,
        mode: TreeLockMode,
        policy: LockPolicy,
        running: &Running,
    ) -> Result<bool> {
        let mut views = vec![Arc::clone(relation)];
        while let Some(view) = views.pop() {
            let RelationKind::View(info) = &view.kind else { continue };
            let catalog = self.catalog()?;
            for read in info.depends_on.iter().filter_map(|oid| catalog.relations.get(oid)) {
                if read.lock_tree(self.database.id).is_none() {
                    continue;
                }
                require_lock_privilege(&catalog, view.owner, read, mode)?;
                if !self.lock_as_asked(read, mode, policy, running).await? {
                    return Ok(false);
                }
                views.push(Arc::clone(read));
            }
        }
        Ok(true)
    }

    fn lockable(&mut self, name: &ast::ObjectName, mode: TreeLockMode) -> Result<Arc<Relation>> {
        let (schema, table) = crate::bind::object_name(name)?;
        let search_path = self.settings.search_path(&self.user.name);
        let catalog = self.catalog()?;
        let found = catalog.resolve(schema.as_deref(), &table, &search_path).cloned();
        let relation = found
            .ok_or_else(|| Error::invalid(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))?;
        match &relation.kind {
            RelationKind::Table(table) if !table.tree.tree.is_system() => {
                require_lock_privilege(&catalog, self.user.oid, &relation, mode)?;
                Ok(relation)
            }
            RelationKind::View(_) if relation.oid >= FIRST_USER_OID => {
                require_lock_privilege(&catalog, self.user.oid, &relation, mode)?;
                Ok(relation)
            }
            RelationKind::View(_) | RelationKind::Virtual(_) | RelationKind::Table(_) => {
                Err(Error::unsupported("LOCK TABLE of a catalog relation"))
            }
            RelationKind::Sequence(_) => {
                let message = format!("\"{}\" is not a table or view", relation.name);
                Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message))
            }
        }
    }
}

/// PostgreSQL 15's rule: reading, or any way of writing, as the mode is.
fn require_lock_privilege(catalog: &CatalogSnapshot, user: Oid, relation: &Relation, mode: TreeLockMode) -> Result<()> {
    let mut any = Privileges::UPDATE | Privileges::DELETE | Privileges::TRUNCATE;
    if mode <= TreeLockMode::RowExclusive {
        any = any | Privileges::INSERT;
    }
    if mode == TreeLockMode::AccessShare {
        any = any | Privileges::SELECT;
    }
    let granted = Rights::of(catalog, user).on_relation(relation);
    if (granted & any).is_empty() { Err(denied(noun(relation), &relation.name)) } else { Ok(()) }
}

fn tree_mode(mode: &ast::LockTableMode) -> TreeLockMode {
    match mode {
        ast::LockTableMode::AccessShare => TreeLockMode::AccessShare,
        ast::LockTableMode::RowShare => TreeLockMode::RowShare,
        ast::LockTableMode::RowExclusive => TreeLockMode::RowExclusive,
        ast::LockTableMode::ShareUpdateExclusive => TreeLockMode::ShareUpdateExclusive,
        ast::LockTableMode::Share => TreeLockMode::Share,
        ast::LockTableMode::ShareRowExclusive => TreeLockMode::ShareRowExclusive,
        ast::LockTableMode::Exclusive => TreeLockMode::Exclusive,
        ast::LockTableMode::AccessExclusive => TreeLockMode::AccessExclusive,
    }
}
