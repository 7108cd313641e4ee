//! The system trees: their fixed ids, columns and keys.
//!
//! Invariants: a tree's id, column ids and column types never change (a new column goes last, nullable); what only the
//! catalog itself reads of a relation is one JSON text, so that its shape can grow without a new tree version.

use std::sync::Arc;

use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeDescriptorRef, TreeKey};
use heliosdb_types::{ColumnId, DatabaseId, Oid, PhysicalType, SchemaVersion, SqlType, TreeId, TreeRef};

/// Holds what all databases share: databases and roles.
pub const SHARED: DatabaseId = DatabaseId(0);
/// The database every shard starts with.
pub const POSTGRES_DATABASE: DatabaseId = DatabaseId(5);
pub const POSTGRES_DATABASE_OID: Oid = Oid(5);
/// The superuser every shard starts with.
pub const POSTGRES_ROLE: Oid = Oid(10);
/// Owns schema `public`, as in PostgreSQL; nobody is a member but by being a superuser.
pub const DATABASE_OWNER_ROLE: Oid = Oid(6171);
pub const PG_CATALOG: Oid = Oid(11);
pub const PUBLIC_SCHEMA: Oid = Oid(2200);
pub const INFORMATION_SCHEMA: Oid = Oid(13_000);
/// `pg_helios`: the system trees as tables.
pub const SYSTEM_SCHEMA: Oid = Oid(13_100);

/// One system tree.
#[derive(Clone, Copy, Debug)]
pub struct SystemTree {
    pub name: &'static str,
    pub id: TreeId,
    /// Kept in [`SHARED`] rather than in each database.
    pub shared: bool,
    pub columns: &'static [(&'static str, PhysicalType, bool)],
    /// Positions of the key columns.
    pub key: &'static [usize],
}

const OID: PhysicalType = PhysicalType::Int64;
const TEXT: PhysicalType = PhysicalType::Text;
const BOOL: PhysicalType = PhysicalType::Bool;

pub const DATABASES: SystemTree = SystemTree {
    name: "databases",
    id: TreeId(1),
    shared: true,
    columns: &[("oid", OID, false), ("name", TEXT, false), ("owner", OID, false), ("id", OID, false)],
    key: &[0],
};

/// Unique names of databases: whoever creates one inserts here, and waits for or fails on another.
pub const DATABASE_NAMES: SystemTree = SystemTree {
    name: "database_names",
    id: TreeId(2),
    shared: true,
    columns: &[("name", TEXT, false), ("oid", OID, false)],
    key: &[0],
};

pub const ROLES: SystemTree = SystemTree {
    name: "roles",
    id: TreeId(3),
    shared: true,
    columns: &[
        ("oid", OID, false),
        ("name", TEXT, false),
        ("superuser", BOOL, false),
        ("can_login", BOOL, false),
        ("password", TEXT, true),
    ],
    key: &[0],
};

pub const ROLE_NAMES: SystemTree = SystemTree {
    name: "role_names",
    id: TreeId(4),
    shared: true,
    columns: &[("name", TEXT, false), ("oid", OID, false)],
    key: &[0],
};

pub const SCHEMAS: SystemTree = SystemTree {
    name: "schemas",
    id: TreeId(16),
    shared: false,
    columns: &[("oid", OID, false), ("name", TEXT, false), ("owner", OID, false)],
    key: &[0],
};

pub const SCHEMA_NAMES: SystemTree = SystemTree {
    name: "schema_names",
    id: TreeId(17),
    shared: false,
    columns: &[("name", TEXT, false), ("oid", OID, false)],
    key: &[0],
};

pub const RELATIONS: SystemTree = SystemTree {
    name: "relations",
    id: TreeId(18),
    shared: false,
    columns: &[
        ("oid", OID, false),
        ("schema", OID, false),
        ("name", TEXT, false),
        ("owner", OID, false),
        ("definition", TEXT, false),
    ],
    key: &[0],
};

/// (schema, name) of every table, view, sequence and primary-key index: they share one name space.
pub const RELATION_NAMES: SystemTree = SystemTree {
    name: "relation_names",
    id: TreeId(19),
    shared: false,
    columns: &[("schema", OID, false), ("name", TEXT, false), ("oid", OID, false)],
    key: &[0, 1],
};

pub const ALL: [SystemTree; 8] =
    [DATABASES, DATABASE_NAMES, ROLES, ROLE_NAMES, SCHEMAS, SCHEMA_NAMES, RELATIONS, RELATION_NAMES];

impl SystemTree {
    pub fn tree(&self, database: DatabaseId) -> TreeRef {
        TreeRef::new(if self.shared { SHARED } else { database }, self.id)
    }

    pub fn physical_types(&self) -> Vec<PhysicalType> {
        self.columns.iter().map(|(_, physical, _)| *physical).collect()
    }

    pub fn column_ids(&self) -> Vec<ColumnId> {
        (1..=self.columns.len() as u32).map(ColumnId).collect()
    }

    pub fn descriptor(&self, database: DatabaseId) -> TreeDescriptorRef {
        let columns = self
            .columns
            .iter()
            .zip(self.column_ids())
            .map(|(&(_, physical, nullable), id)| ColumnDescriptor { id, physical, nullable, missing: None });
        Arc::new(TreeDescriptor {
            tree: self.tree(database),
            version: SchemaVersion(1),
            columns: columns.collect(),
            key: TreeKey::Columns(self.key.iter().map(|&at| ColumnId(at as u32 + 1)).collect()),
            sort: None,
        })
    }
}

/// The SQL type a system column is shown with.
pub fn sql_type(physical: PhysicalType) -> SqlType {
    match physical {
        PhysicalType::Bool => SqlType::Bool,
        PhysicalType::Int64 => SqlType::Int8,
        _ => SqlType::Text,
    }
}
