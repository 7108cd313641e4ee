//! Statements of the short path, each run on both paths and compared.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};
use futures::StreamExt;
use heliosdb_contracts::ShardClient;
use heliosdb_types::{Datum, SqlState, SqlType};

use super::Direct;
use crate::testing::{Bench, relation, text};

fn bench() -> Bench {
    let columns = [("a", SqlType::Int4), ("b", SqlType::Text), ("v", SqlType::Int4)];
    let bench = Bench::new(relation("t", &columns, &["a", "b"]));
    let row = |n: i32| vec![lit(n / 3), text(["x", "y", "z"][(n % 3) as usize]), lit(n)];
    bench.autocommit(&bench.insert((0..30).map(row).collect())).unwrap();
    bench
}

fn key(a: i32, b: &str) -> Expr {
    col("t.a").eq(lit(a)).and(text(b).eq(col("t.b")))
}

/// How a statement gets its short form.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// With its values, for one execution.
    Once,
    /// As a prepared statement.
    Prepared,
    /// Not at all.
    Full,
}

/// Runs a plan on both paths in transactions that are rolled back; gives what came out and what the table held.
fn both(bench: &Bench, plan: &LogicalPlan) -> [Result<String, (SqlState, String)>; 3] {
    let table = bench.scan().sort(vec![col("t.v").sort(true, true)]).unwrap().build().unwrap();
    [How::Once, How::Prepared, How::Full].map(|how| {
        let txn = bench.begin();
        let scope = Arc::new(bench.scope(Some(txn), 0));
        let session = bench.executor.session(Arc::clone(&scope));
        let direct = match how {
            How::Once => Direct::compile(plan, &session).unwrap(),
            How::Prepared => Direct::compile(plan, &bench.executor.template).unwrap(),
            How::Full => None,
        };
        // What a transaction has written nobody counts, so that for one execution a table is not known to be small.
        assert!(direct.is_some() || how != How::Prepared, "not eligible: {}", plan.display_indent());
        let outcome = bench.pool.block_on(async {
            if let Some(direct) = direct {
                let turn = direct.take_turn(&[], &[], &scope).unwrap().unwrap();
                return direct.run(turn, &scope).await.map(|batches| batches.expect("few rows"));
            }
            bench
                .executor
                .run_planned(plan.clone().into(), session, scope)
                .collect::<Vec<_>>()
                .await
                .into_iter()
                .collect()
        });
        let shown = outcome.map_err(|e| (e.state(), e.message().to_owned())).map(|batches| {
            let rows = batches.iter().map(|b| format!("{:?}", b.columns())).collect::<Vec<_>>();
            let after = bench.run(&table, bench.scope(Some(txn), 1)).unwrap();
            let after = after.iter().map(|b| format!("{:?}", b.columns())).collect::<Vec<_>>();
            format!("{rows:?} {after:?}")
        });
        bench.shard.rollback(txn);
        shown
    })
}

