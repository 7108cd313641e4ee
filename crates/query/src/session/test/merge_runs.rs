//! Sums of joined rows are what they are where no run is put together: the same queries of a table that is in no order.

use super::{Client, Server};

/// Orders of a few lines each, some without any; `single` has one line an order, so that there are no runs.
fn tables(client: &mut Client) {
    client.run(
        "create table orders (w int, id int, day date, person int, primary key (w, id)); \
         create table lines (w int, ord int, number int, sent date, amount numeric(8,2), tiny int2, small int, large int8, real float8, \
             note text, primary key (w, ord, number)); \
         insert into orders select n % 3, n, date '2026-01-01' + n % 5, n % 40 from generate_series(0, 599) n; \
         insert into lines select n % 3, n, l, case when n % 7 > 0 then date '2026-01-03' + n % 2 + l / 5 end, \
             case when (n + l) % 11 > 0 then (n * 37 + l * 11) % 9973 / 4.0 end, \
             case when n % 9 > 0 then 32767 - l end, 2147483647 - n % 2 * l, 9223372036854775807 - n * l, l / 4.0, \
             case when l > 6 then 'note' end from generate_series(0, 569) n, generate_series(1, 8) l",
    );
    // Rows that go and come, and a column that changes within a run.
    client.run("delete from lines where (ord + number) % 17 = 3; update lines set sent = sent + 1 where (ord + number) % 19 = 4");
    client.run("create table single (like lines, primary key (w, ord, number))");
    client.run(
        "insert into single select w, ord + number * 10000, 1, sent, amount, tiny, small, large, real, note from lines; \
         insert into orders select w, id + number * 10000, day, person from orders, generate_series(1, 8) number",
    );
    for name in ["lines", "single"] {
        let loose = client.run(&format!("create table loose_{name} as select * from {name}"));
        assert!(!loose.contains("ERROR"), "{loose}");
    }
    client.run("analyze");
}

/// Of orders o and lines l.
const SAME: &str = "l.w = o.w and l.ord = o.id";
const SUMS: &str = "sum(l.amount), sum(l.tiny), sum(l.small), sum(l.large), max(o.day), min(l.sent)";

/// Queries, and whether they put runs together.
fn queries() -> Vec<(String, bool)> {
    let joined = format!("from orders o join {{lines}} l on {SAME}");
    let mut queries: Vec<(String, bool)> = [
        format!("select o.w, o.id, {SUMS} {joined} group by o.w, o.id"),
        format!("select o.day, {SUMS} {joined} and o.day <= l.sent group by o.day"),
        format!("select {SUMS} {joined} and o.day > l.sent where l.small > 0"),
        format!("select sum(l.amount) filter (where l.note is null), sum(l.small) {joined} group by l.sent"),
        format!("select sum(l.small), max(l.amount) {joined} group by o.day"),
        // Each line several times.
        format!("select o.person, sum(l.amount) {joined} join orders p on p.person = o.person and p.id < 30 group by o.person"),
        format!("select sum(l.amount), bool_or(l.note is null) {joined} left join orders p on p.id = o.id + 1 and p.w = o.w"),
        format!("select sum(l.amount) from {{lines}} l where exists (select from orders o where {SAME} and o.day < l.sent)"),
        format!("select sum(l.tiny) from {{lines}} l where not exists (select from orders o where {SAME} and o.day < l.sent)"),
        format!("select o.day, count(*) from orders o where exists (select from {{lines}} l where {SAME} and l.sent >= o.day) group by 1"),
        format!("select o.day, count(*) from orders o where not exists (select from {{lines}} l where {SAME} and l.sent >= o.day) group by 1"),
        "select count(*) from orders o where (o.w, o.id) in (select l.w, l.ord from {lines} l where l.amount > 1000)".to_owned(),
        "select count(*) from orders o where o.w not in (select l.w from {lines} l where l.amount > 2400)".to_owned(),
    ]
    .into_iter()
    .map(|sql| (sql, true))
    .collect();
    queries.extend(
        [
            // Each line counts, or each of its values.
            format!("select count(*), sum(l.amount) {joined} group by o.day"),
            format!("select avg(l.amount) {joined} group by o.day"),
            format!("select sum(distinct l.amount) {joined} group by o.day"),
            format!("select sum(l.real) {joined} group by o.day"),
            format!("select sum(o.person), sum(l.amount) {joined}"),
            format!("select sum(o.person) {joined}"),
            // Each row is drawn for.
            format!("select sum(l.amount) {joined} and o.person + coalesce(l.tiny, 0) + random() >= 0"),
            format!("select sum(l.amount) {joined} group by random() >= 0"),
            format!("select o.id from orders o where exists (select from {{lines}} l where {SAME} and o.person + l.ord + random() >= 0)"),
            format!("select l.amount, sum(l.amount) {joined} group by l.amount"),
            format!("select sum(l.amount), max(l.amount) {joined} group by o.day"),
            format!("select sum(l.amount) filter (where l.amount > 100) {joined} group by o.day"),
            format!("select sum(l.small) {joined} and o.person < l.small group by o.day"),
            format!("select sum(l.amount) {joined} where l.number > 0 and o.id + l.number > 50 group by o.day"),
            format!("select sum(l.amount) from orders o full join {{lines}} l on {SAME} group by o.day"),
        ]
        .map(|sql| (sql, false)),
    );
    queries
}

#[test]
fn sums_of_joined_runs_are_the_sums_of_their_rows() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    for name in ["lines", "single"] {
        for (sql, merges) in queries() {
            let sorted = |client: &mut Client, name: &str| {
                let answer = client.run(&sql.replace("{lines}", name));
                assert!(!answer.contains("ERROR") && !answer.is_empty(), "{sql}: {answer}");
                let mut rows: Vec<String> = answer.lines().map(str::to_owned).collect();
                rows.sort();
                rows
            };
            let loose = format!("loose_{name}");
            assert_eq!(sorted(&mut client, name), sorted(&mut client, &loose), "{name}: {sql}");
            let plan = client.run(&format!("explain {}", sql.replace("{lines}", name)));
            assert_eq!(plan.contains("Merge Runs"), merges, "{sql}\n{plan}");
            let plan = client.run(&format!("explain {}", sql.replace("{lines}", &loose)));
            assert!(!plan.contains("Merge Runs"), "{plan}");
        }
    }
}

#[test]
fn a_sum_beyond_the_type_of_its_values_is_their_sum() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table orders (id int primary key); insert into orders values (1), (2); \
         create table lines (ord int, number int, large int8, primary key (ord, number)); \
         insert into lines select 1, n, 9223372036854775807 from generate_series(1, 3) n",
    );
    let sum = "select sum(l.large) from orders o join lines l on l.ord = o.id";
    assert!(client.run(&format!("explain {sum}")).contains("Merge Runs"));
    assert_eq!(client.run(sum), "27670116110564327421\n");
}
