//! EXPLAIN: the physical plan as an indented tree, with ANALYZE what every operator did.
//!
//! Estimates are shown as rows only: there is no cost model to quote. Times are the operator's own, summed over its
//! partitions, so on several threads they may add up to more than the statement took.

use std::fmt;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::metrics::{MetricsSet, Time};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, execute_stream};
use futures::StreamExt;
use heliosdb_types::{Datum, Result, SqlType};

use super::direct::Direct;
use super::error::from_datafusion;
use super::instantiate::instantiate;
use super::lock_rows::LockRowsExec;
use super::row_write::{RowWriteExec, RowWriteOp};
use super::scan::HeliosScanExec;
use super::scope::StatementScope;
use super::state::Executor;

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
}

impl Default for ExplainOptions {
    fn default() -> ExplainOptions {
        ExplainOptions { analyze: false, verbose: false, costs: true, timing: true }
    }
}

impl Executor {
    /// The lines of the `QUERY PLAN` column.
    pub async fn explain(
        &self,
        statement: &LogicalPlan,
        parameters: Vec<Datum>,
        types: &[SqlType],
        scope: Arc<StatementScope>,
        options: ExplainOptions,
    ) -> Result<Vec<String>> {
        let session = self.session(Arc::clone(&scope));
        let (statement, types) = (statement.clone(), types.to_vec());
        let work = self.spawner.task(async move {
            let (planning, running) = (Time::new(), Time::new());
            let mut timer = planning.timer();
            let statement = instantiate(&statement, &parameters, &types, scope.now_micros)?;
            let short = options.verbose && Direct::compile(&statement, &session)?.is_some();
            let plan = session.create_physical_plan(&statement).await.map_err(from_datafusion)?;
            timer.stop();
            if options.analyze {
                let _timer = running.timer();
                let mut batches = execute_stream(Arc::clone(&plan), session.task_ctx()).map_err(from_datafusion)?;
                let drain = async {
                    while let Some(batch) = batches.next().await {
                        batch.map_err(from_datafusion)?;
                    }
                    Ok(())
                };
                tokio::select! {
                    biased;
                    () = scope.cancel.cancelled() => return Err(scope.cancel.error()),
                    outcome = drain => outcome?,
                }
            }
            let mut lines = Vec::new();
            render(&plan, 0, options, &mut lines);
            if short {
                // Without EXPLAIN it would not have been planned like this.
                lines.push("Short path: runs on the session's own task".to_owned());
            }
            if options.analyze && options.timing {
                lines.push(format!("Planning Time: {} ms", milliseconds(planning.value())));
                lines.push(format!("Execution Time: {} ms", milliseconds(running.value())));
            }
            Ok(lines)
        });
        work.await?
    }
}

fn milliseconds(nanos: usize) -> String {
    format!("{:.3}", nanos as f64 / 1e6)
}

fn render(plan: &Arc<dyn ExecutionPlan>, depth: usize, options: ExplainOptions, lines: &mut Vec<String>) {
    // Bookkeeping of DataFusion's scheduler, not a step of the plan.
    if plan.name() == "CooperativeExec" {
        plan.children().into_iter().for_each(|child| render(child, depth, options, lines));
        return;
    }
    let metrics = plan.metrics().map(|metrics| metrics.aggregate_by_name());
    let (title, details) = describe(plan, options);
    let indent = if depth == 0 { String::new() } else { " ".repeat(depth * 6 - 4) };
    let arrow = if depth == 0 { "" } else { "->  " };
    lines.push(format!("{indent}{arrow}{title}{}", figures(plan, metrics.as_ref(), options)));
    let under = " ".repeat(if depth == 0 { 2 } else { depth * 6 + 2 });
    lines.extend(details.into_iter().map(|detail| format!("{under}{detail}")));
    if options.analyze
        && let Some(metrics) = &metrics
    {
        lines.extend(counters(plan, metrics, options).into_iter().map(|counter| format!("{under}{counter}")));
    }
    plan.children().into_iter().for_each(|child| render(child, depth + 1, options, lines));
}

