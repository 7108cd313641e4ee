//! ANALYZE: what it finds, keeps and shows; who may; what becomes of it when tables change.

use super::Server;

const STATS: &str = "select attname, null_frac, avg_width, n_distinct, most_common_vals, most_common_freqs,
    histogram_bounds, correlation from pg_stats where tablename = 't' order by attname";

#[test]
fn a_small_table_is_counted_exactly() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b text, c numeric(10,2))");
    client.run("insert into t select i, case when i % 4 = 0 then null else 'v' || i % 3 end, i % 50 from generate_series(1, 200) i");
    assert_eq!(client.run(STATS), "");
    let said = client.run("analyze verbose t");
    assert!(said.contains("INFO: analyzing \"public.t\"\n") && said.contains("ANALYZE\n"), "{said}");
    let found = client.run(STATS);
    let lines: Vec<&str> = found.lines().collect();
    assert!(lines[0].starts_with("a|0|4|-1|||{1,2,4,") && lines[0].ends_with("200}|1"), "{found}");
    assert_eq!(lines[1], "b|0.25|3|3|{v0,v1,v2}|{0.25,0.25,0.25}||0.33285925", "{found}");
    assert!(lines[2].starts_with("c|0|4|-0.25|{0.00,1.00,"), "{found}");
    assert_eq!(client.run("select reltuples from pg_class where relname = 't'"), "200\n");
    let counted = "select n_mod_since_analyze, last_analyze is not null, last_autoanalyze is null, analyze_count
        from pg_stat_user_tables";
    assert_eq!(client.run(counted), "0|t|t|1\n");
    client.run("delete from t where a > 190");
    assert_eq!(client.run(counted), "10|t|t|1\n");
}

#[test]
fn statistics_follow_their_transaction_and_their_columns() {
    let server = Server::new();
    let (mut client, mut other) = (server.client(), server.client());
    client.run("create table t (a int, b int, c int); insert into t select i, i % 5, 7 from generate_series(1, 100) i");
    client.run("begin; analyze t");
    let names = "select string_agg(attname, ',' order by attname) from pg_stats where tablename in ('t', 'u')";
    assert_eq!(client.run(names), "a,b,c\n");
    assert_eq!(other.run(names), "\n", "not committed");
    client.run("rollback");
    assert_eq!(client.run(names), "\n");
    client.run("analyze t (c, a)");
    assert_eq!(other.run(names), "a,c\n");
    client.run("analyze; alter table t rename a to x; alter table t alter b type bigint; alter table t rename to u");
    assert_eq!(other.run(names), "c,x\n", "b is of another type");
    client.run("alter table u drop column c");
    assert_eq!(other.run(names), "x\n");
    client.run("vacuum analyze u");
    assert_eq!(other.run(names), "b,x\n");
    client.run("drop table u; create table u (x int)");
    assert_eq!(other.run(names), "\n");
    assert_eq!(client.run("select count(*) from pg_helios.statistics"), "0\n", "nothing is left behind");
}

#[test]
fn targets_bound_what_is_kept() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b int); insert into t select i, i from generate_series(1, 1000) i");
    client.run("alter table t alter column a set statistics 4, alter b set statistics 0");
    assert_eq!(
        client.run(
            "select attname, attstattarget from pg_attribute where attrelid = 't'::regclass and attnum > 0 order by 1"
        ),
        "a|4\nb|0\n"
    );
    client.run("analyze t");
    assert_eq!(client.run("select attname, histogram_bounds from pg_stats"), "a|{1,250,500,750,1000}\n");
    client.run("alter table t alter b set statistics -1; set default_statistics_target = 5; analyze t (b)");
    assert_eq!(
        client.run("select attname, histogram_bounds from pg_stats where attname = 'b'"),
        "b|{1,200,400,600,800,1000}\n"
    );
    assert_eq!(client.run("alter table t alter a set statistics -2"), "ERROR 22023: statistics target -2 is too low\n");
    assert!(
        client
            .run("alter table t alter a set statistics 20000")
            .contains("WARNING: lowering statistics target to 10000")
    );
    assert!(client.run("set default_statistics_target = 0").starts_with("ERROR 22023"));
}

#[test]
fn owners_analyze_and_readers_see() {
    let server = Server::new();
    let mut admin = server.client();
    admin
        .run("create role ann login; create role bob login; create table t (a int, b int); alter table t owner to ann");
    admin.run("insert into t select i, i from generate_series(1, 10) i; create view v as select 1");
    let mut bob = server.client_as("bob").unwrap();
    let skipped = bob.run("analyze t");
    assert_eq!(skipped, "ANALYZE\nWARNING: skipping \"t\" --- only table or database owner can analyze it\n");
    assert_eq!(admin.run("select count(*) from pg_stats"), "0\n");
    let mut ann = server.client_as("ann").unwrap();
    assert_eq!(ann.run("analyze t"), "ANALYZE\n");
    assert_eq!(ann.run("select count(*) from pg_stats"), "2\n");
    assert_eq!(bob.run("select count(*) from pg_stats"), "0\n");
    admin.run("grant select (b) on t to bob");
    assert_eq!(bob.run("select attname from pg_stats"), "b\n");
    assert!(bob.run("select * from pg_helios.statistics").starts_with("ERROR 42501"));
    let message = "WARNING: skipping \"v\" --- cannot analyze non-tables or special system tables\n";
    assert_eq!(admin.run("analyze v"), format!("ANALYZE\n{message}"));
}

