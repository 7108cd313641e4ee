//! Hash joins whose smaller side may be larger than memory.
//!
//! The build side is read first. If memory holds it, the join of DataFusion gets its rows and does everything; this is how nearly
//! all joins go, at the price of passing batches on. If not, both sides are divided into files by the hash of their keys, and the
//! files of each number are joined by themselves, divided again if need be. A row finds all of its matches in the file of its own
//! number, so each of these joins is whole, whatever its type, and their results one after the other are the join's.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::apply_expression_roots;
use datafusion::physical_plan::joins::{HashJoinExec, HashJoinExecBuilder, PartitionMode};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, Statistics, StatisticsArgs,
};
use futures::future::{BoxFuture, Shared, try_join_all};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::super::each_node::EachNode;
use super::super::packed_keys::packed;
use super::divide::{Divider, Files, PARTS, PartFile};
use super::handover::{Given, Handover};

/// How EXPLAIN knows the node.
pub(in crate::exec) const SPILL_JOIN: &str = "SpillJoinExec";
/// What a row costs in a join's hash table, beside itself: its hash, its number and the next row, in a table half empty.
const TABLE_BYTES: usize = 64;
/// How often rows are divided. Rows still too many for memory then have one key.
const LEVELS: u64 = 4;

/// Lets hash joins spill.
pub(in crate::exec) const SPILL_JOINS: EachNode = EachNode::new("spill_joins", spilling);

fn spilling(plan: &Arc<dyn ExecutionPlan>) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
    // NOT IN must know of all rows whether one is NULL.
    Ok(match plan.downcast_ref::<HashJoinExec>() {
        Some(join) if !join.null_aware => Some(Arc::new(SpillJoinExec::new(join, 0)?)),
        _ => None,
    })
}

/// A hash join that divides its rows when memory does not hold them.
#[derive(Debug)]
struct SpillJoinExec {
    /// The join over `left` and `right`, which pass the sides on.
    join: Arc<HashJoinExec>,
    sides: Arc<Sides>,
    /// How often the rows have been divided already.
    level: u64,
    metrics: ExecutionPlanMetricsSet,
    /// For each build that is made: one for all, or one a partition.
    builds: Mutex<Vec<Option<Build>>>,
}

/// The hash join that a step is when memory holds its rows.
pub(in crate::exec) fn as_hash_join(plan: &dyn ExecutionPlan) -> Option<&HashJoinExec> {
    plan.downcast_ref::<SpillJoinExec>().map(|spill| &*spill.join)
}

#[derive(Debug)]
struct Sides {
    build: Arc<dyn ExecutionPlan>,
    probe: Arc<dyn ExecutionPlan>,
    left: Arc<Handover>,
    right: Arc<Handover>,
}

/// Both sides in files, by part: of the probe side one for each of its partitions.
type Parts = Arc<Vec<(PartFile, Vec<PartFile>)>>;
/// How a build ended, for all who wait for it.
type Build = Shared<BoxFuture<'static, Result<Built, Arc<DataFusionError>>>>;

#[derive(Clone)]
enum Built {
    /// Its rows are in memory and handed over to this join.
    Whole(Arc<HashJoinExec>),
    Divided(Parts),
}

impl SpillJoinExec {
    fn new(join: &HashJoinExec, level: u64) -> DfResult<SpillJoinExec> {
        let (build, probe) = (Arc::clone(join.left()), Arc::clone(join.right()));
        let left = Arc::new(Handover::new(Arc::clone(&build)));
        let right = Arc::new(Handover::new(Arc::clone(&probe)));
        let join = HashJoinExecBuilder::from(join)
            .with_new_children(vec![Arc::clone(&left) as _, Arc::clone(&right) as _])?
            .build()?;
        let builds = build.output_partitioning().partition_count();
        Ok(SpillJoinExec {
            join: Arc::new(join),
            sides: Arc::new(Sides { build, probe, left, right }),
            level,
            metrics: ExecutionPlanMetricsSet::new(),
            builds: Mutex::new(vec![None; builds]),
        })
    }

