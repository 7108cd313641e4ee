//! The published list of functions is what the code has: the tables as they are, the rest by an example that runs.

use super::Server;
use crate::func;

/// Functions that are no plain table entries: (heading, signature, example).
const OTHERS: &[(&str, &str, &str)] = &[
    ("Conditional", "coalesce(any, ...) → any", "coalesce(null, 1)"),
    ("Conditional", "nullif(any, any) → any", "nullif(1, 2)"),
    ("Conditional", "greatest(any, ...) → any", "greatest(1, 2)"),
    ("Conditional", "least(any, ...) → any", "least(1, 2)"),
    ("Conditional", "num_nulls(any, ...) → integer", "num_nulls(1, null)"),
    ("Conditional", "num_nonnulls(any, ...) → integer", "num_nonnulls(1, null)"),
    ("Text", "concat(any, ...) → text", "concat('a', 1)"),
    ("Text", "concat_ws(text, any, ...) → text", "concat_ws(',', 'a', 1)"),
    ("Text", "format(text, any, ...) → text", "format('%s %I %L', 1, 'a', 'b')"),
    ("Text", "quote_literal(any) → text", "quote_literal(1)"),
    ("Text", "quote_nullable(any) → text", "quote_nullable(null)"),
    ("Text", "md5(text or bytea) → text", "md5('a')"),
    ("Text", "regexp_match(text, text [, text]) → text[]", "regexp_match('ab', 'b')"),
    ("Text", "regexp_split_to_array(text, text [, text]) → text[]", "regexp_split_to_array('a b', ' ')"),
    ("Text", "string_to_array(text, text [, text]) → text[]", "string_to_array('a,b', ',')"),
    ("Dates and times", "age(timestamp or timestamptz) → interval", "age('2024-01-01'::timestamp)"),
    ("Dates and times", "clock_timestamp() → timestamptz", "clock_timestamp()"),
    ("Dates and times", "current_date, current_timestamp [(n)], localtime [(n)], localtimestamp [(n)]", "current_date"),
    (
        "Dates and times",
        "date_part(text, date, time, timestamp or interval) → double precision",
        "date_part('day', now())",
    ),
    ("Dates and times", "extract(field FROM date, time, timestamp or interval) → numeric", "extract(day from now())"),
    ("Dates and times", "make_interval(years => ..., ... secs => ...) → interval", "make_interval(days => 1)"),
    ("Dates and times", "now(), statement_timestamp(), transaction_timestamp() → timestamptz", "now()"),
    (
        "Dates and times",
        "(start, end) OVERLAPS (start, end) → boolean",
        "(date '2024-01-01', date '2024-01-02') overlaps (date '2024-01-01', date '2024-01-02')",
    ),
    ("Dates and times", "timeofday() → text", "timeofday()"),
    ("Numbers", "random() → double precision", "random()"),
    ("Numbers", "width_bucket(any, any[]) → integer", "width_bucket(3, array[1, 2, 5])"),
    ("Arrays", "array_append, array_prepend, array_cat(array, ...) → array", "array_append(array[1], 2)"),
    ("Arrays", "array_dims(array) → text", "array_dims(array[1])"),
    ("Arrays", "array_fill(any, integer[] [, integer[]]) → array", "array_fill(1, array[2])"),
    ("Arrays", "array_length, array_lower, array_upper(array, integer) → integer", "array_length(array[1], 1)"),
    ("Arrays", "array_ndims(array), cardinality(array) → integer", "cardinality(array[1])"),
    ("Arrays", "array_position(array, any [, integer]) → integer", "array_position(array[1], 1)"),
    ("Arrays", "array_positions(array, any) → integer[]", "array_positions(array[1], 1)"),
    ("Arrays", "array_remove(array, any), array_replace(array, any, any) → array", "array_remove(array[1], 1)"),
    ("Arrays", "array_to_string(array, text [, text]) → text", "array_to_string(array[1], ',')"),
    ("Arrays", "trim_array(array, integer) → array", "trim_array(array[1, 2], 1)"),
    ("JSON", "to_json(any) → json, to_jsonb(any) → jsonb", "to_jsonb(1)"),
    ("JSON", "row_to_json(record [, boolean]), array_to_json(array [, boolean]) → json", "row_to_json(row(1))"),
    ("JSON", "json_build_object, jsonb_build_object(key, value, ...)", "json_build_object('a', 1)"),
    ("JSON", "json_build_array, jsonb_build_array(any, ...)", "jsonb_build_array(1)"),
    ("JSON", "json_object, jsonb_object(text[] [, text[]])", "json_object('{a,1}')"),
    ("JSON", "json_typeof, jsonb_typeof(json) → text", "jsonb_typeof('1')"),
    ("JSON", "json_array_length, jsonb_array_length(json) → integer", "json_array_length('[]')"),
    ("JSON", "json_extract_path, jsonb_extract_path(json, text, ...)", "jsonb_extract_path('{\"a\":1}', 'a')"),
    (
        "JSON",
        "json_extract_path_text, jsonb_extract_path_text(json, text, ...) → text",
        "json_extract_path_text('{\"a\":1}', 'a')",
    ),
    ("JSON", "json_strip_nulls, jsonb_strip_nulls(json)", "jsonb_strip_nulls('{}')"),
    ("JSON", "jsonb_pretty(jsonb) → text", "jsonb_pretty('{}')"),
    ("JSON", "jsonb_set, jsonb_insert(jsonb, text[], jsonb [, boolean]) → jsonb", "jsonb_set('{}', '{a}', '1')"),
    ("JSON", "jsonb_set_lax(jsonb, text[], jsonb [, boolean [, text]]) → jsonb", "jsonb_set_lax('{}', '{a}', null)"),
    (
        "Sequences",
        "nextval, currval(regclass), lastval(), setval(regclass, bigint [, boolean]) → bigint",
        "setval('counted', 5)",
    ),
    ("System", "gen_random_uuid() → uuid", "gen_random_uuid()"),
    ("System", "pg_typeof(any) → regtype", "pg_typeof(1)"),
    (
        "System",
        "current_database(), current_schema(), current_schemas(boolean), current_user, session_user",
        "current_database()",
    ),
    (
        "System",
        "current_setting(text [, boolean]), set_config(text, text, boolean) → text",
        "current_setting('DateStyle')",
    ),
    ("System", "version() → text, pg_backend_pid() → integer", "version()"),
    (
        "System",
        "format_type(oid, integer), pg_get_expr(text, oid), pg_get_constraintdef(oid), pg_get_indexdef(oid), pg_get_viewdef(oid) → text",
        "format_type(23, -1)",
    ),
    (
        "System",
        "obj_description(oid, name), col_description(oid, integer), shobj_description(oid, name) → text",
        "obj_description(1, 'pg_class')",
    ),
    (
        "System",
        "pg_relation_size, pg_table_size, pg_total_relation_size(regclass), pg_database_size(name) → bigint",
        "pg_table_size('pg_class')",
    ),
    ("System", "pg_sleep(double precision)", "pg_sleep(0)"),
    (
        "System",
        "has_table_privilege, has_schema_privilege, has_database_privilege, ...([name,] object, text) → boolean",
        "has_table_privilege('pg_class', 'select')",
    ),
    ("System", "to_regclass(text) → regclass", "to_regclass('pg_class')"),
    (
        "System",
        "pg_notify(text, text), pg_listening_channels() → text, pg_notification_queue_usage() → double precision",
        "pg_notify('channel', 'payload')",
    ),
    (
        "Rows",
        "generate_series(start, end [, step]) of integer, bigint, numeric, timestamp, timestamptz",
        "generate_series('2024-01-01'::date, '2024-01-02', '1 day')",
    ),
    ("Rows", "generate_subscripts(array, integer [, boolean]) → integer", "generate_subscripts(array[1], 1)"),
    ("Rows", "unnest(array, ...)", "unnest(array[1])"),
    ("Rows", "json_array_elements, jsonb_array_elements, ..._text(json)", "jsonb_array_elements('[1]')"),
    ("Rows", "json_each, jsonb_each, ..._text(json) → key, value", "(select count(*) from jsonb_each('{}'))"),
    ("Rows", "json_object_keys, jsonb_object_keys(json) → text", "json_object_keys('{}')"),
    (
        "Rows",
        "json_to_record, json_to_recordset, jsonb_...(json) AS t (column definitions)",
        "(select a from json_to_record('{\"a\":1}') as t(a int))",
    ),
    ("Rows", "regexp_matches(text, text [, text]) → text[]", "regexp_matches('a', 'a')"),
    ("Rows", "regexp_split_to_table(text, text [, text]) → text", "regexp_split_to_table('a b', ' ')"),
    ("Rows", "string_to_table(text, text [, text]) → text", "string_to_table('a,b', ',')"),
    ("Aggregates", "array_agg(any)", "array_agg(1)"),
    ("Aggregates", "avg, sum(number or interval)", "avg(1)"),
    ("Aggregates", "bit_and, bit_or, bit_xor(integer)", "bit_xor(1)"),
    ("Aggregates", "bool_and, bool_or, every(boolean)", "every(true)"),
    (
        "Aggregates",
        "corr, covar_pop, covar_samp, regr_avgx, regr_avgy, regr_count, regr_intercept, regr_r2, regr_slope, regr_sxx, regr_sxy, regr_syy(y, x)",
        "regr_count(1, 2)",
    ),
    ("Aggregates", "count(*), count(any)", "count(*)"),
    (
        "Aggregates",
        "json_agg, jsonb_agg(any), json_object_agg, jsonb_object_agg(key, value)",
        "jsonb_object_agg('a', 1)",
    ),
    ("Aggregates", "max, min(any ordered)", "max(1)"),
    ("Aggregates", "mode() WITHIN GROUP (ORDER BY any)", "mode() within group (order by 1::int)"),
    (
        "Aggregates",
        "percentile_cont, percentile_disc(fraction or fractions) WITHIN GROUP (ORDER BY any)",
        "percentile_cont(0.5) within group (order by 1::int)",
    ),
    ("Aggregates", "stddev, stddev_pop, stddev_samp, variance, var_pop, var_samp(number)", "stddev(1)"),
    ("Aggregates", "string_agg(text, text)", "string_agg('a', ',')"),
    ("Windows", "row_number, rank, dense_rank, percent_rank, cume_dist() OVER (...)", "rank() over ()"),
    ("Windows", "ntile(integer) OVER (...)", "ntile(2) over ()"),
    ("Windows", "lag, lead(any [, offset [, default]]) OVER (...)", "lag(1) over ()"),
    ("Windows", "first_value, last_value(any), nth_value(any, integer) OVER (...)", "first_value(1) over ()"),
];

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql-functions.md");

