-- NOT IN where the left side is a constant
SELECT count(*) FROM generate_series(1, 3) WHERE NULL::date NOT IN (SELECT NULL::date);
SELECT count(*) FROM generate_series(1, 3) WHERE 5 NOT IN (SELECT NULL::int);
SELECT count(*) FROM generate_series(1, 3) WHERE 5 NOT IN (SELECT NULL::int WHERE false);
-- Subqueries that do not correlate, two in one condition
SELECT 1 AS one WHERE NULL::numeric >= ANY (SELECT NULL::numeric);
SELECT 1 AS one WHERE NOT EXISTS (SELECT 1 WHERE false) OR EXISTS (SELECT 1 WHERE true);
-- A truth test grouped by, a filter that is NULL, an empty remainder
SELECT DISTINCT (n BETWEEN 1 AND nullif(n, 2)) IS TRUE AS b FROM generate_series(1, 3) n ORDER BY 1;
SELECT percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY n % 5) FILTER (WHERE NULL::boolean) FROM generate_series(1, 3) n;
-- A lone DISTINCT aggregate: 42 is 42.0
SELECT (SELECT avg(DISTINCT n) FROM (VALUES (42), (42.0), (1)) v(n)) AS avg;
SELECT sum(DISTINCT n) AS sum FROM (VALUES (42), (42.0), (1.50)) v(n);
-- An untyped literal takes the other side's type at once
SELECT 1::bigint AS n INTERSECT SELECT 'abc' WHERE false;
SELECT '1'::jsonb AS j UNION ALL SELECT '1'::json;
-- A subquery as an array whose separator is a column
SELECT array_to_string(ARRAY(SELECT unnest('{4,6}'::int[]) ORDER BY 1), v.t) AS joined FROM (VALUES ('-'), ('+')) v(t) ORDER BY 1;
-- Grouping by expressions that begin with a bracket
SELECT (n)::text AS t, count(*) FROM generate_series(1, 2) n GROUP BY ROLLUP ((n)::text, (n + 1) * 2) ORDER BY 1, 2;
SELECT grouping((n)::text) AS g, count(*) FROM generate_series(1, 2) n GROUP BY GROUPING SETS ((n)::text, ()) ORDER BY 1, 2;
-- Rows of a source of one partition come in its order
SELECT n FROM generate_series(1, 20000) n OFFSET 19998;
-- Windows: truth values over moving frames, offsets of each row's own
SELECT n, bool_or(n % 3 = 0) OVER w AS any, bool_and(n > 1) OVER w AS every, bit_or(n) OVER w AS bits FROM generate_series(1, 5) n WINDOW w AS (ORDER BY n ROWS 1 PRECEDING) ORDER BY n;
SELECT n, lag(n, n - 1) OVER w AS back, lead(n, n % 2, -n) OVER w AS ahead, lag(n, NULL) OVER w AS none, ntile(NULL) OVER w AS tile FROM generate_series(1, 4) n WINDOW w AS (ORDER BY n) ORDER BY n;
SELECT count(nope.*) FROM generate_series(1, 2) n;
-- Set operations by what is equal, not by how it is written
SELECT 1.0 AS n EXCEPT SELECT extract(month FROM interval '1 mon 2 days') AS n;
SELECT 42.0 AS n INTERSECT SELECT 42::numeric AS n;
SELECT n FROM (VALUES (1.0), (1), (1.00), (2)) v(n) EXCEPT ALL SELECT 1.000 AS n ORDER BY 1 DESC LIMIT 1;
SELECT count(*) FROM (SELECT i FROM (VALUES (interval '30 days'), ('1 mon')) v(i) INTERSECT ALL SELECT interval '720 hours') t;
SELECT NULL::int AS n INTERSECT SELECT NULL;
SELECT '1'::json AS j EXCEPT SELECT '1'::json;
-- An outer join whose condition computes with what may be missing
SELECT a.n FROM generate_series(1, 2) a(n) LEFT JOIN generate_series(2, 3) b(n) ON a.n = b.n WHERE date 'infinity' + b.n % 1000 < timestamp '2024-02-29 13:14:15';
SELECT a.n FROM generate_series(1, 2) a(n) LEFT JOIN generate_series(2, 3) b(n) ON a.n = b.n WHERE -b.n % 2 = 0;
SELECT sign(float8 'NaN') AS a, sign(-0.0::float8) AS b, sign(float8 '-Infinity') AS c;
SELECT pg_size_pretty(-1234567890::bigint) AS a, pg_size_pretty(1234567890::bigint) AS b, pg_size_pretty(-10239::bigint) AS c;
SELECT count(*), grouping(n) FROM generate_series(1, 3) n WHERE n > 5 GROUP BY ROLLUP (n);
SELECT count(*), sum(n) FROM generate_series(1, 3) n WHERE n > 5 GROUP BY GROUPING SETS ((n), (), ()) ORDER BY 1;
-- A correlated subquery over tables that share column names
CREATE TABLE here (id int PRIMARY KEY, f4 real, f8 double precision);
CREATE TABLE there (id int PRIMARY KEY, d date);
INSERT INTO here VALUES (1, 2, 2), (2, 3, 2);
INSERT INTO there VALUES (1, '2024-02-29'), (2, '2024-03-01');
SELECT (SELECT mode() WITHIN GROUP (ORDER BY c.d) FROM here a JOIN there b ON true CROSS JOIN there c WHERE a.f4 = o.f8) AS most FROM here o ORDER BY 1;
SELECT (SELECT max(c.d) FROM here a CROSS JOIN there c WHERE a.f4 = o.f8) AS latest FROM here o ORDER BY 1;
SELECT (SELECT max(c.d) FROM here a, there c WHERE a.id + 1 = o.id) AS latest FROM here o ORDER BY 1;
SELECT (SELECT count(*) FROM here a, there c WHERE a.id = o.id AND c.id > a.id) AS later FROM here o ORDER BY 1;
DROP TABLE here, there;
CREATE TABLE grouped (id int, f double precision, n numeric, i interval, k int);
INSERT INTO grouped VALUES (1, 0.0, 1.0, '1 day', 1), (2, '-0', 1.00, '24 hours', 1), (3, NULL, NULL, NULL, 2), (4, 'NaN', 2, '1 mon', 2), (5, 'NaN', 'NaN', '30 days', NULL);
SELECT f, count(*), grouping(f), sum(id) FROM grouped GROUP BY ROLLUP (f) ORDER BY 3, 1;
SELECT n = 1 AS one, n IS NULL AS gone, k, count(*), grouping(n, k) FROM grouped GROUP BY CUBE (n, k) ORDER BY 5, 1, 2, 3, 4;
SELECT i = interval '24 hours' AS day, count(*), grouping(i), grouping(k) FROM grouped GROUP BY GROUPING SETS ((i), (k), ()) ORDER BY 3, 4, 1, 2;
SELECT f, n = 1 AS one, count(*) FROM grouped GROUP BY f, ROLLUP (n, f) ORDER BY 1, 2, 3;
SELECT f * 2 AS twice, count(*) FROM grouped GROUP BY ROLLUP (f * 2) HAVING grouping(f * 2) = 1 OR count(*) > 1 ORDER BY 1, 2;
DROP TABLE grouped;
CREATE TABLE extremes (k int, f float8, r float4);
INSERT INTO extremes VALUES (1, 'Infinity', 'Infinity'), (2, '-Infinity', '-Infinity'), (3, 'NaN', 'NaN'), (4, NULL, NULL), (5, 1, 1), (5, 'NaN', 'NaN'), (6, '-0', 0), (6, 0, 0);
SELECT k, min(f), max(f), min(r), max(r), min(f) FILTER (WHERE f < 9) FROM extremes WHERE k < 6 GROUP BY k ORDER BY k;
SELECT f, count(*) FROM extremes GROUP BY f ORDER BY f;
SELECT min(f), max(f) FROM extremes;
SELECT DISTINCT r FROM extremes ORDER BY r;
DROP TABLE extremes;
WITH q AS MATERIALIZED (SELECT true AS c) SELECT time '00:00' AS t FROM q a CROSS JOIN (VALUES (1)) v (x) RIGHT JOIN q b ON NULL::boolean;
WITH q AS (SELECT g, count(*) AS c FROM generate_series(1, 9) g GROUP BY g) SELECT count(a.g), count(b.g) FROM q a LEFT JOIN q b ON false WHERE a.g > 3;
CREATE TABLE keyed (id int PRIMARY KEY, v int);
CREATE TABLE other (x int);
INSERT INTO keyed VALUES (1, 10), (2, 20);
INSERT INTO other VALUES (3), (1), (2);
SELECT DISTINCT k.id, o.x FROM keyed k CROSS JOIN other o ORDER BY 1 DESC, 2;
SELECT k.id, o.x, count(*) FROM keyed k JOIN other o ON o.x >= k.id GROUP BY k.id, o.x ORDER BY 1, 2;
SELECT count(*), sum(n) FROM (SELECT id, x, count(*) AS n FROM (SELECT DISTINCT k.id, o.x FROM keyed k CROSS JOIN other o) d GROUP BY id, x) g;
SELECT count(*) FROM (SELECT g.id, o.x FROM (SELECT id, sum(v) AS s FROM keyed GROUP BY id) g CROSS JOIN other o GROUP BY g.id, o.x) d;
SELECT d.id, d.x FROM (SELECT g.id, o.x FROM (SELECT id % 2 AS id, sum(v) AS s FROM keyed GROUP BY id % 2) g CROSS JOIN other o GROUP BY g.id, o.x) d ORDER BY d.id, d.x DESC;
DROP TABLE keyed, other;

