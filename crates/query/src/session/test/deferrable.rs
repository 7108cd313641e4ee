//! DEFERRABLE UNIQUE constraints, and ON DELETE SET NULL of some columns, through whole sessions.

use super::Server;

#[test]
fn unique_is_checked_at_the_end_of_the_statement_or_of_the_transaction() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, u int unique deferrable initially deferred, w int, constraint tw unique (w) deferrable)");
    assert_eq!(
        client.run("insert into t values (1, 1, 1), (2, 2, 2), (3, null, null), (4, null, null)"),
        "INSERT 0 4\n"
    );
    let taken = "ERROR 23505: duplicate key value violates unique constraint \"t_u_key\"\nDETAIL: Key (u)=(1) already exists.\n";
    assert_eq!(client.run("insert into t values (5, 1, 5)"), format!("INSERT 0 1\n{taken}"));
    assert_eq!(
        client.run("begin; insert into t values (5, 1, 5); delete from t where id = 1; commit"),
        "BEGIN\nINSERT 0 1\nDELETE 1\nCOMMIT\n"
    );
    assert_eq!(client.run("begin; insert into t values (6, 1, 6); commit"), format!("BEGIN\nINSERT 0 1\n{taken}"));
    assert_eq!(
        client.run("insert into t values (7, 7, 2)"),
        "ERROR 23505: duplicate key value violates unique constraint \"tw\"\nDETAIL: Key (w)=(2) already exists.\n"
    );
    assert_eq!(client.run("update t set w = w + 3 where w in (2, 5)"), "UPDATE 2\n");
    assert_eq!(client.run("select id, u, w from t order by id"), "2|2|5\n3||\n4||\n5|1|8\n");
    assert_eq!(
        client.run("begin; set constraints tw deferred; insert into t values (9, 9, 5); set constraints tw immediate"),
        "BEGIN\nSET CONSTRAINTS\nINSERT 0 1\nERROR 23505: duplicate key value violates unique constraint \"tw\"\nDETAIL: Key (w)=(5) already exists.\n"
    );
    client.run("rollback");
    assert_eq!(
        client.run("begin; savepoint s; insert into t values (9, 2, 9); rollback to s; commit"),
        "BEGIN\nSAVEPOINT\nINSERT 0 1\nROLLBACK\nCOMMIT\n"
    );
    assert_eq!(
        client.run_with_data("copy t from stdin", "10\t2\t10\n"),
        format!("COPY 1\n{}", taken.replace("=(1)", "=(2)"))
    );
    let arbiter =
        "ERROR 55000: ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters\n";
    assert_eq!(client.run("insert into t values (1) on conflict (u) do nothing"), arbiter);
    assert_eq!(client.run("insert into t values (1) on conflict on constraint tw do nothing"), arbiter);
    assert_eq!(client.run("insert into t values (1) on conflict (id) do nothing"), "INSERT 0 1\n");
    assert_eq!(
        client.run("create table c (u int references t (u))"),
        "ERROR 55000: cannot use a deferrable unique constraint for referenced table \"t\"\n"
    );
    assert_eq!(
        client.run("create table d (a int); insert into d values (1), (1); alter table d add unique (a) deferrable"),
        "CREATE TABLE\nINSERT 0 2\nERROR 23505: could not create unique index \"d_a_key\"\nDETAIL: Key (a)=(1) is duplicated.\n"
    );
    assert_eq!(
        client.run("select conname, condeferrable, condeferred, pg_get_constraintdef(oid) from pg_constraint where contype = 'u' order by 1"),
        "t_u_key|t|t|UNIQUE (u) DEFERRABLE INITIALLY DEFERRED\ntw|t|f|UNIQUE (w) DEFERRABLE\n"
    );
}

#[test]
fn copied_rows_wait_for_their_parents_too() {
    let server = Server::new();
    let mut client = server.client();
    client
        .run("create table p (id int primary key); create table c (p int references p deferrable initially deferred)");
    client.run("begin");
    assert_eq!(client.run_with_data("copy c from stdin", "5\n"), "COPY 1\n");
    assert!(client.run("commit").starts_with("ERROR 23503"));
    assert_eq!(client.run("select * from c"), "");
}

#[test]
fn a_deleted_parent_sets_the_named_columns() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table p (a int, b int, primary key (a, b)); insert into p values (1, 1), (1, 2)");
    assert_eq!(
        client.run("create table c (x int, y int default 2, foreign key (x, y) references p on delete set null (x))"),
        "CREATE TABLE\n"
    );
    client.run("insert into c values (1, 1), (1, 2)");
    assert_eq!(client.run("delete from p where b = 1; select * from c order by y"), "DELETE 1\n|1\n1|2\n");
    assert_eq!(
        client.run("select pg_get_constraintdef(oid) from pg_constraint where contype = 'f'"),
        "FOREIGN KEY (x, y) REFERENCES p(a, b) ON DELETE SET NULL (x)\n"
    );
    assert!(
        client.run("create table d (x int, foreign key (x) references p (a) on delete set null (z))").contains("ERROR")
    );
    assert!(
        client
            .run("alter table c add foreign key (x, y) references p on update set null (x)")
            .starts_with("ERROR 0A000")
    );
}
