-- Subqueries in FROM that use the items before them.
CREATE TABLE team (id int PRIMARY KEY, name text, size int);
CREATE TABLE game (id int PRIMARY KEY, team int, points int, played date);
INSERT INTO team VALUES (1, 'Ants', 2), (2, 'Bees', 1), (3, 'Cats', 5), (4, NULL, NULL), (5, NULL, NULL);
INSERT INTO game VALUES (1, 1, 10, '2024-01-01'), (2, 1, 30, '2024-01-02'), (3, 1, 20, '2024-01-03'),
  (4, 2, 5, '2024-01-01'), (5, 2, 7, '2024-02-01'), (6, NULL, 1, '2024-03-01'), (7, 9, 2, '2024-03-02');

-- The best games of each.
SELECT t.name, g.id, g.points FROM team t, LATERAL (SELECT * FROM game WHERE team = t.id ORDER BY points DESC LIMIT 2) g ORDER BY t.id, g.points DESC;
SELECT t.name, g.id FROM team t CROSS JOIN LATERAL (SELECT id FROM game WHERE team = t.id ORDER BY played DESC LIMIT 1) g ORDER BY 2;
SELECT t.id, g.points FROM team t LEFT JOIN LATERAL (SELECT points FROM game WHERE team = t.id ORDER BY points LIMIT 1) g ON true ORDER BY 1;
SELECT t.id, g.points FROM team t LEFT JOIN LATERAL (SELECT points FROM game WHERE team = t.id) g ON g.points > 10 ORDER BY 1, 2;
SELECT t.id, g.points FROM team t JOIN LATERAL (SELECT points FROM game WHERE team = t.id) g ON g.points > t.id * 5 ORDER BY 1, 2;
SELECT t.id, g.id FROM team t INNER JOIN LATERAL (SELECT id FROM game WHERE team = t.id OFFSET 1) g ON true ORDER BY 1, 2;

-- An aggregate has a row for every team, GROUP BY for those with games.
SELECT t.id, a.* FROM team t, LATERAL (SELECT count(*), sum(points), max(points) AS best FROM game WHERE team = t.id) a ORDER BY 1;
SELECT t.id, a.* FROM team t, LATERAL (SELECT played, count(*) FROM game WHERE team = t.id GROUP BY played HAVING count(*) > 0) a ORDER BY 1, 2;
SELECT t.id, a.n FROM team t LEFT JOIN LATERAL (SELECT count(*) AS n FROM game WHERE points > t.size) a ON a.n > 3 ORDER BY 1;

-- NULLs are values like others, and duplicates stay.
SELECT t.id, x.s FROM team t, LATERAL (SELECT t.size AS s) x ORDER BY 1;
SELECT t.id, x.s FROM team t, LATERAL (SELECT coalesce(t.size, -1) AS s, t.name) x ORDER BY 1;
SELECT count(*) FROM (VALUES (1), (1), (NULL), (NULL)) v(a), LATERAL (SELECT v.a) x;
SELECT v.a, x.b FROM (VALUES (1), (1), (2)) v(a), LATERAL (SELECT points AS b FROM game WHERE team = v.a) x ORDER BY 1, 2;

-- Values computed once and used again.
SELECT id, half, double FROM team, LATERAL (SELECT size / 2.0 AS half) a, LATERAL (SELECT half * 4 AS double) b WHERE size IS NOT NULL ORDER BY 1;
SELECT s.id, v.* FROM team s, LATERAL (VALUES ('name', s.name), ('size', s.size::text)) v(key, value) ORDER BY 1, 2;
SELECT t.id, x.n FROM team t, LATERAL (SELECT n FROM generate_series(1, t.size) n) x ORDER BY 1, 2;
SELECT t.id, x.n FROM team t, LATERAL (SELECT n FROM unnest(ARRAY[t.id, t.size]) n WHERE n > 2) x ORDER BY 1, 2;
SELECT t.id, x.k FROM team t, LATERAL (SELECT t.id AS k UNION ALL SELECT t.size) x ORDER BY 1, 2;
SELECT t.id, x.k FROM team t, LATERAL (SELECT t.id AS k UNION SELECT points FROM game WHERE team = t.id) x ORDER BY 1, 2;
SELECT t.id, x.* FROM team t, LATERAL (SELECT points, rank() OVER (ORDER BY points DESC) FROM game WHERE team = t.id) x ORDER BY 1, 3;
SELECT t.id, x.* FROM team t, LATERAL (SELECT DISTINCT points > 8 AS high FROM game WHERE team = t.id) x ORDER BY 1, 2;
SELECT t.id, x.* FROM team t, LATERAL (WITH w AS (SELECT points FROM game WHERE team = t.id) SELECT sum(points) FROM w) x ORDER BY 1;

