use super::Server;

#[test]
fn tables_are_what_was_written() {
    let server = Server::new();
    let mut client = server.client();
    client.run(
        "create table t (id int primary key, b text not null default 'x', c numeric(10,2) default 1.5, e varchar(20), \
         g serial, check (c > 0))",
    );
    let columns = "select attname, format_type(atttypid, atttypmod), attnotnull, \
        (select pg_get_expr(d.adbin, d.adrelid, true) from pg_attrdef d where d.adrelid = a.attrelid and d.adnum = a.attnum) \
        from pg_attribute a where attrelid = 't'::regclass and attnum > 0 order by attnum";
    assert_eq!(
        client.run(columns),
        "id|integer|t|\nb|text|t|'x'::text\nc|numeric(10,2)|f|1.5\ne|character varying(20)|f|\n\
         g|integer|t|nextval('t_g_seq'::regclass)\n"
    );
    assert_eq!(
        client.run("select conname, pg_get_constraintdef(oid, true) from pg_constraint where conrelid = 't'::regclass order by 1"),
        "t_c_check|CHECK (c > 0)\nt_pkey|PRIMARY KEY (id)\n"
    );
    assert_eq!(client.run("create table t (a int)"), "ERROR 42P07: relation \"t\" already exists\n");
    assert_eq!(
        client.run("create table if not exists t (a int)"),
        "CREATE TABLE\nNOTICE: relation \"t\" already exists, skipping\n"
    );
    assert_eq!(client.run("create table t_pkey (a int)"), "ERROR 42P07: relation \"t_pkey\" already exists\n");
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let server = Server::new();
    let mut client = server.client();
    for statement in [
        "create unlogged table x (a int)",
        "create table x (a int) inherits (y)",
        "create table x (a int) partition by range (a)",
        "create table x (a int) with (fillfactor = 70)",
        "create materialized view x as select 1",
        "create index on x using gin (a)",
        "create extension foo",
        "create domain d as int",
        "create function f() returns int language sql as 'select 1'",
        "vacuum full",
    ] {
        let refused = client.run(statement);
        assert!(refused.starts_with("ERROR 0A000") || refused.starts_with("ERROR 42601"), "{statement}: {refused}");
        client.run("rollback");
        assert_eq!(client.run("select relname from pg_class where relname = 'x'"), "", "{statement}");
    }
}

#[test]
fn wrong_definitions_are_refused() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int)");
    for (statement, state) in [
        ("create table x (a int, a int)", "42701"),
        ("create table x (a nosuch)", "42704"),
        ("create table x (a int primary key, b int primary key)", "42P16"),
        ("create table x (a int, primary key (b))", "42703"),
        ("create table x (a int default 'abc')", "22P02"),
        ("create table x (a int default b)", "0A000"),
        ("create table x (a int check (zz > 1))", "42703"),
        ("create table nosuch.x (a int)", "3F000"),
        ("create table pg_catalog.x (a int)", "42501"),
        ("create table x (xmin int)", "42701"),
        ("create schema pg_foo", "42939"),
        ("create schema public", "42P06"),
        ("drop schema pg_catalog", "2BP01"),
        ("drop table nosuch", "42P01"),
        ("drop view t", "42809"),
        ("drop table pg_class", "42501"),
        ("insert into pg_class (relname) values ('x')", "42501"),
        ("delete from pg_helios.relations", "42501"),
        ("alter table t drop column b", "42703"),
        ("alter table t add column a int", "42701"),
        ("alter table t add column b int not null default null", "23502"),
        ("create sequence s minvalue 5 maxvalue 4", "22023"),
        ("create role postgres", "42710"),
    ] {
        client.run("insert into t values (1)");
        let refused = client.run(statement);
        assert!(refused.starts_with(&format!("ERROR {state}")), "{statement}: {refused}");
    }
}

