//! What a table's rows can be found by: its primary key, and its indexes with what they are over.
//!
//! A part of a key is a column, or a value computed from columns: an index' expression, or the comparison key of a column whose
//! stored bytes do not decide (bare numeric, interval, char). A computed value has an id beside the table's column ids, so that
//! conditions on it look like conditions on a column. Such conditions only choose rows to look at; what decides is the filter
//! itself, which stays above the scan.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use heliosdb_contracts::{ColumnPredicate, TreeKey, arrow_type};
use heliosdb_types::{ColumnId, CommitTs, PhysicalType, SqlType, TreeRef};

use super::entry::IndexWrite;
use super::path::KeyPart;
use crate::catalog::{IndexColumn, IndexInfo, Relation};
use crate::exec::pushdown::{Targets, conditions};
use crate::func::{Typed, sort_key};

/// Conditions, AND-ed.
pub(crate) type Conjuncts = [Expr];

/// A table's keys.
#[derive(Debug, Default)]
pub(crate) struct TableKeys {
    pub keys: Vec<TableKey>,
    computed: Vec<Computed>,
}

#[derive(Debug)]
pub(crate) struct TableKey {
    /// The index' name, to be shown.
    pub name: String,
    pub tree: TreeRef,
    /// The first columns, as far as conditions on them can be understood.
    pub parts: Vec<KeyPart>,
    /// All columns there are.
    pub columns: usize,
    pub unique: bool,
    /// Entries name rows; otherwise the tree is the table.
    pub entries: bool,
    /// What all its rows fulfil.
    pub predicate: Vec<Predicate>,
    readable_from: CommitTs,
}

/// One condition of a partial index, as written and as the optimiser writes it.
#[derive(Debug)]
pub(crate) struct Predicate(Expr, Expr);

/// A value indexes have that is no column.
#[derive(Debug)]
pub(crate) struct Computed {
    pub id: ColumnId,
    pub physical: PhysicalType,
    /// As the binder writes it in comparisons, over bare columns; and as the optimiser does.
    forms: [Expr; 2],
}

impl TableKeys {
    /// `bound` are the indexes with expressions or a predicate.
    pub fn new(relation: &Relation, bound: &[IndexWrite]) -> TableKeys {
        let mut found = TableKeys::default();
        let Some(table) = relation.table() else { return found };
        if let (TreeKey::Columns(columns), Some(primary)) = (&table.tree.key, &table.primary_key) {
            let parts = columns.iter().map(|column| KeyPart { column: *column, descending: false, nulls_first: None });
            found.keys.push(TableKey {
                name: primary.name.clone(),
                tree: table.tree.tree,
                parts: parts.collect(),
                columns: columns.len(),
                unique: true,
                entries: false,
                predicate: Vec::new(),
                readable_from: CommitTs(0),
            });
        }
        for index in table.indexes.iter().filter(|index| index.state.is_valid()) {
            let bound = bound.iter().find(|bound| bound.info.oid == index.oid);
            if bound.is_none() && needs_binding(index) {
                continue;
            }
            let parts = found.parts_of(relation, index, bound);
            let mut predicate = Vec::new();
            if let Some(condition) = bound.and_then(|bound| bound.predicate.as_ref()) {
                let mut conjuncts = Vec::new();
                split(condition, &mut conjuncts);
                let normal = |part: &Expr| Predicate(bare(part.clone()), simplified(bare(part.clone()), relation));
                predicate.extend(conjuncts.into_iter().map(normal));
            }
            if parts.is_empty() && predicate.is_empty() {
                continue;
            }
            found.keys.push(TableKey {
                name: index.name.clone(),
                tree: table.index_tree(index),
                parts,
                columns: index.keys.len(),
                unique: index.unique,
                entries: true,
                predicate,
                readable_from: index.readable_from,
            });
        }
        found
    }

    /// The first parts of an index, up to one whose values cannot be compared with constants.
    fn parts_of(&mut self, relation: &Relation, index: &IndexInfo, bound: Option<&IndexWrite>) -> Vec<KeyPart> {
        let mut parts = Vec::with_capacity(index.keys.len());
        for (at, key) in index.keys.iter().enumerate() {
            let column = match &key.column {
                IndexColumn::Attribute(attribute) => {
                    let column = relation.columns.iter().find(|column| column.attribute == *attribute);
                    column.and_then(|column| {
                        if crate::func::is_its_own_key(&column.sql_type) {
                            return Some(column.id);
                        }
                        let value = Expr::Column(datafusion::common::Column::new_unqualified(&column.name));
                        self.computed(relation, value, &column.sql_type)
                    })
                }
                IndexColumn::Expression { .. } => bound
                    .and_then(|bound| bound.keys.get(at))
                    .and_then(|(_, sql_type, value, _)| self.computed(relation, value.clone(), sql_type)),
            };
            let Some(column) = column else { break };
            parts.push(KeyPart { column, descending: key.descending, nulls_first: Some(key.nulls_first) });
        }
        parts
    }

