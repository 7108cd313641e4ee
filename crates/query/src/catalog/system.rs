//! The system trees: their fixed ids, columns and keys.
//!
//! Invariants: a tree's id, column ids and column types never change (a new column goes last, nullable); what only the
//! catalog itself reads of a relation is one JSON text, so that its shape can grow without a new tree version.

use std::sync::Arc;

use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeDescriptorRef, TreeKey};
use heliosdb_types::{ColumnId, DatabaseId, Oid, PhysicalType, SchemaVersion, SqlType, TreeId, TreeRef};

use super::acl::{Acl, ObjectKind, PUBLIC, Privileges};
use super::model::{Membership, Role, RoleFacts, SchemaFacts};

/// Holds what all databases share: databases and roles.
pub const SHARED: DatabaseId = DatabaseId(0);
/// The database every shard starts with.
pub const POSTGRES_DATABASE: DatabaseId = DatabaseId(5);
pub const POSTGRES_DATABASE_OID: Oid = Oid(5);
/// What CREATE DATABASE copies; may be connected to.
pub const TEMPLATE1_DATABASE_OID: Oid = Oid(1);
/// The empty template; nobody may connect.
pub const TEMPLATE0_DATABASE_OID: Oid = Oid(4);
/// The superuser every shard starts with.
pub const POSTGRES_ROLE: Oid = Oid(10);
/// Owns schema `public`, as in PostgreSQL; a database's owner is its one member.
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
    /// Counts the changes of `columns`.
    pub version: u32,
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
    version: 2,
    shared: true,
    columns: &[
        ("oid", OID, false),
        ("name", TEXT, false),
        ("owner", OID, false),
        ("id", OID, false),
        ("facts", TEXT, true),
    ],
    key: &[0],
};

/// Unique names of databases: whoever creates one inserts here, and waits for or fails on another.
pub const DATABASE_NAMES: SystemTree = SystemTree {
    name: "database_names",
    id: TreeId(2),
    version: 1,
    shared: true,
    columns: &[("name", TEXT, false), ("oid", OID, false)],
    key: &[0],
};

pub const ROLES: SystemTree = SystemTree {
    name: "roles",
    id: TreeId(3),
    version: 2,
    shared: true,
    columns: &[
        ("oid", OID, false),
        ("name", TEXT, false),
        ("superuser", BOOL, false),
        ("can_login", BOOL, false),
        ("password", TEXT, true),
        ("facts", TEXT, true),
    ],
    key: &[0],
};

pub const ROLE_NAMES: SystemTree = SystemTree {
    name: "role_names",
    id: TreeId(4),
    version: 1,
    shared: true,
    columns: &[("name", TEXT, false), ("oid", OID, false)],
    key: &[0],
};

pub const SCHEMAS: SystemTree = SystemTree {
    name: "schemas",
    id: TreeId(16),
    version: 2,
    shared: false,
    columns: &[("oid", OID, false), ("name", TEXT, false), ("owner", OID, false), ("facts", TEXT, true)],
    key: &[0],
};

pub const SCHEMA_NAMES: SystemTree = SystemTree {
    name: "schema_names",
    id: TreeId(17),
    version: 1,
    shared: false,
    columns: &[("name", TEXT, false), ("oid", OID, false)],
    key: &[0],
};

pub const RELATIONS: SystemTree = SystemTree {
    name: "relations",
    id: TreeId(18),
    version: 1,
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
    version: 1,
    shared: false,
    columns: &[("schema", OID, false), ("name", TEXT, false), ("oid", OID, false)],
    key: &[0, 1],
};

/// COMMENT ON objects of a database.
pub const COMMENTS: SystemTree = SystemTree {
    name: "comments",
    id: TreeId(20),
    version: 1,
    shared: false,
    columns: &[("class", OID, false), ("object", OID, false), ("sub", OID, false), ("description", TEXT, false)],
    key: &[0, 1, 2],
};