#[test]
fn drops_take_dependents_only_with_cascade() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a serial); create view v as select a from t; create view w as select a from v");
    assert_eq!(
        client.run("drop table t"),
        "ERROR 2BP01: cannot drop table t because other objects depend on it\n\
         DETAIL: view v depends on table t\nview w depends on view v\n"
    );
    assert!(client.run("drop sequence t_a_seq").starts_with("ERROR 2BP01"));
    assert_eq!(client.run("drop table t cascade"), "DROP TABLE\nNOTICE: drop cascades to 2 other objects\n");
    assert_eq!(client.run("select relname from pg_class where relname in ('t', 'v', 'w', 't_a_seq')"), "");
    client.run("create schema s; create table s.t (a int); create sequence s.q");
    assert!(client.run("drop schema s").starts_with("ERROR 2BP01"));
    assert!(client.run("drop schema s cascade").starts_with("DROP SCHEMA"));
    assert_eq!(client.run("drop table if exists t"), "DROP TABLE\nNOTICE: table \"t\" does not exist, skipping\n");
}

#[test]
fn views_keep_the_columns_they_were_made_with() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b text); create table u (a int, c int)");
    client.run("insert into t values (1, 'x'), (2, 'y'); insert into u values (1, 10)");
    client.run(
        "create view v as select * from t where a > 1; create view j as select t.*, u.c from t, u where t.a = u.a",
    );
    client.run("create view n (p, q) as select * from t");
    client.run("alter table t add column z int default 3");
    assert_eq!(client.run("select * from v; select * from j; select p, q from n where p = 1"), "2|y\n1|x|10\n1|x\n");
    assert!(client.run("alter table t drop column b").starts_with("ERROR 2BP01"));
    assert!(client.run("create or replace view v as select b from t").starts_with("ERROR 42P16"));
    assert_eq!(
        client.run("create or replace view v as select a, b, z from t; select * from v where a = 1"),
        "CREATE VIEW\n1|x|3\n"
    );
    assert!(
        client
            .run("create or replace view v as select a, b, z from t where a in (select a from v)")
            .starts_with("ERROR")
    );
    assert!(client.run("insert into v values (1)").starts_with("ERROR 0A000"));
    assert!(client.run("create view bad as select a, a from t").starts_with("ERROR 42701"));
}

#[test]
fn columns_come_and_go() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b text, c int check (c > 0)); insert into t values (1, 'x', 5), (2, 'y', 6)");
    client.run("alter table t add column d numeric(6,2) default 1.005, add column e text not null default 'e'");
    assert_eq!(client.run("select * from t order by a"), "1|x|5|1.01|e\n2|y|6|1.01|e\n");
    client.run("alter table t drop column b; insert into t values (3, 7, null, 'f')");
    assert_eq!(client.run("select * from t where a <> 1 order by a"), "2|6|1.01|e\n3|7||f\n");
    client.run("alter table t rename column c to cc");
    assert!(client.run("insert into t (a, cc) values (9, -1)").contains("violates check constraint \"t_c_check\""));
    assert_eq!(
        client.run("alter table t alter column d set not null"),
        "ERROR 23502: column \"d\" of relation \"t\" contains null values\n"
    );
    assert_eq!(
        client.run("alter table t add check (cc > 5)"),
        "ERROR 23514: check constraint \"t_cc_check\" of relation \"t\" is violated by some row\n"
    );
    client.run("alter table t add column s serial");
    assert_eq!(client.run("select count(distinct s), max(s) from t"), "3|3\n");
    client.run("alter table t alter column e type varchar(5) using e || '!'");
    assert_eq!(client.run("select e from t order by a"), "e!\ne!\nf!\n");
    client.run("alter table t rename to t2");
    assert_eq!(client.run("select count(*) from t2"), "3\n");
    assert!(client.run("select * from t").starts_with("ERROR 42P01"));
}

#[test]
fn keys_are_added_and_dropped() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b int); insert into t values (1, 1), (2, 1)");
    assert!(client.run("alter table t add primary key (b)").starts_with("ERROR 23505"));
    assert_eq!(client.run("alter table t add primary key (a)"), "ALTER TABLE\n");
    assert!(client.run("insert into t values (1, 5)").starts_with("ERROR 23505"));
    assert!(client.run("insert into t (b) values (5)").starts_with("ERROR 23502"));
    assert!(client.run("alter table t add primary key (b)").starts_with("ERROR 42P16"));
    client.run("alter table t drop constraint t_pkey; insert into t values (1, 5)");
    assert_eq!(client.run("select count(*) from t where a = 1"), "2\n");
    client.run("create table k (a int, b int, c int, primary key (b, a)); insert into k values (1, 2, 3)");
    assert_eq!(client.run("alter table k drop column a; select * from k"), "ALTER TABLE\n2|3\n");
}

