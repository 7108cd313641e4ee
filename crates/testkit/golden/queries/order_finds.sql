-- Found by random statements: orders over constants, and several windows over one FROM.
CREATE TABLE tim (id integer PRIMARY KEY, ts timestamp, iv interval);
INSERT INTO tim VALUES (1, '2024-02-29', '1 day'), (2, NULL, NULL), (3, '1999-12-31', '30 days'), (4, '1999-12-31', '1 mon');
SELECT max(CASE WHEN false THEN 'Hello'::varchar(3) ELSE 'zz' END) OVER (ORDER BY t0.n NULLS FIRST, t0.n) AS c1, min(NULL::date) OVER (ORDER BY t0.n NULLS FIRST, t0.n GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c2 FROM generate_series(0.5, 3, 0.75) t0(n);
SELECT id, min(CASE WHEN false THEN date 'infinity' ELSE '2000-01-01' END) OVER (PARTITION BY t0.iv ORDER BY t0.ts DESC, t0.id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS c1, cume_dist() OVER (PARTITION BY t0.iv ORDER BY t0.ts DESC, t0.id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c2 FROM tim t0 ORDER BY id;
SELECT NULL::text AS c1, id AS c2, '{"a": 1}'::jsonb AS c3 FROM tim UNION ALL SELECT iv::text, id, NULL::jsonb FROM tim ORDER BY 1, 2, 3 ASC NULLS FIRST;
SELECT NULL::bigint AS c1, 1.5::float8 - t0.c1 AS c2 FROM (SELECT 1.5::float8 AS c1, NULL::numeric AS c2 FROM tim INTERSECT ALL SELECT 1.5::float8, NULL::numeric ORDER BY 1, 2 DESC NULLS LAST) t0 INTERSECT ALL SELECT NULL::bigint, 0::float8;
SELECT id, sum(id) OVER (PARTITION BY lower(iv::text) ORDER BY id + 1) AS a, count(*) OVER (PARTITION BY lower(iv::text) ORDER BY id + 1 DESC) AS b, rank() OVER (ORDER BY id + 1) AS c FROM tim ORDER BY id;
SELECT (-5000000000)::real * 1.5::real, 1e23::float8, 5e9::real;
SELECT max(NULL::real) OVER () AS c1, bool_or(NULL::boolean) OVER (PARTITION BY t0.c1) AS c2 FROM (SELECT DISTINCT max(NULL::varchar) OVER () AS c1 FROM tim t0 ORDER BY 1) t0;
SELECT bool_or(true) OVER (PARTITION BY t0.c1) AS c2 FROM (SELECT DISTINCT max(NULL::varchar) OVER () AS c1 FROM tim t0 ORDER BY 1 LIMIT 1) t0;
SELECT NULL::text AS c1, NULL::jsonb AS c2 UNION ALL SELECT NULL::text, '{}'::jsonb ORDER BY 1, 2 LIMIT 1 OFFSET 0;
SELECT 1 AS a, 2 AS b UNION ALL SELECT 1, 1 ORDER BY 1, 2 LIMIT 1;
SELECT count(*) AS n FROM (SELECT * FROM (SELECT DISTINCT lcm(c.id, 0) AS n FROM tim a CROSS JOIN tim b CROSS JOIN tim c) x WHERE n = 0 LIMIT 1) x;
SELECT 0 = ANY (SELECT DISTINCT lcm(c.id, 0) FROM tim a CROSS JOIN tim b CROSS JOIN tim c) AS found;
