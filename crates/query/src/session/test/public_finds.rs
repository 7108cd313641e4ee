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
