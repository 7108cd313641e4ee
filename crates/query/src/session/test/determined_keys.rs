//! Groups by what other keys determine give the same rows, by fewer keys.

use super::Server;

/// The keys that EXPLAIN shows are grouped by.
fn keys(plan: &str) -> String {
    let line = plan.lines().find(|line| line.contains("gby=[")).unwrap_or_else(|| panic!("{plan}"));
    let (_, keys) = line.split_once("gby=[").unwrap();
    keys.split_once(']').unwrap().0.to_owned()
}

#[test]
fn keys_that_others_determine_are_not_grouped_by() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table people (id int primary key, name text, town text, nation int); \
         create table nations (id int primary key, name text not null); \
         create table orders (w int, id int, person int not null, day date, primary key (w, id)); \
         create table lines (w int, ord int, number int, amount numeric(10,2), note text, primary key (w, ord, number)); \
         insert into nations select n, 'nation ' || n from generate_series(0, 4) n; \
         insert into people select n, case when n % 4 = 0 then null else 'name ' || n % 7 end, 'a town with a long name ' || n % 3, \
         case when n % 5 = 0 then null else n % 5 end from generate_series(1, 40) n; \
         insert into orders select n % 3, n, 1 + n % 40, date '2026-01-01' + n % 9 from generate_series(1, 150) n; \
         insert into lines select n % 3, n, l, n * l * 1.25, case when l = 2 then 'note ' || n end \
         from generate_series(1, 140) n, generate_series(1, 3) l",
    );
    // What is grouped by in the end, beside the same query whose keys are hidden in a function.
    for (select, list, rest, expected) in [
        ("sum(o.w), count(*)", "p.id, p.name, p.town", "from people p join orders o on o.person = p.id", "id"),
        (
            "sum(amount)",
            "o.id, o.w, o.day, p.name, p.id",
            "from orders o, people p, lines l where p.id = o.person and l.w = o.w and l.ord = o.id",
            "id, w",
        ),
        ("count(*)", "p.id, n.name, n.id", "from people p left join nations n on n.id = p.nation", "id, id"),
        (
            "max(p.town)",
            "o.id, o.w, p.name, p.nation",
            "from orders o join people p on p.id = o.person where o.w = 1",
            "id",
        ),
        ("count(*)", "p.id, p.nation + 1, upper(p.name)", "from people p", "id"),
        ("count(*)", "p.name, p.town", "from people p", "name, town"),
        (
            "count(p.town)",
            "o.id, o.w, p.id, p.name",
            "from orders o left join people p on p.id = o.person and o.id % 2 = 0",
            "id, w, id",
        ),
        (
            "sum(s.total)",
            "s.person, p.name",
            "from (select person, count(*) as total from orders group by person) s join people p on p.id = s.person",
            "person",
        ),
    ] {
        let sql = format!("select {list}, {select} {rest} group by {list} order by {list}");
        let hidden: Vec<String> = list.split(", ").map(|key| format!("({key}, random() > 2)")).collect();
        let other = format!("select {list}, {select} {rest} group by {list}, {} order by {list}", hidden.join(", "));
        let (rows, others) = (client.run(&sql), client.run(&other));
        assert!(!rows.contains("ERROR") && rows.lines().count() > 2, "{sql}: {rows}");
        assert_eq!(rows, others, "{sql}");
        let plan = client.run(&format!("explain (costs off) {sql}"));
        let grouped = keys(&plan);
        let names: Vec<&str> = grouped.split(", ").map(|key| key.split('@').next().unwrap()).collect();
        assert_eq!(names.join(", "), expected, "{sql}: {plan}");
    }
}

#[test]
fn a_groups_value_is_its_own_when_groups_come_batch_by_batch() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table t (id int primary key, name text, f float8, b bytea); \
         insert into t select n, case when n % 3 = 0 then null else 'a rather long name of number ' || n end, n / 2.0, \
         decode(md5(n::text), 'hex') from generate_series(1, 30000) n; \
         create table u (t int, v int); \
         insert into u select 1 + (n * 7919) % 30000, n from generate_series(1, 90000) n",
    );
    let sql = "select count(*), count(*) filter (where s.name is distinct from t.name or s.f <> t.f or s.b <> t.b or s.c <> 3) \
               from (select t.id, t.name, t.f, t.b, count(*) as c from u join t on t.id = u.t group by t.id, t.name, t.f, t.b) s \
               join t on t.id = s.id";
    let plan = client.run(&format!("explain (costs off) {sql}"));
    assert!(plan.contains("any_of_group"), "{plan}");
    assert_eq!(client.run(sql), "30000|0\n");
}