#[test]
fn both_paths_answer_alike() {
    let bench = bench();
    let found = |predicate: Expr| bench.scan().filter(predicate).unwrap();
    let read = |predicate: Expr| found(predicate).project(vec![col("t.v") + lit(1), col("t.b")]).unwrap();
    let in_order = |found: LogicalPlanBuilder| {
        found.sort(vec![col("t.v").sort(true, true)]).unwrap().project(vec![col("t.v") * lit(2)]).unwrap()
    };
    let by_key = |ascending: bool| ["t.a", "t.b"].map(|name| col(name).sort(ascending, true)).to_vec();
    let half = col("t.a").eq(lit(3));
    let none = Vec::<Expr>::new();
    let over = |e: Expr| vec![sum(cast(e.clone(), DataType::Int64)), count(e.clone()), min(e.clone()), max(e)];
    let sums = over(col("t.v") + lit(1));
    let reads = [
        read(key(3, "y")),
        read(key(3, "nothing")),
        read(key(3, "y").and(col("t.v").gt(lit(100)))),
        read(key(3, "y").and(col("t.a").eq(lit(4)))),
        found(key(3, "y")).alias("u").unwrap().project(vec![col("u.a")]).unwrap(),
        found(key(3, "y")).project(vec![col("t.b"), col("t.v")]).unwrap(),
        found(key(3, "y")).project(vec![col("t.v"), col("t.b")]).unwrap(),
        found(half.clone()).sort(vec![col("t.b").sort(false, true)]).unwrap().project(vec![col("t.v")]).unwrap(),
        found(key(3, "y")).limit(0, Some(1)).unwrap(),
        found(key(3, "y")).limit(1, None).unwrap(),
        found(half.clone()).sort(vec![col("t.v").sort(false, true)]).unwrap(),
        found(half.clone()).sort(vec![col("t.b").sort(false, true)]).unwrap().limit(0, Some(2)).unwrap(),
        found(half.clone()).sort(vec![col("t.b").sort(true, true)]).unwrap().limit(1, Some(1)).unwrap(),
        found(half.clone()).sort(vec![col("t.v").sort(true, true)]).unwrap().limit(1, Some(1)).unwrap(),
        found(half.clone().and(col("t.a").eq(lit(4)))),
        found(half.clone().and(col("t.b").gt(text("x")))).sort(vec![col("t.b").sort(true, true)]).unwrap(),
        found(half.clone().and(text("y").gt_eq(col("t.b")))).sort(vec![col("t.b").sort(true, true)]).unwrap(),
        found(half.clone().and(col("t.v").gt(lit(10)))).sort(vec![col("t.b").sort(true, true)]).unwrap(),
        found(half.clone()).aggregate(none.clone(), sums.clone()).unwrap(),
        found(half.clone().and(col("t.v").gt(lit(100)))).aggregate(none, sums.clone()).unwrap(),
        in_order(bench.scan()),
        in_order(found(col("t.v").gt(lit(20)))),
        read(col("t.a").gt(lit(7))).sort(vec![col("t.b").sort(false, true)]).unwrap(),
        in_order(found(col("t.v").not_eq(lit(0)).and((lit(60) / col("t.v")).gt(lit(10))))),
        in_order(found(col("t.a").eq(lit(1)).or(col("t.b").eq(text("x"))))),
        in_order(found(col("t.a").eq(lit(3)).and(col("t.b").eq(text("z")).or(col("t.b").eq(text("x")))))),
        in_order(found(col("t.a").in_list(vec![lit(5), lit(2), lit(5)], false).and(col("t.b").eq(text("y"))))),
        bench.scan().sort(vec![col("t.v").sort(false, true)]).unwrap().limit(2, Some(3)).unwrap(),
        bench.scan().sort(by_key(false)).unwrap(),
        bench.scan().sort(by_key(true)).unwrap().limit(4, Some(5)).unwrap(),
        found(col("t.a").lt_eq(lit(4))).sort(by_key(false)).unwrap().limit(0, Some(3)).unwrap(),
        bench.scan().aggregate(Vec::<Expr>::new(), sums.clone()).unwrap(),
        LogicalPlanBuilder::empty(true).project(vec![lit(1).alias("one"), text("x").alias("x")]).unwrap(),
        LogicalPlanBuilder::values(vec![vec![lit(1)], vec![lit(2)]]).unwrap(),
        LogicalPlanBuilder::empty(true).project(vec![lit(1) / lit(0)]).unwrap(),
    ];
    let new_v = [("v", col("t.v") * lit(7))];
    let writes = [
        bench.insert(vec![vec![lit(77), text("x"), lit(1)], vec![lit(78), text("x"), lit(2)]]),
        bench.insert(vec![vec![lit(3), text("y"), lit(1)]]),
        bench.update(Some(key(3, "y")), &new_v),
        bench.returning(&bench.update(Some(key(3, "y")), &new_v)),
        bench.update(Some(key(3, "y")), &[("a", lit(100))]),
        bench.update(Some(key(3, "y")), &[("a", lit(4))]),
        bench.update(Some(key(99, "y")), &new_v),
        bench.update(Some(half.clone()), &new_v),
        bench.delete(Some(half)),
        bench.delete(Some(key(3, "y"))),
        bench.returning(&bench.delete(Some(key(3, "y")))),
        bench.update(Some(col("t.v").gt(lit(20))), &new_v),
        bench.delete(Some(col("t.b").eq(text("x")))),
        bench.returning(&bench.delete(Some(col("t.v").eq(lit(14))))),
        bench.delete(None),
    ];
    for plan in reads.into_iter().map(|read| read.build().unwrap()).chain(writes) {
        let [once, prepared, full] = both(&bench, &plan);
        assert_eq!(once, full, "{}", plan.display_indent());
        assert_eq!(prepared, full, "{}", plan.display_indent());
    }
}

#[test]
fn a_leaf_gives_the_columns_that_are_asked_for_in_their_order() {
    let bench = bench();
    let steps = |columns: [&str; 2]| {
        let read = bench.scan().filter(key(3, "y")).unwrap().project(columns.map(col)).unwrap();
        Direct::compile(&read.build().unwrap(), &bench.executor.template).unwrap().unwrap().steps.len()
    };
    assert_eq!(steps(["t.a", "t.v"]), 0);
    assert_eq!(steps(["t.v", "t.a"]), 1);
}

