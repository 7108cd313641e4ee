//! INSERT, UPDATE, DELETE and RETURNING through binder, executor and a shard in memory.

use heliosdb_types::SqlType;

use super::bench::Sql;
use super::queries::sql;
use crate::catalog::{CheckConstraint, Identity};
use crate::testing::relation;

fn wide() -> Sql {
    let mut sql = Sql::new(vec![
        relation(
            "p",
            &[
                ("id", SqlType::Int4),
                ("name", SqlType::Varchar(Some(5))),
                ("price", SqlType::Numeric(Some((6, 2)))),
                ("n", SqlType::Int8),
            ],
            &["id"],
        ),
        relation("q", &[("id", SqlType::Int4), ("x", SqlType::Int4)], &["id"]),
    ]);
    sql.alter("p", |table| {
        table.columns[1].default = Some("'none'::text".into());
        table.columns[3].default = Some("1 + 41".into());
        if let crate::catalog::RelationKind::Table(info) = &mut table.kind {
            let expression = "price >= 0".into();
            info.checks.push(CheckConstraint {
                oid: heliosdb_types::Oid(1),
                name: "p_price_check".into(),
                expression,
                validated: true,
            });
        }
    });
    sql
}

#[test]
fn insert_defaults_casts_and_checks() {
    let sql = wide();
    sql.check(&[
        ("INSERT INTO p (id, price) VALUES (1, 2.345)", "1"),
        ("INSERT INTO p VALUES (2, DEFAULT, '7', DEFAULT), (3, 'abc', NULL, 5)", "2"),
        ("INSERT INTO p (n, id) SELECT 9, 10 RETURNING id, n, name, price", "10|9|none|NULL"),
        ("INSERT INTO p (id, name) VALUES (4, 'abcdef')", "22001: value too long for type character varying(5)"),
        ("INSERT INTO p (id, name) VALUES (4, 'abc   ') RETURNING length(name) > 0, name || '|'", "t|abc  |"),
        ("INSERT INTO p (id, price) VALUES (5, 10000)", "22003: numeric field overflow"),
        (
            "SELECT * FROM p ORDER BY id",
            "1|none|2.35|42\n2|none|7.00|42\n3|abc|NULL|5\n4|abc  |NULL|42\n10|none|NULL|9",
        ),
    ]);
    assert!(sql.text("INSERT INTO p (id, price) VALUES (6, -1)").starts_with("23514"), "{}", sql.text("SELECT 1"));
    assert!(sql.text("INSERT INTO p (id) VALUES (1)").starts_with("23505"));
}

#[test]
fn insert_errors() {
    let sql = wide();
    let cases = [
        ("INSERT INTO p (id, nope) VALUES (1, 2)", "42703: column \"nope\" of relation \"p\" does not exist @20"),
        ("INSERT INTO p (id, id) VALUES (1, 2)", "42701: column \"id\" specified more than once @20"),
        ("INSERT INTO p VALUES (1, 'a', 1, 1, 1)", "42601: INSERT has more expressions than target columns @37"),
        ("INSERT INTO p (id, n) VALUES (1)", "42601: INSERT has more target columns than expressions @31"),
        (
            "INSERT INTO p (id) VALUES (true)",
            "42804: column \"id\" is of type integer but expression is of type boolean @28 HINT: You will need to rewrite or cast the expression.",
        ),
        ("INSERT INTO p (id) VALUES ('x')", "22P02: invalid input syntax for type integer: \"x\" @28"),
        ("INSERT INTO p (id) VALUES (count(*))", "42803: aggregate functions are not allowed in VALUES @28"),
        (
            "INSERT INTO p (id) VALUES (1) RETURNING count(*)",
            "42803: aggregate functions are not allowed in RETURNING @41",
        ),
        ("UPDATE p SET nope = 1", "42703: column \"nope\" of relation \"p\" does not exist @14"),
        ("UPDATE p SET n = 1, n = 2", "42601: multiple assignments to same column \"n\" @21"),
        ("UPDATE p SET n = sum(n)", "42803: aggregate functions are not allowed in UPDATE @18"),
        ("DELETE FROM nope", "42P01: relation \"nope\" does not exist @13"),
    ];
    for (text, expected) in cases {
        assert_eq!(sql.error(text), expected, "{text}");
    }
}

