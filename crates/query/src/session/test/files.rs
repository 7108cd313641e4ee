//! Files as tables.

use std::path::Path;

use super::{Client, Server};

const TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../files/tests/fixtures/types.parquet");

/// A directory of files, with `$` for it in statements.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let files_at = Files { dir: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(name, text)| files_at.put(name, text.as_bytes()));
        files_at
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn root(&self) -> String {
        std::fs::canonicalize(self.dir.path()).unwrap().to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&self, client: &mut Client, script: &str) -> String {
        let root = self.root();
        client.run(&script.replace('$', &root)).replace(&root, "$")
    }
}

#[test]
fn a_parquet_file_is_a_table() {
    let server = Server::new();
    let mut root = server.client();
    let run = |root: &mut Client, sql: &str| root.run(&sql.replace("TYPES", TYPES));
    assert_eq!(run(&mut root, "select count(*), sum(big_id), max(money) from 'TYPES'"), "5|15|6.25\n");
    assert_eq!(
        run(
            &mut root,
            "select tiny, wide, ubig, f8, huge, text, raw, day, at, moment, clock, id, doc, numbers, tags, inner_part from 'TYPES' limit 1"
        ),
        "1|3000000000|18446744073709551611|0.125|1.5000000000|row \"1\", é|\\xaa31|2024-02-28|2024-05-18 12:30:00.123456|\
         2024-05-17 11:30:00+00|23:59:58.5|6ba7b810-9dad-11d1-80b4-00c04fd430c1|{\"a\": [1, null], \"n\": 1}|{1,NULL,2}|\
         {\"a\\\"b\",\"c,d\"}|{\"x\": 1, \"y\": {\"w\": \"2024-01-01\", \"z\": [\"p\", \"q\"]}}\n"
    );
    // With an alias, named after the file, in joins, subqueries and WITH.
    for sql in [
        "select types.small from 'TYPES' where types.tiny = 2",
        "select t.small from 'TYPES' as t where t.tiny = 2",
        "select y from 'TYPES' t (x, y) where x = 2",
        "select a.small from 'TYPES' a join read_parquet('TYPES') b on a.tiny = b.tiny and b.tiny = 2",
        "with f as (select * from 'TYPES') select small from f where tiny = 2",
        "select (select max(small) from 'TYPES' where tiny = t.x) from (values (2)) t (x)",
        "select small from (select * from 'TYPES') s where tiny = 2",
    ] {
        assert_eq!(run(&mut root, sql), "2000\n", "{sql}");
    }
    assert_eq!(
        run(
            &mut root,
            "create table t as select tiny, text, numbers from 'TYPES'; insert into t (tiny) select tiny from 'TYPES' where tiny > 3; select count(*), sum(tiny) from t"
        ),
        "SELECT 5\nINSERT 0 2\n7|24\n"
    );
}

#[test]
fn text_files_have_the_types_their_values_have() {
    let files = Files::new(&[
        ("a.csv", "id,Order Date,amount,note\n1,2026-01-02,1.50,\n2,2026-01-03,2.25,\"\"\n3,,,\"x, \"\"y\"\"\nz\"\n"),
        ("b.tsv", "1\t2.5\n2\t3\n"),
        (
            "c.jsonl",
            "{\"userId\":1,\"tags\":[1,{\"a\":null}],\"at\":\"2026-01-01T10:00:00Z\"}\n{\"userId\":2,\"ok\":true}\n",
        ),
        ("d.json", "[{\"a\": 1, \"b\": \"x\"},\n {\"b\": \"y\", \"a\": null}]"),
    ]);
    let server = Server::new();
    let mut root = server.client();
    let mut run = |sql: &str| files.run(&mut root, sql);
    assert_eq!(
        run("select id, order_date + 1, amount * 2, note, note is null, note = '' from '$/a.csv' order by id"),
        "1|2026-01-03|3.00||t|\n2|2026-01-04|4.50||f|t\n3||||f|f\n".replace("3||||", "3|||x, \"y\"\nz|")
    );
    assert_eq!(run("select sum(column1), sum(column2) from '$/b.tsv'"), "3|5.5\n");
    assert_eq!(
        run("select userid, tags, at at time zone 'UTC', ok from '$/c.jsonl'"),
        "1|[1, {\"a\": null}]|2026-01-01 10:00:00|\n2|||t\n"
    );
    assert_eq!(run("select a, b from '$/d.json'"), "1|x\n|y\n");
    assert_eq!(run("select column1 from read_csv('$/a.csv', header => false) limit 1"), "id\n");
    assert_eq!(run("select id || note from read_csv('$/a.csv', all_varchar => true) where id = '2'"), "2\n");
    assert_eq!(run("select count(*) from read_csv('$/a.csv', delim := ';', header = true)").split('\n').count(), 2);
    assert_eq!(run("select count(*) from read_csv('$/a.csv', nullstr => '1.50') where amount is null"), "1\n");
}

