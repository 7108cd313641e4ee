//! ALTER INDEX.

use heliosdb_types::{Error, Result};
use sqlparser::ast;

use super::drop::Named;
use crate::bind;
use crate::catalog::RelationKind;
use crate::ddl::duplicate_relation;
use crate::session::{RelationChange, Session};

impl Session {
    pub(in crate::ddl) async fn alter_index(
        &mut self,
        name: &ast::ObjectName,
        if_exists: bool,
        change: &RelationChange,
    ) -> Result<()> {
        self.require_read_write("ALTER INDEX")?;
        let RelationChange::Rename(new_name) = change else {
            return Err(Error::unsupported("this form of ALTER INDEX"));
        };
        let new_name = bind::fold_identifier(new_name);
        let Some(named) = self.index_named(name, if_exists)? else { return Ok(()) };
        let (Named::Index(relation, _) | Named::PrimaryKey(relation)) = &named;
        self.require_owner(relation)?;
        // Only the name changes: nothing that runs depends on it.
        let mut changed = (**relation).clone();
        let RelationKind::Table(table) = &mut changed.kind else { return Err(Error::internal("an index of no table")) };
        let (oid, old_name) = match &named {
            Named::Index(_, index) => (index.oid, index.name.clone()),
            Named::PrimaryKey(_) => {
                let key = table.primary_key.as_ref().ok_or_else(|| Error::internal("no primary key"))?;
                (key.oid, key.name.clone())
            }
        };
        let mut writer = self.catalog_writer()?;
        if !writer.take_relation_name(relation.schema, &new_name, oid).await? {
            return Err(duplicate_relation(&new_name));
        }
        writer.release_relation_name(relation.schema, &old_name).await?;
        if let Some(key) = table.primary_key.as_mut().filter(|key| key.oid == oid) {
            key.name.clone_from(&new_name);
        }
        if let Some(index) = table.indexes.iter_mut().find(|index| index.oid == oid) {
            index.name.clone_from(&new_name);
        }
        writer.update_relation(&changed).await?;
        self.catalog_written(&writer);
        Ok(())
    }
}
