//! What other engines' sqllogictest files found. The answers are PostgreSQL's.

use super::Server;

fn check(statements: &[(&str, &str)]) {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table w (id int primary key, k int, v int); insert into w select g, g % 3, g from generate_series(1, 9) g; \
         create table z (i int primary key)",
    );
    for (sql, expected) in statements {
        let said = client.run(sql).lines().collect::<Vec<_>>().join(" ");
        assert!(
            if expected.starts_with("ERROR") { said.starts_with(expected) } else { said == *expected },
            "{sql}: {said}"
        );
    }
}

#[test]
fn windows_take_over_from_windows_that_take_over() {
    let by_key = "1|1 2|2 3|3 4|5 5|7 6|9 7|12 8|15 9|18";
    check(&[
        (
            "select id, sum(v) over (w2 rows unbounded preceding) from w window w1 as (partition by k), w2 as (w1 order by id) order by 1",
            by_key,
        ),
        (
            "select id, sum(v) over w3 from w window w1 as (partition by k), w2 as (w1), w3 as (w2 order by id) order by 1",
            by_key,
        ),
        (
            "select sum(v) over w1 from w window w1 as (w2), w2 as (order by id)",
            "ERROR 42704: window \"w2\" does not exist",
        ),
        ("select sum(v) over w1 from w window w1 as (w1)", "ERROR 42704: window \"w1\" does not exist"),
        ("select sum(v) over w2 from w window w1 as (order by k), w2 as (w1 order by v)", "ERROR 42P20"),
        ("select sum(v) over w2 from w window w1 as (order by k rows 1 preceding), w2 as (w1)", "ERROR 42P20"),
    ]);
}

#[test]
fn frames_that_end_before_they_begin_have_no_rows() {
    check(&[
        (
            "select id, count(*) over (order by id rows between 3 following and 1 following), \
             sum(v) over (partition by k order by id groups between 1 preceding and 2 preceding), \
             first_value(v) over (order by v range between 1 preceding and 3 preceding) from w where id < 4 order by 1",
            "1|0|| 2|0|| 3|0||",
        ),
        (
            "select count(*) over (order by id rows between 2 preceding and 2 preceding) from w where id < 4 order by id",
            "0 0 1",
        ),
        // All rows are peers.
        (
            "select id, first_value(k) over (partition by k range between current row and unbounded following), \
             count(*) over (range current row) from w where id < 4 order by 1",
            "1|1|3 2|2|3 3|0|3",
        ),
    ]);
}

#[test]
fn what_postgresql_does_not_read_is_refused() {
    check(&[
        ("select count(*) from w a join w b", "ERROR 42601"),
        ("select count(*) from w a positional join w b", "ERROR 42601"),
        ("select count(*) from w a cross join w b", "81"),
        ("select count(*) from w a join w b using (a.id)", "ERROR 42601"),
        ("select 1 on", "ERROR 42601"),
        ("select 1 day", "ERROR 42601"),
        ("select 1 as day, 2 as on, 3 top", "1|2|3"),
        ("insert into z (i) select 1 on conflict do nothing", "INSERT 0 1"),
        ("insert into z select 1 on conflict do nothing", "INSERT 0 0"),
        ("select 1 == 1", "ERROR 42883: operator does not exist: integer == integer"),
        ("select '1992-10/10'::date", "ERROR 22007"),
        ("select '1992/10/10'::date", "1992-10-10"),
    ]);
}

#[test]
fn numbers_end_where_postgresql_ends_them() {
    check(&[
        ("select 0b11, 0o17, 0x1F, 0X_ff, 1_000, 1_0.5_0, 1e1_0", "3|15|31|255|1000|10.50|10000000000"),
        (
            "select pg_typeof(0x7fffffff), pg_typeof(0x80000000), pg_typeof(0xffffffffffffffff)",
            "integer|bigint|numeric",
        ),
        (
            "select -0x80000000, 0x7fffffffffffffff, 0xffffffffffffffff",
            "-2147483648|9223372036854775807|18446744073709551615",
        ),
        ("select 123abc", "ERROR 42601: trailing junk after numeric literal at or near \"123abc\""),
        ("select 10__0", "ERROR 42601: trailing junk after numeric literal at or near \"10__0\""),
        ("select 0b12", "ERROR 42601: trailing junk after numeric literal at or near \"0b12\""),
        ("select 1.5x", "ERROR 42601: trailing junk after numeric literal at or near \"1.5x\""),
        ("select 1 where 1=1and 2=2", "ERROR 42601: trailing junk after numeric literal at or near \"1and\""),
        ("select 0x", "ERROR 42601: invalid hexadecimal integer at or near \"0x\""),
        ("select 1\"b\", 2 b", "1|2"),
    ]);
}

