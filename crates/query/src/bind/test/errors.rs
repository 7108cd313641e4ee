//! Errors read as PostgreSQL 15 writes them, SQLSTATE, position and hint included.

use heliosdb_types::SqlType;

use super::bench::Sql;
use crate::testing::relation;

fn sql() -> Sql {
    Sql::new(vec![
        relation("t", &[("id", SqlType::Int4), ("name", SqlType::Text), ("v", SqlType::Int4)], &["id"]),
        relation("u", &[("id", SqlType::Int4), ("w", SqlType::Int4)], &["id"]),
    ])
}

#[test]
fn names() {
    let sql = sql();
    let cases = [
        ("SELECT 1 FROM nope", "42P01: relation \"nope\" does not exist @15"),
        ("SELECT * FROM s.nope", "42P01: relation \"s.nope\" does not exist @15"),
        ("SELECT zzzzz FROM t", "42703: column \"zzzzz\" does not exist @8"),
        (
            "SELECT nme FROM t",
            "42703: column \"nme\" does not exist @8 HINT: Perhaps you meant to reference the column \"t.name\".",
        ),
        ("SELECT t.zzzzz FROM t", "42703: column t.zzzzz does not exist @8"),
        ("SELECT x.id FROM t", "42P01: missing FROM-clause entry for table \"x\" @8"),
        (
            "SELECT t.id FROM t AS a",
            "42P01: invalid reference to FROM-clause entry for table \"t\" @8 HINT: Perhaps you meant to reference the table alias \"a\".",
        ),
        ("SELECT id FROM t, u", "42702: column reference \"id\" is ambiguous @8"),
        ("SELECT 1 FROM t, t", "42712: table name \"t\" specified more than once"),
        ("SELECT x.* FROM t", "42P01: missing FROM-clause entry for table \"x\" @8"),
        ("SELECT 1 FROM t AS a (b, c, d, e)", "42P10: table \"a\" has 3 columns available but 4 columns specified"),
        (
            "SELECT * FROM t JOIN u USING (name)",
            "42703: column \"name\" specified in USING clause does not exist in right table",
        ),
        ("SELECT id FROM t ORDER BY 2", "42P10: ORDER BY position 2 is not in select list @27"),
        ("SELECT id FROM t GROUP BY 3", "42P10: GROUP BY position 3 is not in select list @27"),
        ("SELECT id FROM t ORDER BY 'a'", "42601: non-integer constant in ORDER BY @27"),
        ("SELECT id FROM t ORDER BY NULL", "42601: non-integer constant in ORDER BY @27"),
        ("SELECT id FROM t ORDER BY 3000000000", "42601: non-integer constant in ORDER BY @27"),
        ("SELECT id FROM t ORDER BY -1", "42P10: ORDER BY position -1 is not in select list @27"),
        ("SELECT id FROM t ORDER BY -9223372036854775808", "42601: non-integer constant in ORDER BY @27"),
        ("SELECT id AS a, v AS a FROM t ORDER BY a", "42702: ORDER BY \"a\" is ambiguous @40"),
        (
            "SELECT DISTINCT id FROM t ORDER BY v",
            "42P10: for SELECT DISTINCT, ORDER BY expressions must appear in select list @36",
        ),
        (
            "SELECT string_agg(DISTINCT name, ',' ORDER BY id) FROM t",
            "42P10: in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list @47",
        ),
        (
            "SELECT concat()",
            "42883: function concat() does not exist @8 HINT: No function matches the given name and argument types. You might need to add explicit type casts.",
        ),
        ("SELECT '1' IN ('a', 'b', 1)", "22P02: invalid input syntax for type integer: \"a\" @16"),
        ("SELECT NULL IN ('a', 1)", "22P02: invalid input syntax for type integer: \"a\" @17"),
        (
            "WITH a AS (SELECT id FROM t), a AS (SELECT id FROM t) SELECT id FROM a",
            "42712: WITH query name \"a\" specified more than once @31",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(sql.error(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let sql = sql();
    let cases = [
        ("SELECT id FROM t TABLESAMPLE SYSTEM (10)", "0A000: TABLESAMPLE is not supported yet"),
        (
            "SELECT 1 FROM t, LATERAL (SELECT t.id) x NATURAL JOIN t u",
            "0A000: this kind of join beside LATERAL, after a comma is not supported yet",
        ),
        (
            "SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM t u, LATERAL (SELECT t.id + u.id) x)",
            "0A000: a LATERAL subquery that also uses columns of an outer query is not supported yet @31",
        ),
        (
            "SELECT 1 FROM t JOIN LATERAL (SELECT t.id) x USING (id)",
            "0A000: USING in a join with a LATERAL subquery of its left side is not supported yet",
        ),
        ("SELECT 1 FROM t RIGHT JOIN LATERAL (SELECT t.id) x ON true", "42P10: invalid reference to FROM-clause entry"),
        ("SELECT id INTO x FROM t", "0A000: SELECT INTO is not supported yet"),
        ("SELECT id FROM t FETCH FIRST 1 ROW WITH TIES", "0A000: FETCH ... WITH TIES is not supported yet"),
        ("VACUUM t", "0A000: VACUUM is not supported yet"),
    ];
    for (text, expected) in cases {
        assert_eq!(sql.error(text), expected, "{text}");
    }
}

#[test]
fn grouping() {
    let sql = sql();
    let cases = [
        (
            "SELECT name, count(*) FROM t GROUP BY v",
            "42803: column \"t.name\" must appear in the GROUP BY clause or be used in an aggregate function @8",
        ),
        (
            "SELECT v + 1, count(*) FROM t",
            "42803: column \"t.v\" must appear in the GROUP BY clause or be used in an aggregate function @8",
        ),
        ("SELECT id FROM t WHERE count(*) > 1", "42803: aggregate functions are not allowed in WHERE @24"),
        ("SELECT id FROM t GROUP BY count(*)", "42803: aggregate functions are not allowed in GROUP BY @27"),
        (
            "SELECT sum(v) FILTER (WHERE count(*) > 0) FROM t",
            "42803: aggregate functions are not allowed in FILTER @29",
        ),
        ("SELECT sum(count(*)) FROM t", "42803: aggregate function calls cannot be nested @12"),
        ("SELECT 1 FROM t JOIN u ON count(*) > 1", "42803: aggregate functions are not allowed in JOIN conditions @27"),
        (
            "SELECT v, (SELECT max(w) FROM u WHERE u.id = t.id) FROM t GROUP BY v",
            "42803: subquery uses ungrouped column \"t.id\" from outer query @46",
        ),
        ("SELECT id FROM t WHERE row_number() OVER () = 1", "42P20: window functions are not allowed in WHERE @24"),
        ("SELECT row_number() FROM t", "42809: window function row_number requires an OVER clause @8"),
        ("SELECT sum(v) OVER w FROM t", "42704: window \"w\" does not exist @20"),
    ];
    for (text, expected) in cases {
        assert_eq!(sql.error(text), expected, "{text}");
    }
}

#[test]
fn types() {
    let sql = sql();
    let cases = [
        ("SELECT id FROM t WHERE v", "42804: argument of WHERE must be type boolean, not type integer @24"),
        ("SELECT id FROM t WHERE v AND true", "42804: argument of AND must be type boolean, not type integer @24"),
        ("SELECT (SELECT id, v FROM t)", "42601: subquery must return only one column @9"),
        (
            "SELECT id FROM t UNION SELECT id, v FROM t",
            "42601: each UNION query must have the same number of columns @31",
        ),
        ("SELECT id FROM t LIMIT -1", "2201W: LIMIT must not be negative"),
        ("VALUES (1), (1, 2)", "42601: VALUES lists must all be the same length"),
        ("SELECT $1 FROM t WHERE $2 IS NULL", "42P18: could not determine data type of parameter $2"),
    ];
    for (text, expected) in cases {
        let got = sql.error(text);
        assert!(got == expected || (expected == "no error" && got.starts_with(expected)), "{text}: {got}");
    }
}

/// A long chain is a deep tree: it must bind, run or be refused, on the stack a worker has.
#[test]
fn long_chains_do_not_overflow_the_stack() {
    let run = || {
        let sql = sql();
        // How many terms have to work: PostgreSQL takes some thousands, too.
        let chains = [
            ("1", " + 1", 2_000),
            ("v", " + 1 - v", 2_000),
            ("v", " * id", 2_000),
            ("id = 0", " OR id = 1", 5_000),
            ("name", " || 'x'", 2_000),
            ("NOT true", " AND v > 2", 5_000),
            ("1 IS NULL", " IS NULL", 100),
        ];
        for (first, next, works) in chains {
            for terms in [100, works, 9_000, 30_000] {
                let got = sql.text(&format!("SELECT {first}{} FROM t", next.repeat(terms)));
                assert!(got.is_empty() || got.starts_with("54001"), "{terms} of {next}: {got}");
                assert!(got.is_empty() || terms > works, "{terms} of {next}: {got}");
            }
        }
    };
    let worker = std::thread::Builder::new().stack_size(16 << 20).spawn(run).unwrap();
    worker.join().unwrap();
}
