//! FOREIGN KEY through whole sessions.

use super::Server;

const TABLES: &str =
    "create table p (id int primary key, u int unique); insert into p values (1, 10), (2, 20), (3, 30)";

#[test]
fn children_need_parents_and_parents_keep_children() {
    let server = Server::new();
    let mut client = server.client();
    client.run(TABLES);
    client.run("create table c (id int primary key, p int references p, u int references p (u))");
    assert_eq!(client.run("insert into c values (1, 1, 10), (2, null, null)"), "INSERT 0 2\n");
    assert_eq!(
        client.run("insert into c values (3, 9, 10)"),
        "ERROR 23503: insert or update on table \"c\" violates foreign key constraint \"c_p_fkey\"\n\
         DETAIL: Key (p)=(9) is not present in table \"p\".\n"
    );
    assert!(client.run("update c set u = 11 where id = 1").contains("Key (u)=(11) is not present in table \"p\"."));
    assert_eq!(
        client.run("delete from p where id = 1"),
        "ERROR 23503: update or delete on table \"p\" violates foreign key constraint \"c_p_fkey\" on table \"c\"\n\
         DETAIL: Key (id)=(1) is still referenced from table \"c\".\n"
    );
    assert!(client.run("update p set u = 11 where id = 1").contains("\"c_u_fkey\""));
    assert_eq!(client.run("update p set u = u where id = 1; delete from p where id = 2"), "UPDATE 1\nDELETE 1\n");
    // Another row takes the key in the same statement.
    assert_eq!(client.run("update p set id = 4 - id"), "UPDATE 2\n");
    assert!(client.run("drop table p").starts_with("ERROR 2BP01"));
    assert!(client.run("truncate p").starts_with("ERROR 0A000"));
    assert!(client.run("alter table p drop constraint p_u_key").starts_with("ERROR 2BP01"));
    assert_eq!(
        client.run("truncate p cascade; select count(*) from c"),
        "TRUNCATE TABLE\n0\nNOTICE: truncate cascades to table \"c\"\n"
    );
    assert_eq!(
        client.run("drop table p cascade; insert into c values (9, 9, 9)"),
        "DROP TABLE\nINSERT 0 1\nNOTICE: drop cascades to 2 other objects\n"
    );
}

#[test]
fn actions_follow_keys_through_several_tables() {
    let server = Server::new();
    let mut client = server.client();
    client.run(TABLES);
    client.run("create table c (id int primary key, p int references p on delete cascade on update cascade)");
    client.run(
        "create table g (c int references c on delete set null, d int default 2 references p on delete set default)",
    );
    client.run("insert into c values (100, 1), (101, 1), (102, 2); insert into g values (100, 1), (102, 3)");
    assert_eq!(
        client.run("update p set id = 11 where id = 1"),
        "ERROR 23503: update or delete on table \"p\" violates foreign key constraint \"g_d_fkey\" on table \"g\"\nDETAIL: Key (id)=(1) is still referenced from table \"g\".\n"
    );
    assert_eq!(
        client.run("delete from p where id = 1; select * from c order by id; select * from g order by 2"),
        "DELETE 1\n102|2\n|2\n102|3\n"
    );
    assert_eq!(
        client.run("update p set id = 5 where id = 2").lines().next(),
        Some(
            "ERROR 23503: update or delete on table \"p\" violates foreign key constraint \"g_d_fkey\" on table \"g\""
        )
    );
    assert_eq!(
        client.run("update g set d = 3; update p set id = 5 where id = 2; select * from c"),
        "UPDATE 2\nUPDATE 1\n102|5\n"
    );
}

#[test]
fn tables_refer_to_themselves_and_checks_can_wait() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, up int references t on delete cascade)");
    assert_eq!(client.run("insert into t values (1, 2), (2, 1), (3, 3), (4, 3), (5, 4)"), "INSERT 0 5\n");
    assert!(client.run("insert into t values (6, 7)").contains("Key (up)=(7) is not present in table \"t\"."));
    assert_eq!(client.run("delete from t where id = 3; select count(*) from t"), "DELETE 1\n2\n");
    client.run("create table p (id int primary key)");
    client.run("create table c (p int constraint later references p deferrable initially deferred)");
    assert_eq!(
        client.run("begin; insert into c values (1); insert into p values (1); commit"),
        "BEGIN\nINSERT 0 1\nINSERT 0 1\nCOMMIT\n"
    );
    assert!(client.run("begin; insert into c values (2); commit").starts_with("BEGIN\nINSERT 0 1\nERROR 23503"));
    assert_eq!(
        client.run("begin; insert into c values (2); delete from c where p = 2; commit"),
        "BEGIN\nINSERT 0 1\nDELETE 1\nCOMMIT\n"
    );
    assert!(client.run("insert into c values (3)").ends_with("Key (p)=(3) is not present in table \"p\".\n"));
    assert_eq!(
        client.run("begin; delete from p; insert into p values (1); commit"),
        "BEGIN\nDELETE 1\nINSERT 0 1\nCOMMIT\n"
    );
    let refused = client.run("begin; delete from p; set constraints later immediate");
    assert!(refused.contains("is still referenced from table \"c\""), "{refused}");
    assert_eq!(
        client.run("rollback; begin; set constraints all immediate; select 1; rollback"),
        "ROLLBACK\nBEGIN\nSET CONSTRAINTS\n1\nROLLBACK\n"
    );
    assert_eq!(
        client.run("begin; savepoint s; insert into c values (4); rollback to s; commit"),
        "BEGIN\nSAVEPOINT\nINSERT 0 1\nROLLBACK\nCOMMIT\n"
    );
    assert!(client.run("begin; insert into c values (4); alter table c add x int").contains("pending trigger events"));
}

#[test]
fn rows_that_are_there_are_checked_unless_not_valid() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table p (a int, b text, primary key (a, b)); insert into p values (1, 'x')");
    client.run("create table c (b text, a bigint); insert into c values ('x', 1), ('y', 1), (null, 5)");
    let add = "alter table c add constraint f foreign key (a, b) references p (a, b)";
    assert_eq!(
        client.run(add),
        "ERROR 23503: insert or update on table \"c\" violates foreign key constraint \"f\"\n\
         DETAIL: Key (a, b)=(1, y) is not present in table \"p\".\n"
    );
    assert_eq!(client.run(&format!("{add} not valid")), "ALTER TABLE\n");
    assert!(client.run("insert into c values ('z', 1)").contains("Key (a, b)=(1, z)"));
    assert!(client.run("alter table c validate constraint f").starts_with("ERROR 23503"));
    assert_eq!(
        client.run("delete from c where b = 'y'; alter table c validate constraint f"),
        "DELETE 1\nALTER TABLE\n"
    );
    assert!(client.run("alter table c add foreign key (a) references p").starts_with("ERROR 42830"));
    assert!(client.run("alter table c add foreign key (b) references p (b)").starts_with("ERROR 42830"));
    assert_eq!(
        client.run("alter table c drop constraint f; insert into c values ('q', 9)"),
        "ALTER TABLE\nINSERT 0 1\n"
    );
    client.run("delete from c; create unique index on p (b); alter table c add foreign key (b) references p (b) match full on update cascade");
    assert_eq!(
        client.run("insert into c values ('x', 0); update p set b = 'yy'; select b from c"),
        "INSERT 0 1\nUPDATE 1\nyy\n"
    );
    assert_eq!(client.run_with_data("copy c from stdin", "yy\t1\n"), "COPY 1\n");
    assert!(client.run_with_data("copy c from stdin", "zz\t1\n").contains("Key (b)=(zz) is not present"));
}