-- More than one, nested, beside joins.
SELECT t.id, g.id, h.id FROM team t, LATERAL (SELECT * FROM game WHERE team = t.id) g, LATERAL (SELECT * FROM game WHERE points < g.points AND team = t.id) h ORDER BY 1, 2, 3;
SELECT t.id, x.id, x.more FROM team t, LATERAL (SELECT g.id, y.more FROM game g, LATERAL (SELECT g.points + 1 AS more) y WHERE g.team = t.id) x ORDER BY 1, 2;
SELECT t.id, o.id, g.points FROM team t, team o JOIN LATERAL (SELECT points FROM game WHERE team = o.id AND points > t.id * 5) g ON true ORDER BY 1, 2, 3;
SELECT t.id, g.points, o.name FROM team t, LATERAL (SELECT * FROM game WHERE team = t.id) g JOIN team o ON o.id = g.team ORDER BY 1, 2;
SELECT t.id, g.points, o.name FROM team t, LATERAL (SELECT * FROM game WHERE team = t.id) g LEFT JOIN team o ON o.id = g.points ORDER BY 1, 2;
SELECT t.id FROM team t WHERE EXISTS (SELECT 1 FROM game g, LATERAL (SELECT g.points * 2 AS p) x WHERE x.p > 50 AND g.team = t.id) ORDER BY 1;
SELECT t.id, (SELECT sum(x.p) FROM game g, LATERAL (SELECT g.points * 2 AS p) x WHERE g.team = t.id) FROM team t ORDER BY 1;
SELECT t.id, (SELECT count(*) FROM game g LEFT JOIN LATERAL (SELECT g.team AS p) x ON true WHERE g.team IS NOT DISTINCT FROM t.size) FROM team t ORDER BY 1;
SELECT t.id, x.n FROM team t, LATERAL (SELECT count(*) AS n FROM game g WHERE g.team = t.id AND EXISTS (SELECT 1 FROM game o WHERE o.team = t.id AND o.points > g.points)) x ORDER BY 1;
SELECT x.n, count(*) FROM team t, LATERAL (SELECT count(*) AS n FROM game WHERE team = t.id) x GROUP BY x.n ORDER BY 1;

-- LATERAL that uses nothing is a subquery like any other.
SELECT t.id, x.n FROM team t, LATERAL (SELECT count(*) AS n FROM game) x ORDER BY 1;
SELECT x.n FROM LATERAL (SELECT 1 AS n) x;
SELECT t.id, x.n FROM team t RIGHT JOIN LATERAL (SELECT 3 AS n) x ON x.n = t.id;

-- In views and in what writes.
CREATE VIEW best AS SELECT t.id, g.points FROM team t LEFT JOIN LATERAL (SELECT points FROM game WHERE team = t.id ORDER BY points DESC LIMIT 1) g ON true;
SELECT * FROM best ORDER BY id;
CREATE TABLE copied AS SELECT * FROM team t, LATERAL (SELECT points FROM game WHERE team = t.id) g;
SELECT count(*) FROM copied;
UPDATE team SET size = g.points FROM game o, LATERAL (SELECT max(points) AS points FROM game WHERE team = o.team) g WHERE o.team = team.id;
SELECT * FROM team ORDER BY id;
DELETE FROM team USING game o, LATERAL (SELECT o.team AS gone WHERE o.points = 7) g WHERE g.gone = team.id;
SELECT id FROM team ORDER BY id;

-- What cannot be.
SELECT * FROM LATERAL (SELECT t.id) x, team t;
SELECT * FROM team t, LATERAL (SELECT nothing FROM game) x;
