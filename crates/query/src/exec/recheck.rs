//! Evaluating a statement's condition again for rows that somebody else has changed, where the condition has subqueries.
//!
//! PostgreSQL runs the statement once more over the one changed row: every other table as the statement's snapshot has it, and of
//! what was joined, the very rows it was joined with. So the plan here is the statement's own WHERE (and SET or select
//! list) over a [`SlotNode`] in place of FROM: the joined row with the changed part replaced. It is planned when it is needed,
//! which is after somebody had to wait.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result as DfResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use heliosdb_types::{Error, Result};

use super::error::{from_arrow, from_datafusion, to_datafusion};

/// The number of a slot's row, its last column and its plan's.
const ROW: &str = "__row";
const OLD: &str = "__old_";

/// A plan over a slot: the columns of the statement's input, then the row's number.
#[derive(Clone, Debug)]
pub struct Recheck {
    pub plan: Arc<LogicalPlan>,
    /// Columns of FROM, which come first in the statement's input.
    pub width: usize,
}

/// Rows to be looked at again: FROM's columns, the same as they were, and a number.
#[derive(Clone, Debug)]
pub struct SlotNode {
    schema: DFSchemaRef,
    rows: Option<RecordBatch>,
}

impl SlotNode {
    /// In place of `from`.
    pub fn new(from: &DFSchema) -> Result<SlotNode> {
        let mut fields = Vec::with_capacity(from.fields().len() * 2 + 1);
        for (qualifier, field) in from.iter() {
            fields.push((qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true))));
        }
        for (at, field) in from.fields().iter().enumerate() {
            fields.push((None, Arc::new(Field::new(format!("{OLD}{at}"), field.data_type().clone(), true))));
        }
        fields.push((None, Arc::new(Field::new(ROW, DataType::Int64, false))));
        let schema = DFSchema::new_with_metadata(fields, Default::default()).map_err(from_datafusion)?;
        Ok(SlotNode { schema: Arc::new(schema), rows: None })
    }

    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The row's number as a column.
    pub fn number() -> Expr {
        Expr::Column(Column::new_unqualified(ROW))
    }

    /// An expression over FROM's columns as they were.
    pub fn before(expr: &Expr, from: &DFSchema) -> Result<Expr> {
        let changed = expr.clone().transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match from.maybe_index_of_column(column) {
                    Some(at) => Transformed::yes(Expr::Column(Column::new_unqualified(format!("{OLD}{at}")))),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        });
        changed.map(|changed| changed.data).map_err(from_datafusion)
    }
}

impl PartialEq for SlotNode {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
    }
}

impl Eq for SlotNode {}

impl Hash for SlotNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.schema.hash(state);
    }
}

impl PartialOrd for SlotNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SlotNode {
    fn name(&self) -> &str {
        "Slot"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, _inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        Ok(self.clone())
    }
}

/// Plans [`SlotNode`].
pub(crate) struct SlotPlanner;

#[async_trait]
impl ExtensionPlanner for SlotPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(slot) = node.as_any().downcast_ref::<SlotNode>() else { return Ok(None) };
        let rows = slot.rows.clone().ok_or_else(|| to_datafusion(Error::internal("an empty slot")))?;
        let schema = Arc::clone(slot.schema.inner());
        Ok(Some(MemorySourceConfig::try_new_exec(&[vec![rows]], schema, None)?))
    }
}

/// Looks again.
pub(crate) struct Rechecker {
    recheck: Recheck,
    session: SessionState,
}

impl Rechecker {
    /// `None` where nothing but the row itself decides.
    pub fn new(recheck: Option<&Recheck>, session: &dyn Session) -> Option<Arc<Rechecker>> {
        let session = session.as_any().downcast_ref::<SessionState>()?;
        recheck.map(|recheck| Arc::new(Rechecker { recheck: recheck.clone(), session: session.clone() }))
    }

    /// The statement's input for those rows that still qualify, and which they are. `new` and `old` begin with FROM's columns.
    pub async fn run(&self, new: &RecordBatch, old: &RecordBatch) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        let Recheck { plan, width } = &self.recheck;
        let mut columns: Vec<ArrayRef> = new.columns().iter().take(*width).cloned().collect();
        columns.extend(old.columns().iter().take(*width).cloned());
        let rows = i64::try_from(new.num_rows()).map_err(|_| Error::internal("a batch of too many rows"))?;
        columns.push(Arc::new(Int64Array::from_iter_values(0..rows)));
        let filled = plan.as_ref().clone().transform_up_with_subqueries(|node| {
            let LogicalPlan::Extension(extension) = &node else { return Ok(Transformed::no(node)) };
            let Some(slot) = extension.node.as_any().downcast_ref::<SlotNode>() else {
                return Ok(Transformed::no(node));
            };
            let options = RecordBatchOptions::new().with_row_count(Some(new.num_rows()));
            let schema = Arc::clone(slot.schema.inner());
            let rows = RecordBatch::try_new_with_options(schema, columns.clone(), &options)?;
            Ok(Transformed::yes(SlotNode { schema: Arc::clone(&slot.schema), rows: Some(rows) }.into_plan()))
        });
        let filled = crate::bind::decorrelated(filled.map_err(from_datafusion)?.data)?;
        let planned = self.session.create_physical_plan(&filled).await.map_err(from_datafusion)?;
        let schema = planned.schema();
        let batches = collect(planned, self.session.task_ctx()).await.map_err(from_datafusion)?;
        let found = arrow_select::concat::concat_batches(&schema, &batches).map_err(from_arrow)?;
        let mut columns = found.columns().to_vec();
        let numbers = columns.pop().ok_or_else(|| Error::internal("a recheck without row numbers"))?;
        let numbers = numbers.as_primitive_opt::<Int64Type>();
        let numbers = numbers.ok_or_else(|| Error::internal("a recheck without row numbers"))?;
        let mut order: Vec<(usize, u32)> = Vec::with_capacity(numbers.len());
        for (at, number) in (0u32..).zip(numbers.values()) {
            order.push((usize::try_from(*number).map_err(|_| Error::internal("a row below the first"))?, at));
        }
        order.sort_unstable();
        order.dedup_by_key(|(number, _)| *number);
        let places: arrow_array::UInt32Array = order.iter().map(|(_, at)| *at).collect::<Vec<_>>().into();
        let columns = columns.iter().map(|column| arrow_select::take::take(column, &places, None).map_err(from_arrow));
        Ok((columns.collect::<Result<_>>()?, order.into_iter().map(|(number, _)| number).collect()))
    }
}

impl fmt::Debug for Rechecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rechecker")
    }
}
