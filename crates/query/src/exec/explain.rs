//! EXPLAIN: the physical plan as an indented tree, with ANALYZE what every operator did.
//!
//! Estimates are shown as rows only: there is no cost model to quote. Times are the operator's own, summed over its
//! partitions, so on several threads they may add up to more than the statement took.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::metrics::{MetricsSet, Time};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, execute_stream};
use futures::StreamExt;
use heliosdb_types::{Datum, Result, SqlType};

use super::again::AGAIN;
use super::cardinality::{address, walk};
use super::direct::Direct;
use super::error::from_datafusion;
use super::grouping_sets::REGROUPED;
use super::instantiate::instantiate;
use super::interrupt::WATCHED;
use super::join_order;
use super::lock_rows::LockRowsExec;
use super::outer_constants::VARYING;
use super::parts::{WritePart, as_given};
use super::row_write::{RowWriteExec, RowWriteOp};
use super::run_aggregate::RUN_AGGREGATE;
use super::scan::HeliosScanExec;
use super::scope::StatementScope;
use super::shared_rows::SHARED;
use super::slices::SLICES;
use super::sort_memory::{self, SORT_MEMORY};
use super::spill::SPILL_JOIN;
use super::state::Executor;
use super::together::TOGETHER;
use super::windows::{COUNTED_WINDOWS, WHOLE_WINDOWS};
use crate::files::FileScanExec;

/// What EXPLAIN was asked to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExplainOptions {
    /// Run the statement (its writes included) and show what happened.
    pub analyze: bool,
    /// Columns read by scans and every counter of every operator.
    pub verbose: bool,
    /// Estimated rows.
    pub costs: bool,
    /// Times; only with `analyze`.
    pub timing: bool,
    /// What scans read; only with `analyze`.
    pub buffers: bool,
    /// Planning and execution time; `None`: with `analyze`.
    pub summary: Option<bool>,
    pub format: ExplainFormat,
}

/// How the plan is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainFormat {
    #[default]
    Text,
    Json,
    Yaml,
}

impl Default for ExplainOptions {
    fn default() -> ExplainOptions {
        ExplainOptions {
            analyze: false,
            verbose: false,
            costs: true,
            timing: true,
            buffers: true,
            summary: None,
            format: ExplainFormat::Text,
        }
    }
}

impl Executor {
    /// The lines of the `QUERY PLAN` column.
    pub async fn explain(
        &self,
        statement: &LogicalPlan,
        parts: &[WritePart],
        parameters: Vec<Datum>,
        types: &[SqlType],
        scope: Arc<StatementScope>,
        options: ExplainOptions,
    ) -> Result<Vec<String>> {
        let session = self.session(Arc::clone(&scope));
        let admission = Arc::clone(&self.admission);
        let (statement, types, parts) = (statement.clone(), types.to_vec(), parts.to_vec());
        let work = self.spawner.task(async move {
            let (planning, running) = (Time::new(), Time::new());
            let explained =
                Explained { session: &session, scope: &scope, parameters: &parameters, types: &types, options };
            let mut with = Vec::with_capacity(parts.len());
            for part in parts.iter().filter(|part| !part.late) {
                with.push(explained.part(part).await?);
            }
            let mut timer = planning.timer();
            let statement = instantiate(&statement, &parameters, &types, scope.now_micros)?;
            let tier = match Direct::compile_or_why(&statement, &session)? {
                Ok(_) => Tier::Direct,
                Err(why) => Tier::Analytical(why),
            };
            let statement = join_order::reorder(statement, &scope).map_err(from_datafusion)?;
            let plan = explained.plan(&statement).await?;
            timer.stop();
            if options.analyze {
                let _seat = admission.seat(&plan, &scope).await?;
                let _timer = running.timer();
                explained.drain(&plan, |_| Ok(())).await?;
            }
            for part in parts.iter().filter(|part| part.late) {
                with.push(explained.part(part).await?);
            }
            let summary = options.summary.unwrap_or(options.analyze);
            let mut shown = node(&plan, options, &estimates(&plan, options));
            shown.children.extend(with);
            let report = Report {
                plan: shown,
                tier,
                planning_ms: summary.then(|| planning.value() as f64 / 1e6),
                execution_ms: (summary && options.analyze).then(|| running.value() as f64 / 1e6),
            };
            Ok(match options.format {
                ExplainFormat::Text => text_lines(&report, options),
                ExplainFormat::Json => vec![super::explain_format::json(&report)],
                ExplainFormat::Yaml => vec![super::explain_format::yaml(&report)],
            })
        });
        work.await?
    }
}

/// How the plans of one EXPLAIN are made and run.
struct Explained<'a> {
    session: &'a SessionState,
    scope: &'a Arc<StatementScope>,
    parameters: &'a [Datum],
    types: &'a [SqlType],
    options: ExplainOptions,
}

