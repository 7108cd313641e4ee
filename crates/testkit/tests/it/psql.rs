//! psql's describe commands print what they print for PostgreSQL.

use std::process::Command;

use heliosdb_testkit::peer::{Postgres, PostgresVersion};
use heliosdb_testkit::server::{Server, ServerOptions};

const SCHEMA: &str = "
CREATE TABLE plain (a integer, b text NOT NULL DEFAULT 'x', c numeric(10,2), d timestamp with time zone);
CREATE TABLE keyed (id serial PRIMARY KEY, code varchar(8) NOT NULL, at timestamp DEFAULT now(), CHECK (id > 0));
CREATE TABLE pair (a bigint, b uuid, c bytea, d char(3), e boolean DEFAULT true, PRIMARY KEY (a, b));
CREATE TABLE ident (id integer GENERATED ALWAYS AS IDENTITY, n double precision, i interval, t time);
CREATE SCHEMA side;
CREATE TABLE side.other (id smallint PRIMARY KEY);
CREATE VIEW keyed_codes AS SELECT id, code FROM keyed;
";

const COMMANDS: &[&str] = &[
    "\\d",
    "\\dt",
    "\\dt side.*",
    "\\dv",
    "\\ds",
    "\\dn",
    "\\d plain",
    "\\d keyed",
    "\\d pair",
    "\\d ident",
    "\\d side.other",
    "\\d keyed_codes",
    "\\du",
    "\\dg",
    "\\di",
    "\\dn+",
    "\\dp",
    "\\ddp",
    "\\drds",
    "\\dD",
    "\\db",
    "\\d nosuch",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_commands_print_what_postgresql_prints() {
    let place = tempfile::tempdir().unwrap();
    let oracle = Postgres::start(&PostgresVersion::system().unwrap(), &place.path().join("pg"), &[]).await.unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    for port in [oracle.port, server.pg_port] {
        let (out, err) = psql(port, SCHEMA);
        assert!(err.is_empty(), "schema on port {port}: {out}{err}");
    }
    let mut wrong = Vec::new();
    for command in COMMANDS {
        let (ours, theirs) = (psql(server.pg_port, command), psql(oracle.port, command));
        if tidy(&ours.0) != tidy(&theirs.0) || ours.1 != theirs.1 {
            wrong.push(format!("== {command}\n--- ours\n{}{}--- PostgreSQL\n{}{}", ours.0, ours.1, theirs.0, theirs.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (databases, err) = psql(server.pg_port, "\\l");
    assert!(databases.contains(" postgres ") && databases.contains("UTF8") && err.is_empty(), "{databases}{err}");
}

/// Runs a script or a backslash command; standard output and errors.
fn psql(port: u16, script: &str) -> (String, String) {
    let output = Command::new("psql")
        .args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string(), "-c", script, "postgres"])
        .env("PGCONNECT_TIMEOUT", "10")
        .output()
        .expect("psql runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

/// Trailing blanks and the column widths of psql's tables do not matter.
fn tidy(text: &str) -> String {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().filter(|line| !line.starts_with("---")).map(squeeze).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copy_round_trips_through_psql() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let csv = "id,name,note\n1,plain,x\n2,\"with \"\"quotes\"\", and comma\",\n3,\"two\nlines\",\"\"\n";
    let file = place.path().join("in.csv");
    std::fs::write(&file, csv).unwrap();
    let run = |script: &str| psql(server.pg_port, script);
    assert_eq!(run("CREATE TABLE c (id int PRIMARY KEY, name text, note text)").1, "");
    assert_eq!(run(&format!("\\copy c FROM '{}' (FORMAT csv, HEADER)", file.display())).1, "");
    assert_eq!(run("COPY c TO STDOUT (FORMAT csv, HEADER)").0, csv);
    let text = "1\tplain\tx\n2\twith \"quotes\", and comma\t\\N\n3\ttwo\\nlines\t\n";
    assert_eq!(run("COPY c TO STDOUT").0, text);
    assert_eq!(run("COPY (SELECT id FROM c WHERE id > 1 ORDER BY id) TO STDOUT").0, "2\n3\n");
    std::fs::write(&file, "4\tfour\n").unwrap();
    let (_, err) = run(&format!("\\copy c FROM '{}'", file.display()));
    assert!(err.contains("missing data for column \"note\""), "{err}");
    std::fs::write(&file, "1\tagain\tx\n").unwrap();
    let (_, err) = run(&format!("\\copy c FROM '{}'", file.display()));
    assert!(err.contains("duplicate key value violates unique constraint \"c_pkey\""), "{err}");
    assert_eq!(run("SELECT count(*) FROM c").0.split_whitespace().nth(2), Some("3"));
}

/// A dump restores, and the dump of what was restored is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pg_dump_restores_to_the_same_dump() {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap();
    let (out, err) = psql(server.pg_port, SCHEMA);
    assert!(err.is_empty(), "{out}{err}");
    let grants = "CREATE ROLE reader; GRANT SELECT (id) ON keyed TO reader; GRANT ALL ON plain TO reader; \
        COMMENT ON TABLE plain IS 'a comment'; INSERT INTO plain (a) VALUES (1), (2); CREATE DATABASE copy";
    for statement in grants.split("; ") {
        assert_eq!(psql(server.pg_port, statement).1, "", "{statement}");
    }
    let first = dump(server.pg_port, "postgres");
    assert!(first.contains("GRANT SELECT(id) ON TABLE public.keyed TO reader"), "{first}");
    let file = place.path().join("dump.sql");
    std::fs::write(&file, &first).unwrap();
    let restored = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-p"])
        .arg(server.pg_port.to_string())
        .arg("-f")
        .arg(&file)
        .arg("copy")
        .output()
        .expect("psql runs");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(dump(server.pg_port, "copy"), first);
}

/// What pg_dump writes, without the lines that are new each time.
fn dump(port: u16, database: &str) -> String {
    let output = Command::new("pg_dump")
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string(), database])
        .output()
        .expect("pg_dump runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.contains("restrict")).collect::<Vec<_>>().join("\n")
}
