//! Running a subquery once for every distinct combination of the outer values it uses: for the shapes that cannot be
//! rewritten into joins (a recursive CTE that looks outside, a FULL JOIN, a window).
//!
//! The input is the domain: distinct outer values, one row each. For each row the template, the subquery's plan with its outer
//! references, is planned with those values as constants and run; its rows come out behind the domain's columns. The
//! template is no child of the node, so the optimiser never sees references it cannot resolve.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::take::take;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result as DfResult, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, Subquery, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties, SendableRecordBatchStream,
    execute_stream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt, stream};

use super::error::to_datafusion;

/// The domain's columns, then the template's.
#[derive(Clone, Debug)]
pub struct ApplyNode {
    domain: Arc<LogicalPlan>,
    /// The outer column that each column of the domain holds, by position.
    outer: Vec<Column>,
    template: Arc<LogicalPlan>,
    schema: DFSchemaRef,
}

impl ApplyNode {
    pub fn new(domain: LogicalPlan, outer: Vec<Column>, template: LogicalPlan) -> DfResult<ApplyNode> {
        let fields = domain.schema().iter().chain(template.schema().iter());
        let fields = fields.map(|(relation, field)| (relation.cloned(), Arc::clone(field))).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, domain.schema().metadata().clone())?);
        Ok(ApplyNode { domain: Arc::new(domain), outer, template: Arc::new(template), schema })
    }

    pub(super) fn template(&self) -> &LogicalPlan {
        &self.template
    }

    pub(super) fn with_template(&self, template: LogicalPlan) -> ApplyNode {
        ApplyNode { template: Arc::new(template), ..self.clone() }
    }
}

impl PartialEq for ApplyNode {
    fn eq(&self, other: &Self) -> bool {
        self.outer == other.outer && self.domain == other.domain && self.template == other.template
    }
}

impl Eq for ApplyNode {}

impl Hash for ApplyNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.outer.hash(state);
        self.domain.hash(state);
        self.template.hash(state);
    }
}

impl PartialOrd for ApplyNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.outer.partial_cmp(&other.outer)
    }
}

impl UserDefinedLogicalNodeCore for ApplyNode {
    fn name(&self) -> &str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.domain]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        // Naming every column of the domain keeps it whole and in order.
        self.domain.schema().columns().into_iter().map(Expr::Column).collect()
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.domain.schema().fields().len()).collect()])
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outer: Vec<String> = self.outer.iter().map(ToString::to_string).collect();
        write!(f, "Apply: once for each {}", outer.join(", "))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let domain = inputs.into_iter().next();
        let domain = domain.ok_or_else(|| DataFusionError::Internal("Apply has one input".into()))?;
        Ok(ApplyNode { domain: Arc::new(domain), ..self.clone() })
    }
}

/// The template with values where it refers to outer columns, also inside its subqueries and other Apply nodes.
fn with_values(template: LogicalPlan, values: &HashMap<Column, ScalarValue>) -> DfResult<LogicalPlan> {
    let replaced = template.transform_up_with_subqueries(|plan| {
        if let LogicalPlan::Extension(extension) = &plan
            && let Some(inner) = extension.node.as_any().downcast_ref::<ApplyNode>()
        {
            let node = inner.with_template(with_values(inner.template.as_ref().clone(), values)?);
            return Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })));
        }
        let names = NamePreserver::new(&plan);
        let replaced = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|expr| {
                Ok(match expr {
                    Expr::OuterReferenceColumn(field, column) => match values.get(&column) {
                        Some(value) => Transformed::yes(Expr::Literal(value.clone(), None)),
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    },
                    // The subquery's plan has its values already; here is the list of what it still lacks.
                    Expr::ScalarSubquery(subquery) => Transformed::yes(Expr::ScalarSubquery(still(subquery, values))),
                    Expr::Exists(Exists { subquery, negated }) => {
                        Transformed::yes(Expr::Exists(Exists { subquery: still(subquery, values), negated }))
                    }
                    Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                        let subquery = still(subquery, values);
                        Transformed::yes(Expr::InSubquery(InSubquery { expr, subquery, negated }))
                    }
                    expr => Transformed::no(expr),
                })
            })?;
            Ok(if replaced.transformed { replaced.update_data(|expr| name.restore(expr)) } else { replaced })
        })?;
        if replaced.transformed { replaced.map_data(LogicalPlan::recompute_schema) } else { Ok(replaced) }
    })?;
    Ok(replaced.data)
}

