//! Chains of hundreds of operators: one flat call computes what nested calls would.

use heliosdb_types::Datum;

use super::Server;

#[test]
fn long_chains_compute_what_short_expressions_do() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table t (id int primary key, v int8, n numeric(10,2), tags text[], j jsonb, at timestamp); \
         insert into t values (1, 10, 1.25, '{a}', '[1]', '2024-01-31'), (2, null, null, null, null, null), (3, -7, 3, '{}', '[]', '2020-02-29')",
    );
    let mut same = |chain: &str, short: &str| {
        let long = client.run(&format!("select id, {chain} from t order by t.id"));
        assert!(!long.contains("ERROR"), "{long}");
        assert_eq!(long, client.run(&format!("select id, {short} from t order by t.id")), "{chain:.60}");
    };
    same(&format!("v{}", " + v - 1".repeat(200)), "v * 201 - 200");
    same(&format!("v{}", " + id * 2 - 1".repeat(150)), "v + id * 300 - 150");
    same(&format!("n{}", " + 0.5".repeat(300)), "n + 150.0");
    same(&format!("1{}", " + v".repeat(300)), "1 + v * 300");
    same(&format!("at{}", " + interval '1 day'".repeat(200)), "at + interval '200 days'");
    same(&format!("cardinality(tags{})", " || tags".repeat(200)), "cardinality(tags) * 201");
    same(&format!("jsonb_array_length(j{})", " || j".repeat(200)), "jsonb_array_length(j) * 201");
    same(&format!("v{} > 0", " + 1".repeat(200)), "v + 200 > 0");
    same(
        &format!("case when v > 0 then v{} else id end", " - 1".repeat(150)),
        "case when v > 0 then v - 150 else id end",
    );
    let chain = format!("v{}", " + 1".repeat(150));
    assert_eq!(
        client.run(&format!("select {chain}, count(*) from t group by {chain} order by 1")),
        "143|1\n160|1\n|1\n"
    );
    assert_eq!(client.run(&format!("select sum(v){} from t", " + sum(id)".repeat(150))), "903\n");
    assert_eq!(
        client.run(&format!("update t set v = v{} where id = 1; select v from t where id = 1", " + 1".repeat(150))),
        "UPDATE 1\n160\n"
    );
}

#[test]
fn long_chains_fail_and_take_parameters_as_short_ones_do() {
    let server = Server::new();
    let mut client = server.client();
    let plus = " + 1".repeat(200);
    assert_eq!(client.run(&format!("select 2147483600{plus}")), "ERROR 22003: integer out of range\n");
    assert_eq!(
        client.run(&format!("select v{plus} from (values (2147483600)) t(v)")),
        "ERROR 22003: integer out of range\n"
    );
    assert_eq!(
        client.run(&format!("select v{plus} + true from (values (1)) t(v)")),
        "ERROR 42883: operator does not exist: integer + boolean\n"
    );
    let prepared = client.prepare(&format!("select v{plus}{} from (values (1)) t(v)", " - $1 + $2".repeat(2))).unwrap();
    let got = client.run_prepared(&prepared, vec![Datum::Int32(2), Datum::Int32(5)]).unwrap();
    assert_eq!(got, "207\n");
    let first = client.prepare(&format!("select $1{plus}")).unwrap();
    assert_eq!(client.run_prepared(&first, vec![Datum::Int32(-200)]).unwrap(), "0\n");
    assert_eq!(client.run_prepared(&first, vec![Datum::Null]).unwrap(), "\n");
}
