//! What a write does to each row, fixed for the statement.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use heliosdb_contracts::{TreeDescriptorRef, TreeKey, arrow_type};
use heliosdb_types::{Error, PhysicalType, Result};

use super::conflict::ConflictSpec;
use super::merge::MergeSpec;
use super::node::{RowWriteNode, RowWriteOp};
use super::patch::Patch;
use crate::catalog::{Relation, TableInfo};
use crate::exec::arrays::into_array;
use crate::exec::error::{from_arrow, from_datafusion};
use crate::exec::foreign::{ForeignSpec, ReferencedSpec};
use crate::exec::index::IndexSpec;
use crate::exec::recheck::Rechecker;

/// A [`RowWriteNode`] with physical expressions.
pub(crate) struct WriteSpec {
    pub op: RowWriteOp,
    pub table: Arc<Relation>,
    pub tree: TreeDescriptorRef,
    /// The live columns' physical types, as rows are encoded.
    pub types: Vec<PhysicalType>,
    /// Positions of the key's columns; `None`: hidden row ids.
    pub key: Option<Vec<usize>>,
    pub row_ref: Option<usize>,
    pub old_row: Vec<usize>,
    /// Input columns that are neither row reference nor old image; they follow the table's in the output.
    pub carried: Vec<usize>,
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    pub recheck: Option<Arc<Rechecker>>,
    pub new_row: Vec<Arc<dyn PhysicalExpr>>,
    pub checks: Vec<(String, Arc<dyn PhysicalExpr>)>,
    pub generated: Vec<(usize, Arc<dyn PhysicalExpr>)>,
    /// Positions of columns a foreign key may refer to: of the primary key and of unique indexes.
    pub referable: Vec<usize>,
    pub indexes: Arc<[IndexSpec]>,
    pub foreign: Vec<ForeignSpec>,
    pub conflict: Option<ConflictSpec>,
    pub merge: MergeSpec,
    /// Only these columns are written.
    pub patch: Option<Patch>,
    pub referenced: Vec<ReferencedSpec>,
    /// The same target row may come more than once; only the first counts.
    pub targets_repeat: bool,
    pub returning: bool,
    pub output: SchemaRef,
    /// The table's columns by name, all nullable: what a new row looks like before it is verified.
    pub table_schema: SchemaRef,
}

impl fmt::Debug for WriteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {}", self.op, self.table.name)
    }
}

impl WriteSpec {
    /// All but the expressions.
    pub(super) fn new(node: &RowWriteNode, input: SchemaRef) -> Result<WriteSpec> {
        let table = node.table.table();
        let table = table.ok_or_else(|| Error::internal(format!("a write to \"{}\"", node.table.name)))?;
        let types = table.tree.physical_types();
        let expected = if node.op == RowWriteOp::Insert { 0 } else { types.len() };
        let new_row = if matches!(node.op, RowWriteOp::Delete | RowWriteOp::Merge) { 0 } else { types.len() };
        if types.len() != node.table.columns.len()
            || node.old_row.len() != expected
            || node.new_row.len() != new_row
            || node.row_ref.is_some() == (node.op == RowWriteOp::Insert)
        {
            return Err(Error::internal(format!("a malformed {:?} on \"{}\"", node.op, node.table.name)));
        }
        let key = match &table.tree.key {
            TreeKey::RowId => None,
            TreeKey::Columns(ids) => {
                let position = |id| table.tree.position(id).ok_or_else(|| Error::internal("a key without its column"));
                Some(ids.iter().map(|id| position(*id)).collect::<Result<Vec<_>>>()?)
            }
        };
        let carried = (0..input.fields().len()).filter(|at| Some(*at) != node.row_ref && !node.old_row.contains(at));
        let fields = node.table.columns.iter().zip(&types);
        let fields: Vec<Field> = fields.map(|(c, t)| Field::new(&c.name, arrow_type(*t), true)).collect();
        let (checks, references) = (node.foreign.checks.iter(), node.foreign.references.iter());
        Ok(WriteSpec {
            op: node.op,
            table: Arc::clone(&node.table),
            tree: Arc::clone(&table.tree),
            types,
            key,
            row_ref: node.row_ref,
            old_row: node.old_row.clone(),
            carried: carried.collect(),
            predicate: None,
            recheck: None,
            new_row: Vec::new(),
            checks: Vec::new(),
            generated: Vec::new(),
            referable: referable(&node.table, table),
            indexes: Arc::from([]),
            foreign: match node.op {
                RowWriteOp::Delete => Vec::new(),
                _ => checks.map(|check| ForeignSpec::new(check, &node.table)).collect::<Result<_>>()?,
            },
            conflict: None,
            merge: MergeSpec::default(),
            patch: None,
            referenced: match node.op {
                RowWriteOp::Insert if node.conflict.as_ref().is_none_or(|conflict| conflict.update.is_none()) => {
                    Vec::new()
                }
                _ => references.map(|of| ReferencedSpec::new(of, &node.table)).collect::<Result<_>>()?,
            },
            targets_repeat: true,
            returning: node.returning,
            output: Arc::clone(node.schema.inner()),
            table_schema: Arc::new(Schema::new(fields)),
        })
    }

