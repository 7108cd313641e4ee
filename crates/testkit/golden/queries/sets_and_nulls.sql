-- Grouping sets over keys, NOT IN over values that may be NULL, orders over windows.
CREATE TABLE k (id integer PRIMARY KEY, g integer NOT NULL, x integer, t text);
INSERT INTO k VALUES (1, 10, 100, 'a'), (2, 10, NULL, 'b'), (3, 20, 300, NULL), (4, 20, 400, 'd');

-- The key in one set is no key of the others.
SELECT id, count(*) FROM k WHERE x > 0 GROUP BY ROLLUP (id) ORDER BY 1;
SELECT count(*), sum(x) FROM k WHERE g > 0 GROUP BY CUBE (id) ORDER BY 1, 2;
SELECT count(*) FROM k WHERE null::date > date '2024-01-01' + id GROUP BY CUBE (id);
SELECT g, count(*) FROM k WHERE x > 0 GROUP BY g, ROLLUP (id) ORDER BY 1, 2;
SELECT id, x, count(*) FROM k GROUP BY GROUPING SETS ((id), (id, g)) ORDER BY 1, 2, 3;
SELECT id, x, t FROM k GROUP BY id, ROLLUP (g) ORDER BY 1, 2, 3;
SELECT id, x FROM k GROUP BY ROLLUP (id);

-- A value may be NULL although its columns are not.
SELECT id FROM k WHERE nullif(id, 1) NOT IN (SELECT 2) ORDER BY 1;
SELECT count(*) FROM k WHERE array_position(ARRAY[3, 4], id) NOT IN (SELECT 1);
SELECT id FROM k WHERE nullif(id, 1) NOT IN (SELECT id FROM k WHERE id > 100) ORDER BY 1;
SELECT id FROM k WHERE id + g NOT IN (SELECT id + 10 FROM k WHERE id < 3) ORDER BY 1;
DELETE FROM k WHERE nullif(id, 1) NOT IN (SELECT 2) RETURNING id;
INSERT INTO k VALUES (3, 20, 300, NULL), (4, 20, 400, 'd');

-- Of a frame that gets smaller the last ones are NULL.
SELECT max(x) OVER (ORDER BY id DESC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM k ORDER BY 1 DESC;
SELECT max(t) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM k ORDER BY 1 DESC;
SELECT min(t) OVER (ORDER BY id DESC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM k WHERE id > 2 ORDER BY 1;

-- What left a frame is not in its sum.
SELECT v, sum(v) OVER w, avg(v) OVER w FROM (VALUES (1, 1e20::float8), (2, 1), (3, 'Infinity'), (4, 2), (5, NULL)) t(n, v)
  WINDOW w AS (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY n;
SELECT sum(v) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM (VALUES (1, 'NaN'::float8), (2, 1), (3, '-Infinity'), (4, 2.5)) t(n, v) ORDER BY n;
SELECT sum(v) OVER (ORDER BY n) FROM (VALUES (1, 1.5::real), (2, 2), (3, NULL)) t(n, v) ORDER BY n;
SELECT sum(v) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, 1e308::float8), (2, 1e308)) t(n, v);

-- Grouping sets in a correlated subquery.
SELECT o.id FROM k o WHERE EXISTS (SELECT count(*) FILTER (WHERE i.g = o.g), GROUPING(i.g) FROM k i WHERE i.id > o.id GROUP BY ROLLUP (i.g)) ORDER BY 1;
SELECT o.id, ARRAY(SELECT count(*) FROM k i WHERE i.id > o.id GROUP BY ROLLUP (i.g) ORDER BY 1) FROM k o ORDER BY 1;

-- DISTINCT settles a literal.
SELECT 1::bigint UNION SELECT DISTINCT '2';
SELECT NULL::numeric UNION SELECT DISTINCT NULL;
SELECT 1::bigint UNION SELECT '2' ORDER BY 1;

-- Columns of one name on both sides of a join.
SELECT b.id FROM string_to_table('x,a,d', ',') a(t) RIGHT JOIN k b ON a.t = b.t WHERE a.t::varchar(3) <> 'q' ORDER BY 1;
SELECT b.id FROM k a RIGHT JOIN k b ON a.t = b.t AND a.id > 1 WHERE a.t::varchar(3) NOT ILIKE '%q%' ORDER BY 1;
SELECT a.id, b.id, c.id FROM k a JOIN k b ON a.g = b.g LEFT JOIN k c ON c.id = b.x / 100 WHERE coalesce(c.t, 'none')::varchar(1) <> 'a' ORDER BY 1, 2, 3;

-- Exact sums over moving frames, with their scales.
SELECT n, sum(v) OVER w, avg(v) OVER w, stddev(v) OVER w FROM (VALUES (1, 1.50), (2, 2), (3, 'NaN'), (4, 3.125), (5, 'Infinity'), (6, 4), (7, NULL), (8, 0.5)) t(n, v)
  WINDOW w AS (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY n;
SELECT n, sum(v) OVER w, avg(v) OVER w FROM (VALUES (1, interval '1 day'), (2, '2 hours'), (3, NULL), (4, '1 mon')) t(n, v)
  WINDOW w AS (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY n;
SELECT max(v), min(v) FROM (VALUES (interval '30 days'), ('1 mon'), ('720 hours')) t(v);
SELECT count(*) FROM k WHERE coalesce(5, id) NOT IN (SELECT x FROM k);
SELECT |/ 2.0, |/ 100000000000000000000.5, ||/ 27.0, pg_typeof(|/ 4::numeric);
SELECT count(*) FROM k WHERE id + 0.5 NOT IN (SELECT x FROM k WHERE x IS NOT NULL);

-- The first rows of a union whose parts are constant in a column of the order.
SELECT 1::smallint AS a, id FROM k UNION ALL SELECT 32767::smallint, 400 ORDER BY 1 DESC, 2 LIMIT 3;
SELECT 'a' AS a, id FROM k UNION ALL SELECT 'b', id - 10 FROM k ORDER BY 1, 2 LIMIT 3;
SELECT 'b' AS a, id FROM k UNION ALL SELECT 'a', id + 10 FROM k ORDER BY 1, 2 LIMIT 5 OFFSET 1;
SELECT count(*) FROM k WHERE coalesce(x, id) NOT IN (SELECT k.id FROM k WHERE k.id > 2);
