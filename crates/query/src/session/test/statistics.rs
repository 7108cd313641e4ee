use std::time::Duration;

use heliosdb_types::Datum;

use super::{Client, Server};

/// Calls, rows and tier of the statements whose text contains this.
fn counted(client: &mut Client, part: &str) -> String {
    let sql = format!(
        "select query, calls, rows, tier from pg_stat_statements
         where query like '%{part}%' and query not like '%pg_stat_statements%' order by query"
    );
    client.run(&sql)
}

#[test]
fn statements_are_counted_by_their_text_without_constants() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b text)");
    client.run("insert into t values (1, 'x'); insert into t values (2, 'y'); select pg_stat_statements_reset()");
    client.run("select b from t where a = 1");
    client.run("begin; SELECT b FROM t\nWHERE a = 2; select b from t where a = 77; commit");
    assert_eq!(counted(&mut client, "where a"), "select b from t where a = $1|3|2|direct\n");
    client.run("update t set b = 'z'");
    client.run("select count(*) from t group by b");
    assert_eq!(counted(&mut client, "update"), "update t set b = $1|1|2|direct\n");
    assert_eq!(counted(&mut client, "group"), "select count(*) from t group by b|1|1|analytical\n");
    // What failed is not counted.
    client.run("select 1 / (a - 1) from t");
    assert_eq!(counted(&mut client, "/"), "");
    client.run_with_data("copy t from stdin", "5\tq\n6\tr\n");
    client.run("set statement_timeout = '5s'");
    assert_eq!(counted(&mut client, "copy"), "copy t from stdin|1|2|utility\n");
    assert_eq!(counted(&mut client, "timeout"), "set statement_timeout = $1|1|0|utility\n");
}

#[test]
fn prepared_statements_count_as_what_they_run() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key)");
    client.run("insert into t values (1), (2)");
    let prepared = client.prepare("select a from t where a = $1").unwrap();
    assert_eq!(counted(&mut client, "where"), "", "prepared is not run");
    for value in [1, 2, 3] {
        client.run_prepared(&prepared, vec![Datum::Int32(value)]).unwrap();
    }
    assert_eq!(counted(&mut client, "where"), "select a from t where a = $1|3|2|direct\n");
    client.run("select pg_stat_statements_reset()");
    client.run_prepared(&prepared, vec![Datum::Int32(1)]).unwrap();
    assert_eq!(counted(&mut client, "where"), "select a from t where a = $1|1|1|direct\n");
    client.run("prepare p (int) as select a + 5 from t where a < $1; execute p(3); execute p(1); deallocate p");
    assert_eq!(counted(&mut client, "prepare"), "prepare p (int) as select a + $2 from t where a < $1|2|2|direct\n");
    assert_eq!(counted(&mut client, "execute") + &counted(&mut client, "deallocate"), "");
}

#[test]
fn others_statements_are_hidden_unless_one_may_read_all() {
    let server = Server::new();
    let mut root = server.client();
    root.run("create role bob login; create table t (a int); select count(*) from t");
    let mut bob = server.client_as("bob").unwrap();
    bob.run("select 7");
    let seen = "select query, queryid is null from pg_stat_statements where query like 'select%count%' or query = 'select $1' or query like '<%' group by 1, 2 order by 1";
    assert_eq!(bob.run(seen), "<insufficient privilege>|t\nselect $1|f\n");
    assert!(bob.run("select pg_stat_statements_reset()").starts_with("ERROR 42501"));
    let activity = "select count(*) from pg_stat_activity where query = '<insufficient privilege>' and state is null";
    assert_eq!(bob.run(activity), "1\n");
    root.run("grant pg_read_all_stats to bob");
    assert_eq!(bob.run(activity), "0\n");
    assert!(bob.run(seen).contains("select count(*) from t|f"));
    assert_eq!(root.run("select dealloc from pg_stat_statements_info"), "0\n");
}

