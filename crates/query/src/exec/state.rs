//! The executor: one DataFusion session as a template, copied for every statement; memory and spill space shared by all.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::{ConfigNonZeroUsize, SpillCompression};
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result as DfResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use heliosdb_runtime::{Clock, Disk, Spawner};
use heliosdb_types::Result;

use super::admission::{Admission, QueryQueue};
use super::again::READ_AGAIN;
use super::apply::ApplyPlanner;
use super::cardinality::informed;
use super::error::{from_datafusion, to_datafusion};
use super::first_rows::FIRST_ROWS;
use super::group_numbers::{GroupNumbersPlanner, number_groups};
use super::index::FirstByIndex;
use super::interrupt::{CHECKED_CONDITIONS, INTERRUPTIBLE};
use super::late_rows::{LATE_ROWS_RULE, LateColumnsPlanner, read_late};
use super::lock_rows::LockRowsPlanner;
use super::memory::{Memory, QueryMemory};
use super::merge_runs::MERGE_RUNS_RULE;
use super::order_repair::{self, ALL_ORDERED_GROUPS};
use super::recheck::SlotPlanner;
use super::row_write::RowWritePlanner;
use super::rows::RowsPlanner;
use super::run_aggregate::AGGREGATE_RUNS;
use super::scope::StatementScope;
use super::shared_rows::SharedPlanner;
use super::slices::SLICE;
use super::spill::{SPILL_JOINS, SpillFiles};
use super::together::PUT_TOGETHER;
use super::unasked_parts::UnaskedParts;
use super::whole_keys::WHOLE_KEYS;
use super::windows::BUDGET_WINDOWS;
use super::{filter_guard, filter_names, null_keys};

/// Rows of a batch: large enough to amortise an operator's overhead, small enough to stay in the caches.
const BATCH_ROWS: usize = 8192;
/// Joins on integers use an array of four bytes a value up to this many values, however few of them there are,
pub(super) const ARRAY_JOIN_RANGE: usize = 1 << 20;
/// and beyond it if so many of them are there.
pub(super) const ARRAY_JOIN_DENSITY: f64 = 0.01;
/// A join's smaller side up to this size is read into one table that all threads ask: dividing both sides among the threads
/// by their keys costs more than building that table alone, and what is known of a divided side is worth less to scans.
const BUILD_ROWS: usize = 1 << 22;
const BUILD_BYTES: usize = 256 << 20;
/// A sort keeps this much back for merging what it has written to files,
const MERGE_BYTES: usize = 10 << 20;
/// but all sorts of a step no more than such a part of the memory there is: with 20 MB two would have it all before their first row.
const MERGE_PART: usize = 4;
/// With less memory than this batches are smaller, since merging takes one of each file,
const WHOLE_BATCHES_BYTES: usize = 64 << 20;
/// and with less than this a plan is not divided: each part's merge takes all that the others leave, and nothing is left to bring the
/// parts together.
const DIVIDED_BYTES: usize = 64 << 20;

/// How statements run.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// Where they run: the analytics pool, so that a scan never starves commits.
    pub spawner: Spawner,
    /// Partitions of a plan; the pool's threads.
    pub threads: usize,
    /// What operators of all statements may hold together; beyond it they spill or fail with 53200.
    pub memory_bytes: usize,
    /// How many may compute at once.
    pub queries_max: usize,
    pub clock: Arc<dyn Clock>,
    /// The directory for what does not fit: nothing else is there, nothing survives.
    pub spill: Arc<dyn Disk>,
}

/// Runs bound plans.
pub struct Executor {
    pub(super) template: SessionState,
    pub(crate) spawner: Spawner,
    pub(super) memory: Arc<Memory>,
    spill: SpillFiles,
    pub(super) admission: Arc<Admission>,
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executor")
    }
}