/// `(rows=n)` and `(actual time=t rows=n)`.
fn figures(plan: &Arc<dyn ExecutionPlan>, metrics: Option<&MetricsSet>, options: ExplainOptions) -> String {
    let mut out = String::new();
    if options.costs
        && let Some(scan) = plan.downcast_ref::<HeliosScanExec>()
    {
        out.push_str(&format!("  (rows={})", scan.estimated_rows()));
    }
    if options.analyze {
        let rows = metrics.and_then(MetricsSet::output_rows).map(|rows| format!(" rows={rows}"));
        let time = metrics.and_then(MetricsSet::elapsed_compute).filter(|_| options.timing);
        let time = time.map(|nanos| format!(" time={} ms", milliseconds(nanos)));
        if rows.is_some() || time.is_some() {
            out.push_str(&format!("  (actual{}{})", time.unwrap_or_default(), rows.unwrap_or_default()));
        }
    }
    out
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
        return (format!("Scan on {}", scan.relation().name), details);
    }
    if let Some(write) = plan.downcast_ref::<RowWriteExec>() {
        let verb = match write.op() {
            RowWriteOp::Insert => "Insert",
            RowWriteOp::Update => "Update",
            RowWriteOp::Delete => "Delete",
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
        "UnionExec" => "Append".into(),
        "PlaceholderRowExec" => "Result".into(),
        "DataSourceExec" => "Values".into(),
        "GlobalLimitExec" | "LocalLimitExec" => "Limit".into(),
        "BoundedWindowAggExec" | "WindowAggExec" => "WindowAgg".into(),
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
    if plan.downcast_ref::<HeliosScanExec>().is_some() {
        lines.push(format!("Segments: {} read, {} skipped", value("segments_read"), value("segments_skipped")));
        lines.push(format!("Blocks: {} read, {} skipped", value("blocks_read"), value("blocks_skipped")));
        lines.push(format!("Bytes: {} read, {} from disk", value("bytes_read"), value("bytes_from_disk")));
        lines.push(format!("Memtable rows: {}", value("memtable_rows")));
    }
    if plan.downcast_ref::<RowWriteExec>().is_some() {
        lines.push(format!("Rows written: {}", value("rows_written")));
    }
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

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use heliosdb_types::SqlType;

    use super::*;
    use crate::testing::{Bench, relation, text};

    fn explain(bench: &Bench, plan: &LogicalPlan, txn: bool, options: ExplainOptions) -> Vec<String> {
        let txn = txn.then(|| bench.begin());
        let scope = Arc::new(bench.scope(txn, 0));
        bench.pool.block_on(bench.executor.explain(plan, Vec::new(), &[], scope, options)).unwrap()
    }

    #[test]
    fn plans_show_pushed_filters_and_with_analyze_what_was_read() {
        let bench = Bench::new(relation("t", &[("id", SqlType::Int4), ("name", SqlType::Text)], &["id"]));
        let rows = (0..10).map(|id| vec![lit(id), text("x")]).collect();
        bench.autocommit(&bench.insert(rows)).unwrap();
        let plan = bench.scan().filter(col("t.id").gt(lit(6))).unwrap().build().unwrap();
        let options = ExplainOptions { timing: false, costs: false, ..ExplainOptions::default() };
        let lines = explain(&bench, &plan, false, options);
        assert_eq!(lines, ["Scan on t", "  Filter: id > 6"]);
        let lines = explain(&bench, &plan, false, ExplainOptions { analyze: true, ..options });
        assert_eq!(lines[0], "Scan on t  (actual rows=3)");
        assert!(lines.contains(&"  Memtable rows: 10".to_owned()), "{lines:?}");
        let timed = explain(&bench, &plan, false, ExplainOptions { analyze: true, ..ExplainOptions::default() });
        assert!(timed.last().unwrap().starts_with("Execution Time: "), "{timed:?}");
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
