//! A step polled in its statement's name.
//!
//! Whoever computes for the step, on this thread and while it is polled, learns from [`check_cancelled`] whether to go on.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use heliosdb_types::Result;

use crate::exec::error::to_datafusion;
use crate::exec::scope::{CancelFlag, StatementScope};

thread_local! {
    /// The statement this thread computes for.
    static WORKING_FOR: RefCell<Option<CancelFlag>> = const { RefCell::new(None) };
}

/// 57014 if the statement this thread computes for is cancelled.
pub(crate) fn check_cancelled() -> Result<()> {
    WORKING_FOR.with_borrow(|flag| flag.as_ref().map_or(Ok(()), CancelFlag::check))
}

/// Its input, polled in the statement's name.
#[derive(Debug)]
pub(super) struct WatchedExec {
    input: Arc<dyn ExecutionPlan>,
}

impl WatchedExec {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> WatchedExec {
        WatchedExec { input }
    }
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
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("a watched step needs a child".into()))?;
        Ok(Arc::new(WatchedExec { input }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let scope = StatementScope::of(context.session_config()).map_err(to_datafusion)?;
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Watched { input, cancel: scope.cancel.clone() }))
    }
}

/// How EXPLAIN knows the node, to leave it out.
pub(in crate::exec) const WATCHED: &str = "WatchedExec";

struct Watched {
    input: SendableRecordBatchStream,
    cancel: CancelFlag,
}

impl Stream for Watched {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        if let Err(cancelled) = self.cancel.check() {
            return Poll::Ready(Some(Err(to_datafusion(cancelled))));
        }
        // Steps over steps: the outer one goes on when the inner one has been polled.
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
