//! Whole plans over a shard in memory: joins, limits, aggregates, cancellation, memory.

use std::sync::Arc;
use std::task::{Context, Waker};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder, col, lit};
use futures::StreamExt;
use heliosdb_runtime::{RealClock, RealDisk};
use heliosdb_types::{SqlState, SqlType};

use super::*;
use crate::testing::{Bench, relation, text};

const ROWS: i32 = 20_000;

fn bench() -> Bench {
    let table = relation("t", &[("id", SqlType::Int4), ("v", SqlType::Int4), ("name", SqlType::Text)], &["id"]);
    let bench = Bench::new(table);
    let rows = LogicalPlanBuilder::values((0..200).map(|n| vec![lit(n)]).collect()).unwrap();
    let low = LogicalPlanBuilder::values((0..ROWS / 200).map(|n| vec![lit(n)]).collect()).unwrap();
    let (rows, low) = (rows.alias("a").unwrap(), low.alias("b").unwrap().build().unwrap());
    let id = col("a.column1") * lit(ROWS / 200) + col("b.column1");
    let source = rows.cross_join(low).unwrap().project(vec![id.alias("id")]).unwrap().build().unwrap();
    let new_row = vec![col("id"), col("id") % lit(10), text("a name that is longer than a view's inline part")];
    let insert = bench.node(RowWriteOp::Insert, source, None, new_row);
    assert_eq!(bench.autocommit(&insert).unwrap(), ROWS as u64);
    bench
}

