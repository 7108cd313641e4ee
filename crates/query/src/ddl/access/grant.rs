//! GRANT and REVOKE of privileges on objects.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use crate::access::{Rights, denied, relation_kind};
use crate::bind;
use crate::catalog::{Acl, CatalogSnapshot, ObjectKind, PUBLIC, Privileges, Relation, RelationKind, Schema};
use crate::ddl::{no_schema, undefined_relation};
use crate::session::{Grant, GrantKind, GrantTarget, Session};

/// A grant with its names resolved, for one object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub revoke: bool,
    pub option: bool,
    pub cascade: bool,
    pub grantees: Vec<Oid>,
}

/// Who grants, and what of it may be.
pub(super) struct Grantor {
    pub role: Oid,
    pub grantable: Privileges,
}

impl Change {
    /// Applies it to an object's list. The owner is the grantor of whatever its members and superusers grant.
    pub fn apply(
        &self,
        acl: &mut Option<Acl>,
        kind: ObjectKind,
        owner: Oid,
        grantor: Oid,
        privileges: Privileges,
    ) -> Result<()> {
        if privileges.is_empty() {
            return Ok(());
        }
        let acl = acl.get_or_insert_with(|| Acl::default_of(kind, owner));
        for grantee in &self.grantees {
            if self.revoke {
                acl.revoke(*grantee, grantor, privileges, self.option, self.cascade, owner)?;
                continue;
            }
            if self.option && *grantee == PUBLIC {
                return Err(Error::invalid(
                    SqlState::INVALID_GRANT_OPERATION,
                    "grant options can only be granted to roles",
                ));
            }
            acl.grant(*grantee, grantor, privileges, self.option);
        }
        Ok(())
    }
}

/// A privilege by its word, if such objects have it.
pub(super) fn privilege_of(word: &str, kind: ObjectKind) -> Result<Privileges> {
    let privilege = Privileges::named(word)
        .ok_or_else(|| Error::syntax(format!("unrecognized privilege type \"{}\"", word.to_ascii_lowercase())))?;
    if kind.all().contains(privilege) {
        return Ok(privilege);
    }
    let name = privilege.each().next().map_or("", |(_, name)| name);
    let message = format!("invalid privilege type {name} for {}", plural_free(kind));
    Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message))
}

/// Messages call a table what it may also be.
fn plural_free(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "relation",
        other => other.noun(),
    }
}

impl Session {
    pub(super) async fn grant(&mut self, grant: &Grant) -> Result<()> {
        let catalog = self.catalog()?;
        self.check_grantor(&catalog, grant.grantor.as_ref())?;
        let change = self.resolved(&catalog, grant)?;
        match &grant.target {
            GrantTarget::Relations(names) => {
                for name in names {
                    let relation = self.granted_relation(&catalog, name)?;
                    self.grant_on_relation(&relation, grant, &change, false).await?;
                }
            }
            GrantTarget::Sequences(names) => {
                for name in names {
                    let relation = self.granted_relation(&catalog, name)?;
                    if !matches!(relation.kind, RelationKind::Sequence(_)) {
                        let message = format!("\"{}\" is not a sequence", relation.name);
                        return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
                    }
                    self.grant_on_relation(&relation, grant, &change, true).await?;
                }
            }
            GrantTarget::AllIn(kind, schemas) => {
                for schema in schemas {
                    let schema = catalog.schema_named(schema).ok_or_else(|| no_schema(schema))?.oid;
                    for relation in all_in(&catalog, schema, *kind) {
                        self.grant_on_relation(&relation, grant, &change, *kind == GrantKind::Sequences).await?;
                    }
                }
            }
            GrantTarget::Schemas(names) => {
                for name in names {
                    let schema = catalog.schema_named(name).ok_or_else(|| no_schema(name))?;
                    self.grant_on_schema(&catalog, schema, grant, &change).await?;
                }
            }
            GrantTarget::Databases(names) => {
                for name in names {
                    self.grant_on_database(&catalog, name, grant, &change).await?;
                }
            }
            GrantTarget::Default(_) => return Err(Error::internal("default privileges are granted elsewhere")),
        }
        Ok(())
    }

