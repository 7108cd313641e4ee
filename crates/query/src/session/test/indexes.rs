//! Secondary indexes and UNIQUE constraints.

use super::Server;

#[test]
fn unique_constraints_hold_through_insert_update_and_delete() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, u int unique, a text, b int, unique (a, b))");
    assert_eq!(
        client.run("insert into t values (1, 10, 'x', 1), (2, null, 'x', null), (3, null, 'x', null)"),
        "INSERT 0 3\n"
    );
    assert_eq!(
        client.run("insert into t values (4, 10, 'y', 1)"),
        "ERROR 23505: duplicate key value violates unique constraint \"t_u_key\"\nDETAIL: Key (u)=(10) already exists.\n"
    );
    assert_eq!(
        client.run("insert into t values (4, 11, 'x', 1)"),
        "ERROR 23505: duplicate key value violates unique constraint \"t_a_b_key\"\n\
         DETAIL: Key (a, b)=(x, 1) already exists.\n"
    );
    assert_eq!(
        client.run("insert into t values (4, 12, 'z', 1), (5, 12, 'z', 2)"),
        "ERROR 23505: duplicate key value violates unique constraint \"t_u_key\"\nDETAIL: Key (u)=(12) already exists.\n"
    );
    // Both free the value in one statement and take another's.
    assert_eq!(
        client.run("update t set u = 20 where id = 2; update t set u = 30 - u where u is not null"),
        "UPDATE 1\nUPDATE 2\n"
    );
    assert_eq!(client.run("select id, u from t order by id"), "1|20\n2|10\n3|\n");
    assert!(client.run("update t set u = 20 where id = 3").contains("Key (u)=(20) already exists."));
    assert_eq!(client.run("delete from t where id = 1; update t set u = 20 where id = 3"), "DELETE 1\nUPDATE 1\n");
    assert_eq!(
        client.run("begin; delete from t where u = 20; insert into t values (9, 20); commit"),
        "BEGIN\nDELETE 1\nINSERT 0 1\nCOMMIT\n"
    );
    // A row that gets another primary key takes its entries along.
    assert_eq!(client.run("update t set id = id + 1; update t set u = u"), "UPDATE 2\nUPDATE 2\n");
    assert!(client.run("insert into t values (50, 20)").starts_with("ERROR 23505"));
    assert_eq!(client.run("truncate t; insert into t values (50, 20)"), "TRUNCATE TABLE\nINSERT 0 1\n");
}

#[test]
fn indexes_are_built_over_rows_that_are_there() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b text); insert into t values (1, 'A'), (2, 'a'), (3, null), (4, null)");
    assert_eq!(
        client.run("create unique index on t (lower(b))"),
        "ERROR 23505: could not create unique index \"t_lower_idx\"\nDETAIL: Key (lower(b))=(a) is duplicated.\n"
    );
    assert_eq!(client.run("create unique index i on t (lower(b)) where a > 1"), "CREATE INDEX\n");
    assert!(client.run("insert into t values (7, 'A')").contains("Key (lower(b))=(a) already exists."));
    assert_eq!(client.run("insert into t values (0, 'A')"), "INSERT 0 1\n");
    assert!(client.run("update t set a = 9 where a = 0").contains("Key (lower(b))=(a) already exists."));
    assert_eq!(client.run("reindex table t; reindex index i"), "REINDEX\nREINDEX\n");
    assert!(client.run("insert into t values (7, 'A')").contains("Key (lower(b))=(a) already exists."));
    assert_eq!(
        client.run("alter index i rename to j; drop index j; insert into t values (7, 'A')"),
        "ALTER INDEX\nDROP INDEX\nINSERT 0 1\n"
    );
    assert_eq!(
        client.run("create unique index i on t (b) nulls not distinct"),
        "ERROR 23505: could not create unique index \"i\"\nDETAIL: Key (b)=(A) is duplicated.\n"
    );
    assert_eq!(
        client.run("create index i on t (b); create index if not exists i on t (a)"),
        "CREATE INDEX\nCREATE INDEX\nNOTICE: relation \"i\" already exists, skipping\n"
    );
    assert_eq!(
        client.run("drop index if exists nope; drop index i"),
        "DROP INDEX\nDROP INDEX\nNOTICE: index \"nope\" does not exist, skipping\n"
    );
}

