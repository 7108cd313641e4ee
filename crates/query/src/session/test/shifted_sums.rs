//! Sums of a column with constants added are computed from one sum: the same numbers, the same errors.

use super::Server;

#[test]
fn sums_of_shifted_columns_are_sums_of_each_value() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table s (id int primary key, g text, x int2, wide int4); \
         insert into s select n, 'g' || n % 3, case when n % 5 = 0 then null when n = 7 then 32767 when n = 8 then -32768 else n end, \
         case when n % 5 = 0 then null when n = 7 then 32767 when n = 8 then -32768 else n end from generate_series(1, 200) n",
    );
    let list = "sum(@ + 1), sum(@ - 3), sum(100000 + @), sum(@ + 1) filter (where id > 9), sum(distinct @ + 1), avg(@ + 1), \
                sum(@), sum(@ + 2) + max(id), count(@)";
    for rest in [
        "from s",
        "from s where id < 0",
        "from s where x is null",
        "from s group by g order by g",
        "from s group by g having sum(@ + 5) > sum(@ + 4) order by g",
    ] {
        let of = |column: &str| format!("select {list} {rest}").replace('@', column);
        let (shifted, each) = (client.run(&of("x")), client.run(&of("wide")));
        assert!(!each.contains("ERROR") && !each.is_empty(), "{each}");
        assert_eq!(shifted, each, "{rest}");
    }
    let plan = client.run("explain (costs off) select sum(x + 1), sum(x + 2), sum(x - 3) from s");
    assert!(plan.contains("count(s.x)") && !plan.contains("int4_sub"), "{plan}");
    // These may fail for a value, so every value is looked at.
    for sql in ["sum(wide + 1), sum(wide + 2)", "sum(x + 2147483000), sum(x + 2147483001)"] {
        let plan = client.run(&format!("explain (costs off) select {sql} from s"));
        assert!(!plan.contains("count("), "{plan}");
    }
    assert!(client.run("select sum(x + 2147483000), sum(x + 2147483001) from s").contains("22003"));
}