/// The page as the code says it.
fn page() -> String {
    let mut out = String::from(
        "# Functions\n\nWritten by a test (`HELIOSDB_DOCS_REWRITE=1 cargo test -p heliosdb-query published_list`), so it is what the \
         code has. Aggregates take DISTINCT, ORDER BY and FILTER, and all but ordered-set ones OVER. Names and results are \
         PostgreSQL's.\n",
    );
    let mut heading = "";
    for (group, signature, _) in OTHERS {
        if *group != heading {
            out.push_str(&format!("\n## {group}\n\n"));
            heading = group;
        }
        out.push_str(&format!("- `{signature}`\n"));
    }
    out.push_str("\n## Functions of fixed types\n\n");
    let mut overloads = func::overloads();
    overloads.sort();
    overloads.dedup();
    overloads.iter().for_each(|overload| out.push_str(&format!("- `{overload}`\n")));
    out
}

#[test]
fn the_published_list_is_what_the_code_has() {
    let expected = page();
    if std::env::var_os("HELIOSDB_DOCS_REWRITE").is_some() {
        std::fs::write(PATH, &expected).unwrap();
    }
    let published = std::fs::read_to_string(PATH).unwrap();
    assert!(published == expected, "docs/sql-functions.md is stale; run this test with HELIOSDB_DOCS_REWRITE=1");
}

