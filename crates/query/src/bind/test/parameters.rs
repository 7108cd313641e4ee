//! Parameter types are inferred from their first context.

use heliosdb_types::{Datum, Error, Result, SqlType};

use super::bench::error_text;
use super::queries::sql;

fn types(result: Result<crate::bind::BoundStatement>) -> String {
    let show =
        |bound: crate::bind::BoundStatement| bound.parameters.iter().map(SqlType::name).collect::<Vec<_>>().join(", ");
    result.map(show).unwrap_or_else(|error: Error| error_text(&error))
}

#[test]
fn inferred_as_postgres_does() {
    let sql = sql();
    let cases = [
        ("SELECT * FROM t WHERE id = $1", "integer"),
        ("SELECT $1::bigint", "bigint"),
        ("SELECT $1", "text"),
        ("SELECT id FROM t WHERE name LIKE $1 AND v > $2", "text, integer"),
        ("SELECT id FROM t WHERE v IN ($1, $2) LIMIT $3", "integer, integer, bigint"),
        ("SELECT id FROM t WHERE v BETWEEN $2 AND $1", "integer, integer"),
        ("INSERT INTO t VALUES ($1, $2, $3)", "integer, text, integer"),
        ("INSERT INTO m (n, d, ok) VALUES ($1, $2, $3)", "numeric, date, boolean"),
        ("UPDATE t SET v = v + $1 WHERE id = $2", "integer, integer"),
        ("DELETE FROM t WHERE id = $1 RETURNING $2", "integer, text"),
        ("SELECT CASE WHEN id = 1 THEN $1 ELSE v END FROM t", "integer"),
        ("SELECT $1 + 1, $1", "integer"),
        ("SELECT f FROM m WHERE f = $1", "double precision"),
        ("SELECT id FROM t WHERE $1", "boolean"),
        ("SELECT $2::int", "42P18: could not determine data type of parameter $1"),
        ("SELECT coalesce($1, 1)", "integer"),
        ("SELECT id FROM t WHERE v = (SELECT w FROM u WHERE id = $1)", "integer"),
    ];
    for (text, expected) in cases {
        assert_eq!(types(sql.bind(text, &[])), expected, "{text}");
    }
    assert_eq!(types(sql.bind("SELECT $1", &[Some(SqlType::Int8)])), "bigint");
}

#[test]
fn values_reach_the_plan() {
    let sql = sql();
    let run = |text: &str, values: Vec<Datum>| {
        let rows = sql.run(text, values).unwrap();
        rows.iter().map(|row| row.join("|")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(run("SELECT name FROM t WHERE id = $1", vec![Datum::Int32(2)]), "two");
    assert_eq!(run("SELECT id FROM t ORDER BY id LIMIT $1 OFFSET $2", vec![Datum::Int64(2), Datum::Int64(1)]), "2\n3");
    assert_eq!(run("SELECT id FROM t WHERE v = $1 OR $1 IS NULL ORDER BY id", vec![Datum::Null]), "1\n2\n3\n4\n5");
    let insert = "INSERT INTO t VALUES ($1, $2, $3) RETURNING id, name, v";
    assert_eq!(run(insert, vec![Datum::Int32(50), Datum::Text("x".into()), Datum::Null]), "50|x|NULL");
    assert_eq!(run("UPDATE t SET v = v + $1 WHERE id = $2 RETURNING v", vec![Datum::Int32(5), Datum::Int32(1)]), "15");
}
