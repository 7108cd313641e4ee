//! Writing definitions: rows of the system trees, inside the session's transaction.

use std::sync::Arc;

use bytes::Bytes;
use heliosdb_contracts::{
    InsertOutcome, IsolationLevel, KeyedRow, LockWait, LockedRow, ReadContext, RowHint, RowLockMode, RowSink,
    ShardClient, WriteBatch,
};
use heliosdb_types::{
    BranchId, CommandId, DatabaseId, Datum, DatumRef, Error, Oid, Result, SequenceId, SqlState, TxnId, encode_key,
    encode_row,
};

use super::acl::{Acl, ObjectKind};
use super::definition;
use super::load;
use super::model::{
    CatalogSnapshot, CommentKey, Database, DefaultAcl, FIRST_USER_OID, Relation, RelationKind, Role, Schema,
};
use super::statistics::{StoredStatistics, TableStatistics};
use super::system::{
    self, CLASS_DATABASE, CLASS_ROLE, COMMENTS, DATABASE_NAMES, DATABASES, RELATION_NAMES, RELATIONS, ROLE_NAMES,
    ROLES, SCHEMA_NAMES, SCHEMAS, SHARED_COMMENTS, STATISTICS, STATISTICS_NAMES, SystemTree,
};

/// The counter OIDs come from.
const OID_COUNTER: SequenceId = SequenceId(0);

/// Changes definitions for one transaction.
///
/// Every change is a command of its own, so that the next one sees it; the caller takes [`CatalogWriter::command`] back.
pub struct CatalogWriter {
    pub shard: Arc<dyn ShardClient>,
    pub branch: BranchId,
    pub database: DatabaseId,
    pub txn: TxnId,
    pub command: CommandId,
    pub wait: LockWait,
    /// ALTER DEFAULT PRIVILEGES of this database, by role.
    pub defaults: Vec<(Oid, DefaultAcl)>,
}

/// A row as it is now and where.
struct CurrentRow(Option<(RowHint, Vec<Datum>)>);

impl RowSink for CurrentRow {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()> {
        self.0 = Some((reference, values.iter().map(DatumRef::to_owned).collect()));
        Ok(())
    }
}

pub(super) fn oid(value: Oid) -> Datum {
    Datum::Int64(i64::from(value.0))
}

pub(super) fn text(value: &str) -> Datum {
    Datum::Text(value.to_owned())
}

impl CatalogWriter {
    /// What this transaction sees now: everything committed and all it has written itself.
    pub fn read(&self) -> ReadContext {
        ReadContext {
            txn: Some(self.txn),
            command: self.command,
            snapshot: self.shard.snapshot(self.branch),
            isolation: IsolationLevel::ReadCommitted,
        }
    }

    /// The catalog as this transaction sees it now.
    pub fn catalog(&self) -> Result<Arc<CatalogSnapshot>> {
        load::load(&*self.shard, &self.read(), self.database, None).map(Arc::new)
    }

    /// A new OID, never given out before.
    pub fn new_oid(&self) -> Result<Oid> {
        let count = self.shard.reserve_sequence(OID_COUNTER, 1)?;
        let oid = u64::from(FIRST_USER_OID.0) + count;
        u32::try_from(oid)
            .map(Oid)
            .map_err(|_| Error::unavailable(SqlState::PROGRAM_LIMIT_EXCEEDED, "no object identifiers are left"))
    }

    /// A counter of its own for a new sequence.
    pub fn new_sequence_id(&self) -> Result<SequenceId> {
        self.new_oid().map(|oid| SequenceId(oid.0))
    }

    /// Ends a command: what it wrote is visible to the next.
    pub fn next_command(&mut self) {
        self.command = CommandId(self.command.0 + 1);
    }

    /// Inserts a row; false if its key is taken (after waiting for whoever holds it).
    pub(super) async fn insert(&mut self, tree: &SystemTree, values: &[Datum]) -> Result<bool> {
        let row = KeyedRow { key: key_of(tree, values), row: encode(tree, values)? };
        let descriptor = tree.descriptor(self.database);
        let outcome = self.shard.insert(self.txn, self.command, descriptor, vec![row], self.wait).await?;
        self.next_command();
        Ok(outcome == InsertOutcome::Inserted)
    }

