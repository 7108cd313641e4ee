//! ORDER BY ... LIMIT over wide rows reads most columns late: the answers are those of plans that read them at once.

use super::{Client, Server};

fn tables(client: &mut Client) {
    let columns: Vec<String> = (0..12).map(|n| format!("c{n} text")).collect();
    client.run(&format!("create table w (id int primary key, k int, f float8, {})", columns.join(", ")));
    let values: Vec<String> =
        (0..12).map(|n| format!("case when g % 7 = {} then null else 'v{n}-' || g end", n % 9)).collect();
    client.run(&format!(
        "insert into w select g, (g * 7919) % 1009, g / 3.0, {} from generate_series(1, 6000) g",
        values.join(", ")
    ));
}

/// The same rows by a plan that has no limit to read late for.
fn same(client: &mut Client, list: &str, rest: &str, limit: usize) {
    let late = format!("select {list} from w {rest} limit {limit}");
    let plan = client.run(&format!("explain (costs off) {late}"));
    assert!(plan.contains("Late Rows"), "{late}\n{plan}");
    let all = client.run(&format!("select {list} from w {rest}"));
    let first: String = all.lines().take(limit).map(|line| format!("{line}\n")).collect();
    assert!(!first.is_empty() && !first.contains("ERROR"), "{first}");
    assert_eq!(client.run(&late), first, "{late}");
}

#[test]
fn rows_read_late_are_the_rows_that_were_sorted() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    same(&mut client, "*", "order by k, id", 10);
    same(&mut client, "*", "where c3 like '%v3-1%' order by k desc, id", 3);
    same(&mut client, "c1, c2, id, c1, f", "where c4 not like '%9' order by c5 nulls first, id", 4);
    same(&mut client, "c0, c11, f", "where k + id > 400 and c1 is not null order by f desc", 2);
    // What the transaction wrote is read as it is sorted; what others write meanwhile is not.
    client.run("begin isolation level repeatable read; update w set c7 = 'mine', k = -1 where id = 77; delete from w where k = 0");
    let mut other = server.client();
    other.run("update w set c7 = 'theirs' where id % 50 = 3; delete from w where id % 50 = 4");
    same(&mut client, "*", "order by k, id", 15);
    assert!(client.run("select * from w order by k, id limit 1").contains("mine"));
    client.run("rollback");
    same(&mut client, "*", "order by k, id", 15);
}

/// The first groups are those of a plan without a limit, and read late or not.
fn same_groups(client: &mut Client, query: &str, limit: usize, late: bool) {
    let limited = format!("{query} limit {limit}");
    let plan = client.run(&format!("explain (costs off) {limited}"));
    assert_eq!(plan.contains("Late Rows"), late, "{limited}\n{plan}");
    let all = client.run(query);
    let first: String = all.lines().take(limit).map(|line| format!("{line}\n")).collect();
    assert!(!first.is_empty() && !first.contains("ERROR"), "{first}");
    assert_eq!(client.run(&limited), first, "{limited}");
}

