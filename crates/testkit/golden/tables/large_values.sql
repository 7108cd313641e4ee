-- Values that are kept out of line behave like all others
CREATE TABLE doc (id int PRIMARY KEY, v int, body text, raw bytea, j jsonb, list text[]);
INSERT INTO doc VALUES
  (1, 1, repeat('ä€', 30000), decode(repeat('00ff10', 40000), 'hex'), to_jsonb(repeat('x', 50000)), ARRAY[repeat('y', 40000), NULL]),
  (2, 2, 'short', '\x00', '{"a": 1}', '{a,b}'),
  (3, 3, repeat('a', 100000) || 'needle', '', NULL, NULL),
  (4, 4, repeat('a', 100000) || 'z', NULL, jsonb_build_object('k', repeat('v', 60000)), NULL),
  (5, 5, NULL, NULL, NULL, NULL);
SELECT id, v, length(body) AS n, octet_length(body) AS o, md5(body) AS h, length(raw) AS r, md5(raw) AS hr, length(j::text) AS nj, array_length(list, 1) AS l, length(list[1]) AS l1 FROM doc ORDER BY id;
CHECKPOINT;
SELECT id, md5(body) AS h, md5(raw) AS hr, md5(j::text) AS hj, md5(list::text) AS hl FROM doc ORDER BY id;
-- By key
PREPARE one(int) AS SELECT id, right(body, 8) AS tail, left(body, 3) AS head FROM doc WHERE id = $1;
EXECUTE one(1);
EXECUTE one(3);
EXECUTE one(5);
-- Something else changes
UPDATE doc SET v = v + 10 RETURNING id, v, length(body) AS n, length(raw) AS r;
UPDATE doc SET id = id + 100 WHERE id < 3 RETURNING id, length(body) AS n;
SELECT id, v, md5(body) AS h, md5(raw) AS hr, md5(j::text) AS hj, md5(list::text) AS hl FROM doc ORDER BY id;
-- The value changes
UPDATE doc SET body = body || '!' WHERE id = 3 RETURNING right(body, 7) AS tail, length(body) AS n;
UPDATE doc SET body = 'now short' WHERE id = 4 RETURNING body;
UPDATE doc SET j = jsonb_set(j, '{a}', to_jsonb(repeat('w', 70000))) WHERE id = 102 RETURNING length(j ->> 'a') AS n;
-- What conditions see
SELECT id FROM doc WHERE body LIKE '%needle%' ORDER BY id;
SELECT id FROM doc WHERE body = repeat('a', 100000) || 'needle!' ORDER BY id;
SELECT id FROM doc WHERE body > repeat('a', 100000) ORDER BY id;
SELECT id FROM doc WHERE body > 'b' ORDER BY id;
SELECT id FROM doc WHERE body <> 'short' ORDER BY id;
SELECT id FROM doc WHERE length(body) > 50000 ORDER BY id;
SELECT id FROM doc WHERE body LIKE repeat('a', 200) || '%' ORDER BY id;
SELECT id FROM doc WHERE body IN ('short', repeat('ä€', 30000)) ORDER BY id;
SELECT count(*) FROM doc WHERE body IS NULL;
SELECT id FROM doc ORDER BY body NULLS FIRST, id;
SELECT count(DISTINCT body) AS n, max(length(body)) AS m, length(string_agg(body, '' ORDER BY id)) AS s FROM doc;
SELECT a.id, b.id AS other FROM doc a JOIN doc b ON a.body = b.body ORDER BY 1;
-- Transactions and savepoints
BEGIN;
UPDATE doc SET body = repeat('q', 90000) WHERE id = 101;
SAVEPOINT s;
DELETE FROM doc WHERE id = 101;
INSERT INTO doc (id, body) VALUES (9, repeat('r', 80000));
SELECT id, left(body, 1) AS b, length(body) AS n FROM doc WHERE id IN (9, 101) ORDER BY id;
ROLLBACK TO s;
SELECT id, left(body, 1) AS b, length(body) AS n FROM doc WHERE id IN (9, 101) ORDER BY id;
ROLLBACK;
SELECT id, left(body, 1) AS b, length(body) AS n FROM doc WHERE id IN (9, 101) ORDER BY id;
INSERT INTO doc (id, body) VALUES (101, repeat('u', 45000)) ON CONFLICT (id) DO UPDATE SET body = excluded.body || doc.body RETURNING id, length(body) AS n;
-- A cursor reads what was there
BEGIN;
DECLARE c CURSOR FOR SELECT id, md5(body) AS h FROM doc ORDER BY id;
FETCH 1 FROM c;
UPDATE doc SET body = repeat('late', 20000);
DELETE FROM doc WHERE id = 101;
FETCH ALL FROM c;
COMMIT;
SELECT id, length(body) AS n FROM doc ORDER BY id;
-- Other tables
CREATE TABLE copy AS SELECT * FROM doc;
UPDATE copy SET body = body || body WHERE id = 3;
SELECT d.id, length(d.body) AS n, length(c.body) AS m FROM doc d JOIN copy c USING (id) ORDER BY 1;
ALTER TABLE copy ADD COLUMN more text DEFAULT 'none';
UPDATE copy SET more = repeat('m', 33000) WHERE id = 4;
ALTER TABLE copy ALTER COLUMN body TYPE varchar(200000);
SELECT id, length(body) AS n, length(more) AS m FROM copy ORDER BY id;
CREATE INDEX copy_md5 ON copy (md5(body));
SELECT id FROM copy WHERE md5(body) = md5(repeat('late', 40000)) ORDER BY id;
DELETE FROM copy WHERE id = 3 RETURNING length(body) AS n;
TRUNCATE copy;
SELECT count(*) FROM copy;
DROP TABLE copy;
-- A value that looks like one kept out of line, but is not
CREATE TABLE odd (id int PRIMARY KEY, raw bytea);
INSERT INTO odd VALUES (1, decode(repeat('01', 128), 'hex') || '\000large value\000'::bytea || '0000000000000001000000010000000000000040'::bytea);
INSERT INTO odd VALUES (2, decode(repeat('02', 50000), 'hex'));
SELECT id, length(raw) AS n, md5(raw) AS h FROM odd ORDER BY id;
UPDATE odd SET id = id + 10;
SELECT id, length(raw) AS n, md5(raw) AS h FROM odd WHERE id = 11;
DROP TABLE odd, doc;
