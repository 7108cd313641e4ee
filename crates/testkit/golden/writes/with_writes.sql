-- Data-modifying WITH queries.
CREATE TABLE ww_t (id int PRIMARY KEY, v int, u int UNIQUE);
CREATE TABLE ww_log (id int, v int, at text DEFAULT 'now');
INSERT INTO ww_t SELECT g, g * 10, g FROM generate_series(1, 6) AS g;
WITH gone AS (DELETE FROM ww_t WHERE id <= 2 RETURNING *) SELECT * FROM gone ORDER BY id;
WITH gone AS (DELETE FROM ww_t WHERE id = 3 RETURNING id, v), logged AS (INSERT INTO ww_log (id, v) SELECT id, v + 1 FROM gone RETURNING *) SELECT l.id, l.v, l.at, g.v FROM logged AS l JOIN gone AS g USING (id);
-- No part sees what another one does.
WITH a AS (UPDATE ww_t SET v = 0 RETURNING id, v) SELECT t.id, t.v, a.v FROM ww_t AS t JOIN a ON a.id = t.id ORDER BY t.id;
WITH a AS (INSERT INTO ww_t VALUES (7, 70, 7) RETURNING *) SELECT count(*), (SELECT count(*) FROM a) FROM ww_t;
-- What nothing reads is done all the same, and to the end.
WITH a AS (INSERT INTO ww_log SELECT 100, 1 FROM generate_series(1, 3)), b AS (UPDATE ww_t SET v = v + 1 RETURNING id) SELECT 1 AS one FROM b LIMIT 1;
SELECT count(*) FROM ww_log;
SELECT id, v FROM ww_t ORDER BY id;
WITH a AS (DELETE FROM ww_log) INSERT INTO ww_log VALUES (1, 1) RETURNING id;
SELECT id, v FROM ww_log;
-- A row is written once, by the part that comes first.
WITH a AS (UPDATE ww_t SET v = 50 WHERE id = 4 RETURNING id), b AS (UPDATE ww_t SET v = 60 WHERE id IN (SELECT id FROM a) RETURNING id) SELECT count(*) FROM b;
WITH a AS (UPDATE ww_t SET u = 40 WHERE id = 4 RETURNING id) DELETE FROM ww_t USING a WHERE ww_t.id = a.id;
SELECT * FROM ww_t WHERE u = 40;
-- Moved under the same key.
WITH a AS (DELETE FROM ww_t WHERE id = 5 RETURNING *) INSERT INTO ww_t SELECT id, 55, u FROM a RETURNING *;
WITH a AS (DELETE FROM ww_t WHERE id = 6) INSERT INTO ww_t VALUES (6, 1, 66);
WITH a AS (INSERT INTO ww_t VALUES (8, 80, 8) RETURNING id) INSERT INTO ww_t SELECT 9, 90, 8 FROM a;
WITH a AS (INSERT INTO ww_t VALUES (8, 80, 8) RETURNING *) INSERT INTO ww_t SELECT id, 0, u FROM a ON CONFLICT (id) DO UPDATE SET v = 1;
SELECT * FROM ww_t ORDER BY id;
-- Plain and recursive queries beside them, names and aliases.
WITH RECURSIVE n (n) AS (SELECT 20 UNION ALL SELECT n + 1 FROM n WHERE n < 23), a (key, double) AS (INSERT INTO ww_t SELECT n, n * 2, n FROM n RETURNING id, v) SELECT * FROM a WHERE key > 20 ORDER BY key;
WITH x AS (SELECT max(id) AS most FROM ww_t), a AS (WITH y AS (SELECT most + 1 AS next FROM x) INSERT INTO ww_t SELECT next, 0, next FROM y RETURNING id) SELECT * FROM a, x;
WITH a AS (INSERT INTO ww_t VALUES (30, 1, 30) ON CONFLICT DO NOTHING RETURNING id) SELECT count(*) FROM a AS a1, a AS a2;
WITH a AS (UPDATE ww_t SET v = -1 WHERE id >= 20 RETURNING id) UPDATE ww_t SET v = -2 WHERE id < 20;
WITH a AS (DELETE FROM ww_t WHERE id >= 22 RETURNING id, v) DELETE FROM ww_t WHERE v = -2;
SELECT id, v FROM ww_t ORDER BY id;
WITH a AS (SELECT 1 AS id) INSERT INTO ww_t WITH b AS (SELECT id + 100 AS id FROM a) SELECT id, 0, id FROM b RETURNING id;
-- Foreign keys hold when all is done.
CREATE TABLE ww_p (id int PRIMARY KEY);
CREATE TABLE ww_c (id serial PRIMARY KEY, p int NOT NULL REFERENCES ww_p ON DELETE CASCADE);
WITH p AS (INSERT INTO ww_p VALUES (1), (2) RETURNING id) INSERT INTO ww_c (p) SELECT id FROM p RETURNING p;
WITH p AS (INSERT INTO ww_p VALUES (3)) INSERT INTO ww_c (p) VALUES (3);
WITH c AS (INSERT INTO ww_c (p) VALUES (4)) INSERT INTO ww_p VALUES (4);
WITH c AS (INSERT INTO ww_c (p) VALUES (5)) INSERT INTO ww_p VALUES (6);
WITH p AS (DELETE FROM ww_p WHERE id < 3) SELECT count(*) FROM ww_c;
SELECT p FROM ww_c ORDER BY p;
-- In PREPARE, COPY and a transaction that is rolled back.
PREPARE ww_move (int, int) AS WITH a AS (UPDATE ww_t SET v = $2 WHERE id = $1 RETURNING *) SELECT id, v FROM a;
EXECUTE ww_move (20, 7);
EXECUTE ww_move (21, 8);
DEALLOCATE ww_move;
BEGIN;
WITH a AS (DELETE FROM ww_t RETURNING id) SELECT count(*) FROM a;
ROLLBACK;
SELECT count(*) FROM ww_t;
-- Where they may not stand.
SELECT * FROM (WITH x AS (DELETE FROM ww_t RETURNING *) SELECT * FROM x) AS s;
INSERT INTO ww_t WITH x AS (DELETE FROM ww_t RETURNING *) SELECT * FROM x;
WITH x AS (DELETE FROM ww_t) SELECT * FROM x;
WITH RECURSIVE x AS (INSERT INTO ww_t SELECT * FROM x RETURNING *) SELECT * FROM x;
WITH x AS (MERGE INTO ww_t USING ww_p ON true WHEN MATCHED THEN DELETE) SELECT 1;
CREATE VIEW ww_v AS WITH x AS (DELETE FROM ww_t RETURNING *) SELECT * FROM x;
BEGIN;
DECLARE ww_cursor CURSOR FOR WITH x AS (DELETE FROM ww_t RETURNING *) SELECT * FROM x;
ROLLBACK;
BEGIN READ ONLY;
WITH x AS (DELETE FROM ww_t RETURNING *) SELECT * FROM x;
ROLLBACK;
WITH x AS (DELETE FROM ww_t RETURNING *), x AS (SELECT 1) SELECT * FROM x;
WITH x AS (INSERT INTO ww_t VALUES (1, 1, 1), (1, 2, 2)) SELECT 1;
CREATE TABLE ww_made AS WITH x AS (DELETE FROM ww_t WHERE id < 10 RETURNING id, v) SELECT id, v + 1 AS next FROM x;
SELECT * FROM ww_made ORDER BY id;
