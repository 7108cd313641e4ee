//! Data-modifying WITH queries and MERGE through whole sessions.

use heliosdb_types::Datum;

use super::Server;

#[test]
fn with_queries_write_and_give_rows() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, v int, u int unique); create table log (id int, v int)");
    client.run("insert into t values (1, 10, 1), (2, 20, 2), (3, 30, 3)");
    let moved = "with gone as (delete from t where id < 3 returning id, v), \
                 kept as (insert into log select id, v + 1 from gone returning *) select * from kept order by id";
    assert_eq!(client.run(moved), "1|11\n2|21\n");
    assert_eq!(client.run("select id from t; select id, v from log order by id"), "3\n1|11\n2|21\n");
    // Nothing sees what another part does, and what nothing reads is done too.
    let all = "with a as (insert into t values (4, 40, 4)), b as (update t set v = 0) select count(*), sum(v) from t";
    assert_eq!(client.run(all), "1|30\n");
    assert_eq!(client.run("select id, v from t order by id"), "3|0\n4|40\n");
    // A row is written once.
    let twice = "with a as (update t set v = v + 1, u = u + 10 where id = 3 returning id), \
                 b as (delete from t where id = 3 returning id) \
                 select (select count(*) from a), (select count(*) from b)";
    assert_eq!(client.run(twice), "1|0\n");
    assert_eq!(client.run("select * from t where u = 13; delete from t where u = 13"), "3|1|13\nDELETE 1\n");
    assert_eq!(
        client.run("with a as (insert into t values (5, 1, 5) returning id) update t set v = 9 where id = 4"),
        "UPDATE 1\n"
    );
    assert_eq!(client.run("select id, v from t order by id"), "4|9\n5|1\n");
    let taken = "with a as (insert into t values (6, 1, 6) returning id) \
                 insert into t select id, 2, 6 from a on conflict (u) do update set v = 7";
    assert!(client.run(taken).starts_with("ERROR 21000"));
}

#[test]
fn with_queries_take_parameters_and_check_references_at_the_end() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table p (id int primary key); create table c (id int, p int references p on delete cascade)");
    assert_eq!(client.run("with a as (insert into p values (1)) insert into c values (1, 1)"), "INSERT 0 1\n");
    assert_eq!(client.run("with a as (insert into c values (2, 2)) insert into p values (2)"), "INSERT 0 1\n");
    assert!(client.run("with a as (insert into p values (3)) insert into c values (1, 9)").starts_with("ERROR 23503"));
    assert_eq!(client.run("select * from p order by id"), "1\n2\n");
    let prepared = client
        .prepare("with a as (insert into p values ($1) returning id) insert into c select $2::int, id from a")
        .unwrap();
    assert_eq!(client.run_prepared(&prepared, vec![Datum::Int32(5), Datum::Int32(50)]).unwrap(), "INSERT 0 1\n");
    assert_eq!(client.run_prepared(&prepared, vec![Datum::Int32(6), Datum::Int32(60)]).unwrap(), "INSERT 0 1\n");
    assert_eq!(client.run("with d as (delete from p where id in (1, 5)) select count(*) from c"), "4\n");
    assert_eq!(client.run("select * from c order by id"), "2|2\n60|6\n");
}

