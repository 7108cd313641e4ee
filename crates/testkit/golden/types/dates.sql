-- Dates, times, intervals and their formats.
SELECT age('2001-04-10'::timestamp, '1957-06-13'::timestamp), age('2024-03-01'::date, '2024-02-29'::date), age('2020-01-01'::timestamptz, '2019-12-31'::timestamptz);

SELECT date_part('year', '2024-02-29'::date), date_part('epoch', '2024-02-29 12:00'::timestamp), date_part('hour', '3 days 04:05'::interval), date_part('dow', '2024-02-29'::date);

SELECT f, date_part(f, '2024-02-29 13:14:15.678'::timestamp) FROM (VALUES ('year'), ('MONTH'), ('week'), ('isodow'), ('microseconds')) t(f);

SELECT extract(century from '2024-02-29'::date), extract(decade from '2024-02-29'::date), extract(millennium from '2024-02-29'::date), extract(quarter from '2024-02-29'::date), extract(doy from '2024-02-29'::date), extract(isoyear from '2024-12-30'::date), extract(week from '2024-12-30'::date), extract(julian from '2024-02-29'::date), extract(epoch from '1 day 2 hours'::interval), extract(milliseconds from '12:00:01.5'::time), extract(second from '2024-01-01 00:00:01.25'::timestamp);

SELECT extract(timezone from '2024-02-29 12:00:00+00'::timestamptz), extract(timezone_hour from '2024-02-29 12:00:00+00'::timestamptz), extract(timezone_minute from now());

SELECT extract(nope from now());

SELECT extract(hour from '2024-02-29'::date);

SELECT date_trunc('month', '2024-02-29 13:14'::timestamp), date_trunc('week', '2024-02-29'::date), date_trunc('quarter', '2024-05-29'::timestamp), date_trunc('hour', '3 days 04:05:06'::interval), date_trunc('day', '2024-02-29 23:30:00+00'::timestamptz, 'Asia/Tokyo');

SELECT date_trunc('nope', now());

SELECT date_bin('15 minutes', '2020-02-11 15:44:17'::timestamp, '2001-01-01'::timestamp), date_bin('1 day', '2020-02-11 15:44:17+00'::timestamptz, '2001-01-01 12:00+00'::timestamptz);

SELECT date_bin('1 month', '2020-02-11'::timestamp, '2001-01-01'::timestamp);

SELECT make_date(2024, 2, 29), make_date(-44, 3, 15), make_time(8, 15, 23.5), make_timestamp(2024, 2, 29, 8, 15, 23.5), make_timestamptz(2024, 2, 29, 8, 15, 23.5), make_timestamptz(2024, 2, 29, 8, 15, 23.5, 'Europe/Berlin'), make_interval(1, 2, 3, 4, 5, 6, 7.5), make_interval(days => 10, hours => 2);

SELECT make_date(2023, 2, 29);

SELECT to_timestamp(1284352323), to_timestamp(1284352323.5), to_timestamp('05 Dec 2000', 'DD Mon YYYY'), to_timestamp('2024-02-29 13:14:15', 'YYYY-MM-DD HH24:MI:SS'), to_date('05 Dec 2000', 'DD Mon YYYY'), to_date('20240229', 'YYYYMMDD'), to_timestamp('12:30 pm', 'HH12:MI am');

SELECT to_date('2024-13-01', 'YYYY-MM-DD');

SELECT to_date('x', 'YYYY');

SELECT justify_days('35 days'), justify_hours('27 hours'), justify_interval('1 mon -1 hour'), isfinite('infinity'::date), isfinite(now()), isfinite('1 day'::interval);

SELECT clock_timestamp() >= now(), timeofday() IS NOT NULL, statement_timestamp() = now(), pg_typeof(clock_timestamp()), pg_typeof(current_date), pg_typeof(localtimestamp), pg_typeof(localtime);

SELECT '2024-02-29 12:00'::timestamp AT TIME ZONE 'Europe/Berlin', '2024-02-29 12:00:00+00'::timestamptz AT TIME ZONE 'America/New_York', timezone('UTC', '2024-02-29 12:00'::timestamp), '2024-02-29 12:00:00+00'::timestamptz AT TIME ZONE interval '2 hours';

SELECT now() AT TIME ZONE 'Nowhere/City';

