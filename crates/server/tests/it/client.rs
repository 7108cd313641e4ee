//! `heliosdb sql`, `heliosdb import` and the small commands, against a real server.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::authority::Authority;
use crate::process::{Process, heliosdb};

fn client(server: &Process, verb: &str, args: &[&str], input: &str) -> Output {
    let mut command = heliosdb();
    for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSSLMODE"] {
        command.env_remove(name);
    }
    command.arg(verb).args(args).args(["--port", &server.pg_port.to_string()]);
    finish(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()), input)
}

fn finish(command: &mut Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[test]
fn statements_come_from_flags_files_and_pipes() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("data"), &[]);
    let sql = |args: &[&str], input: &str| client(&server, "sql", args, input);
    let made = out(&sql(
        &["-c", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a;b'), (2, NULL)"],
        "",
    ));
    assert_eq!(made, "CREATE TABLE\nINSERT 0 2\n");
    assert_eq!(
        out(&sql(&["-c", "SELECT * FROM t ORDER BY 1"], "")),
        " id |  v  \n----+-----\n  1 | a;b\n  2 | \n(2 rows)\n\n"
    );
    assert_eq!(out(&sql(&["--format", "csv"], "SELECT * FROM t\nORDER BY 1;\n")), "id,v\n1,a;b\n2,\n");
    let json = out(&sql(&["--format", "json", "-c", "SELECT id, v, id = 1 AS one FROM t ORDER BY 1"], ""));
    assert_eq!(json, "[\n  {\"id\":1,\"v\":\"a;b\",\"one\":true},\n  {\"id\":2,\"v\":null,\"one\":false}\n]\n");
    let file = dir.path().join("x.sql");
    std::fs::write(&file, "\\x\nSELECT 7 AS seven;\n\\timing\nSELECT $$;$$ AS q -- ;\n;\n").unwrap();
    let text = out(&sql(&["-f", file.to_str().unwrap()], ""));
    assert!(text.contains("-[ RECORD 1 ]-") && text.contains("seven | 7") && text.contains("q | ;"), "{text}");
    assert!(text.contains("Time: "), "{text}");
    assert_eq!(out(&sql(&["-c", "COPY t TO STDOUT (FORMAT csv)"], "")), "1,a;b\n2,\n");
}

#[test]
fn mistakes_are_shown_with_their_place_and_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), &[]);
    let wrong = failed(&client(&server, "sql", &[], "SELECT 1;\nSELECT 2 +;\nSELECT 3;\n"), 3);
    assert!(
        wrong.contains("ERROR:  syntax error") && wrong.contains("LINE 1: SELECT 2 +") && wrong.contains('^'),
        "{wrong}"
    );
    let output = client(&server, "sql", &["--keep-going"], "SELECT nonsense;\nSELECT 'went on';\n");
    assert!(String::from_utf8_lossy(&output.stdout).contains("went on"));
    failed(&output, 3);
    assert!(failed(&client(&server, "sql", &["-f", "/nowhere.sql"], ""), 1).contains("/nowhere.sql"));
    assert!(failed(&client(&server, "sql", &["--user", "nobody", "-c", "SELECT 1"], ""), 2).contains("password"));
    assert_eq!(server.stop(), 0);
    assert!(failed(&client(&server, "sql", &["-c", "SELECT 1"], ""), 2).contains("heliosdb start"));
}

#[test]
fn objects_are_described() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path(), &[]);
    let setup = "CREATE TABLE orders (id int PRIMARY KEY, note text DEFAULT 'x'); CREATE VIEW v AS SELECT 1 AS one;";
    out(&client(&server, "sql", &[], setup));
    let text = out(&client(&server, "sql", &[], "\\d\n\\dt\n\\dn\n\\du\n\\l\n\\d orders\n\\conninfo\n\\?\n"));
    for word in
        ["orders", "view", "public", "postgres", "not null", "'x'", "PRIMARY KEY", "You are connected", "\\timing"]
    {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
    let missing = failed(&client(&server, "sql", &[], "\\d nothing\n"), 3);
    assert!(missing.contains("Did not find any relation named \"nothing\""), "{missing}");
}

