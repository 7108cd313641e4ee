//! Indexes on expressions, partial ones, and those on columns whose bytes do not decide: read where they help, and giving what
//! a scan gives.

use super::{Client, Server};

fn both(client: &mut Client, sql: &str) -> String {
    let (i, f) = (client.run(&sql.replace('@', "i")), client.run(&sql.replace('@', "f")));
    // A scan's partitions come in any order.
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if !sql.contains("order by") {
            lines.sort();
        }
        lines
    };
    assert_eq!(lines(&i), lines(&f), "{sql}");
    i
}

/// Two equal tables, one with indexes.
fn tables(client: &mut Client) {
    let columns = "(id int, mail text, state text, n numeric, v interval, a int, d timestamp)";
    client.run(&format!("create table i {columns}; create table f {columns}"));
    client.run("create index i_lower on i (lower(mail)); create unique index i_twice on i ((id * 2))");
    client.run("create index i_open on i (a) where state = 'open'; create index i_big on i (d) where a > 30");
    client.run(
        "create index i_n on i (n desc); create index i_v on i (v); create index i_day on i (date_trunc('day', d), a)",
    );
    client.run("create index i_null on i (id) where mail is null or a = 7");
    let row = "select g, case when g % 40 = 0 then null else 'User' || g % 600 end, case when g % 50 = 0 then 'open' else 'done' end, \
               case when g % 90 = 1 then null when g % 3 = 0 then (g % 700)::numeric / 4 else g % 700 end, \
               make_interval(hours => g % 300), g % 61, \
               timestamp '2024-01-01' + make_interval(hours => g) from generate_series(1, 4000) g";
    both(client, &format!("insert into @ {row}"));
}

fn plan(client: &mut Client, sql: &str) -> String {
    client.run(&format!("explain (costs off) {sql}"))
}

#[test]
fn the_right_index_is_read() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    for (sql, index) in [
        ("select id from @ where lower(mail) = 'user17' order by id", "i_lower"),
        ("select id from @ where lower(mail) in ('user17', 'user18', 'nobody') order by id", "i_lower"),
        ("select id from @ where lower(mail) like 'user55%' order by id", "i_lower"),
        ("select id from @ where lower(mail) is null order by id", "i_lower"),
        ("select id from @ where id * 2 = 100", "i_twice"),
        ("select id from @ where id * 2 between 90 and 110 order by id", "i_twice"),
        ("select id from @ where a = 50 and state = 'open' order by id", "i_open"),
        ("select id from @ where state = 'open' and a in (0, 50) order by id", "i_open"),
        ("select id from @ where 'open' = state order by id", "i_open"),
        ("select count(*) from @ where a > 40 and d < timestamp '2024-01-10'", "i_big"),
        ("select count(*) from @ where a = 31 and d < timestamp '2024-01-09'", "i_big"),
        ("select id from @ where n = 12.50 order by id", "i_n"),
        ("select id from @ where n > 696 order by id", "i_n"),
        ("select id from @ where n in (1, 2.00, 5) order by id", "i_n"),
        ("select id from @ where v = interval '1 day 2 hours' order by id", "i_v"),
        ("select id from @ where v < interval '6 hours' order by id", "i_v"),
        ("select id from @ where date_trunc('day', d) = timestamp '2024-02-03' order by id", "i_day"),
        ("select id from @ where date_trunc('day', d) = '2024-02-03' and a > 30 order by id", "i_day"),
        ("select lower(mail) from @ order by lower(mail) limit 5", "i_lower"),
        ("select lower(mail) x from @ order by x desc limit 5", "i_lower"),
        ("select n from @ order by n desc limit 5", "i_n"),
        ("select round(n, 2) from @ order by n limit 5", "i_n"),
        ("select v from @ order by v limit 5", "i_v"),
        ("select id from @ where a = 7 and id < 200 order by id", "i_null"),
        ("select id from @ where mail is null and id < 200 order by id", "i_null"),
    ] {
        let shown = plan(&mut client, &sql.replace('@', "i"));
        assert!(shown.contains(&format!("Index Scan using {index} ")), "{sql}: {shown}");
        assert!(!both(&mut client, sql).is_empty(), "{sql} should give rows");
    }
    for sql in [
        "select count(*) from @ where upper(mail) = 'USER17'",
        "select count(*) from @ where a = 20 and d < timestamp '2024-01-10'",
        "select count(*) from @ where a > 29 and d < timestamp '2024-01-10'",
        "select count(*) from @ where a = 50 and state <> 'done'",
        "select count(*) from @ where (a = 50 and state = 'open') or a = 3",
    ] {
        let shown = plan(&mut client, &sql.replace('@', "i"));
        assert!(!shown.contains("Index Scan"), "{sql}: {shown}");
        both(&mut client, sql);
    }
}

