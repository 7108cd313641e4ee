use heliosdb_contracts::TransactionStatus;
use heliosdb_runtime::Clock;
use heliosdb_types::{Datum, SqlState};

use super::{SEATS, Server};

#[test]
fn a_block_commits_or_leaves_nothing() {
    let server = Server::new();
    let mut one = server.client();
    let mut two = server.client();
    one.run("create table t (a int primary key, b text)");
    assert_eq!(one.run("begin; insert into t values (1, 'x'); select b from t"), "BEGIN\nINSERT 0 1\nx\n");
    assert_eq!(one.status(), TransactionStatus::InTransaction);
    assert_eq!(two.run("select * from t"), "");
    assert_eq!(one.run("commit"), "COMMIT\n");
    assert_eq!(two.run("select * from t"), "1|x\n");
    assert_eq!(one.run("begin; delete from t; rollback; select * from t"), "BEGIN\nDELETE 1\nROLLBACK\n1|x\n");
}

#[test]
fn in_a_block_rows_wait_for_what_they_show_and_counts_do_not() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b text); insert into t values (1, 'x')");
    let mut waits = |script: &str| {
        let before = server.shard.settled();
        client.run(script);
        server.shard.settled() - before
    };
    assert_eq!(waits("begin"), 0);
    assert_eq!(waits("update t set b = 'y'"), 0);
    assert_eq!(waits("insert into t values (2, 'z')"), 0);
    assert_eq!(waits("delete from t where a = 2"), 0);
    assert!(waits("select b from t where a = 1") > 0, "the short path");
    assert!(waits("select count(*) from t") > 0);
    assert!(waits("update t set b = 'w' returning b") > 0);
    assert!(waits("with changed as (update t set b = 'v' returning b) select * from changed") > 0);
    assert!(waits("copy t to stdout") > 0);
    assert!(waits("declare c cursor for select * from t") > 0);
    assert_eq!(waits("fetch c"), 0, "what it shows was written before it");
    assert_eq!(waits("commit"), 0);
    assert_eq!(waits("select b from t"), 0, "committed rows can be seen once they are durable");
}

#[test]
fn a_failed_block_ignores_everything_but_its_end() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key)");
    let failed = client.run("begin; insert into t values (1); select 1/0");
    assert_eq!(failed, "BEGIN\nINSERT 0 1\nERROR 22012: division by zero\n");
    assert_eq!(client.status(), TransactionStatus::Failed);
    let ignored = "ERROR 25P02: current transaction is aborted, commands ignored until end of transaction block\n";
    assert_eq!(client.run("select 1"), ignored);
    assert_eq!(client.run("begin"), ignored);
    assert_eq!(client.run("commit"), "ROLLBACK\n");
    assert_eq!(client.status(), TransactionStatus::Idle);
    assert_eq!(client.run("select count(*) from t"), "0\n");
}

#[test]
fn statements_of_one_message_are_one_transaction() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int)");
    let failed = client.run("insert into t values (1); insert into t values (2); select 1/0");
    assert!(failed.ends_with("division by zero\n"), "{failed}");
    assert_eq!(client.run("select count(*) from t"), "0\n");
    // BEGIN takes in what came before it; COMMIT ends it.
    client.run("insert into t values (1); begin; insert into t values (2); commit; insert into t values (3)");
    assert_eq!(client.run("select count(*) from t"), "3\n");
    assert_eq!(client.status(), TransactionStatus::Idle);
}

#[test]
fn warnings_tell_of_blocks_that_are_not_there() {
    let server = Server::new();
    let mut client = server.client();
    assert_eq!(client.run("commit"), "COMMIT\nWARNING: there is no transaction in progress\n");
    assert_eq!(client.run("abort"), "ROLLBACK\nWARNING: there is no transaction in progress\n");
    assert_eq!(client.run("begin; begin"), "BEGIN\nBEGIN\nWARNING: there is already a transaction in progress\n");
    assert_eq!(client.run("rollback and chain"), "ROLLBACK\n");
    assert_eq!(client.status(), TransactionStatus::InTransaction);
}

#[test]
fn repeatable_read_keeps_its_snapshot() {
    let server = Server::new();
    let mut one = server.client();
    let mut two = server.client();
    one.run("create table t (a int primary key); insert into t values (1)");
    one.run("begin isolation level repeatable read; select * from t");
    two.run("insert into t values (2)");
    assert_eq!(one.run("select count(*) from t; show transaction_isolation"), "1\nrepeatable read\n");
    let too_late = one.run("set transaction isolation level read committed");
    assert!(too_late.starts_with("ERROR 25001"), "{too_late}");
    one.run("rollback");
    assert_eq!(one.run("select count(*) from t"), "2\n");
    let serializable = one.run("begin isolation level serializable; show transaction_isolation; commit");
    assert_eq!(serializable, "BEGIN\nserializable\nCOMMIT\n");
    let deferrable = one.run("begin isolation level serializable, read only, deferrable; show transaction_deferrable");
    assert_eq!(deferrable, "BEGIN\non\n");
    assert_eq!(one.run("select count(*) from t; rollback"), "2\nROLLBACK\n");
}