impl Explained<'_> {
    async fn plan(&self, statement: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.session.create_physical_plan(statement).await.map_err(from_datafusion)?;
        if self.options.analyze { sort_memory::measured(plan).map_err(from_datafusion) } else { Ok(plan) }
    }

    /// A data-modifying WITH query, run if the statement is.
    async fn part(&self, part: &WritePart) -> Result<Node> {
        let statement = instantiate(&part.plan, self.parameters, self.types, self.scope.now_micros)?;
        let statement = join_order::reorder(statement, self.scope).map_err(from_datafusion)?;
        let plan = self.plan(&statement).await?;
        if self.options.analyze {
            let mut given = Vec::new();
            let take = |batch: &RecordBatch| {
                given.extend(part.schema.as_ref().map(|schema| as_given(batch, schema)).transpose()?);
                Ok(())
            };
            self.drain(&plan, take).await?;
            self.scope.parts.give(part.number, given, None);
        }
        let child = node(&plan, self.options, &estimates(&plan, self.options));
        Ok(Node { title: format!("CTE {}", part.name), children: vec![child], ..Node::default() })
    }

    /// Runs a plan to its end.
    async fn drain(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        mut take: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut batches = execute_stream(Arc::clone(plan), self.session.task_ctx()).map_err(from_datafusion)?;
        let drain = async {
            while let Some(batch) = batches.next().await {
                take(&batch.map_err(from_datafusion)?)?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            () = self.scope.cancel.cancelled() => Err(self.scope.cancel.error()),
            outcome = drain => outcome,
        }
    }
}

/// Where a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// On the session's own task, without the optimiser.
    Direct,
    /// On the analytics threads, and why.
    Analytical(&'static str),
}

/// A plan with what is known of it.
pub(super) struct Report {
    pub plan: Node,
    pub tier: Tier,
    pub planning_ms: Option<f64>,
    pub execution_ms: Option<f64>,
}

/// One operator.
#[derive(Default)]
pub(super) struct Node {
    pub title: String,
    pub relation: Option<String>,
    pub details: Vec<String>,
    pub estimated_rows: Option<u64>,
    pub rows: Option<usize>,
    pub time_ms: Option<f64>,
    pub counters: Vec<String>,
    pub children: Vec<Node>,
}

/// Estimated rows of the steps over tables that were analyzed.
fn estimates(plan: &Arc<dyn ExecutionPlan>, options: ExplainOptions) -> HashMap<usize, f64> {
    let mut estimates = HashMap::new();
    if options.costs {
        walk(plan, &mut estimates);
    }
    estimates
}

fn node(plan: &Arc<dyn ExecutionPlan>, options: ExplainOptions, estimates: &HashMap<usize, f64>) -> Node {
    // Bookkeeping of DataFusion's scheduler, not a step of the plan.
    if matches!(plan.name(), "CooperativeExec" | AGAIN | REGROUPED | SLICES | VARYING | TOGETHER | WATCHED)
        && let [child] = plan.children().as_slice()
    {
        return node(child, options, estimates);
    }
    if plan.name() == SORT_MEMORY
        && let [child] = plan.children().as_slice()
    {
        let mut sort = node(child, options, estimates);
        sort.counters.splice(0..0, plan.metrics().and_then(|metrics| memory(&metrics, options)));
        return sort;
    }
    let metrics = plan.metrics().map(|metrics| metrics.aggregate_by_name()).filter(|_| options.analyze);
    let (title, details) = describe(plan, options);
    let scan = plan.downcast_ref::<HeliosScanExec>();
    let write = plan.downcast_ref::<RowWriteExec>();
    let file = plan.downcast_ref::<FileScanExec>();
    Node {
        relation: scan
            .map(|scan| scan.relation().name.clone())
            .or_else(|| write.map(|write| write.table().to_owned()))
            .or_else(|| file.map(|file| file.table().to_owned())),
        title,
        details,
        estimated_rows: scan
            .map(|scan| scan.estimated_rows())
            .or_else(|| file.map(|file| file.estimated_rows()))
            .or_else(|| estimates.get(&address(plan)).map(|rows| rows.round() as u64))
            .filter(|_| options.costs),
        rows: metrics.as_ref().and_then(MetricsSet::output_rows),
        time_ms: metrics
            .as_ref()
            .and_then(MetricsSet::elapsed_compute)
            .filter(|_| options.timing)
            .map(|nanos| nanos as f64 / 1e6),
        counters: metrics.as_ref().map(|metrics| counters(plan, metrics, options)).unwrap_or_default(),
        children: plan.children().into_iter().map(|child| node(child, options, estimates)).collect(),
    }
}

