//! The catalog as sessions read it: one immutable snapshot of every definition in a database.
//!
//! Invariants: a snapshot never changes once shared; `Relation::columns` are the live columns in attribute order and match
//! `Relation::tree`'s columns one to one, in the same order; OIDs below [`FIRST_USER_OID`] are built in.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use heliosdb_contracts::TreeDescriptorRef;
use heliosdb_types::{ColumnId, CommitTs, DatabaseId, Oid, SequenceId, SqlType, TreeId, TreeRef};
use serde::{Deserialize, Serialize};

use super::acl::{Acl, ObjectKind};
use super::statistics::StoredStatistics;
use super::user_type::UserType;

/// User objects start here, as in PostgreSQL.
pub const FIRST_USER_OID: Oid = Oid(16384);

/// Trees are counted, so none has such a number.
const VIEW_LOCKS: u64 = 1 << 62;

/// Every definition visible at one commit (plus, inside a transaction, its own DDL).
#[derive(Clone, Debug, Default)]
pub struct CatalogSnapshot {
    /// Timestamp of the last commit that changed the catalog.
    pub version: CommitTs,
    /// Whose definitions these are.
    pub database: DatabaseId,
    /// Unique per load in this process: what a cached plan compares, since a transaction's own DDL has no commit yet.
    pub generation: u64,
    pub databases: HashMap<Oid, Arc<Database>>,
    pub roles: HashMap<Oid, Arc<Role>>,
    pub schemas: HashMap<Oid, Arc<Schema>>,
    pub relations: HashMap<Oid, Arc<Relation>>,
    /// (schema, name) -> relation; tables, views, sequences and indexes share the name space.
    pub names: HashMap<(Oid, String), Oid>,
    /// Index (primary keys' too) -> its table.
    pub index_tables: HashMap<Oid, Oid>,
    /// Referenced table -> tables with foreign keys to it, itself among them if it refers to itself.
    pub referencing: HashMap<Oid, Vec<Oid>>,
    /// Statistics of several columns -> their table.
    pub extended_tables: HashMap<Oid, Oid>,
    /// (schema, name) -> statistics of several columns.
    pub extended_names: HashMap<(Oid, String), Oid>,
    /// COMMENT ON.
    pub comments: HashMap<CommentKey, String>,
    /// User-defined types.
    pub types: HashMap<Oid, Arc<UserType>>,
    /// (schema, name) -> type.
    pub type_names: HashMap<(Oid, String), Oid>,
}

/// What a comment is about, as PostgreSQL names it: the catalog the object is a row of, its OID, and its column or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommentKey {
    pub class: Oid,
    pub object: Oid,
    pub sub: i32,
}

#[derive(Clone, Debug)]
pub struct Database {
    pub oid: Oid,
    pub id: DatabaseId,
    pub name: String,
    pub owner: Oid,
    pub facts: DatabaseFacts,
}

/// What of a database is kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
    #[serde(default)]
    pub is_template: bool,
    /// Nobody may connect.
    #[serde(default)]
    pub closed: bool,
    /// `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<u32>,
    /// ALTER DATABASE ... SET (role 0) and ALTER ROLE ... IN DATABASE ... SET.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<Oid, BTreeMap<String, String>>,
}

#[derive(Clone, Debug)]
pub struct Role {
    pub oid: Oid,
    pub name: String,
    pub superuser: bool,
    pub can_login: bool,
    /// PostgreSQL's form: `SCRAM-SHA-256$iterations:salt$stored:server`.
    pub password: Option<String>,
    pub facts: RoleFacts,
}

