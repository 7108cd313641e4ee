use heliosdb_types::SqlState;

use super::Server;

#[test]
fn settings_end_with_their_transaction() {
    let server = Server::new();
    let mut client = server.client();
    client.run("set timezone = 'Europe/Berlin'");
    assert_eq!(
        client.run("begin; set timezone = 'UTC'; rollback; show timezone"),
        "BEGIN\nSET\nROLLBACK\nEurope/Berlin\n"
    );
    client.run("begin; set local timezone = 'UTC'; set application_name = 'x'");
    assert_eq!(client.run("show timezone; show application_name"), "UTC\nx\n");
    assert_eq!(client.run("commit; show timezone; show application_name"), "COMMIT\nEurope/Berlin\nx\n");
    assert_eq!(client.run("reset all; show timezone"), "RESET\nUTC\n");
}

#[test]
fn values_are_shown_in_the_sessions_zone() {
    let server = Server::new();
    let mut client = server.client();
    assert_eq!(client.run("set timezone = 'Europe/Berlin'; select now()"), "SET\n2024-05-17 14:30:00+02\n");
    assert_eq!(client.run("set timezone = -5; show timezone"), "SET\n<-05>+05\n");
}

#[test]
fn the_search_path_decides_where_names_are_found_and_made() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create schema a; create schema b; create table a.t (x int); insert into a.t values (1)");
    assert_eq!(client.run("set search_path = b, a; select * from t; select current_schema()"), "SET\n1\nb\n");
    client.run("create table t (x int); insert into t values (2)");
    assert_eq!(client.run("select * from t; select * from a.t"), "2\n1\n");
    assert_eq!(
        client.run("set search_path = ''; select 't'::regclass"),
        "SET\nERROR 42P01: relation \"t\" does not exist\n"
    );
    assert_eq!(client.run("select set_config('search_path', 'a', false)"), "a\n");
    assert_eq!(client.run("select * from t"), "1\n");
    assert_eq!(client.run("select current_setting('search_path'), current_setting('no.such', true) is null"), "a|t\n");
}

#[test]
fn the_client_is_told_of_what_changed() {
    let server = Server::new();
    let mut client = server.client();
    let first = client.changed_parameters();
    let value = |name: &str| first.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(value("client_encoding"), Some("UTF8"));
    assert!(value("server_version").unwrap().starts_with("15."));
    assert_eq!(value("standard_conforming_strings"), Some("on"));
    assert!(client.changed_parameters().is_empty());
    client.run("set timezone = 'Asia/Tokyo'; set statement_timeout = 1000");
    assert_eq!(client.changed_parameters(), [("TimeZone".to_owned(), "Asia/Tokyo".to_owned())]);
}

#[test]
fn roles_log_in_and_own_what_they_make() {
    let server = Server::new();
    let mut admin = server.client();
    admin.run("create table secret (a int); create role bob login password 'pw'; create role group1");
    assert!(
        server.client_as("group1").is_err_and(|error| error.state() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
    );
    assert!(server.client_as("nobody").is_err());
    let mut bob = server.client_as("bob").unwrap();
    assert_eq!(bob.run("select current_user, session_user"), "bob|bob\n");
    for statement in ["select * from secret", "insert into secret values (1)", "copy secret to stdout"] {
        let refused = bob.run(statement);
        assert_eq!(refused, "ERROR 42501: permission denied for table secret\n", "{statement}");
    }
    assert_eq!(bob.run("drop table secret"), "ERROR 42501: must be owner of table secret\n");
    assert_eq!(bob.run("create table mine (a int)"), "ERROR 42501: permission denied for schema public\n");
    assert!(bob.run("create role eve").starts_with("ERROR 42501"));
    assert!(bob.run("select rolpassword from pg_authid").starts_with("ERROR 42501"));
    admin.run("create schema bob authorization bob");
    assert_eq!(
        bob.run("create table mine (a int); insert into mine values (1); select * from mine"),
        "CREATE TABLE\nINSERT 0 1\n1\n"
    );
    assert!(admin.run("drop role bob").starts_with("ERROR 2BP01"));
    assert_eq!(
        admin.run("drop schema bob cascade; drop role bob"),
        "DROP SCHEMA\nDROP ROLE\nNOTICE: drop cascades to table bob.mine\n"
    );
}

#[test]
fn discard_and_session_facts() {
    let server = Server::new();
    let mut client = server.client();
    client.run("set timezone = 'Asia/Tokyo'; prepare p as select 1");
    assert_eq!(client.run("discard all"), "DISCARD ALL\n");
    assert_eq!(client.run("show timezone"), "UTC\n");
    assert!(client.run("execute p").starts_with("ERROR 26000"));
    assert_eq!(client.run("select pg_backend_pid(), current_database()"), "42|postgres\n");
    assert_eq!(client.run("select pid, state, usename from pg_stat_activity"), "42|active|postgres\n");
    assert!(client.run("begin; discard all").contains("ERROR 25001"));
}

#[test]
fn prepared_statements_are_listed_and_typed() {
    let server = Server::new();
    let mut client = server.client();
    client.run("prepare p(int, text) as select $1, $2; prepare q as select 1");
    assert_eq!(
        client.run("select name, parameter_types, from_sql from pg_prepared_statements order by name"),
        "p|{integer,text}|t\nq|{}|t\n"
    );
    assert_eq!(client.run("execute p('7', 'x')"), "7|x\n");
    assert!(client.run("execute p(1)").starts_with("ERROR 42601"));
    assert!(client.run("execute p(now(), 'x')").starts_with("ERROR 42804"));
    assert_eq!(client.run("deallocate p; select count(*) from pg_prepared_statements"), "DEALLOCATE\n1\n");
    assert!(client.run("select $1").starts_with("ERROR 42P02"));
}

#[test]
fn plans_are_explained_in_every_format() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int primary key, b text); insert into t values (1, 'x')");
    let text = client.run("explain (costs off, verbose) select * from t where a = 1");
    assert!(text.contains("Tier: direct"), "{text}");
    let text = client.run("explain (costs off, verbose) select b, count(*) from t group by b");
    assert!(text.contains("Tier: analytical (it groups rows)") && text.contains("Seq Scan on t"), "{text}");
    let json = client.run("explain (format json, analyze) select * from t");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["Plan"]["Actual Rows"], 1, "{json}");
    assert!(client.run("explain (format yaml) select * from t").starts_with("- Plan: \n"));
    assert_eq!(
        client.run("prepare p(int) as select * from t where a = $1; explain (costs off) execute p(1)").lines().count(),
        3
    );
    assert!(client.run("explain (format xml) select 1").starts_with("ERROR 0A000"));
    assert!(client.run("explain (nosuch) select 1").starts_with("ERROR 42601"));
    assert!(client.run("explain (timing) select 1").starts_with("ERROR 22023"));
    assert!(client.run("explain (format nosuch) select 1").starts_with("ERROR 22023"));
}