-- Two DISTINCT aggregates, neither of whose arguments says anything about the other's
SELECT count(DISTINCT a), sum(DISTINCT b), sum(DISTINCT b::numeric), avg(DISTINCT b) FROM generate_series(1, 3) a CROSS JOIN generate_series(1, 4) b;
SELECT count(DISTINCT a % 2), sum(DISTINCT b), min(b), max(a) FROM generate_series(1, 3) a CROSS JOIN generate_series(1, 4) b;
SELECT a % 2 AS g, count(DISTINCT a), sum(DISTINCT b), sum(DISTINCT b * interval '1 day') FROM generate_series(1, 3) a CROSS JOIN generate_series(1, 4) b GROUP BY g ORDER BY g;

-- Windows over what a condition says is equal to something computed
SELECT a, min(b) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM (VALUES (1, 2), (1, 3), (-1, 4), (2, 1)) v(a, b) WHERE abs(a) = a ORDER BY 1, b;
SELECT a, count(*) OVER (PARTITION BY a) FROM (VALUES ('x', 2), ('x', 3), ('Y', 4), ('z', 1)) v(a, b) WHERE lower(a) = a AND greatest(a, a) = a ORDER BY 1, b;

-- Arrays of subqueries as text
SELECT array_to_string(ARRAY(SELECT 1), NULL), array_to_string(ARRAY(SELECT true), ','), array_to_string(ARRAY(SELECT 1 WHERE false), ',') = '';
SELECT array_to_string(ARRAY(SELECT x FROM (VALUES ('b'), (NULL), ('a')) v(x) ORDER BY x), '/', '?'), array_to_string(ARRAY(SELECT x FROM (VALUES (2), (1)) v(x) ORDER BY x DESC), '-');

