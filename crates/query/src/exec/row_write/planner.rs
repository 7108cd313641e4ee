//! From the logical node to the operator: physical expressions over the child's columns.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as DfResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::conflict::ConflictSpec;
use super::exec::RowWriteExec;
use super::merge::MergeSpec;
use super::node::{RowWriteNode, RowWriteOp};
use super::spec::WriteSpec;
use crate::exec::error::to_datafusion;
use crate::exec::index::IndexSpec;
use crate::exec::recheck::Rechecker;
use crate::exec::rows::RowsNode;
use crate::exec::scope::StatementScope;

/// Plans [`RowWriteNode`].
pub(crate) struct RowWritePlanner;

#[async_trait]
impl ExtensionPlanner for RowWritePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<RowWriteNode>(), physical_inputs) else {
            return Ok(None);
        };
        let physical = |expr: &Expr, schema: &DFSchema| planner.create_physical_expr(expr, schema, session, context);
        let state = session.as_any().downcast_ref::<SessionState>();
        let mut spec = plan_write(node, input.schema(), state, physical)?;
        if let Some(spec) = Arc::get_mut(&mut spec) {
            spec.recheck = Rechecker::new(node.recheck.as_ref(), session);
        }
        let scope = StatementScope::of(session.config()).map_err(to_datafusion)?;
        Ok(Some(Arc::new(RowWriteExec::new(spec, Arc::clone(input), scope))))
    }
}

/// A node with physical expressions, however they are made.
pub(crate) fn plan_write(
    node: &RowWriteNode,
    input: SchemaRef,
    session: Option<&SessionState>,
    physical: impl Fn(&Expr, &DFSchema) -> DfResult<Arc<dyn PhysicalExpr>>,
) -> DfResult<Arc<WriteSpec>> {
    let over_input = |expr: &Expr| physical(expr, node.input.schema());
    let spec = WriteSpec::new(node, input).map_err(to_datafusion)?;
    let table = DFSchema::try_from(Arc::clone(&spec.table_schema))?;
    let mut checks = Vec::with_capacity(node.checks.len());
    for (name, condition) in &node.checks {
        checks.push((name.clone(), physical(condition, &table)?));
    }
    let mut generated = Vec::with_capacity(node.generated.len());
    for (at, value) in &node.generated {
        generated.push((*at, physical(value, &table)?));
    }
    // PostgreSQL checks constraints in the order of their names.
    checks.sort_by(|a, b| a.0.cmp(&b.0));
    let of = node.table.table();
    let of = of.ok_or_else(|| to_datafusion(heliosdb_types::Error::internal("a write to no table")))?;
    let indexes = node.indexes.iter().map(|index| IndexSpec::plan(index, of, &table, &physical));
    let indexes = indexes.collect::<DfResult<Vec<_>>>()?;
    let conflict =
        node.conflict.as_ref().map(|conflict| ConflictSpec::plan(conflict, &spec.referable, session, &physical));
    let merge = MergeSpec::plan(&node.merge, &spec, over_input)?;
    Ok(Arc::new(WriteSpec {
        merge,
        conflict: conflict.transpose()?,
        indexes: indexes.into(),
        predicate: node.predicate.as_ref().map(over_input).transpose()?,
        new_row: node.new_row.iter().map(over_input).collect::<DfResult<Vec<_>>>()?,
        checks,
        generated,
        targets_repeat: node.op == RowWriteOp::Merge || joins(&node.input)?,
        ..spec
    }))
}

/// Whether a target row may come more than once: only a join repeats rows.
fn joins(plan: &LogicalPlan) -> DfResult<bool> {
    let mut found = false;
    plan.apply(|node| {
        found |= match node {
            LogicalPlan::Join(_) | LogicalPlan::Unnest(_) | LogicalPlan::Union(_) => true,
            LogicalPlan::Extension(extension) => extension.node.as_any().is::<RowsNode>(),
            _ => false,
        };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}
