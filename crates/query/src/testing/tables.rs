//! Tables without DDL.

use std::sync::Arc;

use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeKey};
use heliosdb_types::{ColumnId, DatabaseId, Oid, SchemaVersion, SqlType, TreeId, TreeRef};

use crate::catalog::{Column, FIRST_USER_OID, Identity, PrimaryKey, Relation, RelationAccess, RelationKind, TableInfo};

/// A table in tree 1024 of database 1; `key` columns are NOT NULL. Without a key it has hidden row ids.
pub(crate) fn relation(name: &str, columns: &[(&str, SqlType)], key: &[&str]) -> Relation {
    let column = |(at, (name, sql_type)): (usize, &(&str, SqlType))| Column {
        attribute: at as i16 + 1,
        id: ColumnId(at as u32 + 1),
        name: (*name).to_owned(),
        sql_type: sql_type.clone(),
        not_null: key.contains(name),
        default: None,
        identity: Identity::No,
        generated: false,
    };
    let columns: Vec<Column> = columns.iter().enumerate().map(column).collect();
    let descriptor = |column: &Column| ColumnDescriptor {
        id: column.id,
        physical: column.sql_type.physical().expect("a type that can be stored"),
        nullable: !column.not_null,
        missing: None,
    };
    let named = |name: &&str| columns.iter().find(|c| c.name == *name).expect("a column of the table");
    let tree = TreeDescriptor {
        tree: TreeRef::new(DatabaseId(1), TreeId(1024)),
        version: SchemaVersion(1),
        columns: columns.iter().map(descriptor).collect(),
        key: if key.is_empty() { TreeKey::RowId } else { TreeKey::Columns(key.iter().map(|k| named(k).id).collect()) },
        sort: None,
    };
    let primary_key = (!key.is_empty()).then(|| PrimaryKey {
        oid: Oid(FIRST_USER_OID.0 + 1),
        name: format!("{name}_pkey"),
        attributes: key.iter().map(|k| named(k).attribute).collect(),
    });
    let last_column_id = ColumnId(columns.len() as u32);
    let table = TableInfo {
        tree: Arc::new(tree),
        primary_key,
        checks: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        extended: Vec::new(),
        last_attribute: columns.len() as i16,
        last_column_id,
        on_commit: None,
        statistics: None,
    };
    Relation {
        oid: FIRST_USER_OID,
        schema: Oid(2200),
        name: name.to_owned(),
        owner: Oid(10),
        columns,
        kind: RelationKind::Table(table),
        access: RelationAccess::default(),
    }
}