#[test]
fn many_files_are_one_table_if_they_agree() {
    let files = Files::new(&[
        ("y=1/a.csv", "id,name\n1,a\n2,b\n"),
        ("y=1/b.csv", "id,name\n3,c\n"),
        ("y=2/c.csv", "id,name\n4,d\n"),
        ("odd/d.csv", "id,other\n4,d\n"),
        ("odd/c.csv", "id,name\n1,x\n"),
        ("wide/1.csv", "id\n1\n"),
        ("wide/2.csv", "id\nx\n"),
    ]);
    let server = Server::new();
    let mut root = server.client();
    let mut run = |sql: &str| files.run(&mut root, sql);
    assert_eq!(run("select count(*), sum(id) from '$/y=*/*.csv'"), "4|10\n");
    assert_eq!(run("select string_agg(name, '' order by name) from '$/y=*/?.csv' where id > 1"), "bcd\n");
    // Rows of the files before it may have come.
    assert!(run("select * from '$/odd/*.csv'").ends_with(
        "ERROR 42804: file \"$/odd/d.csv\" has other columns than the files before it\n\
         DETAIL: Its first line is id, other, but id, name was expected.\n"
    ));
    assert!(run("select * from '$/wide/*.csv'").ends_with(
        "ERROR 22P02: invalid input syntax for type integer: \"x\"\nCONTEXT: file \"$/wide/2.csv\", line 2, column id\n"
    ));
    assert_eq!(run("select * from '$/none/*.csv'"), "ERROR 58P01: no file matches \"$/none/*.csv\"\n");
}

#[test]
fn a_file_is_read_as_it_is_now() {
    let files = Files::new(&[("a.csv", "id\n1\n")]);
    let server = Server::new();
    let mut root = server.client();
    let sql = format!("select * from '{}/a.csv'", files.root());
    let prepared = root.prepare(&sql).unwrap();
    assert_eq!(root.run_prepared(&prepared, Vec::new()).unwrap(), "1\n");
    files.put("a.csv", b"id\n2\n3\n");
    assert_eq!(root.run_prepared(&prepared, Vec::new()).unwrap(), "2\n3\n");
    files.put("a.csv", b"name\nx\n");
    let error = root.run_prepared(&prepared, Vec::new()).unwrap_err();
    assert_eq!(error.message(), "cached plan must not change result type");
    let prepared = root.prepare(&sql).unwrap();
    assert_eq!(root.run_prepared(&prepared, Vec::new()).unwrap(), "x\n");
    for _ in 0..3 {
        assert_eq!(root.run(&sql), "x\n");
    }
}

