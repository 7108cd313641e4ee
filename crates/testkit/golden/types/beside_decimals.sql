-- Decimals and whole numbers beside numbers of any size: a column stays what it is, the number moves.
CREATE TABLE decimals (k int PRIMARY KEY, small numeric(4, 2), wide numeric(38, 1), i2 smallint, i4 int, i8 bigint);
INSERT INTO decimals VALUES
    (1, 0, 0, 0, 0, 0), (2, 1.25, 1.3, 1, 1, 1), (3, -1.25, -1.3, -1, -1, -1), (4, 1.26, 1.2, 2, 2, 2),
    (5, 99.99, 9999999999999999999999999999999999999.9, 32767, 2147483647, 9223372036854775807),
    (6, -99.99, -9999999999999999999999999999999999999.9, -32768, -2147483648, -9223372036854775808),
    (7, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE numbers (n numeric);
INSERT INTO numbers VALUES (0), (1.250), (1.250001), (1.2499999999999999999999999), (-1.25), (-1.250001), (-1.2499), (0.004), (-0.004),
    (99.99), (99.995), (100), (-100), (32767.5), (-32768.5), (2147483646.5), (2147483647.1), (9223372036854775807.01),
    (-9223372036854775808.5), (1e37), (1e60), (-1e60), (1e-60), ('NaN'), ('Infinity'), ('-Infinity'), (NULL);
-- Row by row.
SELECT n, string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE small < n) AS less,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE small <= n) AS not_greater,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE small > n) AS greater,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE small >= n) AS not_less,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE small = n) AS equal,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE small <> n) AS other
FROM decimals, numbers GROUP BY n ORDER BY n;
SELECT n, string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE n > wide) AS less,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE n >= wide) AS not_greater,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE n < wide) AS greater,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE n <= wide) AS not_less
FROM decimals, numbers GROUP BY n ORDER BY n;
SELECT n, string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE i2 < n) AS less2,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE i4 <= n) AS not_greater4,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE i8 > n) AS greater8,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE n <= i8) AS not_less8,
    string_agg(k::text, ' ' ORDER BY k) FILTER (WHERE i4 BETWEEN n - 1 AND n + 1) AS near4
FROM decimals, numbers GROUP BY n ORDER BY n;
-- Beside the value of a subquery.
SELECT k, small FROM decimals WHERE small > (SELECT avg(small) FROM decimals) ORDER BY k;
SELECT k, i4 FROM decimals WHERE (SELECT avg(i4) FROM decimals) >= i4 ORDER BY k;
SELECT k, wide FROM decimals WHERE wide <= (SELECT max(n) FROM numbers WHERE n < 2) ORDER BY k;
SELECT k FROM decimals WHERE small < (SELECT n FROM numbers WHERE n > 1e70 AND n <> 'Infinity') ORDER BY k;
SELECT k FROM decimals WHERE small > (SELECT n FROM numbers WHERE n IS NULL) ORDER BY k;
SELECT k, small FROM decimals d
WHERE small > (SELECT avg(o.small) / 3 FROM decimals o WHERE o.i2 < d.i2) ORDER BY k;
SELECT i2 > 0 AS positive, count(*) FROM decimals GROUP BY 1 HAVING sum(small) > avg(i4) / 100000 ORDER BY 1;
-- Beside a parameter, by a key's order too.
CREATE INDEX ON decimals (small);
PREPARE above(numeric) AS SELECT k, small FROM decimals WHERE small > $1 ORDER BY small, k;
EXECUTE above(1.2500001);
EXECUTE above(1.2499999);
EXECUTE above(-1000);
EXECUTE above('-Infinity');
EXECUTE above('NaN');
EXECUTE above(1e50);
EXECUTE above(NULL);
PREPARE upto(numeric) AS SELECT k, small FROM decimals WHERE $1 >= small ORDER BY small DESC, k LIMIT 3;
EXECUTE upto(1.2500001);
EXECUTE upto(1.2499999);
EXECUTE upto('NaN');
EXECUTE upto(-99.9901);
PREPARE key_from(numeric) AS SELECT k FROM decimals WHERE k >= $1 ORDER BY k;
EXECUTE key_from(4.5);
EXECUTE key_from(2147483647.5);
UPDATE decimals SET small = small / 2 WHERE small >= (SELECT 1.2500000000000000001);
SELECT k, small FROM decimals ORDER BY k;
DELETE FROM decimals WHERE small < (SELECT avg(n) FROM numbers WHERE n BETWEEN -2 AND 2);
SELECT k FROM decimals ORDER BY k;
DROP TABLE decimals, numbers;