fn text_lines(report: &Report, options: ExplainOptions) -> Vec<String> {
    let mut lines = Vec::new();
    render(&report.plan, 0, &mut lines);
    if options.verbose || options.analyze {
        // With ANALYZE too the plan shown is the one that ran, on the analytics threads.
        lines.push(match report.tier {
            Tier::Direct => "Tier: direct (without EXPLAIN it runs on the session's own task)".to_owned(),
            Tier::Analytical(why) => format!("Tier: analytical ({why})"),
        });
    }
    lines.extend(report.planning_ms.map(|ms| format!("Planning Time: {ms:.3} ms")));
    lines.extend(report.execution_ms.map(|ms| format!("Execution Time: {ms:.3} ms")));
    lines
}

fn render(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let indent = if depth == 0 { String::new() } else { " ".repeat(depth * 6 - 4) };
    let arrow = if depth == 0 { "" } else { "->  " };
    let mut figures = String::new();
    if let Some(rows) = node.estimated_rows {
        figures.push_str(&format!("  (rows={rows})"));
    }
    if node.rows.is_some() || node.time_ms.is_some() {
        let time = node.time_ms.map(|ms| format!(" time=0.000..{ms:.3}")).unwrap_or_default();
        let rows = node.rows.unwrap_or(0);
        figures.push_str(&format!("  (actual{time} rows={rows} loops=1)"));
    }
    lines.push(format!("{indent}{arrow}{}{figures}", node.title));
    let under = " ".repeat(if depth == 0 { 2 } else { depth * 6 + 2 });
    lines.extend(node.details.iter().chain(&node.counters).map(|detail| format!("{under}{detail}")));
    node.children.iter().for_each(|child| render(child, depth + 1, lines));
}

/// An operator's name, and lines about it.
fn describe(plan: &Arc<dyn ExecutionPlan>, options: ExplainOptions) -> (String, Vec<String>) {
    if let Some(scan) = plan.downcast_ref::<HeliosScanExec>() {
        let mut details = Vec::new();
        if options.verbose {
            details.push(format!("Columns: {}", scan.columns().join(", ")));
        }
        if !scan.filters().is_empty() {
            details.push(format!("Filter: {}", scan.filters().join(" AND ")));
        }
        details.extend(scan.limit().map(|limit| format!("Limit: {limit}")));
        let title = match scan.index() {
            Some(index) => format!("Index Scan using {index} on {}", scan.relation().name),
            None => format!("Seq Scan on {}", scan.relation().name),
        };
        return (title, details);
    }
    if let Some(scan) = plan.downcast_ref::<FileScanExec>() {
        return (scan.title(), scan.details());
    }
    if let Some(write) = plan.downcast_ref::<RowWriteExec>() {
        let verb = match write.op() {
            RowWriteOp::Insert => "Insert",
            RowWriteOp::Update => "Update",
            RowWriteOp::Delete => "Delete",
            RowWriteOp::Merge => "Merge",
        };
        return (format!("{verb} on {}", write.table()), Vec::new());
    }
    if plan.downcast_ref::<LockRowsExec>().is_some() {
        return ("LockRows".to_owned(), Vec::new());
    }
    let shown = Shown(plan.as_ref()).to_string();
    let detail = shown.split_once(": ").map(|(_, detail)| detail.trim().to_owned()).filter(|d| !d.is_empty());
    (title(plan.name()), detail.into_iter().collect())
}

/// One line of DataFusion's own about an operator.
struct Shown<'a>(&'a dyn ExecutionPlan);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DisplayAs::fmt_as(self.0, DisplayFormatType::Default, f)
    }
}

/// PostgreSQL's word where there is one; else DataFusion's name in words.
fn title(name: &str) -> String {
    match name {
        "CoalescePartitionsExec" => "Gather".into(),
        "SortPreservingMergeExec" => "Gather Merge".into(),
        RUN_AGGREGATE => "Aggregate".into(),
        SPILL_JOIN => "Hash Join".into(),
        SHARED => "Materialize".into(),
        "UnionExec" => "Append".into(),
        "PlaceholderRowExec" => "Result".into(),
        "DataSourceExec" => "Values".into(),
        "GlobalLimitExec" | "LocalLimitExec" => "Limit".into(),
        COUNTED_WINDOWS | WHOLE_WINDOWS => "WindowAgg".into(),
        _ => {
            let name = name.strip_suffix("Exec").unwrap_or(name);
            let mut words = String::new();
            for c in name.chars() {
                if c.is_uppercase() && !words.is_empty() {
                    words.push(' ');
                }
                words.push(c);
            }
            words
        }
    }
}