#[test]
fn a_fraction_after_two_parts_of_a_time_is_one_of_seconds() {
    check(&[
        (
            "select time '11:12.5', timestamp '2020-01-01 11:12.5', time '11:12.'",
            "00:11:12.5|2020-01-01 00:11:12.5|00:11:12",
        ),
        (
            "select time '11:', time '11:11:', time '11::5', interval '-1:', interval '00:00:'",
            "11:00:00|11:11:00|11:00:05|-01:00:00|00:00:00",
        ),
        ("select time '11:11:11:'", "ERROR 22007"),
        ("select interval '1:2:3:'", "ERROR 22007"),
        ("select interval 'P1DT1:2:'", "ERROR 22007"),
    ]);
}

#[test]
fn sets_of_sets_and_sources_in_brackets() {
    check(&[
        ("create table s (a int, b int); insert into s values (1, 1), (2, 1)", "CREATE TABLE INSERT 0 2"),
        ("select a as x, count(*) from s group by grouping sets (cube (x)), () order by 1", "1|1 2|1 |2"),
        (
            "select a, b, count(*) from s group by grouping sets (rollup ((a, b), b), (b)) order by 1, 2, 3",
            "1|1|1 1|1|1 2|1|1 2|1|1 |1|2 ||2",
        ),
        (
            "select a, b, count(*) from s group by grouping sets (grouping sets (a, ()), grouping sets (b)) order by 1, 2, 3",
            "1||1 2||1 |1|2 ||2",
        ),
        ("insert into s (values (3, default)) returning *", "3| INSERT 0 1"),
        ("insert into s as t ((values (4, 4), (5, 5)))", "INSERT 0 2"),
        ("insert into public.s ((select 6, 6)) on conflict do nothing", "INSERT 0 1"),
        ("select count(*) from s", "6"),
        (
            "select id, sum(v) over (order by id rows 1 preceding exclude no others) from w where id < 3 order by 1",
            "1|1 2|3",
        ),
        ("select sum(v) over (order by id rows 1 preceding exclude ties) from w", "ERROR 0A000"),
    ]);
}

#[test]
fn texts_go_on_only_on_another_line_and_are_no_names() {
    check(&[
        ("select 'a'\n'b' || 'c'  -- c\n  'd', e'\\x41'\n'B'", "abcd|AB"),
        ("select 'a' 'b'", "ERROR 42601: syntax error at or near \"'b'\""),
        ("select 'a' /* \n */ 'b'", "ERROR 42601"),
        ("select 1 as 'b'", "ERROR 42601: syntax error at or near \"'b'\""),
        ("select 1 'b'", "ERROR 42601: syntax error at or near \"'b'\""),
        ("select 1 from w 'b'", "ERROR 42601: syntax error at or near \"'b'\""),
        ("select 1 from (values (1)) as 'b'", "ERROR 42601: syntax error at or near \"'b'\""),
        ("select date '2024-01-01', interval '1' day, time(3) '11:00'", "2024-01-01|1 day|11:00:00"),
    ]);
}

#[test]
fn a_row_is_null_if_all_its_fields_are() {
    check(&[
        ("select row(null, null) is null, row(1, null) is not null, row(1, null) is null, row() is null", "t|f|f|t"),
        (
            "create table r (a int, b text); insert into r values (null, null), (1, null), (1, 'x')",
            "CREATE TABLE INSERT 0 3",
        ),
        (
            "select (a, b) is null, (a, b) is not null, r is null, r is not null from r order by a nulls first, b",
            "t|f|t|f f|t|f|t f|f|f|f",
        ),
        ("select count(*) from r where r is null", "1"),
        ("select count(*) from r where not (a, b) is null", "2"),
        ("select (select row(null, null)) is null, row(row(null, null), null) is null", "t|f"),
        ("select w.id from w left join r on r.a = w.id where r is null and w.id < 3 order by 1", "2"),
    ]);
}

/// One part of the divided outer join has no rows and drops its part of the join of shared build rows below its other side,
/// for which the other part waited.
#[test]
fn joins_do_not_wait_for_parts_that_nobody_asks() {
    let server = Server::with_threads(2);
    let mut client = server.client();
    client.run("create table n (i int); insert into n values (1), (2), (3), (null); set statement_timeout = '60s'");
    let said = client.run("select i = any (select i from n where i = o.i) from n o order by i");
    assert_eq!(said, "t\nt\nt\nf\n");
}

#[test]
fn a_join_waits_for_no_part_that_nobody_asks() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (v int); set statement_timeout = '20s'");
    for first in 0..24 {
        client.run(&format!("truncate t; insert into t values ({first}), ({}), (null)", first * 7 + 1));
        for of in [
            "v in (select i.v from t i where i.v = t.v)",
            "v = any (select i.v from t i where i.v = t.v)",
            "v in (select i.v from t i where i.v = t.v and i.v in (select j.v from t j where j.v = i.v))",
            "v in (with w as (select j.v from t j where j.v in (select v from t k where k.v = j.v)) \
             select a.v from w a join w b using (v) where a.v = t.v)",
        ] {
            let said = client.run(&format!("select v is null, {of} from t order by v"));
            assert_eq!(said, "f|t\nf|t\nt|f\n", "{first}: {of}");
        }
    }
}
