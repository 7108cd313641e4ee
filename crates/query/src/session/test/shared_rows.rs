//! WITH queries that are named more than once are computed once.

use super::Server;

#[test]
fn what_is_named_twice_is_computed_once() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table t (id int primary key, g int, v numeric(10,2)); \
         insert into t select n, n % 50, n * 0.25 from generate_series(1, 5000) n; create sequence s",
    );
    for (sql, expected) in [
        ("with r as (select random() as x) select a.x = b.x, a.x = (select x from r) from r a, r b", "t|t\n"),
        ("with r as (select nextval('s') as x) select a.x = b.x, currval('s') from r a, r b", "t|1\n"),
        (
            "with r as (select g, sum(v) as total from t group by g) \
             select count(*), max(total) from r where total = (select max(total) from r)",
            "1|63125.00\n",
        ),
        (
            "with r as (select g, sum(v) as total from t group by g), q as (select g from r where total > 62000) \
             select count(*), (select count(*) from q), (select min(total) from r where g = 3) from r join q using (g)",
            "45|45|61950.00\n",
        ),
        ("with r as (select id, random() as x from t limit 7) select count(*) from r a join r b using (id, x)", "7\n"),
        (
            "with r as (select count(*) as c from t) select (select c from r where t.id > 0) + c from t, r where id = 1",
            "10000\n",
        ),
        (
            "with recursive n as (select 1 as i union all select i + 1 from n where i < 5) \
             select count(*), sum(a.i * b.i) from n a, n b",
            "25|225\n",
        ),
        (
            "with r as (select g, count(*) as c from t group by g) \
             select count(*) from t where exists (select from r where r.g = t.g and r.c > 99) and g in (select g from r where g < 10)",
            "1000\n",
        ),
        (
            "with r as (select 1 as a union select 2) select * from r union all select * from r order by 1",
            "1\n1\n2\n2\n",
        ),
        (
            "with r as (select g from t order by id desc limit 3) select array_agg(g), (select count(*) from r) from r",
            "{0,49,48}|3\n",
        ),
        (
            "with r as (select max(id) as m from t) insert into t select m + 1, 0, (select m from r) from r returning id, v",
            "5001|5000.00\nINSERT 0 1\n",
        ),
    ] {
        assert_eq!(client.run(sql), expected, "{sql}");
    }
    // Conditions without columns stay where they are.
    let never = "with r as materialized (select true as c) select time '00:00' from r a cross join t right join r b on null::boolean";
    assert_eq!(client.run(never), "00:00:00\n");
    let twice = "with r as (select g, sum(v) as total from t group by g) select * from r where total = (select max(total) from r)";
    let plan = client.run(&format!("explain (costs off) {twice}"));
    assert_eq!(plan.matches("Materialize").count(), 2, "{plan}");
    let once =
        client.run("explain (costs off) with r as (select g, sum(v) from t group by g) select * from r where g = 3");
    assert!(!once.contains("Materialize"), "{once}");
    let copied = client.run(&format!("explain (costs off) {}", twice.replace(" as (", " as not materialized (")));
    assert!(!copied.contains("Materialize"), "{copied}");
    // A prepared statement computes it anew each time.
    client.run("prepare p as with r as (select count(*) as c from t) select a.c + b.c from r a, r b");
    assert_eq!(client.run("execute p"), "10002\n");
    client.run("delete from t where id > 10");
    assert_eq!(client.run("execute p"), "20\n");
}