-- Some and all of a subquery's values, by their least and greatest
SELECT x, x > ANY (SELECT y FROM (VALUES (1), (2)) s(y)), x >= ANY (SELECT y FROM (VALUES (1), (2), (NULL)) s(y)), x < ALL (SELECT y FROM (VALUES (3), (2)) s(y)), x <= ALL (SELECT y FROM (VALUES (1), (NULL)) s(y)),
  x > ALL (SELECT 1 WHERE false), x < ANY (SELECT 1 WHERE false) FROM (VALUES (0), (1), (2), (NULL)) v(x) ORDER BY 1;
SELECT x FROM (VALUES ('a'), ('b'), (NULL)) v(x) WHERE x >= ALL (SELECT y FROM (VALUES ('a'), ('b')) s(y));
SELECT x, x > ANY (SELECT y FROM (VALUES (float8 'NaN'), (1)) s(y)), x >= ALL (SELECT y FROM (VALUES (float8 'NaN'), (1)) s(y)), x::numeric < ANY (SELECT y FROM (VALUES (1.5), (NULL)) s(y)) FROM (VALUES (float8 'NaN'), (1), (2)) v(x) ORDER BY 1;
SELECT x, x > ANY (SELECT y FROM (VALUES (false)) s(y)) FROM (VALUES (true), (false)) v(x) ORDER BY 1;
SELECT a, count(*) FROM (VALUES (1, 2), (1, 3), (2, 1)) v(a, b) GROUP BY a HAVING count(*) > ALL (SELECT y FROM (VALUES (1), (0)) s(y)) ORDER BY 1;