    pub(super) fn resolved(&self, catalog: &CatalogSnapshot, grant: &Grant) -> Result<Change> {
        let grantees = grant.grantees.iter().map(|spec| self.grantee_of(catalog, spec));
        Ok(Change {
            revoke: grant.revoke,
            option: grant.option,
            cascade: grant.cascade,
            grantees: grantees.collect::<Result<_>>()?,
        })
    }

    fn granted_relation(&mut self, catalog: &CatalogSnapshot, name: &ast::ObjectName) -> Result<Arc<Relation>> {
        let (schema, relation) = bind::object_name(name)?;
        let path = self.search_path();
        let found = catalog.resolve(schema.as_deref(), &relation, &path);
        found.cloned().ok_or_else(|| undefined_relation(catalog, schema.as_deref(), &relation))
    }

    /// Whole-object privileges of a statement; `None` stands for ALL.
    fn object_privileges(&self, grant: &Grant, kind: ObjectKind) -> Result<Privileges> {
        if grant.privileges.is_empty() {
            return Ok(if grant.all_columns.is_empty() { kind.all() } else { Privileges::NONE });
        }
        let mut all = Privileges::NONE;
        for privilege in grant.privileges.iter().filter(|privilege| privilege.columns.is_empty()) {
            all = all | privilege_of(&privilege.word, kind)?;
        }
        Ok(all)
    }

    /// Who grants on an object: its owner for whoever has the owner's rights, else the user itself if it has options.
    /// 42501 if it has no business with the object at all.
    #[allow(clippy::too_many_arguments)] // one object, told apart by kind
    pub(super) fn grantor(
        &self,
        rights: &Rights<'_>,
        acl: Option<&Acl>,
        kind: ObjectKind,
        owner: Oid,
        held: Privileges,
        name: &str,
        noun: &str,
    ) -> Result<Grantor> {
        if rights.owns(owner) {
            return Ok(Grantor { role: owner, grantable: kind.all() });
        }
        let grantable = rights.grantable(acl, kind, owner);
        if grantable.is_empty() && held.is_empty() {
            return Err(denied(noun, name));
        }
        Ok(Grantor { role: self.user.oid, grantable })
    }

    /// What of the wish can be granted, with PostgreSQL's warnings about the rest.
    pub(super) fn grantable(
        &mut self,
        grantor: &Grantor,
        wanted: Privileges,
        all: bool,
        revoke: bool,
        name: &str,
    ) -> Privileges {
        let possible = wanted & grantor.grantable;
        let (of, state) = match revoke {
            true => ("could be revoked for", SqlState::WARNING_PRIVILEGE_NOT_REVOKED),
            false => ("were granted for", SqlState::WARNING_PRIVILEGE_NOT_GRANTED),
        };
        if possible.is_empty() && !wanted.is_empty() {
            self.warning(state, format!("no privileges {of} \"{name}\""));
        } else if possible != wanted && !all {
            self.warning(state, format!("not all privileges {of} \"{name}\""));
        }
        possible
    }