impl Executor {
    pub fn new(options: ExecutorOptions) -> Result<Executor> {
        let memory = Arc::new(Memory::new(options.memory_bytes));
        let admission = Admission::new(options.queries_max, Arc::clone(&memory), options.clock);
        let spill = SpillFiles::new(options.spill);
        let disk = spill.clone().manager();
        // Each statement has a pool of its own; this one is of those that plan and run nothing.
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory.statement(None)).with_disk_manager_builder(disk);
        let runtime = runtime.build_arc().map_err(from_datafusion)?;
        // All of DataFusion's logical and physical rules stay on: each is a no-op unless its pattern is there, and the
        // order between them is tested upstream as a whole. Ours come after them, or before the last one, which only checks.
        let mut config = config(options.threads);
        fit(&mut config, options.memory_bytes);
        let template = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_query_planner(Arc::new(Planner))
            .with_optimizer_rules(null_keys::guarded(filter_guard::rules()))
            .with_physical_optimizer_rules(informed(filter_names::guarded(order_repair::rules())))
            .with_physical_optimizer_rule(Arc::new(FirstByIndex))
            .with_physical_optimizer_rule(Arc::new(LATE_ROWS_RULE))
            .with_physical_optimizer_rule(Arc::new(FIRST_ROWS))
            .with_physical_optimizer_rule(Arc::new(UnaskedParts))
            .with_physical_optimizer_rule(Arc::new(WHOLE_KEYS))
            .with_physical_optimizer_rule(Arc::new(MERGE_RUNS_RULE))
            .with_physical_optimizer_rule(Arc::new(AGGREGATE_RUNS))
            .with_physical_optimizer_rule(Arc::new(CHECKED_CONDITIONS))
            .with_physical_optimizer_rule(Arc::new(SPILL_JOINS))
            .with_physical_optimizer_rule(Arc::new(READ_AGAIN))
            .with_physical_optimizer_rule(Arc::new(BUDGET_WINDOWS))
            .with_physical_optimizer_rule(Arc::new(PUT_TOGETHER))
            .with_physical_optimizer_rule(Arc::new(SLICE))
            .with_physical_optimizer_rule(Arc::new(INTERRUPTIBLE))
            .with_physical_optimizer_rule(Arc::new(ALL_ORDERED_GROUPS))
            .build();
        Ok(Executor { template, spawner: options.spawner, memory, spill, admission })
    }

    /// A session for one statement, with memory and files of its own.
    pub(super) fn session(&self, scope: Arc<StatementScope>) -> SessionState {
        let template = self.template.runtime_env();
        // It fails only where it makes folders, which this one does not.
        let files = self.spill.of_statement(scope.cancel.clone()).manager().build();
        let runtime = RuntimeEnv {
            memory_pool: self.memory.statement(scope.memory_bytes),
            disk_manager: files.map_or_else(|_| Arc::clone(&template.disk_manager), Arc::new),
            ..template.as_ref().clone()
        };
        let mut state = SessionStateBuilder::new_from_existing(self.template.clone())
            .with_session_id(self.template.session_id().to_owned())
            .with_runtime_env(Arc::new(runtime))
            .build();
        if let Some(bytes) = scope.memory_bytes {
            fit(state.config_mut(), bytes);
        }
        state.config_mut().set_extension(scope);
        state
    }

    pub fn queue(&self) -> QueryQueue {
        self.admission.queue()
    }

    pub fn memory_in_use(&self) -> QueryMemory {
        self.memory.in_use()
    }

    /// Memory of the budget that statements share, for what is kept outside of operators.
    pub(crate) fn memory(&self, consumer: &str) -> MemoryReservation {
        MemoryConsumer::new(consumer).register(&self.template.runtime_env().memory_pool)
    }
}

