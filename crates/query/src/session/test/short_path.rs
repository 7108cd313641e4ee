//! Statements about few rows on both paths: compiled once with values put in, and planned anew each time.

use std::sync::Arc;

use heliosdb_contracts::ConnectRequest;
use heliosdb_types::Datum;

use super::{Client, Server};
use crate::session::{PreparedStatement, ScriptStatement, Session};

#[test]
fn a_join_by_key_is_compiled_once_and_more_rows_than_meant_take_the_full_path() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table item (id int primary key, price int, name text);
         create table line (o int, n int, item int, primary key (o, n));
         create index on item (price);
         insert into item select g, g % 7, 'item ' || g from generate_series(0, 3999) g;
         insert into line select 1, g, g * 2 from generate_series(0, 19) g;
         insert into line select 2, g, g from generate_series(0, 2999) g",
    );
    let mut tier = |sql: &str, values: Vec<Datum>| {
        let prepared = client.prepare(sql).unwrap();
        let rows = client.run_prepared(&prepared, values).unwrap();
        let text = sql.replace('\'', "''");
        let tier = client.run(&format!("select tier from pg_stat_statements where query = '{text}'"));
        (rows, tier.trim_end().to_owned())
    };
    let sums =
        "select count(distinct item.price), sum(line.n) from line, item where line.o = $1 and item.id = line.item";
    let answer = |rows: &str, tier: &str| (rows.to_owned(), tier.to_owned());
    assert_eq!(tier(sums, vec![Datum::Int32(1)]), answer("7|190\n", "direct"));
    let (rows, _) = tier(sums, vec![Datum::Int32(2)]);
    assert_eq!(rows, "7|4498500\n");
    assert!(tier(sums, vec![Datum::Null]).0.starts_with("0|"));
    let named = "select l.n, i.name from item i join line l on i.id = l.item where l.o = $1 and l.n < $2 order by l.n";
    let two = vec![Datum::Int32(1), Datum::Int32(2)];
    assert_eq!(tier(named, two), answer("0|item 0\n1|item 2\n", "direct"));
    // By an index, with several rows for each; of one side alone nothing is known.
    let like = "select count(*) from item a join item b on b.price = a.price where a.id = $1";
    assert_eq!(tier(like, vec![Datum::Int32(3)]).0, "571\n");
    let all = "select count(*) from line, item where item.id = line.item";
    assert_eq!(tier(all, vec![]), answer("3020\n", "analytical"));
    // A lock and a write evaluate rows again, one by one.
    let locks = "select i.name from line l join item i on i.id = l.item where l.o = $1 and l.n = $2 for update";
    assert_eq!(tier(locks, vec![Datum::Int32(1), Datum::Int32(0)]), answer("item 0\n", "analytical"));
}