    /// Locks a row as it is now; false if it is gone.
    pub(super) async fn lock(&mut self, tree: &SystemTree, key: &Bytes, mode: RowLockMode) -> Result<bool> {
        // A commit releases its locks a moment before it becomes visible: then the row looks newer than the snapshot,
        // and waiting for that commit makes the next look see it.
        loop {
            let context = self.read();
            let keys = vec![key.clone()];
            let locked = self.shard.lock_rows(&context, tree.tree(self.database), keys, mode, self.wait).await?;
            match locked.first() {
                Some(LockedRow::Unchanged) => return Ok(true),
                Some(LockedRow::Newer { .. }) => self.shard.settle(self.txn).await?,
                Some(LockedRow::Gone) | None => return Ok(false),
                Some(LockedRow::Busy) => return Err(Error::internal("a catalog row's lock was not waited for")),
            }
        }
    }

    /// Locks a row and reads it; 40001-like if it is gone.
    async fn current(&mut self, tree: &SystemTree, key: &Bytes) -> Result<(RowHint, Vec<Datum>)> {
        let mut sink = CurrentRow(None);
        if self.lock(tree, key, RowLockMode::Update).await? {
            self.shard.get(&self.read(), tree.tree(self.database), key, &tree.column_ids(), &mut sink)?;
        }
        sink.0.ok_or_else(|| Error::retry(SqlState::INTERNAL_ERROR, "tuple concurrently deleted"))
    }

    pub(super) async fn update(&mut self, tree: &SystemTree, values: &[Datum]) -> Result<()> {
        let key = key_of(tree, values);
        let (hint, _) = self.current(tree, &key).await?;
        let row = KeyedRow { key, row: encode(tree, values)? };
        let descriptor = tree.descriptor(self.database);
        let batch = WriteBatch { descriptor, updates: vec![(row, hint)], deletes: Vec::new() };
        self.shard.write(self.txn, self.command, batch)?;
        self.next_command();
        Ok(())
    }

    pub(super) async fn delete(&mut self, tree: &SystemTree, key_values: &[Datum]) -> Result<()> {
        let key = key_bytes(key_values);
        let (hint, _) = self.current(tree, &key).await?;
        let descriptor = tree.descriptor(self.database);
        let batch = WriteBatch { descriptor, updates: Vec::new(), deletes: vec![(key, hint)] };
        self.shard.write(self.txn, self.command, batch)?;
        self.next_command();
        Ok(())
    }

    /// Adds a relation under its name; false if the name is taken.
    pub async fn create_relation(&mut self, relation: &Relation) -> Result<bool> {
        self.hold_types(relation).await?;
        if !self.hold_schema(relation.schema).await? {
            return Err(Error::invalid(SqlState::INVALID_SCHEMA_NAME, "the schema was dropped concurrently"));
        }
        if !self.take_relation_name(relation.schema, &relation.name, relation.oid).await? {
            return Ok(false);
        }
        let mut relation = relation.clone();
        if relation.access.acl.is_none() {
            let kind = match relation.kind {
                RelationKind::Sequence(_) => ObjectKind::Sequence,
                RelationKind::Table(_) | RelationKind::View(_) | RelationKind::Virtual(_) => ObjectKind::Table,
            };
            relation.access.acl = self.default_acl(kind, relation.owner, relation.schema);
        }
        let values = relation_values(&relation)?;
        if !self.insert(&RELATIONS, &values).await? {
            return Err(Error::internal(format!("relation {} exists already", relation.oid)));
        }
        Ok(true)
    }

    /// What ALTER DEFAULT PRIVILEGES gives a new object; `None`: nothing but the built-in default.
    pub fn default_acl(&self, kind: ObjectKind, owner: Oid, schema: Oid) -> Option<Acl> {
        let of_schema = |schema: Oid| {
            let mut own = self.defaults.iter().filter(|(role, acl)| *role == owner && acl.kind == kind);
            own.find(|(_, acl)| acl.schema == schema).map(|(_, acl)| &acl.acl)
        };
        let everywhere = of_schema(Oid(0));
        let here = (schema != Oid(0)).then(|| of_schema(schema)).flatten();
        if everywhere.is_none() && here.is_none() {
            return None;
        }
        let mut acl = everywhere.cloned().unwrap_or_else(|| Acl::default_of(kind, owner));
        for item in here.map_or(&[][..], |acl| &acl.0) {
            acl.grant(item.grantee, item.grantor, item.privileges, false);
            acl.grant(item.grantee, item.grantor, item.grantable, true);
        }
        Some(acl)
    }

    /// Reserves a name among a schema's relations (for a relation, or for a primary key's index).
    pub async fn take_relation_name(&mut self, schema: Oid, name: &str, target: Oid) -> Result<bool> {
        self.insert(&RELATION_NAMES, &[oid(schema), text(name), oid(target)]).await
    }

