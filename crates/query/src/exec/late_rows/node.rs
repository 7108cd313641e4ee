//! Columns that are read late, in a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema, DFSchemaRef, DataFusionError, Result as DfResult};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use heliosdb_types::{ColumnId, PhysicalType, TreeRef};

use super::read::{LateRowsExec, Read, RowOf};

/// Rows with more columns of a table's row, whose primary key they have.
#[derive(Clone, Debug)]
pub(super) struct LateColumns {
    input: LogicalPlan,
    tree: TreeRef,
    /// The input's columns with the primary key, in the key's order.
    key: Vec<(Column, PhysicalType)>,
    columns: Vec<(ColumnId, PhysicalType)>,
    /// The input's columns and those.
    schema: DFSchemaRef,
}

impl LateColumns {
    /// `more` are the columns that are added, as they are to be called.
    pub fn over(
        input: LogicalPlan,
        tree: TreeRef,
        key: Vec<(Column, PhysicalType)>,
        columns: Vec<(ColumnId, PhysicalType)>,
        more: &DFSchema,
    ) -> DfResult<LogicalPlan> {
        let schema = Arc::new(input.schema().join(more)?);
        let node = LateColumns { input, tree, key, columns, schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }
}

impl PartialEq for LateColumns {
    fn eq(&self, other: &Self) -> bool {
        self.tree == other.tree && self.key == other.key && self.columns == other.columns && self.input == other.input
    }
}

impl Eq for LateColumns {}

impl Hash for LateColumns {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.key.iter().for_each(|(column, _)| column.hash(state));
        self.columns.iter().for_each(|(column, _)| column.hash(state));
    }
}

impl PartialOrd for LateColumns {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for LateColumns {
    fn name(&self) -> &str {
        "LateColumns"
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
        write!(f, "LateColumns: {}", self.columns.len())
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let input =
            inputs.into_iter().next().ok_or_else(|| DataFusionError::Internal("late columns of no rows".into()))?;
        Ok(LateColumns { input, ..self.clone() })
    }
}

/// Plans [`LateColumns`].
pub(in crate::exec) struct LateColumnsPlanner;

#[async_trait]
impl ExtensionPlanner for LateColumnsPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [logical], [input]) =
            (node.as_any().downcast_ref::<LateColumns>(), logical_inputs, physical_inputs)
        else {
            return Ok(None);
        };
        let place =
            |(column, physical): &(Column, PhysicalType)| Ok((logical.schema().index_of_column(column)?, *physical));
        let key = node.key.iter().map(place).collect::<DfResult<Vec<_>>>()?;
        let (columns, types) = node.columns.iter().copied().unzip();
        let read = Read { tree: node.tree, columns, types };
        Ok(Some(Arc::new(LateRowsExec::after(Arc::clone(input), RowOf::Key(key), read, node.schema.inner()))))
    }
}