#[test]
fn files_are_read_by_those_who_may() {
    let files = Files::new(&[("open/a.csv", "id\n1\n"), ("closed/b.csv", "id\n2\n")]);
    std::os::unix::fs::symlink(files.dir.path().join("closed/b.csv"), files.dir.path().join("open/link.csv")).unwrap();
    let server = Server::new();
    let mut root = server.client();
    root.run("create role ann login; create role bob login; grant pg_read_server_files to ann");
    let (mut ann, mut bob) = (server.client_as("ann").unwrap(), server.client_as("bob").unwrap());
    assert_eq!(files.run(&mut ann, "select * from '$/closed/b.csv'"), "2\n");
    for path in ["$/open/a.csv", "$/open/none.csv", "/etc/passwd.csv"] {
        let answer = files.run(&mut bob, &format!("select * from '{path}'"));
        assert!(answer.starts_with(&format!("ERROR 42501: permission denied to read file \"{path}\"\n")), "{answer}");
    }
    assert!(bob.run("set file_directories = '/'").starts_with("ERROR 42501: permission denied to set parameter"));
    assert_eq!(files.run(&mut root, "alter role bob set file_directories = '/nowhere, $/open/'"), "ALTER ROLE\n");
    let mut bob = server.client_as("bob").unwrap();
    assert_eq!(files.run(&mut bob, "show file_directories"), "/nowhere, $/open/\n");
    assert_eq!(files.run(&mut bob, "select * from '$/open/a.csv'; select * from '$/open/[a]*.csv'"), "1\n1\n");
    for path in ["$/open/link.csv", "$/open/../closed/b.csv", "$/closed/*.csv", "$/*/a.csv", "a.csv", "$/open/*.csv"] {
        let answer = files.run(&mut bob, &format!("select * from '{path}'"));
        assert!(answer.starts_with("ERROR 42501"), "{path}: {answer}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let files = Files::new(&[
        ("a.txt", "id\n1\n"),
        ("empty.csv", ""),
        ("ragged.csv", "a,b\n1,2\n3\n"),
        ("latin.csv", "a\n"),
        ("x.parquet", "id\n1\n"),
        ("bad.jsonl", "{\"a\":1}\n[1]\n"),
        ("quote.csv", "a\n\"x\n"),
    ]);
    files.put("latin.csv", b"a\n\xe9\n");
    files.put("cut.parquet", &std::fs::read(TYPES).unwrap()[..500]);
    let server = Server::new();
    let mut root = server.client();
    let mut run = |sql: &str| files.run(&mut root, sql);
    for (sql, error) in [
        ("select * from '$/a.txt'", "ERROR 22023: \"$/a.txt\" does not end like a data file"),
        (
            "select * from '$/none.csv'",
            "ERROR 58P01: could not open file \"$/none.csv\" for reading: No such file or directory",
        ),
        ("select * from '$'", "ERROR 22023: \"$\" does not end like a data file"),
        ("select * from read_csv('$')", "ERROR 42809: \"$\" is a directory"),
        ("select * from read_csv('/dev/zero')", "ERROR 42809: \"/dev/zero\" is not a regular file"),
        ("select * from '$/empty.csv'", "ERROR 22P04: $/empty.csv has no columns"),
        ("select * from '$/ragged.csv'", "ERROR 22P04: $/ragged.csv, line 3: 1 fields where the first line has 2"),
        (
            "select * from '$/latin.csv'",
            "ERROR 22021: $/latin.csv, line 2: not UTF-8; if it is Latin-1, convert it first: iconv -f LATIN1 -t UTF-8",
        ),
        ("select * from '$/x.parquet'", "ERROR 22P04: $/x.parquet: not a Parquet file, or cut off"),
        ("select * from '$/cut.parquet'", "ERROR 22P04: $/cut.parquet: not a Parquet file, or cut off"),
        ("select * from '$/bad.jsonl'", "ERROR 22P02: $/bad.jsonl, line 2: not a JSON object"),
        ("select * from '$/quote.csv'", "ERROR 22P04: $/quote.csv, line 2: a quoted field does not end"),
        ("select * from read_csv('$/a.txt', nope => 1)", "ERROR 22023: unrecognized option \"nope\" of read_csv"),
        (
            "select * from read_csv('$/a.txt', delim => 'ab')",
            "ERROR 22023: option \"delim\" of read_csv must be one character of one byte",
        ),
        ("select * from read_parquet()", "ERROR 22023: read_parquet needs a path as a string literal"),
        ("create view v as select * from '$/ragged.csv'", "ERROR 0A000: a file in FROM here is not supported yet"),
        ("insert into 'x.csv' values (1)", "ERROR 42601: syntax error at or near \"'x.csv'\""),
        ("select * from '$/a.txt'.b", "ERROR 42601: syntax error at or near \"'$/a.txt'\""),
        ("select * from read_csv('$/a.txt') for update", "ERROR 0A000: FOR UPDATE of files is not supported yet"),
    ] {
        let answer = run(sql);
        assert_eq!(answer.lines().next().unwrap_or_default(), error, "{sql}");
    }
    // A view cannot be made of files that a statement before it was about either.
    run("select * from read_csv('$/a.txt')");
    assert!(run("create view v as select * from read_csv('$/a.txt')").starts_with("ERROR 0A000"));
    assert_eq!(run("select * from read_csv('$/a.txt')"), "1\n");
}

