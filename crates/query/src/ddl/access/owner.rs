//! OWNER TO, for every kind of object.

use std::sync::Arc;

use heliosdb_types::{Oid, Result};

use super::not_permitted;
use crate::access::{Rights, denied};
use crate::catalog::{Acl, CatalogSnapshot, Privileges, Relation};
use crate::ddl::owned_sequences;
use crate::session::Session;

/// The list of an object whose owner changes.
pub(super) fn moved(acl: &mut Option<Acl>, old: Oid, new: Oid) {
    if let Some(acl) = acl {
        acl.change_owner(old, new);
    }
}

impl Session {
    /// Whether the user may make `owner` the owner of something of its own.
    pub(crate) fn check_new_owner(&self, catalog: &CatalogSnapshot, owner: Oid) -> Result<()> {
        if catalog.is_member_of(self.user.oid, owner) {
            return Ok(());
        }
        Err(not_permitted(format!("must be member of role \"{}\"", catalog.role_name(owner))))
    }

    /// Gives a relation, and the sequences its columns own, to another role. That the user owns it has been checked.
    pub(crate) async fn give_relation(&mut self, relation: &Relation, owner: Oid) -> Result<()> {
        if relation.owner == owner {
            return Ok(());
        }
        let catalog = self.catalog()?;
        if !self.user.superuser {
            self.check_new_owner(&catalog, owner)?;
            let schema = catalog.schemas.get(&relation.schema);
            if let Some(schema) = schema
                && !Rights::of(&catalog, owner).on_schema(schema).contains(Privileges::CREATE)
            {
                return Err(denied("schema", &schema.name));
            }
        }
        self.give_away(&catalog, relation, owner).await
    }

    /// The same without checks.
    pub(super) async fn give_away(&mut self, catalog: &CatalogSnapshot, relation: &Relation, owner: Oid) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        let all: Vec<Oid> = std::iter::once(relation.oid)
            .chain(owned_sequences(catalog, relation.oid).iter().map(|sequence: &Arc<Relation>| sequence.oid))
            .collect();
        for oid in all {
            writer
                .change_access(oid, |relation| {
                    moved(&mut relation.access.acl, relation.owner, owner);
                    for acl in relation.access.columns.values_mut() {
                        acl.change_owner(relation.owner, owner);
                    }
                    relation.owner = owner;
                    Ok(())
                })
                .await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }

    /// Gives a schema to another role.
    pub(crate) async fn give_schema(&mut self, schema: Oid, owner: Oid) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        writer
            .change_schema(schema, |schema| {
                moved(&mut schema.facts.acl, schema.owner, owner);
                schema.owner = owner;
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }

    pub(super) async fn give_database(&mut self, database: Oid, owner: Oid) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        writer
            .change_database(database, |database| {
                moved(&mut database.facts.acl, database.owner, owner);
                database.owner = owner;
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }
}
