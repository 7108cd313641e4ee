//! Window functions have the same values whatever memory there is.

use super::Server;

#[test]
fn windows_have_the_same_values_with_little_memory() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table t (id int primary key, k int, v int, d numeric(12,2), s text); \
         insert into t select g, case when g % 4 = 0 then null else g % 4 end, case when g % 7 = 0 then null else (g * 7919) % 1009 end, \
         g / 8.0, repeat('x', 300) || g from generate_series(1, 60000) g",
    );
    for calls in [
        "sum(v) over (), max(s) over (), count(*) over ()",
        "v - avg(v) over (), sum(d) filter (where s like '%7') over (), count(*) filter (where d > 99) over ()",
    ] {
        let sql = format!("select id, length(s), {calls} from t");
        let (mut much, mut little) = (client.run(&sql), client.run(&format!("set query_memory = '24MB'; {sql}")));
        assert!(!much.contains("ERROR"), "{sql}: {}", much.chars().take(500).collect::<String>());
        let sorted = |rows: &mut String| {
            let mut lines: Vec<&str> = rows.lines().filter(|line| *line != "SET").collect();
            lines.sort_unstable();
            *rows = lines.join("\n");
        };
        sorted(&mut much);
        sorted(&mut little);
        assert!(little == much, "{sql}: {}", little.chars().take(500).collect::<String>());
        let plan = client.run(&format!("explain (analyze, timing off) {sql}; set query_memory = 0"));
        let window = plan.split("WindowAgg").nth(1).and_then(|part| part.split("->").next());
        assert!(window.is_some_and(|window| window.contains("Memory: ") && window.contains("Spilled: ")), "{plan}");
    }
}