fn still(mut subquery: Subquery, values: &HashMap<Column, ScalarValue>) -> Subquery {
    let given = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(_, column) if values.contains_key(column));
    subquery.outer_ref_columns.retain(|expr| !given(expr));
    subquery
}

/// Plans [`ApplyNode`].
pub(super) struct ApplyPlanner;

#[async_trait]
impl ExtensionPlanner for ApplyPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [domain]) = (node.as_any().downcast_ref::<ApplyNode>(), physical_inputs) else {
            return Ok(None);
        };
        let session = session.as_any().downcast_ref::<SessionState>();
        let session = session.ok_or_else(|| DataFusionError::Internal("Apply needs the session's state".into()))?;
        let run = Run {
            session: session.clone(),
            outer: node.outer.clone(),
            template: Arc::clone(&node.template),
            schema: Arc::new(node.schema.as_arrow().clone()),
        };
        Ok(Some(Arc::new(ApplyExec::new(Arc::clone(domain), Arc::new(run)))))
    }
}

/// What is run for each row.
struct Run {
    session: SessionState,
    outer: Vec<Column>,
    template: Arc<LogicalPlan>,
    schema: SchemaRef,
}

impl Run {
    /// The template's rows for one row of the domain.
    async fn rows(&self, domain: &RecordBatch, row: usize) -> DfResult<Vec<RecordBatch>> {
        let value =
            |(column, array): (&Column, &ArrayRef)| Ok((column.clone(), ScalarValue::try_from_array(array, row)?));
        let values = self.outer.iter().zip(domain.columns()).map(value).collect::<DfResult<HashMap<_, _>>>()?;
        let plan = with_values(self.template.as_ref().clone(), &values)?;
        // Its own subqueries looked at it, which now has no one further out to look at.
        let plan = crate::bind::decorrelated(plan).map_err(to_datafusion)?;
        let plan = self.session.create_physical_plan(&plan).await?;
        let mut batches = execute_stream(plan, self.session.task_ctx())?;
        let mut out = Vec::new();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let owners = UInt32Array::from(vec![u32::try_from(row).unwrap_or(u32::MAX); batch.num_rows()]);
            let own = domain.columns().iter().map(|column| take(column.as_ref(), &owners, None));
            let mut columns = own.collect::<Result<Vec<_>, _>>()?;
            columns.extend(batch.columns().iter().cloned());
            out.push(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        }
        Ok(out)
    }
}

/// Runs the template for the rows of the domain, one after the other.
struct ApplyExec {
    domain: Arc<dyn ExecutionPlan>,
    run: Arc<Run>,
    properties: Arc<PlanProperties>,
}

impl ApplyExec {
    fn new(domain: Arc<dyn ExecutionPlan>, run: Arc<Run>) -> ApplyExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&run.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        ApplyExec { domain, run, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for ApplyExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplyExec")
    }
}

impl DisplayAs for ApplyExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outer: Vec<String> = self.run.outer.iter().map(ToString::to_string).collect();
        write!(f, "ApplyExec: once for each {}", outer.join(", "))
    }
}

impl ExecutionPlan for ApplyExec {
    fn name(&self) -> &str {
        "ApplyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.domain]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let domain = children.pop().ok_or_else(|| DataFusionError::Internal("Apply needs a child".into()))?;
        Ok(Arc::new(ApplyExec::new(domain, Arc::clone(&self.run))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let run = Arc::clone(&self.run);
        let rows = self.domain.execute(partition, context)?.map_ok(move |batch| {
            let run = Arc::clone(&run);
            stream::iter(0..batch.num_rows())
                .then(move |row| {
                    let (run, batch) = (Arc::clone(&run), batch.clone());
                    async move { run.rows(&batch, row).await.map(|batches| stream::iter(batches.into_iter().map(Ok))) }
                })
                .try_flatten()
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.run.schema), rows.try_flatten())))
    }
}
