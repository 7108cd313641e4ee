//! One role's rights in one catalog.

use std::collections::BTreeSet;

use heliosdb_types::{Error, Oid, Result, SqlState};

use super::Required;
use crate::catalog::{Acl, CatalogSnapshot, Database, ObjectKind, PUBLIC, Privileges, Relation, RelationKind, Schema};

const READ_ALL_DATA: Oid = Oid(6181);
const WRITE_ALL_DATA: Oid = Oid(6182);

/// A role's view of a catalog: which roles it acts for is found out once.
pub(crate) struct Rights<'a> {
    catalog: &'a CatalogSnapshot,
    role: Oid,
    superuser: bool,
    /// The role, those whose privileges it inherits, and everybody.
    acting: BTreeSet<Oid>,
}

impl<'a> Rights<'a> {
    pub fn of(catalog: &'a CatalogSnapshot, role: Oid) -> Rights<'a> {
        let superuser = catalog.is_superuser(role);
        let mut acting = if superuser { BTreeSet::new() } else { catalog.roles_of(role, true) };
        acting.insert(PUBLIC);
        Rights { catalog, role, superuser, acting }
    }

    pub fn is_superuser(&self) -> bool {
        self.superuser
    }

    /// Whether it has the rights of an object's owner.
    pub fn owns(&self, owner: Oid) -> bool {
        self.superuser || owner == self.role || self.acting.contains(&owner)
    }

    pub fn acts_for(&self, role: Oid) -> bool {
        self.superuser || self.acting.contains(&role)
    }

    fn granted(&self, acl: Option<&Acl>, kind: ObjectKind, owner: Oid) -> Privileges {
        if self.superuser {
            return kind.all();
        }
        match acl {
            Some(acl) => acl.privileges(|grantee| self.acting.contains(&grantee)),
            None if self.owns(owner) => kind.all(),
            None => kind.public(),
        }
    }

    /// What it may grant on: everything as the owner, else what was granted to it with the option.
    pub fn grantable(&self, acl: Option<&Acl>, kind: ObjectKind, owner: Oid) -> Privileges {
        if self.owns(owner) {
            return kind.all();
        }
        acl.map_or(Privileges::NONE, |acl| acl.grantable(|grantee| self.acting.contains(&grantee)))
    }

    pub fn on_schema(&self, schema: &Schema) -> Privileges {
        let granted = self.granted(schema.facts.acl.as_ref(), ObjectKind::Schema, schema.owner);
        let all_data = self.acting.contains(&READ_ALL_DATA) || self.acting.contains(&WRITE_ALL_DATA);
        if all_data { granted | Privileges::USAGE } else { granted }
    }

    pub fn on_database(&self, database: &Database) -> Privileges {
        self.granted(database.facts.acl.as_ref(), ObjectKind::Database, database.owner)
    }

    /// Privileges on a whole relation.
    pub fn on_relation(&self, relation: &Relation) -> Privileges {
        let granted = self.granted(relation.access.acl.as_ref(), relation_kind(relation), relation.owner);
        let mut all = granted;
        if self.acting.contains(&READ_ALL_DATA) {
            all = all | Privileges::SELECT;
        }
        if self.acting.contains(&WRITE_ALL_DATA) {
            all = all | Privileges::INSERT | Privileges::UPDATE | Privileges::DELETE;
        }
        all
    }

    /// Privileges on one column, not counting those on the whole relation.
    pub fn on_column(&self, relation: &Relation, attribute: i16) -> Privileges {
        let acl = relation.access.columns.get(&attribute);
        acl.map_or(Privileges::NONE, |acl| acl.privileges(|grantee| self.acting.contains(&grantee)))
    }

    /// Whether one column may be used so, by privilege on the table or on the column.
    pub fn has_on_column(&self, relation: &Relation, attribute: i16, privilege: Privileges) -> bool {
        (self.on_relation(relation) | self.on_column(relation, attribute)).contains(privilege)
    }

    /// Whether any column may be used so.
    pub fn has_on_any_column(&self, relation: &Relation, privilege: Privileges) -> bool {
        self.on_relation(relation).contains(privilege)
            || relation.access.columns.keys().any(|column| self.on_column(relation, *column).contains(privilege))
    }

    /// Schemas it may not look into.
    pub fn denied_schemas(&self) -> Vec<Oid> {
        if self.superuser {
            return Vec::new();
        }
        let denied = |schema: &&std::sync::Arc<Schema>| !self.on_schema(schema).contains(Privileges::USAGE);
        self.catalog.schemas.values().filter(denied).map(|schema| schema.oid).collect()
    }

    fn allows(&self, relation: &Relation, required: &Required) -> bool {
        if self.superuser {
            return true;
        }
        let missing = required.privileges & !self.on_relation(relation);
        let by_column = Privileges::SELECT | Privileges::INSERT | Privileges::UPDATE;
        if !(missing & !by_column).is_empty() {
            return false;
        }
        let of_columns = [
            (Privileges::SELECT, &required.selected),
            (Privileges::INSERT, &required.inserted),
            (Privileges::UPDATE, &required.updated),
        ];
        of_columns.into_iter().filter(|(privilege, _)| missing.contains(*privilege)).all(|(privilege, columns)| {
            if columns.is_empty() {
                return self.has_on_any_column(relation, privilege);
            }
            columns.iter().all(|column| self.on_column(relation, *column).contains(privilege))
        })
    }

    /// Checks a statement's list; 42501 naming the first relation that is refused.
    pub fn check(&self, list: &[Required]) -> Result<()> {
        for required in list {
            let Some(relation) = self.catalog.relations.get(&required.relation) else { continue };
            let allowed = match required.as_role {
                None => self.allows(relation, required),
                Some(role) if role == self.role => self.allows(relation, required),
                Some(role) => Rights::of(self.catalog, role).allows(relation, required),
            };
            if !allowed {
                return Err(denied(noun(relation), &relation.name));
            }
        }
        Ok(())
    }
}

pub(crate) fn relation_kind(relation: &Relation) -> ObjectKind {
    match relation.kind {
        RelationKind::Sequence(_) => ObjectKind::Sequence,
        RelationKind::Table(_) | RelationKind::View(_) | RelationKind::Virtual(_) => ObjectKind::Table,
    }
}

/// What PostgreSQL calls a relation of this kind in messages.
pub(crate) fn noun(relation: &Relation) -> &'static str {
    match &relation.kind {
        RelationKind::View(_) => "view",
        RelationKind::Sequence(_) => "sequence",
        RelationKind::Virtual(_) if crate::pg_catalog::shown_as_view(relation) => "view",
        RelationKind::Table(_) | RelationKind::Virtual(_) => "table",
    }
}

/// 42501 `permission denied for table t`.
pub(crate) fn denied(noun: &str, name: &str) -> Error {
    Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for {noun} {name}"))
}

/// 42501 `must be owner of table t`.
pub(crate) fn must_be_owner(noun: &str, name: &str) -> Error {
    Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be owner of {noun} {name}"))
}