/// What of a role is kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleFacts {
    /// NOINHERIT: the privileges of the roles it is a member of need SET ROLE.
    #[serde(default)]
    pub no_inherit: bool,
    #[serde(default)]
    pub create_role: bool,
    #[serde(default)]
    pub create_db: bool,
    #[serde(default)]
    pub replication: bool,
    #[serde(default)]
    pub bypass_rls: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<u32>,
    /// Until when the password works: microseconds since 1970-01-01 UTC (the type's infinities included).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_of: Vec<Membership>,
    /// ALTER ROLE ... SET, in all databases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_acls: Vec<DefaultAcl>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub role: Oid,
    pub grantor: Oid,
    /// WITH ADMIN OPTION.
    pub admin: bool,
}

/// ALTER DEFAULT PRIVILEGES of one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultAcl {
    pub oid: Oid,
    pub database: Oid,
    /// 0: in every schema; then `acl` is the whole default, else it comes on top.
    pub schema: Oid,
    pub kind: ObjectKind,
    pub acl: Acl,
}

#[derive(Clone, Debug)]
pub struct Schema {
    pub oid: Oid,
    pub name: String,
    pub owner: Oid,
    pub facts: SchemaFacts,
}

/// What of a schema is kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
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
    pub access: RelationAccess,
}

/// Privileges granted on a relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationAccess {
    /// `None`: the default, everything for the owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<Acl>,
    /// By attribute number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<i16, Acl>,
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
    /// Secondary indexes, oldest first.
    pub indexes: Vec<IndexInfo>,
    pub foreign_keys: Vec<ForeignKey>,
    /// CREATE STATISTICS, oldest first.
    pub extended: Vec<ExtendedStatistics>,
    /// The highest attribute number ever used, so that a dropped column's is not given again.
    pub last_attribute: i16,
    /// The highest column id ever used in the tree.
    pub last_column_id: ColumnId,
    /// A temporary table: what COMMIT does to it.
    pub on_commit: Option<OnCommit>,
    /// What ANALYZE found. Kept in a tree of its own.
    pub statistics: Option<Arc<StoredStatistics>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimaryKey {
    pub oid: Oid,
    pub name: String,
    /// Attribute numbers in key order.
    pub attributes: Vec<i16>,
}

/// A secondary index: a tree of its own, kept with the table's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexInfo {
    pub oid: Oid,
    pub name: String,
    pub tree: TreeId,
    pub unique: bool,
    /// Two NULLs count as equal.
    #[serde(default)]
    pub nulls_not_distinct: bool,
    pub keys: Vec<IndexKey>,
    /// INCLUDE: attributes that are listed and shown, and order nothing.
    #[serde(default)]
    pub include: Vec<i16>,
    /// WHERE as SQL text over the table's column names.
    #[serde(default)]
    pub predicate: Option<String>,
    /// The UNIQUE constraint it enforces, which has the index' name.
    #[serde(default)]
    pub constraint: Option<Oid>,
    /// The constraint is DEFERRABLE: two rows may have the same columns for a while, so `unique` is false, and whoever relies on
    /// at most one row must not on this index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferrable: Option<Deferrable>,
    /// The constraint is a PRIMARY KEY that is DEFERRABLE: the table's rows have ids of their own then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub primary: bool,
    #[serde(default, skip_serializing_if = "IndexState::is_valid")]
    pub state: IndexState,
    /// Older snapshots must not read it: what they would see was put there after them. Known in memory only, as no snapshot
    /// outlives the process.
    #[serde(skip)]
    pub readable_from: CommitTs,
}

/// When a DEFERRABLE constraint is checked, unless SET CONSTRAINTS says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferrable {
    pub initially_deferred: bool,
}

