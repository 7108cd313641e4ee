use super::Server;

const TABLE: &str = "create table t (a int primary key, b text, c numeric(6,2) default 9.5, d date)";

#[test]
fn rows_go_in_and_come_out_the_same() {
    let server = Server::new();
    let mut client = server.client();
    client.run(TABLE);
    let data = "1\tplain\t1.25\t2024-02-29\n2\ttab\\tnew\\nline\\\\\t-3\t\\N\n3\t\\N\t\\N\tinfinity\n";
    assert_eq!(client.run_with_data("copy t from stdin", data), "COPY 3\n");
    let out = "1\tplain\t1.25\t2024-02-29\n2\ttab\\tnew\\nline\\\\\t-3.00\t\\N\n3\t\\N\t\\N\tinfinity\n";
    assert_eq!(client.run("copy (select * from t order by a) to stdout"), out);
    let mut lines: Vec<String> = client.run("copy t to stdout").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, out.lines().collect::<Vec<_>>());
    let csv = client.run("copy (select a, b, c from t where a < 3 order by a) to stdout with (format csv, header)");
    assert_eq!(csv, "a,b,c\n1,plain,1.25\n2,\"tab\tnew\nline\\\",-3.00\n");
    client.run("create table u (a int, b text, c numeric)");
    assert_eq!(client.run_with_data("copy u from stdin csv header", &csv), "COPY 2\n");
    assert_eq!(client.run("select b from u where a = 2"), "tab\tnew\nline\\\n");
}

#[test]
fn missing_columns_get_their_defaults() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (id serial primary key, b text, c int default 2 + 3, d timestamptz default now())");
    assert_eq!(client.run_with_data("copy t (b) from stdin", "x\ny\n"), "COPY 2\n");
    assert_eq!(
        client.run("select id, b, c, d from t order by id"),
        "1|x|5|2024-05-17 12:30:00+00\n2|y|5|2024-05-17 12:30:00+00\n"
    );
    assert_eq!(client.run("insert into t (b) values ('z') returning id"), "3\nINSERT 0 1\n");
}

#[test]
fn wrong_data_is_refused_with_its_place() {
    let server = Server::new();
    let mut client = server.client();
    client.run(TABLE);
    client.run("alter table t alter column b set not null");
    let wrong = [
        (
            "x\ty\t1\t\\N\n",
            "ERROR 22P02: invalid input syntax for type integer: \"x\"\nCONTEXT: COPY t, line 1, column a: \"x\"\n",
        ),
        ("1\n", "ERROR 22P04: missing data for column \"b\"\nCONTEXT: COPY t, line 1: \"1\"\n"),
        (
            "1\ty\t1\t\\N\t5\n",
            "ERROR 22P04: extra data after last expected column\nCONTEXT: COPY t, line 1: \"1\ty\t1\t\\N\t5\"\n",
        ),
        (
            "1\tok\t1\t\\N\n2\t\\N\t1\t\\N\n",
            "ERROR 23502: null value in column \"b\" of relation \"t\" violates not-null constraint\n\
             DETAIL: Failing row contains (2, null, 1.00, null).\nCONTEXT: COPY t, line 2: \"2\t\\N\t1\t\\N\"\n",
        ),
        (
            "1\ty\t99999\t\\N\n",
            "ERROR 22003: numeric field overflow\n\
             DETAIL: A field with precision 6, scale 2 must round to an absolute value less than 10^4.\n\
             CONTEXT: COPY t, line 1, column c: \"99999\"\n",
        ),
        (
            "1\ty\t1\t\\N\n1\tz\t1\t\\N\n",
            "ERROR 23505: duplicate key value violates unique constraint \"t_pkey\"\n\
             DETAIL: Key (a)=(1) already exists.\nCONTEXT: COPY t, line 2\n",
        ),
    ];
    for (data, expected) in wrong {
        assert_eq!(client.run_with_data("copy t from stdin", data), expected);
    }
    assert_eq!(client.run("select count(*) from t"), "0\n");
    assert!(client.run("copy t (a, nope) from stdin").starts_with("ERROR 42703"));
    assert!(client.run("copy t from program 'cat'").starts_with("ERROR 0A000"));
}

#[test]
fn checks_and_lengths_hold() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int check (a > 0), b varchar(3))");
    assert_eq!(client.run_with_data("copy t from stdin", "1\tabc\n2\té\n"), "COPY 2\n");
    let refused = client.run_with_data("copy t from stdin", "3\tx\n-1\ty\n");
    assert!(
        refused.starts_with("ERROR 23514: new row for relation \"t\" violates check constraint \"t_a_check\""),
        "{refused}"
    );
    let long = client.run_with_data("copy t from stdin", "3\tabcd\n");
    assert!(long.starts_with("ERROR 22001: value too long for type character varying(3)"), "{long}");
    assert_eq!(client.run("select count(*) from t"), "2\n");
}

#[test]
fn many_rows_go_in_many_batches() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int, b text)");
    let data: String = (0..10_000).map(|n| format!("{n}\trow {n}\n")).collect();
    assert_eq!(client.run_with_data("copy t from stdin", &data), "COPY 10000\n");
    assert_eq!(client.run("select count(*), sum(a), count(distinct b) from t"), "10000|49995000|10000\n");
}
