-- Mathematical functions and facts of the system.
SELECT abs(-5), ceil(1.2), ceiling(-1.2), floor(-1.2), round(2.5), round(-2.5), round(1.2345, 2), round(1234.5, -2), trunc(1.99), trunc(1.299, 2), sign(-3), sign(0.0), mod(7, 3), mod(-7.5, 2), div(7, 2), div(-7.5, 2), gcd(12, 18), lcm(4, 6), factorial(10), power(2, 10), power(2.0, 0.5), sqrt(2), sqrt(2.0), cbrt(8), exp(1), exp(1.0), ln(2.718281828), log(100), log(2, 8), log10(1000);

SELECT pi(), degrees(pi()), radians(180), sin(1), cos(1), tan(1), cot(1), asin(1), acos(1), atan(1), atan2(1, 2), sinh(1), cosh(1), tanh(1), asinh(1), acosh(2), atanh(0.5), sind(30), cosd(60), tand(45), cotd(45), asind(0.5), acosd(0.5), atand(1), atan2d(1, 1);

SELECT width_bucket(5.35, 0.024, 10.06, 5), width_bucket(5, 0, 10, 5), width_bucket(11, 0, 10, 5), width_bucket(now(), array['yesterday', 'today', 'tomorrow']::timestamptz[]), width_bucket(3, array[1, 2, 5]);

SELECT scale(8.4100), min_scale(8.4100), trim_scale(8.4100), 5 / 2, 5.0 / 2, 5 % 3, 2 ^ 3, |/ 25, ||/ 8, @ -5, 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 4, 16 >> 2, -7 / 2, -7 % 3;

SELECT 10 / 0;

SELECT sqrt(-1);

SELECT ln(0);

SELECT factorial(-1);

SELECT power(0, -1);

SELECT acos(2);

SELECT 2147483647 + 1;

SELECT random() BETWEEN 0 AND 1, pg_typeof(random());

SELECT erf IS NULL FROM (SELECT NULL AS erf) t;

SELECT round(1.5::float8), round(2.5::float8), trunc(-1.5::float8), ceil(1.5::float8), floor(1.5::float8), round(0.5::float8), 1e300::float8 * 10, 'NaN'::float8 = 'NaN'::float8;

SELECT 1e300::float8 * 1e300;

SELECT 'NaN'::numeric, 'NaN'::numeric = 'NaN', 'NaN'::numeric > 1e100;

SELECT bool_and, to_hex(10::bigint) FROM (SELECT true AS bool_and) t;

-- System.
SELECT current_schema, current_user = session_user, current_schema(), pg_typeof(current_user);

SELECT pg_typeof(1), pg_typeof('x'), pg_typeof(1.5), pg_typeof(NULL), pg_typeof(now()), pg_typeof(array[1]);

SELECT pg_sleep(0.01), pg_backend_pid() > 0;

SELECT pg_size_pretty(1024::bigint), pg_size_pretty(10240::bigint), pg_size_pretty(123456789::bigint), pg_size_pretty(1.5e15::numeric), pg_size_bytes('1 GB'), pg_size_bytes('1.5kB'), pg_size_bytes('12');

SELECT pg_size_bytes('x');

SELECT format_type(23, NULL), format_type(1043, 14), format_type(1700, 655366), format_type(1009, NULL), format_type(0, NULL), format_type(3802, -1);

SELECT pg_postmaster_start_time() <= now(), pg_is_in_recovery(), pg_conf_load_time() <= clock_timestamp();

SELECT current_setting('server_version_num')::int > 0, current_setting('nosuch.setting', true);

SELECT current_setting('nosuch');

SELECT pg_client_encoding(), getdatabaseencoding(), pg_encoding_to_char(6), pg_char_to_encoding('UTF8');

SELECT length(gen_random_uuid()::text), gen_random_uuid() <> gen_random_uuid(), pg_typeof(gen_random_uuid());

SELECT pg_table_size('pg_class') IS NOT NULL, pg_relation_size('pg_class') >= 0, pg_total_relation_size('pg_class') >= 0, pg_database_size(current_database()) > 0, pg_indexes_size('pg_class') >= 0;

SELECT pg_get_userbyid(10), pg_table_is_visible('pg_class'::regclass), pg_type_is_visible(23), has_table_privilege('pg_class', 'select');

SELECT pg_advisory_lock(1), pg_try_advisory_lock(2), pg_advisory_unlock(1), pg_advisory_unlock(2);

SELECT row(1, 'x'), row(1, NULL, 'a b'), (1, 2);

SELECT count(*) FROM (SELECT generate_series(1, 10)) t;

SELECT numeric '1.50', int4 '5', text 'abc', float8 '1.5', bool 't', bytea '\x01';

SELECT cast(1.5 AS int), cast('5' AS int), 5::text, '1'::bool, 1::bool, true::int, 't'::text::bool, 1.5::int, 2.5::int, -1.5::int;

SELECT int4(5.7), text(5), date('2024-01-01'), bool('t');