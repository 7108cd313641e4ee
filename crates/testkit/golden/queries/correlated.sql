-- Subqueries that look outside, in shapes that become no joins: run once for each combination of outer values.
CREATE TABLE part (id int PRIMARY KEY, parent int, name text);
INSERT INTO part VALUES (1, NULL, 'bike'), (2, 1, 'wheel'), (3, 2, 'spoke'), (4, 1, 'frame'), (5, NULL, 'bell');
SELECT id, (WITH RECURSIVE below(id) AS (SELECT p.id UNION ALL SELECT c.id FROM part c, below b WHERE c.parent = b.id) SELECT count(*) FROM below) AS n FROM part p ORDER BY id;
SELECT id, (WITH RECURSIVE up(id, parent, depth) AS (SELECT q.id, q.parent, 0 FROM part q WHERE q.id = p.id UNION ALL SELECT q.id, q.parent, up.depth + 1 FROM part q, up WHERE q.id = up.parent) SELECT id FROM up ORDER BY depth DESC LIMIT 1) AS root FROM part p ORDER BY id;
SELECT id, (SELECT count(*) FROM (SELECT id FROM part WHERE id > p.id) a FULL JOIN (SELECT id FROM part WHERE id < p.id) b ON a.id = b.id) AS others FROM part p ORDER BY id;
SELECT id, (SELECT max(r) FROM (SELECT rank() OVER (ORDER BY q.name) AS r FROM part q WHERE q.id <= p.id) s) AS ranks FROM part p ORDER BY id;
SELECT id FROM part p WHERE EXISTS (SELECT 1 FROM (SELECT q.id, row_number() OVER (ORDER BY q.id) AS n FROM part q WHERE q.parent = p.id) s WHERE s.n = 2) ORDER BY id;
SELECT id, (SELECT string_agg(name, ',') FROM (SELECT name FROM part q WHERE q.parent = p.id INTERSECT SELECT name FROM part r WHERE r.id <> p.id + 1) s) FROM part p ORDER BY id;
SELECT id, CASE WHEN parent IS NULL THEN (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < p.id) SELECT sum(i) FROM n) END AS s FROM part p ORDER BY id;
SELECT id, CASE WHEN id > 2 THEN (WITH RECURSIVE n(i) AS (SELECT 10 / (p.id - 2) UNION ALL SELECT i - 1 FROM n WHERE i > 1) SELECT count(*) FROM n) END AS s FROM part p ORDER BY id;