#[test]
fn read_only_transactions_refuse_writes() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a serial)");
    for (statement, command) in [
        ("insert into t values (1)", "INSERT"),
        ("create table u (a int)", "CREATE TABLE"),
        ("truncate t", "TRUNCATE TABLE"),
        ("select nextval('t_a_seq')", "nextval()"),
    ] {
        let refused = client.run(&format!("begin read only; {statement}"));
        let expected = format!("BEGIN\nERROR 25006: cannot execute {command} in a read-only transaction\n");
        assert_eq!(refused, expected);
        client.run("rollback");
    }
    assert_eq!(client.run("set default_transaction_read_only = on; show transaction_read_only"), "SET\noff\n");
    assert!(client.run("delete from t").starts_with("ERROR 25006"));
}

#[test]
fn definitions_roll_back_with_their_transaction() {
    let server = Server::new();
    let mut one = server.client();
    let mut two = server.client();
    one.run("create table t (a int); insert into t values (1)");
    let block = "begin; create schema s; create table s.u (a int); insert into s.u values (7); \
        alter table t add column b int default 5; select * from s.u; select * from t; drop table s.u";
    let inside = one.run(block);
    assert!(inside.contains("7\n1|5\nDROP TABLE"), "{inside}");
    assert_eq!(two.run("select 1 from pg_namespace where nspname = 's'"), "");
    one.run("rollback");
    assert_eq!(one.run("select * from t"), "1\n");
    assert!(one.run("select * from s.u").starts_with("ERROR 42P01"));
}

#[test]
fn a_prepared_statement_follows_the_catalog() {
    let server = Server::new();
    let mut one = server.client();
    let mut two = server.client();
    one.run("create table t (a int primary key, b text); insert into t values (1, 'x')");
    let named = one.prepare("select b from t where a = $1").unwrap();
    let all = one.prepare("select * from t").unwrap();
    assert_eq!(one.run_prepared(&named, vec![Datum::Int32(1)]).unwrap(), "x\n");
    assert_eq!(one.run_prepared(&all, vec![]).unwrap(), "1|x\n");
    two.run("alter table t add column c int");
    assert_eq!(one.run_prepared(&named, vec![Datum::Int32(1)]).unwrap(), "x\n");
    let changed = one.run_prepared(&all, vec![]).unwrap_err();
    assert_eq!(changed.message(), "cached plan must not change result type");
    two.run("drop table t");
    assert_eq!(one.run_prepared(&named, vec![Datum::Int32(1)]).unwrap_err().state(), SqlState::UNDEFINED_TABLE);
    let missing = one.run_prepared(&named, vec![]).unwrap_err();
    assert_eq!(missing.state(), SqlState::PROTOCOL_VIOLATION);
}

#[test]
fn sql_level_prepare() {
    let server = Server::new();
    let mut client = server.client();
    assert_eq!(client.run("prepare p (int) as select $1 + 1; execute p(2); execute p(2 * 5)"), "PREPARE\n3\n11\n");
    assert!(client.run("prepare p as select 1").starts_with("ERROR 42P05"));
    assert!(client.run("execute p").starts_with("ERROR 42601"));
    assert_eq!(client.run("deallocate p"), "DEALLOCATE\n");
    assert!(client.run("execute p(1)").starts_with("ERROR 26000"));
}

#[test]
fn a_dropped_session_leaves_no_locks() {
    let server = Server::new();
    let mut one = server.client();
    one.run("create table t (a int primary key); insert into t values (1)");
    let mut two = server.client();
    two.run("begin; update t set a = 2");
    assert!(one.run("delete from t").starts_with("ERROR 55P03"), "the shard of these tests does not wait");
    drop(two);
    assert_eq!(one.run("delete from t"), "DELETE 1\n");
}

#[test]
fn the_statement_timeout_stops_a_statement() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int); insert into t select * from generate_series(1, 2000)");
    client.run("set statement_timeout = '1s'");
    let clock = server.clock.clone();
    let ticking = std::thread::spawn(move || {
        for _ in 0..400 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            clock.advance(std::time::Duration::from_millis(100));
        }
    });
    let stopped = client.run("select count(*) from t a, t b, t c where a.a + b.a + c.a = 7");
    assert_eq!(stopped, "ERROR 57014: canceling statement due to statement timeout\n");
    ticking.join().unwrap();
}

