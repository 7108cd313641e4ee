-- Aggregates.
CREATE TABLE ag (g text, n int, x numeric, f float8, b bool, s text);

INSERT INTO ag VALUES ('a', 1, 1.5, 0.5, true, 'x'), ('a', 2, 2.50, 1.5, false, 'y'), ('a', 2, NULL, 2.5, true, NULL), ('b', 5, 10, NULL, NULL, 'x'), ('b', NULL, 20.25, 4, true, 'z');

SELECT count(*), count(n), count(DISTINCT n), sum(n), avg(n), min(x), max(x), sum(x), avg(x), sum(f), avg(f) FROM ag;

SELECT g, bool_and(b), bool_or(b), every(b), bit_and(n), bit_or(n), bit_xor(n), string_agg(s, ',' ORDER BY s), array_agg(n ORDER BY n) FROM ag GROUP BY g ORDER BY g;

SELECT stddev(n), stddev_pop(n), stddev_samp(n), variance(n), var_pop(n), var_samp(n) FROM ag;

SELECT stddev(f), var_pop(f), stddev(x), var_samp(x) FROM ag;

SELECT round(corr(f, n)::numeric, 10), covar_pop(f, n), round(covar_samp(f, n)::numeric, 10), regr_avgx(f, n), regr_avgy(f, n), regr_count(f, n), round(regr_intercept(f, n)::numeric, 10), round(regr_r2(f, n)::numeric, 10), round(regr_slope(f, n)::numeric, 10), round(regr_sxx(f, n)::numeric, 10), round(regr_sxy(f, n)::numeric, 10), round(regr_syy(f, n)::numeric, 10) FROM ag;

SELECT mode() WITHIN GROUP (ORDER BY n), mode() WITHIN GROUP (ORDER BY s DESC) FROM ag;

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n), percentile_disc(0.5) WITHIN GROUP (ORDER BY n), percentile_cont(0.25) WITHIN GROUP (ORDER BY f), percentile_disc(0.9) WITHIN GROUP (ORDER BY s), percentile_cont(0.5) WITHIN GROUP (ORDER BY n DESC) FROM ag;

SELECT percentile_cont(array[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY f), percentile_disc(array[0.25, 1]) WITHIN GROUP (ORDER BY n) FROM ag;

SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY i) FROM (VALUES ('1 day'::interval), ('2 days')) t(i);

SELECT percentile_cont(1.5) WITHIN GROUP (ORDER BY n) FROM ag;

SELECT g, percentile_cont(0.5) WITHIN GROUP (ORDER BY n) AS median FROM ag GROUP BY g ORDER BY g;

SELECT count(*) FILTER (WHERE n > 1), sum(n) FILTER (WHERE b), string_agg(s, '-') FILTER (WHERE s <> 'x') FROM ag;

SELECT sum(DISTINCT n), avg(DISTINCT n), count(DISTINCT s), array_agg(DISTINCT n), array_agg(DISTINCT s ORDER BY s DESC) FROM ag;

SELECT string_agg(DISTINCT g || n, ',' ORDER BY g || n) FROM ag;

SELECT sum(n), count(n), max(s), bool_or(b), array_agg(n), string_agg(s, ',') FROM ag WHERE false;

SELECT g, sum(n) FROM ag GROUP BY ROLLUP (g) ORDER BY g NULLS LAST;

SELECT g, b, count(*), grouping(g), grouping(g, b) FROM ag GROUP BY CUBE (g, b) ORDER BY g NULLS LAST, b NULLS LAST;

SELECT g FROM ag GROUP BY g HAVING sum(n) > 4 ORDER BY g;

SELECT sum(s) FROM ag;

SELECT percentile_cont(0.5) FROM ag;

SELECT max(g) OVER (), sum(n) WITHIN GROUP (ORDER BY n) FROM ag;

SELECT any_value(g) FROM ag;

SELECT min(n + 1), max(-n), sum(n * 2), avg(x / 2) FROM ag;

SELECT max(array[n]), min(s), max(s COLLATE "C") FROM ag WHERE n IS NOT NULL;

SELECT bit_and(n), range_agg IS NULL FROM ag, (SELECT NULL AS range_agg) t GROUP BY 2;

SELECT sum(n::bigint), sum(n::smallint), sum(f::real), avg(n::bigint), avg(f::real), pg_typeof(sum(n)), pg_typeof(sum(n::bigint)), pg_typeof(avg(n)), pg_typeof(avg(f::real)), pg_typeof(sum(f::real)) FROM ag;

DROP TABLE ag;
