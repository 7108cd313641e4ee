//! Reading the system trees into a snapshot.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heliosdb_contracts::{ReadContext, ScanRequest, ShardClient, datum_at};
use heliosdb_types::{CommitTs, DatabaseId, Datum, Error, Oid, Result};
use serde::de::DeserializeOwned;

use super::definition;
use super::model::{
    CatalogSnapshot, Column, CommentKey, Database, Identity, IndexInfo, Relation, RelationAccess, RelationKind, Role,
    Schema, TableInfo,
};
use super::statistics::StoredStatistics;
use super::system::{
    self, COMMENTS, DATABASES, RELATION_NAMES, RELATIONS, ROLES, SCHEMAS, SHARED_COMMENTS, STATISTICS, SystemTree,
    TYPES,
};
use super::user_type;
use crate::pg_catalog;

/// First OID of the system trees' own tables in `pg_helios`; the tree's id is added. PostgreSQL's views have OIDs from 13227 on.
const SYSTEM_TABLE_OID: u32 = 13_110;

/// The catalog of `database` as `context` sees it. `before` is one loaded earlier, from which we know what has been there
/// for longer.
pub fn load(
    shard: &dyn ShardClient,
    context: &ReadContext,
    database: DatabaseId,
    before: Option<&CatalogSnapshot>,
) -> Result<CatalogSnapshot> {
    static GENERATION: AtomicU64 = AtomicU64::new(1);
    let mut catalog = CatalogSnapshot {
        // Read before the rows: a commit in between only makes the snapshot reload once too often.
        version: shard.catalog_ts().min(context.snapshot.ts),
        database,
        generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        databases: keyed(rows(shard, context, database, &DATABASES, database_of)?, |database| database.oid),
        roles: keyed(
            system::predefined_roles().chain(rows(shard, context, database, &ROLES, role_of)?).collect(),
            |role| role.oid,
        ),
        schemas: keyed(rows(shard, context, database, &SCHEMAS, schema_of)?, |schema| schema.oid),
        relations: HashMap::new(),
        names: HashMap::new(),
        index_tables: HashMap::new(),
        referencing: HashMap::new(),
        extended_tables: HashMap::new(),
        extended_names: HashMap::new(),
        comments: HashMap::new(),
        types: HashMap::new(),
        type_names: HashMap::new(),
    };
    for found in rows(shard, context, database, &TYPES, user_type::type_of)? {
        let schema = catalog.schemas.get(&found.schema).map(|schema| schema.name.as_str());
        let found = Arc::new(user_type::with_schema(found, schema));
        catalog.type_names.insert((found.schema, found.name().to_owned()), found.oid());
        catalog.types.insert(found.oid(), found);
    }
    let mut statistics = statistics(shard, context, database, before)?;
    let relations = rows(shard, context, database, &RELATIONS, |row| relation_of(database, row))?;
    for mut relation in relations.into_iter().chain(system_tables(database)) {
        user_type::resolve_columns(&catalog, &mut relation)?;
        if let RelationKind::Table(table) = &mut relation.kind {
            table.statistics = statistics.remove(&relation.oid);
        }
        if let Some(before) = before {
            date_indexes(&mut relation, before, context.snapshot.ts);
        }
        add(&mut catalog, Arc::new(relation));
    }
    for relation in pg_catalog::virtual_tables() {
        add(&mut catalog, Arc::clone(relation));
    }
    for ((schema, name), oid) in rows(shard, context, database, &RELATION_NAMES, name_of)? {
        catalog.names.insert((schema, name), oid);
    }
    for tree in [&COMMENTS, &SHARED_COMMENTS] {
        catalog.comments.extend(rows(shard, context, database, tree, |row| comment_of(tree, row))?);
    }
    Ok(catalog)
}

/// What ANALYZE found, by table. What has not changed since `before` has been read already.
fn statistics(
    shard: &dyn ShardClient,
    context: &ReadContext,
    database: DatabaseId,
    before: Option<&CatalogSnapshot>,
) -> Result<HashMap<Oid, Arc<StoredStatistics>>> {
    let row = |row: &[Datum]| {
        let [Datum::Int64(relation), Datum::Int64(changed), Datum::Text(json)] = row else {
            return Err(damaged(&STATISTICS));
        };
        let relation = oid_value(*relation, &STATISTICS)?;
        let known = before.and_then(|before| before.relations.get(&relation)?.table()?.statistics.clone());
        let known = known.filter(|known| known.changed == *changed);
        Ok((relation, known.unwrap_or_else(|| Arc::new(StoredStatistics::new(*changed, json.clone())))))
    };
    Ok(rows(shard, context, database, &STATISTICS, row)?.into_iter().collect())
}