/// How far an index is made or unmade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexState {
    /// Has exactly the entries of its table's rows.
    #[default]
    Valid,
    /// Kept by writers, but entries may be missing: nobody reads it. One that CREATE INDEX CONCURRENTLY is making, has left
    /// behind, or that DROP INDEX CONCURRENTLY is about to drop.
    Incomplete,
    /// Not even kept: about to be dropped.
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexKey {
    pub column: IndexColumn,
    #[serde(default)]
    pub descending: bool,
    #[serde(default)]
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexColumn {
    Attribute(i16),
    /// SQL text over the table's column names.
    Expression {
        sql: String,
        sql_type: SqlType,
    },
}

/// CREATE STATISTICS: what ANALYZE looks at beyond single columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedStatistics {
    pub oid: Oid,
    pub name: String,
    pub schema: Oid,
    pub owner: Oid,
    /// Ascending, at least two.
    pub attributes: Vec<i16>,
    pub kinds: Vec<StatisticsKind>,
    /// ALTER STATISTICS ... SET STATISTICS; `None`: the largest of its columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<i32>,
}

/// What is looked for in several columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsKind {
    /// How many different combinations there are.
    Distinct,
    /// How far some columns decide another.
    Dependencies,
    /// The most common combinations.
    Common,
}

impl StatisticsKind {
    pub const ALL: [StatisticsKind; 3] =
        [StatisticsKind::Distinct, StatisticsKind::Dependencies, StatisticsKind::Common];

    /// As CREATE STATISTICS calls it.
    pub fn name(self) -> &'static str {
        match self {
            StatisticsKind::Distinct => "ndistinct",
            StatisticsKind::Dependencies => "dependencies",
            StatisticsKind::Common => "mcv",
        }
    }

    /// As `pg_statistic_ext.stxkind` calls it.
    pub fn letter(self) -> &'static str {
        match self {
            StatisticsKind::Distinct => "d",
            StatisticsKind::Dependencies => "f",
            StatisticsKind::Common => "m",
        }
    }
}

/// FOREIGN KEY (attributes) REFERENCES parent (parent_attributes).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    pub oid: Oid,
    pub name: String,
    pub attributes: Vec<i16>,
    pub parent: Oid,
    pub parent_attributes: Vec<i16>,
    /// The parent's primary key or unique index over exactly these attributes, perhaps in another order.
    pub parent_index: Oid,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
    /// SET NULL/DEFAULT (columns) of ON DELETE; empty: all.
    #[serde(default)]
    pub delete_attributes: Vec<i16>,
    #[serde(default)]
    pub match_full: bool,
    #[serde(default)]
    pub deferrable: bool,
    #[serde(default)]
    pub initially_deferred: bool,
    /// False after NOT VALID: old rows have not been looked at.
    pub validated: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferentialAction {
    #[default]
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckConstraint {
    pub oid: Oid,
    pub name: String,
    /// The condition as SQL text over the table's column names.
    pub expression: String,
    /// False: added NOT VALID; holds for new rows, older ones were never looked at.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub validated: bool,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// The query's SQL text, names fully qualified as they were resolved at creation where possible.
    pub query: String,
    /// The search path it was created with; names in `query` are resolved with it.
    pub search_path: Vec<String>,
    /// Relations it reads, for DROP ... RESTRICT/CASCADE.
    pub depends_on: Vec<Oid>,
    /// What the relations named in `query` and their columns are: they keep their names inside the view whatever they are
    /// called later.
    #[serde(default)]
    pub names: Vec<ViewName>,
    /// (relation, attribute) of every column it uses.
    #[serde(default)]
    pub uses: Vec<(Oid, i16)>,
}

/// A relation as a view's text names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewName {
    pub schema: Option<String>,
    pub name: String,
    pub relation: Oid,
    /// The columns there were, as they were called.
    pub columns: Vec<(i16, String)>,
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
    /// Values a session takes at once.
    #[serde(default = "one")]
    pub cache: i64,
    /// The column that owns it: dropped together.
    pub owned_by: Option<(Oid, i16)>,
}

fn one() -> i64 {
    1
}

/// What the end of a transaction does to a temporary table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCommit {
    Preserve,
    Delete,
    Drop,
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
    /// GENERATED ALWAYS AS (`default`) STORED: computed from the row's other columns whenever it is written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub generated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Identity {
    #[default]
    No,
    Always,
    ByDefault,
}