/// User-defined types.
pub const TYPES: SystemTree = SystemTree {
    name: "types",
    id: TreeId(24),
    version: 1,
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

/// (schema, name) of every user-defined type.
pub const TYPE_NAMES: SystemTree = SystemTree {
    name: "type_names",
    id: TreeId(25),
    version: 1,
    shared: false,
    columns: &[("schema", OID, false), ("name", TEXT, false), ("oid", OID, false)],
    key: &[0, 1],
};

/// COMMENT ON databases and roles.
pub const SHARED_COMMENTS: SystemTree = SystemTree { name: "shared_comments", id: TreeId(5), shared: true, ..COMMENTS };

/// What ANALYZE found, a row a table.
pub const STATISTICS: SystemTree = SystemTree {
    name: "statistics",
    id: TreeId(26),
    version: 1,
    shared: false,
    columns: &[("relation", OID, false), ("changed", OID, false), ("facts", TEXT, false)],
    key: &[0],
};

/// (schema, name) of all statistics of several columns.
pub const STATISTICS_NAMES: SystemTree = SystemTree {
    name: "statistics_names",
    id: TreeId(27),
    version: 1,
    shared: false,
    columns: &[("schema", OID, false), ("name", TEXT, false), ("oid", OID, false)],
    key: &[0, 1],
};

pub const ALL: [SystemTree; 14] = [
    DATABASES,
    DATABASE_NAMES,
    ROLES,
    ROLE_NAMES,
    SHARED_COMMENTS,
    SCHEMAS,
    SCHEMA_NAMES,
    RELATIONS,
    RELATION_NAMES,
    COMMENTS,
    TYPES,
    TYPE_NAMES,
    STATISTICS,
    STATISTICS_NAMES,
];

/// The catalogs whose rows comments are about, by PostgreSQL's OIDs.
pub const CLASS_RELATION: Oid = Oid(1259);
pub const CLASS_SCHEMA: Oid = Oid(2615);
pub const CLASS_CONSTRAINT: Oid = Oid(2606);
pub const CLASS_STATISTICS: Oid = Oid(3381);
pub const CLASS_TYPE: Oid = Oid(1247);
pub const CLASS_DATABASE: Oid = Oid(1262);
pub const CLASS_ROLE: Oid = Oid(1260);

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
            version: SchemaVersion(self.version),
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

/// Privileges of the schemas every database starts with.
pub fn schema_facts(schema: Oid, owner: Oid) -> SchemaFacts {
    let readable = matches!(schema, PUBLIC_SCHEMA | PG_CATALOG | INFORMATION_SCHEMA);
    let acl = readable.then(|| {
        let mut acl = Acl::default_of(ObjectKind::Schema, owner);
        acl.grant(PUBLIC, owner, Privileges::USAGE, false);
        acl
    });
    SchemaFacts { acl }
}

/// Roles that are always there, with PostgreSQL's OIDs and memberships.
pub fn predefined_roles() -> impl Iterator<Item = Role> {
    const ROLES: [(u32, &str); 12] = [
        (3373, "pg_monitor"),
        (3374, "pg_read_all_settings"),
        (3375, "pg_read_all_stats"),
        (3377, "pg_stat_scan_tables"),
        (4200, "pg_signal_backend"),
        (4544, "pg_checkpoint"),
        (4569, "pg_read_server_files"),
        (4570, "pg_write_server_files"),
        (4571, "pg_execute_server_program"),
        (6171, "pg_database_owner"),
        (6181, "pg_read_all_data"),
        (6182, "pg_write_all_data"),
    ];
    ROLES.into_iter().map(|(oid, name)| {
        let groups: &[u32] = if oid == 3373 { &[3374, 3375, 3377] } else { &[] };
        let member = |role: &u32| Membership { role: Oid(*role), grantor: POSTGRES_ROLE, admin: false };
        let facts = RoleFacts { member_of: groups.iter().map(member).collect(), ..RoleFacts::default() };
        Role { oid: Oid(oid), name: name.to_owned(), superuser: false, can_login: false, password: None, facts }
    })
}

/// Everybody may connect to a template, nobody but its owner make temporary tables there.
pub fn template_acl(owner: Oid) -> Acl {
    let mut acl = Acl::default();
    acl.grant(PUBLIC, owner, Privileges::CONNECT, false);
    acl.grant(owner, owner, ObjectKind::Database.all(), false);
    acl
}
