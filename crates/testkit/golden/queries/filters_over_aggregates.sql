-- An aggregate of all rows gives a row even of none: conditions above it stay there.
CREATE TABLE f (id int PRIMARY KEY, b boolean, g int);
INSERT INTO f SELECT i, i > 3, i % 2 FROM generate_series(1, 10) i;
SELECT e FROM (SELECT every(b) AS e, 1 AS one FROM f) s WHERE one = 2;
SELECT e FROM (SELECT every(b) AS e, 1 AS one FROM f) s WHERE one = 1;
SELECT c FROM (SELECT count(*) AS c, 1 AS one FROM f) s WHERE one = 2 OR one IS NULL;
SELECT c FROM (SELECT count(*) AS c, 1 AS one FROM f) s WHERE one = 2 AND c > 3;
SELECT c FROM (SELECT count(*) AS c FROM f) s WHERE 1 = 2;
SELECT c FROM (SELECT count(*) AS c FROM f) s WHERE NULL::boolean;
SELECT c FROM (SELECT count(*) AS c, 'x' AS x FROM f WHERE g = 1) s JOIN f ON f.id = 1 WHERE s.x = 'y';
SELECT c, f.id FROM f LEFT JOIN (SELECT count(*) AS c, 'x' AS x FROM f) s ON s.x = 'y' WHERE f.id < 3 ORDER BY 2;
SELECT * FROM (SELECT g, count(*) AS c, 1 AS one FROM f GROUP BY ROLLUP (g)) s WHERE one = 2;
SELECT * FROM (SELECT g, count(*) AS c, 1 AS one FROM f GROUP BY CUBE (g)) s WHERE one = 1 AND g = 1;
SELECT count(*) FROM f HAVING 1 = 2;
SELECT x FROM (SELECT max(id) AS x, 3 AS three FROM f UNION ALL SELECT min(id), 4 FROM f) s WHERE three = 4;
SELECT (SELECT c FROM (SELECT count(*) AS c, 1 AS one FROM f) s WHERE one = 2) IS NULL;
SELECT EXISTS (SELECT 1 FROM (SELECT count(*) AS c, 1 AS one FROM f) s WHERE one = 2);
-- A scalar subquery of no row is NULL, whatever its column is.
SELECT (SELECT id FROM f WHERE id = 99) IS NULL, (SELECT id FROM f WHERE id = 9) IS NULL;
SELECT coalesce((SELECT id FROM f WHERE id = 99), -1), (SELECT id FROM f WHERE id = 99);
SELECT (SELECT count(*) FROM f HAVING count(*) > 20), (SELECT count(*) FROM f HAVING count(*) > 2);
SELECT (SELECT count(*) FROM f LIMIT 0) IS NULL, coalesce((SELECT 1 LIMIT 0), 2), (SELECT 7 WHERE false) IS NULL;
SELECT (SELECT x FROM (VALUES (1)) v(x) WHERE x = 2) IS NULL, (SELECT 3 OFFSET 1) IS NULL;
SELECT id, (SELECT i.id FROM f i WHERE i.id = f.id + 9) IS NULL FROM f WHERE id < 3 ORDER BY id;
SELECT id FROM f WHERE (SELECT id FROM f WHERE id = 99) IS NULL AND id < 3 ORDER BY id;
SELECT id FROM f WHERE NOT ((SELECT id FROM f WHERE id = 99) = id) OR id = 1;
UPDATE f SET g = coalesce((SELECT id FROM f WHERE id = 99), 5) WHERE id = 1 RETURNING g;
DROP TABLE f;