#[test]
fn activity_shows_the_statement_that_runs_and_its_transaction() {
    let server = Server::new();
    let mut client = server.client();
    let me = "select state, xact_start = query_start, query_id is not null, query from pg_stat_activity where pid = pg_backend_pid()";
    assert_eq!(client.run(me), format!("active|t|t|{me}\n"));
    client.run("begin");
    server.clock.advance(Duration::from_secs(1));
    let in_block = "select query_start - xact_start from pg_stat_activity where pid = pg_backend_pid()";
    assert_eq!(client.run(in_block), "00:00:01\n");
    let same = "select count(*) from pg_stat_activity a join pg_stat_statements s on s.queryid = a.query_id";
    client.run("rollback");
    client.run(same);
    assert_eq!(client.run(same), "1\n");
}

#[test]
fn only_superusers_decide_what_is_logged() {
    let server = Server::new();
    let mut root = server.client();
    assert_eq!(
        root.run("set log_min_duration_statement = 250; show log_min_duration_statement; set log_min_duration_statement = -1; show log_min_duration_statement"),
        "SET\n250ms\nSET\n-1\n"
    );
    assert_eq!(root.run("set log_statement = 'mod'; show log_statement; reset log_statement"), "SET\nmod\nRESET\n");
    assert!(root.run("set log_statement = 'some'").starts_with("ERROR 22023"));
    assert!(root.run("set log_min_duration_statement = -2").starts_with("ERROR 22023"));
    root.run("create role bob login");
    let mut bob = server.client_as("bob").unwrap();
    for sql in [
        "set log_statement = 'all'",
        "reset log_statement",
        "select set_config('log_statement', 'all', false)",
        "alter role bob set log_statement = 'all'",
    ] {
        assert_eq!(bob.run(sql), "ERROR 42501: permission denied to set parameter \"log_statement\"\n", "{sql}");
    }
    root.run("alter role bob set log_statement = 'all'");
    let mut bob = server.client_as("bob").unwrap();
    assert_eq!(bob.run("show log_statement; reset all; show log_statement"), "all\nRESET\nall\n");
}

#[test]
fn a_databases_transactions_are_counted_by_their_end() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int)");
    let ends = "select xact_commit, xact_rollback, deadlocks from pg_stat_database where datname = 'postgres'";
    let before = client.run(ends);
    assert_eq!(before, "1|0|0\n");
    client.run("begin; insert into t values (1); rollback");
    client.run("begin; insert into t values (1); commit");
    client.run("begin; select 1 / 0");
    client.run("rollback");
    client.run("select 1 / 0");
    assert_eq!(client.run(ends), "3|3|0\n");
}

#[test]
fn tables_and_indexes_say_how_they_were_used() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, k int, s text); create index t_k on t (k); create table h (a int)");
    client.run("insert into t select g, g, 's' from generate_series(1, 1000) g; insert into h values (1), (2)");
    client.run("select s from t where id = 7; select s from t where k = 8; select count(*) from t");
    client.run("update t set s = 'x' where id in (1, 2); delete from t where id = 3; begin; delete from h; rollback");
    client.run_with_data("copy h from stdin", "7\n8\n9\n");
    let mut other = server.client();
    other.run("select s from t where id = 7; insert into t values (1, 1, '') on conflict (id) do update set s = 'y'");
    drop(other);
    assert_eq!(
        client.run("select relname, n_tup_ins, n_tup_upd, n_tup_del, seq_scan > 0, idx_scan > 2, idx_scan is null from pg_stat_user_tables order by 1"),
        "h|5|0|2|t||t\nt|1000|3|1|t|t|f\n"
    );
    let of_indexes = "select indexrelname, idx_scan, idx_tup_fetch from pg_stat_user_indexes order by 1";
    let used = client.run(of_indexes);
    assert!(used.contains("t_k|1|1\n"), "{used}");
    client.run("select s from t where id = 7");
    let again = client.run(of_indexes);
    assert_ne!(used, again, "the primary key was used once more");
    let of_database = "select tup_inserted, tup_updated, tup_deleted, tup_fetched > 3, tup_returned > 1000 from pg_stat_database where datname = 'postgres'";
    assert_eq!(client.run(of_database), "1005|3|3|t|t\n");
    let xid = "select backend_xid is null from pg_stat_activity where pid = pg_backend_pid()";
    assert_eq!(client.run(xid), "t\n");
    assert_eq!(
        client.run(&format!("begin; delete from h where a = 1; {xid}; rollback; {xid}")),
        "BEGIN\nDELETE 1\nf\nROLLBACK\nt\n"
    );
}