#[test]
fn groups_and_all_of_a_large_table_take_the_full_path() {
    let bench = bench();
    let eligible = |bench: &Bench, plan: LogicalPlan| {
        let session = bench.executor.session(Arc::new(bench.scope(None, 0)));
        Direct::compile(&plan, &session).unwrap().is_some()
    };
    let found = |bench: &Bench, predicate: Expr| bench.scan().filter(predicate).unwrap();
    assert!(eligible(&bench, bench.scan().build().unwrap()), "few rows");
    assert!(
        eligible(&bench, found(&bench, col("t.a").eq(lit(1))).build().unwrap()),
        "half a key, and few rows have it"
    );
    assert!(eligible(&bench, found(&bench, key(1, "x")).build().unwrap()));
    assert!(eligible(&bench, bench.update(Some(col("t.v").gt(lit(1))), &[("v", lit(1))])), "few rows");
    let counted = found(&bench, key(1, "x")).aggregate(vec![col("t.v")], Vec::<Expr>::new()).unwrap();
    assert!(!eligible(&bench, counted.build().unwrap()));
    let large = Bench::new(relation("t", &[("a", SqlType::Int4), ("v", SqlType::Int4)], &["a"]));
    large.autocommit(&large.insert((0..2000).map(|n| vec![lit(n), lit(n % 10)]).collect())).unwrap();
    assert!(!eligible(&large, large.scan().build().unwrap()));
    assert!(!eligible(&large, large.update(Some(col("t.v").gt(lit(1))), &[("v", lit(1))])), "no key at all");
    let last = || vec![col("t.a").sort(false, true)];
    assert!(!eligible(&large, large.scan().sort(last()).unwrap().build().unwrap()));
    assert!(!eligible(&large, found(&large, col("t.a").gt(lit(7))).build().unwrap()));
    let first = found(&large, col("t.a").gt(lit(7))).sort(last()).unwrap().limit(0, Some(5)).unwrap();
    let by_another = large.scan().sort(vec![col("t.v").sort(true, true)]).unwrap().limit(0, Some(5)).unwrap();
    for (plan, short) in [(first, true), (by_another, false)] {
        let plan = plan.build().unwrap();
        assert_eq!(eligible(&large, plan.clone()), short, "{}", plan.display_indent());
        let direct = Direct::compile(&plan, &large.executor.template).unwrap().unwrap();
        assert_eq!(direct.suits(&*large.shard), short, "{}", plan.display_indent());
    }
}

#[test]
fn a_row_changed_meanwhile_is_evaluated_again() {
    let bench = bench();
    let txn = bench.begin();
    let scope = bench.scope(Some(txn), 0);
    bench.autocommit(&bench.update(Some(key(3, "y")), &[("v", lit(1000))])).unwrap();
    let update = bench.update(Some(key(3, "y")), &[("v", col("t.v") + lit(1))]);
    assert_eq!(bench.write(&update, scope).unwrap(), 1);
    bench.commit(txn);
    assert!(bench.rows().iter().any(|row| row[2] == Datum::Int32(1001)));
}

#[test]
fn more_rows_than_meant_are_left_to_the_full_path() {
    let bench = Bench::new(relation("t", &[("a", SqlType::Int4), ("v", SqlType::Int4)], &["a", "v"]));
    bench.autocommit(&bench.insert((0..200).map(|n| vec![lit(1), lit(n)]).collect())).unwrap();
    let all = || bench.scan().filter(col("t.a").eq(lit(1))).unwrap();
    let newest = || all().sort(vec![col("t.v").sort(false, true)]).unwrap().limit(0, Some(1)).unwrap();
    let run = |plan: LogicalPlan| {
        let scope = Arc::new(bench.scope(None, 0));
        let direct = Direct::compile(&plan, &bench.executor.template).unwrap().unwrap();
        let turn = direct.take_turn(&[], &[], &scope).unwrap().unwrap();
        let batches = bench.pool.block_on(direct.run(turn, &scope)).unwrap();
        batches.map(|batches| batches.iter().map(|batch| format!("{:?}", batch.columns())).collect::<String>())
    };
    assert_eq!(run(all().build().unwrap()), None);
    assert_eq!(
        run(all()
            .limit(0, Some(2))
            .unwrap()
            .aggregate(Vec::<Expr>::new(), vec![count(lit(1))])
            .unwrap()
            .build()
            .unwrap())
        .map(|s| s.contains("\n  2,")),
        Some(true)
    );
    let newest = run(newest().build().unwrap());
    assert!(newest.as_ref().is_some_and(|row| row.contains("199") && !row.contains("198")), "{newest:?}");
}
