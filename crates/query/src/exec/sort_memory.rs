//! What sorts hold, for EXPLAIN ANALYZE: they count it against the budget, and nowhere else.
//!
//! Each sort of a plan that is explained gets a pool of memory that passes everything on and remembers the most its sort had at once.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, Gauge, MetricBuilder, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use parking_lot::Mutex;

use super::above::{Above, Step};

/// How EXPLAIN knows the node.
pub(super) const SORT_MEMORY: &str = "SortMemoryExec";

/// Puts a node above each sort.
pub(super) fn measured(plan: Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    let above = |plan: Arc<dyn ExecutionPlan>| {
        Ok(match plan.is::<SortExec>() {
            true => Transformed::yes(Arc::new(Above::new(Measure::default(), plan)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(plan),
        })
    };
    plan.transform_up(above).map(|transformed| transformed.data)
}

#[derive(Debug, Default)]
struct Measure {
    metrics: ExecutionPlanMetricsSet,
}

impl Step for Measure {
    const NAME: &'static str = SORT_MEMORY;

    fn anew(&self) -> Measure {
        Measure::default()
    }

    fn execute(
        &self,
        input: &Arc<dyn ExecutionPlan>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let given = context.memory_pool();
        // What lies below a sort has that sort's pool.
        let below = given.downcast_ref::<SortPool>();
        let all = Arc::clone(below.map_or(given, |pool| &pool.all));
        let most = MetricBuilder::new(&self.metrics).gauge("peak_mem_used", partition);
        let pool: Arc<dyn MemoryPool> = Arc::new(SortPool { all, held: Mutex::new(0), most });
        let runtime = RuntimeEnv { memory_pool: pool, ..context.runtime_env().as_ref().clone() };
        let context = TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            Arc::new(runtime),
        );
        input.execute(partition, Arc::new(context))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The statement's pool, with what one sort has of it.
#[derive(Debug)]
struct SortPool {
    all: Arc<dyn MemoryPool>,
    held: Mutex<usize>,
    most: Gauge,
}

impl SortPool {
    fn taken(&self, consumer: &MemoryConsumer, bytes: usize) {
        if is_of_sort(consumer) {
            let mut held = self.held.lock();
            *held += bytes;
            self.most.set_max(*held);
        }
    }
}

/// Other steps below the sort take memory here, too.
fn is_of_sort(consumer: &MemoryConsumer) -> bool {
    ["ExternalSorter", "TopK"].iter().any(|name| consumer.name().starts_with(name))
}

impl MemoryPool for SortPool {
    fn name(&self) -> &str {
        self.all.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.grow(reservation, additional);
        self.taken(reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.all.shrink(reservation, shrink);
        if is_of_sort(reservation.consumer()) {
            let mut held = self.held.lock();
            *held = held.saturating_sub(shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DfResult<()> {
        self.all.try_grow(reservation, additional)?;
        self.taken(reservation.consumer(), additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.all.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.all.memory_limit()
    }
}

impl fmt::Display for SortPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}