fn counted(bench: &Bench, plan: LogicalPlanBuilder) -> i64 {
    let plan = plan.aggregate(Vec::<Expr>::new(), vec![count(lit(1i64))]).unwrap().build().unwrap();
    let batches = bench.run(&plan, bench.scope(None, 0)).unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn joined(bench: &Bench, few: Expr) -> LogicalPlanBuilder {
    let few = bench.scan().alias("few").unwrap().filter(few).unwrap().build().unwrap();
    let all = bench.scan().alias("every").unwrap();
    all.join(few, JoinType::Inner, (vec!["every.id"], vec!["few.id"]), None).unwrap()
}

#[test]
fn a_join_tells_the_other_sides_scan_what_can_match() {
    let bench = bench();
    let plan = joined(&bench, col("few.id").in_list(vec![lit(5), lit(7), lit(-1)], false));
    assert_eq!(counted(&bench, plan.clone()), 2);
    let options = ExplainOptions { analyze: true, timing: false, costs: false, ..ExplainOptions::default() };
    let scope = Arc::new(bench.scope(None, 0));
    let plan = plan.build().unwrap();
    let explained = bench.executor.explain(&plan, &[], Vec::new(), &[], scope, options);
    let lines = bench.pool.block_on(explained).unwrap();
    let scans: Vec<&String> = lines.iter().filter(|line| line.contains("Scan ") && line.contains(" on t ")).collect();
    assert_eq!(scans.len(), 2);
    assert!(scans.iter().all(|line| line.contains("rows=2")), "{lines:#?}");
    assert_eq!(counted(&bench, joined(&bench, col("few.v").eq(lit(99)))), 0, "an empty side");
    assert_eq!(counted(&bench, joined(&bench, col("few.v").lt(lit(9)))), i64::from(ROWS) * 9 / 10);
}

#[test]
fn a_join_on_several_numbers_tells_the_other_sides_scan_what_can_match() {
    let bench = bench();
    let options = ExplainOptions { analyze: true, timing: false, costs: false, ..ExplainOptions::default() };
    for (few, rows) in [
        (col("few.id").in_list(vec![lit(5), lit(7), lit(-1)], false), 2),
        (col("few.id").between(lit(-5), lit(400)).and(col("few.v").not_eq(lit(3))), 361),
        (col("few.v").eq(lit(99)), 0),
    ] {
        let few = bench.scan().alias("few").unwrap().filter(few).unwrap().build().unwrap();
        let keys = (vec!["every.id", "every.v"], vec!["few.id", "few.v"]);
        let plan = bench.scan().alias("every").unwrap().join(few, JoinType::Inner, keys, None).unwrap();
        assert_eq!(counted(&bench, plan.clone()), rows);
        let scope = Arc::new(bench.scope(None, 0));
        let plan = plan.build().unwrap();
        let explained = bench.executor.explain(&plan, &[], Vec::new(), &[], scope, options);
        let lines = bench.pool.block_on(explained).unwrap();
        let scans: Vec<&String> =
            lines.iter().filter(|line| line.contains("Scan ") && line.contains(" on t ")).collect();
        assert_eq!(scans.len(), 2);
        assert!(scans.iter().all(|line| line.contains(&format!("rows={rows}"))), "{lines:#?}");
    }
}

/// What a task wakes waits on its worker until the task gives way, whatever other workers have to do.
#[test]
fn a_scan_gives_way_before_it_reads() {
    let bench = bench();
    let session = bench.executor.session(Arc::new(bench.scope(None, 0)));
    let table = HeliosTable::new(Arc::clone(&bench.table)).unwrap();
    let plan = bench.pool.block_on(table.scan(&session, None, &[], None)).unwrap();
    let mut rows = plan.execute(0, session.task_ctx()).unwrap();
    assert!(rows.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    // It has asked to be polled again, or this would not end.
    let batch = futures::executor::block_on(rows.next()).unwrap().unwrap();
    assert!(batch.num_rows() > 0);
}

#[test]
fn limits_and_counts_do_not_need_columns() {
    let bench = bench();
    assert_eq!(counted(&bench, bench.scan()), i64::from(ROWS));
    assert_eq!(counted(&bench, bench.scan().limit(3, Some(11)).unwrap()), 11);
    let filtered = bench.scan().filter(col("t.v").eq(lit(3))).unwrap();
    assert_eq!(counted(&bench, filtered.clone()), i64::from(ROWS) / 10);
    assert_eq!(counted(&bench, filtered.limit(0, Some(7)).unwrap()), 7);
}

#[test]
fn sorting_spills_when_memory_is_short() {
    let mut bench = bench();
    let spill = tempfile::tempdir().unwrap();
    let options = ExecutorOptions {
        spawner: bench.pool.spawner(),
        threads: 1,
        memory_bytes: 3 << 20,
        queries_max: 8,
        clock: Arc::new(RealClock::new()),
        spill: Arc::new(RealDisk::new(spill.path()).unwrap()),
    };
    bench.executor = Executor::new(options).unwrap();
    let wide = vec![col("t.id"), col("t.name"), text(&"x".repeat(200)).alias("pad")];
    let sorted = bench.scan().project(wide).unwrap().sort(vec![col("t.id").sort(false, true)]).unwrap();
    let batches = bench.run(&sorted.build().unwrap(), bench.scope(None, 0));
    match batches {
        Ok(batches) => {
            let ids = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec());
            assert!(ids.eq((0..ROWS).rev()));
        }
        // A sort that cannot even hold its merge buffers must say so, not die.
        Err(error) => assert_eq!(error.state(), SqlState::OUT_OF_MEMORY),
    }
}

#[test]
fn a_cancelled_statement_ends_with_its_error() {
    let bench = bench();
    let triple = bench.scan().cross_join(bench.scan().alias("b").unwrap().build().unwrap()).unwrap();
    let triple = triple.cross_join(bench.scan().alias("c").unwrap().build().unwrap()).unwrap();
    let plan = triple.aggregate(Vec::<Expr>::new(), vec![count(lit(1i64))]).unwrap().build().unwrap();
    let scope = bench.scope(None, 0);
    let cancel = scope.cancel.clone();
    let outcome = bench.pool.block_on(async {
        let mut rows = bench.executor.run(&plan, Vec::new(), &[], Arc::new(scope));
        cancel.cancel();
        rows.next().await
    });
    let error = outcome.unwrap().unwrap_err();
    assert_eq!(error.state(), SqlState::QUERY_CANCELED);
    assert_eq!(error.message(), "canceling statement due to user request");
}

#[test]
fn an_error_inside_a_plan_reaches_the_session_whole() {
    let bench = bench();
    let plan: LogicalPlan = bench.scan().project(vec![lit(1) / (col("t.v") - col("t.v"))]).unwrap().build().unwrap();
    let error = bench.run(&plan, bench.scope(None, 0)).unwrap_err();
    assert_eq!((error.state(), error.message()), (SqlState::DIVISION_BY_ZERO, "division by zero"));
}
