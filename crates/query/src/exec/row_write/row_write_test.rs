//! Writes as a session would run them, over a shard in memory.

use datafusion::logical_expr::{Expr, col, lit};
use heliosdb_contracts::{IsolationLevel, ShardClient};
use heliosdb_types::{Datum, SqlState, SqlType};

use crate::testing::{Bench, relation, text, values};

fn bench() -> Bench {
    Bench::new(relation("t", &[("id", SqlType::Int4), ("v", SqlType::Int4), ("name", SqlType::Text)], &["id"]))
}

fn row(id: i32, v: i32, name: &str) -> Vec<Expr> {
    vec![lit(id), lit(v), text(name)]
}

fn filled() -> Bench {
    let bench = bench();
    let rows = vec![row(1, 10, "one"), row(2, 20, "two"), row(3, 30, "three")];
    assert_eq!(bench.autocommit(&bench.insert(rows)).unwrap(), 3);
    bench
}

fn ints(bench: &Bench) -> Vec<(i32, i32)> {
    let int = |value: &Datum| match value {
        Datum::Int32(v) => *v,
        other => panic!("{other:?}"),
    };
    bench.rows().iter().map(|row| (int(&row[0]), int(&row[1]))).collect()
}

fn plus(column: &str, n: i32) -> Expr {
    col(column) + lit(n)
}

#[test]
fn inserted_rows_are_seen_after_the_commit_only() {
    let bench = filled();
    assert_eq!(ints(&bench), [(1, 10), (2, 20), (3, 30)]);
    let txn = bench.begin();
    bench.write(&bench.insert(vec![row(4, 40, "four")]), bench.scope(Some(txn), 0)).unwrap();
    assert_eq!(ints(&bench).len(), 3, "another transaction's row");
    let own = bench.run(&bench.scan().build().unwrap(), bench.scope(Some(txn), 1)).unwrap();
    assert_eq!(values(&bench.table, &own).len(), 4, "its own row, in its next command");
    bench.shard.rollback(txn);
    assert_eq!(ints(&bench).len(), 3);
}

#[test]
fn duplicates_are_refused_inside_a_statement_and_against_the_table() {
    let bench = filled();
    for rows in [vec![row(2, 0, "x")], vec![row(7, 0, "x"), row(7, 1, "y")]] {
        let error = bench.autocommit(&bench.insert(rows)).unwrap_err();
        assert_eq!(error.state(), SqlState::UNIQUE_VIOLATION);
        assert_eq!(error.message(), "duplicate key value violates unique constraint \"t_pkey\"");
        assert!(matches!(error.detail(), Some("Key (id)=(2) already exists." | "Key (id)=(7) already exists.")));
    }
    assert_eq!(ints(&bench).len(), 3);
}

#[test]
fn not_null_and_check_name_the_first_failing_row() {
    let bench = filled();
    let null = lit(datafusion::common::ScalarValue::Int32(None));
    let error = bench.autocommit(&bench.insert(vec![row(8, 1, "a"), vec![null.clone(), lit(2), text("b")]]));
    let error = error.unwrap_err();
    assert_eq!(error.state(), SqlState::NOT_NULL_VIOLATION);
    assert_eq!(error.message(), "null value in column \"id\" of relation \"t\" violates not-null constraint");
    assert_eq!(error.detail(), Some("Failing row contains (null, 2, b)."));
    let checks = || vec![("t_v_check".to_owned(), col("v").gt(lit(0)))];
    let bad = bench.with_checks(&bench.insert(vec![row(8, 1, "a"), row(9, -1, "b")]), checks());
    let error = bench.autocommit(&bad).unwrap_err();
    assert_eq!(error.state(), SqlState::CHECK_VIOLATION);
    assert_eq!(error.message(), "new row for relation \"t\" violates check constraint \"t_v_check\"");
    assert_eq!(error.detail(), Some("Failing row contains (9, -1, b)."));
    let unknown = bench.with_checks(&bench.insert(vec![vec![lit(8), null, text("a")]]), checks());
    assert_eq!(bench.autocommit(&unknown).unwrap(), 1, "NULL passes a CHECK");
}

#[test]
fn updates_and_deletes_touch_matching_rows_once() {
    let bench = filled();
    let update = bench.update(Some(col("t.v").gt(lit(10))), &[("v", plus("t.v", 1))]);
    assert_eq!(bench.autocommit(&update).unwrap(), 2);
    assert_eq!(ints(&bench), [(1, 10), (2, 21), (3, 31)]);
    assert_eq!(bench.autocommit(&bench.delete(Some(col("t.id").eq(lit(2))))).unwrap(), 1);
    assert_eq!(ints(&bench), [(1, 10), (3, 31)]);
    assert_eq!(bench.autocommit(&bench.delete(None)).unwrap(), 2);
    assert!(ints(&bench).is_empty());
}

