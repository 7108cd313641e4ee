//! TRUNCATE: an empty tree takes the place of the old one.

use std::sync::Arc;

use heliosdb_contracts::{TreeDescriptor, TreeLockMode};
use heliosdb_types::{Error, Result, SchemaVersion, SqlState, TreeRef};
use sqlparser::ast;

use super::foreign_key::truncated_with;
use super::{LOOKS_MAX, changed_too_often, kind_name, owned_sequences};
use crate::access::{Rights, denied};
use crate::catalog::{CatalogWriter, Privileges, Relation, RelationKind, TableInfo};
use crate::exec::entry_tree;
use crate::session::Session;

impl Session {
    pub(super) async fn truncate(&mut self, truncate: &ast::Truncate) -> Result<()> {
        self.require_read_write("TRUNCATE TABLE")?;
        let ast::Truncate { table_names, partitions, table: _, if_exists, identity, cascade, on_cluster } = truncate;
        if partitions.is_some() || *if_exists || on_cluster.is_some() {
            return Err(Error::unsupported("this form of TRUNCATE"));
        }
        let mut relations: Vec<Arc<Relation>> = Vec::new();
        for target in table_names {
            let relation = self.lock_truncated(&target.name).await?;
            if !relations.iter().any(|known| known.oid == relation.oid) {
                relations.push(relation);
            }
        }
        let cascade = matches!(cascade, Some(ast::CascadeOption::Cascade));
        let running = self.start_cancellable();
        for child in truncated_with(self, &relations, cascade)? {
            self.require_owner(&child)?;
            if !self.lock_unchanged(&child, TreeLockMode::AccessExclusive, &running).await? {
                let message = "a table changed before it could be locked";
                return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, message));
            }
            relations.push(child);
        }
        for relation in relations {
            self.refuse_pending(&relation, "TRUNCATE")?;
            let mut writer = self.catalog_writer()?;
            truncate_table(&mut writer, &relation).await?;
            if matches!(identity, Some(ast::TruncateIdentityOption::Restart)) {
                let catalog = writer.catalog()?;
                for sequence in owned_sequences(&catalog, relation.oid) {
                    restart(&mut writer, &sequence).await?;
                }
            }
            self.catalog_written(&writer);
        }
        Ok(())
    }

    /// Takes a table's rows away, its lock being held or not needed.
    pub(crate) async fn empty_table(&mut self, relation: &Relation) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        truncate_table(&mut writer, relation).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// Resolves a table and locks it against everybody.
    async fn lock_truncated(&mut self, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let relation = self.relation_named(name)?;
            if super::is_system_relation(&relation) {
                let message = format!("permission denied: \"{}\" is a system catalog", relation.name);
                return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
            }
            if relation.table().is_none() {
                let message = format!("\"{}\" is not a table", relation.name);
                let detail = format!("This operation is not supported for {}s.", kind_name(&relation.kind));
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message).with_detail(detail));
            }
            let catalog = self.catalog()?;
            if !Rights::of(&catalog, self.user.oid).on_relation(&relation).contains(Privileges::TRUNCATE) {
                return Err(denied("table", &relation.name));
            }
            if self.lock_unchanged(&relation, TreeLockMode::AccessExclusive, &running).await? {
                return Ok(relation);
            }
        }
        Err(changed_too_often("the table"))
    }
}

/// Gives a table a new, empty tree.
async fn truncate_table(writer: &mut CatalogWriter, relation: &Relation) -> Result<()> {
    let table = relation.table().ok_or_else(|| Error::internal("only tables are truncated"))?;
    let mut columns = table.tree.columns.clone();
    // There are no older rows in a new tree.
    columns.iter_mut().for_each(|column| column.missing = None);
    let tree = TreeDescriptor {
        tree: TreeRef::new(writer.database, writer.shard.allocate_tree_id()?),
        version: SchemaVersion(1),
        columns,
        key: table.tree.key.clone(),
        sort: table.tree.sort.clone(),
    };
    let mut indexes = table.indexes.clone();
    for index in &mut indexes {
        let old = table.index_tree(index);
        index.tree = writer.shard.allocate_tree_id()?;
        index.made_again();
        writer.shard.define_tree(writer.txn, writer.command, Arc::new(entry_tree(table.index_tree(index))))?;
        writer.shard.drop_tree(writer.txn, writer.command, old)?;
        writer.next_command();
    }
    replace_tree(writer, relation, TableInfo { tree: Arc::new(tree), indexes, ..table.clone() }).await
}

/// Defines a new tree for a table, drops the old one, and writes the definition.
pub(super) async fn replace_tree(writer: &mut CatalogWriter, relation: &Relation, table: TableInfo) -> Result<()> {
    let old = relation.table().ok_or_else(|| Error::internal("only tables have trees"))?.tree.tree;
    writer.shard.define_tree(writer.txn, writer.command, Arc::clone(&table.tree))?;
    writer.next_command();
    writer.shard.drop_tree(writer.txn, writer.command, old)?;
    writer.next_command();
    writer.update_relation(&Relation { kind: RelationKind::Table(table), ..relation.clone() }).await
}

/// RESTART IDENTITY: a new counter, so that it is as transactional as the rest.
async fn restart(writer: &mut CatalogWriter, sequence: &Relation) -> Result<()> {
    let RelationKind::Sequence(info) = &sequence.kind else { return Ok(()) };
    let mut info = info.clone();
    info.id = writer.new_sequence_id()?;
    super::sequence::start(&*writer.shard, &info)?;
    writer.update_relation(&Relation { kind: RelationKind::Sequence(info), ..sequence.clone() }).await
}