/// What an operator counted: the scan's reading and skipping always, the rest when spilling or VERBOSE.
fn counters(plan: &Arc<dyn ExecutionPlan>, metrics: &MetricsSet, options: ExplainOptions) -> Vec<String> {
    let value = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
    let mut lines = Vec::new();
    if plan.downcast_ref::<HeliosScanExec>().is_some() && options.buffers {
        lines.push(format!("Segments: {} read, {} skipped", value("segments_read"), value("segments_skipped")));
        lines.push(format!("Blocks: {} read, {} skipped", value("blocks_read"), value("blocks_skipped")));
        lines.push(format!("Bytes: {} read, {} from disk", value("bytes_read"), value("bytes_from_disk")));
        lines.push(format!("Memtable rows: {}", value("memtable_rows")));
    }
    if plan.downcast_ref::<RowWriteExec>().is_some() {
        lines.push(format!("Rows written: {}", value("rows_written")));
    }
    lines.extend(memory(metrics, options));
    if let Some(bytes) = metrics.spilled_bytes().filter(|bytes| *bytes > 0) {
        lines.push(format!("Spilled: {bytes} bytes in {} files", metrics.spill_count().unwrap_or(0)));
    }
    if options.verbose {
        let known = ["output_rows", "elapsed_compute", "start_timestamp", "end_timestamp"];
        let others = metrics.iter().map(|metric| metric.value()).filter(|value| !known.contains(&value.name()));
        let others: Vec<String> = others.map(|value| format!("{}={value}", value.name())).collect();
        if !others.is_empty() {
            lines.push(format!("Counters: {}", others.join(", ")));
        }
    }
    lines
}

/// What an operator held. They name it differently.
fn memory(metrics: &MetricsSet, options: ExplainOptions) -> Option<String> {
    let value = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
    let held = ["build_mem_used", "peak_mem_used", "mem_used"].map(value).into_iter().max().unwrap_or(0);
    (held > 0 && options.buffers).then(|| format!("Memory: {held} bytes"))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use heliosdb_types::SqlType;

    use super::*;
    use crate::testing::{Bench, relation, text};

    fn explain(bench: &Bench, plan: &LogicalPlan, txn: bool, options: ExplainOptions) -> Vec<String> {
        let txn = txn.then(|| bench.begin());
        let scope = Arc::new(bench.scope(txn, 0));
        bench.pool.block_on(bench.executor.explain(plan, &[], Vec::new(), &[], scope, options)).unwrap()
    }

    #[test]
    fn plans_show_pushed_filters_and_with_analyze_what_was_read() {
        let bench = Bench::new(relation("t", &[("id", SqlType::Int4), ("name", SqlType::Text)], &["id"]));
        let rows = (0..10).map(|id| vec![lit(id), text("x")]).collect();
        bench.autocommit(&bench.insert(rows)).unwrap();
        let plan = bench.scan().filter(col("t.id").gt(lit(6))).unwrap().build().unwrap();
        let options = ExplainOptions { timing: false, costs: false, ..ExplainOptions::default() };
        let lines = explain(&bench, &plan, false, options);
        assert_eq!(lines, ["Seq Scan on t", "  Filter: id > 6"]);
        let lines = explain(&bench, &plan, false, ExplainOptions { analyze: true, ..options });
        assert_eq!(lines[0], "Seq Scan on t  (actual rows=3 loops=1)");
        assert!(lines.contains(&"  Memtable rows: 10".to_owned()), "{lines:?}");
        let timed = explain(&bench, &plan, false, ExplainOptions { analyze: true, ..ExplainOptions::default() });
        assert!(timed.last().unwrap().starts_with("Execution Time: "), "{timed:?}");
        let json =
            explain(&bench, &plan, false, ExplainOptions { analyze: true, format: ExplainFormat::Json, ..options });
        let json: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
        let plan = &json[0]["Plan"];
        assert_eq!((plan["Node Type"].as_str(), plan["Actual Rows"].as_u64()), (Some("Seq Scan"), Some(3)));
        assert_eq!((plan["Relation Name"].as_str(), plan["Filter"].as_str()), (Some("t"), Some("id > 6")));
    }

    #[test]
    fn analyzing_a_write_writes() {
        let bench = Bench::new(relation("t", &[("id", SqlType::Int4), ("name", SqlType::Text)], &["id"]));
        let plan = bench.insert(vec![vec![lit(1), text("x")]]);
        let options = ExplainOptions { analyze: true, timing: false, ..ExplainOptions::default() };
        let lines = explain(&bench, &plan, true, options);
        assert!(lines[0].starts_with("Insert on t"), "{lines:?}");
        assert!(lines.contains(&"  Rows written: 1".to_owned()), "{lines:?}");
    }

    #[test]
    fn operators_have_names_in_words() {
        assert_eq!(title("HashJoinExec"), "Hash Join");
        assert_eq!(title("CoalescePartitionsExec"), "Gather");
        assert_eq!(title("NestedLoopJoinExec"), "Nested Loop Join");
    }
}