/// Since when each index can be read: since it was first seen whole.
fn date_indexes(relation: &mut Relation, before: &CatalogSnapshot, now: CommitTs) {
    let known = before.relations.get(&relation.oid).and_then(|relation| relation.table());
    let RelationKind::Table(table) = &mut relation.kind else { return };
    for index in &mut table.indexes {
        let same = |other: &&IndexInfo| other.tree == index.tree && other.state.is_valid();
        let earlier = known.and_then(|known| known.indexes.iter().find(same));
        index.readable_from = earlier.map_or(now, |earlier| earlier.readable_from);
    }
}

/// Every database there is.
pub fn databases(shard: &dyn ShardClient, context: &ReadContext) -> Result<Vec<Database>> {
    rows(shard, context, system::SHARED, &DATABASES, database_of)
}

fn add(catalog: &mut CatalogSnapshot, relation: Arc<Relation>) {
    catalog.names.insert((relation.schema, relation.name.clone()), relation.oid);
    if let Some(table) = relation.table() {
        let indexes = table.primary_key.iter().map(|key| key.oid).chain(table.indexes.iter().map(|index| index.oid));
        catalog.index_tables.extend(indexes.map(|index| (index, relation.oid)));
        for extended in &table.extended {
            catalog.extended_tables.insert(extended.oid, relation.oid);
            catalog.extended_names.insert((extended.schema, extended.name.clone()), extended.oid);
        }
        for key in &table.foreign_keys {
            let children = catalog.referencing.entry(key.parent).or_default();
            if !children.contains(&relation.oid) {
                children.push(relation.oid);
            }
        }
    }
    catalog.relations.insert(relation.oid, relation);
}

fn keyed<T>(items: Vec<T>, oid: impl Fn(&T) -> Oid) -> HashMap<Oid, Arc<T>> {
    items.into_iter().map(|item| (oid(&item), Arc::new(item))).collect()
}

fn rows<T>(
    shard: &dyn ShardClient,
    context: &ReadContext,
    database: DatabaseId,
    tree: &SystemTree,
    decode: impl Fn(&[Datum]) -> Result<T>,
) -> Result<Vec<T>> {
    let request = ScanRequest {
        tree: tree.tree(database),
        projection: tree.column_ids(),
        predicates: Vec::new(),
        row_refs: false,
        limit: None,
        target_partitions: 1,
        batch_rows: 1024,
    };
    let scan = shard.scan(context, &request)?;
    let types = tree.physical_types();
    let mut out = Vec::new();
    for partition in 0..scan.partition_count() {
        let mut reader = scan.open(partition)?;
        while let Some(batch) = reader.next_batch()? {
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().zip(&types);
                let values = values.map(|(array, &physical)| Ok(datum_at(array, row, physical)?.to_owned()));
                out.push(decode(&values.collect::<Result<Vec<_>>>()?)?);
            }
        }
    }
    Ok(out)
}

fn damaged(tree: &SystemTree) -> Error {
    Error::corrupt(format!("damaged row in system table \"{}\"", tree.name))
}

fn oid_value(value: i64, tree: &SystemTree) -> Result<Oid> {
    u32::try_from(value).map(Oid).map_err(|_| damaged(tree))
}

/// Facts kept as JSON; rows from before a tree had them have none.
fn facts_of<T: DeserializeOwned>(value: &Datum, tree: &SystemTree) -> Result<Option<T>> {
    match value {
        Datum::Text(json) => serde_json::from_str(json).map(Some).map_err(|_| damaged(tree)),
        _ => Ok(None),
    }
}

pub(super) fn database_of(row: &[Datum]) -> Result<Database> {
    let [Datum::Int64(oid), Datum::Text(name), Datum::Int64(owner), Datum::Int64(id), facts] = row else {
        return Err(damaged(&DATABASES));
    };
    let id = DatabaseId(oid_value(*id, &DATABASES)?.0);
    let (oid, owner) = (oid_value(*oid, &DATABASES)?, oid_value(*owner, &DATABASES)?);
    Ok(Database { oid, id, name: name.clone(), owner, facts: facts_of(facts, &DATABASES)?.unwrap_or_default() })
}

