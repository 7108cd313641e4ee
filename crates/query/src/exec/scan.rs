//! The scan operator: partitions of a shard's scan as streams of batches.
//!
//! The scan is bound to the statement's snapshot when it is planned, so that the plan knows its partitions and an estimate
//! of its rows. Estimates are always inexact: an exact count would be answered without reading.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as DfResult, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, apply_expression_roots};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, Metric, MetricValue, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, RecordBatchStream,
    SendableRecordBatchStream,
};
use futures::Stream;
use heliosdb_contracts::{BatchReader, ColumnPredicate, ROW_REF_COLUMN, ScanRequest, TableScan};
use heliosdb_types::{Error, Oid, PhysicalType, Result, TreeRef};
use parking_lot::Mutex;

use super::cardinality::{Estimate, filtered, looked};
use super::dynamic::{BatchFilter, Snapshot};
use super::error::to_datafusion;
use super::estimate;
use super::first_rows::{FirstRowsOf, Told};
use super::index::{Found, KeyedScan, OrderBy, TableKeys, Wanted, find, first_in_order};
use super::scope::StatementScope;
use super::small_batches::SmallBatches;
use crate::catalog::Relation;
use crate::statistics::index_oid;

/// What is scanned, and how.
#[derive(Clone)]
pub(super) struct ScanSource {
    pub scope: Arc<StatementScope>,
    pub relation: Arc<Relation>,
    /// The table's columns, the row reference last if it is wanted.
    pub schema: SchemaRef,
    /// Positions in `schema`.
    pub projection: Vec<usize>,
    pub predicates: Vec<ColumnPredicate>,
    pub keys: Arc<TableKeys>,
    /// All conditions over bare columns, with those the scan cannot evaluate.
    pub conjuncts: Arc<Vec<Expr>>,
    /// What they say of columns and of values indexes compute; it only chooses an index.
    pub conditions: Vec<ColumnPredicate>,
    /// The filters the scan evaluates, over the table's columns: what its rows are estimated from.
    pub exact: Vec<Arc<dyn PhysicalExpr>>,
    /// The predicates as SQL, for EXPLAIN.
    pub filters: Vec<String>,
    pub limit: Option<usize>,
    pub target_partitions: usize,
    pub batch_rows: usize,
}

impl ScanSource {
    /// The request, and for each output column its position in the shard's batches.
    fn request(&self) -> Result<(ScanRequest, Vec<usize>)> {
        let table = self.relation.table().ok_or_else(|| Error::internal("a scan of no table"))?;
        let columns = &self.relation.columns;
        let stored = self.projection.iter().filter_map(|&at| columns.get(at)).map(|column| column.id);
        let request = ScanRequest {
            tree: table.tree.tree,
            projection: stored.collect(),
            predicates: self.predicates.clone(),
            row_refs: self.projection.iter().any(|&at| at >= columns.len()),
            limit: self.limit,
            target_partitions: self.target_partitions,
            batch_rows: self.batch_rows,
        };
        let mut next = 0;
        let place = |&at: &usize| {
            if at >= columns.len() {
                return request.projection.len();
            }
            next += 1;
            next - 1
        };
        let places = self.projection.iter().map(place).collect();
        Ok((request, places))
    }
}

impl ScanSource {
    /// The table's columns after the exact filters, from what ANALYZE found.
    fn known(&self) -> Option<Estimate> {
        let table = self.relation.table()?;
        table.statistics.as_ref()?;
        let rows = self.scope.shard.tree_size(table.tree.tree).rows as f64;
        let whole = Estimate::of_table(&self.relation, rows, self.schema.fields().len())?;
        Some(filtered(&whole, &self.exact))
    }

    fn wanted<'a>(&'a self, conditions: &'a [ColumnPredicate]) -> Wanted<'a> {
        Wanted {
            relation: &self.relation,
            keys: &self.keys,
            conjuncts: &self.conjuncts,
            conditions,
            snapshot: self.scope.read.snapshot.ts,
        }
    }
}

