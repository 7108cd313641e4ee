-- Forms people type without thinking.
CREATE TABLE short (id int PRIMARY KEY, v text);
INSERT INTO short VALUES (1, 'a'), (2, '  b '), (3, NULL);
TABLE short ORDER BY id;
TABLE short ORDER BY id DESC LIMIT 1;
table public.short ORDER BY 1 OFFSET 2;
TABLE short UNION ALL TABLE short ORDER BY 1, 2;
(TABLE short) EXCEPT (SELECT 1, 'a') ORDER BY 1;
SELECT count(*) FROM (TABLE short) s;
WITH w AS (TABLE short) SELECT count(*) FROM w;
WITH w AS (SELECT 1 AS one) TABLE w;
SELECT id IN (TABLE one) FROM short, (SELECT 1) one(x);
CREATE TABLE short_copy AS TABLE short;
INSERT INTO short_copy TABLE short;
INSERT INTO short_copy (id, v) TABLE short;
SELECT count(*) FROM short_copy;
CREATE VIEW short_view AS TABLE short;
TABLE short_view ORDER BY id;
PREPARE short_plan AS TABLE short ORDER BY id;
TABLE nowhere;
SELECT 1 AS table, 2 table;
SELECT id table FROM short ORDER BY id LIMIT 1;
COPY (TABLE short_view) TO STDOUT;

-- trim
SELECT trim(leading from '  x '), trim(trailing from '  x ') || '|', trim(both from '  x '), trim(from '  x ');
SELECT trim(LEADING 'x' FROM 'xxaxx'), trim(TRAILING 'x' FROM 'xxaxx'), trim('x' FROM 'xxaxx'), trim('xxaxx', 'x');
SELECT id, trim(both from v) FROM short ORDER BY id;

-- BETWEEN SYMMETRIC
SELECT 2 BETWEEN SYMMETRIC 3 AND 1, 2 BETWEEN SYMMETRIC 1 AND 3, 4 BETWEEN SYMMETRIC 3 AND 1, 2 NOT BETWEEN SYMMETRIC 3 AND 1;
SELECT 2 BETWEEN ASYMMETRIC 3 AND 1, 2 NOT BETWEEN ASYMMETRIC 1 AND 3;
SELECT 1 BETWEEN SYMMETRIC NULL AND 0, 1 BETWEEN SYMMETRIC NULL AND 2, NULL BETWEEN SYMMETRIC 1 AND 2;
SELECT id FROM short WHERE id BETWEEN SYMMETRIC 3 AND 2 AND v IS NULL OR id = 1 ORDER BY id;
SELECT id + 1 BETWEEN SYMMETRIC id + 2 AND id - 2 FROM short ORDER BY id;
SELECT NOT 1 BETWEEN SYMMETRIC 2 AND 0, 1 BETWEEN SYMMETRIC 2 AND 0 = true;
SELECT true BETWEEN SYMMETRIC (1 BETWEEN SYMMETRIC 2 AND 0) AND false;
CREATE TABLE ranged (a int CHECK (a BETWEEN SYMMETRIC 10 AND 1));
INSERT INTO ranged VALUES (5);
INSERT INTO ranged VALUES (11);

-- VALUES with names
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(n, s) WHERE n > 1;
VALUES (1, 'a'), (2, NULL) ORDER BY 1 DESC;
SELECT * FROM (VALUES (1), (2.5), (NULL)) t ORDER BY 1;
SELECT x, x IN ((SELECT 1), 2), x NOT IN ((SELECT 1), (SELECT 3)), x IN ((SELECT NULL::int), 2) FROM generate_series(1, 3) x;
SELECT x FROM generate_series(1, 4) x WHERE x IN ((SELECT 1 UNION SELECT 1), (WITH w AS (SELECT 4 AS y) SELECT y FROM w));
SELECT x FROM generate_series(1, 4) x WHERE x IN ((SELECT 1)) OR x IN ((VALUES (2), (3)));
SELECT 1 IN ((SELECT 1 UNION SELECT 2), 3);
