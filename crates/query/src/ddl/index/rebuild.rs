//! REINDEX: a new tree takes the place of the old one.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;

use super::create::renumbered;
use super::drop::Named;
use crate::bind;
use crate::catalog::{IndexInfo, IndexState, Relation};
use crate::session::{ReindexTarget, Session};

impl Session {
    pub(crate) async fn reindex(
        &mut self,
        target: &ReindexTarget,
        name: Option<&ast::ObjectName>,
        concurrently: bool,
    ) -> Result<()> {
        self.require_read_write("REINDEX")?;
        if concurrently {
            self.require_no_block("REINDEX CONCURRENTLY")?;
        }
        let catalog = self.catalog()?;
        match (target, name) {
            (ReindexTarget::Index, Some(name)) => match self.index_named(name, false)? {
                Some(Named::Index(relation, index)) => {
                    if concurrently {
                        self.require_owner(&relation)?;
                        return self.reindex_online(relation.oid, index.oid).await;
                    }
                    let table = self.name_of(&relation)?;
                    let relation = self.lock_for_index(&table, TreeLockMode::ShareRowExclusive).await?;
                    let index = relation.table().and_then(|table| table.index(index.oid)).cloned();
                    let index = index.ok_or_else(|| {
                        Error::invalid(SqlState::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist"))
                    })?;
                    self.rebuild_indexes(&relation, &[index]).await
                }
                // The table itself is its primary key's index: it has no tree that could need a rebuild.
                _ => Ok(()),
            },
            (ReindexTarget::Table, Some(name)) => self.reindex_table(name, concurrently).await,
            (ReindexTarget::Schema, Some(name)) => {
                let (_, schema) = bind::object_name(name)?;
                let schema = catalog.schema_named(&schema).ok_or_else(|| crate::ddl::no_schema(&schema))?.oid;
                self.reindex_all(|relation| relation.schema == schema, concurrently).await
            }
            (ReindexTarget::Database, _) => self.reindex_all(|_| true, concurrently).await,
            (_, None) => Err(Error::syntax("REINDEX needs a name")),
        }
    }

    async fn reindex_all(&mut self, wanted: impl Fn(&Relation) -> bool, concurrently: bool) -> Result<()> {
        let catalog = self.catalog()?;
        let mut tables: Vec<_> = catalog
            .relations
            .values()
            .filter(|relation| wanted(relation) && relation.table().is_some_and(|table| !table.indexes.is_empty()))
            .cloned()
            .collect();
        tables.sort_by_key(|relation| relation.oid);
        for relation in tables {
            let name = self.name_of(&relation)?;
            self.reindex_table(&name, concurrently).await?;
        }
        Ok(())
    }

    async fn reindex_table(&mut self, name: &ast::ObjectName, concurrently: bool) -> Result<()> {
        if concurrently {
            return self.reindex_table_online(name).await;
        }
        let relation = self.lock_for_index(name, TreeLockMode::ShareRowExclusive).await?;
        let indexes = relation.table().map(|table| table.indexes.clone()).unwrap_or_default();
        self.rebuild_indexes(&relation, &indexes).await
    }

    async fn reindex_table_online(&mut self, name: &ast::ObjectName) -> Result<()> {
        let relation = self.relation_to_change(name)?;
        for index in relation.table().map_or(&[][..], |table| &table.indexes) {
            if !index.state.is_valid() {
                let schema = self.catalog()?.schemas.get(&relation.schema).map(|schema| schema.name.clone());
                let shown = format!("{}.{}", schema.unwrap_or_default(), index.name);
                let message = format!("cannot reindex invalid index \"{shown}\" concurrently, skipping");
                self.warning(SqlState::INDEX_CORRUPTED, message);
                continue;
            }
            self.reindex_online(relation.oid, index.oid).await?;
            self.finish_implicit().await?;
        }
        Ok(())
    }

    /// A relation's full name as syntax.
    fn name_of(&mut self, relation: &Relation) -> Result<ast::ObjectName> {
        let catalog = self.catalog()?;
        let schema = catalog.schemas.get(&relation.schema).map(|schema| schema.name.clone()).unwrap_or_default();
        let parts = [schema, relation.name.clone()];
        Ok(ast::ObjectName::from(parts.map(|part| ast::Ident::with_quote('"', part)).to_vec()))
    }

    async fn rebuild_indexes(&mut self, relation: &Arc<Relation>, indexes: &[IndexInfo]) -> Result<()> {
        let table = relation.table().ok_or_else(|| Error::internal("an index of no table"))?;
        let mut writer = self.catalog_writer()?;
        let mut fresh = Vec::with_capacity(indexes.len());
        for index in indexes {
            let tree = writer.shard.allocate_tree_id()?;
            fresh.push(IndexInfo { tree, state: IndexState::Valid, ..index.clone() });
        }
        let changed = renumbered(relation, |all| {
            for index in all {
                if let Some(fresh) = fresh.iter().find(|fresh| fresh.oid == index.oid) {
                    (index.tree, index.state) = (fresh.tree, fresh.state);
                }
            }
        })?;
        writer.define_relation_tree(&changed).await?;
        for index in indexes {
            writer.shard.drop_tree(writer.txn, writer.command, table.index_tree(index))?;
            writer.next_command();
        }
        self.catalog_written(&writer);
        let changed = Arc::new(changed);
        for index in &fresh {
            let shown = self.show_build(&changed, index, "REINDEX");
            self.fill_index(&changed, index, &shown).await?;
        }
        Ok(())
    }
}