#[test]
fn truncate_empties_and_can_restart() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a serial, b int); insert into t (b) values (1), (2)");
    assert_eq!(
        client.run("begin; truncate t; select count(*) from t; rollback; select count(*) from t"),
        "BEGIN\nTRUNCATE TABLE\n0\nROLLBACK\n2\n"
    );
    client.run("truncate t; insert into t (b) values (3)");
    assert_eq!(client.run("select * from t"), "3|3\n");
    client.run("truncate t restart identity; insert into t (b) values (4)");
    assert_eq!(client.run("select * from t"), "1|4\n");
}

#[test]
fn sequences_count_their_way() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create sequence s start 3 increment 2 minvalue 1 maxvalue 5; create sequence d increment -1");
    assert!(client.run("select currval('s')").starts_with("ERROR 55000"));
    assert_eq!(client.run("select nextval('s'); select nextval('s'); select currval('s'), lastval()"), "3\n5\n5|5\n");
    let end = "ERROR 2200H: nextval: reached maximum value of sequence \"s\" (5)\n";
    assert_eq!(client.run("select nextval('s')"), end);
    assert_eq!(client.run("select nextval('s')"), end);
    assert_eq!(client.run("select setval('s', 1); select nextval('s')"), "1\n3\n");
    assert_eq!(client.run("select setval('s', 1, false); select nextval('s')"), "1\n1\n");
    assert!(client.run("select setval('s', 9)").starts_with("ERROR 22003"));
    assert_eq!(client.run("select nextval('d'); select nextval('d')"), "-1\n-2\n");
    client.run("create sequence c maxvalue 2 cycle");
    assert_eq!(client.run("select nextval('c'); select nextval('c'); select nextval('c')"), "1\n2\n1\n");
    assert_eq!(
        client.run("begin; alter sequence d restart with -7; select nextval('d')"),
        "BEGIN\nALTER SEQUENCE\n-7\n"
    );
    assert_eq!(client.run("rollback; select nextval('d')"), "ROLLBACK\n-3\n");
    client.run("create table o (x int); alter sequence d owned by o.x; drop table o");
    assert!(client.run("select nextval('d')").starts_with("ERROR 42P01"));
    client.run("create table t (a int generated always as identity (start 10), b int)");
    assert_eq!(client.run("insert into t (b) values (1) returning a"), "10\nINSERT 0 1\n");
    assert!(client.run("insert into t values (1, 1)").starts_with("ERROR 428C9"));
}

#[test]
fn the_catalog_is_readable_as_tables() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b int)");
    let tables = "select table_name, table_type from information_schema.tables where table_schema = 'public'";
    assert_eq!(client.run(tables), "t|BASE TABLE\n");
    let columns = "select column_name, data_type, is_nullable from information_schema.columns where table_name = 't'";
    assert_eq!(client.run(columns), "a|integer|NO\nb|integer|YES\n");
    assert_eq!(client.run("select name from pg_helios.relations"), "t\n");
    assert_eq!(client.run("select tablename, hasindexes from pg_tables where schemaname = 'public'"), "t|t\n");
    assert_eq!(
        client.run("select indexdef from pg_indexes"),
        "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (a)\n"
    );
    // Every virtual table can be read.
    let names = client.run(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace \
         where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'v')",
    );
    assert!(names.lines().count() > 60, "{names}");
    for name in names.lines() {
        let read = client.run(&format!("select * from {name}"));
        assert!(!read.contains("ERROR"), "{name}: {read}");
    }
}

#[test]
fn definitions_survive_a_new_engine() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create schema s; create table s.t (a int primary key, b text default 'q'); insert into s.t values (1)");
    client.run("alter table s.t add column c float8 default 'NaN'; create view s.v as select b, c from s.t");
    let pool = std::sync::Arc::clone(&server.pool);
    let (shard, options) = (std::sync::Arc::clone(&server.engine.shard), server.engine.options.clone());
    let engine = pool.block_on(crate::engine::Engine::open(shard, options)).unwrap();
    let again = Server { engine, ..server };
    assert_eq!(again.client().run("select * from s.v"), "q|NaN\n");
}
