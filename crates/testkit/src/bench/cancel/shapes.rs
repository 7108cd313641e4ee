//! Statements of many shapes over two tables, each long enough to be met in any of its parts.

/// The tables: `rows` numbers with a skewed column, and `rows / 1000` long texts.
pub(super) fn schema(rows: u64) -> Vec<String> {
    let texts = (rows / 1000).max(10);
    vec![
        "CREATE TABLE big (k int PRIMARY KEY, a int NOT NULL, b int NOT NULL, skewed int NOT NULL, n numeric(12,2) NOT NULL, \
         word text NOT NULL, d date NOT NULL)"
            .to_owned(),
        format!(
            "INSERT INTO big SELECT i, (i::bigint * 7919 % 1000003)::int, (i::bigint * 104729 % 1009)::int + 1, i % 50, i::bigint * 31 % 100000 / 100.0, md5(i::text), \
             date '2020-01-01' + i % 1500 FROM generate_series(1, {rows}) i"
        ),
        "CREATE TABLE texts (id int PRIMARY KEY, body text NOT NULL)".to_owned(),
        format!(
            "INSERT INTO texts SELECT i, repeat(md5(i::text) || ' lorem ipsum dolor sit amet ', 400) \
             FROM generate_series(1, {texts}) i"
        ),
        "ANALYZE".to_owned(),
    ]
}

/// A statement, and what is said before and after it.
pub(super) struct Shape {
    pub name: &'static str,
    pub before: &'static str,
    pub sql: &'static str,
    pub after: &'static str,
}

const fn query(name: &'static str, sql: &'static str) -> Shape {
    Shape { name, before: "", sql, after: "" }
}

/// With so little memory that it spills.
const fn spilling(name: &'static str, sql: &'static str) -> Shape {
    Shape { name, before: "SET query_memory = '48MB'", sql, after: "RESET query_memory" }
}

const fn undone(name: &'static str, sql: &'static str) -> Shape {
    Shape { name, before: "BEGIN", sql, after: "ROLLBACK" }
}