#[test]
fn with_queries_write_at_the_top_only() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key)");
    let top = "ERROR 0A000: WITH clause containing a data-modifying statement must be at the top level\n";
    assert_eq!(client.run("select * from (with x as (delete from t returning id) select * from x) s"), top);
    assert_eq!(client.run("insert into t with x as (delete from t returning id) select * from x"), top);
    assert_eq!(
        client.run("with x as (delete from t) select * from x"),
        "ERROR 0A000: WITH query \"x\" does not have a RETURNING clause\n"
    );
    assert_eq!(
        client.run("create view v as with x as (delete from t returning id) select * from x"),
        "ERROR 0A000: views must not contain data-modifying statements in WITH\n"
    );
    assert_eq!(
        client.run("begin; declare c cursor for with x as (delete from t returning id) select * from x"),
        "BEGIN\nERROR 0A000: DECLARE CURSOR must not contain data-modifying statements in WITH\n"
    );
    client.run("rollback");
    assert!(
        client
            .run("begin read only; with x as (delete from t) select 1")
            .ends_with("ERROR 25006: cannot execute SELECT in a read-only transaction\n")
    );
    client.run("rollback");
    let explained = client.run("explain (costs off) with x as (insert into t values (1) returning id) select * from x");
    assert!(explained.contains("CTE x") && explained.contains("Insert on t"), "{explained}");
    let analysed = client.run("explain (analyze, timing off, costs off) with x as (insert into t values (1) returning id) select * from x; select * from t");
    assert!(analysed.ends_with("1\n"), "{analysed}");
}

#[test]
fn a_table_is_made_of_what_a_with_query_gives() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key); insert into t values (1), (2), (3)");
    assert_eq!(
        client.run(
            "create table u as with x as (delete from t where id < 3 returning id) select id, id * 2 as twice from x"
        ),
        "SELECT 2\n"
    );
    assert_eq!(client.run("select * from u order by id; select * from t"), "1|2\n2|4\n3\n");
}

#[test]
fn merge_updates_deletes_and_inserts() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, v int, u text unique default 'd')");
    client.run("insert into t values (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')");
    let merge = "merge into t using (values (1, 5), (2, null), (3, 0), (4, 40), (5, null)) as s (id, n) on t.id = s.id \
                 when matched and s.n is null then delete \
                 when matched and s.n > 0 then update set v = v + s.n, u = 'x' || t.u \
                 when matched then do nothing \
                 when not matched and n is not null then insert (id, v) values (s.id, s.n) \
                 when not matched then do nothing";
    assert_eq!(client.run(merge), "MERGE 3\n");
    assert_eq!(client.run("select * from t order by id"), "1|15|xa\n3|30|c\n4|40|d\n");
    assert_eq!(
        client.run("merge into t using (values (1), (1)) s (id) on t.id = s.id when matched then delete"),
        "ERROR 21000: MERGE command cannot affect row a second time\n"
    );
    // A unique value that is given up in the same statement.
    let swap = "merge into t using (values (1, 'c'), (3, 'xa'), (9, 'd'), (4, 'q')) s (id, u) on t.id = s.id \
                when matched then update set u = s.u when not matched then insert values (s.id, 0, s.u)";
    assert_eq!(client.run(swap), "MERGE 4\n");
    assert_eq!(
        client.run("select * from t where u in ('c', 'xa', 'd', 'q') order by id"),
        "1|15|c\n3|30|xa\n4|40|q\n9|0|d\n"
    );
    assert_eq!(
        client.run("merge into t using t on true when matched then delete"),
        "ERROR 42712: name \"t\" specified more than once\nDETAIL: The name is used both as MERGE target table and data source.\n"
    );
    assert_eq!(
        client.run("with s as (select 9 as id) merge into t as x using s on x.id = s.id when matched then update set id = 10 when not matched then insert default values"),
        "MERGE 1\n"
    );
    assert_eq!(client.run("select v from t where id = 10"), "0\n");
    let newest = "merge into t using (values (4), (9)) s (id) on t.id = (select max(id) from t) and s.id < \
                  (select id from t where id = 10) when matched then update set v = t.v + s.id";
    assert!(client.run(newest).starts_with("ERROR 21000"));
    assert_eq!(client.run(&newest.replace(", (9)", "")), "MERGE 1\n");
    assert_eq!(client.run("select v from t where id = 10"), "4\n");
    let explained = client
        .run("explain (costs off) merge into t using (values (1)) s (id) on t.id = s.id when matched then delete");
    assert!(explained.starts_with("Merge on t"), "{explained}");
}