#[test]
fn keys_may_shift_onto_each_other_if_the_outcome_is_unique() {
    let bench = filled();
    assert_eq!(bench.autocommit(&bench.update(None, &[("id", plus("t.id", 1))])).unwrap(), 3);
    assert_eq!(ints(&bench), [(2, 10), (3, 20), (4, 30)]);
    let clash = bench.update(Some(col("t.id").eq(lit(2))), &[("id", lit(4))]);
    assert_eq!(bench.autocommit(&clash).unwrap_err().state(), SqlState::UNIQUE_VIOLATION);
    let all_one = bench.update(None, &[("id", lit(9))]);
    let error = bench.autocommit(&all_one).unwrap_err();
    assert_eq!(error.detail(), Some("Key (id)=(9) already exists."));
    assert_eq!(ints(&bench), [(2, 10), (3, 20), (4, 30)]);
}

#[test]
fn read_committed_evaluates_again_on_the_newest_row() {
    let bench = filled();
    let txn = bench.begin();
    let scope = bench.scope(Some(txn), 0);
    // Between the snapshot and the write: 1 changes but still qualifies, 2 changes and does not, 3 goes.
    bench.autocommit(&bench.update(Some(col("t.id").eq(lit(1))), &[("v", lit(15))])).unwrap();
    bench.autocommit(&bench.update(Some(col("t.id").eq(lit(2))), &[("v", lit(500))])).unwrap();
    bench.autocommit(&bench.delete(Some(col("t.id").eq(lit(3))))).unwrap();
    let update = bench.update(Some(col("t.v").lt(lit(100))), &[("v", plus("t.v", 1))]);
    let returned = values(&bench.table, &bench.run(&bench.returning(&update), scope).unwrap());
    assert_eq!(returned, [vec![Datum::Int32(1), Datum::Int32(16), Datum::Text("one".into())]]);
    bench.commit(txn);
    assert_eq!(ints(&bench), [(1, 16), (2, 500)]);
}

#[test]
fn repeatable_read_refuses_what_changed_meanwhile() {
    let bench = filled();
    let attempt = |target: i32, scope: crate::exec::StatementScope| {
        bench.write(&bench.update(Some(col("t.id").eq(lit(target))), &[("v", lit(0))]), scope)
    };
    let txn = bench.begin();
    let mut scope = bench.scope(Some(txn), 0);
    scope.read.isolation = IsolationLevel::RepeatableRead;
    bench.autocommit(&bench.update(Some(col("t.id").eq(lit(1))), &[("v", lit(15))])).unwrap();
    bench.autocommit(&bench.delete(Some(col("t.id").eq(lit(2))))).unwrap();
    let error = attempt(1, scope.clone()).unwrap_err();
    assert_eq!(error.state(), SqlState::SERIALIZATION_FAILURE);
    assert_eq!(error.message(), "could not serialize access due to concurrent update");
    assert_eq!(attempt(2, scope.clone()).unwrap_err().message(), "could not serialize access due to concurrent delete");
    assert_eq!(attempt(3, scope).unwrap(), 1, "untouched rows may be written");
}

#[test]
fn returning_gives_new_rows_and_for_delete_the_old_ones() {
    let bench = filled();
    let run = |plan| {
        let txn = bench.begin();
        let batches = bench.run(&bench.returning(&plan), bench.scope(Some(txn), 0)).unwrap();
        bench.commit(txn);
        values(&bench.table, &batches)
    };
    assert_eq!(run(bench.insert(vec![row(4, 40, "four")]))[0][1], Datum::Int32(40));
    assert_eq!(run(bench.update(Some(col("t.id").eq(lit(4))), &[("v", lit(41))]))[0][1], Datum::Int32(41));
    assert_eq!(run(bench.delete(Some(col("t.id").eq(lit(4)))))[0][1], Datum::Int32(41));
    assert_eq!(run(bench.delete(Some(col("t.id").eq(lit(4))))).len(), 0);
}

#[test]
fn tables_without_a_key_take_the_same_row_twice() {
    let bench = Bench::new(relation("t", &[("id", SqlType::Int4), ("v", SqlType::Int4)], &[]));
    let rows = || vec![vec![lit(1), lit(1)], vec![lit(1), lit(1)]];
    assert_eq!(bench.autocommit(&bench.insert(rows())).unwrap(), 2);
    assert_eq!(bench.autocommit(&bench.insert(rows())).unwrap(), 2);
    assert_eq!(bench.autocommit(&bench.update(None, &[("id", plus("t.id", 1))])).unwrap(), 4);
    assert_eq!(ints(&bench), [(2, 1); 4]);
}

#[test]
fn a_write_needs_a_transaction_and_stops_when_cancelled() {
    let bench = filled();
    let error = bench.write(&bench.delete(None), bench.scope(None, 0)).unwrap_err();
    assert_eq!(error.state(), SqlState::READ_ONLY_SQL_TRANSACTION);
    let txn = bench.begin();
    let scope = bench.scope(Some(txn), 0);
    scope.cancel.cancel();
    assert_eq!(bench.write(&bench.delete(None), scope).unwrap_err().state(), SqlState::QUERY_CANCELED);
}