    pub async fn release_relation_name(&mut self, schema: Oid, name: &str) -> Result<()> {
        self.delete(&RELATION_NAMES, &[oid(schema), text(name)]).await
    }

    /// Reserves a name among a schema's statistics of several columns; false if it is taken.
    pub async fn take_statistics_name(&mut self, schema: Oid, name: &str, target: Oid) -> Result<bool> {
        if !self.hold_schema(schema).await? {
            return Err(Error::invalid(SqlState::INVALID_SCHEMA_NAME, "the schema was dropped concurrently"));
        }
        self.insert(&STATISTICS_NAMES, &[oid(schema), text(name), oid(target)]).await
    }

    pub async fn release_statistics_name(&mut self, schema: Oid, name: &str) -> Result<()> {
        self.delete(&STATISTICS_NAMES, &[oid(schema), text(name)]).await
    }

    /// Replaces a relation's definition; the name must be the same (see [`CatalogWriter::rename_relation`]). Privileges stay
    /// as they are by now, whoever changed them meanwhile.
    pub async fn update_relation(&mut self, relation: &Relation) -> Result<()> {
        self.hold_types(relation).await?;
        let mut relation = relation.clone();
        let (_, row) = self.current(&RELATIONS, &key_bytes(&[oid(relation.oid)])).await?;
        relation.access = load::relation_of(self.database, &row)?.access;
        let values = relation_values(&relation)?;
        self.update(&RELATIONS, &values).await
    }

    /// Changes owner and privileges of a relation, starting from what they are by now.
    pub async fn change_access(&mut self, target: Oid, change: impl FnOnce(&mut Relation) -> Result<()>) -> Result<()> {
        let (_, row) = self.current(&RELATIONS, &key_bytes(&[oid(target)])).await?;
        let mut relation = load::relation_of(self.database, &row)?;
        change(&mut relation)?;
        let values = relation_values(&relation)?;
        self.update(&RELATIONS, &values).await
    }

    pub async fn change_schema(&mut self, target: Oid, change: impl FnOnce(&mut Schema) -> Result<()>) -> Result<()> {
        let (_, row) = self.current(&SCHEMAS, &key_bytes(&[oid(target)])).await?;
        let mut schema = load::schema_of(&row)?;
        change(&mut schema)?;
        let values = schema_values(&schema)?;
        self.update(&SCHEMAS, &values).await
    }

    pub async fn change_role(&mut self, target: Oid, change: impl FnOnce(&mut Role) -> Result<()>) -> Result<()> {
        let (_, row) = self.current(&ROLES, &key_bytes(&[oid(target)])).await?;
        let mut role = load::role_of(&row)?;
        change(&mut role)?;
        let values = role_values(&role)?;
        self.update(&ROLES, &values).await
    }

    pub async fn change_database(
        &mut self,
        target: Oid,
        change: impl FnOnce(&mut Database) -> Result<()>,
    ) -> Result<()> {
        let (_, row) = self.current(&DATABASES, &key_bytes(&[oid(target)])).await?;
        let mut database = load::database_of(&row)?;
        change(&mut database)?;
        let values = database_values(&database)?;
        self.update(&DATABASES, &values).await
    }

    /// Moves a relation to its new name (`relation` has it already); false if that is taken.
    pub async fn rename_relation(&mut self, old_name: &str, relation: &Relation) -> Result<bool> {
        if !self.take_relation_name(relation.schema, &relation.name, relation.oid).await? {
            return Ok(false);
        }
        self.release_relation_name(relation.schema, old_name).await?;
        self.update_relation(relation).await?;
        Ok(true)
    }

    /// What is known of a table's contents, as it is by now; `None`: nothing.
    pub async fn statistics_of(&mut self, table: Oid) -> Result<Option<TableStatistics>> {
        let key = key_bytes(&[oid(table)]);
        if !self.lock(&STATISTICS, &key, RowLockMode::Update).await? {
            return Ok(None);
        }
        let mut sink = CurrentRow(None);
        let tree = STATISTICS.tree(self.database);
        self.shard.get(&self.read(), tree, &key, &STATISTICS.column_ids(), &mut sink)?;
        Ok(sink.0.and_then(|(_, row)| match row.as_slice() {
            [_, Datum::Int64(changed), Datum::Text(json)] => StoredStatistics::new(*changed, json.clone()).take(),
            _ => None,
        }))
    }