#[test]
fn what_a_key_determines_is_read_of_the_groups_that_are_left() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table people (town text, no int, name text, note text, age int, primary key (town, no))");
    client.run("create table bills (id int primary key, town text, no int, amount int)");
    client.run("insert into people select 'town ' || g % 7, g, 'name ' || g, nullif('note ' || g % 11, 'note 3'), g % 90 from generate_series(1, 3000) g");
    client.run("insert into bills select g, 'town ' || (g % 3000) % 7, g % 3000, (g * 7919) % 1009 from generate_series(1, 9000) g");
    let of_people = "select p.town, p.no, name, note, age, sum(amount) from people p join bills b on b.town = p.town and b.no = p.no";
    let by = "group by p.town, p.no, name, note, age";
    let first = "order by sum(amount) desc, p.no";
    same_groups(&mut client, &format!("{of_people} {by} {first}"), 5, true);
    same_groups(&mut client, &format!("{of_people} {by} having sum(amount) < 900 {first}"), 5, true);
    same_groups(&mut client, &format!("{of_people} {by} having name like '%7' {first}"), 5, true);
    same_groups(&mut client, &format!("{of_people} where name like '%7' {by} {first}"), 1, true);
    same_groups(&mut client, &format!("{of_people} {by} order by name, note, sum(amount)"), 5, false);
    // Of a row without a partner nothing can be read; its own columns can.
    let all = "select p.town, p.no, name, max(b.id), count(*) from people p left join bills b on b.town = p.town and b.no = p.no";
    same_groups(
        &mut client,
        &format!("{all} group by p.town, p.no, name order by max(b.id) nulls first, p.no"),
        5,
        true,
    );
    let none = "select p.town, p.no, name, max(b.id), count(*) from bills b left join people p on b.town = p.town and b.no = p.no";
    same_groups(&mut client, &format!("{none} group by p.town, p.no, name order by max(b.id) desc"), 5, false);
    // The same table twice.
    let pairs =
        "select p.town, p.no, p.name, q.town, q.no, q.name, count(*) from people p join people q on q.no = p.no + 1";
    same_groups(&mut client, &format!("{pairs} group by 1, 2, 3, 4, 5, 6 order by p.no desc"), 3, true);
    // Named differently above, and part of something else.
    let inner = format!(
        "select upper(name) || '!' as loud, sum(amount) as all_of_it, p.no as which {} {by}",
        &of_people[of_people.find("from").unwrap()..]
    );
    same_groups(&mut client, &format!("select loud, which from ({inner}) s order by all_of_it desc, which"), 5, true);
    // A random number is what was sorted by.
    let drawn = client.run(&format!(
        "select r >= lag(r) over () from (select random() as r, name {} {by} order by r limit 5) s",
        &of_people[of_people.find("from").unwrap()..]
    ));
    assert!(!drawn.contains('f') && drawn.matches('t').count() == 4, "{drawn}");
    // What the transaction wrote is read as it is grouped; what others write meanwhile is not.
    client.run("begin isolation level repeatable read; update people set name = 'mine' where no % 2 = 0; delete from people where no % 5 = 0");
    let mut other = server.client();
    other.run("update people set name = 'theirs', note = 'theirs'");
    same_groups(&mut client, &format!("{of_people} {by} {first}"), 9, true);
    assert!(client.run(&format!("{of_people} {by} {first} limit 9")).contains("mine"));
    assert!(!client.run(&format!("{of_people} {by} {first} limit 9")).contains("theirs"));
    client.run("rollback");
}

#[test]
fn texts_by_column_are_texts_by_value() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, s text, c char(6), n int)");
    client.run(
        "insert into t values (1, 'straße', 'ab', 2), (2, '', '', -1), (3, null, null, null), (4, 'İx', 'é  ', 0), (5, 'a,b', 'x', 9)",
    );
    for call in [
        "length({s})",
        "upper({s})",
        "lower({s})",
        "left({s}, {n})",
        "right({s}, {n})",
        "substr({s}, {n})",
        "strpos({s}, 'x')",
        "replace({s}, 'x', {c})",
        "split_part({s}, ',', 2)",
        "{s} || '-' || {c}",
        "concat({s}, {c}, {n})",
        "starts_with({s}, 'a')",
        "{c} = 'ab'",
        "{s} || {n}",
        "substring({s}, {n} + 2, 2)",
        "abs({n})",
        "btrim({s}, 'sx')",
    ] {
        let by_column = call.replace("{s}", "s").replace("{c}", "c").replace("{n}", "n");
        let by_column = client.run(&format!("select {by_column} from t order by id"));
        let mut by_value = String::new();
        for (s, c, n) in [
            ("'straße'::text", "'ab'::char(6)", "2"),
            ("''::text", "''::char(6)", "-1"),
            ("null::text", "null::char(6)", "null::int"),
            ("'İx'::text", "'é  '::char(6)", "0"),
            ("'a,b'::text", "'x'::char(6)", "9"),
        ] {
            let alone = call.replace("{s}", s).replace("{c}", c).replace("{n}", n);
            by_value += &client.run(&format!("select {alone}"));
        }
        assert_eq!(by_column, by_value, "{call}");
        assert!(!by_column.contains("ERROR"), "{call} {by_column}");
    }
    // A filter that an outer join could drop is tried on columns of no type.
    let sql = "select count(*) from t a left join t b on a.id = b.n where length(b.s) > 0 and b.s || 'x' like '%x'";
    assert_eq!(client.run(sql), "1\n");
}