    /// The new row's columns for every row of `input`.
    pub(super) fn evaluate_new_row(&self, input: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.new_row.iter().map(|expr| evaluate(expr, input)).collect()
    }

    /// The old row's columns.
    pub(super) fn old_columns(&self, input: &RecordBatch) -> Result<Vec<ArrayRef>> {
        pick(input, &self.old_row)
    }

    /// Whether indexes or foreign keys need to know what rows were.
    pub(super) fn looks_at_old_rows(&self) -> bool {
        !self.indexes.is_empty() || !self.foreign.is_empty() || !self.referenced.is_empty()
    }

    /// The old rows as a batch of the table's columns.
    pub(super) fn old_batch(&self, input: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(input.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.table_schema), self.old_columns(input)?, &options)
            .map_err(from_arrow)
    }

    /// A batch of the table's columns, generated ones computed from the others.
    pub(super) fn table_batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let shape = |columns: Vec<ArrayRef>| {
            RecordBatch::try_new_with_options(Arc::clone(&self.table_schema), columns, &options)
                .map_err(|e| Error::internal(format!("a new row of \"{}\" has another shape: {e}", self.table.name)))
        };
        let batch = shape(columns)?;
        if self.generated.is_empty() {
            return Ok(batch);
        }
        let mut columns = batch.columns().to_vec();
        for (at, value) in &self.generated {
            let slot = columns.get_mut(*at).ok_or_else(|| Error::internal("a generated column that is not there"))?;
            *slot = evaluate(value, &batch)?;
        }
        shape(columns)
    }

    /// What RETURNING sees: the table's columns, then what the input carried along.
    pub(super) fn output_batch(&self, mut columns: Vec<ArrayRef>, input: &RecordBatch) -> Result<RecordBatch> {
        columns.extend(pick(input, &self.carried)?);
        let options = RecordBatchOptions::new().with_row_count(Some(input.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options).map_err(from_arrow)
    }
}

pub(super) fn pick(batch: &RecordBatch, positions: &[usize]) -> Result<Vec<ArrayRef>> {
    let column = |at: &usize| batch.columns().get(*at).cloned().ok_or_else(|| Error::internal("no such input column"));
    positions.iter().map(column).collect()
}

pub(super) fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(batch).map_err(from_datafusion)?;
    into_array(value, batch.num_rows()).map_err(from_datafusion)
}

fn referable(relation: &Relation, table: &TableInfo) -> Vec<usize> {
    let unique = table.indexes.iter().filter(|index| index.unique && index.predicate.is_none());
    let mut attributes: Vec<i16> = unique.filter_map(|index| index.key_attributes()).flatten().collect();
    attributes.extend(table.primary_key.iter().flat_map(|key| key.attributes.iter().copied()));
    let columns = relation.columns.iter().enumerate();
    columns.filter(|(_, column)| attributes.contains(&column.attribute)).map(|(at, _)| at).collect()
}