    /// Changes what is known of a table's contents, starting from what it is by now. `changed` is when, in microseconds.
    pub async fn change_statistics(
        &mut self,
        table: Oid,
        changed: i64,
        change: impl FnOnce(&mut TableStatistics),
    ) -> Result<()> {
        let known = self.statistics_of(table).await?;
        let exists = known.is_some();
        let mut statistics = known.unwrap_or_default();
        let before = statistics.changed_micros;
        change(&mut statistics);
        // Each version has a number of its own, whatever the clock says.
        statistics.changed_micros = changed.max(before + 1);
        let row = [oid(table), Datum::Int64(statistics.changed_micros), json(&statistics)?];
        if exists {
            return self.update(&STATISTICS, &row).await;
        }
        if !self.insert(&STATISTICS, &row).await? {
            return Err(Error::retry(SqlState::SERIALIZATION_FAILURE, "tuple concurrently updated"));
        }
        Ok(())
    }

    pub async fn drop_relation(&mut self, relation: &Relation) -> Result<()> {
        if relation.table().is_some() && self.statistics_of(relation.oid).await?.is_some() {
            self.delete(&STATISTICS, &[oid(relation.oid)]).await?;
        }
        self.release_relation_name(relation.schema, &relation.name).await?;
        self.delete(&RELATIONS, &[oid(relation.oid)]).await
    }

    /// Keeps a schema from being dropped until the transaction ends; false if it is gone.
    pub async fn hold_schema(&mut self, schema: Oid) -> Result<bool> {
        self.lock(&SCHEMAS, &key_bytes(&[oid(schema)]), RowLockMode::Share).await
    }

    /// False if the name is taken.
    pub async fn create_schema(&mut self, schema: &Schema) -> Result<bool> {
        if !self.insert(&SCHEMA_NAMES, &[text(&schema.name), oid(schema.oid)]).await? {
            return Ok(false);
        }
        let mut schema = schema.clone();
        if schema.facts.acl.is_none() {
            schema.facts.acl = self.default_acl(ObjectKind::Schema, schema.owner, Oid(0));
        }
        self.insert(&SCHEMAS, &schema_values(&schema)?).await
    }

    pub async fn drop_schema(&mut self, schema: &Schema) -> Result<()> {
        self.delete(&SCHEMAS, &[oid(schema.oid)]).await?;
        self.delete(&SCHEMA_NAMES, &[text(&schema.name)]).await
    }

    /// Moves a schema to its new name (`schema` has it already); false if that is taken.
    pub async fn rename_schema(&mut self, old_name: &str, schema: &Schema) -> Result<bool> {
        if !self.insert(&SCHEMA_NAMES, &[text(&schema.name), oid(schema.oid)]).await? {
            return Ok(false);
        }
        self.delete(&SCHEMA_NAMES, &[text(old_name)]).await?;
        self.update_schema(schema).await?;
        Ok(true)
    }

    /// Replaces a schema's owner and facts; the name must be the same.
    pub async fn update_schema(&mut self, schema: &Schema) -> Result<()> {
        let values = schema_values(schema)?;
        self.update(&SCHEMAS, &values).await
    }

    /// False if the name is taken.
    pub async fn create_role(&mut self, role: &Role) -> Result<bool> {
        if !self.insert(&ROLE_NAMES, &[text(&role.name), oid(role.oid)]).await? {
            return Ok(false);
        }
        self.insert(&ROLES, &role_values(role)?).await
    }

    pub async fn update_role(&mut self, role: &Role) -> Result<()> {
        self.update(&ROLES, &role_values(role)?).await
    }

    /// Moves a role to its new name (`role` has it already); false if that is taken.
    pub async fn rename_role(&mut self, old_name: &str, role: &Role) -> Result<bool> {
        if !self.insert(&ROLE_NAMES, &[text(&role.name), oid(role.oid)]).await? {
            return Ok(false);
        }
        self.delete(&ROLE_NAMES, &[text(old_name)]).await?;
        self.update_role(role).await?;
        Ok(true)
    }

    pub async fn drop_role(&mut self, role: &Role) -> Result<()> {
        self.delete(&ROLES, &[oid(role.oid)]).await?;
        self.delete(&ROLE_NAMES, &[text(&role.name)]).await
    }

    /// COMMENT ON; `None` takes the comment away.
    pub async fn set_comment(&mut self, key: CommentKey, text: Option<&str>) -> Result<()> {
        let tree = if matches!(key.class, CLASS_DATABASE | CLASS_ROLE) { &SHARED_COMMENTS } else { &COMMENTS };
        let id = [oid(key.class), oid(key.object), Datum::Int64(i64::from(key.sub))];
        let exists = self.lock(tree, &key_bytes(&id), RowLockMode::Update).await?;
        let Some(comment) = text else {
            return if exists { self.delete(tree, &id).await } else { Ok(()) };
        };
        let [class, object, sub] = id;
        let row = [class, object, sub, Datum::Text(comment.to_owned())];
        if exists {
            return self.update(tree, &row).await;
        }
        if !self.insert(tree, &row).await? {
            return Err(Error::retry(SqlState::SERIALIZATION_FAILURE, "tuple concurrently updated"));
        }
        Ok(())
    }