#[test]
fn small_tables_and_the_first_rows_by_a_key_need_no_planning() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table small (id int primary key, v int, name text);
         create table large (id int primary key, v int, at int not null);
         create index on large (at desc);
         insert into small select g, g % 7, 'row ' || g from generate_series(0, 99) g;
         insert into large select g, g % 7, g * 3 from generate_series(0, 4999) g",
    );
    let mut tier = |sql: &str| {
        let prepared = client.prepare(sql).unwrap();
        client.run("select pg_stat_statements_reset()");
        let rows = client.run_prepared(&prepared, Vec::new()).unwrap();
        let tier = client.run("select tier from pg_stat_statements where query not like '%_reset%'");
        (rows.trim_end().to_owned(), tier.trim_end().to_owned())
    };
    let answer = |rows: &str, tier: &str| (rows.to_owned(), tier.to_owned());
    assert_eq!(tier("select count(*), max(id) from small where v = 3"), answer("14|94", "direct"));
    assert_eq!(
        tier("select id from small where name like '%9' and id > 70 order by v, id"),
        answer("99\n79\n89", "direct")
    );
    assert_eq!(tier("update small set v = v + 1 where name = 'row 7'"), answer("UPDATE 1", "direct"));
    assert_eq!(tier("select id from large order by id desc limit 2"), answer("4999\n4998", "direct"));
    assert_eq!(tier("select id from large where id > 70 order by id limit 2"), answer("71\n72", "direct"));
    assert_eq!(tier("select id from large order by at desc limit 2 offset 1"), answer("4998\n4997", "direct"));
    assert_eq!(tier("select v from large where id in (8, 3, 9, 3, null) order by id"), answer("3\n1\n2", "direct"));
    assert_eq!(tier("delete from large where id = 17 or id = 18 returning id"), answer("17\n18\nDELETE 2", "direct"));
    // Neither few rows nor the first ones.
    assert_eq!(tier("select count(*) from large where v = 3"), answer("713", "analytical"));
    assert_eq!(tier("select id from large where v = 3 order by id limit 2"), answer("3\n10", "analytical"));
    assert_eq!(tier("select id from large order by v, id limit 1"), answer("0", "analytical"));
    // Much is made of each row, or it may take long.
    assert_eq!(tier("select sum(factorial(v % 3)) from small"), answer("128", "analytical"));
    assert_eq!(tier("select sum(length(repeat(name, 9))) from small"), answer("5310", "analytical"));
    // A table that has grown meanwhile.
    let prepared = client.prepare("select count(*) from small where v >= 0").unwrap();
    assert_eq!(client.run_prepared(&prepared, Vec::new()).unwrap(), "100\n");
    client.run("begin; insert into small select g, g % 7, '' from generate_series(100, 3999) g");
    assert_eq!(client.run_prepared(&prepared, Vec::new()).unwrap(), "4000\n", "its own rows nobody counts");
    client.run("commit");
    assert_eq!(client.run_prepared(&prepared, Vec::new()).unwrap(), "4000\n");
    assert_eq!(value(&mut client, "select count(*) from small where v >= 0 limit 1 + 0"), "4000");
}

fn value(client: &mut Client, sql: &str) -> String {
    client.run(sql).trim_end().to_owned()
}

#[test]
fn what_is_remembered_follows_the_catalog_and_the_settings() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, v int); insert into t values (1, 10), (2, 20)");
    for n in [1, 2, 1, 2] {
        assert_eq!(value(&mut client, &format!("select v from t where id = {n}")), (n * 10).to_string());
    }
    // Another type for the same column, another table for the same name.
    client.run("alter table t alter v type text using v || '!'");
    assert_eq!(value(&mut client, "select v from t where id = 2"), "20!");
    assert_eq!(value(&mut client, "select v from t where id = 1"), "10!");
    client.run(
        "create schema other; create table other.t (id int primary key, v int); insert into other.t values (1, 77)",
    );
    client.run("set search_path = other");
    for _ in 0..3 {
        assert_eq!(value(&mut client, "select v from t where id = 1"), "77");
    }
    client.run("set search_path = public; drop table t");
    assert!(client.run("select v from t where id = 1").starts_with("ERROR 42P01"));
}

/// What a text of the simple protocol is run as, if it is not prepared anew.
fn known(client: &mut Client, sql: &str) -> Option<Arc<PreparedStatement>> {
    let script = client.session.parse_script(sql).unwrap();
    match script[0].as_any().downcast_ref::<ScriptStatement>().unwrap() {
        ScriptStatement::Templated(templated) => Some(Arc::clone(&templated.prepared)),
        ScriptStatement::Parsed { .. } => None,
    }
}

#[test]
fn pages_that_differ_in_where_they_begin_are_one_statement() {
    let server = Server::new();
    let mut client = server.client();
    client
        .run("create table t (id int primary key, v int); insert into t select g, -g from generate_series(1, 5000) g");
    let page = |after: i32| format!("select id, 'page' as what from t where id > {after} order by id limit 2");
    for after in [7, 2000, 4998] {
        assert_eq!(client.run(&page(after)), format!("{}|page\n{}|page\n", after + 1, after + 2));
    }
    let [first, other] = [1, 2].map(|after| known(&mut client, &page(after)).unwrap());
    assert!(Arc::ptr_eq(&first, &other));
    // Positions are no values.
    for after in [7, 2000, 4998] {
        let by_position = format!("select v, id from t where id > {after} order by 1 limit 1");
        assert!(known(&mut client, &by_position).is_none());
        assert_eq!(client.run(&by_position), "-5000|5000\n");
        assert_eq!(
            value(&mut client, &format!("select v from t where id > {after} order by id desc, 1 limit 1")),
            "-5000"
        );
    }
}

