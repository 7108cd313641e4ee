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
        "ERROR 23505: could not create unique index \"i\"\nDETAIL: Key (b)=(null) is duplicated.\n"
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