#[test]
fn few_rows_take_the_short_path() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    for sql in [
        "select id, mail from @ where lower(mail) = 'user17'",
        "select id from @ where a = 50 and state = 'open'",
        "select id, n from @ where n = 12.5",
        "select id from @ where id * 2 in (2, 4)",
        "update @ set a = a + 1 where lower(mail) = 'user18'",
        "select id from @ where lower(mail) = 'user19' for update",
    ] {
        let shown = client.run(&format!("explain (verbose, costs off) {}", sql.replace('@', "i")));
        assert!(shown.contains("Tier: direct"), "{sql}: {shown}");
    }
    both(&mut client, "update @ set a = a + 1, mail = 'Moved' || id where lower(mail) = 'user18' returning id, mail");
    both(&mut client, "select mail, a from @ where lower(mail) like 'moved%' order by mail");
    both(&mut client, "delete from @ where id * 2 = 44 returning id");
    client.run("prepare p(text) as select count(*) from i where lower(mail) = $1");
    assert_eq!(client.run("execute p('user17'); execute p('nobody')"), "7\n0\n");
}

#[test]
fn joins_with_few_rows_look_their_partners_up() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    client.run("create table few (k int, a int, b interval); insert into few values (17, 17, '17 hours'), (1900, 9, null), (null, 3, '2 h'), (3999, 34, '1 h')");
    client.run("create index i_id_a on i (id, a)");
    for sql in [
        "select few.k, x.mail from few join @ x on x.id = few.k order by 1",
        "select few.k, x.mail from few left join @ x on x.id = few.k order by 1",
        "select few.k, x.mail from few join @ x on x.id = few.k and x.a = few.a order by 1",
        "select few.k from few where exists (select 1 from @ x where x.id = few.k and x.a = few.a) order by 1",
        "select few.k, count(*) from few join @ x on x.v = few.b group by 1 order by 1",
    ] {
        both(&mut client, sql);
    }
    for sql in [
        "select few.k, x.mail from few join i x on x.id = few.k",
        "select few.k, x.mail from few left join i x on x.id = few.k",
        "select few.k, x.mail from few join i x on x.id = few.k and x.a = few.a",
    ] {
        let ran = client.run(&format!("explain (analyze, costs off, timing off, summary off) {sql}"));
        assert!(ran.contains("Index Scan using i_id_a"), "{sql}: {ran}");
    }
}

#[test]
fn changes_are_found_as_a_scan_finds_them() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    for round in 0..8 {
        client.run("begin");
        both(&mut client, &format!("update @ set mail = upper(mail), n = n + 0.50 where id % 17 = {round}"));
        both(&mut client, &format!("update @ set state = 'open' where id % 301 = {round}"));
        both(&mut client, &format!("update @ set a = null, v = v * 2 where id % 97 = {round}"));
        both(&mut client, &format!("delete from @ where id % 89 = {round}"));
        for sql in [
            format!("select id, mail from @ where lower(mail) = 'user{}' order by id", round * 31),
            format!("select id from @ where state = 'open' and a > {} order by id", round * 5),
            format!("select id, n from @ where n >= {round}.5 and n < {} order by id", round + 2),
            format!("select id, v from @ where v = interval '{} hours' order by id", round * 7),
            "select id, a from @ where state = 'open' and a is null order by id".to_owned(),
            "select n from @ where n is not null order by n desc limit 7".to_owned(),
            "select count(*), sum(id) from @ where a > 55 and d > '2024-03-01'".to_owned(),
            format!(
                "select count(*) from @ x join @ y on lower(x.mail) = lower(y.mail) where x.id = {}",
                round * 30 + 1
            ),
        ] {
            both(&mut client, &sql);
        }
        client.run(if round % 2 == 0 { "commit" } else { "rollback" });
    }
}

#[test]
fn a_snapshot_older_than_an_index_does_not_read_it() {
    let server = Server::new();
    let (mut reader, mut writer) = (server.client(), server.client());
    writer.run(
        "create table t (id int primary key, a int); insert into t select g, g % 500 from generate_series(1, 2000) g",
    );
    reader.run("begin isolation level repeatable read; select count(*) from t");
    writer.run("delete from t where a = 7; create index on t (a)");
    assert_eq!(reader.run("select id from t where a = 7 order by id"), "7\n507\n1007\n1507\n");
    assert_eq!(reader.run("commit; select id from t where a = 7 order by id"), "COMMIT\n");
    assert!(reader.run("explain select id from t where a = 8").contains("Index Scan using t_a_idx"));
}
