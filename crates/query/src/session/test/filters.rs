//! FILTER of aggregates: what the condition does not keep is not computed.

use super::Server;

#[test]
fn arguments_are_computed_of_the_rows_that_are_kept() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (g int, x int, s text); insert into t values (1, 0, 'no'), (1, 2, '4'), (2, 4, '8'), (2, 0, null)");
    for (sql, expected) in [
        ("select sum(8 / x) filter (where x <> 0) from t", "6\n"),
        (
            "select g, sum(8 / x) filter (where x <> 0), count(*) filter (where x <> 0) from t group by g order by g",
            "1|4|1\n2|2|1\n",
        ),
        (
            "select g, array_agg(8 / x order by 1 / x) filter (where x <> 0) from t group by g order by g",
            "1|{4}\n2|{2}\n",
        ),
        ("select count(distinct 8 / x) filter (where x <> 0) from t", "2\n"),
        (
            "select g, string_agg((s::int + 1)::text, ',') filter (where s ~ '^[0-9]+$') from t group by g order by g",
            "1|5\n2|9\n",
        ),
        ("select percentile_disc(1) within group (order by 8 / x) filter (where x <> 0) from t", "4\n"),
        (
            "select sum(8 / x) filter (where x <> 0) over (), count(*) filter (where x > 2) over () from t limit 1",
            "6|1\n",
        ),
        (
            "select x, sum(8 / x) filter (where x <> 0) over (order by g, x rows 1 preceding), \
             count(*) filter (where x <> 0) over (order by g, x), array_agg(8 / x) filter (where x <> 0) over (order by g, x) \
             from t order by g, x",
            "0||0|\n2|4|1|{4}\n0|4|1|{4}\n4|2|2|{4,2}\n",
        ),
        ("select count(1) filter (where x > 0) over (), max('a') filter (where x > 9) over () from t limit 1", "2|\n"),
        (
            "select regr_count(8 / x, x) filter (where x > 0) over (), string_agg(s, '-') filter (where x > 0) over (order by g) from t limit 1",
            "2|4\n",
        ),
        ("select count(*) filter (where x = (select max(x) from t)) from t", "1\n"),
    ] {
        assert_eq!(client.run(sql), expected, "{sql}");
    }
    // A condition that may say something else the second time is asked once.
    let both = "select count(*) filter (where c) - count(v) filter (where c) from \
                (select random() < 0.5 as c, g + 0 as v from t, generate_series(1, 500)) r";
    assert_eq!(client.run(both), "0\n");
    let random = "select sum(case when v is null then 1 else 0 end) filter (where random() < 0.5) from (select g + 0 as v from t, generate_series(1, 500)) r";
    assert_eq!(client.run(random), "0\n");
    assert!(client.run("select g, sum(8 / x) filter (where x = 0) from t group by g").contains("ERROR 22012"));
}

#[test]
fn all_rows_are_not_told_apart_and_few_keys_have_bits() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (g int)");
    let many = |count: usize| vec!["g"; count].join(", ");
    for sql in ["select count(distinct *) from t", "select count(all *) from t", "select count(* order by g) from t"] {
        assert!(client.run(sql).starts_with("ERROR 42601: "), "{sql}");
    }
    let wide = client.run(&format!("select grouping({}) from t group by g", many(32)));
    assert_eq!(wide, "ERROR 54023: GROUPING must have fewer than 32 arguments\n");
    assert_eq!(client.run(&format!("select grouping({}) from t group by g", many(31))), "");
}
