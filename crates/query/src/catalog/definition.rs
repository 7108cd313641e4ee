//! A relation's definition as it is kept in `relations.definition`: JSON whose fields may be added to, never renamed.

use std::sync::Arc;

use heliosdb_contracts::{ColumnDescriptor, TreeDescriptor, TreeKey};
use heliosdb_types::{
    ColumnId, DatabaseId, Datum, Error, PhysicalType, Result, RowLayout, RowView, SchemaVersion, SqlType, TreeId,
    TreeRef, encode_row, has_residue,
};
use serde::{Deserialize, Serialize};

use super::model::{
    CheckConstraint, Column, ExtendedStatistics, ForeignKey, IndexInfo, OnCommit, PrimaryKey, Relation, RelationAccess,
    RelationKind, SequenceInfo, TableInfo, ViewInfo,
};
use super::user_type::stored_column;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Definition {
    Table(TableDefinition),
    View(ViewDefinition),
    Sequence(SequenceInfo),
}

#[derive(Debug, Serialize, Deserialize)]
struct TableDefinition {
    tree: TreeId,
    version: SchemaVersion,
    columns: Vec<TableColumn>,
    primary_key: Option<PrimaryKey>,
    checks: Vec<CheckConstraint>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    indexes: Vec<IndexInfo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    foreign_keys: Vec<ForeignKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extended: Vec<ExtendedStatistics>,
    last_attribute: i16,
    last_column_id: ColumnId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_commit: Option<OnCommit>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TableColumn {
    #[serde(flatten)]
    column: Column,
    /// What rows older than the column hold: a one-column encoded row in hex (JSON has no NaN and no i128).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ViewDefinition {
    columns: Vec<Column>,
    view: ViewInfo,
}

/// A definition with what every kind of relation has.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    definition: Definition,
    #[serde(default)]
    access: RelationAccess,
}

/// The JSON of a relation. Virtual tables have none.
pub fn to_json(relation: &Relation) -> Result<String> {
    let definition = match &relation.kind {
        RelationKind::Table(table) => Definition::Table(table_definition(relation, table)?),
        RelationKind::View(view) => {
            let columns = relation.columns.iter().map(stored_column).collect();
            Definition::View(ViewDefinition { columns, view: view.clone() })
        }
        RelationKind::Sequence(sequence) => Definition::Sequence(sequence.clone()),
        RelationKind::Virtual(_) => return Err(Error::internal("a virtual table is not kept in the catalog")),
    };
    let stored = Stored { definition, access: relation.access.clone() };
    serde_json::to_string(&stored).map_err(|e| Error::internal("could not write a definition").with_source(e))
}

/// Columns, kind and privileges of a relation of `database`, from its JSON.
pub fn from_json(database: DatabaseId, json: &str) -> Result<(Vec<Column>, RelationKind, RelationAccess)> {
    let Stored { definition, access } =
        serde_json::from_str(json).map_err(|e| Error::corrupt(format!("damaged definition in the catalog: {e}")))?;
    let (columns, kind) = match definition {
        Definition::Table(table) => table_info(database, table)?,
        Definition::View(view) => (view.columns, RelationKind::View(view.view)),
        Definition::Sequence(sequence) => (Vec::new(), RelationKind::Sequence(sequence)),
    };
    Ok((columns, kind, access))
}

fn table_definition(relation: &Relation, table: &TableInfo) -> Result<TableDefinition> {
    assert_eq!(relation.columns.len(), table.tree.columns.len(), "columns match the tree's, one to one");
    let columns = relation.columns.iter().zip(&table.tree.columns).map(|(column, stored)| {
        assert_eq!(column.id, stored.id, "columns match the tree's, one to one");
        let missing = stored.missing.as_ref().map(|value| missing_to_hex(stored.physical, value)).transpose()?;
        Ok(TableColumn { column: stored_column(column), missing })
    });
    Ok(TableDefinition {
        tree: table.tree.tree.tree,
        version: table.tree.version,
        columns: columns.collect::<Result<_>>()?,
        primary_key: table.primary_key.clone(),
        checks: table.checks.clone(),
        indexes: table.indexes.clone(),
        foreign_keys: table.foreign_keys.clone(),
        extended: table.extended.clone(),
        last_attribute: table.last_attribute,
        last_column_id: table.last_column_id,
        on_commit: table.on_commit,
    })
}

