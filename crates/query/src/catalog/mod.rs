//! Definitions of databases, schemas, relations and roles: kept in system trees, read as immutable snapshots.
//!
//! Flow: `bootstrap` fills an empty shard; `load` scans the system trees into a [`CatalogSnapshot`]; [`CatalogWriter`]
//! changes them inside the session's transaction, so that DDL is as transactional as any other write.

mod acl;
mod bootstrap;
mod definition;
mod load;
mod membership;
mod model;
mod statistics;
mod system;
mod user_type;
mod writer;

pub use acl::{Acl, ObjectKind, PUBLIC, Privileges};
pub use bootstrap::{bootstrap, fill_database};
pub(crate) use definition::{describe as describe_tree, refuse_as_key};
pub use load::load;
pub use model::{
    CatalogSnapshot, CheckConstraint, Column, CommentKey, Database, DatabaseFacts, DefaultAcl, Deferrable,
    ExtendedStatistics, FIRST_USER_OID, ForeignKey, Identity, IndexColumn, IndexInfo, IndexKey, IndexState, Membership,
    OnCommit, PrimaryKey, ReferentialAction, Relation, RelationAccess, RelationKind, Role, RoleFacts, Schema,
    SchemaFacts, SequenceInfo, StatisticsKind, TableInfo, ViewInfo, ViewName, VirtualTable,
};
#[cfg(test)]
pub use statistics::KnownCombination;
pub use statistics::{
    ColumnStatistics, Combined, CombinedStatistics, CommonCombination, Place, Profile, TableStatistics, order_key,
    type_name,
};
pub use system::{
    CLASS_CONSTRAINT, CLASS_DATABASE, CLASS_RELATION, CLASS_ROLE, CLASS_SCHEMA, CLASS_STATISTICS, CLASS_TYPE,
    DATABASE_OWNER_ROLE, INFORMATION_SCHEMA, PG_CATALOG, POSTGRES_DATABASE, POSTGRES_ROLE, PUBLIC_SCHEMA,
    TEMPLATE1_DATABASE_OID, schema_facts,
};
pub use user_type::UserType;
pub use writer::CatalogWriter;
