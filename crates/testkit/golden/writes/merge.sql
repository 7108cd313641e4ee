-- MERGE.
CREATE TABLE mg_t (id int PRIMARY KEY, v int DEFAULT 7 CHECK (v < 1000), u text UNIQUE, g int GENERATED ALWAYS AS (v * 2) STORED);
CREATE TABLE mg_s (id int, n int);
INSERT INTO mg_t (id, v, u) VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');
INSERT INTO mg_s VALUES (1, 5), (2, NULL), (3, 0), (4, 40), (5, NULL);
MERGE INTO mg_t AS t USING mg_s AS s ON t.id = s.id WHEN MATCHED AND s.n IS NULL THEN DELETE WHEN MATCHED AND s.n > 0 THEN UPDATE SET v = t.v + s.n, u = 'x' || u WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED AND n IS NOT NULL THEN INSERT (id, v) VALUES (s.id, s.n) WHEN NOT MATCHED THEN DO NOTHING;
SELECT * FROM mg_t ORDER BY id;
MERGE INTO mg_t USING (SELECT id + 100 AS id FROM mg_s) AS s ON mg_t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id, DEFAULT, 'u' || s.id);
MERGE INTO mg_t USING (VALUES (101), (102)) AS s (id) ON mg_t.id = s.id WHEN MATCHED THEN DELETE;
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN MATCHED THEN UPDATE SET v = DEFAULT;
SELECT * FROM mg_t ORDER BY id;
WITH s AS (SELECT 103 AS id) MERGE INTO mg_t USING s ON mg_t.id = s.id WHEN MATCHED THEN UPDATE SET (v, u) = (1, NULL);
WITH w AS (INSERT INTO mg_s VALUES (9, 9) RETURNING *) MERGE INTO mg_t USING w ON mg_t.id = w.id WHEN NOT MATCHED THEN INSERT (id, v) VALUES (id, n);
SELECT id, v, u FROM mg_t ORDER BY id;
-- Keys that are given up in the same statement.
MERGE INTO mg_t USING (VALUES (1), (3)) AS s (id) ON mg_t.id = s.id WHEN MATCHED THEN UPDATE SET id = mg_t.id + 1000, u = 'm' || mg_t.id;
SELECT id, u FROM mg_t WHERE id > 1000 ORDER BY id;
-- Subqueries in conditions and values.
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN MATCHED AND mg_t.v > (SELECT min(n) FROM mg_s WHERE n > 0) THEN UPDATE SET v = (SELECT count(*) FROM mg_s) WHEN NOT MATCHED AND EXISTS (SELECT 1 FROM mg_t WHERE u = 'm1') THEN INSERT (id, v) VALUES (mg_s.id + 2000, (SELECT max(n) FROM mg_s));
SELECT id, v FROM mg_t ORDER BY id;
-- No target is written twice.
MERGE INTO mg_t USING (VALUES (9), (9)) AS s (id) ON mg_t.id = s.id WHEN MATCHED THEN UPDATE SET v = 1;
MERGE INTO mg_t USING (VALUES (9), (9)) AS s (id) ON mg_t.id = s.id WHEN MATCHED THEN DELETE;
MERGE INTO mg_t USING (VALUES (9), (9)) AS s (id) ON mg_t.id = s.id WHEN MATCHED THEN DO NOTHING;
MERGE INTO mg_t USING (VALUES (77), (77)) AS s (id) ON mg_t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id);
-- Constraints are those of the table.
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN MATCHED THEN UPDATE SET v = 5000;
MERGE INTO mg_t USING (SELECT NULL::int AS id) AS s ON mg_t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id);
MERGE INTO mg_t USING (SELECT 78 AS id) AS s ON mg_t.id = s.id WHEN NOT MATCHED THEN INSERT (id, u) VALUES (s.id, 'm1');
MERGE INTO mg_t USING (SELECT 78 AS id) AS s ON mg_t.id = s.id WHEN NOT MATCHED THEN INSERT (id, g) VALUES (s.id, 1);
CREATE TABLE mg_c (id int PRIMARY KEY, p int REFERENCES mg_t ON DELETE CASCADE);
INSERT INTO mg_c VALUES (1, 9), (2, 4);
MERGE INTO mg_c USING (VALUES (1, 12345)) AS s (id, p) ON mg_c.id = s.id WHEN MATCHED THEN UPDATE SET p = s.p;
MERGE INTO mg_t USING (VALUES (9)) AS s (id) ON mg_t.id = s.id WHEN MATCHED THEN DELETE;
SELECT * FROM mg_c;
-- Identity columns.
CREATE TABLE mg_i (id int GENERATED ALWAYS AS IDENTITY, v int);
MERGE INTO mg_i USING (VALUES (1)) AS s (v) ON false WHEN NOT MATCHED THEN INSERT (v) VALUES (s.v);
MERGE INTO mg_i USING (VALUES (1)) AS s (v) ON false WHEN NOT MATCHED THEN INSERT (id, v) VALUES (50, s.v);
MERGE INTO mg_i USING (VALUES (1)) AS s (v) ON false WHEN NOT MATCHED THEN INSERT (id, v) OVERRIDING SYSTEM VALUE VALUES (50, s.v);
MERGE INTO mg_i USING (VALUES (1)) AS s (v) ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES;
SELECT * FROM mg_i ORDER BY id;
PREPARE mg_p (int, int) AS MERGE INTO mg_t USING (SELECT $1 AS id) AS s ON mg_t.id = s.id WHEN MATCHED THEN UPDATE SET v = $2 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, $2);
EXECUTE mg_p (4, 44);
EXECUTE mg_p (5, 55);
SELECT id, v FROM mg_t WHERE id < 10 ORDER BY id;
-- Mistakes.
MERGE INTO mg_t USING mg_t ON true WHEN MATCHED THEN DELETE;
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN MATCHED THEN DELETE WHEN MATCHED THEN DO NOTHING;
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN NOT MATCHED THEN INSERT (id, v) VALUES (1);
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN NOT MATCHED THEN INSERT VALUES (1, 1, 'a', 1, 1);
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN NOT MATCHED THEN INSERT (nope) VALUES (1);
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN MATCHED THEN UPDATE SET nope = 1;
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.n || 'x' WHEN MATCHED THEN DELETE;
MERGE INTO nope USING mg_s ON true WHEN MATCHED THEN DELETE;
CREATE VIEW mg_v AS SELECT * FROM mg_s;
MERGE INTO mg_v USING mg_s ON mg_v.id = mg_s.id WHEN MATCHED THEN DELETE;
WITH RECURSIVE s AS (SELECT 1 AS id) MERGE INTO mg_t USING s ON mg_t.id = s.id WHEN MATCHED THEN DELETE;
BEGIN READ ONLY;
MERGE INTO mg_t USING mg_s ON mg_t.id = mg_s.id WHEN MATCHED THEN DELETE;
ROLLBACK;
MERGE INTO mg_t USING (VALUES (4), (5)) AS s (id) ON mg_t.id = s.id AND s.id > (SELECT min(id) FROM mg_s WHERE id > 3) WHEN MATCHED THEN UPDATE SET v = -5;
MERGE INTO mg_t USING (VALUES (4), (5)) AS s (id) ON mg_t.id = s.id AND EXISTS (SELECT 1 FROM mg_s WHERE mg_s.id = s.id AND n IS NULL) WHEN MATCHED THEN UPDATE SET v = v - 1 WHEN NOT MATCHED THEN DO NOTHING;
SELECT id, v FROM mg_t WHERE id < 10 ORDER BY id;
