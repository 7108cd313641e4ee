//! A child whose rows somebody else may have read already, or means to read.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::EmptyRecordBatchStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::Stream;
use parking_lot::Mutex;

/// Passes its child on, a partition at a time, unless it has been given something in its place.
#[derive(Debug)]
pub(in crate::exec) struct Handover {
    input: Arc<dyn ExecutionPlan>,
    given: Mutex<Vec<Option<Given>>>,
}

/// What stands for a partition.
pub(in crate::exec) enum Given {
    /// Rows read before, and the memory they take.
    Rows(Vec<RecordBatch>, MemoryReservation),
    /// What comes out of this.
    Stream(SendableRecordBatchStream),
    Nothing,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Given::Rows(..) => "Rows",
            Given::Stream(_) => "Stream",
            Given::Nothing => "Nothing",
        })
    }
}

impl Handover {
    pub fn new(input: Arc<dyn ExecutionPlan>) -> Handover {
        let partitions = input.output_partitioning().partition_count();
        Handover { input, given: Mutex::new((0..partitions).map(|_| None).collect()) }
    }

    /// One partition, with the rows of a stream, for one reader.
    pub fn of(rows: SendableRecordBatchStream) -> Handover {
        let leaf = Handover::new(Arc::new(EmptyExec::new(rows.schema())));
        leaf.give(0, Given::Stream(rows));
        leaf
    }

    /// What the partition's next (and only) reader gets.
    pub fn give(&self, partition: usize, given: Given) {
        if let Some(slot) = self.given.lock().get_mut(partition) {
            *slot = Some(given);
        }
    }
}

impl DisplayAs for Handover {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover")
    }
}

impl ExecutionPlan for Handover {
    fn name(&self) -> &str {
        "Handover"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("a handover needs a child".into()))?;
        Ok(Arc::new(Handover::new(input)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let given = self.given.lock().get_mut(partition).and_then(Option::take);
        match given {
            None => self.input.execute(partition, context),
            Some(Given::Nothing) => Ok(Box::pin(EmptyRecordBatchStream::new(self.schema()))),
            Some(Given::Stream(stream)) => Ok(stream),
            Some(Given::Rows(rows, memory)) => {
                let held = memory.size() / rows.len().max(1);
                Ok(Box::pin(Replay { schema: self.schema(), rows: rows.into_iter(), memory, held }))
            }
        }
    }
}

/// Rows read before. Their memory goes back as they go on, because their reader asks for it anew.
struct Replay {
    schema: SchemaRef,
    rows: std::vec::IntoIter<RecordBatch>,
    memory: MemoryReservation,
    /// Bytes to give back with each batch.
    held: usize,
}

impl Stream for Replay {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let next = self.rows.next();
        let bytes = if next.is_some() { self.held.min(self.memory.size()) } else { self.memory.size() };
        self.memory.shrink(bytes);
        Poll::Ready(next.map(Ok))
    }
}

impl RecordBatchStream for Replay {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
