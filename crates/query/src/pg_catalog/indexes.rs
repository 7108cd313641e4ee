//! Indexes as the catalog shows them: primary keys, which are their table's own tree, and secondary ones.

use std::sync::Arc;

use heliosdb_types::{Datum, Oid, Result, SqlType};

use super::fixed::btree_class;
use super::relations::{attribute_of, sorted};
use super::table::{Rows, Source, oid, text};
use super::{Facts, quote_identifier};
use crate::catalog::{
    CatalogSnapshot, Column, Deferrable, Identity, IndexColumn, IndexInfo, IndexKey, IndexState, Relation,
};

const BTREE: Oid = Oid(403);

/// One index of a table.
pub(super) struct Index<'a> {
    pub table: &'a Arc<Relation>,
    pub oid: Oid,
    pub name: &'a str,
    pub primary: bool,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    pub keys: Vec<IndexKey>,
    pub include: &'a [i16],
    pub predicate: Option<&'a str>,
    /// The constraint it enforces.
    pub constraint: Option<Oid>,
    pub deferrable: Option<Deferrable>,
    pub state: IndexState,
}

/// The OID of a primary key's constraint: the catalog keeps one for both, PostgreSQL has two.
pub(super) fn key_constraint(index: Oid) -> Oid {
    Oid(index.0 | 0x2000_0000)
}

/// Every index, in a stable order.
pub(super) fn indexes(catalog: &CatalogSnapshot) -> Vec<Index<'_>> {
    let mut found = Vec::new();
    for relation in sorted(catalog) {
        found.extend(indexes_of(relation));
    }
    found
}

pub(super) fn indexes_of(relation: &Arc<Relation>) -> Vec<Index<'_>> {
    let Some(table) = relation.table() else { return Vec::new() };
    let plain = |attribute: &i16| IndexKey {
        column: IndexColumn::Attribute(*attribute),
        descending: false,
        nulls_first: false,
    };
    let primary = table.primary_key.iter().map(|key| Index {
        table: relation,
        oid: key.oid,
        name: &key.name,
        primary: true,
        unique: true,
        nulls_not_distinct: false,
        keys: key.attributes.iter().map(plain).collect(),
        include: &[],
        predicate: None,
        constraint: Some(key_constraint(key.oid)),
        deferrable: None,
        state: IndexState::Valid,
    });
    let secondary = table.indexes.iter().map(|index: &IndexInfo| Index {
        table: relation,
        oid: index.oid,
        name: &index.name,
        primary: index.primary,
        unique: index.is_unique(),
        deferrable: index.deferrable,
        nulls_not_distinct: index.nulls_not_distinct,
        keys: index.keys.clone(),
        include: &index.include,
        predicate: index.predicate.as_deref(),
        constraint: index.constraint,
        state: index.state,
    });
    primary.chain(secondary).collect()
}

pub(super) fn index_named(catalog: &CatalogSnapshot, oid: Oid) -> Option<Index<'_>> {
    catalog.relations.values().find_map(|relation| indexes_of(relation).into_iter().find(|index| index.oid == oid))
}