#[test]
fn identity_columns_refuse_given_values() {
    let mut sql = wide();
    sql.alter("q", |table| {
        table.columns[0].identity = Identity::Always;
        table.columns[0].default = Some("3".into());
    });
    let error = "428C9: cannot insert a non-DEFAULT value into column \"id\"";
    assert!(sql.error("INSERT INTO q VALUES (1, 2)").starts_with(error));
    assert!(sql.error("INSERT INTO q SELECT 1, 2").starts_with(error));
    assert!(sql.error("UPDATE q SET id = 4").starts_with("428C9: column \"id\" can only be updated to DEFAULT"));
    sql.check(&[
        ("INSERT INTO q (x) VALUES (5) RETURNING *", "3|5"),
        (
            "INSERT INTO q VALUES (DEFAULT, 2) RETURNING id",
            "23505: duplicate key value violates unique constraint \"q_pkey\"",
        ),
    ]);
}

#[test]
fn update() {
    let sql = sql();
    sql.check(&[
        ("UPDATE t SET v = v + 1, name = upper_or(name) WHERE id = 1", "42883: function upper_or(text) does not exist"),
        ("UPDATE t SET v = v + 1 WHERE id <= 2", "2"),
        ("UPDATE t SET v = id, id = id + 100 WHERE id = 3 RETURNING id, v", "103|3"),
        ("SELECT id, v FROM t ORDER BY id", "1|11\n2|21\n4|20\n5|50\n103|3"),
        ("UPDATE t AS x SET v = u.w FROM u WHERE u.id = x.id RETURNING x.id, x.v, u.w + 1", "1|100|101\n2|200|201"),
        ("UPDATE t SET v = (SELECT max(w) FROM u) WHERE id = 4", "1"),
        ("UPDATE t SET v = (SELECT w FROM u WHERE u.id = t.id) WHERE id < 5", "3"),
        ("SELECT id, v FROM t ORDER BY id", "1|100\n2|200\n4|NULL\n5|50\n103|3"),
        ("UPDATE t SET v = 0 WHERE id IN (SELECT id FROM u)", "2"),
        ("UPDATE t SET v = 1 WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id) AND id > 1", "1"),
        ("UPDATE t SET v = 2 WHERE v > (SELECT count(*) FROM u) OR id = 4", "2"),
        ("UPDATE t SET (name, v) = ('z', DEFAULT) WHERE id = 5 RETURNING *", "5|z|NULL"),
        ("UPDATE t SET v = 3 WHERE false", "0"),
        ("SELECT id, name, v FROM t ORDER BY id", "1|one|0\n2|two|1\n4|NULL|2\n5|z|NULL\n103|three|3"),
        ("UPDATE t SET v = 1 / v WHERE id = 1", "22012: division by zero"),
    ]);
}

#[test]
fn delete() {
    let sql = sql();
    sql.check(&[
        ("DELETE FROM t WHERE id = 1 RETURNING id, name", "1|one"),
        ("DELETE FROM t USING u WHERE u.id = t.id RETURNING t.id, w", "2|200"),
        ("DELETE FROM t WHERE id NOT IN (SELECT id + 1 FROM t WHERE v IS NOT NULL)", "2"),
        ("SELECT id FROM t ORDER BY id", "5"),
        ("WITH x AS (SELECT 5 AS five) INSERT INTO t SELECT five + 1, 'six', five FROM x RETURNING id", "6"),
        ("WITH x AS (SELECT 5 AS five) UPDATE t SET v = five FROM x WHERE id = 6 RETURNING v", "5"),
        ("WITH x AS (SELECT 6 AS six) DELETE FROM t USING x WHERE id = six RETURNING name", "six"),
        ("DELETE FROM m", "4"),
        ("SELECT count(*) FROM m", "0"),
    ]);
}