SELECT (DATE '2001-02-16', DATE '2001-12-21') OVERLAPS (DATE '2001-10-30', DATE '2002-10-30'), (DATE '2001-02-16', INTERVAL '100 days') OVERLAPS (DATE '2001-10-30', DATE '2002-10-30'), (TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-02') OVERLAPS (TIMESTAMP '2024-01-02', TIMESTAMP '2024-01-03');

SELECT * FROM generate_series('2024-01-30'::timestamp, '2024-02-02', '1 day') AS d;

SELECT d::date FROM generate_series('2024-01-31'::date, '2024-04-30'::date, '1 month'::interval) d;

SELECT generate_series('2024-03-30 00:00+00'::timestamptz, '2024-04-01 00:00+00'::timestamptz, '12 hours');

SELECT * FROM generate_series(1.5, 3, 0.5) AS n;

SELECT * FROM generate_series('2024-01-03'::timestamp, '2024-01-01', '-1 day');

SELECT * FROM generate_series('2024-01-03'::timestamp, '2024-01-01', '0 day');

SELECT to_char('2024-02-09 13:04:05.678'::timestamp, 'YYYY-MM-DD HH24:MI:SS.MS US'), to_char('2024-02-09 13:04:05'::timestamp, 'Day, DD Month YYYY HH12:MI AM'), to_char('2024-02-09'::date, 'FMDay FMDD FMMonth, Dy Mon MON mon'), to_char('2024-02-09'::date, 'Q WW IW DDD D ID J CC YY Y,YYY IYYY'), to_char('2024-02-09 13:04:05+00'::timestamptz, 'TZ OF TZH:TZM');

SELECT to_char('2024-02-01'::date, 'DDth "of" Month'), to_char('15h 2m 12s'::interval, 'HH24:MI:SS'), to_char('125 hours'::interval, 'HH24 HH12 MI'), to_char('3 days 04:05'::interval, 'DD HH24:MI'), to_char('1 year 2 mons'::interval, 'YYYY MM'), to_char('2024-02-09 13:04:05'::timestamp, 'SSSS RM rm');

SELECT to_char(125, '999'), to_char(125.8, '999D9'), to_char(-125.8, '999D99'), to_char(0.1, '0.9'), to_char(12, '9990999.9'), to_char(-485, '999S'), to_char(485, '999MI'), to_char(-485, '999PR'), to_char(485, 'RN'), to_char(5.2, 'FM9.99'), to_char(1485, '9,999'), to_char(148.5, '999D999'), to_char(3148.5, '9G999D999'), to_char(482, '999th'), to_char(485, '"Good number:"999'), to_char(485.8, '"Pre:"999" Post:" .999'), to_char(0.0004859, '9.99EEEE'), to_char(12.45, '99V9'), to_char(1234567, 'FM9,999,999'), to_char(12, '000'), to_char(1234, '99'), to_char(-12, 'SG99'), to_char(12, 'L99');

SELECT to_char(12345678901::bigint, '99999999999'), to_char(1.5::float8, '9.99'), to_char(-0.5, 'FM0.00'), to_char(NULL::int, '9');

SELECT to_number('12,454.8-', '99G999D9S'), to_number('$1,234.50', 'L9,999.99'), to_number('-12', 'S99'), to_number('0012', '9999'), to_number('12.3', '99.9');

SELECT '1 year 2 months'::interval + '3 days', '1 day'::interval * 2.5, '1 hour'::interval / 3, -'1 day'::interval, '2024-01-31'::date + '1 month'::interval, '2024-03-01'::date - '2024-02-01'::date, '2024-01-01'::date + 5, '12:00'::time + '1 hour', '2024-01-02 12:00'::timestamp - '2024-01-01', '12:00'::time - '11:30'::time, '2024-01-01'::date + '12:00'::time;

SELECT '2024-02-30'::date;

SELECT interval '1-2', interval '1 2:03:04', interval 'P1Y2M3DT4H5M6S', interval '1.5 days', interval '2 weeks', interval '-1 day +2:03', '1 century'::interval;

SELECT date '2024-01-01' < timestamp '2024-01-01 00:00:01', '1 month'::interval = '30 days'::interval, 'infinity'::date > 'now'::date, '24 hours'::interval > '1 day'::interval;

SELECT date('2024-01-01 13:00'::timestamp), '13:14:15.678'::time(1), '2024-01-01 10:00:00.5678'::timestamp(2), 'epoch'::timestamp, '20240229'::date, 'Feb 29 2024'::date, 'January 8, 1999'::date;

SELECT date_part('day', a - b), a - b, (a - b) > interval '10 days' FROM (VALUES ('2024-03-01'::timestamp, '2024-01-01'::timestamp)) t(a, b);

SELECT extract(day from d), extract(month from d), count(*) FROM (VALUES ('2024-01-05'::date), ('2024-01-05'), ('2024-02-01')) t(d) GROUP BY 1, 2 ORDER BY 2, 1;

SELECT sum(i), avg(i), min(i), max(i) FROM (VALUES ('1 day'::interval), ('36 hours')) t(i);

SELECT min(d), max(d), max(t) FROM (VALUES ('2024-01-05'::date, '10:00'::time), ('2024-01-04', '11:00')) v(d, t);
