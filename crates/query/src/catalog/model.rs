//! The catalog as sessions read it: one immutable snapshot of every definition in a database.
//!
//! Invariants: a snapshot never changes once shared; `Relation::columns` are the live columns in attribute order and match
//! `Relation::tree`'s columns one to one, in the same order; OIDs below [`FIRST_USER_OID`] are built in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use heliosdb_contracts::TreeDescriptorRef;
use heliosdb_types::{ColumnId, CommitTs, DatabaseId, Oid, SequenceId, SqlType};
use serde::{Deserialize, Serialize};

/// User objects start here, as in PostgreSQL.
pub const FIRST_USER_OID: Oid = Oid(16384);

/// Every definition visible at one commit (plus, inside a transaction, its own DDL).
#[derive(Clone, Debug, Default)]
pub struct CatalogSnapshot {
    /// Timestamp of the last commit that changed the catalog.
    pub version: CommitTs,
    /// Unique per load in this process: what a cached plan compares, since a transaction's own DDL has no commit yet.
    pub generation: u64,
    pub databases: HashMap<Oid, Arc<Database>>,
    pub roles: HashMap<Oid, Arc<Role>>,
    pub schemas: HashMap<Oid, Arc<Schema>>,
    pub relations: HashMap<Oid, Arc<Relation>>,
    /// (schema, name) -> relation; tables, views and sequences share the name space.
    pub names: HashMap<(Oid, String), Oid>,
}

#[derive(Clone, Debug)]
pub struct Database {
    pub oid: Oid,
    pub id: DatabaseId,
    pub name: String,
    pub owner: Oid,
}

#[derive(Clone, Debug)]
pub struct Role {
    pub oid: Oid,
    pub name: String,
    pub superuser: bool,
    pub can_login: bool,
    /// PostgreSQL's form: `SCRAM-SHA-256$iterations:salt$stored:server`.
    pub password: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Schema {
    pub oid: Oid,
    pub name: String,
    pub owner: Oid,
}

#[derive(Clone, Debug)]
pub struct Relation {
    pub oid: Oid,
    pub schema: Oid,
    pub name: String,
    pub owner: Oid,
    /// Live columns in attribute order.
    pub columns: Vec<Column>,
    pub kind: RelationKind,
}

#[derive(Clone, Debug)]
pub enum RelationKind {
    Table(TableInfo),
    View(ViewInfo),
    Sequence(SequenceInfo),
    /// A table computed from the catalog snapshot itself (pg_catalog, information_schema).
    Virtual(VirtualTable),
}

#[derive(Clone, Debug)]
pub struct TableInfo {
    /// Columns in the order of [`Relation::columns`].
    pub tree: TreeDescriptorRef,
    pub primary_key: Option<PrimaryKey>,
    pub checks: Vec<CheckConstraint>,
    /// The highest attribute number ever used, so that a dropped column's is not given again.
    pub last_attribute: i16,
    /// The highest column id ever used in the tree.
    pub last_column_id: ColumnId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryKey {
    pub oid: Oid,
    pub name: String,
    /// Attribute numbers in key order.
    pub attributes: Vec<i16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckConstraint {
    pub oid: Oid,
    pub name: String,
    /// The condition as SQL text over the table's column names.
    pub expression: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// The query's SQL text, names fully qualified as they were resolved at creation where possible.
    pub query: String,
    /// The search path it was created with; names in `query` are resolved with it.
    pub search_path: Vec<String>,
    /// Relations it reads, for DROP ... RESTRICT/CASCADE.
    pub depends_on: Vec<Oid>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceInfo {
    pub id: SequenceId,
    pub data_type: SqlType,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cycle: bool,
    /// The column that owns it: dropped together.
    pub owned_by: Option<(Oid, i16)>,
}

#[derive(Clone)]
pub struct VirtualTable {
    pub provider: Arc<dyn TableProvider>,
}

impl fmt::Debug for VirtualTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtualTable")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// 1-based, never reused.
    pub attribute: i16,
    pub id: ColumnId,
    pub name: String,
    pub sql_type: SqlType,
    pub not_null: bool,
    /// The default as SQL text, e.g. `nextval('t_id_seq'::regclass)`.
    pub default: Option<String>,
    pub identity: Identity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Identity {
    #[default]
    No,
    Always,
    ByDefault,
}

impl Relation {
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns.iter().enumerate().find(|(_, column)| column.name == name)
    }

    pub fn table(&self) -> Option<&TableInfo> {
        match &self.kind {
            RelationKind::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl CatalogSnapshot {
    pub fn schema_named(&self, name: &str) -> Option<&Arc<Schema>> {
        self.schemas.values().find(|schema| schema.name == name)
    }

    pub fn role_named(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.values().find(|role| role.name == name)
    }

    /// A relation by exact schema and name.
    pub fn relation_in(&self, schema: Oid, name: &str) -> Option<&Arc<Relation>> {
        self.relations.get(self.names.get(&(schema, name.to_owned()))?)
    }

    /// A relation by name through a search path (`pg_catalog` is searched first unless listed, as in PostgreSQL).
    pub fn resolve(&self, schema: Option<&str>, name: &str, search_path: &[String]) -> Option<&Arc<Relation>> {
        if let Some(schema) = schema {
            return self.relation_in(self.schema_named(schema)?.oid, name);
        }
        let implicit = (!search_path.iter().any(|s| s == "pg_catalog")).then_some("pg_catalog");
        implicit
            .into_iter()
            .chain(search_path.iter().map(String::as_str))
            .filter_map(|schema| self.schema_named(schema))
            .find_map(|schema| self.relation_in(schema.oid, name))
    }
}
