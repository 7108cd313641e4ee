//! Making window functions interruptible.
//!
//! A window operator computes a whole partition between two yields, and an aggregate over a moving frame may fold the frame anew
//! for each row. So whoever computes one row looks whether its statement is cancelled ([`check_cancelled`]): the operator has a
//! node above it that says whose work the thread is doing while the operator is polled.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use heliosdb_types::Result;

use super::error::to_datafusion;
use super::scope::{CancelFlag, StatementScope};

thread_local! {
    /// The statement whose window this thread computes.
    static WORKING_FOR: RefCell<Option<CancelFlag>> = const { RefCell::new(None) };
}

/// 57014 if the statement whose window this thread computes is cancelled.
pub(crate) fn check_cancelled() -> Result<()> {
    WORKING_FOR.with_borrow(|flag| flag.as_ref().map_or(Ok(()), CancelFlag::check))
}

const WINDOWS: [&str; 2] = ["WindowAggExec", "BoundedWindowAggExec"];

/// Puts the node above window operators.
#[derive(Debug)]
pub(super) struct WatchWindows;

impl PhysicalOptimizerRule for WatchWindows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wrap = |plan: Arc<dyn ExecutionPlan>| {
            if WINDOWS.contains(&plan.name()) {
                return Ok(Transformed::yes(Arc::new(WatchedExec { input: plan }) as Arc<dyn ExecutionPlan>));
            }
            Ok(Transformed::no(plan))
        };
        plan.transform_up(wrap).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "watch_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Its input, polled in the statement's name.
#[derive(Debug)]
struct WatchedExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for WatchedExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedExec")
    }
}

impl ExecutionPlan for WatchedExec {
    fn name(&self) -> &str {
        WATCHED
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
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
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("a watched window needs a child".into()))?;
        Ok(Arc::new(WatchedExec { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let scope = StatementScope::of(context.session_config()).map_err(to_datafusion)?;
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Watched { input, cancel: scope.cancel.clone() }))
    }
}

/// How EXPLAIN knows the node, to leave it out.
pub(super) const WATCHED: &str = "WatchedExec";

struct Watched {
    input: SendableRecordBatchStream,
    cancel: CancelFlag,
}

impl Stream for Watched {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        // Windows over windows: the outer one goes on when the inner one has been polled.
        let before = WORKING_FOR.replace(Some(self.cancel.clone()));
        let polled = self.input.poll_next_unpin(context);
        WORKING_FOR.set(before);
        polled
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