fn config(threads: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads.max(1))
        .with_batch_size(BATCH_ROWS)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = config.options_mut();
    // Planning is a small part of a statement; two tasks at once cost more than they save.
    options.execution.planning_concurrency = 1;
    // A source of one partition stays in its order: shuffling its batches between cores would mix the rows of
    // generate_series, and tables are read in partitions of their own.
    options.optimizer.enable_round_robin_repartition = false;
    // `x IS FALSE` becomes a comparison whose nullability is that of `x`; the check would make that an internal error.
    options.execution.skip_physical_aggregate_schema_check = true;
    // A join on an integer whose values lie within a million, or not farther apart than this, is an array and not a hash
    // table: a look-up is one load, near the one before where the other side comes in the order of the key.
    options.execution.perfect_hash_join_small_build_threshold = ARRAY_JOIN_RANGE;
    options.execution.perfect_hash_join_min_key_density = ARRAY_JOIN_DENSITY;
    options.optimizer.hash_join_single_partition_threshold_rows = BUILD_ROWS;
    options.optimizer.hash_join_single_partition_threshold = BUILD_BYTES;
    // Files are not ours to list or measure here.
    options.execution.collect_statistics = false;
    options.execution.sort_spill_reservation_bytes = MERGE_BYTES;
    // Of what spills, a half at little cost.
    options.execution.spill_compression = SpillCompression::Lz4Frame;
    seal_each_spilled_batch(&mut config);
    config
}

/// Has the steps of a plan do with so much memory, if that is less than they do with.
fn fit(config: &mut SessionConfig, memory_bytes: usize) {
    if memory_bytes < DIVIDED_BYTES && config.target_partitions() > 1 {
        *config = std::mem::take(config).with_target_partitions(1);
    }
    let kept = MERGE_BYTES.min(memory_bytes / MERGE_PART / config.target_partitions().max(1));
    let rows = BATCH_ROWS.min((BATCH_ROWS as f64 * memory_bytes as f64 / WHOLE_BATCHES_BYTES as f64) as usize).max(128);
    let options = &config.options().execution;
    // Changing an option copies them all.
    if kept < options.sort_spill_reservation_bytes || rows < config.batch_size() {
        config.options_mut().execution.sort_spill_reservation_bytes = kept;
        *config = std::mem::take(config).with_batch_size(rows);
    }
}

/// Exchanges write each batch that they spill to a file of its own.
///
/// Two inputs that spill at once have two files open. The reader takes them in turn and would wait for more of the first
/// while what it needs is in the second, and both inputs wait for the reader: nothing ever moves
/// (apache/datafusion#24883). A file that is closed as soon as it has a batch is never waited for.
pub(super) fn seal_each_spilled_batch(config: &mut SessionConfig) {
    let one = ConfigNonZeroUsize::try_new(1).expect("not zero");
    config.options_mut().execution.max_spill_file_size_bytes = one;
}

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![
            Arc::new(RowWritePlanner),
            Arc::new(LockRowsPlanner),
            Arc::new(RowsPlanner),
            Arc::new(ApplyPlanner),
            Arc::new(SlotPlanner),
            Arc::new(SharedPlanner),
            Arc::new(LateColumnsPlanner),
            Arc::new(GroupNumbersPlanner),
        ]);
        // The rules are about groups.
        if !plan.exists(|node| Ok(matches!(node, LogicalPlan::Aggregate(_))))? {
            return planner.create_physical_plan(plan, session).await;
        }
        planner.create_physical_plan(&fitted(plan.clone(), session)?, session).await
    }
}

/// An optimised plan after the rules that ask how large tables are.
fn fitted(plan: LogicalPlan, session: &dyn Session) -> DfResult<LogicalPlan> {
    let Some(state) = session.as_any().downcast_ref::<SessionState>() else { return Ok(plan) };
    let scope = StatementScope::of(state.config()).map_err(to_datafusion)?;
    let fitted = read_late(plan, &scope)?.transform_data(|plan| number_groups(plan, &scope))?;
    if !fitted.transformed {
        return Ok(fitted.data);
    }
    // What nobody looks at any more is not read.
    Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]).optimize(fitted.data, state, |_, _| {})
}
