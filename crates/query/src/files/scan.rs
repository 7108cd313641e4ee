//! The scan operator of files: their parts, shared out among partitions, as streams of batches.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as DfResult, Statistics};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, RecordBatchStream,
    SendableRecordBatchStream,
};
use futures::Stream;
use heliosdb_files::{Form, ParquetRows};
use heliosdb_types::Result;

use super::source::{FileSource, Unit};
use super::text_rows::TextRows;
use crate::exec::{from_arrow, to_datafusion};

/// Reads files.
pub(crate) struct FileScanExec {
    source: Arc<FileSource>,
    files: Vec<String>,
    /// For each partition what it reads, in order.
    units: Vec<Arc<[(Unit, u64)]>>,
    skipped: usize,
    rows: u64,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FileScanExec {
    pub(super) fn open(
        source: FileSource,
        schema: &SchemaRef,
        files: &[String],
        partitions: usize,
    ) -> Result<FileScanExec> {
        let found = source.units(files)?;
        source.scope.tier.progress().plan(found.units.iter().map(|(_, bytes)| bytes).sum());
        let schema = Arc::new(schema.project(&source.projection).map_err(from_arrow)?);
        let partitions = partitions.clamp(1, found.units.len().max(1));
        let mut units: Vec<Vec<(Unit, u64)>> = vec![Vec::new(); partitions];
        // In turn, so that each partition gets early and late parts of the files, and all end at about the same time.
        for (at, unit) in found.units.into_iter().enumerate() {
            if let Some(part) = units.get_mut(at % partitions) {
                part.push(unit);
            }
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(FileScanExec {
            source: Arc::new(source),
            files: files.to_vec(),
            units: units.into_iter().map(Arc::from).collect(),
            skipped: found.skipped,
            rows: found.rows,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// `Parquet Scan on trips`
    pub(crate) fn title(&self) -> String {
        format!("{} Scan on {}", self.source.request.form.name(), self.source.name)
    }

    pub(crate) fn table(&self) -> &str {
        &self.source.name
    }

    /// What EXPLAIN says of it.
    pub(crate) fn details(&self) -> Vec<String> {
        let mut details = vec![match self.files.as_slice() {
            [one] => format!("File: {one}"),
            files => format!("Files: {} of {}", files.len(), self.source.request.pattern),
        }];
        details.push(format!("Columns: {}", self.columns().join(", ")));
        if !self.source.filters.is_empty() {
            details.push(format!("Filter: {}", self.source.filters.join(" AND ")));
        }
        if self.source.request.form == Form::Parquet {
            let groups: usize = self.units.iter().map(|units| units.len()).sum();
            details.push(format!("Row Groups: {groups} to read, {} skipped", self.skipped));
        }
        details
    }

    pub(crate) fn estimated_rows(&self) -> u64 {
        self.rows
    }

    fn columns(&self) -> Vec<String> {
        self.schema().fields().iter().map(|field| field.name().clone()).collect()
    }
}

impl fmt::Debug for FileScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileScanExec({})", self.source.request.pattern)
    }
}

impl DisplayAs for FileScanExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileScanExec: {}", self.details().join(", "))
    }
}

impl ExecutionPlan for FileScanExec {
    fn name(&self) -> &str {
        "FileScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        Ok(Box::pin(FileStream {
            source: Arc::clone(&self.source),
            schema: self.schema(),
            units: self.units.get(partition).cloned().unwrap_or_default(),
            next: 0,
            current: (0, 0),
            state: State::Between,
            left: self.source.limit.unwrap_or(usize::MAX),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> DfResult<Arc<Statistics>> {
        let parts = if args.partition().is_none() { 1 } else { self.units.len().max(1) };
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX) / parts;
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Inexact(self.source.limit.map_or(rows, |limit| rows.min(limit)));
        Ok(Arc::new(statistics))
    }
}

enum State {
    Between,
    Parquet(Box<ParquetRows>),
    Text(Box<TextRows>),
    Done,
}

/// One partition. Reads block on local disk only, so they are made on the analytics threads that poll.
struct FileStream {
    source: Arc<FileSource>,
    schema: SchemaRef,
    units: Arc<[(Unit, u64)]>,
    /// The unit to be opened next.
    next: usize,
    /// Bytes and rows of the unit that is read.
    current: (u64, u64),
    state: State,
    /// Rows the limit still allows.
    left: usize,
    metrics: BaselineMetrics,
}

impl FileStream {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let timer = self.metrics.elapsed_compute().clone();
        let _timer = timer.timer();
        loop {
            self.source.scope.cancel.check()?;
            let batch = match &mut self.state {
                State::Done => return Ok(None),
                _ if self.left == 0 => return Ok(None),
                State::Between => {
                    self.state = match self.units.get(self.next) {
                        None => State::Done,
                        Some((unit, bytes)) => {
                            self.current = (*bytes, 0);
                            open(&self.source, unit, &self.schema)?
                        }
                    };
                    self.next += 1;
                    continue;
                }
                State::Parquet(rows) => rows.next_batch()?,
                State::Text(rows) => rows.next_batch()?,
            };
            self.note(batch.as_ref().map(RecordBatch::num_rows));
            match batch {
                None => self.state = State::Between,
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    let batch = if batch.num_rows() > self.left { batch.slice(0, self.left) } else { batch };
                    self.left -= batch.num_rows();
                    return Ok(Some(batch));
                }
            }
        }
    }
}

impl FileStream {
    /// Counts what was read of a unit: what is still to come of it when it ends. A group's rows stand for its bytes.
    fn note(&mut self, rows: Option<usize>) {
        let (left, before) = self.current;
        let bytes = match (rows, &self.state, self.units.get(self.next.wrapping_sub(1))) {
            (None, ..) => left,
            (Some(rows), _, Some((Unit::Group { table, group }, all))) => {
                let part = u128::from(*all) * rows as u128 / u128::from(table.group_rows(*group).max(1));
                u64::try_from(part).unwrap_or(u64::MAX)
            }
            (Some(_), State::Text(rows), _) => {
                let consumed = rows.consumed();
                self.current.1 = consumed;
                consumed.saturating_sub(before)
            }
            _ => 0,
        };
        let bytes = bytes.min(left);
        self.current.0 -= bytes;
        self.source.scope.tier.progress().read(bytes, rows.unwrap_or(0) as u64);
    }
}

fn open(source: &Arc<FileSource>, unit: &Unit, schema: &SchemaRef) -> Result<State> {
    Ok(match unit {
        Unit::Group { table, group } => {
            let context = Arc::clone(&source.scope.text);
            State::Parquet(Box::new(table.read(*group, &source.projection, source.batch_rows, context)?))
        }
        Unit::Text { path } => State::Text(Box::new(TextRows::open(source, path, schema)?)),
    })
}

impl Stream for FileStream {
    type Item = DfResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<DfResult<RecordBatch>>> {
        let next = self.next().map_err(to_datafusion).transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
        }
        self.metrics.record_poll(Poll::Ready(next))
    }
}

impl RecordBatchStream for FileStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