#[test]
fn what_cannot_be_analyzed_is_refused() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int)");
    assert!(client.run("analyze nothing").starts_with("ERROR 42P01: relation \"nothing\" does not exist"));
    assert!(client.run("analyze t (b)").starts_with("ERROR 42703: column \"b\" of relation \"t\" does not exist"));
    assert!(
        client
            .run("analyze t (a, a)")
            .starts_with("ERROR 42701: column \"a\" of relation \"t\" appears more than once")
    );
    assert!(client.run("vacuum t (a)").starts_with("ERROR 0A000: ANALYZE option must be specified"));
    assert!(client.run("analyze (full) t").starts_with("ERROR 42601: unrecognized ANALYZE option \"full\""));
    assert_eq!(client.run("analyze t"), "ANALYZE\n", "an empty table");
    assert_eq!(client.run("select count(*) from pg_stats"), "0\n");
}

#[test]
fn changed_tables_are_analyzed_by_themselves() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int); create table few (a int)");
    client.run(
        "insert into t select i from generate_series(1, 200) i; insert into few select i from generate_series(1, 50) i",
    );
    let round = || futures::executor::block_on(server.engine.analyze_changed(None)).unwrap();
    assert_eq!(round(), 1);
    let shown = "select relname, last_autoanalyze is not null, autoanalyze_count, n_mod_since_analyze
        from pg_stat_user_tables order by 1";
    assert_eq!(client.run(shown), "few|f|0|50\nt|t|1|0\n");
    assert_eq!(client.run("select n_distinct from pg_stats where tablename = 't'"), "-1\n");
    assert_eq!(round(), 0, "nothing has changed");
    client.run("insert into few values (0); update t set a = a + 1 where a <= 71; begin; lock table t in share update exclusive mode");
    assert_eq!(round(), 1, "one of them is locked");
    client.run("commit");
    assert_eq!(round(), 1, "71 of 200 and not more than 50 and a tenth");
    assert_eq!(client.run(shown), "few|t|1|0\nt|t|2|0\n");
}

#[test]
fn estimates_follow_what_was_found() {
    let server = Server::new();
    let mut client = server.client();
    client
        .run("create table a (id int primary key, k int, s text); create table b (id int primary key, a int, d date)");
    client.run("insert into a select i, case when i % 2 = 0 then 7 else i % 100 end, 'v' || i % 50 from generate_series(1, 1000) i");
    client.run("insert into b select i, i % 1000 + 1, date '2024-01-01' + i % 730 from generate_series(1, 5000) i");
    client.run("analyze");
    let mut rows = |query: &str, step: &str| -> f64 {
        let plan = client.run(&format!("explain {query}"));
        let line = plan.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("no {step} in {plan}"));
        let figure = line.split_once("(rows=").unwrap_or_else(|| panic!("no rows in {plan}")).1;
        figure.split(')').next().unwrap().parse().unwrap()
    };
    let mut is = |query: &str, step: &str, expected: f64| {
        let found = rows(query, step);
        assert!((found - expected).abs() <= expected * 0.05 + 1.0, "{query}: {found} instead of {expected}");
    };
    is("select * from a where k = 7", "Scan on a", 510.0);
    is("select * from a where k = 9", "Scan on a", 10.0);
    is("select * from a where id between 101 and 300", "Scan on a", 200.0);
    is("select * from a where s like 'v1%'", "Scan on a", 220.0);
    is("select * from a where s in ('v1', 'v2', 'nothing')", "Scan on a", 40.0);
    is("select * from a join b on b.a = a.id", "Join", 5000.0);
    is("select * from a join b on b.a = a.id where a.k = 9", "Join", 50.0);
    is("select * from a x join a y on x.k = y.k", "Join", 510.0 * 510.0 + 49.0 * 100.0);
    is("select k, count(*) from a group by k", "Aggregate", 51.0);
    is("select extract(year from d), count(*) from b group by 1", "Aggregate", 2.0);
    is("select * from a where not exists (select from b where b.a = a.id and b.id < 0)", "Join", 999.0);
    is("select * from b where d >= date '2024-07-01' and d < date '2024-08-01'", "Scan on b", 212.0);
}

/// Which country a condition on its name leaves no statistics say, and most listeners may be of it.
#[test]
fn small_tables_are_looked_at_when_joins_are_planned() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table country (id int primary key, name text not null, region text)");
    client.run("insert into country select n, 'country ' || n, 'region ' || n % 5 from generate_series(0, 39) n");
    client.run("create table listener (id int primary key, country_id int not null)");
    client.run(
        "insert into listener select n, case when n % 3 > 0 then 7 else n % 40 end from generate_series(0, 2999) n",
    );
    client.run("analyze");
    let mut estimate = |condition: &str| {
        let from = format!("from country c, listener l where l.country_id = c.id and {condition}");
        let plan = client.run(&format!("explain select 1 {from}"));
        let join = plan.lines().skip_while(|line| !line.contains("Join")).find_map(|line| line.split("rows=").nth(1));
        let rows = join.unwrap_or_else(|| panic!("{plan}")).trim_end_matches(')').parse::<f64>().unwrap();
        let count = client.run(&format!("select count(*) {from}")).trim().parse::<f64>().unwrap();
        (rows / count, plan)
    };
    for condition in ["c.name = 'country 7'", "c.name = 'country 8'", "c.region = 'region 2'", "c.region > 'region 2'"]
    {
        let (ratio, plan) = estimate(condition);
        assert!((0.8..1.25).contains(&ratio), "{condition}: {ratio}\n{plan}");
    }
}