#[test]
fn few_rows_few_columns_and_locked_rows_are_read_at_once() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    for sql in [
        "select * from w order by k, id limit 2000",
        "select c1, k, id from w order by k, id limit 5",
        "select * from w order by id limit 5",
        "select * from w order by k, id limit 5 for update",
        "select * from w order by k, id",
    ] {
        let plan = client.run(&format!("explain (costs off) {sql}"));
        assert!(!plan.contains("Late Rows") && !plan.contains("ERROR"), "{sql}\n{plan}");
    }
}

#[test]
fn fields_of_times_are_the_same_by_column_and_by_value() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table m (id int primary key, at timestamp, z timestamptz, d date, t time); \
         insert into m values (1, '2024-12-30 23:59:58.25', '2024-12-30 23:59:58.25+02', '2024-12-30', '23:59:58.25'), \
         (2, '0044-03-15 00:00:00 BC', '1969-12-31 23:00:00.000001+00', '0044-03-15 BC', '00:00:00'), \
         (3, null, null, null, null), (4, '2000-02-29 12:30:00', '2000-02-29 12:30:00-08', '2000-02-29', '12:30:00.5')",
    );
    for (column, fields) in [
        ("at", "year quarter month week day dow isodow doy hour minute second milliseconds microseconds"),
        ("z", "year quarter month week day dow isodow doy hour minute second milliseconds microseconds"),
        ("d", "year quarter month week day dow isodow doy"),
        ("t", "hour minute second milliseconds microseconds"),
    ] {
        for field in fields.split(' ') {
            let by_column = client.run(&format!("select extract({field} from {column}) from m order by id"));
            // date_part computes value by value, as double precision.
            let by_value = client.run(&format!("select date_part('{field}', {column}) from m order by id"));
            let number = |text: &str| text.lines().map(|line| line.parse::<f64>().ok()).collect::<Vec<_>>();
            assert_eq!(number(&by_column), number(&by_value), "{field} of {column}");
        }
    }
    assert_eq!(
        client.run("select extract(second from at), extract(minute from at) from m where id = 1"),
        "58.250000|59\n"
    );
    assert_eq!(
        client.run("select extract(minute from at) % 7 as r, count(*) from m group by r order by r"),
        "0|1\n2|1\n3|1\n|1\n"
    );
    // An index on one has what conditions ask for.
    client.run(
        "create index m_hour on m (extract(hour from at)); create unique index m_doy on m (extract(doy from d), id)",
    );
    assert_eq!(client.run("select id from m where extract(hour from at) = 12"), "4\n");
    assert_eq!(client.run("insert into m values (6, '2024-01-01 12:00:00') returning id"), "6\nINSERT 0 1\n");
    assert_eq!(client.run("select count(*) from m where extract(hour from at) >= 12 and id > 0"), "3\n");
    // Infinity has no month, as in PostgreSQL.
    client.run("insert into m values (5, 'infinity', '-infinity', 'infinity', '00:00')");
    assert_eq!(
        client.run("select extract(month from at), extract(hour from z), extract(doy from d) from m where id = 5"),
        "||\n"
    );
    assert_eq!(client.run("select extract(year from z) from m where id = 5"), "-Infinity\n");
    assert!(client.run("select extract(year from at) from m").contains("0A000"));
}

#[test]
fn truncated_columns_are_truncated_values() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table m (id int primary key, at timestamp, unit text)");
    client.run(
        "insert into m values (1, '2024-12-30 23:59:58.25'), (2, '0044-03-15 00:00:01 BC'), (3, null), (4, 'infinity')",
    );
    for unit in
        ["microseconds", "second", "minute", "hour", "day", "week", "month", "quarter", "year", "decade", "century"]
    {
        client.run(&format!("update m set unit = '{unit}'"));
        let by_column = client.run(&format!("select date_trunc('{unit}', at) from m order by id"));
        assert_eq!(by_column, client.run("select date_trunc(unit, at) from m order by id"), "{unit}");
        assert!(!by_column.contains("ERROR"), "{by_column}");
    }
    assert!(client.run("select date_trunc('nope', at) from m").contains("22023"));
}
