//! Portals of the protocol and cursors of SQL, which are one name space.

use heliosdb_contracts::{BoundPortal, Execution, PortalRun};
use heliosdb_types::{Datum, Result, SqlState, SqlType};

use super::{Client, Server};

impl Client {
    fn bind(&mut self, name: &str, sql: &str, parameters: Vec<Datum>) -> Result<()> {
        let statement = self.prepare(sql)?;
        let binary = vec![true; statement.columns().map_or(0, <[_]>::len)];
        self.session.bind_portal(name, BoundPortal { statement, parameters, binary, bytes: 600 })
    }

    /// Execute: the first column's integers, or a tag.
    fn run_portal(&mut self, name: &str, most: u64) -> Result<String> {
        let pool = std::sync::Arc::clone(&self.pool);
        let outcome = pool.block_on(async {
            let tag = match self.session.run_portal(name).await? {
                PortalRun::Rows(tag) => tag,
                PortalRun::Other(Execution::Done(tag)) => return Ok(tag),
                PortalRun::Other(_) => return Ok("something else".to_owned()),
            };
            let (mut sent, mut out) = (0, String::new());
            while sent < most {
                let Some(batch) = self.session.portal_rows(name, most - sent).await? else {
                    return Ok(format!("{out}{tag:?}"));
                };
                assert!(batch.num_rows() > 0 && batch.num_rows() as u64 <= most - sent);
                sent += batch.num_rows() as u64;
                for row in 0..batch.num_rows() {
                    let value = heliosdb_contracts::datum_at(batch.column(0), row, heliosdb_types::PhysicalType::Int32);
                    out.push_str(&format!("{:?} ", value.unwrap()).replace("Int32(", "").replace(')', ""));
                }
            }
            Ok(format!("{out}..."))
        });
        if let Err(error) = &outcome {
            self.session.fail(error);
        }
        outcome
    }
}

const NUMBERS: &str = "select n from generate_series(1, 6) n";

#[test]
fn sql_moves_what_the_protocol_made() {
    let server = Server::new();
    let mut client = server.client();
    client.run("begin");
    client.bind("P 1", NUMBERS, Vec::new()).unwrap();
    assert_eq!(client.run_portal("P 1", 1).unwrap(), "1 ...");
    assert_eq!(client.run("move forward 2 \"P 1\""), "MOVE 2\n");
    assert_eq!(client.run("fetch \"P 1\""), "4\n");
    assert_eq!(client.run_portal("P 1", 1).unwrap(), "5 ...");
    assert_eq!(client.run_portal("P 1", 9).unwrap(), "6 Counted(\"SELECT\")");
    assert_eq!(client.run_portal("P 1", 9).unwrap(), "Counted(\"SELECT\")");
    // One that nobody has run yet.
    client.bind("q", "select n from generate_series(1, $1::int) n", vec![Datum::Int32(3)]).unwrap();
    assert_eq!(
        client.run("fetch 2 from q; close q; fetch q").lines().next_back(),
        Some("ERROR 34000: cursor \"q\" does not exist")
    );
    client.run("rollback");
    assert_eq!(client.run("select count(*) from pg_cursors"), "0\n");
}

#[test]
fn the_protocol_runs_what_sql_declared() {
    let server = Server::new();
    let mut client = server.client();
    client.run(&format!("begin; declare c scroll cursor for {NUMBERS}"));
    assert_eq!(client.session.portal("c").unwrap().columns.unwrap().len(), 1);
    assert_eq!(client.run_portal("c", 2).unwrap(), "1 2 ...");
    assert_eq!(client.run("fetch backward 1 from c; fetch 2 from c"), "1\n2\n3\n");
    assert_eq!(client.run_portal("c", 100).unwrap(), "4 5 6 Counted(\"SELECT\")");
    client.session.close_portal("c");
    assert_eq!(client.run("fetch c"), "ERROR 34000: cursor \"c\" does not exist\n");
    client.run("rollback");
    // A held one outlives its transaction.
    client.run(&format!("declare h cursor with hold for {NUMBERS}"));
    assert_eq!(client.run_portal("h", 2).unwrap(), "1 2 ...");
    client.run("select 1");
    assert_eq!(client.run_portal("h", 1).unwrap(), "3 ...");
}