#[test]
fn a_text_that_comes_again_and_again_is_prepared_once() {
    let server = Server::new();
    let mut client = server.client();
    client
        .run("create table t (id int primary key, v int); insert into t select g, g % 3 from generate_series(1, 30) g");
    let sql = "-- groups\nselect v, count(*), sum(id) from t group by v order by v";
    assert_eq!(client.run(sql), "0|10|165\n1|10|145\n2|10|155\n");
    assert!(known(&mut client, sql).is_none());
    assert_eq!(client.run(sql), "0|10|165\n1|10|145\n2|10|155\n");
    let first = known(&mut client, sql).unwrap();
    client.run("insert into t values (31, 7)");
    assert_eq!(client.run(sql), "0|10|165\n1|10|145\n2|10|155\n7|1|31\n");
    assert!(Arc::ptr_eq(&first, &known(&mut client, sql).unwrap()));
    // Another type for the same column, in a block that is undone too.
    client.run("begin; alter table t alter v type text using '<' || v || '>'; delete from t where id > 2");
    for _ in 0..4 {
        assert_eq!(client.run(sql), "<1>|1|1\n<2>|1|2\n");
    }
    client.run("rollback");
    for _ in 0..4 {
        assert_eq!(client.run(sql), "0|10|165\n1|10|145\n2|10|155\n7|1|31\n");
    }
    // A parameter is not one of a text.
    let with = "select count(*) from t where v > $1";
    client.prepare(with).unwrap();
    for _ in 0..4 {
        assert!(client.run(with).starts_with("ERROR 42P02"), "{}", client.run(with));
    }
    // The time it says is that of its execution.
    let timed =
        "select count(*) from t where now() > 'now'::timestamptz + interval '1 hour' or clock_timestamp() < now()";
    for _ in 0..4 {
        assert_eq!(client.run(timed), "0\n");
        assert!(known(&mut client, timed).is_none());
    }
    let drawn = "select count(distinct random()) > 1 from t";
    for _ in 0..4 {
        assert_eq!(client.run(drawn), "t\n");
    }
    client.run("begin; select 1 / 0");
    assert!(client.run(sql).starts_with("ERROR 25P02"));
    client.run("rollback; drop table t");
    assert!(client.run(sql).starts_with("ERROR 42P01"));
}

#[test]
fn a_statement_prepared_twice_is_prepared_once() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, v int); insert into t values (1, 10)");
    let sql = "select v from t where id = $1";
    let (first, second) = (client.prepare(sql).unwrap(), client.prepare(sql).unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(client.run_prepared(&second, vec![Datum::Int32(1)]).unwrap(), "10\n");
    assert_eq!(client.run_prepared(&first, vec![Datum::Null]).unwrap(), "");
    client.run("alter table t alter v type bigint");
    let third = client.prepare(sql).unwrap();
    assert!(!Arc::ptr_eq(&first, &third));
    assert!(client.run_prepared(&first, vec![Datum::Int32(1)]).is_err(), "its result has another type");
    assert_eq!(client.run_prepared(&third, vec![Datum::Int32(1)]).unwrap(), "10\n");
}

#[test]
fn a_running_statement_is_small() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, v int)");
    let prepared = client.prepare("insert into t values ($1, $2)").unwrap();
    let request = ConnectRequest {
        user: "postgres".to_owned(),
        database: "postgres".to_owned(),
        peer: None,
        pid: 7,
        parameters: Vec::new(),
    };
    let mut session = Session::connect(Arc::clone(&server.engine), request).unwrap();
    let of = prepared.as_any().downcast_ref::<PreparedStatement>().unwrap();
    let size = size_of_val(&session.execute_metered(of, None, Vec::new()));
    // It is allocated for each statement, and the allocator tidies up for what is large.
    assert!(size <= 4_096, "{size} bytes");
}