fn table_info(database: DatabaseId, table: TableDefinition) -> Result<(Vec<Column>, RelationKind)> {
    let missing = table.columns.iter().map(|stored| {
        let physical = physical_of(&stored.column)?;
        stored.missing.as_ref().map(|hex| missing_from_hex(physical, hex)).transpose()
    });
    let missing = missing.collect::<Result<Vec<_>>>()?;
    let columns: Vec<Column> = table.columns.into_iter().map(|stored| stored.column).collect();
    let mut tree = describe(TreeRef::new(database, table.tree), table.version, &columns, table.primary_key.as_ref())?;
    for (column, missing) in tree.columns.iter_mut().zip(missing) {
        column.missing = missing;
    }
    let info = TableInfo {
        tree: Arc::new(tree),
        primary_key: table.primary_key,
        checks: table.checks,
        indexes: table.indexes,
        foreign_keys: table.foreign_keys,
        extended: table.extended,
        last_attribute: table.last_attribute,
        last_column_id: table.last_column_id,
        on_commit: table.on_commit,
        statistics: None,
    };
    Ok((columns, RelationKind::Table(info)))
}

fn physical_of(column: &Column) -> Result<PhysicalType> {
    column.sql_type.physical().ok_or_else(|| Error::unsupported(format!("a column of type {}", column.sql_type.name())))
}

/// The tree of a table with these columns and key; no missing values.
pub fn describe(
    tree: TreeRef,
    version: SchemaVersion,
    columns: &[Column],
    primary_key: Option<&PrimaryKey>,
) -> Result<TreeDescriptor> {
    let described = columns.iter().map(|column| {
        let physical = physical_of(column)?;
        Ok(ColumnDescriptor { id: column.id, physical, nullable: !column.not_null, missing: None })
    });
    let key = match primary_key {
        None => TreeKey::RowId,
        Some(key) => {
            let ids = key.attributes.iter().map(|attribute| {
                let column = columns.iter().find(|column| column.attribute == *attribute);
                let column = column.ok_or_else(|| Error::corrupt("a primary key names a missing column"))?;
                refuse_as_key(&column.sql_type)?;
                Ok(column.id)
            });
            TreeKey::Columns(ids.collect::<Result<_>>()?)
        }
    };
    Ok(TreeDescriptor { tree, version, columns: described.collect::<Result<_>>()?, key, sort: None })
}

/// Arrays whose equal values differ in bytes cannot be told apart by their keys.
pub(crate) fn refuse_as_key(sql_type: &SqlType) -> Result<()> {
    match sql_type.element().unwrap_or(sql_type) {
        // jsonb's bytes do not order its values, and json has no order at all.
        SqlType::Json => {
            let message =
                format!("data type {} has no default operator class for access method \"btree\"", sql_type.name());
            return Err(Error::invalid(heliosdb_types::SqlState::UNDEFINED_OBJECT, message).with_hint(
                "You must specify an operator class for the index or define a default operator class for the data type.",
            ));
        }
        SqlType::Jsonb => return Err(Error::unsupported(format!("a key or an index of type {}", sql_type.name()))),
        _ => {}
    }
    match sql_type.element() {
        Some(element) if has_residue(element) => {
            Err(Error::unsupported(format!("a key or an index of type {}", sql_type.name())))
        }
        _ => Ok(()),
    }
}