    fn computed(&mut self, relation: &Relation, value: Expr, sql_type: &SqlType) -> Option<ColumnId> {
        let physical = match (sql_type, sql_type.physical()?) {
            (SqlType::Char(None), _) => PhysicalType::Text,
            // Their keys are made of more than the value.
            (SqlType::Array(_) | SqlType::Jsonb, _) => return None,
            (_, physical) => physical,
        };
        let form = bare(sort_key(&Typed::new(value, sql_type.clone())));
        if let Some(known) = self.computed.iter().find(|known| known.forms.contains(&form)) {
            return Some(known.id);
        }
        let id = ColumnId(u32::MAX - u32::try_from(self.computed.len()).ok()?);
        let simple = simplified(form.clone(), relation);
        self.computed.push(Computed { id, physical, forms: [form, simple] });
        Some(id)
    }

    /// The computed value an expression over bare columns is.
    pub fn target(&self, expr: &Expr) -> Option<&Computed> {
        self.computed.iter().find(|computed| computed.forms.contains(expr))
    }

    /// The same for a planned expression over columns of this schema.
    pub fn planned_target(&self, expr: &Arc<dyn PhysicalExpr>, schema: &Arc<Schema>) -> Option<ColumnId> {
        if self.computed.is_empty() {
            return None;
        }
        let schema = DFSchema::try_from(Arc::clone(schema)).ok()?;
        let (properties, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let found = self.computed.iter().find(|computed| {
            computed.forms.iter().any(|form| {
                // A column the scan does not read makes no plan.
                create_physical_expr(form, &schema, &properties, &context).is_ok_and(|planned| planned.eq(expr))
            })
        });
        found.map(|computed| computed.id)
    }

    /// What conjuncts over bare columns say about columns and computed values.
    pub fn conditions(&self, relation: &Relation, conjuncts: &Conjuncts) -> Vec<ColumnPredicate> {
        conditions(&Targets { relation, keys: Some(self) }, conjuncts)
    }

    /// Whether a filter the scan cannot evaluate may still help to choose an index.
    pub fn can_use(&self, relation: &Relation, filter: &Expr) -> bool {
        if self.keys.iter().any(|key| !key.predicate.is_empty()) {
            return true;
        }
        let known = |predicate: &ColumnPredicate| self.computed.iter().any(|computed| computed.id == predicate.column);
        !self.computed.is_empty() && self.conditions(relation, &[bare(filter.clone())]).iter().any(known)
    }
}

impl TableKey {
    /// The first snapshot that sees all of it.
    pub fn readable_from(&self) -> CommitTs {
        self.readable_from
    }

    pub fn is_readable(&self, snapshot: CommitTs) -> bool {
        snapshot >= self.readable_from
    }

    /// Whether every row that meets the conditions is in the index.
    pub fn covers(
        &self,
        keys: &TableKeys,
        relation: &Relation,
        conjuncts: &Conjuncts,
        known: &[ColumnPredicate],
    ) -> bool {
        let targets = Targets { relation, keys: Some(keys) };
        self.predicate.iter().all(|Predicate(written, simple)| {
            super::implied::implied(&targets, conjuncts, known, written)
                || super::implied::implied(&targets, conjuncts, known, simple)
        })
    }
}

/// Whether the catalog's text of an index must be bound before it can be read.
pub(crate) fn needs_binding(index: &IndexInfo) -> bool {
    index.predicate.is_some() || index.keys.iter().any(|key| matches!(key.column, IndexColumn::Expression { .. }))
}

/// The parts of an AND.
pub(crate) fn split<'e>(filter: &'e Expr, out: &mut Vec<&'e Expr>) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            split(left, out);
            split(right, out);
        }
        Expr::Alias(alias) => split(&alias.expr, out),
        other => out.push(other),
    }
}

/// The expression over columns without qualifiers.
pub(crate) fn bare(expr: Expr) -> Expr {
    let stripped = expr.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(datafusion::common::Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    });
    stripped.map_or(expr, |stripped| stripped.data)
}

/// As the optimiser leaves it.
fn simplified(expr: Expr, relation: &Relation) -> Expr {
    let fields = relation.columns.iter().filter_map(|column| {
        let physical = column.sql_type.physical()?;
        Some(arrow_schema::Field::new(&column.name, arrow_type(physical), !column.not_null))
    });
    let Ok(schema) = DFSchema::try_from(Schema::new(fields.collect::<Vec<_>>())) else { return expr };
    let context = SimplifyContext::builder().with_schema(Arc::new(schema)).build();
    ExprSimplifier::new(context).simplify(expr.clone()).unwrap_or(expr)
}