#[test]
fn passwords_and_tls_work_here_too() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("server");
    let (cert, key, root) = (authority.show("server.crt"), authority.show("server.key"), authority.show("ca.crt"));
    let server = Process::start(dir.path(), &["--tls-cert", &cert, "--tls-key", &key]);
    server.sql("", "ALTER ROLE postgres PASSWORD 'sesame'").unwrap();
    let full = ["-H", "localhost", "--sslmode", "verify-full", "--sslrootcert", &root];
    let with = |more: &[&str]| client(&server, "sql", &[&full[..], more].concat(), "\\conninfo\n");
    assert!(out(&with(&["--password", "sesame"])).contains("encrypted"));
    assert!(failed(&with(&["--password", "guess"]), 2).contains("password authentication failed"));
    assert!(failed(&with(&[]), 2).contains("PGPASSWORD"));
    let stranger = Authority::new();
    let wrong = ["-H", "localhost", "--sslmode", "verify-full", "--sslrootcert", &stranger.show("ca.crt")];
    assert!(failed(&client(&server, "sql", &wrong, ""), 2).contains("handshake"));
}

fn import(server: &Process, file: &Path, more: &[&str]) -> Output {
    client(server, "import", &[&[file.to_str().unwrap()], more].concat(), "")
}

#[test]
fn files_become_tables() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("data"), &[]);
    let query = |sql: &str| out(&client(&server, "sql", &["--format", "csv", "-c", sql], ""));
    let file = dir.path().join("Order Lines.csv");
    let rows: String = (1..=5000).map(|i| format!("{i},{}.50,2024-01-{:02},\"item, {i}\",\n", i, i % 28 + 1)).collect();
    std::fs::write(&file, format!("ID,Unit Price,Day,Order,Empty\r\n{rows}")).unwrap();
    let dry = out(&import(&server, &file, &["--dry-run"]));
    for line in ["\"id\" integer", "\"unit_price\" numeric", "\"day\" date", "\"order\" text", "\"empty\" text"] {
        assert!(dry.contains(line), "{line} is not in\n{dry}");
    }
    assert!(out(&import(&server, &file, &[])).contains("5000 rows into order_lines"));
    assert_eq!(
        query("SELECT count(*), sum(unit_price), max(\"order\") FROM order_lines"),
        "count,sum,max\n5000,12505000.00,\"item, 999\"\n"
    );
    // Once more into the same table; a bad line leaves nothing and is named.
    assert!(out(&import(&server, &file, &[])).contains("existing table"));
    std::fs::write(&file, "id,unit_price,day,order,empty\n1,1,2024-01-01,x,\n2,1,never,x,\n").unwrap();
    let wrong = failed(&import(&server, &file, &[]), 3);
    assert!(wrong.contains("line 3") && wrong.contains("never"), "{wrong}");
    assert_eq!(query("SELECT count(*) FROM order_lines"), "count\n10000\n");
    std::fs::write(&file, "a,b\n1,2\n3\n").unwrap();
    assert!(
        failed(&import(&server, &file, &["--table", "t"]), 1).contains("line 3: 1 fields where the first line has 2")
    );

    let file = dir.path().join("events.jsonl");
    std::fs::write(&file, "{\"id\": 1, \"at\": \"2024-01-01T10:00:00Z\", \"ok\": true, \"what\": \"a\\nb\"}\n\n{\"id\": 2.5, \"tags\": [1, {\"a\": \"x\"}], \"what\": \"\"}\n").unwrap();
    assert!(out(&import(&server, &file, &[])).contains("2 rows into events"));
    let types = query("SELECT pg_typeof(id), pg_typeof(at), pg_typeof(ok), pg_typeof(what) FROM events LIMIT 1");
    assert_eq!(types.lines().nth(1), Some("numeric,timestamp with time zone,boolean,text"));
    assert_eq!(query("SELECT what = '', ok IS NULL FROM events WHERE id = 2.5").lines().nth(1), Some("t,t"));
    std::fs::write(&file, "{\"id\": 1}\n{\"id\": \n").unwrap();
    assert!(failed(&import(&server, &file, &["--table", "u"]), 1).contains("line 2"));
}