    /// The build that a partition waits for, begun by whoever asks first.
    fn build(&self, number: usize, context: &Arc<TaskContext>) -> DfResult<Build> {
        let mut builds = self.builds.lock();
        let Some(slot) = builds.get_mut(number) else {
            return Err(DataFusionError::Internal(format!("a join has no build {number}")));
        };
        if let Some(build) = slot {
            return Ok(build.clone());
        }
        let (sides, context) = (Arc::clone(&self.sides), Arc::clone(context));
        // The probe partitions that are joined with this build.
        let partitions = match self.join.partition_mode() {
            PartitionMode::CollectLeft => (0..self.sides.probe.output_partitioning().partition_count()).collect(),
            _ => vec![number],
        };
        let (left_keys, right_keys) = self.join.on().iter().cloned().unzip();
        let read = Read {
            join: Arc::clone(&self.join),
            number,
            partitions,
            left_keys,
            right_keys,
            left_files: Files::new(&context, self.sides.build.schema(), &self.metrics),
            right_files: Files::new(&context, self.sides.probe.schema(), &self.metrics),
            level: self.level,
            memory: MemoryConsumer::new("HashJoinBuild").with_can_spill(true).register(context.memory_pool()),
        };
        let build: Build = read.run(sides, context).map_err(Arc::new).boxed().shared();
        *slot = Some(build.clone());
        Ok(build)
    }
}

/// What reading a build side needs.
struct Read {
    join: Arc<HashJoinExec>,
    number: usize,
    partitions: Vec<usize>,
    left_keys: Vec<Arc<dyn PhysicalExpr>>,
    right_keys: Vec<Arc<dyn PhysicalExpr>>,
    left_files: Files,
    right_files: Files,
    level: u64,
    memory: MemoryReservation,
}

impl Read {
    async fn run(self, sides: Arc<Sides>, context: Arc<TaskContext>) -> DfResult<Built> {
        let mut rows = sides.build.execute(self.number, Arc::clone(&context))?;
        let mut batches = Vec::new();
        let mut counter = RecordBatchMemoryCounter::new();
        let divided = loop {
            let Some(batch) = rows.next().await.transpose()? else { break None };
            let bytes = counter.count_batch(&batch) + batch.num_rows() * TABLE_BYTES;
            batches.push(batch);
            if self.memory.try_grow(bytes).is_err() {
                let mut divider = Divider::new(self.left_keys, self.level, &self.left_files)?;
                for batch in batches.drain(..) {
                    divider.push(&batch)?;
                }
                self.memory.free();
                while let Some(batch) = rows.next().await.transpose()? {
                    divider.push(&batch)?;
                }
                break Some(divider.finish()?);
            }
        };
        let Some(left) = divided else {
            let join = held(&self.join, &batches, &self.memory)?;
            sides.left.give(self.number, Given::Rows(batches, self.memory));
            return Ok(Built::Whole(join));
        };
        let probes = self.partitions.iter().map(async |partition| {
            let mut divider = Divider::new(self.right_keys.clone(), self.level, &self.right_files)?;
            let mut rows = sides.probe.execute(*partition, Arc::clone(&context))?;
            while let Some(batch) = rows.next().await.transpose()? {
                divider.push(&batch)?;
            }
            divider.finish()
        });
        let mut right: Vec<Vec<PartFile>> = vec![Vec::new(); PARTS];
        for files in try_join_all(probes).await? {
            for (part, file) in right.iter_mut().zip(files) {
                part.push(file);
            }
        }
        Ok(Built::Divided(Arc::new(left.into_iter().zip(right).collect())))
    }
}

/// The join that these rows, which are all of the build side's and held by `memory`, are handed over to.
fn held(join: &Arc<HashJoinExec>, rows: &[RecordBatch], memory: &MemoryReservation) -> DfResult<Arc<HashJoinExec>> {
    let Some(packed) = packed(join, rows)? else { return Ok(Arc::clone(join)) };
    // An array may take more than was asked for with the rows.
    let counted = rows.iter().map(RecordBatch::num_rows).sum::<usize>() * TABLE_BYTES;
    let fits = memory.try_grow(packed.array_bytes.saturating_sub(counted)).is_ok();
    Ok(if fits { Arc::new(packed.join) } else { Arc::clone(join) })
}

/// What a partition's rows are made with; its stream outlives the plan's borrow.
struct Output {
    join: Arc<HashJoinExec>,
    sides: Arc<Sides>,
    level: u64,
    metrics: ExecutionPlanMetricsSet,
    context: Arc<TaskContext>,
}

/// A partition without its build yet. Dropped so, as by a join above whose own partition has no rows, it is not waited for either.
struct Unbuilt {
    output: Option<Output>,
    partition: usize,
}

impl Drop for Unbuilt {
    fn drop(&mut self) {
        if let Some(output) = self.output.take()
            && let Err(error) = output.builds_nothing(self.partition)
        {
            tracing::error!(%error, "other partitions of a join may wait for one that was dropped");
        }
    }
}