#[test]
fn every_listed_function_runs() {
    let server = Server::new();
    let mut client = server.client();
    client.run("create sequence counted");
    for (_, signature, example) in OTHERS {
        let answer = client.run(&format!("select {example}"));
        assert!(!answer.contains("ERROR"), "{signature}: {answer}");
    }
    // The tables: names that exist, whatever the arguments say.
    for overload in func::overloads() {
        let (name, types) = overload.split_once('(').unwrap();
        let types = types.split_once(") →").unwrap().0;
        let args: Vec<String> = types.split(", ").filter(|t| !t.is_empty()).map(|t| format!("null::{t}")).collect();
        let answer = client.run(&format!("select {name}({})", args.join(", ")));
        assert!(!answer.contains("ERROR 42883") && !answer.contains("ERROR 0A000"), "{overload}: {answer}");
    }
}

#[test]
fn factorials_are_products() {
    let server = Server::new();
    let mut client = server.client();
    let sql = "select factorial(0), factorial(1), factorial(2), factorial(5), factorial(25)";
    assert_eq!(client.run(sql), "1|1|2|120|15511210043330985984000000\n");
    let quotients = "select count(*) from generate_series(1, 400) n where factorial(n) <> factorial(n - 1) * n";
    assert_eq!(client.run(quotients), "0\n");
    assert_eq!(client.run("select length(factorial(3000)::text)"), "9131\n");
}
