//! REASSIGN OWNED and DROP OWNED.

use std::sync::Arc;

use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast::{self, ObjectType};

use super::not_permitted;
use crate::catalog::{CatalogSnapshot, FIRST_USER_OID, POSTGRES_ROLE, Relation, RelationKind};
use crate::session::{RoleSpec, Session};

impl Session {
    pub(super) async fn reassign_owned(&mut self, from: &[RoleSpec], to: &RoleSpec) -> Result<()> {
        let catalog = self.catalog()?;
        let from = self.owners(&catalog, from, "permission denied to reassign objects")?;
        let to = self.role_of(&catalog, to)?;
        if !catalog.has_privileges_of(self.user.oid, to) {
            return Err(not_permitted("permission denied to reassign objects"));
        }
        for relation in owned_relations(&catalog, &from) {
            self.give_away(&catalog, &relation, to).await?;
        }
        for schema in catalog.schemas.values().filter(|schema| from.contains(&schema.owner)) {
            self.give_schema(schema.oid, to).await?;
        }
        for database in catalog.databases.values().filter(|database| from.contains(&database.owner)) {
            self.give_database(database.oid, to).await?;
        }
        Ok(())
    }

    fn owners(&self, catalog: &CatalogSnapshot, specs: &[RoleSpec], refused: &str) -> Result<Vec<Oid>> {
        let mut found = Vec::new();
        for spec in specs {
            let role = self.role_of(catalog, spec)?;
            if !catalog.has_privileges_of(self.user.oid, role) {
                return Err(not_permitted(refused));
            }
            if role == POSTGRES_ROLE || role < FIRST_USER_OID {
                let message = format!(
                    "cannot drop objects owned by role {} because they are required by the database system",
                    catalog.role_name(role)
                );
                return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
            }
            found.push(role);
        }
        Ok(found)
    }

    pub(super) async fn drop_owned(&mut self, roles: &[RoleSpec], cascade: bool) -> Result<()> {
        let catalog = self.catalog()?;
        let roles = self.owners(&catalog, roles, "permission denied to drop objects")?;
        // Views first: what they read may be owned too.
        let kinds = [ObjectType::View, ObjectType::Table, ObjectType::Sequence];
        for kind in kinds {
            let now = self.catalog()?;
            let owned = owned_relations(&now, &roles);
            let names = owned.iter().filter(|relation| object_type(relation) == Some(kind)).map(|relation| {
                let schema = now.schemas.get(&relation.schema).map_or("", |schema| schema.name.as_str());
                ast::ObjectName::from(vec![
                    ast::Ident::with_quote('"', schema),
                    ast::Ident::with_quote('"', &relation.name),
                ])
            });
            let names: Vec<ast::ObjectName> = names.collect();
            if !names.is_empty() {
                self.drop_relations(&kind, &names, false, cascade).await?;
            }
        }
        let schemas = catalog.schemas.values().filter(|schema| roles.contains(&schema.owner));
        let names: Vec<ast::ObjectName> =
            schemas.map(|schema| ast::ObjectName::from(vec![ast::Ident::with_quote('"', &schema.name)])).collect();
        if !names.is_empty() {
            self.drop_relations(&ObjectType::Schema, &names, false, cascade).await?;
        }
        self.forget_grants(&roles).await
    }

    /// Takes away everything the roles were granted here, and their default privileges.
    async fn forget_grants(&mut self, roles: &[Oid]) -> Result<()> {
        let catalog = self.catalog()?;
        let database = self.database.oid;
        let mut writer = self.catalog_writer()?;
        for relation in catalog.relations.values() {
            let access = &relation.access;
            let acls = access.acl.iter().chain(access.columns.values());
            let mentioned = acls.into_iter().any(|acl| roles.iter().any(|role| acl.mentions(*role)));
            if !mentioned || crate::ddl::is_system_relation(relation) {
                continue;
            }
            writer
                .change_access(relation.oid, |relation| {
                    let acls = relation.access.acl.iter_mut().chain(relation.access.columns.values_mut());
                    acls.for_each(|acl| roles.iter().for_each(|role| acl.forget(*role)));
                    Ok(())
                })
                .await?;
        }
        for schema in catalog.schemas.values() {
            if schema.facts.acl.as_ref().is_some_and(|acl| roles.iter().any(|role| acl.mentions(*role))) {
                writer
                    .change_schema(schema.oid, |schema| {
                        schema.facts.acl.iter_mut().for_each(|acl| roles.iter().for_each(|role| acl.forget(*role)));
                        Ok(())
                    })
                    .await?;
            }
        }
        for own in catalog.databases.values() {
            if own.facts.acl.as_ref().is_some_and(|acl| roles.iter().any(|role| acl.mentions(*role))) {
                writer
                    .change_database(own.oid, |own| {
                        own.facts.acl.iter_mut().for_each(|acl| roles.iter().for_each(|role| acl.forget(*role)));
                        Ok(())
                    })
                    .await?;
            }
        }
        for role in catalog.roles.values().filter(|role| !role.facts.default_acls.is_empty()) {
            let own = roles.contains(&role.oid);
            writer
                .change_role(role.oid, |role| {
                    let acls = &mut role.facts.default_acls;
                    acls.retain(|acl| acl.database != database || !own);
                    for acl in acls.iter_mut().filter(|acl| acl.database == database) {
                        roles.iter().for_each(|role| acl.acl.forget(*role));
                    }
                    acls.retain(|acl| !acl.acl.0.is_empty());
                    Ok(())
                })
                .await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }
}

fn object_type(relation: &Relation) -> Option<ObjectType> {
    match &relation.kind {
        RelationKind::Table(_) => Some(ObjectType::Table),
        RelationKind::View(_) => Some(ObjectType::View),
        // A column's sequence goes with its table.
        RelationKind::Sequence(info) if info.owned_by.is_none() => Some(ObjectType::Sequence),
        RelationKind::Sequence(_) | RelationKind::Virtual(_) => None,
    }
}

fn owned_relations(catalog: &CatalogSnapshot, owners: &[Oid]) -> Vec<Arc<Relation>> {
    let owned = |relation: &&Arc<Relation>| {
        owners.contains(&relation.owner) && !matches!(relation.kind, RelationKind::Virtual(_))
    };
    let mut found: Vec<_> = catalog.relations.values().filter(owned).cloned().collect();
    found.sort_by_key(|relation| relation.oid);
    found
}
