//! FROM items written out: functions that give rows, VALUES, recursion.

use crate::compat::generate::ty::Ty::{self, *};

/// A FROM item without its alias, and its columns.
#[derive(Debug)]
pub struct TextSource {
    pub sql: &'static str,
    /// Column aliases, with their types.
    pub columns: &'static [(&'static str, Ty)],
}

pub const SOURCES: &[TextSource] = &[
    TextSource { sql: "generate_series(1, 10)", columns: &[("i", Int4)] },
    TextSource { sql: "generate_series(10::bigint, -3, -4)", columns: &[("i", Int8)] },
    TextSource { sql: "generate_series(0.5, 3, 0.75)", columns: &[("n", Numeric)] },
    TextSource {
        sql: "generate_series(timestamp '2024-01-30', timestamp '2024-06-01', '1 month')",
        columns: &[("ts", Timestamp)],
    },
    TextSource {
        sql: "generate_series(timestamptz '2024-03-30Z', '2024-04-01Z', interval '12 hours')",
        columns: &[("tz", Timestamptz)],
    },
    TextSource { sql: "generate_series(3, 5) WITH ORDINALITY", columns: &[("i", Int4), ("o", Int8)] },
    TextSource { sql: "unnest(ARRAY['b', 'a', NULL])", columns: &[("t", Text)] },
    TextSource { sql: "unnest(ARRAY[1, 2, 3], ARRAY['x', 'y'])", columns: &[("i", Int4), ("t", Text)] },
    TextSource { sql: "unnest('{{1,2},{3,NULL}}'::int[]) WITH ORDINALITY", columns: &[("i", Int4), ("o", Int8)] },
    TextSource { sql: "generate_subscripts('[3:5]={1,2,3}'::int[], 1)", columns: &[("i", Int4)] },
    TextSource { sql: "regexp_split_to_table('a1b22c', '[0-9]+')", columns: &[("t", Text)] },
    TextSource { sql: "regexp_matches('foobarbaz', 'b(.)(.)', 'g')", columns: &[("ta", TextArray)] },
    TextSource { sql: "string_to_table('x,y,,z', ',', '')", columns: &[("t", Text)] },
    TextSource { sql: "jsonb_array_elements('[1, \"a\", {\"k\": null}, null]'::jsonb)", columns: &[("j", Jsonb)] },
    TextSource { sql: "json_array_elements('[1,  [2 ]]'::json)", columns: &[("jj", Json)] },
    TextSource { sql: "jsonb_array_elements_text('[1, \"a\", null]'::jsonb)", columns: &[("t", Text)] },
    TextSource { sql: "json_array_elements_text('[true, \"a\"]'::json)", columns: &[("t", Text)] },
    TextSource { sql: "jsonb_each('{\"b\": 1, \"a\": [2]}'::jsonb)", columns: &[("t", Text), ("j", Jsonb)] },
    TextSource { sql: "json_each('{\"b\": 1, \"b\": [2]}'::json)", columns: &[("t", Text), ("jj", Json)] },
    TextSource { sql: "jsonb_each_text('{\"b\": null, \"a\": \"x\"}'::jsonb)", columns: &[("t", Text), ("t2", Text)] },
    TextSource { sql: "json_each_text('{\"b\": 1.0}'::json)", columns: &[("t", Text), ("t2", Text)] },
    TextSource { sql: "jsonb_object_keys('{\"b\": 1, \"a\": 2}'::jsonb)", columns: &[("t", Text)] },
    TextSource { sql: "json_object_keys('{\"b\": 1, \"a\": 2}'::json)", columns: &[("t", Text)] },
    TextSource {
        sql: "(SELECT * FROM jsonb_to_record('{\"a\": 5, \"b\": \"x\"}'::jsonb) AS r(a integer, b text))",
        columns: &[("i", Int4), ("t", Text)],
    },
    TextSource {
        sql: "(SELECT * FROM json_to_record('{\"a\": 5, \"b\": \"x\"}'::json) AS r(a bigint, b varchar(1)))",
        columns: &[("i", Int8), ("v", Varchar)],
    },
    TextSource {
        sql: "(SELECT * FROM jsonb_to_recordset('[{\"a\": 1}, {\"b\": 2.5}]'::jsonb) AS r(a integer, b numeric))",
        columns: &[("i", Int4), ("n", Numeric)],
    },
    TextSource {
        sql: "(SELECT * FROM json_to_recordset('[{\"a\": \"2024-01-01\"}]'::json) AS r(a date))",
        columns: &[("d", Date)],
    },
    TextSource { sql: "(VALUES (1, 'a'), (2, NULL), (NULL, 'c'))", columns: &[("i", Int4), ("t", Text)] },
    TextSource {
        sql: "(VALUES (date '2024-01-01', 1.5), ('2025-02-03', 2), (NULL, NULL))",
        columns: &[("d", Date), ("n", Numeric)],
    },
    TextSource {
        sql: "(WITH RECURSIVE r(n, f) AS (SELECT 1, 1::numeric UNION ALL SELECT n + 1, f * (n + 1) FROM r WHERE n < 12) SELECT n, f FROM r)",
        columns: &[("i", Int4), ("n", Numeric)],
    },
    TextSource {
        sql: "(WITH RECURSIVE r AS (SELECT id, k, 0 AS depth FROM txt WHERE id = 1 UNION SELECT t.id, t.k, depth + 1 FROM r JOIN txt t ON t.k > r.k AND depth < 3) SELECT id, k, depth FROM r)",
        columns: &[("i", Int4), ("k", Int4), ("depth", Int4)],
    },
    TextSource {
        sql: "(WITH RECURSIVE r(t) AS (VALUES ('a'::text) UNION SELECT t || 'b' FROM r WHERE length(t) < 5) SELECT t FROM r)",
        columns: &[("t", Text)],
    },
    TextSource {
        sql: "(WITH RECURSIVE r(i) AS (SELECT 0 UNION SELECT (i + 3) % 7 FROM r) SELECT i FROM r)",
        columns: &[("i", Int4)],
    },
];