#[test]
fn types_are_those_of_the_rows_looked_at() {
    let mut text = "id\n".to_owned();
    (0..20).for_each(|n| text.push_str(&format!("{n}\n")));
    text.push_str("x\n");
    let files = Files::new(&[("a.csv", &text), ("b.jsonl", "{\"a\":1}\n{\"a\":2,\"b\":3}\n")]);
    let server = Server::new();
    let mut root = server.client();
    let mut run = |sql: &str| files.run(&mut root, sql);
    let answer = run("select max(id) from read_csv('$/a.csv', sample_size => 10)");
    assert_eq!(
        answer,
        "ERROR 22P02: invalid input syntax for type bigint: \"x\"\nCONTEXT: file \"$/a.csv\", line 22, column id\n"
    );
    assert_eq!(run("select max(id) from read_csv('$/a.csv', sample_size => -1)"), "x\n");
    assert!(
        run("select * from read_json('$/b.jsonl', sample_size => 1)").contains("key \"b\" is not among the columns")
    );
    assert_eq!(run("select sum(b) from '$/b.jsonl'"), "3\n");
}

#[test]
fn explain_shows_files_columns_and_filters() {
    let server = Server::new();
    let mut root = server.client();
    let name = Path::new(TYPES).canonicalize().unwrap();
    let plan = root.run(&format!("explain (costs off) select tiny from '{TYPES}' where big_id > 3 and text <> 'x'"));
    let plan = plan.replace(name.to_str().unwrap(), "F");
    assert!(plan.contains("Parquet Scan on types\n"), "{plan}");
    assert!(plan.contains("File: F\n") && plan.contains("Columns: tiny, big_id, text\n"), "{plan}");
    assert!(plan.contains("Filter: big_id > 3 AND text != x"), "{plan}");
    assert!(plan.contains("Row Groups: 1 to read, 0 skipped"), "{plan}");
    let plan = root.run(&format!("explain (costs off) select tiny from '{TYPES}' where big_id > 300"));
    assert!(plan.contains("Row Groups: 0 to read, 1 skipped"), "{plan}");
    assert_eq!(root.run(&format!("select tiny from '{TYPES}' where big_id > 300")), "");
}