-- Subqueries that depend on the row and are not the same for equal rows
CREATE TEMP SEQUENCE numbers;
CREATE TEMP TABLE twice (a int, b int);
INSERT INTO twice VALUES (1, 1), (1, 1), (2, 1), (NULL, 1), (NULL, 2);
SELECT count(*), count(n), count(DISTINCT n) FROM (SELECT a, (SELECT nextval('numbers') WHERE a = 1) AS n FROM twice) q;
SELECT currval('numbers');
SELECT count(n), count(DISTINCT n) FROM (SELECT (SELECT nextval('numbers') WHERE t.a IS NOT DISTINCT FROM t.a) AS n FROM twice t WHERE b = 1) q;
SELECT count(DISTINCT r) FROM (SELECT (SELECT random() + b FROM (SELECT t.b) s) AS r FROM twice t) q;
SELECT count(DISTINCT r) FROM twice t, LATERAL (SELECT random() AS r WHERE t.b > 0) s;
SELECT count(DISTINCT r) FROM (SELECT CASE WHEN a = 1 THEN (SELECT max(u.b + random()) FROM twice u WHERE u.a = t.a) END AS r FROM twice t) q;
SELECT count(*) FROM twice t WHERE (SELECT nextval('numbers') WHERE t.a = 1) IS NOT NULL;
SELECT currval('numbers');
DROP TABLE twice;

-- `+ x` is not `x` to grouping sets
SELECT (+ a) AS plus, a, GROUPING(+ a, a), count(*) FROM (VALUES (1), (2), (2)) v(a) GROUP BY CUBE (+ a, a) ORDER BY 3, 1, 2;
SELECT + a, + 1.50, + '2' FROM (VALUES (1), (2)) v(a) WHERE + a > 1 GROUP BY + a;

-- FILTER above an aggregate whose value is known without reading
SELECT max(3), sum(1) FILTER (WHERE c > 0) FROM (SELECT min(4) AS c FROM (SELECT a FROM (VALUES (1), (2)) v(a) WHERE false GROUP BY a) t ORDER BY 1) t;
SELECT count(*) FILTER (WHERE c > 5), count(*) FROM (SELECT count(*) AS c FROM (SELECT a FROM (VALUES (1), (2)) v(a) WHERE false GROUP BY a) t ORDER BY 1) t;

