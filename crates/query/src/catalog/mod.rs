//! Definitions of databases, schemas, relations and roles: kept in system trees, read as immutable snapshots.

mod model;

pub use model::{
    CatalogSnapshot, CheckConstraint, Column, Database, FIRST_USER_OID, Identity, PrimaryKey, Relation, RelationKind,
    Role, Schema, SequenceInfo, TableInfo, ViewInfo, VirtualTable,
};
