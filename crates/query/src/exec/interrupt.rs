//! What goes over joins: they are interruptible, and their batches are worth their price.
//!
//! A statement is cancelled where its task yields. DataFusion lets leaves and exchanges yield, which is not enough for a
//! join: between two batches of its inputs it may produce thousands, all dropped by the filter above. So joins yield too.
//!
//! A cross join gives a batch for each row of one side and batch of the other, of which a sort above would merge each as a run of its
//! own: of 200,000 batches of 20 rows it held 11 GB that nobody had counted. So they are put together first.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result as DfResult;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
#[expect(deprecated, reason = "operators coalesce by themselves now, but cross joins do not")]
use datafusion::physical_plan::coalesce_batches::CoalesceBatchesExec;
use datafusion::physical_plan::coop::CooperativeExec;

use super::spill::SPILL_JOIN;

const CROSS_JOIN: &str = "CrossJoinExec";
const JOINS: [&str; 6] =
    [CROSS_JOIN, "HashJoinExec", "NestedLoopJoinExec", "PiecewiseMergeJoin", "SortMergeJoinExec", SPILL_JOIN];

#[derive(Debug)]
pub(super) struct YieldAboveJoins;

/// A plan whose batches have so many rows.
#[expect(deprecated, reason = "operators coalesce by themselves now, but cross joins do not")]
fn together(plan: Arc<dyn ExecutionPlan>, rows: usize) -> Arc<dyn ExecutionPlan> {
    Arc::new(CoalesceBatchesExec::new(plan, rows))
}

impl PhysicalOptimizerRule for YieldAboveJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wrap = |mut plan: Arc<dyn ExecutionPlan>| {
            if JOINS.contains(&plan.name()) {
                if plan.name() == CROSS_JOIN {
                    plan = together(plan, config.execution.batch_size.get());
                }
                return Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>));
            }
            Ok(Transformed::no(plan))
        };
        plan.transform_up(wrap).map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "yield_above_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int32Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::TaskContext;
    use datafusion::physical_plan::collect;
    use datafusion::physical_plan::joins::CrossJoinExec;

    use super::*;

    fn numbers(name: &str, rows: i32) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new(name, DataType::Int32, false)]));
        let values = Arc::new(Int32Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
        MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap()
    }

    #[test]
    fn a_cross_join_gives_few_batches() {
        let join = Arc::new(CrossJoinExec::new(numbers("a", 1_000), numbers("b", 3)));
        let plan = YieldAboveJoins.optimize(join, &ConfigOptions::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let batches = runtime.block_on(collect(plan, Arc::new(TaskContext::default()))).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3_000);
        assert!(batches.len() <= 2, "{} batches", batches.len());
    }
}