impl Index<'_> {
    fn column(&self, attribute: i16) -> Option<&Column> {
        self.table.columns.iter().find(|column| column.attribute == attribute)
    }

    fn attributes(&self) -> impl Iterator<Item = i16> + '_ {
        let keys = self.keys.iter().map(|key| match key.column {
            IndexColumn::Attribute(attribute) => attribute,
            IndexColumn::Expression { .. } => 0,
        });
        keys.chain(self.include.iter().copied())
    }

    /// Names of its plain key columns.
    pub fn key_names(&self) -> Vec<&str> {
        self.keys
            .iter()
            .filter_map(|key| match key.column {
                IndexColumn::Attribute(attribute) => self.column(attribute).map(|column| column.name.as_str()),
                IndexColumn::Expression { .. } => None,
            })
            .collect()
    }

    fn key_type(&self, key: &IndexKey) -> SqlType {
        match &key.column {
            IndexColumn::Attribute(attribute) => {
                self.column(*attribute).map_or(SqlType::Void, |column| column.sql_type.clone())
            }
            IndexColumn::Expression { sql_type, .. } => sql_type.clone(),
        }
    }

    /// A key's text in CREATE INDEX; only calls stand without brackets.
    fn key_text(&self, key: &IndexKey) -> String {
        match &key.column {
            IndexColumn::Attribute(attribute) => {
                self.column(*attribute).map(|column| quote_identifier(&column.name)).unwrap_or_default()
            }
            IndexColumn::Expression { sql, .. } => {
                let call = crate::bind::parse_expression(sql)
                    .is_ok_and(|expr| matches!(expr, sqlparser::ast::Expr::Function(_)));
                if call { sql.clone() } else { format!("({sql})") }
            }
        }
    }

    /// One column of the index, from 1.
    pub fn column_text(&self, number: usize) -> String {
        if let Some(key) = number.checked_sub(1).and_then(|at| self.keys.get(at)) {
            return self.key_text(key);
        }
        let included = number.checked_sub(self.keys.len() + 1).and_then(|at| self.include.get(at));
        let column = included.and_then(|attribute| self.column(*attribute));
        column.map(|column| quote_identifier(&column.name)).unwrap_or_default()
    }

    pub fn include_text(&self) -> String {
        let names = self.include.iter().filter_map(|attribute| self.column(*attribute));
        names.map(|column| quote_identifier(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// CREATE INDEX as it would make it.
    pub fn definition(&self, facts: &Facts, short: bool) -> String {
        let keys = self.keys.iter().map(|key| {
            let order = match (key.descending, key.nulls_first) {
                (false, false) => "",
                (false, true) => " NULLS FIRST",
                (true, true) => " DESC",
                (true, false) => " DESC NULLS LAST",
            };
            let key = self.key_text(key);
            // Unless asked for short text, PostgreSQL puts brackets around every operator.
            let operator = !short && key.starts_with('(') && is_operator(&key);
            if operator { format!("({key}){order}") } else { format!("{key}{order}") }
        });
        let schema = facts.catalog.schemas.get(&self.table.schema).map_or("", |schema| schema.name.as_str());
        let full = || format!("{}.{}", quote_identifier(schema), quote_identifier(&self.table.name));
        let table = if short { facts.shown_name(self.table.oid).unwrap_or_else(full) } else { full() };
        let unique = if self.unique { "UNIQUE " } else { "" };
        let name = quote_identifier(self.name);
        let mut text =
            format!("CREATE {unique}INDEX {name} ON {table} USING btree ({})", keys.collect::<Vec<_>>().join(", "));
        if !self.include.is_empty() {
            text.push_str(&format!(" INCLUDE ({})", self.include_text()));
        }
        if self.nulls_not_distinct {
            text.push_str(" NULLS NOT DISTINCT");
        }
        if let Some(predicate) = self.predicate.map(super::functions::unbracketed) {
            text.push_str(&if short { format!(" WHERE {predicate}") } else { format!(" WHERE ({predicate})") });
        }
        text
    }
}

/// Whether an expression, in brackets, is an operator's.
fn is_operator(expression: &str) -> bool {
    use sqlparser::ast::Expr;
    match crate::bind::parse_expression(expression) {
        Ok(Expr::Nested(inner)) => matches!(*inner, Expr::BinaryOp { .. } | Expr::UnaryOp { .. }),
        _ => false,
    }
}

/// Rows of `pg_class` for indexes.
pub(super) fn classes(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for index in indexes(&source.facts.catalog) {
        rows.add(&[
            ("oid", oid(index.oid)),
            ("relname", text(index.name)),
            ("relnamespace", oid(index.table.schema)),
            ("relowner", oid(index.table.owner)),
            ("relam", oid(BTREE)),
            ("relfilenode", oid(index.oid)),
            ("relpersistence", text(super::relations::persistence(source.facts, index.table))),
            ("relkind", text("i")),
            ("relnatts", Datum::Int16((index.keys.len() + index.include.len()) as i16)),
            ("relispopulated", Datum::Bool(true)),
            ("relreplident", text("n")),
        ])?;
    }
    Ok(())
}

/// Rows of `pg_attribute` for indexes.
pub(super) fn attributes(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for index in indexes(&source.facts.catalog) {
        let mut number = 0i16;
        for key in &index.keys {
            number += 1;
            let name = match &key.column {
                IndexColumn::Attribute(attribute) => index.column(*attribute).map(|column| column.name.clone()),
                IndexColumn::Expression { sql, .. } => Some(expression_name(sql)),
            };
            let sql_type = index.key_type(key);
            index_attribute(rows, index.oid, number, name.unwrap_or_default(), sql_type)?;
        }
        for attribute in index.include {
            number += 1;
            let Some(column) = index.column(*attribute) else { continue };
            index_attribute(rows, index.oid, number, column.name.clone(), column.sql_type.clone())?;
        }
    }
    Ok(())
}

fn expression_name(sql: &str) -> String {
    match crate::bind::parse_expression(sql) {
        Ok(sqlparser::ast::Expr::Function(call)) => {
            crate::bind::object_name(&call.name).map_or_else(|_| "expr".to_owned(), |(_, name)| name)
        }
        _ => "expr".to_owned(),
    }
}

fn index_attribute(rows: &mut Rows, index: Oid, number: i16, name: String, sql_type: SqlType) -> Result<()> {
    let column = Column {
        attribute: number,
        id: heliosdb_types::ColumnId(0),
        name,
        sql_type,
        not_null: false,
        default: None,
        identity: Identity::No,
        generated: false,
    };
    attribute_of(rows, index, number, &column, None, -1)
}

fn vector(numbers: impl Iterator<Item = i64>) -> Datum {
    text(numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" "))
}

pub(super) fn pg_index(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    for index in indexes(&source.facts.catalog) {
        let collation = |key: &IndexKey| i64::from(super::relations::collation(&index.key_type(key)).0);
        let class = |key: &IndexKey| i64::from(btree_class(&index.key_type(key)).0);
        let option = |key: &IndexKey| i64::from(key.descending) | (i64::from(key.nulls_first) << 1);
        let expressions: Vec<String> = index
            .keys
            .iter()
            .filter_map(|key| match &key.column {
                IndexColumn::Expression { sql, .. } => Some(sql.clone()),
                IndexColumn::Attribute(_) => None,
            })
            .collect();
        let expressions = (!expressions.is_empty()).then(|| expressions.join(", "));
        rows.add(&[
            ("indexrelid", oid(index.oid)),
            ("indrelid", oid(index.table.oid)),
            ("indnatts", Datum::Int16((index.keys.len() + index.include.len()) as i16)),
            ("indnkeyatts", Datum::Int16(index.keys.len() as i16)),
            ("indisunique", Datum::Bool(index.unique)),
            ("indnullsnotdistinct", Datum::Bool(index.nulls_not_distinct)),
            ("indisprimary", Datum::Bool(index.primary)),
            ("indimmediate", Datum::Bool(index.deferrable.is_none())),
            ("indisvalid", Datum::Bool(index.state.is_valid())),
            ("indisready", Datum::Bool(index.state != IndexState::Dead)),
            ("indislive", Datum::Bool(index.state != IndexState::Dead)),
            ("indkey", vector(index.attributes().map(i64::from))),
            ("indcollation", vector(index.keys.iter().map(collation))),
            ("indclass", vector(index.keys.iter().map(class))),
            ("indoption", vector(index.keys.iter().map(option))),
            ("indexprs", expressions.map_or(Datum::Null, Datum::Text)),
            ("indpred", index.predicate.map_or(Datum::Null, text)),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_indexes(source: &Source<'_>, rows: &mut Rows) -> Result<()> {
    let facts = source.facts;
    for index in indexes(&facts.catalog) {
        let schema = facts.catalog.schemas.get(&index.table.schema).map_or("", |schema| schema.name.as_str());
        rows.add(&[
            ("schemaname", text(schema)),
            ("tablename", text(&index.table.name)),
            ("indexname", text(index.name)),
            ("indexdef", text(index.definition(facts, false))),
        ])?;
    }
    Ok(())
}
