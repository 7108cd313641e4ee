//! Rows that a statement computes once and reads several times: WITH queries that are named more than once.
//!
//! Each place that names such a query has a plan of it below a [`SharedNode`] with the query's number. Nothing is pushed through
//! the node (`filter_guard` sees to conditions without columns), so the plans are alike, and whichever is asked first runs: its rows go to the statement's scope under the number,
//! where the others find them. So `random()` is asked once, as in PostgreSQL, and an expensive aggregate is made once.

mod read;
mod rows;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, DataFusionError, Result as DfResult};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use self::read::ReadShared;
pub(super) use self::read::SHARED;
pub(crate) use self::rows::SharedRows;
use super::above::Above;
use super::apply::ApplyNode;

/// Distinguishes queries of one statement; views bring their own.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// A query whose rows several places of a statement read.
#[derive(Clone, Debug)]
pub struct SharedNode {
    number: u64,
    input: LogicalPlan,
}

impl SharedNode {
    /// The query, for every place that names it.
    pub fn share(input: LogicalPlan) -> LogicalPlan {
        let number = NUMBERS.fetch_add(1, atomic::Ordering::Relaxed);
        LogicalPlan::Extension(Extension { node: Arc::new(SharedNode { number, input }) })
    }

    fn of(plan: &LogicalPlan) -> Option<&SharedNode> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

/// A plan in which only one place reads a query no longer shares it.
pub(crate) fn settle_shared(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let mut places = HashMap::new();
    count(&plan, &mut places)?;
    if places.values().all(|places| *places > 1) {
        return Ok(plan);
    }
    let settled = plan.transform_down_with_subqueries(|node| {
        Ok(match SharedNode::of(&node) {
            Some(shared) if places.get(&shared.number) == Some(&1) => Transformed::yes(shared.input.clone()),
            _ => Transformed::no(node),
        })
    });
    settled.map(|settled| settled.data)
}

/// How many places read each shared query.
fn count(plan: &LogicalPlan, places: &mut HashMap<u64, usize>) -> DfResult<()> {
    plan.apply_with_subqueries(|node| {
        if let Some(shared) = SharedNode::of(node) {
            *places.entry(shared.number).or_default() += 1;
        }
        if let LogicalPlan::Extension(extension) = node
            && let Some(apply) = extension.node.as_any().downcast_ref::<ApplyNode>()
        {
            // It runs once for each row it is asked for. That is in no child of the node.
            count(apply.template(), places)?;
            count(apply.template(), places)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

impl PartialEq for SharedNode {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && self.input == other.input
    }
}

impl Eq for SharedNode {}

impl Hash for SharedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for SharedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.number.partial_cmp(&other.number)
    }
}

impl UserDefinedLogicalNodeCore for SharedNode {
    fn name(&self) -> &str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let input =
            inputs.into_iter().next().ok_or_else(|| DataFusionError::Internal("Shared has one input".into()))?;
        Ok(SharedNode { number: self.number, input })
    }
}

/// Plans [`SharedNode`].
pub(super) struct SharedPlanner;

#[async_trait]
impl ExtensionPlanner for SharedPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [input]) = (node.as_any().downcast_ref::<SharedNode>(), physical_inputs) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Above::new(ReadShared::new(node.number), Arc::clone(input)))))
    }
}