#[test]
fn queries_beyond_the_seats_wait_and_are_shown_waiting() {
    let server = Server::new();
    let mut first = server.client();
    first.run("create table t (a int); insert into t select * from generate_series(1, 60)");
    // In small steps, so that the threads it shares with the others are free now and then.
    let slow = "set statement_timeout = '60s'; \
                select count(*) filter (where a.a + b.a + c.a + d.a + e.a = 7) from t a, t b, t c, t d, t e";
    let step = || std::thread::sleep(std::time::Duration::from_millis(5));
    std::thread::scope(|scope| {
        for mut client in (0..SEATS).map(|_| server.client()) {
            let ended = "SET\nERROR 57014: canceling statement due to statement timeout\n";
            scope.spawn(move || assert_eq!(client.run(slow), ended));
        }
        while server.engine.query_queue().running < SEATS {
            step();
        }
        let mut late = server.client();
        let late = scope.spawn(move || late.run("set admission_timeout = '1s'; select sum(a) from t group by a % 2"));
        while server.engine.query_queue().waiting == 0 {
            step();
        }
        // What needs no seat goes on: catalogs, small tables, writes.
        let waiting = "select wait_event_type, wait_event, query from pg_stat_activity where wait_event_type = 'IPC'";
        let shown = "IPC|QueryAdmission|set admission_timeout = '1s'; select sum(a) from t group by a % 2\n";
        assert_eq!(first.run(waiting), shown);
        assert_eq!(first.run("insert into t select 1 from t where a < 3"), "INSERT 0 2\n");
        while !late.is_finished() {
            server.clock.advance(std::time::Duration::from_millis(100));
            step();
        }
        let refused = late.join().unwrap();
        while server.engine.query_queue().running > 0 {
            server.clock.advance(std::time::Duration::from_secs(5));
            step();
        }
        let said = "SET\nERROR 53000: canceling statement due to admission timeout\n";
        assert!(refused.starts_with(said), "{refused}");
    });
    assert_eq!(first.run("select count(*) from t"), "62\n");
}

/// A window over a moving frame is computed between two yields; cancelled, it leaves its thread all the same.
#[test]
fn a_cancelled_window_gives_its_thread_back() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, i interval); insert into t select n, n * interval '1 hour' from generate_series(1, 30000) n");
    client.run("set statement_timeout = '1s'");
    let clock = server.clock.clone();
    let ticking = std::thread::spawn(move || {
        for _ in 0..1000 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            clock.advance(std::time::Duration::from_millis(100));
        }
    });
    let slow = "select count(*) from (select max(i) over (order by a rows between current row and unbounded following) m from t) s where m is null";
    // The pool has two threads: with both taken, the last statement would wait for minutes.
    for _ in 0..3 {
        assert_eq!(client.run(slow), "ERROR 57014: canceling statement due to statement timeout\n");
    }
    client.run("set statement_timeout = 0");
    let began = std::time::Instant::now();
    assert_eq!(client.run("select sum(a) from t where a <= 10"), "55\n");
    assert!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
    ticking.join().unwrap();
}

/// The wall may be set back, by an administrator or by NTP: times are what the wall says, as in PostgreSQL; order, visibility and
/// waiting are not.
#[test]
fn a_clock_set_back_moves_now_and_nothing_else() {
    const HOUR: i64 = 3_600_000_000;
    let server = Server::new();
    let (mut a, mut b) = (server.client(), server.client());
    a.run("create table t (id int primary key, at timestamptz default now()); insert into t values (1)");
    a.run("begin; insert into t values (2)");
    let before = a.run("select now()");
    server.clock.set_wall(server.clock.now_micros() - HOUR);
    // A transaction keeps its time; the next one's is the wall's, which is earlier.
    assert_eq!(a.run("select now()"), before);
    assert_eq!(a.run("commit"), "COMMIT\n");
    assert_eq!(
        b.run("insert into t values (3); select id, at from t order by id"),
        "INSERT 0 1\n1|2024-05-17 12:30:00+00\n2|2024-05-17 12:30:00+00\n3|2024-05-17 11:30:00+00\n"
    );
    // What was committed before is seen, what is committed now is seen next, and rows change as ever.
    assert_eq!(a.run("update t set at = now() where id = 1; select count(*) from t"), "UPDATE 1\n3\n");
    assert_eq!(b.run("select at from t where id = 1"), "2024-05-17 11:30:00+00\n");
    // Timeouts count what passes, not what the wall says.
    let clock = server.clock.clone();
    let ticking = std::thread::spawn(move || {
        for _ in 0..400 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            clock.set_wall(clock.now_micros() - HOUR);
            clock.advance(std::time::Duration::from_millis(100));
        }
    });
    assert_eq!(
        b.run("set statement_timeout = '1s'; select pg_sleep(3600)"),
        "SET\nERROR 57014: canceling statement due to statement timeout\n"
    );
    assert_eq!(a.run("select pg_sleep(0.2)"), "\n");
    ticking.join().unwrap();
}
