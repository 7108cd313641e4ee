//! A step polled in its statement's name.
//!
//! Whoever computes for the step, on this thread and while it is polled, learns from [`check_cancelled`] whether to go on.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::error::Result as DfResult;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use futures::{Stream, StreamExt};
use heliosdb_types::Result;

use crate::exec::above::Step;
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
pub(super) struct Watch;

impl Step for Watch {
    const NAME: &'static str = WATCHED;

    fn anew(&self) -> Watch {
        Watch
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let scope = StatementScope::of(context.session_config()).map_err(to_datafusion)?;
        let input = input.execute(partition, context)?;
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