pub(super) fn role_of(row: &[Datum]) -> Result<Role> {
    let [Datum::Int64(oid), Datum::Text(name), Datum::Bool(superuser), Datum::Bool(can_login), password, facts] = row
    else {
        return Err(damaged(&ROLES));
    };
    let password = match password {
        Datum::Text(password) => Some(password.clone()),
        _ => None,
    };
    let oid = oid_value(*oid, &ROLES)?;
    let facts = facts_of(facts, &ROLES)?.unwrap_or_default();
    Ok(Role { oid, name: name.clone(), superuser: *superuser, can_login: *can_login, password, facts })
}

pub(super) fn schema_of(row: &[Datum]) -> Result<Schema> {
    let [Datum::Int64(oid), Datum::Text(name), Datum::Int64(owner), facts] = row else {
        return Err(damaged(&SCHEMAS));
    };
    let (oid, owner) = (oid_value(*oid, &SCHEMAS)?, oid_value(*owner, &SCHEMAS)?);
    let facts = facts_of(facts, &SCHEMAS)?.unwrap_or_else(|| system::schema_facts(oid, owner));
    Ok(Schema { oid, name: name.clone(), owner, facts })
}

fn name_of(row: &[Datum]) -> Result<((Oid, String), Oid)> {
    let [Datum::Int64(schema), Datum::Text(name), Datum::Int64(oid)] = row else {
        return Err(damaged(&RELATION_NAMES));
    };
    Ok(((oid_value(*schema, &RELATION_NAMES)?, name.clone()), oid_value(*oid, &RELATION_NAMES)?))
}

fn comment_of(tree: &SystemTree, row: &[Datum]) -> Result<(CommentKey, String)> {
    let [Datum::Int64(class), Datum::Int64(object), Datum::Int64(sub), Datum::Text(text)] = row else {
        return Err(damaged(tree));
    };
    let sub = i32::try_from(*sub).map_err(|_| damaged(tree))?;
    let key = CommentKey { class: oid_value(*class, tree)?, object: oid_value(*object, tree)?, sub };
    Ok((key, text.clone()))
}

pub(super) fn relation_of(database: DatabaseId, row: &[Datum]) -> Result<Relation> {
    let [Datum::Int64(oid), Datum::Int64(schema), Datum::Text(name), Datum::Int64(owner), Datum::Text(json)] = row
    else {
        return Err(damaged(&RELATIONS));
    };
    let (columns, kind, access) = definition::from_json(database, json)?;
    Ok(Relation {
        oid: oid_value(*oid, &RELATIONS)?,
        schema: oid_value(*schema, &RELATIONS)?,
        name: name.clone(),
        owner: oid_value(*owner, &RELATIONS)?,
        columns,
        kind,
        access,
    })
}

/// The system trees as readable tables of schema `pg_helios`.
fn system_tables(database: DatabaseId) -> impl Iterator<Item = Relation> {
    system::ALL.into_iter().map(move |tree| {
        let tree_descriptor = tree.descriptor(database);
        let columns = tree.columns.iter().zip(tree.column_ids()).map(|(&(name, physical, nullable), id)| Column {
            attribute: id.0 as i16,
            id,
            name: name.to_owned(),
            sql_type: system::sql_type(physical),
            not_null: !nullable,
            default: None,
            identity: Identity::No,
            generated: false,
        });
        let info = TableInfo {
            tree: tree_descriptor,
            primary_key: None,
            checks: Vec::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            extended: Vec::new(),
            last_attribute: tree.columns.len() as i16,
            last_column_id: heliosdb_types::ColumnId(tree.columns.len() as u32),
            on_commit: None,
            statistics: None,
        };
        Relation {
            oid: Oid(SYSTEM_TABLE_OID + tree.id.0 as u32),
            schema: system::SYSTEM_SCHEMA,
            name: tree.name.to_owned(),
            owner: system::POSTGRES_ROLE,
            columns: columns.collect(),
            kind: RelationKind::Table(info),
            access: RelationAccess::default(),
        }
    })
}