#[test]
fn odd_files_are_read_or_explained() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("data"), &[]);
    let query = |sql: &str| out(&client(&server, "sql", &["--format", "csv", "-c", sql], ""));
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (name, bytes, said) in [
        ("a.csv.gz", &b"\x1f\x8b\x08\0rest"[..], "it may be cut off or damaged"),
        ("b.csv", b"\x1f\x8b\x08\0rest", "cannot be unpacked by gzip"),
        ("c.csv", b"PK\x03\x04xlsx", "a zip archive or a spreadsheet"),
        ("d.csv", b"\xff\xfea\0,\0b\0\n\0", "is UTF-16; convert it"),
        ("e.csv", b"a,b\n1,\xe9\n", "line 2: not UTF-8; if it is Latin-1"),
        ("f.csv", b"a,b\r1,2\r", "carriage returns alone"),
        ("g.csv", b"", "is empty"),
        ("h.csv", b"\xef\xbb\xbf", "is empty"),
        ("i.csv", b"a,b\n\"1,2\n", "a quoted field does not end"),
        ("j.csv", b"a,b\n1,2,3\n", "line 2: 3 fields where the first line has 2"),
        ("k.jsonl", b"[1, 2]\n", "line 1: not a JSON object"),
        ("l.jsonl", b"{\"a\": 1e999}\n", "line 1: number out of range"),
        ("m.parquet", b"PAR1nothing elsePAR1", "m.parquet"),
        ("n.thing", b"x", "--format csv, --format jsonl or --format parquet"),
    ] {
        let output = import(&server, &file(name, bytes), &[]);
        assert!(failed(&output, 1).contains(said), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(query("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "count\n0\n", "none left a table");

    let marked = file("marked.csv", b"\xef\xbb\xbf1,\"a, \"\"b\"\"\r\nc\",\r\n2,,\"\"\r\n");
    assert!(out(&import(&server, &marked, &["--no-header"])).contains("2 rows into marked"));
    assert_eq!(query("SELECT pg_typeof(column1), sum(column1) FROM marked GROUP BY 1"), "pg_typeof,sum\ninteger,3\n");
    assert_eq!(
        query("SELECT length(column2), column3 IS NULL FROM marked WHERE column1 = 1"),
        "length,?column?\n9,t\n"
    );
    let huge = file("huge.csv", b"n,m\n123456789012345678901234567890,1e40\n-1,0.5\n");
    assert!(out(&import(&server, &huge, &[])).contains("2 rows"));
    let types = query("SELECT pg_typeof(n), pg_typeof(m), max(n) FROM huge GROUP BY 1, 2");
    assert!(types.ends_with("numeric,double precision,123456789012345678901234567890\n"), "{types}");
    // Objects beside plain text, as JSON both.
    let mixed =
        file("mixed.jsonl", b"\xef\xbb\xbf{\"v\": {\"k\": [1, null]}}\n{\"v\": \"x\"}\n{\"v\": null}\n{\"v\": 2}\n");
    assert!(out(&import(&server, &mixed, &[])).contains("4 rows"));
    assert_eq!(
        query("SELECT string_agg(jsonb_typeof(v), ' ' ORDER BY jsonb_typeof(v)) FROM mixed"),
        "string_agg\nnumber object string\n"
    );
    let bare = file("bare.csv", b"1,2024-01-01\n3,2024-01-02\n");
    let output = import(&server, &bare, &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--no-header"), "{output:?}");
    assert!(out(&output).contains("1 rows into bare"));
}

#[test]
fn parquet_files_become_tables() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("data"), &[]);
    let query = |sql: &str| out(&client(&server, "sql", &["--format", "csv", "-c", sql], ""));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../files/tests/fixtures");
    let file = fixtures.join("types.parquet");
    let dry = out(&import(&server, &file, &["--dry-run"]));
    for line in ["\"big_id\" integer", "\"money\" numeric(9,2)", "\"tags\" text[]", "\"id\" uuid", "\"grid\" jsonb"] {
        assert!(dry.contains(line), "{line} is not in\n{dry}");
    }
    assert!(out(&import(&server, &file, &[])).contains("5 rows into types"));
    for (sql, expected) in [
        ("SELECT count(*), sum(money), max(ubig), max(wide) FROM types", "5,18.75,18446744073709551615,15000000000"),
        ("SELECT tags[2], inner_part #>> '{y,z,1}', doc -> 'n' FROM types WHERE tiny = 1", "\"c,d\",q,1"),
        ("SELECT count(*) FROM types WHERE tags IS NULL OR text IS NULL OR cardinality(tags) = 0", "3"),
        (
            "SELECT at, moment AT TIME ZONE 'UTC', clock FROM types WHERE id::text LIKE '%c3'",
            "2024-05-20 12:30:00.123456,2024-05-17 13:30:00,23:59:58.5",
        ),
        ("SELECT encode(raw, 'hex'), colour, day FROM types WHERE tiny = 2", "aa32,red,2024-02-29"),
    ] {
        assert_eq!(query(sql).lines().nth(1), Some(expected), "{sql}");
    }
    // Once more into the same table, then what cannot be: nothing of it is left behind.
    assert!(out(&import(&server, &file, &["--table", "types"])).contains("existing table"));
    assert_eq!(query("SELECT count(*) FROM types"), "count\n10\n");
    let refused = failed(&import(&server, &fixtures.join("interval.parquet"), &[]), 1);
    assert!(refused.contains("column \"i\": the type INTERVAL is not supported"), "{refused}");
    let mut damaged = std::fs::read(&file).unwrap();
    let middle = damaged.len() / 3;
    damaged[middle..middle + 40].fill(0xff);
    let path = dir.path().join("damaged.parquet");
    std::fs::write(&path, &damaged).unwrap();
    assert!(failed(&import(&server, &path, &[]), 1).contains("damaged.parquet"));
    std::fs::write(&path, &damaged[..middle]).unwrap();
    assert!(failed(&import(&server, &path, &[]), 1).contains("not a Parquet file, or cut off"));
    assert_eq!(query("SELECT to_regclass('damaged') IS NULL"), "?column?\nt\n");
}

#[test]
fn settings_and_completions_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("heliosdb.toml");
    std::fs::write(&file, "http_port = 9\nmemory = \"1GB\"\n[tls]\nmode = \"off\"\n").unwrap();
    let mut command = heliosdb();
    command.args(["config", "print", "--pg-port", "7", "--config"]).arg(&file).env("HELIOSDB_LISTEN", "::1");
    let text = out(&command.output().unwrap());
    for (setting, source) in [
        ("pg_port = 7", "flag --pg-port"),
        ("http_port = 9", "file"),
        ("listen = \"::1\"", "environment HELIOSDB_LISTEN"),
        ("max_connections = 1000", "default"),
        ("mode = \"off\"", "file"),
    ] {
        let line = text.lines().find(|line| line.starts_with(setting)).unwrap_or_else(|| panic!("{setting}\n{text}"));
        assert!(line.ends_with(&format!("# {source}")), "{line}");
    }
    // What is printed is a configuration file that says the same.
    std::fs::write(&file, &text).unwrap();
    let again = out(&heliosdb().args(["config", "print", "--config"]).arg(&file).output().unwrap());
    let values =
        |text: &str| text.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&again), values(&text));
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&heliosdb().args(["completions", shell]).output().unwrap());
        assert!(script.contains("import") && script.contains("heliosdb"), "{shell}");
    }
}
