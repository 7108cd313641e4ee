//! INSERT ... ON CONFLICT through whole sessions.

use heliosdb_types::Datum;

use super::Server;

#[test]
fn conflicts_are_skipped_or_become_updates() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, u text unique, n int default 1, check (n < 100))");
    assert_eq!(client.run("insert into t values (1, 'a'), (2, 'b') on conflict do nothing"), "INSERT 0 2\n");
    assert_eq!(
        client.run("insert into t values (1, 'x'), (3, 'a'), (4, 'd'), (4, 'e') on conflict do nothing"),
        "INSERT 0 1\n"
    );
    assert_eq!(
        client.run("insert into t values (3, 'a') on conflict (id) do nothing"),
        "ERROR 23505: duplicate key value violates unique constraint \"t_u_key\"\nDETAIL: Key (u)=(a) already exists.\n"
    );
    let upsert = "insert into t as old (id, u) values (9, 'a'), (10, 'z') on conflict (u) \
                  do update set n = old.n + excluded.n, id = excluded.id where old.n < 3 returning *";
    assert_eq!(client.run(upsert), "9|a|2\n10|z|1\nINSERT 0 2\n");
    assert_eq!(client.run(upsert), "9|a|3\n10|z|2\nINSERT 0 2\n");
    assert_eq!(client.run(upsert), "10|z|3\nINSERT 0 1\n");
    assert_eq!(client.run("select * from t order by id"), "2|b|1\n4|d|1\n9|a|3\n10|z|3\n");
    assert!(
        client.run("insert into t values (9, 'q') on conflict (id) do update set n = 200").starts_with("ERROR 23514")
    );
    assert_eq!(
        client.run("insert into t values (50, 'n'), (50, 'n') on conflict (id) do update set n = 5"),
        "ERROR 21000: ON CONFLICT DO UPDATE command cannot affect row a second time\n"
    );
    assert_eq!(client.run("insert into t values (2, 'w') on conflict on constraint t_pkey do update set u = excluded.u || '!'; select u from t where id = 2"), "INSERT 0 1\nw!\n");
    assert!(client.run("insert into t values (2) on conflict (n) do nothing").starts_with("ERROR 42P10"));
    assert!(client.run("insert into t values (2) on conflict do update set n = 1").starts_with("ERROR 42601"));
    assert!(client.run("insert into t values (2) on conflict (id) do update set n = n + 1").starts_with("ERROR 42702"));
    // A row made earlier in the transaction, and one whose key went.
    assert_eq!(client.run("begin; insert into t values (70, 's'); insert into t values (70, 's') on conflict (id) do update set n = 7; delete from t where id = 70; insert into t values (70, 's') on conflict (id) do update set n = 8; select n from t where id = 70; commit"),
        "BEGIN\nINSERT 0 1\nINSERT 0 1\nDELETE 1\nINSERT 0 1\n1\nCOMMIT\n");
}

#[test]
fn conflict_actions_take_parameters_and_keep_references() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table p (id int primary key); insert into p values (1), (2)");
    client.run("create table t (id int primary key, p int references p)");
    let upsert =
        client.prepare("insert into t values ($1, 1) on conflict (id) do update set p = $2 where t.p <> $2").unwrap();
    let mut run = |id, p| client.run_prepared(&upsert, vec![Datum::Int32(id), Datum::Int32(p)]);
    assert_eq!(run(1, 2).unwrap(), "INSERT 0 1\n");
    assert_eq!(run(1, 2).unwrap(), "INSERT 0 1\n");
    assert_eq!(run(1, 2).unwrap(), "INSERT 0 0\n");
    assert!(run(1, 3).unwrap_err().message().contains("violates foreign key constraint"));
    assert!(client.run("delete from p where id = 2").starts_with("ERROR 23503"));
    assert_eq!(
        client.run("insert into p select g from generate_series(1, 5) g on conflict (id) do nothing"),
        "INSERT 0 3\n"
    );
    assert!(client.run("insert into p values (2) on conflict (id) do update set id = 9").starts_with("ERROR 23503"));
}

#[test]
fn arbiters_are_found_by_expression_and_predicate() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int, name text, active bool, n int default 0)");
    client.run("create unique index on t (lower(name)); create unique index on t (id) where active");
    let by_name = "insert into t values (1, 'A', true) on conflict (lower(name)) do update set n = t.n + 1 returning n";
    assert_eq!(client.run(by_name), "0\nINSERT 0 1\n");
    assert_eq!(client.run(&by_name.replace("'A'", "'a'")), "1\nINSERT 0 1\n");
    let by_id = "insert into t values (1, 'B', true) on conflict (id) where active do update set n = 50 returning n";
    assert_eq!(client.run(by_id), "50\nINSERT 0 1\n");
    assert_eq!(
        client.run("insert into t values (1, 'C', false) on conflict (id) where active do nothing"),
        "INSERT 0 1\n"
    );
    assert!(client.run("insert into t values (1, 'D') on conflict (id) do nothing").starts_with("ERROR 42P10"));
    assert!(
        client.run("insert into t values (1, 'D') on conflict (upper(name)) do nothing").starts_with("ERROR 42P10")
    );
    assert!(
        client
            .run("insert into t values (1, 'D') on conflict (id) where n = 'it''s' do nothing")
            .starts_with("ERROR 22P02")
    );
}

#[test]
fn conflict_actions_run_subqueries() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id int primary key, n int); create table s (id int, n int)");
    client.run("insert into t values (1, 10), (2, 20); insert into s values (1, 100), (1, 1), (2, 5)");
    let upsert = "insert into t values (1, 7), (2, 8), (3, 9) on conflict (id) do update \
                  set n = (select sum(s.n) from s where s.id = t.id) + excluded.n \
                  where exists (select 1 from s where s.n > excluded.n and s.id = t.id) returning *";
    assert_eq!(client.run(upsert), "1|108\n3|9\nINSERT 0 2\n");
    assert_eq!(client.run("select * from t order by id"), "1|108\n2|20\n3|9\n");
    let prepared = client
        .prepare("insert into t values (3, 0) on conflict (id) do update set n = (select max(n) from s where id = $1)")
        .unwrap();
    assert_eq!(client.run_prepared(&prepared, vec![Datum::Int32(2)]).unwrap(), "INSERT 0 1\n");
    assert_eq!(client.run("select n from t where id = 3"), "5\n");
}