/// Reads a table through its shard.
pub(crate) struct HeliosScanExec {
    source: ScanSource,
    places: Vec<usize>,
    shared: Arc<Shared>,
    /// Filters other operators will fill in before this scan is read.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    /// The sort above that wants only the first rows by a column.
    first: Option<FirstRowsOf>,
    estimated_rows: u64,
    /// What ANALYZE knows of the rows that are left.
    known: Option<Arc<Estimate>>,
    /// What a look at the rows found, if there are few; looked at when a join wants to know.
    seen: OnceLock<Option<Arc<Estimate>>>,
    /// The index the rows were found through.
    index: Option<String>,
    /// Asked for once per pair of joins, and not free.
    statistics: OnceLock<Arc<Statistics>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// The shard's scan, shared by the partitions.
struct Shared {
    scan: Mutex<Bound>,
    /// What the shard knows of the sort above.
    told: Told,
}

impl Shared {
    fn of(scan: Arc<dyn TableScan>) -> Arc<Shared> {
        let scan = Mutex::new(Bound { scan, started: None, index: None });
        Arc::new(Shared { scan, told: Told::default() })
    }
}

struct Bound {
    scan: Arc<dyn TableScan>,
    /// What dynamic filters left for the batches; `None` until the first partition starts to read.
    started: Option<Started>,
    /// Found when it started.
    index: Option<String>,
}

#[derive(Clone)]
struct Started {
    filters: Vec<Arc<dyn PhysicalExpr>>,
    nothing: bool,
    /// Where its rows are counted.
    index: Option<Oid>,
}

impl HeliosScanExec {
    pub(super) fn open(source: ScanSource) -> Result<HeliosScanExec> {
        let (request, places) = source.request()?;
        let scan = source.scope.shard.scan(&source.scope.read, &request)?;
        let (scan, index) = through_index(&source, &request, scan)?;
        let schema = source.schema.project(&source.projection).map_err(super::error::from_arrow)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(scan.partition_count().max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let known = source.known();
        Ok(HeliosScanExec {
            estimated_rows: match (&index, &known) {
                // The rows of an index were counted, what is left of them was not.
                (Some(_), Some(known)) => scan.estimated_rows().min(known.rows.round() as u64).max(1),
                (Some(_), None) => scan.estimated_rows().max(1),
                (None, Some(known)) => known.rows.round() as u64,
                (None, None) => estimate::rows(&*scan, &source.predicates),
            },
            known: known.map(|known| Arc::new(known.projected(&source.projection))),
            index,
            seen: OnceLock::new(),
            statistics: OnceLock::new(),
            source,
            places,
            shared: Shared::of(scan),
            dynamic: Vec::new(),
            first: None,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The table's column at a place of the output.
    pub(crate) fn column_at(&self, at: usize) -> Option<heliosdb_types::ColumnId> {
        let place = *self.source.projection.get(at)?;
        self.source.relation.columns.get(place).map(|column| column.id)
    }

    /// What an index computes and this expression over the output is.
    pub(crate) fn computed_by(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<heliosdb_types::ColumnId> {
        self.source.keys.planned_target(expr, &self.schema())
    }

    /// The index rows were found through, perhaps only when the scan was read: by what a join's other side has.
    pub(crate) fn index(&self) -> Option<String> {
        self.index.clone().or_else(|| self.shared.scan.lock().index.clone())
    }

    /// The same scan of no more than the first `count` rows in an order, if an index has them.
    pub(crate) fn in_order(&self, order: &[OrderBy], count: usize) -> Result<Option<HeliosScanExec>> {
        let source = &self.source;
        // Filters of operators above only spare work: they can be left away.
        if source.limit.is_some() || self.index.is_some() {
            return Ok(None);
        }
        let wanted = source.wanted(&source.conditions);
        let (request, places) = source.request()?;
        let (shard, context) = (&source.scope.shard, &source.scope.read);
        let total = self.shared.scan.lock().scan.estimated_rows();
        let found = first_in_order(&**shard, context, &wanted, &source.predicates, order, count, total)?;
        let Some(Found { index, keys }) = found else { return Ok(None) };
        let scan = KeyedScan::new(Arc::clone(shard), context, &source.relation, &request, keys)?;
        let scan: Arc<dyn TableScan> = Arc::new(scan);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(self.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Some(HeliosScanExec {
            estimated_rows: scan.estimated_rows().max(1),
            known: self.known.clone(),
            index: Some(index),
            source: source.clone(),
            places,
            shared: Shared::of(scan),
            dynamic: Vec::new(),
            first: None,
            seen: OnceLock::new(),
            statistics: OnceLock::new(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }

    /// Whether it may give fewer columns and the rows' references instead: it gives no references yet, and all rows.
    pub(super) fn can_narrow(&self) -> bool {
        let source = &self.source;
        source.limit.is_none() && self.index.is_none() && source.schema.fields().len() == source.relation.columns.len()
    }

    /// The same scan of some of its columns, with the rows' references last; `None` if its rows are found through an index now.
    /// Filters of operators above are left away: they only spare work.
    pub(super) fn narrowed(&self, columns: &[usize]) -> Result<Option<HeliosScanExec>> {
        let mut source = self.source.clone();
        let mut fields: Vec<_> = source.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(ROW_REF_COLUMN, DataType::BinaryView, false)));
        source.schema = Arc::new(Schema::new(fields));
        let place = |at: &usize| self.source.projection.get(*at).copied();
        let projection = columns.iter().map(place).chain([Some(self.source.relation.columns.len())]);
        source.projection =
            projection.collect::<Option<_>>().ok_or_else(|| Error::internal("a scan gives fewer columns"))?;
        let scan = HeliosScanExec::open(source)?;
        Ok(scan.index.is_none().then_some(scan))
    }

    /// The same scan for a sort that wants the first rows only; `None` if it reads few rows anyway, or the first that come.
    pub(super) fn with_first(&self, first: FirstRowsOf) -> Option<HeliosScanExec> {
        let whole = self.source.limit.is_none() && self.index.is_none();
        whole.then(|| HeliosScanExec { first: Some(first), ..self.again() })
    }

    /// The same scan, not yet read.
    fn again(&self) -> HeliosScanExec {
        HeliosScanExec {
            source: self.source.clone(),
            places: self.places.clone(),
            shared: Arc::clone(&self.shared),
            dynamic: self.dynamic.clone(),
            first: self.first.clone(),
            estimated_rows: self.estimated_rows,
            known: self.known.clone(),
            index: self.index.clone(),
            seen: self.seen.clone(),
            statistics: self.statistics.clone(),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    pub(super) fn tree(&self) -> Result<TreeRef> {
        let table = self.source.relation.table().ok_or_else(|| Error::internal("a scan of no table"))?;
        Ok(table.tree.tree)
    }

    /// The table's column at a place of the output, and how it is kept.
    pub(super) fn stored(&self, at: usize) -> Option<(heliosdb_types::ColumnId, PhysicalType)> {
        let column = self.source.relation.columns.get(*self.source.projection.get(at)?)?;
        Some((column.id, column.sql_type.physical()?))
    }

    pub(crate) fn relation(&self) -> &Relation {
        &self.source.relation
    }

    /// The predicates the scan evaluates, as SQL.
    pub(crate) fn filters(&self) -> &[String] {
        &self.source.filters
    }

    pub(crate) fn limit(&self) -> Option<usize> {
        self.source.limit
    }

    pub(crate) fn estimated_rows(&self) -> u64 {
        self.estimated_rows
    }

    /// What ANALYZE lets know of the rows; `None`: the table was never analyzed.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        let known = self.known.as_ref()?;
        let source = &self.source;
        let look = || looked(known, &source.relation, &source.predicates, &source.projection, &source.scope);
        if source.limit.is_none()
            && let Some(seen) = self.seen.get_or_init(|| look().map(Arc::new))
        {
            return Some((**seen).clone());
        }
        let rows = self.source.limit.map_or(self.estimated_rows, |limit| self.estimated_rows.min(limit as u64));
        self.known.as_ref().map(|known| (**known).clone().with_rows(rows as f64))
    }

    /// Names of the columns read.
    pub(crate) fn columns(&self) -> Vec<String> {
        let names = self.properties.eq_properties.schema().fields().iter().map(|f| f.name().clone());
        names.filter(|name| name != ROW_REF_COLUMN).collect()
    }
}

impl fmt::Debug for HeliosScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeliosScanExec({})", self.source.relation.name)
    }
}

impl DisplayAs for HeliosScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeliosScanExec: table={}, columns=[{}]", self.source.relation.name, self.columns().join(", "))?;
        if !self.source.filters.is_empty() {
            write!(f, ", filters=[{}]", self.source.filters.join(", "))?;
        }
        match self.source.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for HeliosScanExec {
    fn name(&self) -> &str {
        "HeliosScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        apply_expression_roots(&self.dynamic, f)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    /// A recursive query runs the same plan again: it needs a scan that is not used up.
    fn reset_state(self: Arc<Self>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(HeliosScanExec::open(self.source.clone()).map_err(to_datafusion)?))
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        Ok(Box::pin(ScanStream {
            scope: Arc::clone(&self.source.scope),
            opener: Opener {
                source: self.source.clone(),
                shared: Arc::clone(&self.shared),
                dynamic: self.dynamic.clone(),
                first: self.first.clone(),
                schema: self.schema(),
                step: self.properties.partitioning.partition_count().max(1),
                index: self.index.clone(),
            },
            places: self.places.clone(),
            state: State::Closed(partition),
            filter: None,
            small: SmallBatches::default(),
            left: self.source.limit.unwrap_or(usize::MAX),
            read: 0,
            index: None,
            turn: 0,
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut set = self.metrics.clone_inner();
        for (name, value) in self.shared.scan.lock().scan.metrics().counters() {
            let count = Count::new();
            count.add(usize::try_from(value).unwrap_or(usize::MAX));
            set.push(Arc::new(Metric::new(MetricValue::Count { name: name.into(), count }, None)));
        }
        Some(set)
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> DfResult<Arc<Statistics>> {
        let rows = usize::try_from(self.estimated_rows).unwrap_or(usize::MAX);
        let rows = self.source.limit.map_or(rows, |limit| rows.min(limit));
        if args.partition().is_none() {
            let whole = || {
                let scan = Arc::clone(&self.shared.scan.lock().scan);
                Arc::new(estimate::statistics(&*scan, &self.source.relation, &self.schema(), rows))
            };
            return Ok(Arc::clone(self.statistics.get_or_init(whole)));
        }
        let parts = self.properties.partitioning.partition_count().max(1);
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Inexact(rows / parts);
        Ok(Arc::new(statistics))
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut source = self.source.clone();
        source.limit = limit;
        HeliosScanExec::open(source).ok().map(|scan| Arc::new(scan) as Arc<dyn ExecutionPlan>)
    }

    fn fetch(&self) -> Option<usize> {
        self.source.limit
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DfResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters: Vec<_> = result.parent_filters.iter().map(|f| Arc::clone(&f.filter)).collect();
        let answer = FilterPushdownPropagation::all_unsupported(result);
        // Static filters came with the logical plan; what is left of them here the scan cannot evaluate. A limit counts
        // rows before a filter of somebody else's, so a limited scan takes none.
        if phase == FilterPushdownPhase::Pre || filters.is_empty() || self.source.limit.is_some() {
            return Ok(answer);
        }
        let scan = HeliosScanExec { dynamic: filters, ..self.again() };
        Ok(answer.with_updated_node(Arc::new(scan)))
    }
}

/// The scan, or one of the rows an index names if that is cheaper.
fn through_index(
    source: &ScanSource,
    request: &ScanRequest,
    scan: Arc<dyn TableScan>,
) -> Result<(Arc<dyn TableScan>, Option<String>)> {
    let (shard, context) = (&source.scope.shard, &source.scope.read);
    let mut conditions = source.conditions.clone();
    conditions.extend(request.predicates.iter().skip(source.predicates.len()).cloned());
    let found = find(&**shard, context, &source.wanted(&conditions), scan.estimated_rows())?;
    let Some(Found { index, keys }) = found else { return Ok((scan, None)) };
    let keyed = KeyedScan::new(Arc::clone(shard), context, &source.relation, request, keys)?;
    Ok((Arc::new(keyed), Some(index)))
}

/// Opens partitions of the shard's scan when they are first read.
struct Opener {
    source: ScanSource,
    shared: Arc<Shared>,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    first: Option<FirstRowsOf>,
    schema: SchemaRef,
    /// The plan's partitions. A scan bound again may have more or fewer of its own.
    step: usize,
    /// The index the rows were found through when the scan was planned.
    index: Option<String>,
}

impl Opener {
    /// The reader of a partition, if there is such a partition and anything can match.
    fn open(&self, partition: usize) -> Result<Option<(Reader, Started)>> {
        let mut bound = self.shared.scan.lock();
        let started = match &bound.started {
            Some(started) => started.clone(),
            None => {
                let started = self.start(&mut bound)?;
                bound.started = Some(started.clone());
                started
            }
        };
        if started.nothing || partition >= bound.scan.partition_count() {
            return Ok(None);
        }
        let scan = Arc::clone(&bound.scan);
        drop(bound);
        let rows = scan.open(partition)?;
        let narrowed = self.first.is_some().then_some(scan);
        Ok(Some((Reader { rows, narrowed }, started)))
    }

    /// Takes what dynamic filters say now, and scans anew if the shard can use it.
    fn start(&self, bound: &mut Bound) -> Result<Started> {
        let snapshot = Snapshot::take(&self.dynamic, &self.schema, &self.source.relation, &*bound.scan)?;
        if !snapshot.predicates.is_empty() && !snapshot.nothing {
            let (mut request, _) = self.source.request()?;
            request.predicates.extend(snapshot.predicates);
            let scan = self.source.scope.shard.scan(&self.source.scope.read, &request)?;
            // A join with few rows on its other side finds its rows here one by one.
            (bound.scan, bound.index) = through_index(&self.source, &request, scan)?;
        }
        if let Some(first) = &self.first {
            bound.scan.first_by(first.first);
        }
        let index = bound.index.as_ref().or(self.index.as_ref());
        let index = index.and_then(|name| index_oid(&self.source.relation, name));
        let (table, tally) = (self.source.relation.oid, self.source.scope.tier.tally());
        match index {
            Some(index) => tally.found(table, index, 1, 0),
            None => tally.scanned(table, 1, 0),
        }
        Ok(Started { filters: snapshot.rest, nothing: snapshot.nothing, index })
    }
}

/// A partition of the shard's scan.
struct Reader {
    rows: Box<dyn BatchReader>,
    /// The scan, if it is told what is still looked for.
    narrowed: Option<Arc<dyn TableScan>>,
}

impl Reader {
    fn next(&mut self, opener: &Opener) -> Result<Option<RecordBatch>> {
        if let (Some(first), Some(scan)) = (&opener.first, &self.narrowed) {
            first.tell(&**scan, &opener.shared.told)?;
        }
        self.rows.next_batch()
    }
}

/// Batches after which a scan lets others have its thread. What a task wakes while it computes waits on its worker, where no idle one
/// takes it from, until the task gives way: so it does once at the start, when a join has just woken those who waited for its build
/// side, and then now and again.
const TURN: u32 = 16;

enum State {
    /// To be opened: this partition of the shard's scan.
    Closed(usize),
    Open(usize, Reader),
    Done,
}

/// One partition. Reads block on local disk only, so they are made on the analytics threads that poll.
struct ScanStream {
    scope: Arc<StatementScope>,
    opener: Opener,
    places: Vec<usize>,
    state: State,
    filter: Option<BatchFilter>,
    small: SmallBatches,
    /// Rows the limit still allows.
    left: usize,
    /// Rows read, and the index they were found through.
    read: i64,
    index: Option<Oid>,
    /// Batches until others have their turn.
    turn: u32,
    metrics: BaselineMetrics,
}

impl Drop for ScanStream {
    fn drop(&mut self) {
        if self.read == 0 {
            return;
        }
        let (table, tally) = (self.opener.source.relation.oid, self.scope.tier.tally());
        match self.index {
            Some(index) => tally.found(table, index, 0, self.read),
            None => tally.scanned(table, 0, self.read),
        }
    }
}

impl ScanStream {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let timer = self.metrics.elapsed_compute().clone();
        let _timer = timer.timer();
        loop {
            self.scope.cancel.check()?;
            if self.left == 0 {
                self.state = State::Done;
            }
            match &mut self.state {
                State::Done => return self.small.finish(),
                State::Closed(partition) => {
                    let partition = *partition;
                    self.state = State::Done;
                    if let Some((reader, started)) = self.opener.open(partition)? {
                        self.state = State::Open(partition, reader);
                        self.index = started.index;
                        self.filter.get_or_insert_with(|| BatchFilter::new(started.filters));
                    }
                }
                State::Open(partition, reader) => match reader.next(&self.opener)? {
                    None => self.state = State::Closed(*partition + self.opener.step),
                    Some(batch) if batch.num_rows() == 0 => {}
                    Some(batch) => {
                        let batch = if batch.num_rows() > self.left { batch.slice(0, self.left) } else { batch };
                        self.left -= batch.num_rows();
                        self.read += batch.num_rows() as i64;
                        let batch = self.arrange(&batch)?;
                        let batch = match &mut self.filter {
                            Some(filter) => filter.apply(batch)?,
                            None => batch,
                        };
                        if batch.num_rows() == 0 {
                            continue;
                        }
                        // A sort that wants the first rows only is told nothing by rows that wait.
                        let ready = if self.opener.first.is_some() { Some(batch) } else { self.small.push(batch)? };
                        if let Some(batch) = ready {
                            return Ok(Some(batch));
                        }
                    }
                },
            }
        }
    }

    /// The shard's batch under the plan's schema.
    fn arrange(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |&at: &usize| {
            let column = batch.columns().get(at).cloned();
            column.ok_or_else(|| Error::internal(format!("a scan returned {} columns", batch.num_columns())))
        };
        let columns = self.places.iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.opener.schema), columns, &options)
            .map_err(|e| Error::internal(format!("a scan returned another shape than asked for: {e}")))
    }
}

impl Stream for ScanStream {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        if self.turn == 0 {
            self.turn = TURN;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.turn -= 1;
        let next = self.next().map_err(to_datafusion).transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
        }
        self.metrics.record_poll(Poll::Ready(next))
    }
}

impl RecordBatchStream for ScanStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.opener.schema)
    }
}
