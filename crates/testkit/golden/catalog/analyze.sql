-- What ANALYZE finds in tables it reads as a whole.
create table a (id int primary key, few text, nullable int, wide numeric(12,3), d date, b bool, skew int);

insert into a select i, 'v' || i % 7, case when i % 3 = 0 then null else i % 40 end, i * 1.125, date '2024-01-01' + i % 365,
  i % 4 = 0, case when i % 10 < 6 then 1 when i % 10 < 9 then i % 5 else i end
  from generate_series(1, 1000) i;

analyze a;

select attname, null_frac, avg_width, n_distinct, most_common_freqs from pg_stats where tablename = 'a' order by attname;

select attname, most_common_vals, histogram_bounds from pg_stats where tablename = 'a' order by attname;

select attname, inherited, round(correlation::numeric, 4) from pg_stats where tablename = 'a' and attname <> 'b' order by attname;

select reltuples from pg_class where relname = 'a';

select last_analyze is not null, last_autoanalyze is null, analyze_count from pg_stat_user_tables where relname = 'a';

-- Targets.
alter table a alter column id set statistics 5;

alter table a alter skew set statistics 1, alter few set statistics 0;

select attname, attstattarget from pg_attribute where attrelid = 'a'::regclass and attnum > 0 order by attnum;

create table f (a int, b int, c text);

insert into f select i, i / 3, 'x' from generate_series(1, 500) i;

alter table f alter a set statistics 5, alter c set statistics 0;

set default_statistics_target = 3;

analyze f;

select attname, n_distinct, most_common_vals, histogram_bounds from pg_stats where tablename = 'f' order by attname;

reset default_statistics_target;

alter table f alter a set statistics -2;

alter table f alter a set statistics 100000;

alter table f alter nothing set statistics 1;

-- Chosen columns.
analyze f (c, b);

analyze f (nothing);

analyze f (b, b);

analyze nothing;

vacuum f (a);

analyze (full) f;

-- Values of many types.
create table t (s smallint, l bigint, r real, f double precision, n numeric, v varchar(20), c char(5), y bytea, ti time,
  ts timestamp, i interval, u uuid, j json);

insert into t select i % 3, i, i / 4.0, i * 1.5, (i % 4) / 3.0, 'a b' || i % 2, 'c' || i % 3, ('x' || i % 2)::bytea,
  time '10:00' + i * interval '1 minute', timestamp '2024-05-01' + i * interval '1 day', (i % 2) * interval '1 hour',
  ('00000000-0000-0000-0000-00000000000' || i % 10)::uuid, '{}'
  from generate_series(1, 8) i;

insert into t default values;

alter table t alter v set statistics 200;

analyze t;

select attname, null_frac, n_distinct, most_common_vals, most_common_freqs, histogram_bounds from pg_stats where tablename = 't' order by attname;

select attname, avg_width from pg_stats where tablename = 't' and attname not in ('c', 'j') order by attname;

-- Changes of columns.
alter table t rename s to small;

alter table t alter l type numeric;

alter table t drop column u;

select string_agg(attname, ',' order by attname) from pg_stats where tablename = 't';

-- In a transaction.
begin;

create table g (a int);

insert into g values (1), (1), (null);

analyze g;

select attname, null_frac, n_distinct, most_common_vals from pg_stats where tablename = 'g';

rollback;

select count(*) from pg_stats where tablename = 'g';

-- Nothing but NULLs, and nothing at all.
create table nulls (a int, b text);

analyze nulls;

select count(*) from pg_stats where tablename = 'nulls';

insert into nulls select null, null from generate_series(1, 10);

analyze nulls;

select attname, null_frac, avg_width, n_distinct, most_common_vals, histogram_bounds, correlation from pg_stats where tablename = 'nulls' order by attname;

create view w as select 1 as one;

analyze w;

drop view w;

drop table a, f, t, nulls;
