//! What memory does not hold goes to files: answers are the same, and no file stays.

use super::{Client, Server};

fn table(client: &mut Client) {
    let said = client.run(
        "create table t (id int primary key, k text, n numeric, v int, d numeric(12,2), f float8, b boolean, s text); \
         insert into t select g, case when g % 1000 = 7 then null else 'key ' || (g * 7919) % 50021 || repeat('.', 100) end, \
         g % 50021 / 4.0, case when g % 7 = 0 then null else (g * 31) % 1009 end, (g * 17) % 977 / 4.0, g % 64 / 8.0, \
         case when g % 11 < 9 then g % 2 = 0 end, 'text ' || g % 101 from generate_series(1, 60000) g",
    );
    assert!(!said.contains("ERROR"), "{said}");
}

/// Lines in an order of their own.
fn sorted(said: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = said.lines().filter(|line| *line != "SET").collect();
    lines.sort_unstable();
    lines
}

/// Runs it with much memory and with less and less, until the step called `title` writes to files.
fn check(server: &Server, client: &mut Client, sql: &str, title: &str) {
    let much = client.run(sql);
    assert!(!much.contains("ERROR"), "{sql}: {}", much.chars().take(500).collect::<String>());
    let (mut spilled, mut last) = (false, String::new());
    for little in ["12MB", "8MB"] {
        let found = client.run(&format!("set query_memory = '{little}'; {sql}"));
        assert!(server.no_file_stays(), "{sql} in {little}");
        if let Some((_, error)) = found.split_once("ERROR ") {
            assert!(error.starts_with("53200"), "{sql} in {little}: {error}");
            last = format!("{last} {little}: {error}");
            break;
        }
        let differ = sorted(&much).into_iter().zip(sorted(&found)).find(|(a, b)| a != b);
        assert!(differ.is_none() && much.lines().count() + 1 == found.lines().count(), "{sql} in {little}: {differ:?}");
        let plan = client.run(&format!("explain (analyze, timing off) {sql}"));
        let mut steps = plan.split("->").filter(|step| step.trim_start().starts_with(title));
        last.push_str(&format!("{little} "));
        if steps.any(|step| step.contains("Spilled: ") && (title != "Sort" || step.contains("Memory: "))) {
            spilled = true;
            break;
        }
    }
    assert!(spilled, "{sql}: {last}");
    client.run("set query_memory = 0");
}

#[test]
fn groups_that_memory_does_not_hold_are_the_same() {
    let server = Server::new();
    let mut client = server.client();
    table(&mut client);
    let calls = "count(*), count(v), sum(v), sum(d), avg(v), avg(d), min(v), max(s)";
    check(&server, &mut client, &format!("select k, {calls} from t group by k"), "Aggregate");
}

#[test]
fn distinct_rows_that_memory_does_not_hold_are_the_same() {
    let server = Server::new();
    let mut client = server.client();
    table(&mut client);
    check(&server, &mut client, "select distinct k, v from t", "Aggregate");
}

#[test]
fn sorts_work_with_a_few_megabytes() {
    let server = Server::new();
    let mut client = server.client();
    table(&mut client);
    let ordered = |client: &mut Client, memory: &str| {
        client.run(&format!(
            "set query_memory = '{memory}'; select k, n, id, repeat(s, 20) from t order by n desc, k nulls first, id offset 1"
        ))
    };
    let much = ordered(&mut client, "0");
    assert_eq!(much.lines().count(), 60_000);
    for little in ["24MB", "12MB"] {
        let found = ordered(&mut client, little);
        let differ = much.lines().zip(found.lines()).enumerate().find(|(_, (a, b))| a != b);
        assert!(
            found == much,
            "{little}: {} lines, {differ:?}: {}",
            found.lines().count(),
            found.split("ERROR").nth(1).unwrap_or_default()
        );
        assert!(server.no_file_stays());
    }
    let sql = "select count(k), sum(length(r)) from (select k, repeat(s, 20) r from t order by s, n offset 1) s";
    check(&server, &mut client, sql, "Sort");
}

#[test]
fn nested_loops_whose_smaller_side_memory_does_not_hold_are_the_same() {
    let server = Server::new();
    let mut client = server.client();
    table(&mut client);
    let wide = |rows: u32| format!("(select id, repeat(max(k), 40) w from t where id <= {rows} group by id)");
    let (wide, plain) = (wide(2500), "(select id, repeat(k, 40) w from t where id <= 2500)");
    for sql in [
        format!("select count(*), sum(x.id) from {wide} x join {wide} y on x.w < y.w and (x.id + y.id) % 100 = 7"),
        format!("select count(*), sum(y.id) from {wide} x left join {wide} y on x.w < y.w and x.id + y.id < 70"),
        format!("select count(*), sum(x.id) from {plain} x join {plain} y on x.w < y.w and (x.id + y.id) % 100 = 7"),
        format!(
            "select count(*) from {wide} x where exists (select 1 from {wide} y where x.w < y.w and x.id > y.id + 9)"
        ),
    ] {
        check(&server, &mut client, &sql, "Nested Loop");
    }
}
