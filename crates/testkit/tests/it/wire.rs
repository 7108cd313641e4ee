//! The extended protocol with a real driver: types in binary, parameters, portals, several statements.

use heliosdb_testkit::server::{Server, ServerOptions};
use tokio_postgres::types::Type;

async fn server(place: &tempfile::TempDir) -> Server {
    Server::start(&ServerOptions::new(place.path().join("data"))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_values_round_trip() {
    let place = tempfile::tempdir().unwrap();
    let server = server(&place).await;
    let client = server.connect().await.unwrap();
    client
        .batch_execute(
            "CREATE TABLE v (b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, t text, vc varchar(9), by bytea)",
        )
        .await
        .unwrap();
    let insert = client.prepare("INSERT INTO v VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)").await.unwrap();
    let expected = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::TEXT,
        Type::VARCHAR,
        Type::BYTEA,
    ];
    assert_eq!(insert.params(), expected);
    let bytes: Vec<u8> = (0..=255).collect();
    let count = client
        .execute(&insert, &[&true, &i16::MIN, &i32::MAX, &i64::MIN, &1.5f32, &f64::MAX, &"grüße", &"nine chr.", &bytes])
        .await
        .unwrap();
    assert_eq!(count, 1);
    let null: Option<i32> = None;
    client.execute("INSERT INTO v (i4) VALUES ($1)", &[&null]).await.unwrap();
    let rows = client.query("SELECT * FROM v ORDER BY b", &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!((row.get::<_, bool>(0), row.get::<_, i16>(1), row.get::<_, i32>(2)), (true, i16::MIN, i32::MAX));
    assert_eq!((row.get::<_, i64>(3), row.get::<_, f32>(4), row.get::<_, f64>(5)), (i64::MIN, 1.5, f64::MAX));
    assert_eq!((row.get::<_, &str>(6), row.get::<_, &str>(7), row.get::<_, Vec<u8>>(8)), ("grüße", "nine chr.", bytes));
    assert_eq!(rows[1].get::<_, Option<i32>>(2), None);
    let long = client.execute("INSERT INTO v (vc) VALUES ($1)", &[&"ten chars."]).await.unwrap_err();
    assert_eq!(long.code().map(|code| code.code()), Some("22001"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_inferred_and_portals_suspend() {
    let place = tempfile::tempdir().unwrap();
    let server = server(&place).await;
    let mut client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE n (id int PRIMARY KEY, x bigint)").await.unwrap();
    client.batch_execute("INSERT INTO n SELECT i, i * i FROM generate_series(1, 1000) g(i)").await.unwrap();
    let select = client.prepare("SELECT x FROM n WHERE id = $1").await.unwrap();
    assert_eq!(select.params(), [Type::INT4]);
    for id in [1i32, 500, 1000] {
        assert_eq!(client.query_one(&select, &[&id]).await.unwrap().get::<_, i64>(0), i64::from(id) * i64::from(id));
    }
    assert!(client.query_opt(&select, &[&1001i32]).await.unwrap().is_none());
    let limited = client.query("SELECT id FROM n WHERE x > $1 ORDER BY id LIMIT $2", &[&100i64, &3i64]).await.unwrap();
    assert_eq!(limited.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [11, 12, 13]);
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id FROM n ORDER BY id", &[]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(transaction.query_portal(&portal, 400).await.unwrap().iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
    transaction.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_statements_are_one_implicit_transaction() {
    let place = tempfile::tempdir().unwrap();
    let server = server(&place).await;
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE m (id int PRIMARY KEY)").await.unwrap();
    let error = client.batch_execute("INSERT INTO m VALUES (1); INSERT INTO m VALUES (1)").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("23505"));
    assert_eq!(client.query_one("SELECT count(*) FROM m", &[]).await.unwrap().get::<_, i64>(0), 0);
    client.batch_execute("BEGIN; INSERT INTO m VALUES (1); COMMIT; INSERT INTO m VALUES (2)").await.unwrap();
    assert_eq!(client.query_one("SELECT count(*) FROM m", &[]).await.unwrap().get::<_, i64>(0), 2);
    let error = client.batch_execute("SELECT 1 FROM m WHERE id = 'x'").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("22P02"));
    let unsupported =
        client.batch_execute("CREATE TRIGGER x BEFORE INSERT ON m EXECUTE FUNCTION f()").await.unwrap_err();
    assert_eq!(unsupported.code().map(|code| code.code()), Some("0A000"));
    let sampled = client.batch_execute("SELECT * FROM m TABLESAMPLE SYSTEM (1)").await.unwrap_err();
    assert_eq!(sampled.code().map(|code| code.code()), Some("0A000"), "never silently ignored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_analyze_shows_what_pruning_saved() {
    let place = tempfile::tempdir().unwrap();
    let server = server(&place).await;
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE big (id int PRIMARY KEY, x int)").await.unwrap();
    client.batch_execute("INSERT INTO big SELECT i, i / 10 FROM generate_series(1, 200000) g(i)").await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    let rows =
        client.query("EXPLAIN ANALYZE SELECT count(*) FROM big WHERE id BETWEEN 1000 AND 21000", &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    for counter in ["Segments: ", "Blocks: ", "Bytes: "] {
        assert!(plan.contains(counter), "no {counter} in\n{plan}");
    }
    let blocks = plan.split("Blocks: ").nth(1).unwrap();
    let skipped = blocks.split("read, ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(skipped.parse::<u64>().unwrap() > 5, "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn portals_and_cursors_are_one_name_space() {
    let place = tempfile::tempdir().unwrap();
    let server = server(&place).await;
    let mut client = server.connect().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let numbers = transaction.prepare("SELECT n FROM generate_series(1, $1::int) n ORDER BY n").await.unwrap();
    let portal = transaction.bind(&numbers, &[&20_000i32]).await.unwrap();
    let shown = "SELECT name, is_holdable, is_scrollable FROM pg_cursors WHERE name <> ''";
    let cursor = transaction.query_one(shown, &[]).await.unwrap();
    let name: String = cursor.get(0);
    assert_eq!((cursor.get::<_, bool>(1), cursor.get::<_, bool>(2)), (false, false));
    let first = |rows: &[tokio_postgres::Row]| rows.first().map(|row| row.get::<_, i32>(0));
    let rows = transaction.query_portal(&portal, 3).await.unwrap();
    assert_eq!((rows.len(), first(&rows)), (3, Some(1)));
    assert_eq!(transaction.execute(&format!("MOVE FORWARD 10000 \"{name}\""), &[]).await.unwrap(), 10_000);
    let fetched = transaction.query(&format!("FETCH 2 FROM \"{name}\""), &[]).await.unwrap();
    assert_eq!(first(&fetched), Some(10_004));
    let rest = transaction.query_portal(&portal, 0).await.unwrap();
    assert_eq!((rest.len(), first(&rest)), (9995, Some(10_006)));
    assert!(transaction.query_portal(&portal, 0).await.unwrap().is_empty());
    let taken = transaction.batch_execute(&format!("DECLARE \"{name}\" CURSOR FOR SELECT 1")).await.unwrap_err();
    assert_eq!(taken.code().map(|code| code.code()), Some("42P03"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_objects_come_as_parameters() {
    let place = tempfile::tempdir().unwrap();
    let server = server(&place).await;
    let client = server.connect().await.unwrap();
    client.batch_execute("CREATE TABLE here (id int)").await.unwrap();
    // A driver that sends text for every parameter, as libpq does.
    let cases = [
        ("$1::text::regclass = 'here'::regclass", "here"),
        ("$1::text::regclass::oid = to_regclass($1)::oid", "public.here"),
        ("$1::text::regtype = 'int4'::regtype", "integer"),
        ("$1::text::regnamespace::oid > 0", "public"),
        ("$1::text::regrole::oid > 0", "postgres"),
    ];
    for (condition, name) in cases {
        let row = client.query_one(&format!("SELECT {condition}"), &[&name]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{condition}");
    }
    let missing = client.query("SELECT $1::text::regclass", &[&"nowhere"]).await.unwrap_err();
    assert_eq!(missing.code().map(|code| code.code()), Some("42P01"));
}
