//! Expanding lists into rows: what calls of functions that give rows become.
//!
//! Each input row comes out once for every element of its longest list, the shorter lists padded with NULLs. DataFusion's own
//! Unnest is not used: it keeps its input's functional dependencies, and a key of the input is no key of the output. Input
//! rows are taken a few at a time, so that what is in memory at once follows what they give.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, SchemaRef};
use arrow_select::take::take;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, Result as DfResult};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, stream};

/// Rows a batch should have.
const BATCH_ROWS: usize = 8192;
/// Input rows looked at first, before it is known how many rows they give.
const FIRST_ROWS: usize = 64;

/// The input's columns, then one for each list, unqualified.
#[derive(Clone, Debug)]
pub struct RowsNode {
    input: Arc<LogicalPlan>,
    lists: Vec<Expr>,
    names: Vec<String>,
    /// A row whose lists are all empty comes out once, with NULLs.
    outer: bool,
    schema: DFSchemaRef,
}

impl RowsNode {
    /// `lists`: expressions over the input that give Arrow lists, and the names their elements get.
    pub fn new(input: LogicalPlan, lists: Vec<(Expr, String)>, outer: bool) -> DfResult<RowsNode> {
        let (lists, names) = lists.into_iter().unzip();
        RowsNode::build(Arc::new(input), lists, names, outer)
    }

    fn build(input: Arc<LogicalPlan>, lists: Vec<Expr>, names: Vec<String>, outer: bool) -> DfResult<RowsNode> {
        let from = input.schema();
        let mut fields: Vec<_> = from.iter().map(|(relation, field)| (relation.cloned(), Arc::clone(field))).collect();
        for (list, name) in lists.iter().zip(&names) {
            let DataType::List(element) = list.get_type(from.as_ref())? else {
                return Err(DataFusionError::Internal(format!("{list} is no list")));
            };
            fields.push((None, Arc::new(Field::new(name, element.data_type().clone(), true))));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, from.metadata().clone())?);
        Ok(RowsNode { input, lists, names, outer, schema })
    }

    /// The same over another input, with other lists.
    pub fn over(&self, input: LogicalPlan, lists: Vec<Expr>) -> DfResult<RowsNode> {
        RowsNode::build(Arc::new(input), lists, self.names.clone(), self.outer)
    }

    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub fn lists(&self) -> &[Expr] {
        &self.lists
    }
}

impl PartialEq for RowsNode {
    fn eq(&self, other: &Self) -> bool {
        (&self.lists, &self.names, self.outer) == (&other.lists, &other.names, other.outer) && self.input == other.input
    }
}

impl Eq for RowsNode {}

impl Hash for RowsNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.lists, &self.names, self.outer).hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for RowsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.names, &self.lists).partial_cmp(&(&other.names, &other.lists))
    }
}

impl UserDefinedLogicalNodeCore for RowsNode {
    fn name(&self) -> &str {
        "Rows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.lists.clone()
    }

    /// Conditions on the input's columns may be tested before expanding.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.names.iter().cloned().collect()
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|at| *at < width).collect()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists: Vec<String> = self.lists.iter().map(ToString::to_string).collect();
        write!(f, "Rows: {}", lists.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let input = inputs.into_iter().next().ok_or_else(|| DataFusionError::Internal("Rows has one input".into()))?;
        self.over(input, exprs)
    }
}

/// Plans [`RowsNode`].
pub(crate) struct RowsPlanner;

#[async_trait]
impl ExtensionPlanner for RowsPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<RowsNode>(), physical_inputs) else {
            return Ok(None);
        };
        let physical = |list: &Expr| planner.create_physical_expr(list, node.input.schema(), session, context);
        let lists = node.lists.iter().map(physical).collect::<DfResult<Vec<_>>>()?;
        let schema = Arc::new(node.schema.as_arrow().clone());
        Ok(Some(Arc::new(RowsExec::new(Arc::clone(input), lists.into(), node.outer, schema))))
    }
}

/// Expands lists, partition by partition.
pub(crate) struct RowsExec {
    input: Arc<dyn ExecutionPlan>,
    lists: Arc<[Arc<dyn PhysicalExpr>]>,
    outer: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RowsExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        lists: Arc<[Arc<dyn PhysicalExpr>]>,
        outer: bool,
        schema: SchemaRef,
    ) -> RowsExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        RowsExec { input, lists, outer, properties: Arc::new(properties), metrics }
    }
}