impl Output {
    /// The partition builds nothing, which filters for the probe side need not wait for. Where all partitions share a build there is
    /// nobody to tell: see [`UnaskedParts`](crate::exec::unasked_parts).
    fn builds_nothing(&self, partition: usize) -> DfResult<()> {
        if *self.join.partition_mode() == PartitionMode::Partitioned {
            self.sides.left.give(partition, Given::Nothing);
            self.sides.right.give(partition, Given::Nothing);
            drop(self.join.execute(partition, Arc::clone(&self.context))?);
        }
        Ok(())
    }

    /// The join of one part.
    fn part(&self, left: PartFile, right: Vec<PartFile>) -> DfResult<SendableRecordBatchStream> {
        let rows = |side: &Arc<dyn ExecutionPlan>, files| -> Arc<dyn ExecutionPlan> {
            Arc::new(Handover::of(Files::new(&self.context, side.schema(), &self.metrics).read(files)))
        };
        let join = HashJoinExecBuilder::from(self.join.as_ref())
            .reset_state()
            .with_partition_mode(PartitionMode::Partitioned)
            .with_new_children(vec![rows(&self.sides.build, vec![left]), rows(&self.sides.probe, right)])?
            .recompute_properties()
            .build()?;
        if self.level + 1 >= LEVELS {
            return join.execute(0, Arc::clone(&self.context));
        }
        let mut join = SpillJoinExec::new(&join, self.level + 1)?;
        join.metrics = self.metrics.clone();
        join.execute(0, Arc::clone(&self.context))
    }

    /// The joins of parts, one after the other.
    fn parts(self, parts: Vec<(PartFile, Vec<PartFile>)>) -> DfResult<SendableRecordBatchStream> {
        let (join, metrics, context) = (Arc::clone(&self.join), self.metrics.clone(), Arc::clone(&self.context));
        let rows = stream::iter(parts).map(move |(left, right)| self.part(left, right)).try_flatten();
        let mut rows: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(join.schema(), rows));
        if let Some(order) = join.properties().output_ordering() {
            // Whoever is above was promised it.
            rows = SortExec::new(order.clone(), Arc::new(Handover::of(rows))).execute(0, context)?;
        }
        if let Some(fetch) = join.fetch() {
            rows = Box::pin(LimitStream::new(rows, 0, Some(fetch), BaselineMetrics::new(&metrics, 0)));
        }
        Ok(rows)
    }
}

impl DisplayAs for SpillJoinExec {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.fmt_as(t, f)
    }
}

impl ExecutionPlan for SpillJoinExec {
    fn name(&self) -> &str {
        SPILL_JOIN
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.sides.build, &self.sides.probe]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        apply_expression_roots(self.join.on().iter().flat_map(|(left, right)| [left, right]), f)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let join = HashJoinExecBuilder::from(self.join.as_ref()).with_new_children(children)?.build()?;
        Ok(Arc::new(SpillJoinExec::new(&join, self.level)?))
    }

    fn reset_state(self: Arc<Self>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let children = vec![Arc::clone(&self.sides.build), Arc::clone(&self.sides.probe)];
        let join = HashJoinExecBuilder::from(self.join.as_ref()).with_new_children(children)?.reset_state().build()?;
        Ok(Arc::new(SpillJoinExec::new(&join, self.level)?))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let shared = *self.join.partition_mode() == PartitionMode::CollectLeft;
        let build = self.build(if shared { 0 } else { partition }, &context)?;
        let output = Output {
            join: Arc::clone(&self.join),
            sides: Arc::clone(&self.sides),
            level: self.level,
            metrics: self.metrics.clone(),
            context: Arc::clone(&context),
        };
        let outputs = if shared { self.sides.probe.output_partitioning().partition_count() } else { 1 };
        let first = if shared { partition } else { 0 };
        let mut unbuilt = Unbuilt { output: Some(output), partition };
        let rows = async move {
            let built = build.await.map_err(DataFusionError::Shared)?;
            let Some(output) = unbuilt.output.take() else {
                return Err(DataFusionError::Internal("a part of a join is built twice".to_owned()));
            };
            match built {
                Built::Whole(join) => join.execute(partition, context),
                Built::Divided(parts) => {
                    output.builds_nothing(partition)?;
                    output.parts(parts.iter().skip(first).step_by(outputs).cloned().collect())
                }
            }
        };
        let rows = rows.try_flatten_stream();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.join.metrics().unwrap_or_default();
        self.metrics.clone_inner().iter().for_each(|metric| all.push(Arc::clone(metric)));
        Some(all)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> DfResult<Arc<Statistics>> {
        self.join.statistics_from_inputs(inputs, args)
    }
}

#[cfg(test)]
#[path = "join_test.rs"]
mod tests;
