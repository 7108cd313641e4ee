-- Indexes over floats: one zero, one NaN that is larger than everything.
CREATE TABLE f (id int PRIMARY KEY, x float8, y real);
CREATE INDEX f_x ON f (x);
CREATE INDEX f_y ON f (y DESC, x);
INSERT INTO f SELECT i, (i % 50) / 4.0, i % 7 FROM generate_series(1, 500) i;
INSERT INTO f VALUES (501, '-0', 0), (502, 'NaN', '-Infinity'), (503, 'Infinity', 'NaN'), (504, NULL, NULL);
SELECT id FROM f WHERE x = 0 AND id > 400 ORDER BY id;
SELECT id FROM f WHERE x = 'NaN';
SELECT id FROM f WHERE x > 1e10 ORDER BY id;
SELECT count(*) FROM f WHERE x BETWEEN 1 AND 2;
SELECT id, x FROM f ORDER BY x DESC NULLS LAST, id LIMIT 3;
SELECT id, y FROM f ORDER BY y, x, id LIMIT 2;
SELECT id FROM f WHERE y = 3 AND x = 12.25 ORDER BY id;
UPDATE f SET x = -x WHERE id = 501;
SELECT id FROM f WHERE x = 0 AND id > 495 ORDER BY id;
DELETE FROM f WHERE x = 'NaN' OR x = 'Infinity';
SELECT count(*) FROM f WHERE x >= 12;
CREATE UNIQUE INDEX f_u ON f (x) WHERE id > 500;
INSERT INTO f VALUES (505, 0);
INSERT INTO f VALUES (506, 'NaN');
INSERT INTO f VALUES (507, 'NaN');
-- One column under two names of the planner's.
SELECT id::numeric, id FROM f WHERE id < 3 GROUP BY id::numeric, id ORDER BY 2;
SELECT id::bigint, id, count(*) FROM f WHERE id < 3 GROUP BY 1, 2 ORDER BY 2;
DROP TABLE f;
