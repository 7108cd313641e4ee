//! Groups of equal neighbours are the groups that a table of all groups finds: the same query by a key no table is ordered by.

use super::{Client, Server};

const CALLS: &str = "count(*), count(v), sum(v), sum(d), avg(v), avg(d), min(v), max(s), min(f), max(d), bool_or(v > 90), \
    count(*) filter (where v % 2 = 0), sum(v) filter (where s is null), max(d) filter (where false)";

/// `key`: of the row g. Values that add up exactly, so that their order does not matter.
fn table(client: &mut Client, name: &str, key: &str) {
    client.run(&format!(
        "create table {name} (k int, n int, v int, d numeric(12,2), f float8, s text, primary key (k, n)); \
         insert into {name} select {key}, g, case when g % 11 = 0 then null else (g * 7919) % 101 end, (g * 31) % 977 / 4.0, \
         case when g % 13 = 0 then null else g % 64 / 8.0 end, case when g % 3 = 0 then null else 'name ' || g % 17 end \
         from generate_series(1, 9000) g"
    ));
    // Rows that go and come: not in segments, and out of their order.
    client.run(&format!("delete from {name} where n % 17 = 3; update {name} set v = v + 1 where n % 19 = 4"));
    client.run(&format!("insert into {name} select k, n + 100000, v, d, f, s from {name} where n % 23 = 5"));
}

#[test]
fn runs_are_the_groups_that_a_table_finds() {
    let server = Server::new();
    let mut client = server.client();
    // Runs of a few hundred rows, of a few, of one: over the last they are given up.
    for (name, key) in [("long", "g / 300"), ("short", "g * 13 % 4999"), ("single", "g * 3")] {
        table(&mut client, name, key);
        let few = format!("(select distinct v from {name} where v < 20) few");
        for (rest, filter) in [
            (format!("from {name} t"), ""),
            (format!("from {name} t where n % 5 <> 1 and v < 60"), ""),
            (format!("from {name} t where n < 0"), ""),
            (format!("from {name} t"), "having sum(v) > 100"),
            (format!("from {name} t join {few} on few.v = t.v"), ""),
        ] {
            let calls = CALLS.replace("(v", "(t.v").replace("where v", "where t.v");
            let by = |key: &str| {
                let filter = filter.replace("(v", "(t.v");
                format!("select {key}, {calls} {rest} group by {key} {filter} order by 1")
                    .replace("and v <", "and t.v <")
            };
            let (runs, hashed) = (by("t.k"), by("t.k + 0"));
            assert_eq!(client.run(&runs), client.run(&hashed), "{runs}");
            assert!(!client.run(&runs).contains("ERROR"), "{runs}");
            let (plan, other) = (client.run(&format!("explain {runs}")), client.run(&format!("explain {hashed}")));
            assert!(plan.contains(", runs") && !other.contains(", runs"), "{plan}{other}");
        }
    }
}
