//! Statements that sessions take over from each other, and those that they must not.

use std::sync::Arc;

use heliosdb_types::Datum;

use super::{Client, Server};
use crate::session::PreparedStatement;

const TABLES: &str = "create table t (id int primary key, v int, at timestamptz);
    insert into t select g, g * 10, timestamptz '2024-05-17 23:30:00+00' from generate_series(0, 99) g";

/// Whether what two clients prepare from a text is compiled once.
fn share(one: &mut Client, other: &mut Client, sql: &str) -> bool {
    let (one, other) = (one.prepare(sql).unwrap(), other.prepare(sql).unwrap());
    let plan = |statement: &dyn heliosdb_contracts::Prepared| {
        let statement = statement.as_any().downcast_ref::<PreparedStatement>().unwrap();
        statement.plan.lock().clone().unwrap()
    };
    let (one, other) = (plan(&*one), plan(&*other));
    let shared = Arc::ptr_eq(&one.compiled, &other.compiled);
    assert_eq!(Arc::ptr_eq(&one.bound, &other.bound), shared, "{sql}");
    shared
}

fn two(server: &Server) -> (Client, Client) {
    (server.client(), server.client())
}

#[test]
fn what_one_session_has_prepared_the_others_take_over() {
    let server = Server::new();
    let (mut one, mut other) = two(&server);
    one.run(TABLES);
    for sql in [
        "select v from t where id = $1",
        "update t set v = v + $1 where id = $2",
        "insert into t values ($1, $2, now())",
        "select count(*), max(at) from t where v > $1",
        "select at::date from t where id = 7",
    ] {
        assert!(share(&mut one, &mut other, sql), "{sql}");
    }
    assert!(!share(&mut one, &mut other, "select v from t where id = 1 and at < 'now'"), "a time of one of them");
}

#[test]
fn values_are_those_of_who_runs_it() {
    let server = Server::new();
    let (mut one, mut other) = two(&server);
    one.run(TABLES);
    let sql = "select v from t where id = $1";
    let (a, b) = (one.prepare(sql).unwrap(), other.prepare(sql).unwrap());
    for id in 0..20 {
        assert_eq!(one.run_prepared(&a, vec![Datum::Int32(id)]).unwrap(), format!("{}\n", id * 10));
        assert_eq!(other.run_prepared(&b, vec![Datum::Int32(id + 1)]).unwrap(), format!("{}\n", id * 10 + 10));
    }
    // Literals, in the simple protocol, are such values too.
    for client in [&mut one, &mut other] {
        for id in 0..3 {
            assert_eq!(client.run(&format!("select v from t where id = {id}")), format!("{}\n", id * 10));
        }
    }
}

#[test]
fn sessions_run_one_statement_at_the_same_time() {
    let server = Server::new();
    server.client().run(TABLES);
    let sql = "select v + $1 from t where id = $2";
    std::thread::scope(|scope| {
        for number in 0..4 {
            let mut client = server.client();
            scope.spawn(move || {
                let statement = client.prepare(sql).unwrap();
                for id in 0..100 {
                    let found = client.run_prepared(&statement, vec![Datum::Int32(number), Datum::Int32(id)]).unwrap();
                    assert_eq!(found, format!("{}\n", id * 10 + number));
                }
            });
        }
    });
}

#[test]
fn what_is_a_sessions_own_stays_with_it() {
    let server = Server::new();
    let (mut one, mut other) = two(&server);
    one.run(TABLES);
    one.run("create sequence s; create view mine as select id, pg_backend_pid() as pid from t");
    for sql in [
        "select pg_backend_pid() from t where id = $1",
        "select current_setting('application_name'), v from t where id = $1",
        "insert into t values (nextval('s'), $1)",
        "select currval('s') from t where id = $1",
        "select * from mine where id = $1",
        "select relname from pg_class where oid = $1",
    ] {
        assert!(!share(&mut one, &mut other, sql), "{sql}");
    }
}

#[test]
fn names_zones_roles_and_definitions_decide() {
    let server = Server::new();
    let (mut one, mut other) = two(&server);
    one.run(TABLES);
    one.run(
        "create schema b; create table b.t (id int primary key, v text); insert into b.t values (1, 'of b');
        create role reader; grant usage on schema public to reader; grant select on t to reader",
    );
    let sql = "select v from t where id = $1";
    let mut look = |before: &str, after: &str| {
        other.run(before);
        let shared = share(&mut one, &mut other, sql);
        let statement = other.prepare(sql).unwrap();
        let found = other.run_prepared(&statement, vec![Datum::Int32(1)]);
        other.run(after);
        (shared, found.map_err(|error| error.state().to_string()).unwrap_or_else(|state| state))
    };
    assert_eq!(look("", ""), (true, "10\n".to_owned()));
    assert_eq!(look("set search_path to b", "reset search_path"), (false, "of b\n".to_owned()));
    assert_eq!(look("set role reader", "reset role"), (false, "10\n".to_owned()));
    assert_eq!(look("set application_name to x", "reset application_name"), (true, "10\n".to_owned()));
    let own = "create temp table t (id int primary key, v float8); insert into t values (1, 0.5)";
    assert_eq!(look(own, "drop table t"), (false, "0.5\n".to_owned()));

    let (mut one, mut other) = two(&server);
    let sql = "select at::date from t where id = $1";
    other.run("set time zone 'Asia/Tokyo'");
    assert!(!share(&mut one, &mut other, sql));
    for (client, day) in [(&mut one, "2024-05-17\n"), (&mut other, "2024-05-18\n")] {
        let statement = client.prepare(sql).unwrap();
        assert_eq!(client.run_prepared(&statement, vec![Datum::Int32(1)]).unwrap(), day);
    }

    let (mut one, mut other) = two(&server);
    one.run("begin; alter table t add w int default 5");
    let sql = "select * from t where id = $1";
    let inside = one.prepare(sql).unwrap();
    assert_eq!(inside.columns().map(<[_]>::len), Some(4));
    one.run("rollback");
    assert_eq!(other.prepare(sql).unwrap().columns().map(<[_]>::len), Some(3), "a definition that never was");
    one.run("alter table t add w int default 5");
    assert_eq!(other.prepare(sql).unwrap().columns().map(<[_]>::len), Some(4));
    assert!(share(&mut one, &mut other, sql));
}
