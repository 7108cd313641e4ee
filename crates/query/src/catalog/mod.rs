//! Definitions of databases, schemas, relations and roles: kept in system trees, read as immutable snapshots.
//!
//! Flow: `bootstrap` fills an empty shard; `load` scans the system trees into a [`CatalogSnapshot`]; [`CatalogWriter`]
//! changes them inside the session's transaction, so that DDL is as transactional as any other write.

mod bootstrap;
mod definition;
mod load;
mod model;
mod system;
mod writer;

pub use bootstrap::bootstrap;
pub(crate) use definition::describe as describe_tree;
pub use load::load;
pub use model::{
    CatalogSnapshot, CheckConstraint, Column, Database, FIRST_USER_OID, ForeignKey, Identity, IndexColumn, IndexInfo,
    IndexKey, PrimaryKey, ReferentialAction, Relation, RelationKind, Role, Schema, SequenceInfo, TableInfo, ViewInfo,
    VirtualTable,
};
pub use system::{INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_DATABASE, POSTGRES_ROLE, PUBLIC_SCHEMA};
pub use writer::CatalogWriter;