#[test]
fn a_name_is_taken_by_either() {
    let server = Server::new();
    let mut client = server.client();
    client.run("begin; declare c cursor for select 1");
    assert_eq!(client.bind("c", "select 1", Vec::new()).unwrap_err().state(), SqlState::DUPLICATE_CURSOR);
    client.bind("p", "select 1", Vec::new()).unwrap();
    assert_eq!(client.run("declare p cursor for select 1"), "ERROR 42P03: cursor \"p\" already exists\n");
}

#[test]
fn portals_end_with_their_transaction_or_savepoint() {
    let server = Server::new();
    let mut client = server.client();
    client.run("begin");
    client.bind("a", NUMBERS, Vec::new()).unwrap();
    client.run("savepoint s");
    client.bind("b", NUMBERS, Vec::new()).unwrap();
    let shown = "select name, statement, is_holdable, is_binary, is_scrollable from pg_cursors order by 1";
    assert_eq!(client.run(shown), format!("a|{NUMBERS}|f|f|f\nb|{NUMBERS}|f|f|f\n"));
    client.run("rollback to s");
    assert_eq!(client.run_portal("a", 1).unwrap(), "1 ...");
    assert_eq!(client.run_portal("b", 1).unwrap_err().state(), SqlState::INVALID_CURSOR_NAME);
    assert_eq!(client.run_portal("a", 1).unwrap_err().state(), SqlState::IN_FAILED_SQL_TRANSACTION);
    client.run("rollback to s");
    assert_eq!(client.run_portal("a", 1).unwrap(), "2 ...");
    client.run("commit");
    assert_eq!(client.run_portal("a", 1).unwrap_err().state(), SqlState::INVALID_CURSOR_NAME);
    // Outside of BEGIN the next end of a message is the end.
    client.bind("a", NUMBERS, Vec::new()).unwrap();
    assert_eq!(client.run_portal("a", 2).unwrap(), "1 2 ...");
    client.run("select 1");
    assert_eq!(client.run_portal("a", 1).unwrap_err().state(), SqlState::INVALID_CURSOR_NAME);
}

#[test]
fn a_statement_without_rows_runs_once() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create table t (a int); begin");
    client.bind("w", "insert into t values (1)", Vec::new()).unwrap();
    assert_eq!(client.run_portal("w", 0).unwrap(), "INSERT 0 1");
    client.run("savepoint s");
    assert_eq!(client.run_portal("w", 0).unwrap_err().state(), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE);
    client.run("rollback to s");
    client.bind("r", "insert into t values (2), (3) returning a", Vec::new()).unwrap();
    assert_eq!(client.run_portal("r", 1).unwrap(), "2 ...");
    assert_eq!(client.run("commit; select sum(a) from t"), "COMMIT\n6\n");
    // It may end its own transaction.
    client.run("begin");
    client.bind("e", "rollback", Vec::new()).unwrap();
    assert_eq!(client.run_portal("e", 0).unwrap(), "ROLLBACK");
    assert_eq!(client.run("select count(*) from pg_cursors"), "0\n");
}

#[test]
fn portals_of_a_session_are_bounded() {
    let server = Server::new();
    let mut client = server.client();
    let made = (0..10_000).map(|at| client.bind(&format!("p{at}"), "select 1", Vec::new()));
    let error = made.collect::<Result<Vec<()>>>().unwrap_err();
    assert_eq!(error.state(), SqlState::OUT_OF_MEMORY);
    client.session.fail(&error);
    client.bind("p0", "select 1", Vec::new()).unwrap();
}

#[test]
fn literals_and_parameters_share_a_values_list() {
    let server = Server::new();
    let mut client = server.client();
    assert_eq!(client.run("create table t (a int, b text)"), "CREATE TABLE\n");
    let several = client.prepare("insert into t values (1, null), ($1, 'x'), (null, $2), ($1 + 1, upper($2))").unwrap();
    let done = client.run_prepared(&several, vec![Datum::Int32(7), Datum::Text("y".to_owned())]).unwrap();
    assert_eq!(done, "INSERT 0 4\n");
    assert_eq!(client.run("select * from t order by a nulls first"), "|y\n1|\n7|x\n8|Y\n");
    let listed =
        client.prepare("select * from (values (null, 2.5), ($1::bigint, $2), (3, 1)) v(n, m) order by 1").unwrap();
    let nine = heliosdb_types::parse_text(&SqlType::Numeric(None), "9", &Default::default()).unwrap();
    let rows = client.run_prepared(&listed, vec![Datum::Int64(2), nine]);
    assert_eq!(rows.unwrap(), "2|9\n3|1\n|2.5\n");
}