impl CatalogSnapshot {
    /// Statistics of several columns, with their table.
    pub fn extended(&self, oid: Oid) -> Option<(&Arc<Relation>, &ExtendedStatistics)> {
        let table = self.relations.get(self.extended_tables.get(&oid)?)?;
        let found = table.table()?.extended.iter().find(|extended| extended.oid == oid)?;
        Some((table, found))
    }
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

    /// What is locked for it: its tree, or for a view the name of one that never is. `None`: it is not locked.
    pub fn lock_tree(&self, database: DatabaseId) -> Option<TreeRef> {
        match &self.kind {
            RelationKind::Table(table) if !table.tree.tree.is_system() => Some(table.tree.tree),
            RelationKind::View(_) if self.oid >= FIRST_USER_OID => {
                Some(TreeRef::new(database, TreeId(VIEW_LOCKS | u64::from(self.oid.0))))
            }
            _ => None,
        }
    }
}

impl IndexState {
    pub fn is_valid(&self) -> bool {
        *self == IndexState::Valid
    }
}

impl IndexInfo {
    /// It gets a new tree with an entry for every row.
    pub fn made_again(&mut self) {
        if self.state == IndexState::Incomplete {
            self.state = IndexState::Valid;
        }
    }

    /// Whether it enforces uniqueness, at once or later.
    pub fn is_unique(&self) -> bool {
        self.unique || self.deferrable.is_some()
    }

    /// Whether a snapshot may read rows through it.
    pub fn is_readable(&self, snapshot: CommitTs) -> bool {
        self.state.is_valid() && snapshot >= self.readable_from
    }

    /// The attributes of its key, if it is over columns only.
    pub fn key_attributes(&self) -> Option<Vec<i16>> {
        let attribute = |key: &IndexKey| match key.column {
            IndexColumn::Attribute(attribute) => Some(attribute),
            IndexColumn::Expression { .. } => None,
        };
        self.keys.iter().map(attribute).collect()
    }
}

impl TableInfo {
    pub fn index(&self, oid: Oid) -> Option<&IndexInfo> {
        self.indexes.iter().find(|index| index.oid == oid)
    }

    /// The tree of an index.
    pub fn index_tree(&self, index: &IndexInfo) -> TreeRef {
        TreeRef { tree: index.tree, ..self.tree.tree }
    }
}

impl CatalogSnapshot {
    /// Foreign keys that refer to a table, with the tables they are of.
    pub fn references_to(&self, parent: Oid) -> Vec<(&Arc<Relation>, &ForeignKey)> {
        let children = self.referencing.get(&parent).into_iter().flatten();
        let mut found = Vec::new();
        for child in children.filter_map(|oid| self.relations.get(oid)) {
            let keys = child.table().map_or(&[][..], |table| &table.foreign_keys);
            found.extend(keys.iter().filter(|key| key.parent == parent).map(|key| (child, key)));
        }
        found
    }

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
        let own_temp = || search_path.iter().find(|schema| schema.starts_with("pg_temp_"));
        if let Some(schema) = schema {
            let schema = if schema == "pg_temp" { own_temp()? } else { schema };
            return self.relation_in(self.schema_named(schema)?.oid, name);
        }
        // Temporary relations come first, unless the path lists their schema elsewhere.
        if let Some(first) = search_path.first().filter(|first| first.starts_with("pg_temp_"))
            && let Some(found) = self.schema_named(first).and_then(|schema| self.relation_in(schema.oid, name))
        {
            return Some(found);
        }
        let implicit = (!search_path.iter().any(|s| s == "pg_catalog")).then_some("pg_catalog");
        implicit
            .into_iter()
            .chain(search_path.iter().map(String::as_str))
            .filter_map(|schema| self.schema_named(schema))
            .find_map(|schema| self.relation_in(schema.oid, name))
    }
}