fn missing_to_hex(physical: PhysicalType, value: &Datum) -> Result<String> {
    let mut bytes = Vec::new();
    encode_row(&[physical], &[value.as_ref()], &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn missing_from_hex(physical: PhysicalType, hex: &str) -> Result<Datum> {
    let damaged = || Error::corrupt("damaged missing value in the catalog");
    let bytes = (0..hex.len() / 2).map(|at| {
        let pair = hex.get(at * 2..at * 2 + 2).ok_or_else(damaged)?;
        u8::from_str_radix(pair, 16).map_err(|_| damaged())
    });
    let bytes = bytes.collect::<Result<Vec<_>>>()?;
    let layout = RowLayout::new(&[physical]);
    Ok(RowView::new(&layout, &bytes)?.get(0)?.to_owned())
}

#[cfg(test)]
mod tests {
    use heliosdb_types::{CommitTs, Oid};

    use super::*;
    use crate::catalog::{Acl, Identity, IndexColumn, IndexKey, IndexState, ObjectKind};

    #[test]
    fn a_table_survives_its_json() {
        let column = |attribute: i16, name: &str, sql_type: SqlType| Column {
            attribute,
            id: ColumnId(attribute as u32),
            name: name.to_owned(),
            sql_type,
            not_null: attribute == 1,
            default: (attribute == 2).then(|| "now()".to_owned()),
            identity: Identity::No,
            generated: false,
        };
        let columns = vec![column(1, "id", SqlType::Int4), column(2, "price", SqlType::Numeric(Some((30, 2))))];
        let primary_key = Some(PrimaryKey { oid: Oid(7), name: "t_pkey".to_owned(), attributes: vec![1] });
        let tree = TreeRef::new(DatabaseId(5), TreeId(2000));
        let mut tree = describe(tree, SchemaVersion(3), &columns, primary_key.as_ref()).unwrap();
        tree.columns[1].missing = Some(Datum::Decimal { unscaled: i128::MAX, scale: 2 });
        let table = TableInfo {
            tree: Arc::new(tree),
            primary_key,
            indexes: vec![IndexInfo {
                primary: false,
                oid: Oid(9),
                name: "t_lower_idx".to_owned(),
                tree: TreeId(2001),
                unique: true,
                nulls_not_distinct: false,
                keys: vec![IndexKey {
                    column: IndexColumn::Expression { sql: "id + 1".to_owned(), sql_type: SqlType::Int4 },
                    descending: true,
                    nulls_first: true,
                }],
                include: vec![2],
                predicate: None,
                constraint: None,
                deferrable: None,
                state: IndexState::Incomplete,
                readable_from: CommitTs(0),
            }],
            foreign_keys: Vec::new(),
            extended: Vec::new(),
            checks: vec![CheckConstraint {
                oid: Oid(8),
                name: "c".to_owned(),
                expression: "id > 0".to_owned(),
                validated: true,
            }],
            last_attribute: 4,
            last_column_id: ColumnId(4),
            on_commit: None,
            statistics: None,
        };
        let acl = Acl::default_of(ObjectKind::Table, Oid(10));
        let relation = Relation {
            oid: Oid(20_000),
            schema: Oid(2200),
            name: "t".to_owned(),
            owner: Oid(10),
            columns,
            kind: RelationKind::Table(table),
            access: RelationAccess { acl: Some(acl.clone()), columns: [(2, acl)].into() },
        };
        let (columns, kind, access) = from_json(DatabaseId(5), &to_json(&relation).unwrap()).unwrap();
        assert_eq!(columns, relation.columns);
        assert_eq!(access, relation.access);
        let RelationKind::Table(read) = kind else { panic!("a table stays a table") };
        assert_eq!(read.tree, relation.table().unwrap().tree);
        assert_eq!(read.checks, relation.table().unwrap().checks);
        assert_eq!(read.indexes, relation.table().unwrap().indexes);
        assert_eq!((read.last_attribute, read.last_column_id), (4, ColumnId(4)));
        assert!(from_json(DatabaseId(5), "{\"table\":{}}").is_err());
    }
}
