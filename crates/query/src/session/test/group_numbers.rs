//! Groups by texts of a small table joined to a large one are by numbers: the answers are those of groups by texts.

use super::{Client, Server};

fn tables(client: &mut Client) {
    client.run("create table things (id int primary key, name text, kind char(4), note text, price numeric(8,2))");
    client.run("create table places (id int primary key, town text)");
    client.run("create table sales (id int primary key, thing int, place int, buyer int, amount int)");
    client.run(
        "insert into things select g, 'name ' || g % 40, 'k' || g % 3, nullif('n' || g % 5, 'n2'), (g % 9) / 4.0 from generate_series(1, 300) g",
    );
    client.run("insert into places select g, nullif('town ' || g % 4, 'town 3') from generate_series(1, 20) g");
    client.run(
        "insert into sales select g, (g * 7919) % 310 + 1, g % 21, g % 97, g % 1009 from generate_series(1, 25000) g",
    );
    client.run("analyze");
}

/// The same rows as from groups of rows that nothing is known of; and whether they have numbers.
fn same(client: &mut Client, query: &str, numbered: usize) {
    let plan = client.run(&format!("explain (costs off) {query}"));
    assert_eq!(plan.matches("Number Groups").count(), numbered, "{query}\n{plan}");
    let by_numbers = client.run(query);
    assert!(by_numbers.lines().count() > 2 && !by_numbers.contains("ERROR"), "{query}\n{by_numbers}");
    let plain = query
        .replace("things", "(select * from things limit 100000)")
        .replace("places", "(select * from places limit 100000)");
    let plan = client.run(&format!("explain (costs off) {plain}"));
    assert!(!plan.contains("Number Groups"), "{plan}");
    assert_eq!(by_numbers, client.run(&plain), "{query}");
}

#[test]
fn groups_by_numbers_are_groups_by_texts() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    let from = "from sales s join things t on t.id = s.thing";
    same(&mut client, &format!("select name, sum(amount) {from} group by name order by 1"), 1);
    same(&mut client, &format!("select note, kind, count(*), max(amount) {from} group by 1, 2 order by 1, 2"), 1);
    same(
        &mut client,
        &format!("select name, price, note, count(distinct buyer) {from} group by 1, 2, 3 order by 4 desc, 1, 2, 3"),
        1,
    );
    same(&mut client, &format!("select substr(name, 1, 6), count(distinct buyer) {from} group by 1 order by 1"), 1);
    same(
        &mut client,
        &format!("select name, buyer % 3, avg(amount) {from} group by 1, 2 having count(*) > 5 order by 1, 2"),
        1,
    );
    // Two tables; one of them, for the other's rows may have no partner.
    let both = format!("{from} join places p on p.id = s.place");
    same(&mut client, &format!("select name, town, sum(amount) {both} group by 1, 2 order by 1, 2"), 2);
    let outer = format!("{from} left join places p on p.id = s.place");
    same(&mut client, &format!("select note, town, sum(amount) {outer} group by 1, 2 order by 1, 2"), 1);
    same(&mut client, &format!("select town, sum(amount) {outer} group by 1 order by 1"), 0);
    // The same table twice.
    let twice = format!("{from} join things u on u.id = s.thing % 7 + 1");
    same(&mut client, &format!("select t.name, u.name, count(*) {twice} group by 1, 2 order by 1, 2"), 2);
    // Computed above the join, or of both sides; in parts of something else.
    same(&mut client, &format!("select upper(name), count(*) {from} group by 1 order by 1"), 0);
    same(&mut client, &format!("select name || buyer % 2, count(*) {from} group by 1 order by 1"), 0);
    same(
        &mut client,
        &format!(
            "select max(c), min(name) from (select name, count(*) as c {from} group by 1) x group by c % 7 order by 1"
        ),
        1,
    );
    same(
        &mut client,
        &format!(
            "select name, count(*) {from} where exists (select from places p where p.id = s.place) group by 1 order by 1"
        ),
        1,
    );
    // Grouped twice, by fewer keys.
    same(
        &mut client,
        &format!(
            "select name, count(*), sum(c) from (select name, note, buyer, count(*) as c {from} group by 1, 2, 3) x group by 1 order by 1"
        ),
        1,
    );
    same(
        &mut client,
        &format!(
            "select name, max(note), sum(c) from (select name, note, buyer, count(*) as c {from} group by 1, 2, 3) x group by 1 order by 1"
        ),
        1,
    );
    // Of few rows, of a table as large, and of sets.
    same(&mut client, "select name, count(*) from things t join places p on p.id = t.id % 20 group by 1 order by 1", 0);
    same(&mut client, &format!("select name, kind, count(*) {from} group by rollup (1, 2) order by 1, 2, 3"), 0);
}

#[test]
fn a_key_that_fails_for_other_rows_is_not_computed_early() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    client.run("insert into things values (1000, 'x', null, null, 0); insert into sales values (0, 1000, 0, 0, 0)");
    let query = "select name, (6 / price)::text, count(*) from sales s join things t on t.id = s.thing where thing % 9 <> 0 and thing < 300 group by 1, 2 order by 1, 2";
    let rows = client.run(query);
    assert!(!rows.contains("ERROR"), "{rows}");
}

/// Part of a subquery of each row of something else.
#[test]
fn a_plan_that_runs_often_keeps_its_numbers() {
    let server = Server::new();
    let mut client = server.client();
    tables(&mut client);
    let query = |things: &str| {
        format!(
            "select p.id, x.name, x.n from places p cross join lateral (select name, count(*) + p.id as n from sales s join {things} t on t.id = s.thing group by name order by n desc, name limit 2) x order by 1, 2"
        )
    };
    let expected = client.run(&query("(select * from things limit 100000)"));
    assert!(expected.lines().count() > 20, "{expected}");
    assert_eq!(client.run(&query("things")), expected);
}
