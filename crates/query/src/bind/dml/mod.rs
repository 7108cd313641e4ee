//! INSERT, UPDATE, DELETE and MERGE: one RowWrite node over a query that gives what it needs.

mod conflict;
mod delete;
mod inference;
mod insert;
mod merge;
mod target;
mod update;

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef, TableReference};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use heliosdb_types::{Oid, Result};
use sqlparser::ast;

use super::BoundStatement;
use super::binder::{Binder, OutputColumn};
use super::plan::{self, from_datafusion};
use super::scope::{Clause, Origin, Scope, ScopeColumn, ScopeRelation};
use crate::catalog::{IndexState, Relation};
use crate::exec::{ForeignCheck, ForeignWrite, IndexWrite, Referenced, RowWriteNode};
use crate::func::Typed;

/// The name of the one column of a RowWrite without RETURNING.
const COUNT: &str = "count";

impl Binder<'_> {
    /// CHECK constraints over the table's own column names.
    fn bind_checks(&mut self, relation: &Arc<Relation>) -> Result<Vec<(String, Expr)>> {
        let Some(table) = relation.table() else { return Ok(Vec::new()) };
        let bind = |check: &crate::catalog::CheckConstraint| {
            let expr = super::bind_check(&check.expression, relation, self.context)?;
            Ok((check.name.clone(), expr))
        };
        table.checks.iter().map(bind).collect()
    }

    /// Stored generated columns over the table's own column names.
    fn bind_generated(&mut self, relation: &Arc<Relation>) -> Result<Vec<(usize, Expr)>> {
        let generated = relation.columns.iter().enumerate().filter(|(_, column)| column.generated);
        generated.map(|(at, column)| Ok((at, super::bind_generated(column, relation, self.context)?))).collect()
    }

    /// The indexes a write keeps.
    fn bind_indexes(&mut self, relation: &Arc<Relation>) -> Result<Vec<IndexWrite>> {
        let Some(table) = relation.table() else { return Ok(Vec::new()) };
        let kept = table.indexes.iter().filter(|index| index.state != IndexState::Dead);
        kept.map(|index| super::bind_index(index, relation, self.context)).collect()
    }

    /// The foreign keys a write has to do with.
    fn bind_foreign(&mut self, relation: &Arc<Relation>) -> Result<ForeignWrite> {
        let catalog = Arc::clone(&self.context.catalog);
        let mut foreign = ForeignWrite::default();
        for key in relation.table().map_or(&[][..], |table| &table.foreign_keys) {
            let parent = catalog.relations.get(&key.parent);
            let parent = parent.ok_or_else(|| heliosdb_types::Error::internal("a foreign key to no table"))?;
            foreign.checks.push(ForeignCheck { key: Arc::new(key.clone()), parent: Arc::clone(parent) });
        }
        for (child, key) in catalog.references_to(relation.oid) {
            foreign.references.push(Referenced { key: Arc::new(key.clone()), child: Arc::clone(child) });
        }
        Ok(foreign)
    }

    /// The node with RETURNING over it. `others` are the FROM or USING relations RETURNING may name.
    fn finish_write(
        &mut self,
        mut node: RowWriteNode,
        returning: Option<&[ast::SelectItem]>,
        target_name: String,
        others: Scope,
        tag: &'static str,
    ) -> Result<BoundWrite> {
        let relation = Arc::clone(&node.table);
        let qualifier = self.unique_qualifier(&target_name);
        node.returning = returning.is_some();
        node.schema = output_schema(&node, &qualifier)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let target = relation.oid;
        let Some(returning) = returning else { return Ok(BoundWrite { plan, returning: None, target, tag }) };
        let column = |column: &crate::catalog::Column| ScopeColumn {
            name: column.name.clone(),
            value: super::scope::column_value(Some(&qualifier), &column.name, column.sql_type.clone()),
            origin: Some(Origin { relation: relation.oid, attribute: column.attribute }),
        };
        let columns = relation.columns.iter().map(column).collect();
        let table = Some(Arc::clone(&relation));
        let mut scope =
            Scope::of(ScopeRelation { name: target_name, schema: None, columns, table, row: Default::default() });
        scope.extend(others)?;
        let items = self.in_level(scope, Clause::Returning, |binder| binder.bind_select_list(returning, false))?;
        let projected = plan::project(plan, &items)?;
        Ok(BoundWrite { plan: projected.plan, returning: Some(projected.columns), target, tag })
    }

    /// A write as the whole statement, after its WITH queries.
    pub fn write_statement(&self, write: BoundWrite) -> BoundStatement {
        let BoundWrite { plan, returning, target, tag } = write;
        BoundStatement {
            plan,
            columns: returning.map(|columns| columns.iter().map(OutputColumn::result_column).collect()),
            parameters: Vec::new(),
            tag,
            relations: self.relations.iter().copied().collect(),
            used: self.used.iter().copied().collect(),
            required: self.required.list(),
            target: Some(target),
            parts: self.parts.clone(),
            row_locks: Vec::new(),
            reads_files: self.reads_files,
        }
    }
}

/// A bound INSERT, UPDATE, DELETE or MERGE.
pub(super) struct BoundWrite {
    pub plan: LogicalPlan,
    /// RETURNING's columns.
    pub returning: Option<Vec<OutputColumn>>,
    pub target: Oid,
    pub tag: &'static str,
}

/// RowWrite's output: a count, or the table's columns and then what else the input has.
fn output_schema(node: &RowWriteNode, qualifier: &TableReference) -> Result<DFSchemaRef> {
    let mut fields: Vec<(Option<TableReference>, Arc<Field>)> = Vec::new();
    if node.returning {
        for column in &node.table.columns {
            let arrow = super::params::arrow_of(&column.sql_type);
            fields.push((Some(qualifier.clone()), Arc::new(Field::new(&column.name, arrow, !column.not_null))));
        }
        for (at, (qualifier, field)) in node.input.schema().iter().enumerate() {
            if node.row_ref != Some(at) && !node.old_row.contains(&at) {
                fields.push((qualifier.cloned(), Arc::clone(field)));
            }
        }
    } else {
        fields.push((None, Arc::new(Field::new(COUNT, DataType::Int64, false))));
    }
    let schema = DFSchema::new_with_metadata(fields, Default::default()).map_err(from_datafusion)?;
    Ok(Arc::new(schema))
}

/// A column of the input as an expression.
fn input_column(value: &Typed) -> Option<&Column> {
    match &value.expr {
        Expr::Column(column) => Some(column),
        _ => None,
    }
}
