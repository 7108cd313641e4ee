use super::{Client, Server};

fn denied(client: &mut Client, statement: &str, what: &str) {
    let answer = client.run(statement);
    assert!(answer.starts_with(&format!("ERROR 42501: permission denied for {what}")), "{statement}: {answer}");
}

#[test]
fn tables_are_used_by_those_who_were_granted_to() {
    let server = Server::new();
    let mut root = server.client();
    root.run(
        "create role bob login; create table t (a int primary key, b text, c int); insert into t values (1, 'x', 2)",
    );
    let mut bob = server.client_as("bob").unwrap();
    for statement in [
        "select * from t",
        "select a from t where a = 1",
        "select count(*) from t",
        "insert into t values (2)",
        "update t set b = 'y'",
        "delete from t where a = 1",
        "truncate t",
        "copy t to stdout",
        "copy t from stdin",
        "explain select * from t",
        "select (select max(a) from t)",
    ] {
        denied(&mut bob, statement, "table t");
    }
    assert_eq!(bob.run("alter table t add column d int"), "ERROR 42501: must be owner of table t\n");
    assert_eq!(bob.run("drop table t"), "ERROR 42501: must be owner of table t\n");
    denied(&mut bob, "create table u (a int)", "schema public");
    root.run("grant select (a, b), update (b), insert (a) on t to bob");
    assert_eq!(bob.run("select a, b from t; select count(*) from t"), "1|x\n1\n");
    denied(&mut bob, "select c from t", "table t");
    denied(&mut bob, "select * from t", "table t");
    denied(&mut bob, "select a from t where c = 2", "table t");
    denied(&mut bob, "update t set c = 1", "table t");
    assert_eq!(bob.run("update t set b = 'z' where a = 1; insert into t (a) values (5)"), "UPDATE 1\nINSERT 0 1\n");
    denied(&mut bob, "update t set b = b || c where a = 1", "table t");
    denied(&mut bob, "delete from t where a = 5", "table t");
    root.run("grant select, delete, truncate on t to public");
    assert_eq!(bob.run("select * from t where a = 1; delete from t where a = 5"), "1|z|2\nDELETE 1\n");
    root.run("revoke all on t from public, bob");
    denied(&mut bob, "select a from t", "table t");
}

#[test]
fn a_prepared_statement_is_checked_each_time() {
    let server = Server::new();
    let mut root = server.client();
    root.run(
        "create role bob login; create table t (a int primary key); insert into t values (1); grant select on t to bob",
    );
    let mut bob = server.client_as("bob").unwrap();
    let point = bob.prepare("select a from t where a = 1").unwrap();
    assert_eq!(bob.run_prepared(&point, Vec::new()).unwrap(), "1\n");
    root.run("revoke select on t from bob");
    assert_eq!(bob.run_prepared(&point, Vec::new()).unwrap_err().state().to_string(), "42501");
    root.run("alter role bob superuser");
    assert_eq!(bob.run_prepared(&point, Vec::new()).unwrap(), "1\n");
    assert_eq!(bob.run("show is_superuser"), "on\n");
    assert_eq!(bob.run("show max_connections; show superuser_reserved_connections"), "8\n1\n");
    root.run("alter role bob nosuperuser");
    assert_eq!(bob.run_prepared(&point, Vec::new()).unwrap_err().state().to_string(), "42501");
}

#[test]
fn views_read_with_their_owners_rights() {
    let server = Server::new();
    let mut root = server.client();
    root.run(
        "create role bob login; create role ann login; create schema s; create table s.t (a int); insert into s.t values (7); \
         create view v as select a from s.t; grant select on v to bob; grant create on schema public to ann",
    );
    let mut bob = server.client_as("bob").unwrap();
    assert_eq!(bob.run("select * from v"), "7\n");
    denied(&mut bob, "select * from s.t", "schema s");
    root.run("alter table v owner to ann");
    denied(&mut bob, "select * from v", "table t");
    root.run("grant usage on schema s to ann; grant select on s.t to ann");
    assert_eq!(bob.run("select * from v"), "7\n");
}