#[test]
fn alter_table_moves_indexes_with_their_rows() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b int, c text); insert into t values (1, 1, 'x'), (2, 2, 'y')");
    assert_eq!(client.run("alter table t add unique (a), add constraint named unique (b, c)"), "ALTER TABLE\n");
    assert!(client.run("insert into t values (1, 5, 'z')").contains("\"t_a_key\""));
    assert_eq!(client.run("alter table t alter column a type bigint"), "ALTER TABLE\n");
    assert!(client.run("insert into t values (1, 5, 'z')").contains("\"t_a_key\""));
    assert_eq!(client.run("alter table t add primary key (b)"), "ALTER TABLE\n");
    assert!(client.run("insert into t values (1, 5, 'z')").contains("\"t_a_key\""));
    assert_eq!(client.run("update t set b = b + 10; alter table t drop constraint t_pkey"), "UPDATE 2\nALTER TABLE\n");
    assert!(client.run("insert into t values (5, 11, 'x')").contains("Key (b, c)=(11, x) already exists."));
    assert_eq!(
        client.run("alter table t rename column b to bb; alter table t drop column c"),
        "ALTER TABLE\nALTER TABLE\n"
    );
    assert_eq!(client.run("insert into t values (5, 11)"), "INSERT 0 1\n");
    assert!(client.run("drop index t_a_key").contains("because constraint t_a_key on table t requires it"));
    assert_eq!(
        client.run("alter table t drop constraint t_a_key; insert into t values (5, 11)"),
        "ALTER TABLE\nINSERT 0 1\n"
    );
    assert_eq!(client.run("delete from t; create unique index u on t (a); alter table t add constraint k primary key using index u; insert into t values (1, 1)"),
        "DELETE 4\nCREATE INDEX\nALTER TABLE\nINSERT 0 1\nNOTICE: ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"u\" to \"k\"\n");
    assert!(client.run("insert into t values (1, 1)").contains("\"k\""));
    assert_eq!(
        client.run("drop table t; create table t (a int unique); create index on t (a)"),
        "DROP TABLE\nCREATE TABLE\nCREATE INDEX\n"
    );
}

#[test]
fn a_copy_keeps_indexes() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int unique, b int)");
    assert_eq!(client.run_with_data("copy t from stdin", "1\t1\n2\t1\n"), "COPY 2\n");
    assert!(client.run_with_data("copy t from stdin", "3\t1\n2\t1\n").contains("Key (a)=(2) already exists."));
    assert!(client.run("insert into t values (2, 1)").contains("Key (a)=(2) already exists."));
}

