//! CREATE STATISTICS: what may be asked for, what ANALYZE finds, what shows and uses it, what becomes of it.

use super::{Client, Server};

const FOUND: &str = "select n_distinct, dependencies from pg_stats_ext where statistics_name = 's'";

/// 100 cities in 10 countries, 2,000 rows.
fn cities(client: &mut Client) {
    client.run("create table t (id int primary key, city int, country int, noise int, name text, j json)");
    client.run("insert into t select i, i % 100, i % 100 / 10, i % 7, 'c' || i % 100 from generate_series(1, 2000) i");
}

/// Rows that EXPLAIN expects of the plan's top.
fn expected(client: &mut Client, sql: &str) -> f64 {
    let plan = client.run(&format!("explain {sql}"));
    let rows = plan.lines().find_map(|line| line.split_once("rows=")).unwrap_or_else(|| panic!("{plan}")).1;
    rows.split([' ', ')']).next().unwrap().parse().unwrap()
}

#[test]
fn columns_are_counted_together() {
    let server = Server::new();
    let mut client = server.client();
    cities(&mut client);
    client.run("analyze t");
    let groups = "select city, country from t group by city, country";
    let both = "select * from t where city = 37 and country = 3";
    assert_eq!(expected(&mut client, groups), 200.0, "a tenth of the rows");
    assert_eq!(expected(&mut client, both), 2.0, "as if they were independent");
    for (kinds, rows) in [("(ndistinct)", 20.0), ("(dependencies)", 20.0), ("(mcv)", 20.0), ("", 20.0)] {
        client.run(&format!("create statistics s {kinds} on city, country from t"));
        assert_eq!(expected(&mut client, both), 2.0, "not analyzed yet");
        client.run("analyze t");
        assert_eq!(expected(&mut client, both), rows, "{kinds}");
        assert_eq!(
            expected(&mut client, "select * from t where city = 37 and country = 3 and noise = 1"),
            3.0,
            "{kinds}"
        );
        if kinds == "(mcv)" {
            assert_eq!(expected(&mut client, "select * from t where city = 37 and country = 4"), 1.0);
        }
        let with_counts = matches!(kinds, "(ndistinct)" | "");
        assert_eq!(expected(&mut client, groups), if with_counts { 100.0 } else { 200.0 }, "{kinds}");
        if kinds.is_empty() {
            assert_eq!(client.run(FOUND), "{\"2, 3\": 100}|{\"2 => 3\": 1.000000}\n");
        }
        client.run("drop statistics s");
        assert_eq!(expected(&mut client, both), 2.0, "{kinds}");
    }
}

#[test]
fn statistics_are_shown_as_postgresql_shows_them() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b text, c int); create schema other");
    client.run("insert into t values (1, 'x', 1), (1, 'x', 2), (2, null, 3), (2, 'y y', 4)");
    assert_eq!(client.run("create statistics on b, a from t"), "CREATE STATISTICS\n");
    client.run("create statistics other.\"S 2\" (mcv, ndistinct) on a, b, c from t; analyze t");
    let shown = "select stxname, stxkeys, stxkind, stxstattarget, pg_get_statisticsobjdef(oid),
        pg_get_statisticsobjdef_columns(oid), pg_statistics_obj_is_visible(oid) from pg_statistic_ext order by oid";
    assert_eq!(
        client.run(shown),
        "t_b_a_stat|1 2|{d,f,m}|-1|CREATE STATISTICS public.t_b_a_stat ON a, b FROM t|a, b|t\n\
         S 2|1 2 3|{d,m}|-1|CREATE STATISTICS other.\"S 2\" (ndistinct, mcv) ON a, b, c FROM t|a, b, c|f\n"
    );
    let found =
        "select schemaname, tablename, statistics_schemaname, statistics_name, statistics_owner, attnames, kinds,
        n_distinct, dependencies, most_common_vals, most_common_val_nulls, most_common_freqs, most_common_base_freqs
        from pg_stats_ext where statistics_name <> 'S 2'";
    assert_eq!(
        client.run(found),
        "public|t|public|t_b_a_stat|postgres|{a,b}|{d,f,m}|{\"1, 2\": 3}|{\"1 => 2\": 0.500000, \"2 => 1\": 1.000000}|\
         {{1,x},{2,NULL},{2,\"y y\"}}|{{f,f},{f,t},{f,f}}|{0.5,0.25,0.25}|{0.25,0.125,0.125}\n"
    );
    assert_eq!(
        client.run("select stxdndistinct from pg_statistic_ext_data d join pg_statistic_ext e on e.oid = stxoid where stxname = 'S 2'"),
        "{\"1, 2\": 3, \"1, 3\": 4, \"2, 3\": 4, \"1, 2, 3\": 4}\n"
    );
    client.run("comment on statistics t_b_a_stat is 'two of three'");
    assert_eq!(
        client.run("select obj_description(oid, 'pg_statistic_ext') from pg_statistic_ext order by oid"),
        "two of three\n\n"
    );
    // What is kept ends with the type it was found for.
    client.run("alter table t alter a type bigint");
    assert_eq!(client.run("select count(*) from pg_stats_ext"), "0\n");
}