    async fn grant_on_relation(
        &mut self,
        relation: &Arc<Relation>,
        grant: &Grant,
        change: &Change,
        as_sequence: bool,
    ) -> Result<()> {
        if crate::ddl::is_system_relation(relation) {
            return Err(Error::unsupported(format!("GRANT and REVOKE on the system's \"{}\"", relation.name)));
        }
        let kind = relation_kind(relation);
        // GRANT ... ON seq without the word SEQUENCE takes table privileges, as far as sequences have them.
        let mut wanted = if grant.privileges.is_empty() || kind == ObjectKind::Table || as_sequence {
            self.object_privileges(grant, if as_sequence { ObjectKind::Sequence } else { kind })?
        } else {
            self.sequence_privileges(relation, grant)?
        };
        let columns = column_privileges(relation, grant)?;
        if !columns.is_empty() && kind == ObjectKind::Sequence {
            let message = "sequence columns have no privileges";
            return Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message));
        }
        let catalog = self.catalog()?;
        let rights = Rights::of(&catalog, self.user.oid);
        let acl = relation.access.acl.as_ref();
        let held = rights.on_relation(relation);
        let noun = crate::access::noun(relation);
        let all = grant.privileges.is_empty();
        let by_column = wanted.is_empty() && !columns.is_empty();
        let grantor = if by_column && !rights.owns(relation.owner) {
            self.column_grantor(&rights, relation, &columns)?
        } else {
            self.grantor(&rights, acl, kind, relation.owner, held, &relation.name, noun)?
        };
        if !wanted.is_empty() {
            wanted = self.grantable(&grantor, wanted, all, grant.revoke, &relation.name);
        }
        let running = self.start_cancellable();
        // Keeps the table from being altered meanwhile; readers and writers go on.
        if relation.table().is_some() && !self.lock_unchanged(relation, TreeLockMode::AccessShare, &running).await? {
            return Err(Error::retry(SqlState::LOCK_NOT_AVAILABLE, "the table changed while it was to be granted on"));
        }
        let mut writer = self.catalog_writer()?;
        let attributes: Vec<i16> = relation.columns.iter().map(|column| column.attribute).collect();
        writer
            .change_access(relation.oid, |relation| {
                let (owner, access) = (relation.owner, &mut relation.access);
                change.apply(&mut access.acl, kind, owner, grantor.role, wanted)?;
                if change.revoke && kind == ObjectKind::Table {
                    // Taking a privilege on the table takes it on the columns too.
                    for acl in access.columns.values_mut() {
                        let mut some = Some(std::mem::take(acl));
                        change.apply(
                            &mut some,
                            ObjectKind::Column,
                            owner,
                            grantor.role,
                            wanted & ObjectKind::Column.all(),
                        )?;
                        *acl = some.unwrap_or_default();
                    }
                }
                for (attribute, privileges) in &columns {
                    let mut acl = access.columns.remove(attribute);
                    change.apply(&mut acl, ObjectKind::Column, owner, grantor.role, *privileges)?;
                    if let Some(acl) = acl {
                        access.columns.insert(*attribute, acl);
                    }
                }
                access.columns.retain(|attribute, acl| !acl.0.is_empty() && attributes.contains(attribute));
                Ok(())
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// Who grants on columns alone: the user, if it has the options on each of them or on the table.
    fn column_grantor(
        &self,
        rights: &Rights<'_>,
        relation: &Relation,
        columns: &[(i16, Privileges)],
    ) -> Result<Grantor> {
        let whole = rights.grantable(relation.access.acl.as_ref(), ObjectKind::Table, relation.owner);
        for (attribute, privileges) in columns {
            let own = relation.access.columns.get(attribute);
            let grantable = whole | rights.grantable(own, ObjectKind::Column, relation.owner);
            if !grantable.contains(*privileges) {
                return Err(denied(crate::access::noun(relation), &relation.name));
            }
        }
        Ok(Grantor { role: self.user.oid, grantable: whole })
    }

    fn sequence_privileges(&mut self, relation: &Relation, grant: &Grant) -> Result<Privileges> {
        let both = ObjectKind::Table.all() | ObjectKind::Sequence.all();
        let mut wanted = Privileges::NONE;
        for privilege in grant.privileges.iter().filter(|privilege| privilege.columns.is_empty()) {
            let word = &privilege.word;
            let privilege = Privileges::named(word).filter(|privilege| both.contains(*privilege));
            wanted = wanted | privilege.map_or_else(|| privilege_of(word, ObjectKind::Sequence), Ok)?;
        }
        if !ObjectKind::Sequence.all().contains(wanted) {
            let message = format!("sequence \"{}\" only supports USAGE, SELECT, and UPDATE privileges", relation.name);
            self.warning(SqlState::INVALID_GRANT_OPERATION, message);
        }
        Ok(wanted & ObjectKind::Sequence.all())
    }

    async fn grant_on_schema(
        &mut self,
        catalog: &CatalogSnapshot,
        schema: &Arc<Schema>,
        grant: &Grant,
        change: &Change,
    ) -> Result<()> {
        refuse_columns(grant)?;
        let wanted = self.object_privileges(grant, ObjectKind::Schema)?;
        let rights = Rights::of(catalog, self.user.oid);
        let (acl, held) = (schema.facts.acl.as_ref(), rights.on_schema(schema));
        let kind = ObjectKind::Schema;
        let grantor = self.grantor(&rights, acl, kind, schema.owner, held, &schema.name, "schema")?;
        let wanted = self.grantable(&grantor, wanted, grant.privileges.is_empty(), grant.revoke, &schema.name);
        let mut writer = self.catalog_writer()?;
        writer
            .change_schema(schema.oid, |schema| {
                change.apply(&mut schema.facts.acl, kind, schema.owner, grantor.role, wanted)
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }

    async fn grant_on_database(
        &mut self,
        catalog: &CatalogSnapshot,
        name: &str,
        grant: &Grant,
        change: &Change,
    ) -> Result<()> {
        refuse_columns(grant)?;
        let database = self.database_named(catalog, name)?;
        let wanted = self.object_privileges(grant, ObjectKind::Database)?;
        let rights = Rights::of(catalog, self.user.oid);
        let (acl, held) = (database.facts.acl.as_ref(), rights.on_database(&database));
        let kind = ObjectKind::Database;
        let grantor = self.grantor(&rights, acl, kind, database.owner, held, name, "database")?;
        let wanted = self.grantable(&grantor, wanted, grant.privileges.is_empty(), grant.revoke, name);
        let mut writer = self.catalog_writer()?;
        writer
            .change_database(database.oid, |database| {
                change.apply(&mut database.facts.acl, kind, database.owner, grantor.role, wanted)
            })
            .await?;
        self.catalog_written(&writer);
        Ok(())
    }
}

fn refuse_columns(grant: &Grant) -> Result<()> {
    if grant.all_columns.is_empty() && grant.privileges.iter().all(|privilege| privilege.columns.is_empty()) {
        return Ok(());
    }
    let message = "column privileges are only valid for relations";
    Err(Error::invalid(SqlState::INVALID_GRANT_OPERATION, message))
}

/// Privileges on columns, by attribute number.
fn column_privileges(relation: &Relation, grant: &Grant) -> Result<Vec<(i16, Privileges)>> {
    let mut found = Vec::new();
    let lists = grant.privileges.iter().map(|privilege| (Some(privilege.word.as_str()), &privilege.columns));
    for (word, columns) in lists.chain([(None, &grant.all_columns)]) {
        for name in columns {
            let privilege = match word {
                Some(word) => privilege_of(word, ObjectKind::Column)?,
                None => ObjectKind::Column.all(),
            };
            let (_, column) = relation.column(name).ok_or_else(|| {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", relation.name);
                Error::invalid(SqlState::UNDEFINED_COLUMN, message)
            })?;
            found.push((column.attribute, privilege));
        }
    }
    Ok(found)
}

/// Tables and views, or sequences, of a schema. There are no functions yet.
fn all_in(catalog: &CatalogSnapshot, schema: Oid, kind: GrantKind) -> Vec<Arc<Relation>> {
    let fits = |relation: &&Arc<Relation>| {
        relation.schema == schema
            && match relation.kind {
                RelationKind::Sequence(_) => kind == GrantKind::Sequences,
                RelationKind::Table(_) | RelationKind::View(_) => kind == GrantKind::Tables,
                RelationKind::Virtual(_) => false,
            }
    };
    let mut found: Vec<_> = catalog.relations.values().filter(fits).cloned().collect();
    found.sort_by_key(|relation| relation.oid);
    found
}
