//! Numbers of groups in a logical plan.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, Result as DfResult};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::step::{Number, Spell, WithMore};
use crate::exec::above::Above;
use crate::exec::error::to_datafusion;
use crate::exec::scope::StatementScope;

/// Distinguishes numberings of one statement.
static NUMBERINGS: AtomicU64 = AtomicU64::new(0);

/// Numbers for the combinations of some values of a table's rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Numbering {
    id: u64,
    /// Over the table's columns.
    keys: Vec<Expr>,
}

impl Numbering {
    pub fn new(keys: Vec<Expr>) -> Numbering {
        Numbering { id: NUMBERINGS.fetch_add(1, atomic::Ordering::Relaxed), keys }
    }

    /// The column with the number, where the rows are the table's.
    pub fn column(&self) -> Column {
        Column::from_name(format!("__group_{}", self.id))
    }
}

/// Rows with the number of their values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NumberNode {
    input: Arc<LogicalPlan>,
    numbering: Numbering,
    schema: DFSchemaRef,
}

impl NumberNode {
    pub fn over(input: Arc<LogicalPlan>, numbering: Numbering) -> DfResult<NumberNode> {
        let number = Arc::new(Field::new(numbering.column().name, DataType::Int32, false));
        let number = DFSchema::new_with_metadata(vec![(None, number)], Default::default())?;
        let schema = Arc::new(input.schema().join(&number)?);
        Ok(NumberNode { input, numbering, schema })
    }
}

impl PartialOrd for NumberNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for NumberNode {
    fn name(&self) -> &str {
        "NumberGroups"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.numbering.keys.clone()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.numbering.column().name])
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|at| *at < width).collect()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NumberGroups")
    }

    fn with_exprs_and_inputs(&self, keys: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let input = inputs.into_iter().next().ok_or_else(|| DataFusionError::Internal("numbers of no rows".into()))?;
        NumberNode::over(Arc::new(input), Numbering { id: self.numbering.id, keys })
    }
}

/// Rows with the values that a number stands for.
#[derive(Clone, Debug)]
pub(super) struct SpellNode {
    input: LogicalPlan,
    number: Column,
    numbering: u64,
    /// The input's columns and the values.
    schema: DFSchemaRef,
}

impl SpellNode {
    /// `names` are the columns of the values.
    pub fn over(input: LogicalPlan, number: Column, of: &Numbering, names: &DFSchema) -> DfResult<LogicalPlan> {
        let schema = Arc::new(input.schema().join(names)?);
        let node = SpellNode { input, number, numbering: of.id, schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

impl PartialEq for SpellNode {
    fn eq(&self, other: &Self) -> bool {
        self.numbering == other.numbering && self.schema == other.schema && self.input == other.input
    }
}

impl Eq for SpellNode {}

impl Hash for SpellNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbering.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for SpellNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SpellNode {
    fn name(&self) -> &str {
        "SpellGroups"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpellGroups")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let input = inputs.into_iter().next().ok_or_else(|| DataFusionError::Internal("no groups to spell".into()))?;
        Ok(SpellNode { input, ..self.clone() })
    }
}

/// Plans both.
pub(in crate::exec) struct GroupNumbersPlanner;

#[async_trait]
impl ExtensionPlanner for GroupNumbersPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let ([logical], [input]) = (logical_inputs, physical_inputs) else { return Ok(None) };
        let scope = StatementScope::of(session.config()).map_err(to_datafusion)?;
        let numbers = |of: u64| scope.parts.group_numbers().of(of, &session.runtime_env().memory_pool);
        if let Some(node) = node.as_any().downcast_ref::<NumberNode>() {
            let physical = |key: &Expr| planner.create_physical_expr(key, logical.schema(), session, context);
            let keys = node.numbering.keys.iter().map(physical).collect::<DfResult<_>>()?;
            let number = Arc::new(Number { numbers: numbers(node.numbering.id), keys });
            let step = WithMore::new(number, Arc::clone(node.schema.inner()));
            return Ok(Some(Arc::new(Above::new(step, Arc::clone(input)))));
        }
        let Some(node) = node.as_any().downcast_ref::<SpellNode>() else { return Ok(None) };
        let number = logical.schema().index_of_column(&node.number)?;
        let spell = Arc::new(Spell { numbers: numbers(node.numbering), number });
        let step = WithMore::new(spell, Arc::clone(node.schema.inner()));
        Ok(Some(Arc::new(Above::new(step, Arc::clone(input)))))
    }
}