impl fmt::Debug for RowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowsExec({:?})", self.lists)
    }
}

impl DisplayAs for RowsExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists: Vec<String> = self.lists.iter().map(ToString::to_string).collect();
        write!(f, "RowsExec: {}", lists.join(", "))
    }
}

impl ExecutionPlan for RowsExec {
    fn name(&self) -> &str {
        "RowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        for list in self.lists.iter() {
            if f(list)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("Rows needs a child".into()))?;
        Ok(Arc::new(RowsExec::new(input, Arc::clone(&self.lists), self.outer, self.schema())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let expansion = Expansion {
            input: self.input.execute(partition, context)?,
            lists: Arc::clone(&self.lists),
            outer: self.outer,
            schema: self.schema(),
            current: None,
            step: FIRST_ROWS,
            ready: VecDeque::new(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = stream::unfold(expansion, |mut expansion| async move {
            let next = expansion.next().await.transpose()?;
            Some((next, expansion))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct Expansion {
    input: SendableRecordBatchStream,
    lists: Arc<[Arc<dyn PhysicalExpr>]>,
    outer: bool,
    schema: SchemaRef,
    /// The batch being expanded and its next row.
    current: Option<(RecordBatch, usize)>,
    /// Input rows to take next.
    step: usize,
    ready: VecDeque<RecordBatch>,
    metrics: BaselineMetrics,
}

impl Expansion {
    async fn next(&mut self) -> DfResult<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            let (batch, from) = match self.current.take() {
                Some(current) => current,
                None => match self.input.next().await.transpose()? {
                    Some(batch) => (batch, 0),
                    None => return Ok(None),
                },
            };
            let rows = self.step.min(batch.num_rows().saturating_sub(from));
            if rows == 0 {
                continue;
            }
            let _timer = self.metrics.elapsed_compute().timer();
            let expanded = self.expand(&batch.slice(from, rows))?;
            let given = expanded.num_rows();
            self.step = (self.step * 2).min(BATCH_ROWS * rows / given.max(1)).clamp(1, BATCH_ROWS);
            for at in (0..given).step_by(BATCH_ROWS) {
                self.ready.push_back(expanded.slice(at, BATCH_ROWS.min(given - at)));
            }
            if from + rows < batch.num_rows() {
                self.current = Some((batch, from + rows));
            }
        }
    }

    fn expand(&self, batch: &RecordBatch) -> DfResult<RecordBatch> {
        let rows = batch.num_rows();
        let evaluate = |list: &Arc<dyn PhysicalExpr>| list.evaluate(batch)?.into_array(rows);
        let lists = self.lists.iter().map(evaluate).collect::<DfResult<Vec<ArrayRef>>>()?;
        let no_list = || DataFusionError::Internal("a function of rows gave no list".into());
        let lists = lists.iter().map(|list| list.as_list_opt::<i32>().ok_or_else(no_list));
        let lists = lists.collect::<DfResult<Vec<&ListArray>>>()?;
        let length = |list: &ListArray, row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
        let lengths: Vec<usize> = (0..rows)
            .map(|row| {
                let longest = lists.iter().map(|list| length(list, row)).max().unwrap_or(0);
                longest.max(usize::from(self.outer))
            })
            .collect();
        let owners: UInt32Array =
            lengths.iter().enumerate().flat_map(|(row, length)| std::iter::repeat_n(row as u32, *length)).collect();
        let mut columns = Vec::with_capacity(batch.num_columns() + lists.len());
        for column in batch.columns() {
            columns.push(take(column.as_ref(), &owners, None)?);
        }
        for list in &lists {
            let mut places = Vec::with_capacity(owners.len());
            for (row, longest) in lengths.iter().enumerate() {
                let (own, start) = (length(list, row), list.value_offsets().get(row).copied().unwrap_or(0) as u32);
                places.extend((0..*longest as u32).map(|at| ((at as usize) < own).then_some(start + at)));
            }
            columns.push(take(list.values().as_ref(), &UInt32Array::from(places), None)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