/// Small pseudo-random numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn index_scans_give_what_full_scans_give() {
    let server = Server::new();
    let mut client = server.client();
    let columns = "(id int, a int, b text, c numeric(10, 2), d date)";
    client.run(&format!("create table i {columns}; create table f {columns}; alter table i add primary key (id)"));
    client
        .run("create index on i (a, b desc); create unique index on i (d, id); create index on i (c desc nulls last)");
    client.run("create index on i (b nulls first)");
    let mut numbers = Numbers(42);
    let row = "select g, case when g % 7 = 0 then null else g % 40 end, case when g % 11 = 0 then null else 'v' || g % 60 end, \
               g % 90 / 4.0, date '2024-01-01' + g % 50 from generate_series";
    let both = |client: &mut super::Client, sql: &str| {
        let (i, f) = (client.run(&sql.replace('@', "i")), client.run(&sql.replace('@', "f")));
        assert_eq!(i, f, "{sql}");
        i
    };
    both(&mut client, &format!("insert into @ {row}(1, 2500) g"));
    let plan = |client: &mut super::Client, sql: &str| client.run(&format!("explain (costs off) {sql}"));
    for (sql, index) in [
        ("select * from i where a = 3 and b = 'v3'", "i_a_b_idx"),
        ("select * from i where a = 3 and b > 'v5'", "i_a_b_idx"),
        ("select * from i where id between 5 and 20", "i_pkey"),
        ("select * from i where id in (5, 20, 9000)", "i_pkey"),
        ("select * from i where c = 0.25 and a = 1", "i_"),
        ("select * from i order by id desc limit 5", "i_pkey"),
        ("select * from i order by c desc nulls last limit 5", "i_c_idx"),
        ("select max(d) from i", "i_d_id_idx"),
    ] {
        let shown = plan(&mut client, sql);
        assert!(shown.contains(&format!("Index Scan using {index}")), "{sql}: {shown}");
    }
    let scanned = plan(&mut client, "select * from i where a > 3");
    assert!(scanned.contains("Seq Scan on i") && !scanned.contains("Index"), "half the table is scanned: {scanned}");
    for round in 0..12 {
        let (x, y, z) = (numbers.below(2600), numbers.below(45), numbers.below(70));
        both(&mut client, &format!("update @ set a = {y}, b = 'v{z}' where id % 97 = {}", x % 97));
        both(&mut client, &format!("delete from @ where id between {x} and {}", x + numbers.below(20)));
        both(&mut client, &format!("insert into @ {row}({0}, {0} + 15) g", 3000 + round * 20));
        both(&mut client, &format!("update @ set id = id + 100000 where id = {x} or id = {}", x + 30));
        // Own writes of the transaction are found too.
        client.run("begin");
        both(&mut client, &format!("update @ set a = 3, d = d + 1 where id % 50 = {}", y % 50));
        for sql in [
            format!("select * from @ where a = {y} and b >= 'v{z}' order by id"),
            format!("select * from @ where a in (1, {y}, null) and b like 'v1%' order by id"),
            "select id from @ where a is null and b < 'v3' order by id".to_owned(),
            format!("select * from @ where c < {}.5 and c >= {}.0 order by id", y % 20, y % 20),
            format!("select * from @ where d = date '2024-01-01' + {} and id > 500 order by id", y % 50),
            format!("select b from @ where b = 'v{z}' order by b"),
            format!("select min(c), max(c) from @ where a = {y}"),
            "select min(d) from @".to_owned(),
            "select max(id) from @".to_owned(),
            "select id from @ order by id desc limit 7".to_owned(),
            "select b from @ order by b nulls first limit 9".to_owned(),
            "select c from @ order by c desc nulls last limit 9".to_owned(),
            format!("select b from @ where a = {y} order by b desc limit 3"),
            format!("select id from @ where a = {y} order by id limit 3"),
            format!("select count(*) from @ join (values ({x}), ({})) v (k) on v.k = @.id", x + 1),
        ] {
            both(&mut client, &sql);
        }
        client.run(if round % 2 == 0 { "rollback" } else { "commit" });
    }
    both(&mut client, "select count(*), sum(a), min(b), max(d), sum(c) from @");
}

#[test]
fn one_row_is_found_by_a_unique_index() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int, mail text unique, n int, unique (id, n)); insert into t values (1, 'a', 1), (2, 'b', 2)");
    assert_eq!(client.run("select n from t where mail = 'b'"), "2\n");
    assert_eq!(client.run("select n from t where mail = 'b' and n = 1"), "");
    assert_eq!(
        client.run("update t set mail = 'c' where mail = 'b'; select id from t where mail = 'c' or mail = 'b'"),
        "UPDATE 1\n2\n"
    );
    assert_eq!(
        client.run("select mail from t where id = 2 and n = 2; delete from t where mail = 'a' returning id"),
        "c\n1\nDELETE 1\n"
    );
    assert_eq!(client.run("select * from t where mail = 'a'; select * from t where mail = 'zz'"), "");
}
