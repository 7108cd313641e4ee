-- Window functions.
CREATE TABLE w (id int, g text, v int, d date, x numeric);

INSERT INTO w VALUES (1, 'a', 10, '2024-01-01', 1.5), (2, 'a', 20, '2024-01-02', 2.50), (3, 'a', 20, '2024-01-05', NULL), (4, 'b', 5, '2024-01-01', 0.1), (5, 'b', NULL, '2024-01-03', 7), (6, 'b', 15, '2024-01-04', 3);

SELECT id, row_number() OVER (ORDER BY v, id), rank() OVER (ORDER BY v), dense_rank() OVER (ORDER BY v), percent_rank() OVER (ORDER BY v), cume_dist() OVER (ORDER BY v), ntile(4) OVER (ORDER BY id) FROM w ORDER BY id;

SELECT id, lag(v) OVER w1, lead(v) OVER w1, lag(v, 2) OVER w1, lag(v, 1, -1) OVER w1, lead(v, 2, 0) OVER w1 FROM w WINDOW w1 AS (PARTITION BY g ORDER BY id) ORDER BY id;

SELECT id, first_value(v) OVER w1, last_value(v) OVER w1, nth_value(v, 2) OVER w1 FROM w WINDOW w1 AS (PARTITION BY g ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id;

SELECT id, sum(v) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), sum(v) OVER (ORDER BY id ROWS 2 PRECEDING), avg(v) OVER (PARTITION BY g), count(*) OVER () FROM w ORDER BY id;

SELECT id, sum(v) OVER (ORDER BY v RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING), count(*) OVER (ORDER BY v GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM w WHERE v IS NOT NULL ORDER BY id;

SELECT id, count(*) OVER (ORDER BY d RANGE BETWEEN '1 day' PRECEDING AND '1 day' FOLLOWING) FROM w ORDER BY id;

SELECT id, sum(v) OVER w2, sum(x) OVER (w1 ORDER BY id) FROM w WINDOW w1 AS (PARTITION BY g), w2 AS (w1 ORDER BY id DESC) ORDER BY id;

SELECT id, sum(v) FILTER (WHERE v > 5) OVER (ORDER BY id), string_agg(g, '') OVER (ORDER BY id), array_agg(v) OVER (PARTITION BY g ORDER BY id), max(d) OVER (PARTITION BY g) FROM w ORDER BY id;

SELECT g, sum(v), rank() OVER (ORDER BY sum(v) DESC), sum(sum(v)) OVER () FROM w GROUP BY g ORDER BY g;

SELECT id, v - lag(v) OVER (ORDER BY id) AS delta, round(100.0 * v / sum(v) OVER (), 2) AS pct FROM w ORDER BY id;

SELECT * FROM (SELECT id, g, row_number() OVER (PARTITION BY g ORDER BY v DESC NULLS LAST, id) AS rn FROM w) t WHERE rn = 1 ORDER BY id;

SELECT id, ntile(2) OVER (PARTITION BY g ORDER BY id), lag(x) OVER (ORDER BY id), lead(d, 1, '2000-01-01') OVER (ORDER BY id), first_value(g) OVER (ORDER BY id DESC) FROM w ORDER BY id;

SELECT row_number() FROM w;

SELECT sum(v) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING) FROM w;

SELECT id FROM w WHERE row_number() OVER () = 1;

SELECT nosuch(v) OVER () FROM w;

SELECT lower(g) OVER () FROM w;

SELECT ntile(0) OVER (ORDER BY id) FROM w;

SELECT count(DISTINCT v) OVER () FROM w;

SELECT id, stddev(v) OVER (PARTITION BY g), bool_and(v > 5) OVER (ORDER BY id), min(v) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), variance(x) OVER (ORDER BY id) FROM w ORDER BY id;

SELECT id, jsonb_agg(v) OVER (ORDER BY id ROWS 1 PRECEDING), json_object_agg(id, v) OVER (PARTITION BY g ORDER BY id) FROM w ORDER BY id;

DROP TABLE w;

SELECT a, sum(a) OVER (), sum(a::bigint) OVER (), sum(a::numeric) OVER (ORDER BY a) FROM (VALUES (1), (2)) t(a) ORDER BY a;