pub(super) const SHAPES: &[Shape] = &[
    query("sort by two columns", "SELECT * FROM big ORDER BY b, word OFFSET 2000000000"),
    query("sort by a text", "SELECT * FROM big ORDER BY word OFFSET 2000000000"),
    query("sort, first rows", "SELECT * FROM big ORDER BY b, word LIMIT 100000"),
    spilling("sort that spills", "SELECT * FROM big ORDER BY b, word OFFSET 2000000000"),
    query("rows in order to the client", "SELECT * FROM big ORDER BY word"),
    query("hash join", "SELECT count(*) FROM big x JOIN big y ON x.k = y.a WHERE x.b < y.b"),
    spilling("hash join that spills", "SELECT count(*), max(x.word || y.word) FROM big x JOIN big y ON x.k = y.a"),
    query("hash join of few keys", "SELECT count(*) FROM big x JOIN big y ON x.skewed = y.skewed"),
    query(
        "hash join of few keys that keeps none",
        "SELECT count(*) FROM big x JOIN big y ON x.skewed = y.skewed AND x.k + y.k = 7",
    ),
    query(
        "outer join of few keys",
        "SELECT count(y.k) FROM big x LEFT JOIN big y ON x.skewed = y.skewed AND x.k - y.k = 10000000",
    ),
    query(
        "semi join with a condition",
        "SELECT count(*) FROM big x WHERE EXISTS (SELECT 1 FROM big y WHERE y.skewed = x.skewed AND y.k + x.k < 0)",
    ),
    query("not in", "SELECT count(*) FROM big WHERE a NOT IN (SELECT a + 1 FROM big)"),
    query("nested loop that keeps none", "SELECT count(*) FROM big x JOIN big y ON x.a + y.b = 7"),
    query("nested loop with nulls", "SELECT count(y.k) FROM big x LEFT JOIN big y ON x.a < -y.b"),
    query("cross joins", "SELECT count(*) FROM big a, big b, big c WHERE a.a + b.a + c.a = 7"),
    query(
        "cross join, sorted",
        "SELECT * FROM texts a, big b, generate_series(1, 3) c ORDER BY b.b, c, a.id OFFSET 2000000000",
    ),
    query("cross join, counted", "SELECT count(*) FROM big a, big b"),
    query("many groups", "SELECT count(*), max(s) FROM (SELECT word, sum(a) s FROM big GROUP BY word) g"),
    spilling("many groups that spill", "SELECT count(*), max(s) FROM (SELECT word, sum(a) s FROM big GROUP BY word) g"),
    query(
        "groups of several columns",
        "SELECT count(*) FROM (SELECT a, b, d, count(*), avg(n) FROM big GROUP BY a, b, d) g",
    ),
    query("rollup", "SELECT count(*) FROM (SELECT a, b, d, sum(n) FROM big GROUP BY ROLLUP (a, b, d)) g"),
    query("distinct rows", "SELECT count(*) FROM (SELECT DISTINCT word, d FROM big) g"),
    query("count of distinct texts", "SELECT count(DISTINCT word), count(DISTINCT a) FROM big"),
    query("array_agg in order", "SELECT cardinality(array_agg(word ORDER BY a)) FROM big"),
    query("string_agg", "SELECT length(string_agg(word, ',')) FROM big"),
    query("json_agg", "SELECT length(json_agg(big)::text) FROM big"),
    query(
        "percentiles",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), mode() WITHIN GROUP (ORDER BY word) FROM big",
    ),
    query("window over partitions", "SELECT max(s) FROM (SELECT sum(a) OVER (PARTITION BY b ORDER BY k) s FROM big) w"),
    query(
        "window over all",
        "SELECT max(s), max(t) FROM (SELECT row_number() OVER (ORDER BY word) s, sum(a) OVER () t FROM big) w",
    ),
    query(
        "window over a moving frame",
        "SELECT max(s) FROM (SELECT max(word) OVER (ORDER BY k ROWS BETWEEN 1000 PRECEDING AND CURRENT ROW) s FROM big) w",
    ),
    query(
        "rank and lag",
        "SELECT count(*) FROM (SELECT rank() OVER (PARTITION BY skewed ORDER BY a), lag(word, 3) OVER (PARTITION BY skewed ORDER BY a) FROM big) w",
    ),
    query("regular expression", "SELECT count(*) FROM texts WHERE body ~ '(a|b|[c-f])+x[0-9]+(lorem|dolor)$'"),
    query("regexp_replace", "SELECT sum(length(regexp_replace(body, '([a-f]+)([0-9]+)', '\\2\\1', 'g'))) FROM texts"),
    query("regexp_split_to_table", "SELECT count(*) FROM texts, regexp_split_to_table(body, ' ') w"),
    query("like", "SELECT count(*) FROM texts WHERE body LIKE '%a%b%c%d%lorem%x%y%z%'"),
    query("long texts", "SELECT sum(length(upper(repeat(body, 20)) || reverse(body))) FROM texts"),
    query("numeric functions", "SELECT sum(exp(n / 100) * ln(n + 1)) FROM big"),
    query(
        "dates and texts",
        "SELECT count(*) FROM big WHERE to_char(d + interval '1 month', 'FMDay, DD Month YYYY') = word",
    ),
    query(
        "recursive",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 2000000000) SELECT count(*) FROM r",
    ),
    query(
        "recursive over a table",
        "WITH RECURSIVE r (k, a) AS (SELECT k, a FROM big WHERE k < 1000 UNION SELECT b.k, b.a FROM r JOIN big b ON b.a = r.k + 1) SELECT count(*) FROM r",
    ),
    query("generate_series", "SELECT count(*) FROM generate_series(1, 100000000000) i WHERE i % 7 = 9"),
    query(
        "generate_series of hashes",
        "SELECT count(*) FROM generate_series(1, 100000000000) i WHERE md5(i::text) = 'x'",
    ),
    query("correlated", "SELECT sum((SELECT max(y.b) FROM big y WHERE y.k > x.k AND y.k < x.k + x.b)) FROM big x"),
    query(
        "lateral",
        "SELECT count(*) FROM big x, LATERAL (SELECT y.k FROM big y WHERE y.k > x.k ORDER BY y.word LIMIT 1) l",
    ),
    query("union", "SELECT count(*) FROM (SELECT word FROM big UNION SELECT reverse(word) FROM big) u"),
    query("except", "SELECT count(*) FROM (SELECT word, a FROM big EXCEPT ALL SELECT reverse(word), b FROM big) u"),
    query("copy out of a table", "COPY big TO STDOUT"),
    query("copy out of a query", "COPY (SELECT x.*, y.word FROM big x, big y) TO STDOUT (FORMAT csv)"),
    query("create index", "CREATE INDEX big_word ON big (word, a)"),
    query("create unique index", "CREATE UNIQUE INDEX big_unique ON big (word)"),
    query("analyze", "ANALYZE big"),
    undone("create table as", "CREATE TABLE other AS SELECT * FROM big ORDER BY b"),
    undone("insert", "INSERT INTO big SELECT k + 100000000, a, b, skewed, n, word, d FROM big"),
    undone("update", "UPDATE big SET a = a + 1, word = reverse(word)"),
    undone("delete", "DELETE FROM big WHERE b <> 3"),
    undone("add a column", "ALTER TABLE big ADD COLUMN more text DEFAULT random()::text"),
    undone("change a type", "ALTER TABLE big ALTER COLUMN a TYPE bigint"),
    undone("foreign key", "ALTER TABLE big ADD FOREIGN KEY (b) REFERENCES big (k)"),
    query("pg_sleep", "SELECT pg_sleep(100)"),
];
