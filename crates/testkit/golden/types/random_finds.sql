-- What random statements found: one statement a finding.
CREATE TABLE n (id int PRIMARY KEY, v numeric, c char(4));
INSERT INTO n VALUES (1, 42, 'ab'), (2, 42.0, ''), (3, 1.5, NULL);

SELECT sum(DISTINCT v) = 43.5, count(DISTINCT v) FROM n;
SELECT nullif(1, 2.5), nullif(id, 2.5) FROM n ORDER BY id;
SELECT greatest(1.0, 1.00), least('b'::char(4), 'a'::char(4)), greatest(ARRAY[1, 2], ARRAY[1]);
SELECT octet_length(c), length(c) FROM n ORDER BY id;
SELECT ARRAY['abc', ''::char(4)];
WITH RECURSIVE r(i, f) AS (SELECT 1, 1::numeric UNION ALL SELECT i + 1, f * (i + 1) FROM r WHERE i < 25) SELECT max(f) FROM r;
SELECT NULL::bigint * 1.5, NULL::integer - 2.5;
SELECT '1_0'::integer;
SELECT chr(-1);
SELECT id ISNULL, v NOTNULL FROM n ORDER BY id;
SELECT 'abc' LIKE ALL (ARRAY['a%', '%c']), 'abc' NOT ILIKE ALL (ARRAY['x', 'ABC']);
SELECT 3 = ANY (ARRAY[[1, 2], [3, 4]]);
SELECT to_char(interval '-90 minutes', 'HH24:MI:SS'), to_char(timestamp '2024-01-01', '') IS NULL;
SELECT to_date('15 Feb -2', 'DD Mon YYYY'), to_date('2024-0-0', 'YYYY-MM-DD'), to_date('-2', 'YYYY');
SELECT timestamp '1800-01-01' AT TIME ZONE 'EST' AT TIME ZONE 'UTC';
SELECT gcd(1.5, 1), lcm(1.50, 1), lcm(0, 2.5);
SELECT regexp_instr('xabc', 'b', 1, 1, 0, '', 1), regexp_substr('xabc', 'b.', 1, 1, '', 1);
SELECT width_bucket(1.5, ARRAY[1, 2]);
SELECT quote_literal(NULL::integer) IS NULL;
SELECT convert_from('a\000b'::bytea, 'UTF8');
SELECT date_trunc('month', '2024-02-03') IS NULL;
SELECT mod('7', '3');
SELECT array_position('{}'::int[], 1, NULL) IS NULL;
SELECT trim_array(NULL::integer[], 0.5);
SELECT t, sum(b::int) OVER (ORDER BY t RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM (VALUES (time '10:00', false), ('11:00', true), ('12:00', false)) v(t, b) ORDER BY t;
SELECT pg_typeof(nullif(1, 1.5)), pg_typeof(nullif('a'::varchar, 'b')), 'pg_class'::regclass;
-- Bins need a finite origin
SELECT date_bin('1 day', timestamp '2024-02-29', timestamp 'infinity');
SELECT date_bin('1 mon', timestamp 'infinity', timestamp '2024-01-01');
-- A zone given to make_timestamptz counts east
SELECT make_timestamptz(2024, 3, 31, 3, 30, 0, '+03') AT TIME ZONE 'UTC' AS moment;
SELECT make_timestamptz(2024, 3, 31, 3, 30, 0, '3');
-- A jsonb scalar is an array of itself, by index
SELECT '5'::jsonb -> 0 AS a, '"x"'::jsonb ->> -1 AS b, '5'::jsonb -> 1 AS c, '5'::jsonb #> '{0}' AS d, '5'::json -> 0 AS e;
-- substr knows no patterns
SELECT substr('abc'::text, '2') AS a, substring('abc' from '2') AS b;
-- Roman numerals are of integers
SELECT to_char(1e20, 'RN');
SELECT to_char(3998.5::float8, 'RN') AS a, to_char(3998.5, 'RN') AS b, to_char(4000, 'RN') AS c;
-- Signs at an operator's end
SELECT 3>=-1 AS a, 5<>-5 AS b, 4*-1 AS c, '[1,2]'::json->>-1 AS d, 2<-1 AS e;
-- Which operator, which function
SELECT time '1:00' + time '2:00';
SELECT timestamp '2000-01-01' + time '1:00' AS moment;
SELECT '[1]' -> 1;
SELECT '{"a": 1}' - 'a'::text AS j;
SELECT + '1' AS plus;
SELECT avg('1');
SELECT stddev('1');
SELECT array_agg('a');
SELECT array_remove('{a,b}', 'a') AS rest, array_append('{a}', 'b') AS longer;
SELECT trunc('1.5');
-- One NaN, and one zero whatever its sign.
SELECT (- x) > 1.5 AS a, (x * 0) > 1 AS b, (-x)::real > 1::real AS c FROM (VALUES (float8 'NaN')) v(x);
SELECT (x - x) > 1.5 AS a, (x * 0) > 1 AS b, (x / x) > 1 AS c FROM (VALUES (float8 'Infinity')) v(x);
SELECT max(x), min(x), count(DISTINCT x) FROM (VALUES (-('NaN'::float8)), ('NaN'), (1)) v(x);
SELECT x, y, rank() OVER (ORDER BY x) FROM (VALUES (float8 '0', 3), ('-0', 1), ('0', 2), ('-1', 4)) v(x, y) ORDER BY x, y;
SELECT count(*) FROM (VALUES (float8 '0'), ('-0'), ('0')) v(x) GROUP BY x;
SELECT count(*) FROM (SELECT DISTINCT x FROM (VALUES (float8 '0'), ('-0'), ('1')) v(x)) d;
SELECT a.x, b.x FROM (VALUES (float8 '0')) a(x) JOIN (VALUES (float8 '-0')) b(x) ON a.x = b.x;
SELECT float8 '-0' = 0::float8 AS a, float8 '-0' < 0::float8 AS b, float4 '-0' >= float4 '0' AS c, float8 '0' IN (float8 '-0') AS d, float8 'NaN' = 'NaN' AS e;
CREATE TABLE zeros (id int PRIMARY KEY, x float8, y real);
INSERT INTO zeros VALUES (1, '-0', '-0'), (2, 0, 0), (3, 1, 1), (4, -1, -1), (5, 'NaN', 'NaN'), (6, NULL, NULL);
SELECT id FROM zeros WHERE x = 0 ORDER BY id;
SELECT id FROM zeros WHERE x >= 0 ORDER BY id;
SELECT id FROM zeros WHERE x > '-0' ORDER BY id;
SELECT id FROM zeros WHERE 0 > y ORDER BY id;
SELECT id FROM zeros WHERE y <= 0 ORDER BY id;
SELECT id FROM zeros WHERE x <> 0 ORDER BY id;
SELECT id FROM zeros WHERE x IN (0, 1) ORDER BY id;
SELECT id FROM zeros WHERE x BETWEEN 0 AND 1 ORDER BY id;
SELECT id FROM zeros WHERE x = 0 ORDER BY id;
SELECT id, x FROM zeros ORDER BY x, id DESC;
SELECT a.id, b.id FROM zeros a JOIN zeros b ON a.x = b.y ORDER BY 1, 2;
-- Untyped bounds and positions.
SELECT pg_typeof(g) FROM generate_series(1, '3') g LIMIT 1;
SELECT pg_typeof(g) FROM generate_series('1', 3::int8) g LIMIT 1;
-- Frames that move: nothing is left of rows that have gone.
SELECT i, corr(y, x) OVER w, regr_slope(y, x) OVER w, covar_samp(y, x) OVER w FROM (VALUES (1, 1.0, 2.0), (2, 1.0, 2.5), (3, 1.0, 7.25), (4, 3.0, 7.25), (5, 3.0, 7.25), (6, 0.1, 0.7)) v(i, x, y) WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) ORDER BY i;
SELECT corr(y, x), covar_pop(y, x), covar_samp(y, x), regr_avgx(y, x), regr_avgy(y, x), regr_count(y, x), regr_intercept(y, x), regr_r2(y, x), regr_slope(y, x), regr_sxx(y, x), regr_sxy(y, x), regr_syy(y, x) FROM (VALUES (1, 2.5), (2, 3), (7, -1), (NULL, 5), (3, NULL)) v(x, y);
SELECT corr(y, x), regr_r2(y, x), regr_slope(y, x), covar_samp(y, x), regr_sxx(y, x) FROM (VALUES (1, 2)) v(x, y);
SELECT corr(y, x), regr_r2(y, x), regr_slope(y, x) FROM (VALUES (1::float8, 'NaN'::float8), (2, 1)) v(x, y);
SELECT id FROM zeros WHERE (id::bigint < ALL (SELECT NULL::bigint WHERE zeros.x > 0)) ORDER BY id;
SELECT id, max(id) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS m FROM zeros ORDER BY m;
SELECT max('abc'::varchar) OVER (ORDER BY y, id, c1 ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS m FROM zeros CROSS JOIN (SELECT NULL::integer AS c1) n ORDER BY 1;
SELECT id, min(id) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING) AS m FROM zeros ORDER BY m NULLS FIRST, id;
-- Regular expressions see the padding of char(n), their patterns have none
SELECT 'ab'::char(4) ~ 'b  $' AS a, 'ab'::char(4) ~ 'b$' AS b, 'ab'::char(4) !~* 'B ' AS c, 'ab' ~ 'ab'::char(4) AS d;
-- NULLIF has the type of the left operand of the = there is for the two
SELECT pg_typeof(nullif(1::real, 1::smallint)) AS a, pg_typeof(nullif('a'::char(3), 'a'::varchar)) AS b, pg_typeof(nullif(1::smallint, 1::real)) AS c;
-- Letters are those of Unicode, a letter for a letter
SELECT md5(initcap('naïve ☃')), initcap('éa o''neil ÀB'), upper('naïve ß ǆ'), lower('ÏÉ İ ΟΔΟΣ');
SELECT 'ï' ~ '^[[:alpha:]]$' AS alpha, 'Ï' ~ '[[:upper:]]' AS upper, 'ï' ~ '[[:upper:]]' AS no_upper, 'ï' ~ '[[:lower:]]' AS lower, '☃' ~ '[[:alnum:]]' AS alnum, '☃«' ~ '^[[:punct:]]+$' AS punct, '٣' ~ '[[:digit:]]' AS digit, 'ï' ~ '\w' AS word, 'NAÏ' ~* 'naï' AS folded;
-- Paths and lists of keys have one dimension
SELECT '{"a": 1}'::jsonb - ARRAY[['a', 'b']];
SELECT '1'::jsonb #- ARRAY[['a']];
SELECT jsonb_set('{"a": 1}', ARRAY[['a']], '2');
SELECT '{"a": 1}'::jsonb #> ARRAY[['a']] AS got, '{"a": 1}'::jsonb ?| ARRAY[['a']] AS has, '{"a": 1}'::jsonb - '{}'::text[] AS same;
-- char(n) is compared with varchar as char(n), with text as text
SELECT 'a'::char(4) = (v || ' ')::varchar(3) AS eq, (v || ' ')::varchar(3) = 'a'::char(4) AS other_way, 'a'::char(4) = (v || ' ')::text AS as_text, 'a'::char(4) < (v || ' ')::varchar(3) AS less, 'a'::char(4) IN ((v || ' ')::varchar(3)) AS among, 'a'::char(4) IS DISTINCT FROM (v || ' ')::varchar(3) AS apart FROM (VALUES ('a')) t(v);
SELECT 'a'::char(4) = ANY (ARRAY[(v || ' ')::varchar(3)]) AS some, 'a'::char(4) = ANY (ARRAY[(v || ' ')::text]) AS some_text FROM (VALUES ('a')) t(v);
-- A pattern may end in its escape character as long as no text gets there
SELECT '' LIKE '\' AS empty, 'xbc' LIKE 'a\' AS apart, 'abc' LIKE 'abc\' AS at_end, 'abc' LIKE 'abc%\' AS at_end_too;
SELECT 'abc' LIKE 'ab\';
SELECT 'abc' LIKE '%\';
SELECT v LIKE p FROM (VALUES ('abc', 'x\'), ('', '\'), (NULL, '\')) t(v, p);
SELECT v LIKE p FROM (VALUES ('abc', 'b%'), ('abc', '_\')) t(v, p);
SELECT v ILIKE p FROM (VALUES ('abc', 'A\')) t(v, p);
SELECT v LIKE p ESCAPE '#' FROM (VALUES ('a\bc', '%c#')) t(v, p);
SELECT v LIKE p ESCAPE '#' FROM (VALUES ('a\bc', '%b#')) t(v, p);
SELECT v LIKE p ESCAPE '#' AS hash, v LIKE p ESCAPE '' AS none FROM (VALUES ('a\_c', '%\#_c'), ('a_c', '%_#c')) t(v, p);
-- A width is an integer's text
SELECT format('%*s', 1.5::float8, 'a');
SELECT format('%*s', 30000000000, 'a');
SELECT format('[%*s]', '-4', 'a') AS left, format('[%*s]', 4, 'a') AS right, format('[%*s]', NULL, 'a') AS none;
-- A NULL is looked for only where there is one
SELECT array_position(ARRAY[1, 2, 3], NULL::int, NULL::int) AS none, array_position('{}'::int[], 1, NULL::int) AS empty, array_position(ARRAY[1, NULL], NULL::int) AS found;
SELECT array_position(ARRAY[1, 2, NULL], NULL::int, NULL::int);
