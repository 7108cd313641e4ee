//! What depends on a role: it cannot be dropped before that is gone.

use heliosdb_types::{BranchId, Oid, Result};

use crate::access::noun;
use crate::catalog::{CatalogSnapshot, ObjectKind, Relation, RelationKind};
use crate::session::Session;

/// What of one database depends on a role, in words.
fn in_database(catalog: &CatalogSnapshot, role: Oid) -> Vec<String> {
    let mut found = Vec::new();
    let mut relations: Vec<&Relation> = catalog.relations.values().map(|relation| &**relation).collect();
    relations.retain(|relation| !matches!(relation.kind, RelationKind::Virtual(_)));
    relations.sort_by_key(|relation| relation.oid);
    for schema in catalog.schemas.values() {
        if schema.owner == role {
            found.push(format!("owner of schema {}", schema.name));
        } else if schema.facts.acl.as_ref().is_some_and(|acl| acl.mentions(role)) {
            found.push(format!("privileges for schema {}", schema.name));
        }
    }
    for relation in relations {
        let own_sequence = matches!(&relation.kind, RelationKind::Sequence(info) if info.owned_by.is_some());
        if relation.owner == role && !own_sequence {
            found.push(format!("owner of {} {}", noun(relation), relation.name));
            continue;
        }
        if relation.owner == role {
            continue;
        }
        if relation.access.acl.as_ref().is_some_and(|acl| acl.mentions(role)) {
            found.push(format!("privileges for {} {}", noun(relation), relation.name));
        }
        for (attribute, acl) in &relation.access.columns {
            let column = relation.columns.iter().find(|column| column.attribute == *attribute);
            if let Some(column) = column.filter(|_| acl.mentions(role)) {
                let of = format!("{} {}", noun(relation), relation.name);
                found.push(format!("privileges for column {} of {of}", column.name));
            }
        }
    }
    found
}

impl Session {
    /// What depends on a role anywhere, in words; empty if it can go.
    pub(super) fn dependents_of_role(&mut self, catalog: &CatalogSnapshot, role: Oid) -> Result<Vec<String>> {
        let mut found = in_database(catalog, role);
        for owner in catalog.roles.values() {
            for acl in &owner.facts.default_acls {
                if acl.database != self.database.oid || !(owner.oid == role || acl.acl.mentions(role)) {
                    continue;
                }
                let kind = match acl.kind {
                    ObjectKind::Table => "relations",
                    ObjectKind::Sequence => "sequences",
                    ObjectKind::Function => "functions",
                    ObjectKind::Type => "types",
                    ObjectKind::Schema | ObjectKind::Database | ObjectKind::Column => "schemas",
                };
                let mut text =
                    format!("privileges for default privileges on new {kind} belonging to role {}", owner.name);
                if owner.oid == role {
                    text = format!("owner of default privileges on new {kind} belonging to role {}", owner.name);
                }
                if let Some(schema) = catalog.schemas.get(&acl.schema) {
                    text.push_str(&format!(" in schema {}", schema.name));
                }
                found.push(text);
            }
        }
        for database in catalog.databases.values() {
            if database.owner == role {
                found.push(format!("owner of database {}", database.name));
            } else if database.facts.acl.as_ref().is_some_and(|acl| acl.mentions(role)) {
                found.push(format!("privileges for database {}", database.name));
            }
            if database.oid == self.database.oid || database.facts.closed {
                continue;
            }
            let count = in_database(&*self.engine.catalog(database.id, BranchId(0))?, role).len();
            if count > 0 {
                let objects = if count == 1 { "object" } else { "objects" };
                found.push(format!("{count} {objects} in database {}", database.name));
            }
        }
        Ok(found)
    }
}