#[test]
fn statistics_follow_their_table() {
    let server = Server::new();
    let (mut client, mut other) = (server.client(), server.client());
    cities(&mut client);
    client.run("create statistics s on city, country from t; create statistics u on noise, city from t");
    assert_eq!(
        client.run("create statistics s on noise, country from t"),
        "ERROR 42710: statistics object \"s\" already exists\n"
    );
    assert!(
        client.run("create statistics if not exists s on noise, country from t").contains("already exists, skipping")
    );
    assert!(
        client
            .run("alter statistics s rename to u")
            .contains("statistics object \"u\" already exists in schema \"public\"")
    );
    client.run("create schema x; alter statistics s rename to r; alter statistics r set schema x; alter statistics x.r set statistics 7");
    let all = "select nspname, stxname, stxstattarget from pg_statistic_ext e join pg_namespace n on n.oid = stxnamespace order by 2";
    assert_eq!(other.run(all), "x|r|7\npublic|u|-1\n");
    client.run("begin; drop statistics u; rollback");
    assert_eq!(client.run("drop statistics nothing"), "ERROR 42704: statistics object \"nothing\" does not exist\n");
    assert!(client.run("drop statistics if exists nothing, x.nothing").contains("skipping"));
    let plain = other.run("drop schema x");
    assert!(plain.contains("ERROR 2BP01") && plain.contains("statistics object x.r depends on schema x"), "{plain}");
    // A column takes what is about it along; the name is free again.
    client.run("alter table t drop column noise");
    assert_eq!(other.run(all), "x|r|7\n");
    client.run("create statistics u on city, country, name from t; create table copy (like t including statistics)");
    assert_eq!(
        other.run("select stxname from pg_statistic_ext where stxrelid = 'copy'::regclass order by 1"),
        "copy_city_country_name_stat\ncopy_city_country_stat\n"
    );
    assert!(client.run("drop schema x cascade").contains("drop cascades to statistics object x.r"));
    client.run("drop table copy; drop table t");
    assert_eq!(other.run("select count(*) from pg_statistic_ext"), "0\n");
    assert_eq!(client.run("select name from pg_helios.statistics_names"), "", "nothing is left behind");
    let oids = "select oid from pg_class group by oid having count(*) > 1";
    assert_eq!(client.run(oids), "", "a system tree's table has an OID of its own");
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let server = Server::new();
    let mut client = server.client();
    cities(&mut client);
    client.run("create view v as select city, country from t; create role someone login");
    for (sql, said) in [
        ("create statistics s on city from t", "42P17: extended statistics require at least 2 columns"),
        ("create statistics s on city, city from t", "42701: duplicate column name in statistics definition"),
        ("create statistics s on city, nothing from t", "42703: column \"nothing\" does not exist"),
        ("create statistics s on city, country from v", "42809: cannot define statistics for relation \"v\""),
        ("create statistics s on city, j from t", "0A000: column \"j\" cannot be used in statistics"),
        ("create statistics s on city, (noise + 1) from t", "0A000: "),
        ("create statistics s (other) on city, noise from t", "42601: unrecognized statistics kind \"other\""),
        ("alter statistics s set statistics 5", "42704: statistics object \"s\" does not exist"),
        ("create statistics nowhere.s on city, noise from t", "3F000: schema \"nowhere\" does not exist"),
    ] {
        let answer = client.run(sql);
        assert!(answer.starts_with(&format!("ERROR {said}")), "{sql}: {answer}");
    }
    client.run("create statistics s on city, noise from t; set role someone");
    assert!(client.run("drop statistics s").contains("must be owner of statistics object s"));
    assert!(client.run("create statistics r on city, noise from t").contains("must be owner of table t"));
}