#[test]
fn tables_go_out_as_parquet_and_come_back_the_same() {
    let files = Files::new(&[]);
    let server = Server::new();
    let mut root = server.client();
    let mut run = |sql: &str| files.run(&mut root, sql);
    run("create type mood as enum ('sad', 'ok');
         create table t (id int primary key, s smallint, b bigint, f real, d double precision, n numeric(10, 2),
            w numeric(30, 4), x text, v varchar(5), c char(3), bo boolean, da date, ti time, ts timestamp, tz timestamptz, u uuid,
            j json, jb jsonb, by bytea, ia int[], ta text[], m mood);
         insert into t values (1, -2, 3000000000, 1.5, 'NaN', -1.25, 12345678901234567890.1234, 'é''s', 'v', 'c', true, '2024-02-29',
            '23:59:58.5', '2024-05-17 12:00:00.000001', '2024-05-17 12:00:00+02', '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
            '{\"a\": 1}', '[1, null]', '\\x00ff', '{1,NULL,3}', '{a,\"b c\",NULL}', 'ok');
         insert into t (id) select generate_series(2, 20)");
    for compression in ["zstd", "snappy", "none"] {
        let copied = run(&format!("copy t to '$/t.parquet' with (format parquet, compression {compression})"));
        assert_eq!(copied, "COPY 20\n");
        let columns = "id, s, b, f, d, n, w, x, v, c, bo, da, ti, ts, tz, u, j::text::jsonb, jb, by, ia, ta, m::text";
        let back = "id, s, b, f, d, n, w, x, v, c, bo, da, ti, ts, tz, u, j, jb, by, ia, ta, m";
        assert_eq!(
            run(&format!("select {back} from '$/t.parquet' order by id")),
            run(&format!("select {columns} from t order by id"))
        );
    }
    assert_eq!(
        run("create table u (like t); copy u from '$/t.parquet' (format parquet)").lines().last(),
        Some("ERROR 42804: column \"m\" is of type mood but expression is of type text")
    );
    run("drop table if exists u; create table u (id int primary key, x text default 'none', m text)");
    assert_eq!(run("copy (select id, x from t) to '$/two.parquet' (format parquet)"), "COPY 20\n");
    assert_eq!(run("copy u (id, x) from '$/two.parquet' (format parquet) where id < 3"), "COPY 2\n");
    assert_eq!(run("select * from u order by id"), "1|é's|\n2||\n");
    assert_eq!(run("copy u from '$/two.parquet' (format parquet)"), "ERROR 22P04: missing data for column \"m\"\n");
    assert_eq!(
        run("copy u (id) from '$/two.parquet' (format parquet)"),
        "ERROR 22P04: extra data after last expected column\n"
    );
    assert!(run("copy u (id, x) from '$/two.parquet' (format parquet)").starts_with("ERROR 23505"));
    assert_eq!(
        run(
            "copy (select 1 as a where false) to '$/none.parquet' (format parquet); select count(*) from '$/none.parquet'"
        ),
        "COPY 0\n0\n"
    );
    assert_eq!(files.names(), ["none.parquet", "t.parquet", "two.parquet"]);
}

#[test]
fn a_copy_that_fails_leaves_no_file() {
    let files = Files::new(&[("kept.parquet", "old")]);
    let server = Server::new();
    let mut root = server.client();
    let mut run = |sql: &str| files.run(&mut root, sql);
    for (sql, error) in [
        (
            "copy (select 1 / (5 - n) as x from generate_series(1, 9) n) to '$/kept.parquet' (format parquet)",
            "ERROR 22012: division by zero",
        ),
        (
            "copy (select 1.5 as x) to '$/x.parquet' (format parquet)",
            "ERROR 0A000: column \"x\" of type numeric without at most 38 digits in a Parquet file is not supported yet",
        ),
        (
            "copy (select interval '1 day' as x) to '$/x.parquet' (format parquet)",
            "ERROR 0A000: column \"x\" of type interval in a Parquet file is not supported yet",
        ),
        (
            "copy (select date 'infinity' as x) to '$/x.parquet' (format parquet)",
            "ERROR 22008: an infinite date or timestamp cannot be written to a Parquet file",
        ),
        (
            "copy (select 1 as a, 2 as a) to '$/x.parquet' (format parquet)",
            "ERROR 42701: column \"a\" specified more than once",
        ),
        (
            "copy (select 1) to '$/no/x.parquet' (format parquet)",
            "ERROR 58P01: could not open file \"$/no/x.parquet\" for writing: No such file or directory",
        ),
        ("copy (select 1) to 'x.parquet' (format parquet)", "ERROR 42602: relative path not allowed for COPY to file"),
        (
            "copy (select 1) to '$' (format parquet)",
            "ERROR 42809: could not open file \"$\" for writing: it is not a regular file",
        ),
        (
            "copy (select 1) to stdout (format parquet)",
            "ERROR 0A000: COPY TO STDOUT with FORMAT parquet is not supported yet",
        ),
        (
            "copy (select 1) to '$/x.csv' (format csv, compression zstd)",
            "ERROR 42601: option \"compression\" not recognized",
        ),
        (
            "copy (select 1) to '$/x.parquet' (format parquet, compression brotli)",
            "ERROR 22023: COPY compression \"brotli\" not recognized",
        ),
        (
            "copy (select 1) to '$/x.parquet' (format parquet, header)",
            "ERROR 42601: cannot specify HEADER in PARQUET mode",
        ),
        (
            "copy (select n, 1 / (9000 - n) from generate_series(1, 20000) n) to '$/x.csv' (format csv)",
            "ERROR 22012: division by zero",
        ),
    ] {
        let answer = run(sql);
        assert_eq!(answer.lines().next().unwrap_or_default(), error, "{sql}");
    }
    assert_eq!(files.names(), ["kept.parquet"]);
    assert_eq!(std::fs::read(files.dir.path().join("kept.parquet")).unwrap(), b"old");
}

#[test]
fn copy_with_files_of_the_server() {
    let files = Files::new(&[("in.csv", "a,b\n1,x\n2,\n")]);
    let server = Server::new();
    let mut root = server.client();
    assert_eq!(
        files.run(&mut root, "create table t (a int primary key, b text); copy t from '$/in.csv' (format csv, header)"),
        "CREATE TABLE\nCOPY 2\n"
    );
    assert_eq!(
        files.run(&mut root, "copy t to '$/out.txt'; copy t to '$/out.bin' (format binary)"),
        "COPY 2\nCOPY 2\n"
    );
    assert_eq!(std::fs::read_to_string(files.dir.path().join("out.txt")).unwrap(), "1\tx\n2\t\\N\n");
    assert_eq!(
        files.run(&mut root, "truncate t; copy t from '$/out.bin' (format binary); select * from t order by a"),
        "TRUNCATE TABLE\nCOPY 2\n1|x\n2|\n"
    );
    assert_eq!(
        files.run(&mut root, "copy t from '$/none'"),
        "ERROR 58P01: could not open file \"$/none\" for reading: No such file or directory\n"
    );
    root.run("create role ann login; create role bob login; grant pg_write_server_files to ann; grant select, insert on t to ann, bob");
    let (mut ann, mut bob) = (server.client_as("ann").unwrap(), server.client_as("bob").unwrap());
    assert_eq!(files.run(&mut ann, "copy t to '$/ann.txt'"), "COPY 2\n");
    assert_eq!(
        files.run(&mut ann, "copy t from '$/ann.txt'"),
        "ERROR 42501: must be superuser or have privileges of the pg_read_server_files role to COPY from a file\n"
    );
    for (sql, what) in [
        ("copy t to '$/x'", "pg_write_server_files role to COPY to a file"),
        ("copy t from '$/x'", "pg_read_server_files role to COPY from a file"),
        ("copy t to program 'cat'", "pg_execute_server_program role to COPY to or from an external program"),
    ] {
        assert_eq!(
            files.run(&mut bob, sql),
            format!("ERROR 42501: must be superuser or have privileges of the {what}\n")
        );
    }
    files.run(&mut root, "alter role bob set file_directories = '$'");
    let mut bob = server.client_as("bob").unwrap();
    assert!(
        files.run(&mut bob, "copy t from '$/out.txt'").starts_with("ERROR 23505"),
        "he may read, the rows are there"
    );
    assert!(files.run(&mut bob, "copy t to '$/x'").starts_with("ERROR 42501"));
}