-- Subqueries that are written twice are one key
CREATE TEMP TABLE orders (id int, place int);
CREATE TEMP TABLE places (id int, name text);
INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, NULL);
INSERT INTO places VALUES (1, 'a'), (2, 'b'), (3, 'b');
SELECT (SELECT name FROM places p WHERE p.id = o.place), count(*) FROM orders o GROUP BY (SELECT name FROM places p WHERE p.id = o.place) ORDER BY 1;
SELECT upper((SELECT name FROM places p WHERE p.id = o.place)) FROM orders o GROUP BY (SELECT name FROM places p WHERE p.id = o.place) HAVING (SELECT name FROM places p WHERE p.id = o.place) > 'a' ORDER BY (SELECT name FROM places p WHERE p.id = o.place) DESC;
SELECT DISTINCT (SELECT name FROM places p WHERE p.id = o.place) FROM orders o ORDER BY (SELECT name FROM places p WHERE p.id = o.place);
SELECT count(*), EXISTS (SELECT FROM places p WHERE p.id = o.place AND name = 'b') FROM orders o GROUP BY EXISTS (SELECT FROM places p WHERE p.id = o.place AND name = 'b') ORDER BY 1;
SELECT ARRAY(SELECT name FROM places p WHERE p.id >= o.place ORDER BY name), max(id) FROM orders o GROUP BY ARRAY(SELECT name FROM places p WHERE p.id >= o.place ORDER BY name) ORDER BY 2;
SELECT place IN (SELECT id FROM places WHERE name = 'b'), count(*) FROM orders GROUP BY place IN (SELECT id FROM places WHERE name = 'b') ORDER BY 2, 1;
SELECT string_agg(DISTINCT (SELECT max(name) FROM places), '|' ORDER BY (SELECT max(name) FROM places)) FROM orders;
SELECT (SELECT name FROM places p WHERE p.id = o.place), count(*) FROM orders o GROUP BY (SELECT name FROM places p WHERE p.id = o.id) ORDER BY 1;
SELECT (SELECT count(*) FROM places), (SELECT count(*) FROM places) + 1, (SELECT random()) = (SELECT random()) FROM orders WHERE id = 1 AND (SELECT count(*) FROM places) > 2 AND (SELECT count(*) FROM places) < 4;
SELECT GROUPING(ARRAY(SELECT name FROM places p WHERE p.id >= o.place ORDER BY 1)) AS g, count(*) FROM orders o GROUP BY CUBE (ARRAY(SELECT name FROM places p WHERE p.id >= o.place ORDER BY 1), o.id > 3) ORDER BY 1, 2;

-- The opposite of a time is an interval
SELECT - time '04:05:06.7', - (time '00:00'), pg_typeof(- time '01:00');

-- What an outer join may make NULL is not constant
CREATE TEMP TABLE numbered AS SELECT n FROM generate_series(1, 30) n;
SELECT n, found FROM numbered LEFT JOIN (SELECT n, true AS found FROM numbered WHERE n % 10 = 0) t USING (n) ORDER BY found, n LIMIT 5;
SELECT n, found FROM numbered LEFT JOIN (SELECT n, true AS found FROM numbered WHERE n % 10 = 0) t USING (n) ORDER BY found NULLS FIRST, n LIMIT 12;
SELECT a.n, b.n, c FROM (SELECT n FROM numbered WHERE n < 3) a FULL JOIN (SELECT 7 AS n, 'x' AS c FROM numbered WHERE n < 4) b ON a.n = b.n ORDER BY c, a.n;
SELECT found, n, row_number() OVER (PARTITION BY found ORDER BY n), count(*) OVER (PARTITION BY found) FROM numbered LEFT JOIN (SELECT n, 1 AS found FROM numbered WHERE n % 7 = 0) t USING (n) ORDER BY n LIMIT 15;
SELECT a.n, rank() OVER (ORDER BY b.n) FROM (SELECT n FROM numbered WHERE n BETWEEN 4 AND 6) a LEFT JOIN (SELECT * FROM numbered WHERE n = 5) b ON a.n = b.n ORDER BY 1;
SELECT found, count(*), max(n) FROM (SELECT n, 'a' AS found FROM numbered WHERE n % 3 = 0) t RIGHT JOIN numbered USING (n) GROUP BY found ORDER BY 1;
SELECT a.n, b.k, b.m FROM numbered a LEFT JOIN (SELECT n, 1 AS k, coalesce(nullif(n, 4), 4) AS m FROM numbered) b ON a.n = b.n + 27 AND a.n > 28 ORDER BY b.k DESC, a.n DESC LIMIT 6;

-- What CASE compares is text where nothing says otherwise
SELECT CASE NULL WHEN 1 THEN 2 END;
SELECT CASE '1' WHEN 1 THEN 2 END;
SELECT CASE '1' WHEN '1' THEN 2 END, CASE NULL WHEN 'a' THEN 1 ELSE 2 END, CASE 1 WHEN '1' THEN 3 END;