    /// False if the name is taken.
    pub async fn create_database(&mut self, database: &Database) -> Result<bool> {
        if !self.insert(&DATABASE_NAMES, &[text(&database.name), oid(database.oid)]).await? {
            return Ok(false);
        }
        self.insert(&DATABASES, &database_values(database)?).await
    }

    /// Replaces a database's owner and facts; the name must be the same.
    pub async fn update_database(&mut self, database: &Database) -> Result<()> {
        let values = database_values(database)?;
        self.update(&DATABASES, &values).await
    }

    /// Moves a database to its new name (`database` has it already); false if that is taken.
    pub async fn rename_database(&mut self, old_name: &str, database: &Database) -> Result<bool> {
        if !self.insert(&DATABASE_NAMES, &[text(&database.name), oid(database.oid)]).await? {
            return Ok(false);
        }
        self.delete(&DATABASE_NAMES, &[text(old_name)]).await?;
        self.update_database(database).await?;
        Ok(true)
    }

    /// Drops every tree of another database.
    pub fn drop_trees(&mut self, database: DatabaseId, content: &CatalogSnapshot) -> Result<()> {
        let tables = content.relations.values().filter_map(|relation| relation.table());
        let user_trees = tables.filter(|table| !table.tree.tree.is_system()).flat_map(|table| {
            let indexes = table.indexes.iter().map(|index| table.index_tree(index));
            std::iter::once(table.tree.tree).chain(indexes)
        });
        let system_trees = system::ALL.iter().filter(|tree| !tree.shared).map(|tree| tree.tree(database));
        for tree in user_trees.chain(system_trees).collect::<Vec<_>>() {
            if self.shard.descriptor(Some(self.txn), tree).is_some() {
                self.shard.drop_tree(self.txn, self.command, tree)?;
            }
        }
        self.next_command();
        Ok(())
    }

    /// Forgets a database; its trees are the caller's to drop.
    pub async fn drop_database(&mut self, database: &Database) -> Result<()> {
        self.delete(&DATABASES, &[oid(database.oid)]).await?;
        self.delete(&DATABASE_NAMES, &[text(&database.name)]).await
    }
}

fn relation_values(relation: &Relation) -> Result<[Datum; 5]> {
    let definition = Datum::Text(definition::to_json(relation)?);
    Ok([oid(relation.oid), oid(relation.schema), text(&relation.name), oid(relation.owner), definition])
}

fn role_values(role: &Role) -> Result<[Datum; 6]> {
    let password = role.password.as_ref().map_or(Datum::Null, |password| text(password));
    let flags = [Datum::Bool(role.superuser), Datum::Bool(role.can_login)];
    let [superuser, can_login] = flags;
    Ok([oid(role.oid), text(&role.name), superuser, can_login, password, json(&role.facts)?])
}

fn schema_values(schema: &Schema) -> Result<[Datum; 4]> {
    Ok([oid(schema.oid), text(&schema.name), oid(schema.owner), json(&schema.facts)?])
}

fn database_values(database: &Database) -> Result<[Datum; 5]> {
    let id = Datum::Int64(i64::from(database.id.0));
    Ok([oid(database.oid), text(&database.name), oid(database.owner), id, json(&database.facts)?])
}

fn json(facts: &impl serde::Serialize) -> Result<Datum> {
    let written = serde_json::to_string(facts);
    written.map(Datum::Text).map_err(|e| Error::internal("could not write the catalog").with_source(e))
}

pub(super) fn key_bytes(values: &[Datum]) -> Bytes {
    let mut key = Vec::new();
    for value in values {
        encode_key(&mut key, value.as_ref(), false);
    }
    key.into()
}

fn key_of(tree: &SystemTree, values: &[Datum]) -> Bytes {
    let mut key = Vec::new();
    for value in tree.key.iter().filter_map(|&at| values.get(at)) {
        encode_key(&mut key, value.as_ref(), false);
    }
    key.into()
}

fn encode(tree: &SystemTree, values: &[Datum]) -> Result<Bytes> {
    let refs: Vec<DatumRef<'_>> = values.iter().map(Datum::as_ref).collect();
    let mut row = Vec::new();
    encode_row(&tree.physical_types(), &refs, &mut row)?;
    Ok(row.into())
}