#[test]
fn memberships_and_set_role() {
    let server = Server::new();
    let mut root = server.client();
    root.run("create role grp; create role far noinherit; create role bob login in role far; grant grp to bob");
    root.run("create table t (a int); create table u (a int); grant select on t to grp; create role deep; grant deep to far; grant select on u to deep");
    let mut bob = server.client_as("bob").unwrap();
    assert_eq!(bob.run("select count(*) from t"), "0\n");
    denied(&mut bob, "select * from u", "table u");
    assert_eq!(
        bob.run("set role deep; select current_user, session_user; select count(*) from u"),
        "SET\ndeep|bob\n0\n"
    );
    denied(&mut bob, "select * from t", "table t");
    assert_eq!(bob.run("reset role; select current_user"), "RESET\nbob\n");
    assert_eq!(bob.run("set role postgres"), "ERROR 42501: permission denied to set role \"postgres\"\n");
    assert_eq!(
        bob.run("select set_config('role', 'postgres', false)"),
        "ERROR 42501: permission denied to set role \"postgres\"\n"
    );
    assert!(bob.run("set session authorization postgres").starts_with("ERROR 42501"));
    assert_eq!(
        bob.run("begin; set local role grp; select current_user; commit; select current_user"),
        "BEGIN\nSET\ngrp\nCOMMIT\nbob\n"
    );
    assert_eq!(bob.run("begin; set role grp; rollback; select current_user"), "BEGIN\nSET\nROLLBACK\nbob\n");
    assert_eq!(root.run("set session authorization bob; select current_user, session_user; reset session authorization; select current_user"),
        "SET\nbob|bob\nRESET\npostgres\n");
    assert!(root.run("grant bob to grp").starts_with("ERROR 0LP01"));
    assert_eq!(root.run("revoke grp from bob"), "REVOKE ROLE\n");
    denied(&mut bob, "select * from t", "table t");
}

#[test]
fn sequences_schemas_and_defaults() {
    let server = Server::new();
    let mut root = server.client();
    root.run("create role bob login; create table t (id int generated always as identity, s serial, a int); create sequence q");
    let mut bob = server.client_as("bob").unwrap();
    denied(&mut bob, "select nextval('q')", "sequence q");
    root.run("grant usage on sequence q to bob; grant insert on t to bob");
    assert_eq!(bob.run("select nextval('q')"), "1\n");
    denied(&mut bob, "select setval('q', 5)", "sequence q");
    denied(&mut bob, "insert into t (a) values (1)", "sequence t_s_seq");
    root.run("grant usage on all sequences in schema public to bob");
    assert_eq!(bob.run("insert into t (a) values (1)"), "INSERT 0 1\n");
    root.run("alter default privileges in schema public grant select on tables to bob; create table later (a int)");
    assert_eq!(bob.run("select count(*) from later"), "0\n");
    assert_eq!(
        root.run("select relacl from pg_class where relname = 'later'"),
        "{postgres=arwdDxt/postgres,bob=r/postgres}\n"
    );
    root.run("drop table later");
    let refused = root.run("drop role bob");
    assert!(refused.starts_with("ERROR 2BP01") && refused.contains("privileges for table t"), "{refused}");
    assert_eq!(root.run("drop owned by bob; drop role bob"), "DROP OWNED\nDROP ROLE\n");
}

#[test]
fn databases_are_apart() {
    let server = Server::new();
    let mut root = server.client();
    root.run("create table t (a int); create role bob login createdb");
    assert_eq!(root.run("create database d owner bob"), "CREATE DATABASE\n");
    assert_eq!(root.run("create database d"), "ERROR 42P04: database \"d\" already exists\n");
    assert!(root.run("begin; create database e").contains("ERROR 25001"));
    root.run("rollback");
    let mut other = server.client_of("bob", "d").unwrap();
    assert_eq!(other.run("select current_database(); select count(*) from pg_class where relname = 't'"), "d\n0\n");
    assert_eq!(
        other.run("create table t (b text); insert into t values ('here'); select * from t"),
        "CREATE TABLE\nINSERT 0 1\nhere\n"
    );
    assert_eq!(root.run("select count(*) from t"), "0\n");
    assert!(root.run("select * from d.public.t").starts_with("ERROR 0A000"));
    assert!(root.run("drop database d").starts_with("ERROR 55006"));
    drop(other);
    root.run("revoke connect on database d from public; create role eve login");
    assert_eq!(server.client_of("eve", "d").err().unwrap().state().to_string(), "42501");
    assert_eq!(server.client_of("bob", "nosuch").err().unwrap().state().to_string(), "3D000");
    assert_eq!(server.client_of("bob", "template0").err().unwrap().state().to_string(), "55000");
    assert_eq!(root.run("alter database d rename to d2; drop database d2"), "ALTER DATABASE\nDROP DATABASE\n");
    assert_eq!(root.run("select datname from pg_database order by 1"), "postgres\ntemplate0\ntemplate1\n");
}
