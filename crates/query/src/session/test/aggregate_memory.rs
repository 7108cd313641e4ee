//! Aggregates hold what they keep of their rows, not what has come.

use super::Server;

#[test]
fn sums_and_extremes_of_many_rows_need_little_memory() {
    let server = Server::new();
    let mut client = server.client();
    for calls in [
        "sum(g::numeric / 4), count(distinct g::numeric % 7), variance(g)",
        "bool_or(g > 5), bit_and(g), bit_xor(g), corr(g, g), stddev(g::float8)",
        "max(g::numeric / 3), min(g || 'x'), max(interval '1 s' * g), sum(make_interval(secs => g))",
    ] {
        let sql = format!("select {calls} from generate_series(1, 60000) g");
        let much = client.run(&format!("set query_memory = 0; {sql}"));
        assert!(!much.contains("ERROR"), "{sql}: {much}");
        assert_eq!(client.run(&format!("set query_memory = '512kB'; {sql}")), much, "{sql}");
        assert_eq!(client.run(&format!("set query_memory = '2MB'; {sql} group by g < 0")), much, "{sql}");
    }
    // What is kept is counted.
    client.run("set query_memory = '512kB'");
    for call in [
        "array_agg(g)",
        "string_agg(g::text, '')",
        "json_agg(g)",
        "percentile_disc(0.5) within group (order by g)",
        "array_agg(distinct g % 50000)",
    ] {
        let sql = format!("select length(({call})::text) from generate_series(1, 200000) g");
        let said = client.run(&sql);
        assert!(said.starts_with("ERROR 53200"), "{sql}: {}", said.chars().take(200).collect::<String>());
    }
}

#[test]
fn values_many_times_as_long_as_their_rows_are_made_few_at_a_time() {
    let server = Server::new();
    let mut client = server.client();
    let texts = "repeat('x', 200000 + g % 2)";
    // All at once they would be more than what one batch may have.
    let rows = "generate_series(1, 8000) g";
    assert_eq!(client.run(&format!("select sum(length({texts})) from {rows}")), "1600004000\n");
    assert_eq!(client.run(&format!("select count(*) from {rows} where length({texts}) = 200001")), "4000\n");
}
